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
from webui_stack.host import metrics, protocol, secrets
from webui_stack.host.alarms import receivers, record
from webui_stack.host.looks import request as monitored
from webui_stack.host.verbs import alarms, drill, offsite
from webui_stack.model.machine import Machine
from webui_stack.render import backup_requests, host_program, monitor_requests, secrets_requests, units
from webui_stack.settings.receivers import KINDS

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


def asked_of_monitor(**changes: Any) -> monitored.Request:
    """What systemd gives the monitor on stdin."""
    ((path, unit),) = units.monitor(settings(**changes), Machine(python="/usr/bin/python3.11")).items()
    assert path == "/etc/systemd/system/open-webui-stack-monitor.service"
    assert f"ExecStart=/usr/bin/python3.11 -I -S {host_program.place()} monitor plain\n" in unit
    (text,) = re.findall(r"(?m)^StandardInputText=(.*)$", unit)
    assert not {"%", "\\"} & set(text), "systemd would take them for the begin of something"
    return monitored.Request.read(protocol.Request.read("monitor", text).arguments)


def test_the_monitor_looks_at_what_the_settings_say() -> None:
    asked = asked_of_monitor(monitor_interval_s=30, alarm_reminder_h=1, metrics_bind="127.0.0.1:9469")
    assert (asked.containers, asked.open_webui) == (["redis-valkey", "open-webui"], ["open-webui"])
    assert (asked.valkey, asked.postgres, asked.proxy, asked.swarm) == ("redis-valkey", "", "", "")
    assert (asked.interval_s, asked.alarm_reminder_h, asked.metrics_bind) == (30, 1, "127.0.0.1:9469")
    assert (asked.units, asked.jobs, asked.alarms) == (["open-webui-watchdog.service"], [], "")
    assert (asked.certificates, asked.served) == ([], None)
    many = asked_of_monitor(
        open_webui_replicas=2,
        public_url="https://chat.example.org:8443",
        watchdog_pause_s=0,
        backup_schedule="daily",
        drill_schedule="weekly",
    )
    assert many.open_webui == ["open-webui", "open-webui-2"]
    assert (many.postgres, many.proxy) == ("open-webui-postgres", "open-webui-proxy")
    assert (many.backup_schedule, many.drill_schedule) == ("daily", "weekly")
    assert many.units == ["open-webui-backup.timer", "open-webui-drill.timer"]
    assert many.jobs == ["open-webui-backup.service", "open-webui-drill.service"]
    assert many.served == monitored.Served("127.0.0.1", 8443, "chat.example.org", renews=True)


def test_in_a_swarm_the_host_with_the_data_looks_at_services() -> None:
    swarm: dict[str, Any] = {
        **{"topology": "swarm", "public_url": "https://chat.example.org", "open_webui_shared_dir": "/mnt/chat"},
    }
    assert units.has_monitor(settings(**swarm, swarm_runs=["data"], swarm_manager=True))
    assert not units.has_monitor(settings(**swarm, swarm_runs=["open-webui", "proxy"]))
    asked = asked_of_monitor(**swarm, swarm_runs=["data"])
    assert asked.swarm == "open-webui"
    assert asked.containers == [f"open-webui_{name}" for name in ("redis", "postgres", "open-webui", "proxy")]
    assert (asked.open_webui, asked.valkey) == (["open-webui_open-webui"], "open-webui_redis")
    assert asked.served is None, "the proxy runs elsewhere"
    assert asked.units == [], "a swarm has no watchdog"


def test_the_monitors_unit_says_where_receivers_are_and_not_who_they_are() -> None:
    url = "https://hooks.example.org/secret"
    some = settings(alarms=[{"webhook": url}])
    assert url not in "".join(units.monitor(some, Machine()).values())
    assert asked_of_monitor(alarms=[{"webhook": url}]).alarms == "/opt/open-webui/secrets/alarms.json"
    assert units.monitor(some, Machine()) == units.monitor(settings(alarms=[{"heartbeat": "env:X"}]), Machine())


def test_where_the_monitor_writes_its_metrics_is_read_from_its_unit() -> None:
    unit = "".join(units.monitor(settings(metrics_textfile_dir="/var/lib/node-exporter"), Machine()).values())
    assert units.metrics_of(unit) == f"/var/lib/node-exporter/{metrics.FILE}"
    for text in ("", "".join(units.monitor(settings(), Machine()).values()), "StandardInputText=[1]", unit[:-200]):
        assert units.metrics_of(text) == ""


def test_the_hosts_program_has_the_same_names() -> None:
    assert monitor_requests.STATE == record.PATH
    assert monitor_requests.METRICS_FILE == metrics.FILE
    assert secrets_requests.RECEIVERS == secrets.RECEIVERS
    assert secrets_requests.RECEIVERS_FORMAT == receivers.FORMAT
    assert alarms.Request(**monitor_requests.alarm_test_request(settings())).receivers.endswith(secrets.RECEIVERS)
    assert {kind: tuple(keys) for kind, keys in KINDS.items()} == {
        kind: tuple(keys) for kind, keys in receivers.KEYS.items()
    }


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
