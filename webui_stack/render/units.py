"""The units of systemd on a host: watchdog, monitor, and the timers and services of backups, checks and drills."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping

from webui_stack.host import protocol
from webui_stack.model import survey
from webui_stack.model.machine import Machine
from webui_stack.render import backup_requests, host_program, monitor_requests, project
from webui_stack.render.template import render
from webui_stack.settings.model import Settings

WATCHDOG_PATH = f"/etc/systemd/system/{survey.WATCHDOG_UNIT}"
MONITOR_PATH = f"/etc/systemd/system/{survey.MONITOR_UNIT}"
BACKUP_SERVICE = "/etc/systemd/system/open-webui-backup.service"


def watchdog(settings: Settings, machine: Machine) -> dict[str, str]:
    """The watchdog's file by absolute path: the systemd service that runs the verb `watch` of the host's program."""
    asked = {
        "stack_dir": settings.stack_dir,
        "containers": project.containers(settings),
        "open_webui": settings.open_webui_services,
        "pause_s": settings.watchdog_pause_s,
    }
    request = protocol.Request("watch", protocol.PLAIN, asked).line()
    return {
        WATCHDOG_PATH: render(
            "open-webui-watchdog.service.j2",
            python=machine.python,
            program=host_program.place(),
            # systemd takes a backslash or % for the begin of more (systemd.exec(5)). No name or folder of ours has one.
            request=request,
        )
    }


def old_watchdog(settings: Settings) -> list[str]:
    """The files that only the watchdog of earlier versions had."""
    return [f"/etc/systemd/system/{survey.WATCHDOG_TIMER}", f"{settings.stack_dir}/watchdog.sh"]


def has_monitor(settings: Settings) -> bool:
    """Whether the host is to have a monitor. In a swarm the one with the data looks at all services."""
    return settings.monitor_interval_s > 0 and settings.runs("data")


def monitor(settings: Settings, machine: Machine) -> dict[str, str]:
    """The monitor's file by absolute path: the systemd service that runs the verb `monitor` of the host's program."""
    line = protocol.Request(
        "monitor", protocol.PLAIN, monitor_requests.monitor_request(settings, _scheduled(settings))
    ).line()
    return {
        MONITOR_PATH: render(
            "open-webui-stack-monitor.service.j2",
            python=machine.python,
            program=host_program.place(),
            # systemd takes a backslash or % for the begin of more (systemd.exec(5)).
            request=line.replace("\\", "\\\\").replace("%", "%%"),
        )
    }


def metrics_of(unit: str) -> str:
    """The file of the metrics that a monitor writes, by the text of its unit; "" for none."""
    found = re.search(r"(?m)^StandardInputText=(.*)$", unit)
    try:
        request = json.loads(found[1].replace("%%", "%").replace("\\\\", "\\")) if found else {}
        folder = request.get("arguments", {}).get("metrics_textfile_dir", "")
    except (ValueError, AttributeError):  # somebody has edited it
        return ""
    return f"{folder}/{monitor_requests.METRICS_FILE}" if isinstance(folder, str) and folder.startswith("/") else ""


def schedules(settings: Settings) -> dict[str, str]:
    """Timer of each job on backups -> when it runs, "" for never."""
    return {
        survey.BACKUP_UNIT: settings.backup_schedule,
        survey.CHECK_UNIT: settings.backup_check_schedule,
        survey.DRILL_UNIT: settings.drill_schedule,
    }


def backup(settings: Settings, machine: Machine) -> dict[str, str]:
    """The files by absolute path of the jobs on backups that have a schedule: a timer and a service each."""
    return {
        path: render(
            template,
            settings=settings,
            python=machine.python,
            program=host_program.place(),
            **_called(settings, timer),
        )
        for timer in _scheduled(settings)
        for path, template in _templates(timer).items()
    }


def _called(settings: Settings, timer: str) -> dict[str, str]:
    """The verb that a job's service calls, and its request."""
    verb, asked = "backup", backup_requests.backup_request(settings)
    if timer == survey.DRILL_UNIT:
        newest = settings.model_copy(update={"restore_set": "newest"})
        verb, asked = "drill_scheduled", backup_requests.drill_request(newest, remembers=True)
    elif timer == survey.CHECK_UNIT:
        verb, asked = "offsite_check", backup_requests.offsite_check_request(settings)
    elif settings.backup_restic_repository:
        verb, asked = "offsite_backup", {"backup": asked, "copy": backup_requests.offsite_copy_request(settings)}
    line = protocol.Request(verb, protocol.PLAIN, asked).line()
    # systemd takes a backslash or % for the begin of more (systemd.exec(5)).
    return {"verb": verb, "request": line.replace("\\", "\\\\").replace("%", "%%")}


def backup_templates(settings: Settings) -> dict[str, str]:
    """Path of each unit of the jobs on backups -> its template. Every survey needs the paths, few runs the texts."""
    return {path: template for timer in _scheduled(settings) for path, template in _templates(timer).items()}


def _scheduled(settings: Settings) -> list[str]:
    return [timer for timer, schedule in schedules(settings).items() if schedule]


def _templates(timer: str) -> dict[str, str]:
    units = (timer.replace(".timer", ".service"), timer)
    return {f"/etc/systemd/system/{unit}": f"{unit}.j2" for unit in units}


def kept_backup(settings: Settings, machine: Machine, present: Mapping[str, str]) -> dict[str, str]:
    """The files of jobs on backups that a deploy keeps up to date: those that runbooks/backup.py has put on the host.

    Only that runbook puts a service that uses a restic repository it has not used before, because the runbook also
    opens the repository. Until then the service stays as it is.
    """
    if not settings.runs("data"):
        return {}
    return {
        path: text
        for path, text in backup(settings, machine).items()
        if path in present and _keys(text) <= _keys(present[path])
    }


def _keys(text: str) -> set[str]:
    """The keys of restic repositories that a unit uses. Units of earlier versions don't name the first one."""
    named = {key for key in backup_requests.KEYS if f'"{key}"' in text}
    return named | {backup_requests.KEYS[0]} if "offsite_backup" in text else named


def old_backup(settings: Settings, present: Mapping[str, str], runs: str | None = None) -> list[str]:
    """The backup's files of earlier versions that are `present`, and that nothing runs any more.

    `runs` is the text of the service that will be there, where the present one is replaced.
    """
    service = present.get(BACKUP_SERVICE, "") if runs is None else runs
    return [path for path in old_backup_paths(settings) if path in present and path not in service]


def old_backup_paths(settings: Settings) -> list[str]:
    """The files that the backup of earlier versions had on a host."""
    return [f"{settings.stack_dir}/{name}" for name in ("backup.sh", "dataset.py", "restic.sh")]


def schedule_checks(settings: Settings) -> dict[str, str]:
    """Path of a timer -> the shell command that fails where systemd does not read its schedule as a time."""
    named = {
        survey.BACKUP_UNIT: "backup_schedule",
        survey.CHECK_UNIT: "backup_check_schedule",
        survey.DRILL_UNIT: "drill_schedule",
    }
    return {
        f"/etc/systemd/system/{timer}": check_schedule_command(named[timer], schedule)
        for timer, schedule in schedules(settings).items()
        if schedule
    }


def check_schedule_command(setting: str, schedule: str) -> str:
    """The shell command that fails where systemd does not read the setting's schedule as a time."""
    text = f"{setting}: expected a calendar expression of systemd, got '{schedule}'; systemd.time(7) explains it"
    return f'systemd-analyze calendar {shlex.quote(schedule)} >/dev/null || {{ echo "{text}" >&2; false; }}'
