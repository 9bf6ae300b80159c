"""The journal: at every moment it tells which step was taken last, to this version and to the ones before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.host.fake_files import Crash, FakeFiles, crashed_everywhere
from webui_stack.host.clock import Clock
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Holder, Processes, State
from webui_stack.host.journal import FORMAT, OLD_MARK, Entry, Journal, Step, recover

FOLDER = "/opt/open-webui"
PATH = f"{FOLDER}/journal.json"
SET = "20261129T030000Z"
ME = Holder("upgrade", 4711, "4026531836", 99, "boot-1")
OTHER = replace(ME, pid=4712)
TABLE = {
    "upgrade": [Step("save", "go back"), Step("start", "go on"), Step(OLD_MARK, "go back")],
    "restore": [Step("swap", "go back"), Step(OLD_MARK, "go back")],
    "rollback": [Step(OLD_MARK, "go back")],
    "migrate": [Step("fill", "go back")],
    "rotate": [Step("start", "go back")],
    "up": [Step("start", "go back")],
}


class FixedClock(Clock):
    def now(self) -> float:
        return 1_795_921_200.0  # 2026-11-29 03:00:00 UTC


class FixedProcesses(Processes):
    def __init__(self, state: State = "dead") -> None:
        self._state = state

    def state(self, _: Holder) -> State:
        return self._state


def journal_of(files: FakeFiles) -> Journal:
    return Journal(files, FOLDER, TABLE, FixedClock())


@pytest.fixture
def files() -> FakeFiles:
    return FakeFiles()


@pytest.fixture
def journal(files: FakeFiles) -> Journal:
    return journal_of(files)


def marks(files: FakeFiles) -> dict[str, str | None]:
    """What earlier versions see."""
    names = [name for name in files.listdir(FOLDER) or [] if name in (".upgrading", ".restoring", ".migrating")]
    return {name: files.read_text(f"{FOLDER}/{name}") for name in names}


# --- What it tells


def test_nothing_is_under_way_on_a_fresh_host(journal: Journal) -> None:
    assert journal.open() is None


def test_it_tells_verb_step_data_and_holder(journal: Journal) -> None:
    journal.begin("upgrade", ME, {"from": "0.11"})
    assert journal.open() == Entry("upgrade", "", {"from": "0.11"}, ME, SET)
    journal.step("save")
    journal.step("start", {"set": SET})
    assert journal.open() == Entry("upgrade", "start", {"from": "0.11", "set": SET}, ME, SET)
    journal.end()
    assert journal.open() is None


def test_it_is_closed_to_others(files: FakeFiles, journal: Journal) -> None:
    journal.begin("upgrade", ME)
    found = files.stat(PATH)
    assert found
    assert found.mode == 0o600


def test_only_one_verb_is_under_way(journal: Journal) -> None:
    journal.begin("upgrade", ME)
    with pytest.raises(HostError, match="got upgrade, before its first step, begun 20261129T030000Z by process 4711"):
        journal.begin("restore", OTHER)
    assert journal.open() == Entry("upgrade", "", {}, ME, SET)


def test_a_step_that_no_table_knows_is_not_taken(journal: Journal) -> None:
    with pytest.raises(ValueError, match="'dance'"):
        journal.begin("dance", ME)
    journal.begin("upgrade", ME)
    with pytest.raises(HostError, match="expected a step of upgrade that this version knows, got 'swap'"):
        journal.step("swap")
    assert journal.open() == Entry("upgrade", "", {}, ME, SET)


def test_no_step_is_taken_without_a_journal(journal: Journal) -> None:
    with pytest.raises(HostError, match="got no journal"):
        journal.step("save")


# --- Crashes


def told(files: FakeFiles) -> tuple[str, str] | None:
    entry = journal_of(files).open()
    return (entry.verb, entry.step) if entry else None


@pytest.mark.crash
@pytest.mark.parametrize(
    ("before", "change", "old", "new"),
    [
        ([], lambda journal: journal.begin("upgrade", ME), None, ("upgrade", "")),
        (["save"], lambda journal: journal.step("start", {"set": SET}), ("upgrade", "save"), ("upgrade", "start")),
        (["save"], lambda journal: journal.resume(OTHER), ("upgrade", "save"), ("upgrade", "save")),
        (["save", "start"], Journal.end, ("upgrade", "start"), None),
    ],
    ids=["begin", "step", "resume", "end"],
)
def test_a_crash_anywhere_leaves_the_old_entry_or_the_new_one(
    before: list[str],
    change: Callable[[Journal], object],
    old: tuple[str, str] | None,
    new: tuple[str, str] | None,
) -> None:
    def prepare(files: FakeFiles) -> None:
        files.make_folder(FOLDER)
        if before:
            journal_of(files).begin("upgrade", ME)
        for step in before:
            journal_of(files).step(step)

    seen = set()

    def check(files: FakeFiles, done: bool) -> None:
        seen.add(told(files))
        assert told(files) in ([new] if done else [old, new])
        if done and new:
            assert ".restoring" in marks(files), "earlier versions of this project would not refuse"

    crashes = crashed_everywhere(prepare, lambda files: change(journal_of(files)), check)
    assert crashes > 50
    assert seen == {old, new}


@pytest.mark.crash
@pytest.mark.parametrize("step", [None, "save", "start"])
def test_a_crash_while_it_ends_never_leaves_a_mark_alone(step: str | None) -> None:
    """It would be read as one of an earlier version, and undone."""

    def prepare(files: FakeFiles) -> None:
        journal_of(files).begin("upgrade", ME)
        if step:
            journal_of(files).step(step, {"set": SET})

    def check(files: FakeFiles, done: bool) -> None:
        assert files.exists(PATH) or not marks(files)
        assert not done or not files.exists(PATH)

    crashed_everywhere(prepare, lambda files: journal_of(files).end(), check)


@pytest.mark.crash
def test_a_crash_while_it_begins_never_leaves_a_mark_alone() -> None:
    def check(files: FakeFiles, _: bool) -> None:
        assert files.exists(PATH) or not marks(files)

    crashed_everywhere(lambda _: None, lambda files: journal_of(files).begin("upgrade", ME), check)


# --- What can't be read


@pytest.mark.parametrize(
    ("text", "got"),
    [
        (b"", "an empty file"),
        (b"\0" * 4096, "nothing but blanks and zeros"),
        (b'{"format": 1, "verb": "upgr', "27 bytes that are none"),
        (b"\xff\xfe", "2 bytes that are none"),
        (b"[]", "no format number"),
        (b'{"format": true}', "no format number"),
        (b'{"format": 1}', "no verb, step, data or began"),
        (b'{"format": 1, "verb": "upgrade", "step": "", "data": {}, "began": "", "holder": {"pid": 1}}', "no holder"),
    ],
)
def test_a_damaged_journal_is_an_error_and_never_none(
    files: FakeFiles, journal: Journal, text: bytes, got: str
) -> None:
    files.make_folder(FOLDER)
    files.write(PATH, text)
    for ask in (journal.open, lambda: journal.begin("upgrade", ME), lambda: journal.step("save")):
        with pytest.raises(HostError, match="expected one JSON document that tells what is under way") as failed:
            ask()
        assert failed.value.where == PATH
        assert failed.value.got.startswith(got)
    assert files.read(PATH) == text


def test_the_journal_of_a_newer_version_is_refused_by_name(files: FakeFiles, journal: Journal) -> None:
    files.make_folder(FOLDER)
    files.write(PATH, json.dumps({"format": FORMAT + 1, "steps": []}))
    with pytest.raises(HostError, match="expected format 1, got format 2, of a newer version of this project"):
        journal.open()


# --- Earlier versions


@pytest.mark.parametrize(
    ("left", "entry"),
    [
        ({".upgrading": f"{SET}\n"}, Entry("upgrade", OLD_MARK, {"set": SET})),
        ({".restoring": "restore\n"}, Entry("restore", OLD_MARK)),
        ({".restoring": "rollback\n"}, Entry("rollback", OLD_MARK)),
        ({".restoring": ""}, Entry("restore", OLD_MARK)),
        ({".upgrading": f"{SET}\n", ".restoring": "rollback\n"}, Entry("upgrade", OLD_MARK, {"set": SET})),
    ],
)
def test_a_mark_of_an_earlier_version_is_read_once(
    files: FakeFiles, journal: Journal, left: dict[str, str], entry: Entry
) -> None:
    files.make_folder(FOLDER)
    for name, content in left.items():
        files.write(f"{FOLDER}/{name}", content)
    assert journal.open() == entry
    journal.resume(ME)
    assert journal.open() == replace(entry, holder=ME, began=SET)
    journal.end()
    assert journal.open() is None
    assert marks(files) == {}


@pytest.mark.parametrize("content", ["", "yesterday\n"])
def test_the_mark_of_an_upgrade_that_names_no_set_is_an_error(files: FakeFiles, journal: Journal, content: str) -> None:
    files.make_folder(FOLDER)
    files.write(f"{FOLDER}/.upgrading", content)
    with pytest.raises(HostError, match="expected the name of the backup set for the way back"):
        journal.open()


def test_earlier_versions_find_their_mark_while_a_journal_is_open(files: FakeFiles, journal: Journal) -> None:
    journal.begin("upgrade", ME)
    assert marks(files) == {".restoring": "upgrade\n"}
    journal.step("save")
    assert marks(files) == {".restoring": "upgrade\n"}
    journal.step("start", {"set": SET})
    assert marks(files) == {".restoring": "upgrade\n", ".upgrading": f"{SET}\n"}
    journal.end()
    assert marks(files) == {}


def test_a_mark_that_was_lost_is_there_again_with_the_next_step(files: FakeFiles, journal: Journal) -> None:
    journal.begin("upgrade", ME)
    files.remove(f"{FOLDER}/.restoring")
    journal.step("save")
    assert marks(files) == {".restoring": "upgrade\n"}


# --- A deploy, which leaves people's data in one place


def test_a_deploy_leaves_no_mark_so_that_the_next_deploy_is_not_refused(files: FakeFiles, journal: Journal) -> None:
    journal.begin("up", ME)
    journal.step("start")
    journal.resume(OTHER)
    assert marks(files) == {}
    assert journal.open() == Entry("up", "start", {}, OTHER, SET)
    journal.end()
    assert journal.open() is None


@pytest.mark.parametrize("verb", ["up", "rotate", "upgrade"])
def test_the_mark_of_a_migration_is_no_verb_and_stays_until_that_is_settled(
    files: FakeFiles, journal: Journal, verb: str
) -> None:
    files.make_folder(FOLDER)
    files.write(f"{FOLDER}/.migrating", "")
    assert journal.open() is None
    journal.begin(verb, ME)
    assert journal.open() == Entry(verb, "", {}, ME, SET)
    journal.end()
    assert journal.open() is None
    assert marks(files) == {".migrating": ""}


@pytest.mark.parametrize(("verb", "step"), [("migrate", "fill"), ("rotate", "start")])
def test_a_deploy_takes_over_what_left_data_in_one_place(
    files: FakeFiles, journal: Journal, verb: str, step: str
) -> None:
    journal.begin(verb, ME, {"of": verb})
    journal.step(step)
    assert marks(files) == {}, "earlier versions may deploy as well"
    with pytest.raises(HostError, match=f"expected nothing under way, got {verb}"):
        journal.begin("up", OTHER)  # it could be cut off before its first step, and nothing would be ended
    journal.begin("up", OTHER, {"of": "up"}, step="start", over=[verb])
    assert journal.open() == Entry("up", "start", {"of": "up"}, OTHER, SET)


@pytest.mark.parametrize("step", ["", "start"])
def test_nothing_else_is_taken_over(journal: Journal, step: str) -> None:
    journal.begin("up", ME)
    for verb in ("up", "rotate"):
        with pytest.raises(HostError, match="expected nothing under way, got up"):
            journal.begin(verb, OTHER, step=step)
    journal.end()
    journal.begin("restore", ME)
    with pytest.raises(HostError, match="expected nothing under way, got restore"):
        journal.begin("up", OTHER, step=step)
    journal.end()
    with pytest.raises(HostError, match="expected a step of up that this version knows"):
        journal.begin("up", ME, step="dance")


@pytest.mark.parametrize("mark", [".restoring", ".upgrading"])
def test_a_deploy_that_was_cut_off_does_not_hide_that_data_are_in_two_places(
    files: FakeFiles, journal: Journal, mark: str
) -> None:
    journal.begin("up", ME)
    journal.step("start")
    files.write(f"{FOLDER}/{mark}", f"{SET}\n" if mark == ".upgrading" else "restore\n")
    entry = journal.open()
    assert entry
    assert entry.step == OLD_MARK
    assert entry.in_two_places
    with pytest.raises(HostError, match="expected nothing under way, got"):
        journal.begin("up", OTHER)


@pytest.mark.parametrize(
    ("verb", "in_two_places"),
    [("up", False), ("migrate", False), ("rotate", False), ("restore", True), ("upgrade", True)],
)
def test_data_may_be_in_two_places_unless_the_verb_leaves_them_in_one(verb: str, in_two_places: bool) -> None:
    assert Entry(verb).in_two_places == in_two_places


# --- Recovery


class Told:
    """A verb that writes down what it was told, and ends the journal unless it is told to fail."""

    def __init__(self, journal: Journal, ends: bool = True) -> None:
        self.journal, self.ends = journal, ends
        self.way: list[tuple[str, Entry]] = []

    def go_on(self, entry: Entry) -> None:
        self._do("go on", entry)

    def go_back(self, entry: Entry) -> None:
        self._do("go back", entry)

    def _do(self, way: str, entry: Entry) -> None:
        assert self.journal.open() == entry
        self.way.append((way, entry))
        if self.ends:
            self.journal.end()


def test_recovery_goes_where_the_table_says(journal: Journal) -> None:
    for step, way in (("save", "go back"), ("start", "go on")):
        journal.begin("upgrade", OTHER, {"from": "0.11"})
        journal.step(step)
        verb = Told(journal)
        assert recover(journal, {"upgrade": verb}, ME, FixedProcesses()) == Entry(
            "upgrade", step, {"from": "0.11"}, OTHER, SET
        )
        assert verb.way == [(way, Entry("upgrade", step, {"from": "0.11"}, ME, SET))]
        assert journal.open() is None


def test_recovery_of_a_mark_goes_where_the_table_says(files: FakeFiles, journal: Journal) -> None:
    files.make_folder(FOLDER)
    files.write(f"{FOLDER}/.upgrading", f"{SET}\n")
    verb = Told(journal)
    recover(journal, {"upgrade": verb}, ME, FixedProcesses())
    assert verb.way == [("go back", Entry("upgrade", OLD_MARK, {"set": SET}, ME, SET))]
    assert marks(files) == {}


def test_recovery_has_nothing_to_do_where_nothing_is_cut_off(journal: Journal) -> None:
    assert recover(journal, {}, ME, FixedProcesses()) is None


def test_a_verb_that_took_no_step_is_ended_without_asking_it(journal: Journal) -> None:
    journal.begin("upgrade", OTHER)
    assert recover(journal, {}, ME, FixedProcesses()) == Entry("upgrade", "", {}, OTHER, SET)
    assert journal.open() is None


def test_nobody_is_recovered_while_alive(journal: Journal) -> None:
    journal.begin("upgrade", OTHER)
    journal.step("save")
    verb = Told(journal)
    with pytest.raises(HostError, match="expected a run that was cut off, got upgrade, at the step 'save'"):
        recover(journal, {"upgrade": verb}, ME, FixedProcesses("alive"))
    assert verb.way == []
    entry = journal.open()
    assert entry
    assert entry.holder == OTHER


def test_a_process_recovers_what_it_began_itself(journal: Journal) -> None:
    journal.begin("upgrade", ME)
    journal.step("save")
    verb = Told(journal)
    recover(journal, {"upgrade": verb}, ME, FixedProcesses("alive"))
    assert [way for way, _ in verb.way] == ["go back"]


@pytest.mark.parametrize(
    ("verb", "step", "told"),
    [("dance", "turn", "a step of dance"), ("upgrade", "turn", "a step of upgrade"), ("restore", "swap", "a verb")],
)
def test_what_this_version_does_not_know_is_left_and_named(
    files: FakeFiles, journal: Journal, verb: str, step: str, told: str
) -> None:
    journal.begin("upgrade", OTHER)
    text = (files.read_text(PATH) or "").replace('"upgrade"', f'"{verb}"', 1).replace('"step": ""', f'"step": "{step}"')
    files.write(PATH, text)
    with pytest.raises(HostError, match=f"expected {told} that this version knows"):
        recover(journal, {"upgrade": Told(journal)}, ME, FixedProcesses())
    assert files.read_text(PATH) == text


def test_a_verb_that_fails_leaves_the_journal_for_the_next_try(journal: Journal) -> None:
    journal.begin("upgrade", OTHER)
    journal.step("save")
    with pytest.raises(RuntimeError, match="left the journal open"):
        recover(journal, {"upgrade": Told(journal, ends=False)}, ME, FixedProcesses())
    verb = Told(journal)
    recover(journal, {"upgrade": verb}, OTHER, FixedProcesses())
    assert verb.way == [("go back", Entry("upgrade", "save", {}, OTHER, SET))]


@pytest.mark.crash
def test_a_crash_anywhere_in_a_recovery_is_recovered() -> None:
    def prepare(files: FakeFiles) -> None:
        journal_of(files).begin("upgrade", OTHER)
        journal_of(files).step("save", {"set": SET})

    def once(files: FakeFiles, me: Holder) -> None:
        journal = journal_of(files)
        recover(journal, {"upgrade": Told(journal)}, me, FixedProcesses())

    def check(files: FakeFiles, _: bool) -> None:
        once(files, OTHER)
        assert journal_of(files).open() is None
        assert marks(files) == {}

    assert crashed_everywhere(prepare, lambda files: once(files, ME), check) > 100


def test_a_crash_is_no_exception_that_a_verb_could_handle() -> None:
    assert not issubclass(Crash, Exception)
