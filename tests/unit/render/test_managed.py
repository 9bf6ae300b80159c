"""Docker's repository for apt and for dnf."""

from __future__ import annotations

from pathlib import Path

from tests import surveys
from tests.defaults import ROOT, settings
from webui_stack.model import machine
from webui_stack.render import managed

DEBIAN_13 = machine.parse(surveys.captured("machine/debian-13"))


def test_repository_for_apt() -> None:
    found = managed.repository(settings(docker_repo_url="https://packages.example.org/linux"), DEBIAN_13)
    assert found["/etc/apt/sources.list.d/docker.sources"] == (
        "# Written by open-webui-stack; a change made here is put back by the next deploy.\n"
        "Types: deb\n"
        "URIs: https://packages.example.org/linux/debian\n"
        "Suites: trixie\n"
        "Components: stable\n"
        "Architectures: amd64\n"
        "Signed-By: /etc/apt/keyrings/docker.asc\n"
    )


def test_repository_for_dnf_takes_its_key_from_a_file_and_never_from_where_the_packages_are(tmp_path: Path) -> None:
    rocky = machine.Machine(distribution="rocky", version="9.5", architecture="aarch64")
    found = managed.repository(settings(docker_repo_url="https://packages.example.org/linux"), rocky)
    assert found["/etc/yum.repos.d/docker-ce.repo"] == (
        "# Written by open-webui-stack; a change made here is put back by the next deploy.\n"
        "[docker-ce-stable]\n"
        "name=Docker CE Stable\n"
        "baseurl=https://packages.example.org/linux/centos/$releasever/$basearch/stable\n"
        "enabled=1\n"
        "gpgcheck=1\n"
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce\n"
    )
    key = "/etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce"
    assert found[key] == (ROOT / "templates/docker-ce.asc").read_text()
    own = tmp_path / "mirror.asc"
    own.write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmine\n-----END PGP PUBLIC KEY BLOCK-----\n")
    assert managed.repository(settings(docker_repo_rpm_key=str(own)), rocky)[key] == own.read_text()
