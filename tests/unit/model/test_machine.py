"""A host is read right, and one that can't carry the stack is told why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import surveys
from tests.defaults import FIXTURES, settings
from tests.surveys import Document, changed
from webui_stack.host.machine import os_release
from webui_stack.model import machine, ports
from webui_stack.model.machine import Machine


def read(part: Document) -> Machine:
    """A host that says this of itself, as a run reads it."""
    return surveys.parsed(changed(surveys.DEPLOYED, machine=part)).machine


# A lab host, and a Debian 12 container without systemd.
DEBIAN_13 = read(surveys.captured("machine/debian-13"))
CONTAINER = read(surveys.captured("machine/debian-12-container"))
NOW = float(DEBIAN_13.epoch_s)

OS_RELEASE = {
    "debian-12": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
    "debian-11": 'ID=debian\nVERSION_ID="11"\nVERSION_CODENAME=bullseye\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"',
    "ubuntu-22.04": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\n'
    'PRETTY_NAME="Ubuntu 22.04.5 LTS"',
    "ubuntu-24.04": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n'
    'PRETTY_NAME="Ubuntu 24.04.3 LTS"',
    "ubuntu-20.04": 'ID=ubuntu\nVERSION_ID="20.04"\nVERSION_CODENAME=focal\nPRETTY_NAME="Ubuntu 20.04.6 LTS"',
    **{path.name: path.read_text() for path in (FIXTURES / "machine" / "os-release").iterdir()},
    "rhel-8": 'ID="rhel"\nVERSION_ID="8.10"\nPRETTY_NAME="Red Hat Enterprise Linux 8.10 (Ootpa)"',
    "rhel-7": 'ID="rhel"\nVERSION_ID="7.9"\nPRETTY_NAME="Red Hat Enterprise Linux Server 7.9 (Maipo)"',
    "centos-stream-10": 'ID="centos"\nVERSION_ID="10"\nPRETTY_NAME="CentOS Stream 10 (Coughlan)"',
    "rocky-9": 'ID="rocky"\nVERSION_ID="9.5"\nPRETTY_NAME="Rocky Linux 9.5 (Blue Onyx)"',
    "fedora-42": 'ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora Linux 42 (Server Edition)"',
    "alpine": 'ID=alpine\nVERSION_ID=3.22.1\nPRETTY_NAME="Alpine Linux v3.22"',
}


def running(system: str) -> Machine:
    """The lab host, were it running `system`."""
    return read({"os_release": os_release(OS_RELEASE[system])})


def refusals(observed: Machine, *, has_stack: bool = False, now_s: float = NOW, **changes: Any) -> list[str]:
    return machine.refusals(observed, settings(**changes), now_s, has_stack=has_stack)


# --- Reading ----------------------------------------------------------------------------------------


def test_a_lab_host_is_read_whole() -> None:
    expected = Machine(
        distribution="debian",
        version="13",
        codename="trixie",
        pretty_name="Debian GNU/Linux 13 (trixie)",
        architecture="x86_64",
        is_root=True,
        has_systemd=True,
        memory_mb=22486,
        disk_mb=66161,
        epoch_s=1795370754,
    )
    assert expected == DEBIAN_13


def test_a_container_has_no_systemd() -> None:
    assert (CONTAINER.version, CONTAINER.codename, CONTAINER.has_systemd) == ("12", "bookworm", False)


def test_nothing_read_is_an_unknown_system_and_nobody() -> None:
    assert Machine() == Machine("", "", "", "an unknown system", "", False, False, 0, 0, 0)
    assert read({"os_release": {}}).pretty_name == "an unknown system"
    nobody = refusals(Machine(), now_s=0)
    assert [line.partition(":")[0] for line in nobody] == ["system", "architecture", "privileges", "memory", "disk"]


def test_of_two_file_systems_the_one_with_less_room_decides() -> None:
    """Docker's data and the images of containerd may be on different ones."""
    part = {"disk": {"free_kb": 9437184, "folder": "/var/lib/docker"}}
    images = {"free_kb": 5242880, "folder": "/var/lib/containerd"}
    full = read({**part, "images_disk": images})
    assert (full.disk_folder, full.disk_mb) == ("/var/lib/containerd", 5120)
    for other in (None, {**images, "free_kb": 9437184}, {**images, "free_kb": 9999999}):
        assert read({**part, "images_disk": other}).disk_folder == "/var/lib/docker"


def test_who_listens_is_read_with_the_containers_that_publish() -> None:
    nginx = {"address": "0.0.0.0", "port": 80, "program": "nginx", "pid": 812}
    wiki = {"container": "wiki", "address": "127.0.0.1", "port": 2990}
    assert read({"listening": [nginx], "published": [wiki]}).taken == (
        ports.Taken("127.0.0.1", 2990, container="wiki"),
        ports.Taken("0.0.0.0", 80, program="nginx (pid 812)"),
    )


@pytest.mark.parametrize(
    ("system", "manager", "repository"),
    [
        ("debian-12", "apt", "debian"),
        ("ubuntu-22.04", "apt", "ubuntu"),
        ("rhel-8", "dnf", "rhel"),
        ("centos-stream-10", "dnf", "centos"),
        ("rocky-9", "dnf", "centos"),
        ("almalinux-9", "dnf", "centos"),
        ("linuxmint-22", "apt", "ubuntu"),
        ("lmde-6", "apt", "debian"),
        ("cloudlinux-9", "dnf", "centos"),
    ],
)
def test_where_dockers_packages_for_it_are(system: str, manager: str, repository: str) -> None:
    observed = running(system)
    assert (observed.package_manager, observed.repository) == (manager, repository)


@pytest.mark.parametrize(("architecture", "expected"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_architecture_in_dockers_words(architecture: str, expected: str) -> None:
    assert replace(DEBIAN_13, architecture=architecture).docker_architecture == expected


# --- Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "system",
    [
        "debian-12",
        "ubuntu-22.04",
        "ubuntu-24.04",
        "rhel-8",
        "centos-stream-10",
        "rocky-9",
        "almalinux-9",
        "ubuntu-26.04",
        "linuxmint-22",
        "lmde-6",
        "pop-22.04",
        "raspberrypi-13",
        "cloudlinux-9",
    ],
)
def test_supported_system_is_welcome(system: str) -> None:
    assert refusals(running(system)) == []


@pytest.mark.parametrize(
    ("system", "shown"),
    [
        ("debian-11", "Debian GNU/Linux 11 (bullseye)"),
        ("debian-testing", "Debian GNU/Linux forky/sid"),
        ("ubuntu-20.04", "Ubuntu 20.04.6 LTS"),
        ("rhel-7", "Red Hat Enterprise Linux Server 7.9 (Maipo)"),
        ("fedora-42", "Fedora Linux 42 (Server Edition)"),
        ("alpine", "Alpine Linux v3.22"),
    ],
)
def test_unsupported_system_is_refused_by_its_name(system: str, shown: str) -> None:
    assert refusals(running(system)) == [
        "system: expected Debian 12/13, Ubuntu 22.04/24.04/26.04, or RHEL, CentOS Stream, Rocky, AlmaLinux 8-10, "
        f"or a derivative of these, got {shown}; install Docker on it yourself and set docker_source = 'present'"
    ]


@pytest.mark.parametrize(
    ("system", "release"),
    [
        ("linuxmint-22", ("ubuntu", "24.04", "noble")),
        ("pop-22.04", ("ubuntu", "22.04", "jammy")),
        ("lmde-6", ("debian", "12", "bookworm")),
        ("raspberrypi-13", ("debian", "13", "trixie")),
        ("ubuntu-26.04", ("ubuntu", "26.04", "resolute")),
        ("debian-testing", ("debian", "", "forky")),
        ("cloudlinux-9", ("centos", "9.4", "")),
        ("almalinux-9", ("almalinux", "9.3", "")),
        ("fedora-42", ("fedora", "42", "")),
        ("arch", ("arch", "", "")),
    ],
)
def test_a_derivative_is_the_release_it_is_made_from(system: str, release: tuple[str, str, str]) -> None:
    observed = running(system)
    assert (observed.distribution, observed.version, observed.codename) == release


@pytest.mark.parametrize("system", sorted(OS_RELEASE))
def test_docker_that_is_there_is_good_on_any_linux_with_systemd(system: str) -> None:
    assert refusals(running(system), docker_source="present") == []


def test_an_unknown_system_without_systemd_is_refused_though_docker_is_there() -> None:
    alpine = replace(running("alpine"), has_systemd=False)
    assert refusals(alpine, docker_source="present") == [
        "system: expected a Linux with systemd, got Alpine Linux v3.22 without it; use another system"
    ]
    assert refusals(replace(running("debian-12"), has_systemd=False), docker_source="present") == []


# --- Folders ------------------------------------------------------------------------------------------


def test_a_stack_dir_that_is_a_link_is_refused_with_where_it_leads() -> None:
    assert refusals(read({"links": {"/opt/open-webui": "/srv/data/open-webui"}})) == [
        "stack_dir: expected a folder, got a link at /opt/open-webui; set stack_dir = '/srv/data/open-webui', where it "
        "leads"
    ]


def test_a_backup_dir_that_is_a_link_is_refused_with_where_it_leads() -> None:
    """Its owner and mode would be changed where it leads, which no check of `backup_dir` has seen."""
    assert refusals(read({"links": {"/var/backups/open-webui": "/home/alice"}})) == [
        "backup_dir: expected a folder, got a link at /var/backups/open-webui; set backup_dir = '/home/alice', where "
        "it leads"
    ]


# --- Networks between hosts ---------------------------------------------------------------------------


def host(mtus: dict[str, tuple[str, int]], address: str = "") -> Machine:
    return replace(DEBIAN_13, mtus=mtus, address=address)


def test_the_smallest_mtu_of_the_interfaces_between_hosts_counts() -> None:
    one = host({"192.0.2.1": ("eth0", 1500), "10.0.0.1": ("wg0", 1420)}, "192.0.2.1")
    two = host({"192.0.2.2": ("eth0", 1450)}, "192.0.2.2")
    plain = settings()
    tunnel = plain.model_copy(update={"swarm_address": "10.0.0.1"})
    assert machine.mtu_between([(plain, one)]) == 1500
    assert machine.mtu_between([(plain, one), (plain, two)]) == 1450
    assert machine.mtu_between([(tunnel, one), (plain, two)]) == 1420


def test_an_mtu_nobody_could_tell_is_none() -> None:
    assert (
        machine.mtu_between([(settings(), DEBIAN_13), (settings(), host({"192.0.2.1": ("eth0", 0)}, "192.0.2.1"))])
        is None
    )


def test_addresses_are_read_with_their_interfaces() -> None:
    found = read({"addresses": [{"address": "192.0.2.1", "interface": "eth0", "mtu": 1400}], "route": "192.0.2.1"})
    assert (found.mtus, found.address) == ({"192.0.2.1": ("eth0", 1400)}, "192.0.2.1")


MEMORY = "memory: expected 1024 MB available, got 512 MB; add memory or lower preflight_min_memory_mb"
DISK = "disk: expected 8192 MB free under /var/lib, got 8191 MB; free some or lower preflight_min_disk_mb"
NTP = "run an NTP client there (apt install systemd-timesyncd): logins and TLS depend on it"


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        pytest.param({}, [], id="a good host"),
        pytest.param({"architecture": "aarch64"}, [], id="ARM, 64 bits"),
        pytest.param(
            {"architecture": "armv7l"},
            ["architecture: expected x86_64 or aarch64, got armv7l; Open WebUI publishes no image for it"],
            id="ARM, 32 bits",
        ),
        pytest.param(
            {"is_root": False},
            [
                "privileges: expected root, got an ordinary user; set _sudo = True for the host, "
                "and give the SSH user sudo (with a password: _sudo_password)"
            ],
            id="not root",
        ),
        pytest.param({"memory_mb": 1024, "disk_mb": 8192}, [], id="just enough"),
        pytest.param({"memory_mb": 512}, [MEMORY], id="little memory"),
        pytest.param({"disk_mb": 8191}, [DISK], id="little disk"),
        pytest.param({"epoch_s": DEBIAN_13.epoch_s + 120}, [], id="clock just within"),
        pytest.param(
            {"epoch_s": DEBIAN_13.epoch_s + 121},
            [f"clock: expected within 120 s of this machine's, got 121 s off; {NTP}"],
            id="clock ahead",
        ),
        pytest.param(
            {"epoch_s": DEBIAN_13.epoch_s - 86400},
            [f"clock: expected within 120 s of this machine's, got 86400 s off; {NTP}"],
            id="clock a day behind",
        ),
        pytest.param({"has_systemd": False}, [], id="without systemd"),
        pytest.param({"memory_mb": 512, "disk_mb": 8191}, [MEMORY, DISK], id="two at once"),
    ],
)
def test_a_host_carries_the_stack_or_is_refused(changes: dict[str, object], lines: list[str]) -> None:
    assert refusals(replace(DEBIAN_13, **changes)) == lines  # type: ignore[arg-type]


def test_a_host_that_runs_the_stack_is_not_asked_for_its_memory_again() -> None:
    observed = replace(DEBIAN_13, memory_mb=0, disk_mb=0)
    assert refusals(observed, has_stack=True) == []
    assert len(refusals(observed, has_stack=False)) == 2


def test_a_running_stack_excuses_nothing_else() -> None:
    found = refusals(replace(DEBIAN_13, is_root=False, architecture="armv7l", epoch_s=0), has_stack=True)
    assert [line.partition(":")[0] for line in found] == ["architecture", "privileges", "clock"]


def test_zero_switches_memory_and_disk_off() -> None:
    observed = replace(DEBIAN_13, memory_mb=0, disk_mb=0)
    relaxed = settings(preflight_min_memory_mb=0, preflight_min_disk_mb=0)
    assert machine.refusals(observed, relaxed, NOW, has_stack=False) == []
