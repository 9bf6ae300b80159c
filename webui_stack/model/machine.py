"""What a host is, and whether the stack can live on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from webui_stack.documents import document
from webui_stack.model import ports
from webui_stack.settings.model import Settings

# Releases Docker publishes packages for and this project was written against, with their code names
# (https://docs.docker.com/engine/install/, 2026-11). RHEL's family is matched by major version.
_APT_RELEASES = {
    "debian": {"12": "bookworm", "13": "trixie"},
    "ubuntu": {"22.04": "jammy", "24.04": "noble", "26.04": "resolute"},
}
_RHEL_FAMILY = {"rhel", "centos", "rocky", "almalinux"}
_RHEL_MAJORS = {"8", "9", "10"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Machine:
    """One host as observed. Sizes in MB, time in seconds since the epoch.

    Without a value it is a host that nothing is known of, which `refusals` refuses. `distribution`, `version` and
    `codename` of a derivative are those of the release it is made from. `links` gives where `stack_dir` and
    `backup_dir` lead, by their paths, where they are links. `mtus` gives interface and MTU by each address of the
    host, and `address` is the one it reaches others by. `python` runs the host's program.
    """

    distribution: str = ""
    version: str = ""
    codename: str = ""
    pretty_name: str = "an unknown system"
    architecture: str = ""
    is_root: bool = False
    has_systemd: bool = False
    memory_mb: int = 0
    disk_mb: int = 0
    epoch_s: int = 0
    disk_folder: str = "/var/lib"
    links: Mapping[str, str] = field(default_factory=dict)
    mtus: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    address: str = ""
    taken: tuple[ports.Taken, ...] = ()
    python: str = "/usr/bin/python3"

    @property
    def package_manager(self) -> Literal["apt", "dnf"]:
        return "apt" if self.distribution in _APT_RELEASES else "dnf"

    @property
    def docker_architecture(self) -> str:
        """The architecture's name in Docker's apt repository."""
        return _ARCHITECTURES.get(self.architecture, self.architecture)

    @property
    def repository(self) -> str:
        """The distribution's folder in Docker's repository; RHEL's rebuilds use CentOS's."""
        if self.distribution in ("rocky", "almalinux"):
            return "centos"
        return self.distribution

    def repository_of(self, url: str) -> str:
        """The address of the distribution's part of Docker's repository at `url`."""
        return f"{url}/{self.repository}"


def parse(part: document.Machine) -> Machine:
    """Read the document's section "machine"."""
    # The one with less room decides.
    disk = min(filter(None, (part["disk"], part["images_disk"])), key=lambda one: one["free_kb"])
    distribution, version, codename = _release({name: part["os_release"].get(name, "") for name in _RELEASE})
    return Machine(
        distribution=distribution,
        version=version,
        codename=codename,
        pretty_name=part["os_release"].get("PRETTY_NAME") or Machine.pretty_name,
        architecture=part["architecture"],
        is_root=part["uid"] == 0,
        has_systemd=part["init"] == "systemd",
        memory_mb=part["memory_kb"] // 1024,
        disk_mb=disk["free_kb"] // 1024,
        epoch_s=part["epoch_s"],
        disk_folder=disk["folder"],
        links=part["links"],
        mtus={one["address"]: (one["interface"], one["mtu"]) for one in part["addresses"]},
        address=part["route"],
        taken=ports.parse(part["published"], part["listening"]),
        python=part["python"],
    )


_RELEASE = ("ID", "ID_LIKE", "VERSION_ID", "VERSION_CODENAME", "UBUNTU_CODENAME", "DEBIAN_CODENAME")


def _release(os: Mapping[str, str]) -> tuple[str, str, str]:
    """Distribution, version and code name; of a derivative those of the release whose packages it uses.

    Linux Mint, Pop!_OS and the like name it by its code name; RHEL's rebuilds have its version (os-release(5)).
    """
    found = (os["ID"], os["VERSION_ID"], os["VERSION_CODENAME"])
    if os["ID"] in _APT_RELEASES or os["ID"] in _RHEL_FAMILY:
        return found
    like = os["ID_LIKE"].split()
    for distribution, codename in (
        ("ubuntu", os["UBUNTU_CODENAME"]),
        ("debian", os["DEBIAN_CODENAME"] or os["VERSION_CODENAME"]),
    ):
        for version, name in _APT_RELEASES[distribution].items():
            if distribution in like and codename == name:
                return distribution, version, name
    return ("centos", *found[1:]) if "rhel" in like else found


def is_supported(machine: Machine) -> bool:
    """Whether Docker publishes packages for this release and this project was written for it."""
    if machine.distribution in _RHEL_FAMILY:
        return machine.version.split(".")[0] in _RHEL_MAJORS
    return machine.version in _APT_RELEASES.get(machine.distribution, set())


def refusals(machine: Machine, settings: Settings, now_s: float, *, has_stack: bool) -> list[str]:
    """Every reason not to deploy to this machine, as `what: expected, got, what to do`.

    `has_stack` leaves out free memory and disk, which a running stack has taken itself.
    """
    found = []
    if settings.docker_source == "present":
        if not machine.has_systemd and not is_supported(machine):
            found.append(
                f"system: expected a Linux with systemd, got {machine.pretty_name} without it; use another system"
            )
    elif not is_supported(machine):
        found.append(
            "system: expected Debian 12/13, Ubuntu 22.04/24.04/26.04, or RHEL, CentOS Stream, Rocky, AlmaLinux 8-10, "
            f"or a derivative of these, got {machine.pretty_name}; install Docker on it yourself and set "
            "docker_source = 'present'"
        )
    if machine.architecture not in _ARCHITECTURES:
        found.append(
            f"architecture: expected x86_64 or aarch64, got {machine.architecture}; "
            "Open WebUI publishes no image for it"
        )
    if not machine.is_root:
        found.append(
            "privileges: expected root, got an ordinary user; set _sudo = True for the host, "
            "and give the SSH user sudo (with a password: _sudo_password)"
        )
    if not has_stack:
        if machine.memory_mb < settings.preflight_min_memory_mb:
            found.append(
                f"memory: expected {settings.preflight_min_memory_mb} MB available, got {machine.memory_mb} MB; "
                "add memory or lower preflight_min_memory_mb"
            )
        if machine.disk_mb < settings.preflight_min_disk_mb:
            found.append(
                f"disk: expected {settings.preflight_min_disk_mb} MB free under {machine.disk_folder}, got "
                f"{machine.disk_mb} MB; "
                "free some or lower preflight_min_disk_mb"
            )
    for name, path in {"stack_dir": settings.stack_dir, "backup_dir": settings.backup_dir}.items():
        if leads := machine.links.get(path):
            found.append(f"{name}: expected a folder, got a link at {path}; set {name} = '{leads}', where it leads")
    found += ports.refusals(machine.taken, settings)
    skew_s = abs(machine.epoch_s - now_s)
    if skew_s > settings.preflight_max_clock_skew_s:
        found.append(
            f"clock: expected within {settings.preflight_max_clock_skew_s} s of this machine's, got "
            f"{skew_s:.0f} s off; run an NTP client there (apt install systemd-timesyncd): logins and TLS depend on it"
        )
    return found


def mtu_between(hosts: Iterable[tuple[Settings, Machine]]) -> int | None:
    """The smallest MTU of the interfaces that hosts of a swarm reach each other by; None where none is known."""
    found = [
        machine.mtus[address][1]
        for settings, machine in hosts
        for address in [settings.swarm_address or machine.address]
        if address in machine.mtus and machine.mtus[address][1]
    ]
    return min(found, default=None)
