"""Docker Engine on a host: what is there, what may be installed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from webui_stack.documents import digits, document
from webui_stack.model.machine import Machine

Source = Literal["docker-ce", "distro", "present"]

# Docker's repository: a key and a file for each package manager.
APT_KEY = "/etc/apt/keyrings/docker.asc"
APT_SOURCES = "/etc/apt/sources.list.d/docker.sources"
DNF_REPOSITORY = "/etc/yum.repos.d/docker-ce.repo"
DNF_KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce"

# https://docs.docker.com/engine/install/debian/#install-from-a-package (2026-11)
_CE = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"]
_DISTRO = {
    "debian": ["docker.io", "docker-cli", "docker-compose"],
    "ubuntu": ["docker.io", "docker-compose-v2"],
}
# What a distribution's engine depends on and decides as much: Docker's own packages have it inside.
BROUGHT = {"docker.io": ["containerd", "runc"]}
# All packages that are part of an engine, of either source.
FAMILY = sorted({*_CE, *(name for names in [*_DISTRO.values(), *BROUGHT.values()] for name in names)})
# What Docker's own packages conflict with (same page, "Uninstall old versions"), and what they are
# called in Debian 13, where docker.io was split.
_APT_CONFLICTS = [
    "docker.io",
    "docker-cli",
    "docker-buildx",
    "docker-compose",
    "docker-compose-v2",
    "docker-doc",
    "podman-docker",
    "containerd",
    "runc",
]
_DNF_CONFLICTS = ["docker", "docker-client", "docker-common", "docker-engine", "podman-docker", "runc"]
_CONFLICTS = {"apt": _APT_CONFLICTS, "dnf": _DNF_CONFLICTS}

# Compose 2.21 brought `up --wait-timeout` and stable `config --hash`; older ones behave differently.
_MIN_COMPOSE = (2, 21)
_MIN_ENGINE = (20, 10)
# The newest major releases that the lab's tests ran on (docs/reference/support.md).
_PROVED_ENGINE, _PROVED_COMPOSE = 28, 2
# Brought the healthcheck's `start_interval`, with API 1.44. Compose and `docker stack` refuse it for older engines.
START_INTERVAL_ENGINE = 25


@dataclass(frozen=True)
class Engine:
    """Docker as observed on one host. `server` and `compose` are their versions, `versions` those of all packages.

    `apt_sources` are the texts of apt's files of sources, by path.
    """

    server: str = ""
    compose: str = ""
    has_cli: bool = False
    running_containers: int = 0
    processes: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    apt_sources: Mapping[str, str] = field(default_factory=dict)
    repository_key_sha256: str = ""

    @property
    def packages(self) -> frozenset[str]:
        """The names of all installed packages."""
        return frozenset(self.versions)

    @property
    def family(self) -> dict[str, str]:
        """The versions of the packages that are part of an engine."""
        return {name: self.versions[name] for name in FAMILY if name in self.versions}


def parse(part: document.Engine) -> Engine:
    """Read the document's section "engine"."""
    return Engine(
        server=part["server"],
        compose=part["compose"].removeprefix("v"),
        has_cli=part["cli"],
        running_containers=part["running"],
        processes=frozenset(part["processes"]),
        versions=part["packages"],
        apt_sources=part["apt_sources"],
        repository_key_sha256=part["key_sha256"],
    )


def ca_path(registry: str) -> str:
    """Where Docker looks for the authority of a private registry."""
    return f"/etc/docker/certs.d/{registry}/ca.crt"


def packages(machine: Machine, source: Source) -> list[str]:
    """The packages that give Engine and Compose v2 from `source` on this machine."""
    if source == "docker-ce":
        return _CE
    return _DISTRO.get(machine.distribution, [])


def knows_start_interval(server: str) -> bool:
    """Whether an engine of this version takes a healthcheck's `start_interval`; "" is the one still to be installed."""
    return not server or _version(server) >= (START_INTERVAL_ENGINE,)


def unproved(server: str, compose: str) -> list[str]:
    """What is of a newer major release than any this project was proved on; nothing of unknown versions."""
    return [
        f"{name} {version}, proved up to {newest}.x"
        for name, version, newest in (("Engine", server, _PROVED_ENGINE), ("Compose", compose, _PROVED_COMPOSE))
        if _version(version)[:1] > (newest,)
    ]


def conflicts(machine: Machine, engine: Engine, source: Source) -> list[str]:
    """The installed packages that have to go before `source`'s can be installed."""
    if source == "docker-ce":
        rivals = _CONFLICTS[machine.package_manager]
    else:
        rivals = _CE
    return [name for name in rivals if name in engine.packages]


def refusals(machine: Machine, engine: Engine, source: Source) -> list[str]:
    """Every reason not to install Docker from `source` here."""
    if source == "present":
        return _too_old(engine)
    return _unavailable(machine, engine, source)


def _unavailable(machine: Machine, engine: Engine, source: Source) -> list[str]:
    if source == "distro":
        if machine.distribution == "debian" and machine.version == "12":
            return [
                "docker_source: expected a distribution with Compose v2, got Debian 12, whose packages have none; "
                "set docker_source = 'docker-ce', or upgrade the host to Debian 13"
            ]
        if machine.package_manager == "dnf":
            return [
                f"docker_source: expected a distribution with Docker packages, got {machine.pretty_name}; "
                "set docker_source = 'docker-ce'"
            ]
    found = []
    rivals = conflicts(machine, engine, source)
    if rivals and engine.processes:
        keep = "distro" if source == "docker-ce" else "docker-ce"
        found.append(
            f"docker_source: expected no other engine, got {', '.join(rivals)} with "
            f"{', '.join(sorted(engine.processes))} running and {engine.running_containers} containers up; keep it "
            f"with docker_source = '{keep}' or 'present', or remove it yourself first"
        )
    if engine.server and not engine.packages & set(packages(machine, source)) and not rivals:
        found.append(
            f"docker_source: expected no engine or one from packages, got Docker {engine.server} "
            "installed some other way; set docker_source = 'present' to use it as it is"
        )
    return found


def _too_old(engine: Engine) -> list[str]:
    if not engine.has_cli:
        return [
            "docker: expected it to be installed (docker_source = 'present'), got no docker command; "
            "install it, or set docker_source = 'docker-ce'"
        ]
    return shortcomings(engine)


def shortcomings(engine: Engine) -> list[str]:
    """What an installed engine lacks to carry the stack."""
    found = []
    if not engine.server:
        found.append(
            "docker: expected a running engine, got none; look at `journalctl -u docker` "
            "(or /var/log/docker.log) on the host"
        )
    elif _version(engine.server) < _MIN_ENGINE:
        found.append(f"docker: expected Engine 20.10 or newer, got {engine.server}; upgrade it")
    if _version(engine.compose) < _MIN_COMPOSE:
        found.append(
            f"docker compose: expected version 2.21 or newer, got {engine.compose or 'none'}; "
            "install docker-compose-plugin (Docker's repository) or docker-compose (Debian 13)"
        )
    return found


def _version(text: str) -> tuple[int, ...]:
    numbers = []
    for part in text.split("-")[0].split("+")[0].split("."):
        if (number := digits.whole(part)) is None:
            break
        numbers.append(number)
    return tuple(numbers)
