"""Docker Engine and Compose v2: where it may come from, configuration, packages, service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyinfra import host, logger
from pyinfra.api import deploy
from pyinfra.operations import apt, dnf, files, systemd, sysvinit

from tasks import sources
from webui_stack import bundle, delivery, engine, facts, lock, operations, templates
from webui_stack.engine import Engine
from webui_stack.machine import Machine
from webui_stack.settings import Settings

_DAEMON_JSON = "/etc/docker/daemon.json"
_APT_KEY = "/etc/apt/keyrings/docker.asc"
_APT_SOURCES = "/etc/apt/sources.list.d/docker.sources"
_DNF_REPOSITORY = "/etc/yum.repos.d/docker-ce.repo"


@deploy("Docker")
def install(settings: Settings) -> None:
    """Ensure a running Docker Engine with Compose v2, configured as the settings say.

    `docker_source` decides where from; with "present" it is only checked. An engine of another origin
    is never removed while it runs: the host is refused instead. Configuration is in place before the
    packages, so that the engine first starts with it.
    """
    machine = host.get_fact(facts.Machine)
    observed = host.get_fact(facts.Engine)
    wanted = _wanted_daemon_json(settings)

    operations.gate(
        name="Check that Docker can come from there",
        check=lambda: (
            engine.refusals(machine, host.get_fact(facts.Engine), settings.docker_source, wanted)
            + _locked_refusals(settings, machine, host.get_fact(facts.Engine))
        ),
    )
    if settings.docker_registry_ca:
        operations.files(
            name="Trust the private registries",
            contents={
                f"/etc/docker/certs.d/{registry}/ca.crt": Path(path).expanduser().read_text(encoding="ascii")
                for registry, path in settings.docker_registry_ca.items()
            },
        )
    if settings.docker_source != "present":
        _configure(machine, observed, wanted)
        _packages(settings, machine, observed)
        _service(settings, machine, observed)
    operations.gate(
        name="Check that Docker and Compose are new enough",
        check=lambda: engine.shortcomings(host.get_fact(facts.Engine)),
        at_execution=True,
    )


def _locked_refusals(settings: Settings, machine: Machine, observed: Engine) -> list[str]:
    """Why packages that are missing can't come as they are locked; warns of installed ones that are not."""
    locked = sources.followed(settings)
    if locked is None or settings.docker_source == "present":
        return []
    for line in lock.package_drift(host.get_fact(facts.Running).packages, locked, machine):
        host.log_styled(line, fg="yellow", log_func=logger.warning)
    names = engine.packages(machine, settings.docker_source)
    if observed.packages.issuperset(names):
        return []
    if source := sources.opened(settings):
        return bundle.package_refusals(source, lock.platform(machine))
    return lock.package_refusals(names, observed.packages, locked, machine)


def _wanted_daemon_json(settings: Settings) -> dict[str, Any]:
    wanted = dict(settings.docker_daemon)
    if settings.docker_address_pools:
        wanted["default-address-pools"] = [pool.model_dump() for pool in settings.docker_address_pools]
    return wanted


def _configure(machine: Machine, observed: Engine, wanted: dict[str, Any]) -> None:
    """daemon.json with our keys merged in; a running engine is restarted for it in the same command,
    so that a lost connection can't leave the file new and the engine old."""
    try:
        merged = engine.merge_daemon_json(observed.daemon_json, wanted)
    except engine.DaemonJsonError:
        return  # the gate above has refused this host
    if machine.has_systemd:
        # Reload first: it switches live-restore on, so that the restart leaves containers running.
        restart = "if systemctl is-active --quiet docker; then systemctl reload docker && systemctl restart docker; fi"
    else:
        restart = "if service docker status >/dev/null 2>&1; then service docker restart; fi"
    operations.files(
        name="Configure Docker",
        contents={_DAEMON_JSON: merged} if merged else {},
        checks={_DAEMON_JSON: engine.validate_command},
        apply=restart,
    )


def _packages(settings: Settings, machine: Machine, observed: Engine) -> None:
    wanted = engine.packages(machine, settings.docker_source)
    if locked := sources.followed(settings):
        wanted = lock.pinned(wanted, observed.packages, locked, machine)
    rivals = engine.conflicts(machine, observed, settings.docker_source)
    if machine.package_manager == "dnf":
        if rivals:
            dnf.packages(name="Remove packages Docker conflicts with", packages=rivals, present=False)
        operations.files(
            name="Add Docker's repository",
            contents={_DNF_REPOSITORY: templates.docker_sources(settings, machine)},
        )
        dnf.packages(name="Install Docker", packages=wanted)
        return
    if rivals:
        apt.packages(name="Remove packages Docker conflicts with", packages=rivals, present=False)
    if source := sources.opened(settings):
        delivery.packages(
            name="Install Docker from the bundle",
            names=wanted,
            present=observed.packages,
            platform=lock.platform(machine),
            source=source,
        )
        return
    if settings.docker_source == "docker-ce":
        _apt_repository(settings, machine, observed)
    if not observed.packages.issuperset(engine.packages(machine, settings.docker_source)):
        apt.update(name="Refresh the package lists")
    apt.packages(name="Install Docker", packages=wanted, no_recommends=True)


def _apt_repository(settings: Settings, machine: Machine, observed: Engine) -> None:
    # Two files for one repository with different Signed-By make apt fail altogether.
    for path in host.loop(sorted(set(observed.repository_files) - {_APT_SOURCES})):  # type: ignore[no-untyped-call]
        files.file(name=f"Remove the older repository file {path}", path=path, present=False)
    tools = ["ca-certificates", "curl"]
    if not observed.packages.issuperset(tools):
        apt.update(name="Refresh the package lists for the tools")
        apt.packages(name="Install what fetching a key needs", packages=tools, no_recommends=True)
    files.directory(name="Make the folder for repository keys", path="/etc/apt/keyrings", mode="755")
    files.download(
        name="Fetch Docker's repository key",
        src=f"{settings.docker_repo_url}/{machine.repository}/gpg",
        dest=_APT_KEY,
        mode="644",
        sha256sum=settings.docker_repo_key_sha256,
    )
    operations.files(
        name="Add Docker's repository", contents={_APT_SOURCES: templates.docker_sources(settings, machine)}
    )


def _service(settings: Settings, machine: Machine, observed: Engine) -> None:
    only_if: dict[str, Any] = {}
    if machine.package_manager == "apt" and not observed.packages.issuperset(
        engine.packages(machine, settings.docker_source)
    ):
        # Debian's packages start and enable their service when they are installed, unless a policy-rc.d
        # forbids it: then, and only then, there is something left to do.
        only_if["_if"] = lambda: not host.get_fact(facts.Engine).server
    service = systemd.service if machine.has_systemd else sysvinit.service
    service(name="Start Docker and enable it", service="docker", running=True, enabled=True, **only_if)
