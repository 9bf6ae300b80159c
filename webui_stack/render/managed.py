"""All files that a deploy writes on a host, by absolute path; among them Docker's repository and registries' CAs."""

from __future__ import annotations

from pathlib import Path

from webui_stack import shipped
from webui_stack.model import docker
from webui_stack.model.machine import Machine
from webui_stack.render import project, units
from webui_stack.render.template import render
from webui_stack.settings.model import Settings


def files(settings: Settings, machine: Machine, server: str) -> dict[str, str]:
    """The files a deploy puts on this host, by absolute path; without daemon.json, which others write too."""
    wanted = project.host_files(settings, server) | authorities(settings)
    if machine.has_systemd and settings.watchdog_pause_s and settings.topology == "compose":
        wanted |= units.watchdog(settings, machine)
    if machine.has_systemd and units.has_monitor(settings):
        wanted |= units.monitor(settings, machine)
    if settings.docker_source == "docker-ce":
        wanted |= repository(settings, machine)
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
        *authorities(settings),
        *elsewhere,
    ]
    return list(dict.fromkeys(found))


def repository(settings: Settings, machine: Machine) -> dict[str, str]:
    """The files of Docker's repository for apt (deb822) or dnf, by path; for dnf its key as well.

    The key for apt is fetched with the repository, and has a SHA-256 to be known by.
    """
    if machine.package_manager == "apt":
        return {docker.APT_SOURCES: render("docker.sources.j2", settings=settings, machine=machine)}
    # Docker's own: fingerprint 060A 61C5 1B55 8A7F 742B 77AA C52F EB6B 621E 9F35 (docs.docker.com/engine/install/rhel).
    own = settings.docker_repo_rpm_key
    key = Path(own).expanduser() if own else shipped.path("templates") / "docker-ce.asc"
    return {
        docker.DNF_KEY: key.read_text(encoding="ascii"),
        docker.DNF_REPOSITORY: render("docker-ce.repo.j2", settings=settings, machine=machine, key=docker.DNF_KEY),
    }


def authorities(settings: Settings) -> dict[str, str]:
    """Private registries' CA files by their path on the host."""
    return {
        docker.ca_path(registry): Path(path).expanduser().read_text(encoding="ascii")
        for registry, path in settings.docker_registry_ca.items()
    }
