"""The units of systemd: the watchdog's service, the backup's timer and service."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.unit.render.projects import RESTIC, SECOND
from webui_stack.host import protocol
from webui_stack.host.verbs import drill, offsite
from webui_stack.model.machine import Machine
from webui_stack.render import backup_requests, host_program, units

SERVICE = "/etc/systemd/system/open-webui-backup.service"


@pytest.mark.parametrize("value", [0, 30, 600])
def test_the_watchdog_pauses_as_long_as_the_settings_say(value: int) -> None:
    ((path, unit),) = units.watchdog(settings(watchdog_pause_s=value), Machine(python="/usr/bin/python3.11")).items()
    assert path == "/etc/systemd/system/open-webui-watchdog.service"
    assert f"ExecStart=/usr/bin/python3.11 -I -S {host_program.place()} watch plain\n" in unit
    assert asked_of_watchdog(unit)["pause_s"] == value


def asked_of_watchdog(unit: str) -> Mapping[str, Any]:
    """What systemd gives the service on stdin (systemd.exec(5), StandardInputText=)."""
    (text,) = re.findall(r"(?m)^StandardInputText=(.*)$", unit)
    assert not {"%", "\\"} & set(text), "systemd would take them for the begin of something"
    return protocol.Request.read("watch", text).arguments


def test_the_watchdog_is_the_same_for_each_release() -> None:
    """A rollback to an earlier one leaves the unit as it is; what runs says whether it has to be restarted."""
    image = "ghcr.io/open-webui/open-webui:v0.11.4"
    assert units.watchdog(settings(open_webui_image=image), Machine()) == units.watchdog(settings(), Machine())


def test_systemd_keeps_what_the_watchdog_says_and_not_each_of_its_starts() -> None:
    assert "\nSyslogLevel=notice\nLogLevelMax=notice\n" in "".join(units.watchdog(settings(), Machine()).values())


def test_the_timers_unit_runs_the_program_and_then_the_copy() -> None:
    some = settings(backup_schedule="daily", backup_restic_repository="/srv/r", backup_restic_password="env:X")
    unit = units.backup(some, Machine(python="/usr/bin/python3.11"))[SERVICE]
    assert unit.count("ExecStart=") == 1
    assert f"ExecStart=/usr/bin/python3.11 -I -S {host_program.place()} offsite_backup plain\n" in unit
    (line,) = re.findall(r"(?m)^StandardInputText=(.*)$", unit)
    assert not {"%", "\\"} & set(line)
    request = protocol.Request.read("offsite_backup", line)
    assert request.token == protocol.PLAIN
    assert request.arguments == {
        "backup": backup_requests.backup_request(some),
        "copy": backup_requests.offsite_copy_request(some),
    }


def test_what_systemd_would_take_for_more_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_requests, "backup_request", lambda _: {"stack_dir": 'a%b\\c"d'})
    unit = units.backup(settings(backup_schedule="daily"), Machine())[SERVICE]
    (line,) = re.findall(r"(?m)^StandardInputText=(.*)$", unit)
    plain = line.replace("%%", "%").replace("\\\\", "\\")
    assert protocol.Request.read("backup", plain).arguments == {"stack_dir": 'a%b\\c"d'}


def test_without_a_schedule_and_a_repository_nothing_is_put_on_the_host() -> None:
    assert units.backup(settings(), Machine()) == {}


def test_the_timer_copies_a_set_only_where_there_is_a_repository() -> None:
    service = "/etc/systemd/system/open-webui-backup.service"
    without = units.backup(settings(backup_schedule="daily"), Machine())[service]
    assert "restic" not in without
    assert " backup plain\n" in without
    some = settings(backup_schedule="daily", backup_keep=3, **RESTIC)
    text = units.backup(some, Machine())[service]
    assert " offsite_backup plain\n" in text
    (line,) = (line.partition("=")[2] for line in text.splitlines() if line.startswith("StandardInputText="))
    asked = protocol.Request.read("offsite_backup", line.replace("%%", "%").replace("\\\\", "\\")).arguments
    assert asked["backup"] == backup_requests.backup_request(some)
    assert offsite.Copy(**asked["copy"]) == offsite.Copy(
        some.stack_dir,
        some.backup_dir,
        [{"address": "s3:https://s3.example.org/it is $HOME", "key": "restic.env", "append_only": False}],
        3,
    )


def asked_of(text: str, verb: str) -> Mapping[str, Any]:
    (line,) = re.findall(r"(?m)^StandardInputText=(.*)$", text)
    assert f" {verb} plain\n" in text
    return protocol.Request.read(verb, line.replace("%%", "%").replace("\\\\", "\\")).arguments


@pytest.mark.parametrize(
    ("setting", "name"), [("drill_schedule", "open-webui-drill"), ("backup_check_schedule", "open-webui-backup-check")]
)
def test_drills_and_checks_have_timers_of_their_own(setting: str, name: str) -> None:
    put = units.backup(settings(**RESTIC, **{setting: "Sun *-*-* 05:00"}), Machine())
    assert list(put) == [f"/etc/systemd/system/{name}.service", f"/etc/systemd/system/{name}.timer"]
    assert "\nOnCalendar=Sun *-*-* 05:00\n" in put[f"/etc/systemd/system/{name}.timer"]
    assert units.schedule_checks(settings(**RESTIC, **{setting: "Sun"})) == {
        f"/etc/systemd/system/{name}.timer": units.check_schedule_command(setting, "Sun")
    }


def test_a_timers_drill_is_of_the_newest_set_and_remembered() -> None:
    some = settings(drill_schedule="daily", restore_set="20261126T033000Z", open_webui_env={"A": "50% of \\n"})
    text = units.backup(some, Machine())["/etc/systemd/system/open-webui-drill.service"]
    asked = drill.Request(**asked_of(text, "drill_scheduled"))
    assert (asked.restore_set, asked.stack_dir) == ("newest", some.stack_dir)
    assert asked.environment["A"] == "50% of \\n"


def test_a_timers_check_is_of_each_repository() -> None:
    some = settings(backup_check_schedule="daily", **RESTIC, **SECOND)
    text = units.backup(some, Machine())["/etc/systemd/system/open-webui-backup-check.service"]
    assert asked_of(text, "offsite_check") == backup_requests.offsite_check_request(some)


def test_a_schedule_brings_a_timer() -> None:
    path = "/etc/systemd/system/open-webui-backup.timer"
    assert path not in units.backup(settings(), Machine())
    assert "\nOnCalendar=*-*-* 03:30\n" in units.backup(settings(backup_schedule="*-*-* 03:30"), Machine())[path]


@pytest.mark.parametrize("status", [0, 1])
def test_a_schedule_that_systemd_does_not_read_is_refused_with_its_words(tmp_path: Path, status: int) -> None:
    program = tmp_path / "systemd-analyze"
    program.write_text(f'#!/bin/sh\n[ "$*" = "calendar Mon..Fri *-*-* 03:30" ] && echo seen && exit {status}\n')
    program.chmod(0o755)
    command = units.check_schedule_command("backup_schedule", "Mon..Fri *-*-* 03:30")
    made = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    words = "expected a calendar expression of systemd, got 'Mon..Fri *-*-* 03:30'; systemd.time(7) explains it"
    assert made.returncode == status
    assert made.stderr == (f"backup_schedule: {words}\n" if status else "")
