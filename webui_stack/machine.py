"""What a host is, and whether the stack can live on it. Pure: parses one command's output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from webui_stack.settings import Settings

# Distribution and releases Docker publishes packages for and this project was written against
# (https://docs.docker.com/engine/install/, 2026-11). RHEL's family is matched by major version.
_APT_RELEASES = {"debian": {"12", "13"}, "ubuntu": {"22.04", "24.04"}}
_RHEL_FAMILY = {"rhel", "centos", "rocky", "almalinux"}
_RHEL_MAJORS = {"8", "9", "10"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# One round trip. Every line is `key=value`; `os.` lines are /etc/os-release as it is.
COMMAND = r"""
sed -n 's/^\([A-Z_]*\)=/os.\1=/p' /etc/os-release
echo "architecture=$(uname -m)"
echo "uid=$(id -u)"
echo "init=$(cat /proc/1/comm)"
echo "memory_kb=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)"
d=/var/lib/docker; [ -d "$d" ] || d=/var/lib
echo "disk_kb=$(df -Pk "$d" | awk 'NR==2 {print $4}')"
echo "epoch_s=$(date +%s)"
"""


@dataclass(frozen=True)
class Machine:
    """One host as observed. Sizes in MB, time in seconds since the epoch."""

    distribution: str
    version: str
    codename: str
    pretty_name: str
    architecture: str
    is_root: bool
    has_systemd: bool
    memory_mb: int
    disk_mb: int
    epoch_s: int

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


def parse(lines: Iterable[str]) -> Machine:
    """Read `COMMAND`'s output. Missing values become empty or 0, which `refusals` then refuses."""
    values = dict(line.split("=", 1) for line in lines if "=" in line)

    def text(key: str) -> str:
        return values.get(key, "").strip().strip("\"'")

    def number(key: str) -> int:
        value = text(key)
        return int(value) if value.isdigit() else 0

    return Machine(
        distribution=text("os.ID"),
        version=text("os.VERSION_ID"),
        codename=text("os.VERSION_CODENAME"),
        pretty_name=text("os.PRETTY_NAME") or "an unknown system",
        architecture=text("architecture"),
        is_root=text("uid") == "0",
        has_systemd=text("init") == "systemd",
        memory_mb=number("memory_kb") // 1024,
        disk_mb=number("disk_kb") // 1024,
        epoch_s=number("epoch_s"),
    )


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
    if not is_supported(machine):
        found.append(
            "system: expected Debian 12/13, Ubuntu 22.04/24.04 or RHEL, CentOS Stream, Rocky, AlmaLinux 8-10, "
            f"got {machine.pretty_name}; install Docker yourself and set docker_source = 'present' on one of these"
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
                f"disk: expected {settings.preflight_min_disk_mb} MB free under /var/lib, got {machine.disk_mb} MB; "
                "free some or lower preflight_min_disk_mb"
            )
    skew_s = abs(machine.epoch_s - now_s)
    if skew_s > settings.preflight_max_clock_skew_s:
        found.append(
            f"clock: expected within {settings.preflight_max_clock_skew_s} s of this machine's, got "
            f"{skew_s:.0f} s off; run an NTP client there (apt install systemd-timesyncd): logins and TLS depend on it"
        )
    return found
