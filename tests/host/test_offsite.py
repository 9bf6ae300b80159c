"""A set goes into a restic repository and comes back whole or not at all; no secret is shown on its way."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_restic import ADDRESS, ENVIRONMENT, HERE, LOCKED, NONE, PASSWORD, SECOND, World, contents
from tests.host.points import every_crash, every_failure
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.outcomes import Outcome, Outcomes
from webui_stack.host.restic import PAUSE_S, WAIT_S, Key
from webui_stack.host.system import Ended
from webui_stack.host.verbs import backup, offsite
from webui_stack.host.verbs.offsite import Bring, Check, Copy, Offsite

STACK, SETS = "/opt/open-webui", "/var/backups/open-webui"
OLD, NAME, HIGHEST = "20261128T030000Z", "20261129T030000Z", "20270101T000000Z"
COPY = Copy(STACK, SETS, [{"address": ADDRESS}], 0, name=NAME)
BOTH = replace(COPY, repositories=[{"address": ADDRESS}, {"address": SECOND, "key": "restic-2.env"}])
BRING = Bring(SETS, {ADDRESS: ENVIRONMENT}, "newest", "chat-1")


def copied(*, keep: int = 0, before: str = "other") -> World:
    """A host with three sets, the last of them made before the clock was set back, and what opens the repositories.

    The earlier two are those of the host `before`.
    """
    world = World()
    world.put_set(SETS, HIGHEST, 1_795_000_000.0, before)
    world.put_set(SETS, OLD, 1_795_800_000.0, before)
    world.put_set(SETS, NAME, 1_795_900_000.0)
    world.files.make_folder(STACK)
    for key in ("restic.env", "restic-2.env"):
        Key(world.files, STACK, key).keep(ENVIRONMENT)
    if keep:
        world.put_snapshot(HERE, OLD)
        world.put_snapshot("other", OLD)
        world.put_snapshot(HERE, "by hand", tags=["mine"])
    return world


def copy(world: World, asked: Copy = COPY) -> None:
    Offsite(world, world.files, world.clock, world.said.append).copy(asked)


def bring(world: World, asked: Bring = BRING) -> None:
    Offsite(world, world.files, world.clock, world.said.append).bring(asked)


def in_repository(world: World, address: str = ADDRESS) -> list[tuple[str, str]]:
    return [(one["hostname"], one["tags"][-1]) for one in world.stores.get(address) or ()]


def check(world: World, *places: Mapping[str, Any]) -> None:
    Offsite(world, world.files, world.clock, world.said.append).check(Check(STACK, places))


def outcome(world: World, job: str) -> Outcome:
    found = Outcomes(world.files, world.clock, STACK).read(job)
    assert found
    return found


def part(world: World, name: str, file: str) -> bytes | None:
    return world.files.read(f"{SETS}/{name}/{file}")


# --- There


def test_the_set_that_was_made_is_copied_and_not_the_one_of_the_highest_name() -> None:
    """L7. The repository is made where it is missing."""
    world = copied()
    copy(world)
    assert in_repository(world) == [(HERE, NAME)]
    assert world.told == [
        f"copying {NAME} to the restic repository",
        f"copying {NAME}",
        f"copied {NAME} to the restic repository in 6 s, as a set of {HERE}",
    ]
    assert (world.said[1].done, world.said[1].total) == (100, 400)


def test_without_a_name_the_set_that_was_made_last_is_copied() -> None:
    world = copied()
    copy(world, replace(COPY, name=""))
    assert in_repository(world) == [(HERE, NAME)]


def test_without_a_set_nothing_is_copied() -> None:
    world = copied()
    with pytest.raises(HostError, match=r"^/nowhere: expected a backup set, got none; run runbooks/backup.py$"):
        copy(world, replace(COPY, name="", backup_dir="/nowhere"))
    assert world.asked == []


def test_only_this_hosts_older_sets_are_forgotten() -> None:
    world = copied(keep=1)
    copy(world, replace(COPY, keep=1))
    assert sorted(in_repository(world)) == sorted([("other", OLD), (HERE, "mine"), (HERE, NAME)])
    assert world.commands("forget") == [("restic", "forget", "--quiet", "--prune", f"{0:064x}")]


def test_sets_of_each_age_stay_in_a_repository() -> None:
    world = copied()
    for day in (1, 2, 9, 10, 29):
        world.put_snapshot(HERE, f"202611{day:02}T030000Z", f"2026-11-{day:02}T03:00:00Z")
    copy(world, replace(COPY, keep=1, keep_daily=2, keep_weekly=3))
    assert [name for _, name in in_repository(world)] == ["20261102T030000Z", "20261110T030000Z", NAME]


def test_of_a_set_that_was_copied_twice_one_copy_stays() -> None:
    world = copied(keep=1)
    world.put_snapshot(HERE, NAME, "2026-11-29T02:00:00Z")
    copy(world, replace(COPY, keep=7))
    assert in_repository(world).count((HERE, NAME)) == 1


# --- After an outage


def test_sets_that_an_outage_kept_away_are_copied_first_and_each_has_its_own_time() -> None:
    world = copied(before=HERE)
    world.put_snapshot(HERE, HIGHEST)
    copy(world)
    assert in_repository(world) == [(HERE, HIGHEST), (HERE, OLD), (HERE, NAME)]
    assert [one["time"] for one in world.repository or ()][1:] == ["2026-11-27T17:20:00Z", "2026-11-28T21:06:40Z"]
    assert world.told[0] == "earlier sets missing in the restic repository: 1; copying them first"
    assert outcome(world, "copy-1")["counts"] == {"sets": 2}
    world.said.clear()
    copy(world)
    assert len(world.commands("backup")) == 3


def test_a_set_that_would_be_forgotten_at_once_is_not_copied() -> None:
    world = copied(before=HERE)
    copy(world, replace(COPY, keep=1))
    assert in_repository(world) == [(HERE, NAME)]


def test_a_set_that_a_restore_has_put_out_of_the_way_is_not_copied() -> None:
    world = copied(before=HERE)
    world.files.write(f"{SETS}/{OLD}/manifest.json", json.dumps({"host": HERE, "made_for": "restore"}))
    world.files.write(f"{SETS}/{HIGHEST}/manifest.json", "damaged")
    copy(world)
    assert in_repository(world) == [(HERE, NAME)]


def test_an_earlier_set_that_can_not_be_copied_keeps_no_newer_one_away() -> None:
    world = copied(before=HERE)
    world.failing[HIGHEST] = Ended(3, "", "Fatal: unable to read it\n")
    with pytest.raises(HostError, match="unable to read it"):
        copy(world)
    assert in_repository(world) == [(HERE, OLD), (HERE, NAME)]
    assert outcome(world, "copy-1")["ok"] is False
    world.failing.clear()
    copy(world)
    assert {*in_repository(world)} == {(HERE, HIGHEST), (HERE, OLD), (HERE, NAME)}


# --- Several repositories, and those to append to


def test_a_repository_that_fails_keeps_no_other_one_from_its_copy() -> None:
    world = copied()
    world.down = {ADDRESS}
    with pytest.raises(
        HostError,
        match=rf"^restic: expected a copy in each of 2 repositories, got {ADDRESS}: Fatal: dial tcp: i/o timeout; fix",
    ):
        copy(world, BOTH)
    assert in_repository(world, SECOND) == [(HERE, NAME)]
    first, second = outcome(world, "copy-1"), outcome(world, "copy-2")
    assert (first["of"], first["ok"], first["good_s"]) == (ADDRESS, False, 0)
    assert "i/o timeout" in first["said"]
    assert (second["of"], second["set"], second["said"], second["good_s"]) == (SECOND, NAME, "", second["ended_s"])
    world.down.clear()
    copy(world, BOTH)
    assert in_repository(world) == [(HERE, NAME)]
    assert outcome(world, "copy-1")["ok"]


def test_the_last_good_copy_is_remembered_while_a_repository_is_away_and_no_longer_for_another_one() -> None:
    world = copied()
    copy(world)
    good_s = outcome(world, "copy-1")["good_s"]
    world.down = {ADDRESS, SECOND}
    world.clock.passed_s += 3600
    with suppress(HostError):
        copy(world)
    assert outcome(world, "copy-1")["good_s"] == good_s
    with suppress(HostError):
        copy(world, replace(COPY, repositories=[{"address": SECOND}]))
    assert outcome(world, "copy-1")["good_s"] == 0


def test_each_repository_is_opened_by_its_own_key() -> None:
    world = copied()
    Key(world.files, STACK, "restic-2.env").keep({**ENVIRONMENT, "AWS_DEFAULT_REGION": "eu-2"})
    copy(world, BOTH)
    assert {(one.environment["RESTIC_REPOSITORY"], one.environment["AWS_DEFAULT_REGION"]) for one in world.asked} == {
        (ADDRESS, "eu-1"),
        (SECOND, "eu-2"),
    }


def test_nothing_is_removed_from_a_repository_to_append_to() -> None:
    world = copied(keep=1, before=HERE)
    copy(world, replace(COPY, keep=1, repositories=[{"address": ADDRESS, "append_only": True}]))
    assert (HERE, OLD) in in_repository(world)
    assert (HERE, NAME) in in_repository(world)
    assert world.commands("forget") == []


def test_what_others_forget_in_a_repository_to_append_to_is_not_copied_again() -> None:
    world = copied(before=HERE)
    appended = replace(COPY, repositories=[{"address": ADDRESS, "append_only": True}])
    copy(world, appended)
    assert len(in_repository(world)) == 3
    world.repository = [one for one in world.repository or () if NAME in one["tags"]]
    later = "20261130T030000Z"
    world.put_set(SETS, later, 1_796_000_000.0)
    copy(world, replace(appended, name=later))
    assert in_repository(world) == [(HERE, NAME), (HERE, later)]


def test_an_outcome_that_can_not_be_remembered_fails_no_copy() -> None:
    world = copied()
    world.files.write(f"{STACK}/outcomes", "no folder")
    copy(world)
    assert in_repository(world) == [(HERE, NAME)]
    assert world.told[-1].startswith("not remembered: ")


# --- Checked


def test_a_repository_that_is_whole_is_told_with_its_sets() -> None:
    world = copied(keep=1)
    check(world, {"address": ADDRESS})
    assert world.told[-1] == f"the restic repository {ADDRESS} is whole: 1 sets of {HERE}, in 0 s"
    found = outcome(world, "check-1")
    assert (found["of"], found["ok"], found["counts"]) == (ADDRESS, True, {"sets": 1})


def test_a_damaged_repository_fails_the_check_and_the_next_one_is_checked_all_the_same() -> None:
    world = copied(keep=1)
    world.put_snapshot(HERE, NAME, address=SECOND)
    world.down = {ADDRESS}
    with pytest.raises(
        HostError, match=r"^restic: expected a check in each of 2 repositories, got sftp:.*timeout; fix"
    ):
        check(world, *BOTH.repositories)
    assert (outcome(world, "check-1")["ok"], outcome(world, "check-2")["ok"]) == (False, True)
    world.down.clear()
    world.failing["check"] = Ended(1, "", "pack 1234 is missing\n" * 100 + "Fatal: repository contains errors\n")
    with pytest.raises(
        HostError, match=r"^restic: expected a whole repository, got pack 1234 is missing .* \.\.\.; fix"
    ):
        check(world, {"address": ADDRESS})
    assert len(outcome(world, "check-1")["said"]) < 1200


def test_a_check_makes_no_repository() -> None:
    world = copied()
    with pytest.raises(HostError, match="Is there a repository"):
        check(world, {"address": ADDRESS})
    assert world.repository is None


def test_secrets_are_in_the_environment_alone() -> None:
    world = copied(keep=1)
    copy(world, replace(COPY, keep=1))
    assert all(one.environment["RESTIC_PASSWORD"] == PASSWORD for one in world.asked)
    assert all(one.environment["RESTIC_REPOSITORY"] == ADDRESS for one in world.asked)
    assert "marker" not in f"{world.commands()}{world.said}"


def test_a_wrong_password_is_told_and_shown_nowhere() -> None:
    world = copied(keep=1)
    Key(world.files, STACK).keep({"RESTIC_PASSWORD": "another-one"})
    with pytest.raises(
        HostError, match=r"^restic: expected to open the repository, got Fatal: wrong password or no key found; fix"
    ):
        copy(world)
    world.failing["cat"] = Ended(1, "", "Fatal: no key for another-one\n")
    with pytest.raises(HostError, match=r"got Fatal: no key for \(hidden\); fix that, and run it again$"):
        copy(world)
    assert world.commands("init") == []


@pytest.mark.parametrize(
    ("said", "is_made"),
    [
        (Ended(1, "", NONE), True),
        (Ended(1, "", NONE.replace("no such file or directory", "<config/> does not exist")), True),
        (Ended(10, "", "Fatal: repository does not exist\n"), True),
        (Ended(1, "", NONE.replace("no such file or directory", "permission denied")), False),
        (Ended(1, "", NONE.replace("no such file or directory", "dial tcp: i/o timeout")), False),
        (Ended(1, "", NONE.replace("no such file or directory", "lookup nas: no such host")), False),
        (Ended(1, "", "Fatal: no such file\n"), False),
    ],
    ids=["local", "rest", "status of 0.17", "not permitted", "timeout", "no host", "another file"],
)  # fmt: skip
def test_a_repository_is_made_only_where_restic_says_that_none_is_there(said: Ended, is_made: bool) -> None:
    world = copied()
    world.failing["cat"] = said
    with suppress(HostError):
        copy(world)
    assert (world.repository is not None) == is_made


def test_a_copy_waits_while_others_have_the_repository_to_themselves() -> None:
    world = copied(keep=1)
    world.failing["unlock"] = Ended(0, "", "")
    world.locked = 7
    copy(world, replace(COPY, keep=1))
    assert in_repository(world)[-1] == (HERE, NAME)
    assert world.told.count("others have the restic repository to themselves; waiting for them") == 1
    assert world.clock.passed_s == 7 * PAUSE_S + 6


def test_a_copy_waits_ten_minutes_at_most() -> None:
    world = copied(keep=1)
    world.failing["backup"] = Ended(1, "", LOCKED)
    with pytest.raises(HostError, match=r"got the repository in others' use for 10 minutes: unable to create lock"):
        copy(world)
    assert WAIT_S <= world.clock.passed_s <= WAIT_S + PAUSE_S


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Ended(1, "", "Fatal: no room\n\nmore\n"), "Fatal: no room more"),
        (Ended(3, '{"message_type":"status"}\n', '{"message_type":"error","error":{"message":"x gone"}}\n'), "x gone"),
        (Ended(1, "", '{"message_type":"exit_error","code":1,"message":"Fatal: no room"}\n'), "Fatal: no room"),
        (Ended(1, '{"message_type":"status"}\n', ""), "exit status 1"),
    ],
    ids=["text", "an unread file", "a document", "nothing"],
)  # fmt: skip
def test_a_copy_that_fails_says_why_in_one_line(said: Ended, words: str) -> None:
    world = copied(keep=1)
    world.failing["backup"] = said
    with pytest.raises(HostError) as caught:
        copy(world)
    assert str(caught.value) == f"restic: expected to copy the set, got {words}; fix that, and run it again"


@pytest.mark.crash
def test_a_copy_that_is_cut_off_or_fails_harms_no_set_and_the_next_one_succeeds() -> None:
    asked = replace(COPY, keep=1)
    ends = [*every_crash(copied(keep=1), lambda world: copy(world, asked))]
    for at, world, error in every_failure(copied(keep=1), lambda world: copy(world, asked)):
        assert error or (HERE, NAME) in in_repository(world), at
        ends.append((at, world))
    for at, world in ends:
        assert ("other", OLD) in in_repository(world), at
        copy(world, asked)
        assert in_repository(world) == [("other", OLD), (HERE, "mine"), (HERE, NAME)], at
        assert world.files.listdir(SETS) == [OLD, NAME, HIGHEST], at


def test_the_timers_copy_is_of_the_set_that_its_backup_has_made(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Mapping[str, Any]] = []
    monkeypatch.setattr(backup, "run", lambda arguments, _: f"of {arguments['x']}")
    monkeypatch.setattr(offsite, "copy", lambda arguments, _: seen.append(arguments))
    monkeypatch.setattr(offsite, "require_root", lambda: None)
    asked = {"backup": {"x": 1}, "copy": {**asdict(COPY), "name": ""}}
    assert offsite.back_up(asked, lambda _: None) == "of 1"
    assert [Copy(**one) for one in seen] == [replace(COPY, name="of 1")]


# --- What opens it

NASTY = {
    "RESTIC_PASSWORD": 'it\'s a "$marker" `x` \\',
    "AWS_ACCESS_KEY_ID": "END OF ENVIRONMENT",
    "B": "",
    "C": "a=b #",
}


def test_what_opens_the_repository_is_roots_alone_and_read_back_as_it_was() -> None:
    world = World()
    world.files.make_folder(STACK)
    world.files.write(f"{STACK}/restic.env", "of before", mode=0o644)
    Key(world.files, STACK).keep(NASTY)
    found = world.files.stat(f"{STACK}/restic.env")
    assert found
    assert found.mode == 0o600
    assert Key(world.files, STACK).read() == NASTY


def test_a_shell_reads_what_opens_the_repository(tmp_path: Path) -> None:
    Key(Files(), str(tmp_path)).keep(NASTY)
    script = ". ./restic.env; env -0"
    out = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = dict(line.split("=", 1) for line in out.split("\0") if line)
    assert {name: found[name] for name in NASTY} == NASTY


@pytest.mark.parametrize(
    "text", ["export A='marker", "export A=marker B", "marker", "export marker B=x", "export =marker", ""], ids=range(6)
)
def test_a_file_of_another_form_is_refused_and_not_shown(text: str) -> None:
    world = World()
    world.files.make_folder(STACK)
    world.files.write(f"{STACK}/restic.env", text)
    with pytest.raises(
        HostError, match=r"^/opt/open-webui/restic.env: expected a line `export .* run runbooks"
    ) as caught:
        Key(world.files, STACK).read()
    assert "marker" not in str(caught.value)


def test_without_what_opens_it_no_repository_is_asked() -> None:
    world = copied()
    world.files.remove(f"{STACK}/restic.env")
    with pytest.raises(HostError, match=r"expected what opens the restic repository, got no file; run runbooks/backup"):
        copy(world)
    assert world.asked == []


@pytest.mark.crash
def test_what_opens_the_repository_is_the_earlier_or_the_new_one_after_a_crash() -> None:
    for at, world in every_crash(copied(), lambda world: Key(world.files, STACK).keep(NASTY)):
        assert Key(world.files, STACK).read() in (ENVIRONMENT, NASTY), at


# --- Back


def stored() -> World:
    """A host without sets, and a repository with those of two hosts."""
    world = World()
    world.put_snapshot("chat-1", HIGHEST, "2026-11-01T00:00:00Z")  # its clock was set back afterwards
    world.put_snapshot("chat-1", OLD, "2026-11-28T03:00:00Z")
    world.put_snapshot("chat-1", NAME, "2026-11-29T03:00:00Z")
    world.put_snapshot("chat-2", NAME, "2026-11-30T03:00:00Z")
    return world


def whole(world: World, name: str) -> bool:
    return {file: part(world, name, file) for file in contents(name)} == contents(name)


def test_the_set_that_was_copied_last_comes_back() -> None:
    world = stored()
    bring(world)
    assert whole(world, NAME)
    assert world.files.listdir(SETS) == [NAME]
    assert world.told == [
        f"bringing {NAME} of chat-1 from the restic repository",
        f"{NAME} of chat-1 is here, from the restic repository",
    ]
    found = world.files.stat(SETS)
    assert found
    assert found.mode == 0o700


def test_a_set_comes_back_by_its_name_and_a_set_that_is_here_is_taken_from_here() -> None:
    world = stored()
    bring(world, replace(BRING, wanted=OLD))
    assert whole(world, OLD)
    asked = len(world.asked)
    bring(world, replace(BRING, wanted=OLD))
    bring(world)
    assert len(world.asked) == asked
    bring(world, replace(BRING, wanted=NAME))
    assert world.files.listdir(SETS) == [OLD, NAME]


def test_what_a_repository_has_is_told_where_the_set_is_not_there() -> None:
    world = stored()
    with pytest.raises(HostError) as caught:
        bring(world, replace(BRING, wanted=OLD, host="chat-2"))
    assert str(caught.value) == (
        f"restore: expected the set {OLD} of chat-2 in the restic repository, got {OLD} of chat-1, {NAME} of chat-1, "
        f"{NAME} of chat-2, {HIGHEST} of chat-1; choose with restore_set and restore_restic_host"
    )
    world.repository = []
    with pytest.raises(HostError, match=rf"^restore: expected the set newest of {HERE} in the .*, got none; choose"):
        bring(world, replace(BRING, host=""))
    assert world.files.listdir(SETS) is None


# --- From one of several

ANY = replace(BRING, repositories={ADDRESS: ENVIRONMENT, SECOND: ENVIRONMENT})


def test_the_second_repository_gives_the_set_where_the_first_one_is_lost() -> None:
    world = stored()
    world.down = {ADDRESS}
    world.put_snapshot("chat-1", OLD, address=SECOND)
    bring(world, ANY)
    assert whole(world, OLD)
    assert world.told[0].startswith(f"{ADDRESS}: restore: expected to open the restic repository, got Fatal: dial tcp")
    world.down.add(SECOND)
    with pytest.raises(HostError, match="expected to open the restic repository, got Fatal: dial tcp: i/o timeout"):
        bring(world, replace(ANY, wanted=NAME))


@pytest.mark.parametrize("time", ["2026-11-29T05:00:00+01:00", "2026-11-29T03:00:01.123456789Z"])
def test_the_newest_set_of_all_repositories_comes_back(time: str) -> None:
    """The first one was away when the last set was copied."""
    world = stored()
    later = "20261129T025959Z"
    world.put_snapshot("chat-1", later, time, address=SECOND)
    bring(world, ANY)
    assert world.files.listdir(SETS) == [later]


def test_the_newest_set_is_taken_from_the_first_repository_that_has_it() -> None:
    world = stored()
    world.put_snapshot("chat-1", NAME, "2026-11-29T03:00:00Z", address=SECOND)
    bring(world, ANY)
    assert [one.environment["RESTIC_REPOSITORY"] for one in world.asked if one.command[1] == "restore"] == [ADDRESS]


def test_no_repository_is_made_to_bring_a_set() -> None:
    world = World()
    with pytest.raises(HostError, match=r"^restore: expected to open the restic repository, got Fatal: unable to open"):
        bring(world)
    assert world.repository is None


@pytest.mark.parametrize(
    "said",
    [
        *("[", "{}x", '[{"tags": null}]', '["x"]', "7"),
        f'[{{"id": "1", "hostname": "chat-1", "time": "today", "tags": ["{NAME}"]}}]',
    ],
    ids=range(6),
)  # fmt: skip
def test_an_answer_that_is_no_list_of_snapshots_is_no_empty_one(said: str) -> None:
    world = stored()
    world.failing["snapshots"] = Ended(0, said, "")
    with pytest.raises(HostError, match=r"^restore: expected to list snapshots, got another form of its JSON \("):
        bring(world)


def test_a_snapshot_that_somebody_made_by_hand_is_no_set() -> None:
    """With our tag, and without a set's name."""
    world = stored()
    world.put_snapshot("chat-1", "by hand", "2026-11-30T09:00:00Z", tags=["open-webui-stack", "mine"])
    bring(world)
    assert whole(world, NAME)


def test_a_snapshot_without_its_set_is_refused_and_leaves_nothing() -> None:
    world = stored()
    for content in world.content.values():
        content["manifest.json"] = json.dumps({"name": "x"}).encode()
    with pytest.raises(HostError, match=rf"^restore: expected {NAME} in its snapshot, got no such set; choose another"):
        bring(world)
    assert world.files.listdir(SETS) == []


@pytest.mark.crash
def test_a_set_that_is_brought_has_its_name_only_when_it_is_whole() -> None:
    start = stored()
    start.put_set(SETS, OLD)
    asked = replace(BRING, wanted=NAME)
    ends = [*every_crash(start, lambda world: bring(world, asked))]
    ends += [(at, world) for at, world, _ in every_failure(start, lambda world: bring(world, asked))]
    for at, world in ends:
        assert whole(world, OLD), at
        assert not world.files.exists(f"{SETS}/{NAME}") or whole(world, NAME), at
        bring(world, asked)
        assert whole(world, NAME), at
        # What a killed run left is removed by the next one that brings a set.
        bring(world, replace(BRING, wanted=HIGHEST))
        assert world.files.listdir(SETS) == [OLD, NAME, HIGHEST], at
