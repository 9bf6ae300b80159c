"""Where a host gets packages and images: Docker's repository for apt or dnf, and the CAs of private registries."""

from __future__ import annotations

from pathlib import Path

from webui_stack.model import docker
from webui_stack.model.machine import Machine
from webui_stack.render.template import render
from webui_stack.settings import shipped
from webui_stack.settings.model import Settings


def files(settings: Settings, machine: Machine) -> dict[str, str]:
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
