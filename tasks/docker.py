"""Docker Engine and Compose v2: where it may come from, configuration, packages, service."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from pyinfra import host, logger
from pyinfra.api import deploy
from pyinfra.operations import dnf, files, server, systemd, sysvinit

from webui_stack.artifacts import bundle, images
from webui_stack.model import docker, docker_config, lock
from webui_stack.model.survey import DOCKER_UNIT, Survey
from webui_stack.ops import operations, packages
from webui_stack.plan import apt_sources
from webui_stack.render import managed
from webui_stack.settings.model import Settings

from . import preflight, sources


@deploy("Docker")
def install(settings: Settings) -> None:
    """Ensure a running Docker Engine with Compose v2, configured as the settings say.

    `docker_source` decides where from; with "present" it is only checked. An engine of another origin
    is never removed while it runs: the host is refused instead. Configuration is in place before the
    packages, so that the engine first starts with it.
    """
    survey = preflight.observation().survey

    operations.gate(
        name="Check that Docker can come from there",
        check=lambda: (
            docker.refusals(survey().machine, survey().engine, settings.docker_source)
            + _config_refusals(settings, survey())
            + _repository_refusals(settings, survey())
            + _locked_refusals(settings, survey())
        ),
    )
    if settings.docker_registry_ca:
        operations.files(
            name="Trust the private registries",
            contents=managed.authorities(settings),
            present=lambda: survey().files,
        )
    if settings.docker_source != "present":
        operations.docker_config(
            name="Configure Docker",
            observe=lambda: docker_config.plan(settings, survey().docker),
        )
        _packages(settings, survey)
        _service(settings, survey)
    operations.gate(
        name="Check that Docker and Compose are new enough",
        check=lambda: docker.shortcomings(survey().engine),
        at_execution=True,
    )


def _config_refusals(settings: Settings, survey: Survey) -> list[str]:
    found = docker_config.shortcomings(settings, survey.docker)
    return found if settings.docker_source == "present" else found + docker_config.refusals(settings, survey.docker)


def _repository_refusals(settings: Settings, survey: Survey) -> list[str]:
    """Why Docker's repository can't be added beside the sources there are; warns of files that give way to ours."""
    if settings.docker_source != "docker-ce" or sources.opened(settings):
        return []
    texts, repository = survey.engine.apt_sources, survey.machine.repository_of(settings.docker_repo_url)
    for path in apt_sources.replaced(texts, repository, docker.APT_SOURCES):
        told = f"{path}: has Docker's repository, which {docker.APT_SOURCES} takes over; it is kept as {path}.disabled"
        host.log_styled(told, fg="yellow", log_func=logger.warning)
    return apt_sources.refusals(texts, repository, docker.APT_SOURCES)


def _locked_refusals(settings: Settings, survey: Survey) -> list[str]:
    """Why packages that are missing can't come as they are locked; warns of installed ones that are not."""
    locked = sources.followed(settings)
    if locked is None or settings.docker_source == "present":
        return []
    for line in lock.package_drift(survey.engine.versions, locked, survey.machine):
        host.log_styled(line, fg="yellow", log_func=logger.warning)
    names = docker.packages(survey.machine, settings.docker_source)
    if survey.engine.packages.issuperset(names):
        return []
    if source := sources.opened(settings):
        own = sources.committed(settings)
        return bundle.package_refusals(source, lock.platform(survey.machine), own, sources.lock_path(settings).name)
    return lock.package_refusals(names, survey.engine.packages, locked, survey.machine)


def _packages(settings: Settings, survey: Callable[[], Survey]) -> None:
    machine, observed = survey().machine, survey().engine
    wanted = docker.packages(machine, settings.docker_source)
    missing = not observed.packages.issuperset(wanted)
    if locked := sources.followed(settings):
        wanted = lock.pinned(wanted, observed.packages, locked, machine)
    rivals = docker.conflicts(machine, observed, settings.docker_source)
    if machine.package_manager == "dnf":
        if rivals:
            dnf.packages(name="Remove packages Docker conflicts with", packages=rivals, present=False)
        operations.files(
            name="Add Docker's repository",
            contents=managed.repository(settings, machine),
            present=lambda: survey().files,
            checks={docker.DNF_REPOSITORY: lambda _: _keep(docker.DNF_REPOSITORY)},
        )
        if missing:
            dnf.packages(name="Install Docker", packages=wanted)
        return
    if rivals:
        packages.remove(name="Remove packages Docker conflicts with", names=rivals)
    if source := sources.opened(settings):
        if missing:
            packages.turn(name="Wait for other package managers")
        images.packages(
            name="Install Docker from the bundle",
            names=wanted,
            present=observed.packages,
            platform=lock.platform(machine),
            source=source,
        )
        return
    if settings.docker_source == "docker-ce":
        _apt_repository(settings, survey)
    if missing:
        packages.install(name="Install Docker", names=wanted, sources=observed.apt_sources)


def _apt_repository(settings: Settings, survey: Callable[[], Survey]) -> None:
    machine, observed = survey().machine, survey().engine
    tools = ["ca-certificates", "curl"]
    if not observed.packages.issuperset(tools):
        packages.install(name="Install what fetching a key needs", names=tools, sources=observed.apt_sources)
    if observed.repository_key_sha256 != settings.docker_repo_key_sha256:
        files.directory(name="Make the folder for repository keys", path="/etc/apt/keyrings", mode="755")
        files.download(
            name="Fetch Docker's repository key",
            src=f"{machine.repository_of(settings.docker_repo_url)}/gpg",
            dest=docker.APT_KEY,
            mode="644",
            sha256sum=settings.docker_repo_key_sha256,
        )
    wanted = managed.repository(settings, machine)
    theirs = apt_sources.replaced(
        observed.apt_sources, machine.repository_of(settings.docker_repo_url), docker.APT_SOURCES
    )
    # With ours in the same command: between the two, apt might fail altogether.
    aside = " && ".join(shlex.join(["mv", "-f", path, f"{path}.disabled"]) for path in theirs)
    if aside and all(survey().files.get(path) == text for path, text in wanted.items()):
        server.shell(name="Put aside the older files with Docker's repository", commands=[aside])
    operations.files(
        name="Add Docker's repository",
        contents=wanted,
        present=lambda: survey().files,
        # Nothing that apt can't use comes to the host, nor takes the place of what it can.
        checks={docker.APT_SOURCES: lambda new: f"{apt_sources.probe_command(new)} && {_keep(docker.APT_SOURCES)}"},
        apply=aside or None,
    )


def _keep(path: str) -> str:
    """A shell command that keeps a copy of a file that somebody else wrote, by a name that apt and dnf overlook."""
    there = shlex.quote(path)
    return f"if [ -e {there} ] && ! grep -q 'by open-webui-stack' {there}; then cp -p {there} {there}.disabled; fi"


def _service(settings: Settings, survey: Callable[[], Survey]) -> None:
    machine = survey().machine
    if not machine.has_systemd:
        sysvinit.service(name="Start Docker and enable it", service="docker", running=True, enabled=True)
        return
    if DOCKER_UNIT in survey().units:
        return
    only_if: dict[str, Any] = {}
    if machine.package_manager == "apt" and not survey().engine.packages.issuperset(
        docker.packages(machine, settings.docker_source)
    ):
        # Debian's packages start and enable their service when they are installed, unless a policy-rc.d
        # forbids it: then, and only then, there is something left to do.
        only_if["_if"] = operations.only_if(lambda: DOCKER_UNIT not in survey().units)
    systemd.service(name="Start Docker and enable it", service=DOCKER_UNIT, running=True, enabled=True, **only_if)
