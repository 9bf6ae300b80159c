"""The units of systemd on a host: the watchdog, and the timer and service of backups."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping

from webui_stack.host import protocol
from webui_stack.model import survey
from webui_stack.model.machine import Machine
from webui_stack.render import backup_requests, host_program, project
from webui_stack.render.template import render
from webui_stack.settings.model import Settings

WATCHDOG_PATH = f"/etc/systemd/system/{survey.WATCHDOG_UNIT}"
BACKUP_SERVICE = "/etc/systemd/system/open-webui-backup.service"
_OFFSITE_BACKUP = "offsite_backup"


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


def backup(settings: Settings, machine: Machine) -> dict[str, str]:
    """The backup's files by absolute path: its timer and service. There are none without `backup_schedule`."""
    verb, asked = "backup", backup_requests.backup_request(settings)
    if settings.backup_restic_repository:
        verb, asked = _OFFSITE_BACKUP, {"backup": asked, "copy": backup_requests.offsite_copy_request(settings)}
    line = protocol.Request(verb, protocol.PLAIN, asked).line()
    return {
        path: render(
            template,
            settings=settings,
            python=machine.python,
            program=host_program.place(),
            verb=verb,
            # systemd takes a backslash or % for the begin of more (systemd.exec(5)).
            request=line.replace("\\", "\\\\").replace("%", "%%"),
        )
        for path, template in backup_templates(settings).items()
    }


def backup_templates(settings: Settings) -> dict[str, str]:
    """Path of each unit of the backup -> its template. Every survey needs the paths, and only backups the texts."""
    if not settings.backup_schedule:
        return {}
    units = (posixpath.basename(BACKUP_SERVICE), survey.BACKUP_UNIT)
    return {f"/etc/systemd/system/{unit}": f"{unit}.j2" for unit in units}


def kept_backup(settings: Settings, machine: Machine, present: Mapping[str, str]) -> dict[str, str]:
    """The backup's files that a deploy keeps up to date: those that runbooks/backup.py has put on the host.

    Only that runbook puts a service that copies sets to the restic repository, because it also opens the repository.
    Until then the service stays as it is.
    """
    if not settings.runs("data"):
        return {}
    return {
        path: text
        for path, text in backup(settings, machine).items()
        if path in present
        and not (path.endswith(".service") and _OFFSITE_BACKUP in text and _OFFSITE_BACKUP not in present[path])
    }


def old_backup(settings: Settings, present: Mapping[str, str], runs: str | None = None) -> list[str]:
    """The backup's files of earlier versions that are `present`, and that nothing runs any more.

    `runs` is the text of the service that will be there, where the present one is replaced.
    """
    service = present.get(BACKUP_SERVICE, "") if runs is None else runs
    return [path for path in old_backup_paths(settings) if path in present and path not in service]


def old_backup_paths(settings: Settings) -> list[str]:
    """The files that the backup of earlier versions had on a host."""
    return [f"{settings.stack_dir}/{name}" for name in ("backup.sh", "dataset.py", "restic.sh")]


def check_schedule_command(schedule: str) -> str:
    """The shell command that fails where systemd does not read `backup_schedule` as a time."""
    text = f"backup_schedule: expected a calendar expression of systemd, got '{schedule}'; systemd.time(7) explains it"
    return f'systemd-analyze calendar {shlex.quote(schedule)} >/dev/null || {{ echo "{text}" >&2; false; }}'
