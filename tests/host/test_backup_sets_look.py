"""A look at backup sets leaves none out in silence: what could not be read is named, and no answer is not "none"."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.host.fake_files import on_nothing
from tests.host.fake_restic import ADDRESS, ENVIRONMENT, PASSWORD, SECOND, World, contents
from tests.host.points import every_failure
from webui_stack.host.restic import LOOK_S
from webui_stack.host.system import Ended
from webui_stack.host.verbs import VERBS, backup_sets
from webui_stack.host.verbs.backup_sets import Request

SETS = "/var/backups/open-webui"
OLD, NAME, HIGHEST = "20261128T030000Z", "20261129T030000Z", "20270101T000000Z"
HERE = os.uname().nodename
ASKED = Request(SETS, {ADDRESS: ENVIRONMENT}, "")


def kept() -> World:
    """A host with two sets, and a repository that has one of them, and sets of another host."""
    world = World()
    world.put_set(SETS, OLD)
    world.put_set(SETS, NAME)
    world.put_snapshot(HERE, NAME)
    world.put_snapshot(HERE, NAME, "2026-11-30T03:30:00Z")  # copied once more
    world.put_snapshot("other", OLD)
    return world


def look(world: World, asked: Request = ASKED) -> dict[str, Any]:
    found = backup_sets.found(asked, world, world.files, world.clock, world.said.append)
    document: dict[str, Any] = json.loads(json.dumps(found))
    return document


def problems(found: dict[str, Any]) -> list[str]:
    return [line for one in found["folder"]["sets"] for line in one["problems"]]


def test_each_place_says_which_sets_it_has() -> None:
    world = kept()
    found = look(world)
    assert (found["host"], found["now_s"]) == (HERE, int(world.clock.now()))
    assert (found["folder"]["errors"], found["folder"]["newest"]) == ([], NAME)
    assert [one["name"] for one in found["folder"]["sets"]] == [OLD, NAME]
    one = found["folder"]["sets"][1]
    assert (one["manifest"], one["problems"]) == ({"name": NAME, "host": HERE}, [])
    assert one["size"] == sum(map(len, contents(NAME).values()))
    assert found["repositories"][ADDRESS] == {"errors": [], "host": HERE, "names": [NAME], "others": ["other"]}
    assert world.told == ["asking the restic repository"]


def test_another_hosts_sets_in_the_repository_are_looked_for_by_its_name() -> None:
    found = look(kept(), replace(ASKED, host="other"))
    assert found["repositories"][ADDRESS] == {"errors": [], "host": "other", "names": [OLD], "others": [HERE]}


def test_without_a_repository_and_without_a_folder_there_is_nothing() -> None:
    world = World()
    found = look(world, replace(ASKED, repositories={}))
    assert (found["folder"], found["repositories"]) == (
        {"errors": [], "newest": "", "newest_unknown": "", "sets": []},
        {},
    )
    assert world.asked == []


def damaged(change: Callable[[World], object]) -> list[str]:
    """What is wrong with the set of which something was changed; the other one is as it was."""
    world = kept()
    change(world)
    found = look(world)
    assert [one["name"] for one in found["folder"]["sets"]] == [OLD, NAME], "left out"
    assert found["folder"]["sets"][0]["problems"] == []
    assert found["folder"]["errors"] == []
    return problems(found)


PATH = f"{SETS}/{NAME}"
DAMAGES: dict[str, tuple[Callable[[World], object], str]] = {
    "no manifest": (
        lambda world: world.files.remove(f"{PATH}/manifest.json"),
        "manifest.json: expected what is in the set, got no file",
    ),
    "no JSON": (
        lambda world: world.files.write(f"{PATH}/manifest.json", "{"),
        "manifest.json: expected to describe a backup set, got another text (JSONDecodeError)",
    ),
    "no text": (
        lambda world: world.files.write(f"{PATH}/manifest.json", b"\xff\xfe\xff"),
        "manifest.json: expected to describe a backup set, got another text (UnicodeDecodeError)",
    ),
    "no object": (
        lambda world: world.files.write(f"{PATH}/manifest.json", "[]"),
        "manifest.json: expected to describe a backup set, got another text (TypeError)",
    ),
    "no parts": (
        lambda world: world.files.write(f"{PATH}/manifest.json", "{}"),
        "manifest.json: expected to describe a backup set, got another text (KeyError)",
    ),
    "parts of another form": (
        lambda world: world.files.write(f"{PATH}/manifest.json", '{"parts": {"images": 7}}'),
        "manifest.json: expected to describe a backup set, got another text (TypeError)",
    ),
    "a size without end": (
        lambda world: world.files.write(f"{PATH}/manifest.json", '{"parts": {"images": {"size": 1e999}}}'),
        "manifest.json: expected to describe a backup set, got another text (OverflowError)",
    ),
    "too deep": (
        lambda world: world.files.write(f"{PATH}/manifest.json", "[" * 100_000),
        "manifest.json: expected to describe a backup set, got another text (RecursionError)",
    ),
    "no part": (lambda world: world.files.remove(f"{PATH}/images"), "images: expected 9 bytes, got no file"),
    "a short part": (lambda world: world.files.write(f"{PATH}/images", "x"), "images: expected 9 bytes, got 1"),
    "one more file": (
        lambda world: world.files.write(f"{PATH}/extra", "x"),
        "extra: expected only what manifest.json lists, got another file",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_set_that_is_not_whole_is_listed_with_the_reason(damage: str) -> None:
    change, words = DAMAGES[damage]
    assert damaged(change) == [f"{NAME}/{words}; restore another set"]


@pytest.mark.parametrize("kind", [stat.S_IFREG, stat.S_IFLNK], ids=["a file", "a link"])
def test_what_has_a_sets_name_and_is_no_folder_is_listed(kind: int) -> None:
    def change(world: World) -> None:
        world.files.remove_tree(PATH)
        world.kernel.add(PATH, kind | 0o777, f"{SETS}/{OLD}")

    (line,) = damaged(change)
    assert PATH in line


def test_what_keeps_a_restore_from_choosing_the_newest_set_is_told() -> None:
    world = kept()
    world.files.remove_tree(PATH)
    world.kernel.add(PATH, stat.S_IFREG | 0o600)
    found = look(world)["folder"]
    assert (found["newest"], found["errors"]) == ("", [])
    assert found["newest_unknown"].startswith(f"{PATH}/manifest.json: expected to ")


def test_a_link_in_the_place_of_the_folder_is_an_error_and_not_none() -> None:
    world = World()
    world.files.make_folder("/var/backups")
    world.kernel.add(SETS, stat.S_IFLNK | 0o777, "/srv/backups")
    found = look(world)["folder"]
    assert found["sets"] == []
    assert found["errors"][0].startswith(f"{SETS}: expected a folder, got a link; ")


def test_a_set_that_a_backup_removes_meanwhile_is_not_in_the_list() -> None:
    def removes(point: str) -> None:
        if point == "before pread":
            world.kernel.on_point = on_nothing
            world.files.rename(f"{SETS}/{OLD}", f"{SETS}/.{OLD}.new")

    world = kept()
    world.kernel.on_point = removes
    found = look(world)
    assert [one["name"] for one in found["folder"]["sets"]] == [NAME]
    assert (found["folder"]["errors"], problems(found)) == ([], [])


def test_the_newest_set_is_the_one_that_a_restore_takes() -> None:
    """L7: it is not the highest name where the clock was set back."""
    world = kept()
    world.put_set(SETS, HIGHEST, 1_700_000_000.0)
    assert look(world)["folder"]["newest"] == NAME


# --- The repository


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Ended(1, "", "Fatal: dial tcp: i/o timeout\n"), "Fatal: dial tcp: i/o timeout"),
        (Ended(1, "", f"Fatal: no key for {PASSWORD}\n"), "Fatal: no key for (hidden)"),
        (Ended(0, "{", ""), "another form of its JSON (JSONDecodeError)"),
    ],
    ids=["no answer", "wrong password", "no list"],
)
def test_a_repository_that_does_not_answer_is_an_error_and_not_none(said: Ended, words: str) -> None:
    world = kept()
    world.failing["snapshots"] = said
    found = look(world)
    assert found["repositories"][ADDRESS]["errors"] == [
        f"restic: expected to list snapshots, got {words}; fix that, and run it again"
    ]
    assert found["repositories"][ADDRESS]["names"] == []
    assert [one["name"] for one in found["folder"]["sets"]] == [OLD, NAME], "the other place is listed"
    assert PASSWORD not in json.dumps(found)


def test_each_repository_answers_for_itself() -> None:
    world = kept()
    world.put_snapshot(HERE, OLD, address=SECOND)
    both = replace(ASKED, repositories={ADDRESS: ENVIRONMENT, SECOND: {**ENVIRONMENT, "AWS_DEFAULT_REGION": "us-1"}})
    found = look(world, both)["repositories"]
    assert list(found) == [ADDRESS, SECOND]
    assert found[SECOND] == {"errors": [], "host": HERE, "names": [OLD], "others": []}
    opened = [(one.environment["RESTIC_REPOSITORY"], one.environment["AWS_DEFAULT_REGION"]) for one in world.asked]
    assert opened == [(ADDRESS, "eu-1"), (SECOND, "us-1")]
    assert world.told == [f"asking the restic repository, number {number} of 2" for number in (1, 2)]

    world.down.add(ADDRESS)
    found = look(world, both)["repositories"]
    assert (found[ADDRESS]["names"], found[SECOND]["names"]) == ([], [OLD])
    assert "i/o timeout" in found[ADDRESS]["errors"][0]


def test_a_repository_that_is_missing_is_an_error_and_is_not_made() -> None:
    world = kept()
    world.repository = None
    (line,) = look(world)["repositories"][ADDRESS]["errors"]
    assert "Is there a repository at the following location?" in line
    assert world.repository is None


def test_a_look_at_a_repository_changes_nothing_there_and_waits_two_minutes_at_most() -> None:
    world = kept()
    look(world)
    (one,) = world.asked
    assert one.command[:3] == ("restic", "snapshots", "--no-lock")
    assert (one.limit_s, LOOK_S) == (LOOK_S, 120)
    assert PASSWORD not in " ".join(one.command)


# --- Whatever fails


@pytest.mark.crash
def test_each_failing_call_is_an_error_of_its_place_or_a_problem_of_its_set() -> None:
    whole = look(kept())
    answers: dict[int, dict[str, Any]] = {}

    def change(world: World) -> None:
        answers[0] = look(world)

    count = 0
    for at, _, error in every_failure(kept(), change):
        count += 1
        assert error is None, at
        found = answers.pop(0)
        folder, repository = found["folder"], found["repositories"][ADDRESS]
        told = [*folder["errors"], folder["newest_unknown"], *problems(found), *repository["errors"]]
        assert any(told), f"{at}: in silence"
        if not folder["errors"]:
            assert [one["name"] for one in folder["sets"]] == [OLD, NAME], at
        assert bool(repository["errors"]) != (repository == whole["repositories"][ADDRESS]), at
    assert count > 20


def test_the_verb_reads_what_the_operators_side_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    world = kept()
    monkeypatch.setattr(backup_sets, "require_root", lambda: None)
    for name, part in (("System", world), ("Files", world.files), ("Clock", world.clock)):
        monkeypatch.setattr(backup_sets, name, lambda part=part: part)
    asked = {"backup_dir": SETS, "repositories": {ADDRESS: ENVIRONMENT}, "host": ""}
    assert VERBS["backup_sets"](asked, world.said.append) == look(kept())
    assert PASSWORD not in repr(ASKED)
