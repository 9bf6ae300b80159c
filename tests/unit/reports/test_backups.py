"""The list of backup sets names each set and each place; what nobody could tell is not shown as none."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from webui_stack.documents import backup_document
from webui_stack.documents.backup_document import BackupSets, Folder, FoundSet
from webui_stack.documents.document import IncompleteError
from webui_stack.reports import backups
from webui_stack.reports.backups import HERE, HOST, RESTIC, SECOND, Backups

ADDRESSES = {RESTIC: "/srv/restic"}
OLD, NAME = "20261128T030000Z", "20261129T030000Z"
# 2026-11-29, 06:30 UTC.
NOW_S = 1_795_933_800


def one(named: str = NAME, *problems: str, sha256: str = "", **changed: Any) -> FoundSet:
    manifest = {
        "name": named,
        "host": "chat-1",
        "secrets": "encrypted",
        "images": {
            "open-webui": {"reference": "ghcr.io/open-webui/open-webui:v0.12.4-slim", "id": "sha256:1"},
            "redis-valkey": {"reference": "registry.lab.test:5000/valkey/valkey:8.1.1", "id": "sha256:2"},
        },
        "open_webui": {"schema": "head", "users": 12, "chats": 3401, "files": 56, "uploads": 4},
        **changed,
    }
    return {
        "name": named,
        "size": 1_234_567_890,
        "manifest": manifest,
        "sha256": sha256 or f"of {named}",
        "problems": list(problems),
    }


def unread(name: str = NAME) -> FoundSet:
    line = f"{name}/manifest.json: expected what is in the set, got no file; restore another set"
    return {"name": name, "size": None, "manifest": None, "sha256": "", "problems": [line]}


def folder(*sets: FoundSet, errors: list[str] | None = None, newest: str | None = None) -> Folder:
    chosen = max((each["name"] for each in sets), default="") if newest is None else newest
    return {"errors": errors or [], "newest": chosen, "newest_unknown": "", "sets": list(sets)}


def answer(there: Folder, *copied: str, errors: list[str] | None = None, host: str = "chat-1") -> BackupSets:
    found = {
        "host": "chat-1",
        "now_s": NOW_S,
        "folder": there,
        "repositories": {
            "/srv/restic": {"errors": errors or [], "host": host, "names": list(copied), "others": ["chat-2"]}
        },
    }
    return backup_document.parse(json.loads(json.dumps(found)))


def listed_of(said: BackupSets, fetched: Folder | None) -> Backups:
    """The sets of a host that has one restic repository."""
    return backups.of(said, fetched, ADDRESSES)


def shown(host: Backups, width: int = 80) -> str:
    page = io.StringIO()
    Console(file=page, width=width).print(backups.table(host))
    return page.getvalue()


def test_a_set_is_listed_once_with_all_its_places_the_newest_first() -> None:
    found = listed_of(answer(folder(one(OLD), one()), NAME), folder(one()))
    assert [(each.name, each.places) for each in found.sets] == [(NAME, [HOST, RESTIC, HERE]), (OLD, [HOST])]
    newest = found.sets[0]
    assert (newest.made_at, newest.age_s) == ("2026-11-29T03:00:00Z", 3.5 * 3600)
    assert (newest.size_bytes, newest.people, newest.chats, newest.files) == (1_234_567_890, 12, 3401, 56)
    assert (newest.schema, newest.secrets, newest.made_on) == ("head", "encrypted", "chat-1")
    assert (backups.version(newest, "open-webui"), backups.version(newest, "redis")) == ("v0.12.4-slim", "8.1.1")
    assert (found.looked_at, found.errors, newest.faults) == ([HOST, RESTIC, HERE], {}, {})
    assert (backups.summary(found), backups.lines("chat", found)) == ("2 backup sets", [])


def test_the_table_fits_80_columns_and_cuts_nothing() -> None:
    there = folder(one(OLD), one(), unread("20261127T030000Z"))
    text = shown(listed_of(answer(there, NAME), folder(one())))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for words in (
        *(NAME, "2026-11-29 03:00", "3 h", "27 h", "1.2 GB"),
        *("12", "3401", "56", "v0.12.4-slim", "8.1.1", "host, restic", "host: fault"),
    ):
        assert words in text, words


def test_sets_of_two_hosts_that_have_one_name_are_two() -> None:
    """Their timers strike at the same second."""
    found = listed_of(answer(folder(one()), NAME, host="chat-2"), None)
    assert [(each.made_on, each.places) for each in found.sets] == [("chat-2", [RESTIC]), ("chat-1", [HOST])]


def test_each_repository_is_a_place_of_its_own() -> None:
    first, second = answer(folder(one()), NAME), answer(folder(), OLD)
    both: BackupSets = {
        **first,
        "repositories": {**first["repositories"], "s3:x": second["repositories"]["/srv/restic"]},
    }
    addresses = {**ADDRESSES, SECOND: "s3:x"}
    found = backups.of(both, folder(one()), addresses)
    assert [(each.name, each.places) for each in found.sets] == [(NAME, [HOST, RESTIC, HERE]), (OLD, [SECOND])]
    assert found.looked_at == [HOST, RESTIC, SECOND, HERE]
    assert "restic-2" in shown(found)
    assert backups.lines("new", backups.of({**both, "folder": folder()}, None, addresses)) == []
    refused = backups.of(both, None, addresses, {SECOND: ["no password"]})
    assert refused.lines == ["in the second restic repository: no password"]
    assert [each.places for each in refused.sets] == [[HOST, RESTIC]]


def test_a_repository_of_which_the_host_says_nothing_is_not_known() -> None:
    found = backups.of(answer(folder(one())), None, {**ADDRESSES, SECOND: "s3:x"})
    assert backups.summary(found) == "1 backup set found; what is in the second restic repository is not known"


def test_of_a_set_in_the_repository_alone_only_its_name_is_known() -> None:
    found = listed_of(answer(folder(), NAME), None)
    (only,) = found.sets
    assert (only.size_bytes, only.people, only.images, only.faults) == (None, None, {}, {})
    assert "?" in shown(found)
    assert found.looked_at == [HOST, RESTIC]


def test_a_set_that_can_not_be_read_is_listed_and_named() -> None:
    found = listed_of(answer(folder(unread(), one(OLD))), None)
    assert [each.name for each in found.sets] == [NAME, OLD]
    assert backups.lines("chat", found) == [
        f"chat: on the host: {NAME}/manifest.json: expected what is in the set, got no file; restore another set"
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"images": None},
            "expected the section 'images', got another form of it (Input should be a valid dictionary)",
        ),
        (
            {"open_webui": {"schema": "head", "users": 1, "chats": "two", "files": 0}},
            "expected the section 'open_webui', got another form of it (chats: Input should be a valid integer)",
        ),
        ({"name": OLD}, f"expected its own, got that of {OLD}"),
    ],
    ids=["no images", "a count that is none", "another set's"],
)
def test_a_manifest_of_another_form_is_a_fault(changed: dict[str, Any], words: str) -> None:
    found = listed_of(answer(folder(one(**changed))), folder(one()))
    (listed,) = found.sets
    assert listed.faults == {HOST: [f"{NAME}/manifest.json: {words}; restore another set"]}
    assert listed.people == 12, "by the copy on this machine"


def test_another_set_of_the_same_name_on_this_machine_is_a_fault() -> None:
    found = listed_of(answer(folder(one())), folder(one(sha256="another")))
    words = "expected the host's set, got another one of that name; compare both, and move one away"
    assert found.sets[0].faults == {HERE: [f"{NAME}: {words}"]}


def test_a_place_without_an_answer_is_an_error_and_not_none() -> None:
    found = listed_of(answer(folder(), errors=["restic: expected to list snapshots, got no end; fix that"]), None)
    assert backups.summary(found) == "no backup set found; what is in the restic repository is not known"
    assert found.lines == ["in the restic repository: restic: expected to list snapshots, got no end; fix that"]
    none: BackupSets = {**answer(folder(one())), "repositories": {}}
    refused = backups.of(none, None, ADDRESSES, {RESTIC: ["backup_restic_password: expected it"]})
    assert refused.looked_at == [HOST, RESTIC]
    assert backups.summary(refused) == "1 backup set found; what is in the restic repository is not known"
    both = listed_of(answer(folder(errors=["a"])), folder(errors=["b"]))
    assert both.lines == ["on the host: a", "on this machine: b"]


def test_where_all_places_answered_none_is_none() -> None:
    assert backups.summary(backups.of({**answer(folder()), "repositories": {}}, folder())) == "no backup set"
    assert backups.summary(Backups(note="could not be looked at")) == "could not be looked at"


def test_the_set_that_newest_takes_is_told_where_it_is_not_the_first() -> None:
    found = listed_of(answer(folder(one(OLD), one(), newest=OLD)), None)
    assert backups.lines("chat", found) == [f"chat: restore_set = 'newest' takes {OLD}"]
    unknown = {**folder(one(), newest=""), "newest_unknown": "x: expected to read it, got y; do z"}
    found = listed_of(backup_document.parse({**answer(folder()), "folder": unknown}), None)
    assert backups.lines("chat", found) == [
        "chat: restore_set = 'newest' takes none of these: x: expected to read it, got y; do z"
    ]


def test_whose_sets_a_repository_has_is_told_where_it_has_none_of_this_host() -> None:
    assert backups.lines("new", listed_of(answer(folder()), None)) == [
        "new: the restic repository has sets of chat-2; choose with restore_restic_host"
    ]


def test_a_name_that_is_no_time_is_listed() -> None:
    (listed,) = listed_of(answer(folder(one("20269999T999999Z"))), None).sets
    assert (listed.made_at, listed.age_s) == ("", None)
    assert "no time" in shown(Backups([listed]))


@pytest.mark.parametrize(
    ("age_s", "words"),
    [(None, "?"), (-9, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (172_799, "47 h"), (172_800, "2 d")],
)
def test_an_age_is_told_in_its_largest_unit(age_s: int | None, words: str) -> None:
    assert backups.age(age_s) == words


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("x/open-webui@sha256:0123456789abcdef", "0123456789ab"),
        ("registry:5000/open-webui", "?"),
        ("a:1@sha256:9", "1"),
    ],
)
def test_a_version_is_the_tag_or_else_the_digest(reference: str, version: str) -> None:
    (listed,) = listed_of(answer(folder(one(images={"open-webui": {"reference": reference}}))), None).sets
    assert backups.version(listed, "open-webui") == version


def test_what_a_host_says_is_no_markup() -> None:
    images = {"open-webui": {"reference": "x:[red]x"}}
    found = listed_of(answer(folder(one(images=images))), None)
    assert "[red]x" in shown(found)


def test_the_json_has_all_of_it() -> None:
    found = listed_of(answer(folder(one()), NAME, errors=["x"]), None)
    read = json.loads(backups.as_json({"chat": found}))["chat"]
    assert read["errors"] == {RESTIC: ["x"]}
    assert read["sets"][0]["images"]["redis-valkey"] == "registry.lab.test:5000/valkey/valkey:8.1.1"
    assert (read["sets"][0]["places"], read["newest"]) == ([HOST, RESTIC], NAME)


def test_an_answer_that_is_not_whole_is_refused() -> None:
    with pytest.raises(
        IncompleteError, match=r"^backup_sets: expected the section 'folder', got nothing; run it again"
    ):
        backup_document.parse({"host": "chat-1", "now_s": 1, "repositories": {}})
