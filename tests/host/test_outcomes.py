"""How a job ended is remembered whole, also when it was the first one, or its file is damaged."""

from __future__ import annotations

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_files import FakeFiles, crashed_everywhere
from webui_stack.host.errors import HostError
from webui_stack.host.outcomes import FOLDER, NAMES, Outcomes

STACK = "/opt/open-webui"
OTHER = (
    '{"of": "", "set": "", "ended_s": 1, "seconds": 1, "ok": true, "said": "", "good_s": 1, "counts": {"sets": "x"}}'
)


def outcomes(files: FakeFiles, clock: FakeClock | None = None) -> Outcomes:
    files.make_folder(STACK)
    return Outcomes(files, clock or FakeClock(), STACK)


def note(one: Outcomes, said: str = "", of: str = "") -> None:
    one.note("drill", of=of, set_="20261129T030000Z", began_s=-42.0, said=said, counts={"findings": 8})


def test_an_outcome_is_read_back_and_root_alone_reads_it() -> None:
    files, clock = FakeFiles(), FakeClock()
    one = outcomes(files, clock)
    assert one.read("drill") is None
    note(one)
    now_s = int(clock.now())
    assert one.read("drill") == {
        "of": "",
        "set": "20261129T030000Z",
        "ended_s": now_s,
        "seconds": int(clock.monotonic() + 42),
        "ok": True,
        "said": "",
        "good_s": now_s,
        "counts": {"findings": 8},
    }
    found = files.stat(f"{STACK}/{FOLDER}/drill.json")
    assert found
    assert found.mode == 0o600
    assert list(one.all()) == ["drill"]


def test_the_last_good_outcome_lives_through_failures_of_the_same_thing() -> None:
    files, clock = FakeFiles(), FakeClock()
    one = outcomes(files, clock)
    note(one)
    good_s = int(clock.now())
    clock.passed_s += 3600
    note(one, "no answer")
    found = one.read("drill")
    assert found
    assert (found["ok"], found["said"], found["good_s"]) == (False, "no answer", good_s)
    note(one, "no answer", of="another")
    found = one.read("drill")
    assert found
    assert found["good_s"] == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"of": ""}', OTHER])
def test_a_damaged_file_is_told_and_the_next_outcome_takes_its_place(text: str) -> None:
    files = FakeFiles()
    one = outcomes(files)
    files.make_folder(f"{STACK}/{FOLDER}")
    files.write(f"{STACK}/{FOLDER}/drill.json", text)
    words = f"{STACK}/{FOLDER}/drill.json: expected how the last drill ended, got another form; the next one writes it"
    with pytest.raises(HostError, match=words):
        one.read("drill")
    told = one.all()["drill"]
    assert (told["ok"], told["good_s"]) == (False, 0)
    assert told["said"].startswith(words)
    note(one)
    assert one.read("drill")


@pytest.mark.crash
def test_an_outcome_is_the_earlier_or_the_new_one_after_a_crash() -> None:
    def prepare(files: FakeFiles) -> None:
        note(outcomes(files), "before")

    def check(files: FakeFiles, done: bool) -> None:
        found = outcomes(files).read("drill")
        assert found
        assert found["said"] in (["after"] if done else ["before", "after"])

    assert crashed_everywhere(prepare, lambda files: note(outcomes(files), "after"), check) > 10


def test_each_job_has_a_name() -> None:
    assert len(set(NAMES)) == 5
