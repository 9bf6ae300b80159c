"""Which packages a host has, by dpkg, by rpm, or by neither; and where apt fetches them from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.fake_system import FakeSystem
from webui_stack.host import packages
from webui_stack.host.errors import HostError

DPKG = (
    "ii \tbash\t5.2.37-2+b5\n"
    "rc \tdocker.io\t20.10.24+dfsg1-1\n"  # removed, and its configuration stays
    "un \tdocker-ce\t\n"
    "hi \topenssh-server\t1:10.0p1-7\n"  # installed, and held
    "iU \tbroken\t1.0\n"  # unpacked, and not configured
)
RPM = "bash\t0:5.2.26-4.el10\ndocker-ce\t3:28.1.1-1.el10\n"


def test_packages_of_dpkg_are_those_that_are_installed(tmp_path: Path) -> None:
    """One that was removed and left its configuration does not count."""
    found = packages.installed(FakeSystem(tmp_path, dpkg_query=DPKG))
    assert found == {"bash": "5.2.37-2+b5", "openssh-server": "1:10.0p1-7"}


def test_packages_of_rpm_have_their_epoch_and_release(tmp_path: Path) -> None:
    found = packages.installed(FakeSystem(tmp_path, rpm=RPM))
    assert found == {"bash": "0:5.2.26-4.el10", "docker-ce": "3:28.1.1-1.el10"}


def test_a_host_of_debians_that_has_rpm_as_well_is_dpkgs(tmp_path: Path) -> None:
    assert "openssh-server" in packages.installed(FakeSystem(tmp_path, dpkg_query=DPKG, rpm=RPM))


def test_a_host_with_neither_has_no_packages(tmp_path: Path) -> None:
    assert packages.installed(FakeSystem(tmp_path)) == {}


@pytest.mark.parametrize("name", ["dpkg_query", "rpm"])
def test_a_database_of_packages_that_does_not_answer_is_not_an_empty_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(HostError, match="expected an answer to"):
        packages.installed(FakeSystem(tmp_path, **{name: lambda _: None}))


def test_sources_of_apt_are_told_without_names_and_passwords(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    host.put("/etc/apt/sources.list", "deb https://user:sesame@mirror.example.org/debian trixie main\n")
    host.put("/etc/apt/sources.list.d/docker.sources", "URIs: https://token@download.example.org/\nSuites: trixie\n")
    host.put("/etc/apt/sources.list.d/own.list", "deb http://mirror.example.org/debian trixie main # me@example.org\n")
    host.put("/etc/apt/sources.list.d/own.list.save", "deb http://elsewhere trixie main\n")
    (host.path("/etc/apt/sources.list.d") / "folder.list").mkdir()
    assert packages.apt_sources(host) == {
        "/etc/apt/sources.list": "deb https://mirror.example.org/debian trixie main\n",
        "/etc/apt/sources.list.d/docker.sources": "URIs: https://download.example.org/\nSuites: trixie\n",
        "/etc/apt/sources.list.d/own.list": "deb http://mirror.example.org/debian trixie main # me@example.org\n",
    }


def test_a_host_without_apt_has_no_sources_of_it(tmp_path: Path) -> None:
    assert packages.apt_sources(FakeSystem(tmp_path)) == {}
