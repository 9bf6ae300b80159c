"""The list of backup sets as the operator sees it: each host, each place, each damaged set; without a change."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.defaults import ROOT
from tests.plan.conftest import LAB_SETTINGS, Pyinfra, Run

NAME, OLD = "20261129T030000Z", "20261128T030000Z"
PASSWORD = "marker of the password"
RESTIC: dict[str, Any] = {"backup_restic_repository": "/srv/restic", "backup_restic_password": "env:PASSWORD"}
SILENT = "restic: expected to list snapshots, got Fatal: dial tcp: i/o timeout; fix that, and run it again"
MANIFEST = {
    "name": NAME,
    "host": "chat-1",
    "images": {"open-webui": {"reference": "ghcr.io/open-webui/open-webui:v0.12.4"}},
    "open_webui": {"schema": "head", "users": 12, "chats": 340, "files": 56},
}
SETS: list[dict[str, Any]] = [
    {"name": OLD, "size": None, "manifest": None, "sha256": "", "problems": [f"{OLD}: expected a, got b; do c"]},
    {"name": NAME, "size": 1_200_000, "manifest": MANIFEST, "sha256": "1", "problems": []},
]


def host(sets: list[dict[str, Any]], *repositories: dict[str, Any], **data: Any) -> dict[str, Any]:
    """A host whose program answers so of its sets, and of `/srv/restic` and `/srv/second`."""
    newest = NAME if sets else ""
    folder = {"errors": [], "newest": newest, "newest_unknown": "", "sets": sets}
    answer: dict[str, Any] = {"host": "chat-1", "now_s": 1_795_933_800, "folder": folder}
    answer["repositories"] = dict(zip(("/srv/restic", "/srv/second"), repositories, strict=False))
    return {"fake_results": {"backup_sets": answer}, "fake_responses": {}, **LAB_SETTINGS, **data}


def copied(*names: str, errors: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"errors": list(errors), "host": "chat-1", "names": list(names), "others": []}


def listed(run: Run) -> dict[str, Any]:
    """What was written for programs."""
    (path,) = re.findall(r"(?m)^\s*backup sets: (\S+)$", run.output)
    found: dict[str, Any] = json.loads((ROOT / path).read_text())
    return {name.removeprefix("@fake/"): one for name, one in found.items()}


def test_all_hosts_are_listed_with_their_sets_and_nothing_is_changed(pyinfra: Pyinfra) -> None:
    hosts = {"one": host(SETS), "none": host([])}
    run = pyinfra(hosts, "-y", "-vvv", deploy="runbooks/backups.py")
    assert run.status == 0, run.output
    for words in ("@fake/one: 2 backup sets", "@fake/none: no backup set", NAME, "1.2 MB", "340", "v0.12.4"):
        assert words in run.output, words
    assert f"@fake/one: on the host: {OLD}: expected a, got b; do c" in run.output
    found = listed(run)
    assert list(found) == ["one", "none"]
    assert [one["name"] for one in found["one"]["sets"]] == [NAME, OLD]
    assert (found["one"]["looked_at"], found["none"]["sets"]) == (["host"], [])
    for name in hosts:
        assert [line for line in run.executed(name) if "called" in line] == ["called the verb backup_sets"]


def test_a_repository_that_does_not_answer_fails_the_run_and_the_sets_are_listed(pyinfra: Pyinfra) -> None:
    hosts = {"silent": host(SETS, copied(errors=(SILENT,)), **RESTIC), "fine": host(SETS, copied(NAME), **RESTIC)}
    run = pyinfra(hosts, "-y", "-vvv", "--debug", deploy="runbooks/backups.py", PASSWORD=PASSWORD)
    assert run.status == 1
    assert f"in the restic repository: {SILENT}" in run.said("silent")
    assert "2 backup sets found; what is in the restic repository is not known" in run.output
    found = listed(run)
    assert found["silent"]["errors"] == {"restic": [SILENT]}
    assert found["fine"]["sets"][0]["places"] == ["host", "restic"]
    assert PASSWORD not in run.output


def test_a_password_that_can_not_be_read_is_an_error_of_the_repository_alone(pyinfra: Pyinfra) -> None:
    run = pyinfra({"one": host(SETS, **RESTIC)}, "-y", deploy="runbooks/backups.py")
    assert run.status == 1
    (line,) = listed(run)["one"]["errors"]["restic"]
    assert line.startswith("backup_restic_password: expected to read env:PASSWORD, got no environment variable")
    assert "2 backup sets found" in run.output


SECOND: dict[str, Any] = {
    "backup_restic_second_repository": "/srv/second",
    "backup_restic_second_password": "env:SECOND",
}


def test_both_repositories_are_asked_and_each_has_its_own_error(pyinfra: Pyinfra) -> None:
    hosts = {
        "both": host(SETS, copied(NAME), copied(OLD), **RESTIC, **SECOND),
        "silent": host(SETS, copied(NAME), copied(errors=(SILENT,)), **RESTIC, **SECOND),
    }
    run = pyinfra(hosts, "-y", "-vvv", "--debug", deploy="runbooks/backups.py", PASSWORD=PASSWORD, SECOND=PASSWORD)
    assert run.status == 1
    found = listed(run)
    assert [one["places"] for one in found["both"]["sets"]] == [["host", "restic"], ["host", "restic-2"]]
    assert found["silent"]["errors"] == {"restic-2": [SILENT]}
    assert f"in the second restic repository: {SILENT}" in run.said("silent")
    assert PASSWORD not in run.output


def test_a_password_that_can_not_be_read_keeps_no_other_repository_from_the_list(pyinfra: Pyinfra) -> None:
    run = pyinfra(
        {"one": host(SETS, copied(NAME), **RESTIC, **SECOND)}, "-y", deploy="runbooks/backups.py", PASSWORD=PASSWORD
    )
    assert run.status == 1
    found = listed(run)["one"]
    (line,) = found["errors"]["restic-2"]
    assert line.startswith("backup_restic_second_password: expected to read env:SECOND")
    assert found["sets"][0]["places"] == ["host", "restic"]


def test_what_was_fetched_to_this_machine_is_listed(pyinfra: Pyinfra, tmp_path: Path) -> None:
    for name in (OLD, NAME):
        (tmp_path / "@fake_one" / name).mkdir(parents=True)
    part = {"images": {"size": 1, "sha256": "0" * 64}}
    (tmp_path / "@fake_one" / NAME / "images").write_text("x")
    (tmp_path / "@fake_one" / NAME / "manifest.json").write_text(json.dumps({**MANIFEST, "parts": part}))
    run = pyinfra({"one": host([], backup_fetch=str(tmp_path))}, "-y", deploy="runbooks/backups.py")
    assert run.status == 0, run.output
    newest, other = listed(run)["one"]["sets"]
    assert (newest["name"], newest["places"], newest["people"], newest["faults"]) == (NAME, ["here"], 12, {})
    assert (other["name"], list(other["faults"])) == (OLD, ["here"])


def test_a_host_that_gives_no_answer_is_in_the_list_and_fails(pyinfra: Pyinfra) -> None:
    mute = {**host([]), "fake_results": {"backup_sets": {}}}
    run = pyinfra({"mute": mute, "one": host(SETS)}, "-y", deploy="runbooks/backups.py")
    assert run.status == 1
    assert "backup_sets: expected the section 'host', got nothing; run it again" in run.said("mute")
    assert "@fake/mute: could not be looked at; its reason is above" in run.output
    assert len(listed(run)["one"]["sets"]) == 2
