"""All files that a deploy writes on a host, by absolute path."""

from __future__ import annotations

from webui_stack.model import docker
from webui_stack.model.machine import Machine
from webui_stack.render import project, repository, units
from webui_stack.settings.model import Settings


def files(settings: Settings, machine: Machine, server: str) -> dict[str, str]:
    """The files a deploy puts on this host, by absolute path; without daemon.json, which others write too."""
    wanted = project.host_files(settings, server) | repository.authorities(settings)
    if machine.has_systemd and settings.watchdog_pause_s and settings.topology == "compose":
        wanted |= units.watchdog(settings, machine)
    if machine.has_systemd and units.has_monitor(settings):
        wanted |= units.monitor(settings, machine)
    if settings.docker_source == "docker-ce":
        wanted |= repository.files(settings, machine)
    return wanted


def paths(settings: Settings) -> list[str]:
    """Every file a deploy may write, whatever the host is."""
    project_paths = project.host_files(settings, "")
    elsewhere = (docker.APT_SOURCES, docker.DNF_REPOSITORY, docker.DNF_KEY)
    watchdogs = [units.WATCHDOG_PATH, *units.old_watchdog(settings), units.MONITOR_PATH]
    backups = [*units.backup_templates(settings), *units.old_backup_paths(settings)]
    found = [
        *project_paths,
        *project.unwanted(settings),
        *watchdogs,
        *backups,
        units.BACKUP_SERVICE,
        *repository.authorities(settings),
        *elsewhere,
    ]
    return list(dict.fromkeys(found))
