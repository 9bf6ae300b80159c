"""An operator who does not become root on a host reads one line that says why, and how to fix it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.session import BY_HAND, Lab, state

pytestmark = pytest.mark.lab

PASSWORD = "right horse"


@pytest.fixture(scope="module")
def spare(lab: Lab) -> Iterator[Any]:
    """A host with two more users: `asked`, who may use sudo with a password, and `outsider`, who may not."""
    host = lab.host(BY_HAND)
    for user in ("asked", "outsider"):
        host.check_output(
            f"useradd --create-home --shell /bin/bash {user} && echo '{user}:{PASSWORD}' | chpasswd && "
            f"install -d -m 700 -o {user} -g {user} /home/{user}/.ssh && "
            f"install -m 600 -o {user} -g {user} /home/ops/.ssh/authorized_keys /home/{user}/.ssh/"
        )
    host.check_output("echo 'asked ALL=(ALL) ALL' >/etc/sudoers.d/asked")
    yield host
    host.check_output("rm /etc/sudoers.d/asked; userdel --remove asked; userdel --remove outsider")


def refused(lab: Lab, **data: Any) -> str:
    """What a deploy prints that has to fail before it changes anything."""
    before = state(lab.host(BY_HAND))
    result = lab.run("-y", "deploy.py", limit=BY_HAND, TEST_HOST_DATA=json.dumps({BY_HAND: data}))
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stdout
    assert "please report" not in result.stdout
    assert state(lab.host(BY_HAND)) == before
    return result.stdout


def test_a_password_that_nobody_gave(lab: Lab, spare: Any) -> None:
    said = refused(lab, ssh_user="asked")
    assert "sudo: expected no password for asked, got asked for one; set _sudo_password" in said


def test_a_user_that_sudo_does_not_know(lab: Lab, spare: Any) -> None:
    said = refused(lab, ssh_user="outsider", _sudo_password=PASSWORD)
    assert "sudo: expected the password of outsider and a line in the host's sudoers, got a refusal" in said


def test_a_temporary_folder_without_programs(lab: Lab, spare: Any) -> None:
    spare.check_output("mount -o remount,noexec /tmp")
    try:
        said = refused(lab, ssh_user="asked", _sudo_password=PASSWORD)
        assert "sudo: expected to run pyinfra's password helper in /tmp, got /tmp mounted noexec; set _temp_dir" in said
        data = json.dumps({BY_HAND: {"ssh_user": "asked", "_sudo_password": PASSWORD, "_temp_dir": "/var/tmp"}})
        seen = lab.run("deploy.py", "--dry", limit=BY_HAND, TEST_HOST_DATA=data).stdout
        assert f"[{BY_HAND}] Ready: deploy.py" in seen, seen  # the host was looked at; what is on it is other tests'
        assert "sudo: expected" not in seen
    finally:
        spare.check_output("mount -o remount,exec /tmp")


def test_a_host_without_sudo(lab: Lab, spare: Any) -> None:
    # All that this user's shell finds: the host keeps its sudo, which this test needs itself.
    spare.check_output("mkdir /home/asked/bin && ln -s /bin/sh /usr/bin/id /usr/bin/sed /home/asked/bin")
    spare.check_output("echo PATH=/home/asked/bin >/home/asked/.bashrc")
    try:
        said = refused(lab, ssh_user="asked")
        assert "sudo: expected it on the host, got none (the SSH user is asked); install sudo there" in said
    finally:
        spare.check_output("rm -r /home/asked/bin /home/asked/.bashrc")
