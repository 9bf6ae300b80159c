"""A real engine behaves as the one in memory does: the cases of the contract, at the socket of a lab host's Docker."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.contract import CASES, SWARM_CASES, Case, Subject
from tests.lab.precious import OFTEN_S, within
from tests.lab.session import CONTAINERD, NEWER, SPARE, SSH_CONFIG, Lab
from webui_stack.host.engine import Engine

pytestmark = pytest.mark.lab

# Debian 13's own engine, and a newer one with either store of images.
HOSTS = [SPARE, NEWER, CONTAINERD]
IMAGE = "contract-image:1"


@pytest.fixture(scope="module", params=HOSTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def subject(name: str, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """The engine of a host, through SSH, with an image that nothing else uses."""
    lab.report("-y", "tests/lab/docker_alone.py", limit=name)
    host = lab.host(name)
    image = lab.inventory["images"]["valkey"]
    host.check_output("docker pull --quiet %s && docker tag %s %s", image, image, IMAGE)
    host.check_output("chmod 666 /var/run/docker.sock")  # the SSH user is not root
    socket = tmp_path_factory.mktemp("engine") / "docker.sock"
    forward = ["ssh", "-F", SSH_CONFIG, "-N", "-L", f"{socket}:/var/run/docker.sock", name]
    tunnel = subprocess.Popen(forward, stdin=subprocess.DEVNULL)
    try:
        within(30, "SSH forwards the socket", lambda: Path(socket).exists(), OFTEN_S)
        yield Subject(Engine(str(socket)), IMAGE)
    finally:
        tunnel.terminate()
        tunnel.wait()
        host.check_output("chmod 660 /var/run/docker.sock; docker rmi %s", IMAGE)


@pytest.fixture
def manager(name: str, subject: Subject, lab: Lab) -> Iterator[Subject]:
    """The engine, while its host is a swarm of its own."""
    host = lab.host(name)
    _let_live_restore_be(host, "false")
    host.check_output("docker swarm init --advertise-addr 127.0.0.1")
    yield subject
    host.check_output("docker swarm leave --force")
    _let_live_restore_be(host, "true")


def _let_live_restore_be(host: Any, wanted: str) -> None:
    """Docker makes no swarm with it. It reads its file a moment after it was told to."""
    host.check_output(f'sed -i \'s/"live-restore": [a-z]*/"live-restore": {wanted}/\' /etc/docker/daemon.json')
    host.check_output("systemctl reload docker")
    ask = "docker info --format '{{.LiveRestoreEnabled}}'"
    within(30, "Docker has read its file", lambda: host.check_output(ask) == wanted, OFTEN_S)


@pytest.mark.parametrize("case", SWARM_CASES, ids=lambda case: case.__name__)
def test_a_real_swarm_keeps_the_contract(manager: Subject, case: Case) -> None:
    case(manager)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_real_engine_keeps_the_contract(subject: Subject, case: Case) -> None:
    try:
        case(subject)
    finally:
        subject.clear()
