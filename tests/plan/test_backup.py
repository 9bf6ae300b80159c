"""Backups are made where there is a stack; a set replaces data only where the operator names the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plan.conftest import LAB_SETTINGS, Pyinfra, answering, converged, fresh, machine

RECIPIENT = "age1" + "q" * 58
CHANGING = ("umask", "mv ", "mkdir", "DEBIAN_FRONTEND", "apt-get", "systemctl", "called the verb", "sh -s")


def test_a_host_without_a_stack_has_nothing_to_back_up(pyinfra: Pyinfra) -> None:
    result = pyinfra({"bare": fresh(**LAB_SETTINGS)}, "-y", "-vvv", deploy="runbooks/backup.py")
    assert result.status == 1
    assert "backup: expected a stack, got no open-webui and no redis-valkey; run deploy.py first" in result.said("bare")
    assert not [command for command in result.executed("bare") if any(word in command for word in CHANGING)]


def test_a_dry_run_says_that_a_set_would_be_made(pyinfra: Pyinfra) -> None:
    hosts = {"plain": converged(), "encrypting": converged(backup_age_recipient=RECIPIENT)}
    result = pyinfra(hosts, "--json", deploy="runbooks/backup.py")
    assert result.changes("plain") == ["Backup | Make a backup set"]
    assert result.changes("encrypting") == ["Backup | Install age", *result.changes("plain")]


def test_a_schedule_brings_a_timer(pyinfra: Pyinfra) -> None:
    result = pyinfra({"one": converged(backup_schedule="daily")}, "--json", deploy="runbooks/backup.py")
    assert result.changes("one") == [
        "Backup | Put the backup's files",
        "Backup | Run the backup's timer",
        "Backup | Make a backup set",
    ]


@pytest.mark.parametrize("deploy", ["runbooks/backup.py", "deploy.py"])
def test_nothing_of_the_backup_of_earlier_versions_stays(pyinfra: Pyinfra, deploy: str) -> None:
    host = converged()
    scripts = {f"/opt/open-webui/{name}": "of before" for name in ("backup.sh", "dataset.py")}
    # What pyinfra's own operation asks.
    stat = "user=root group=root mode=-rw-r--r-- atime=0 mtime=0 ctime=0 size=9 '/opt/open-webui/backup.sh'"
    asked = {**host, "fake_responses": {**host["fake_responses"], "stat -c": stat}}
    there = answering(asked, files={**host["survey"]["files"], **scripts})
    result = pyinfra({"before": there, "as-wanted": host}, "--json", deploy=deploy)
    names = ("backup.sh", "dataset.py", "backup.log", "restic.log")
    removed = [f"Backup | Remove /opt/open-webui/{name}" for name in names]
    assert [change for change in result.changes("before") if "Remove" in change] == removed
    assert not [change for change in result.changes("as-wanted") if "Remove" in change]


def test_age_is_installed_by_hand_where_no_package_is_known(pyinfra: Pyinfra) -> None:
    host = answering(converged(backup_age_recipient=RECIPIENT), machine=machine("rhel-9"))
    result = pyinfra({"rhel": host}, "-y", "-vvv", deploy="runbooks/backup.py")
    assert result.status == 1
    assert [line for line in result.said("rhel") if line.startswith("age: expected it on the host")]
    assert not [command for command in result.executed("rhel") if any(word in command for word in CHANGING)]


RESTIC: dict[str, Any] = {
    "backup_restic_repository": "/srv/restic",
    "backup_restic_password": "env:PASSWORD",
    "backup_restic_env": {"AWS_ACCESS_KEY_ID": "env:ID"},
}
MARKERS = {"PASSWORD": "marker of the password", "ID": "marker of the id"}


def test_a_dry_run_says_where_a_set_would_go(pyinfra: Pyinfra) -> None:
    hosts = {"here": converged(backup_fetch="backups"), "restic": converged(**RESTIC)}
    result = pyinfra(hosts, "--json", deploy="runbooks/backup.py", **MARKERS)
    made = "Backup | Make a backup set"
    assert result.changes("here") == [made, "Off the host | Fetch the set to this machine"]
    assert result.changes("restic") == [
        "Backup | Install restic",
        "Backup | Put what opens the restic repository",
        made,
        "Off the host | Copy the set to the restic repository",
    ]


def test_the_host_is_told_to_keep_what_opens_the_repository_before_it_copies(pyinfra: Pyinfra) -> None:
    result = pyinfra({"one": converged(**RESTIC)}, "-y", "-vvv", deploy="runbooks/backup.py", **MARKERS)
    verbs = [line.rpartition(" ")[2] for line in result.executed("one") if line.startswith("called the verb ")]
    assert verbs == ["offsite_key", "backup", "offsite_copy"]


SECOND: dict[str, Any] = {
    "backup_restic_second_repository": "/mnt/nas",
    "backup_restic_second_password": "env:PASSWORD",
}


def test_each_repository_is_opened_by_itself_and_each_job_has_a_timer(pyinfra: Pyinfra) -> None:
    schedules = {"backup_schedule": "daily", "backup_check_schedule": "weekly", "drill_schedule": "monthly"}
    hosts = {"all": converged(**RESTIC, **SECOND, **schedules), "drill": converged(drill_schedule="monthly")}
    result = pyinfra(hosts, "--json", deploy="runbooks/backup.py", **MARKERS)
    assert result.changes("all") == [
        "Backup | Put the backup's files",
        "Backup | Install restic",
        "Backup | Put what opens the restic repository",
        "Backup | Put what opens the second restic repository",
        "Backup | Run the backup's timer",
        "Backup | Run the timer of the repositories' check",
        "Backup | Run the drill's timer",
        "Backup | Make a backup set",
        "Off the host | Copy the set to the restic repository",
    ]
    assert result.changes("drill") == [
        "Backup | Put the backup's files",
        "Backup | Run the drill's timer",
        "Backup | Make a backup set",
    ]


def test_a_password_that_can_not_be_read_stops_the_run(pyinfra: Pyinfra) -> None:
    result = pyinfra({"one": converged(**RESTIC)}, "-y", "-vvv", deploy="runbooks/backup.py", ID="marker")
    assert result.status == 2
    assert "backup_restic_password: expected to read env:PASSWORD, got no environment variable" in result.output
    assert "Starting operation" not in result.output


def test_what_opens_the_repository_is_not_shown(pyinfra: Pyinfra) -> None:
    host = converged(**RESTIC, restore_over=["@fake/a"], verify_timeout_s=1)
    for deploy in ("runbooks/backup.py", "runbooks/restore.py"):
        for arguments in (("-y", "-vvv", "--debug"), ("--dry", "--diff"), ("-y", "--debug-operations")):
            result = pyinfra({"a": host}, *arguments, deploy=deploy, **MARKERS)
            assert "restic repository" in result.output
            assert "marker" not in result.output


def test_a_set_comes_from_where_the_settings_say(pyinfra: Pyinfra, tmp_path: Path) -> None:
    folder = tmp_path / "20261126T033000Z"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"name": "20261126T033000Z", "parts": {}}')
    hosts = {
        "sent": fresh(**LAB_SETTINGS, restore_from=str(tmp_path), **RESTIC),
        "restic": fresh(**LAB_SETTINGS, **RESTIC),
        "there": fresh(**LAB_SETTINGS),
    }
    result = pyinfra(hosts, "--json", deploy="runbooks/restore.py", **MARKERS)
    ways = {
        name: [line for line in result.changes(name) if "the set from" in line or "restic" in line] for name in hosts
    }
    assert ways == {
        "sent": ["Restore | Bring the set from this machine"],
        "restic": ["Restore | Install restic", "Restore | Bring the set from the restic repository"],
        "there": [],
    }


def test_a_set_that_is_not_on_this_machine_stops_the_run(pyinfra: Pyinfra, tmp_path: Path) -> None:
    result = pyinfra({"one": fresh(**LAB_SETTINGS, restore_from=str(tmp_path))}, "-y", deploy="runbooks/restore.py")
    assert result.status == 2
    assert f"restore_from: {tmp_path}: expected the set newest in it, got none; look at the path" in result.output
    assert "Starting operation" not in result.output


def encrypted_set(folder: Path) -> None:
    """A set of one part, as it is fetched where there is a recipient."""
    one = {"size": 3, "sha256": "0" * 64}
    folder.mkdir()
    (folder / "images.age").write_text("age")
    (folder / "manifest.json").write_text(json.dumps({"name": folder.name, "parts": {"images": one}}))
    (folder / "encrypted.json").write_text(json.dumps({"recipient": RECIPIENT, "files": {"images.age": one}}))


def test_an_encrypted_set_wants_its_identity_before_a_host_is_touched(pyinfra: Pyinfra, tmp_path: Path) -> None:
    encrypted_set(tmp_path / "20261126T033000Z")
    some: dict[str, Any] = {**LAB_SETTINGS, "restore_from": str(tmp_path)}
    result = pyinfra({"one": fresh(**some)}, "-y", deploy="runbooks/restore.py")
    assert result.status == 2
    assert f"restore_age_identity: expected the identity of {RECIPIENT}, to which " in result.output
    assert "Starting operation" not in result.output
    empty = pyinfra({"one": fresh(**some, restore_age_identity="env:EMPTY")}, deploy="runbooks/restore.py", EMPTY="\n")
    assert empty.status == 2
    assert "restore_age_identity: expected an identity of age, got an empty text" in empty.output


def test_an_encrypted_set_is_decrypted_by_the_hosts_age(pyinfra: Pyinfra, tmp_path: Path) -> None:
    encrypted_set(tmp_path / "20261126T033000Z")
    host = fresh(**LAB_SETTINGS, restore_from=str(tmp_path), restore_age_identity="env:IDENTITY")
    result = pyinfra({"one": host}, "--json", deploy="runbooks/restore.py", IDENTITY="AGE-SECRET-KEY-1X")
    changes = [line for line in result.changes("one") if line.startswith("Restore |")]
    assert changes[:2] == ["Restore | Install age", "Restore | Bring the set from this machine"]


def test_a_live_stack_is_replaced_only_on_the_hosts_that_are_named(pyinfra: Pyinfra) -> None:
    # Nobody answers the proof at the end.
    allowed: dict[str, Any] = {"restore_over": ["@fake/named"], "verify_timeout_s": 1}
    hosts = {"named": converged(**allowed), "other": converged(**allowed), "bare": fresh(**LAB_SETTINGS, **allowed)}
    result = pyinfra(hosts, "-y", "-vvv", deploy="runbooks/restore.py")
    assert [
        line
        for line in result.said("other")
        if line.startswith("restore: expected a host without a stack, got redis-valkey and open-webui")
    ]
    assert not [command for command in result.executed("other") if any(word in command for word in CHANGING)]
    for name in ("named", "bare"):
        assert not [line for line in result.said(name) if "expected a host without a stack" in line]
    assert "Success" in result.said("named")  # its scripts travel on stdin and are not shown
    assert "Success" not in result.said("other")


def test_a_restore_that_was_cut_off_is_ended_before_anything_is_deployed(pyinfra: Pyinfra) -> None:
    host = answering(converged(), history={"cut_off": "restore"})
    result = pyinfra({"half": host}, "-y", "-vvv")
    assert result.status == 1
    assert [line for line in result.said("half") if line.startswith("restore: expected none that was cut off, got one")]
    assert not [command for command in result.executed("half") if any(word in command for word in CHANGING)]


@pytest.mark.parametrize("encrypted", [False, True])
def test_no_identity_is_shown(pyinfra: Pyinfra, tmp_path: Path, encrypted: bool) -> None:
    some: dict[str, Any] = {"restore_over": ["@fake/a"], "restore_age_identity": "env:IDENTITY", "verify_timeout_s": 1}
    if encrypted:
        encrypted_set(tmp_path / "20261126T033000Z")
        some["restore_from"] = str(tmp_path)
    host = converged(**some)
    environment = {"IDENTITY": "AGE-SECRET-KEY-1MARKER"}
    for arguments in (("-y", "-vvv"), ("--dry", "--diff"), ("-y", "--debug-operations"), ("-y", "--debug")):
        result = pyinfra({"a": host}, *arguments, deploy="runbooks/restore.py", **environment)
        assert ("Bring the set from this machine" in result.output) == encrypted
        assert "MARKER" not in result.output


def test_every_container_of_the_settings_belongs_to_a_stack(pyinfra: Pyinfra) -> None:
    """The lab host has one process on SQLite."""
    several = converged(open_webui_replicas=2, public_url="https://chat.example.org")
    result = pyinfra({"a": several}, "-y", "-vvv", deploy="runbooks/backup.py")
    assert result.status == 1
    missing = "no open-webui-2 and no open-webui-postgres and no open-webui-proxy"
    assert f"backup: expected a stack, got {missing}; run deploy.py first" in result.said("a")
    assert not [command for command in result.executed("a") if any(word in command for word in CHANGING)]
