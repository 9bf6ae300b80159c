"""Docker on a host is read right, and each host Docker can't come to is told why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import surveys
from tests.surveys import Document, changed
from webui_stack.model import docker, machine
from webui_stack.model.docker import Engine, Source


def read(part: Document) -> Engine:
    """What a host without Docker says of it, but for these values, as a run reads it."""
    return surveys.parsed(changed(surveys.DEPLOYED, engine={**surveys.NO_ENGINE, **part})).engine


# Lab hosts: Debian 13 with docker.io after a deploy, and before anything was installed.
DEPLOYED = read(surveys.captured("engine/debian-13-docker.io-26.1.5"))
FRESH = read(surveys.captured("engine/debian-13-fresh"))

DEBIAN_13 = machine.parse(surveys.captured("machine/debian-13"))
DEBIAN_12 = replace(DEBIAN_13, version="12", codename="bookworm", pretty_name="Debian GNU/Linux 12 (bookworm)")
UBUNTU = replace(DEBIAN_13, distribution="ubuntu", version="24.04", codename="noble", pretty_name="Ubuntu 24.04.3 LTS")
RHEL = replace(
    DEBIAN_13, distribution="rhel", version="9.4", codename="", pretty_name="Red Hat Enterprise Linux 9.4 (Plow)"
)
CE = frozenset(docker.packages(DEBIAN_13, "docker-ce"))
DOCKER_CE = Engine(
    server="28.1.1",
    compose="2.35.1",
    has_cli=True,
    processes=frozenset({"containerd", "dockerd"}),
    versions=dict.fromkeys(CE, ""),
)


# --- Reading ----------------------------------------------------------------------------------------


def test_a_host_with_the_distributions_docker_is_read_whole() -> None:
    assert replace(DEPLOYED, versions={}) == Engine(
        server="26.1.5+dfsg1",
        compose="2.26.1-4",
        has_cli=True,
        running_containers=2,
        processes=frozenset({"dockerd", "containerd"}),
    )
    assert DEPLOYED.packages >= {"docker.io", "docker-cli", "docker-compose", "containerd", "runc"}
    assert len(DEPLOYED.packages) == 153


def test_a_newer_engine_is_read_as_well() -> None:
    found = read(surveys.captured("engine/debian-13-docker.io-28.5.2"))
    assert (found.server, found.compose, found.running_containers) == ("28.5.2+dfsg4", "2.40.3-3", 2)
    assert found.family.keys() == {"docker.io", "docker-cli", "docker-compose", "containerd", "runc"}
    assert docker.shortcomings(found) == []
    assert docker.unproved(found.server, found.compose) == []
    assert docker.knows_start_interval(found.server)


def test_a_fresh_host_has_no_docker() -> None:
    assert replace(FRESH, versions={}) == Engine()
    assert {"curl", "ca-certificates"} <= FRESH.packages
    assert not [name for name in FRESH.packages if "docker" in name]


def test_an_engine_s_own_packages_are_told_from_the_others() -> None:
    assert read({"packages": {"bash": "5.2-1", "runc": "1.1.15+ds1-2+b4"}}).family == {"runc": "1.1.15+ds1-2+b4"}


def test_no_docker_is_an_empty_engine() -> None:
    assert read({}) == Engine()


def test_a_stopped_engine_has_a_client_and_no_version() -> None:
    assert read({"cli": True, "compose": "2.26.1"}) == Engine(has_cli=True, compose="2.26.1")


def test_a_compose_version_loses_its_v() -> None:
    assert read({"compose": "v2.40.0"}).compose == "2.40.0"


# --- What to install --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "source", "expected"),
    [
        pytest.param(DEBIAN_13, "distro", ["docker.io", "docker-cli", "docker-compose"], id="Debian's own"),
        pytest.param(UBUNTU, "distro", ["docker.io", "docker-compose-v2"], id="Ubuntu's own"),
        pytest.param(
            RHEL,
            "docker-ce",
            ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"],
            id="Docker's, for dnf",
        ),
    ],
)
def test_packages_by_source(host: machine.Machine, source: Source, expected: list[str]) -> None:
    assert docker.packages(host, source) == expected


@pytest.mark.parametrize(
    ("host", "installed", "source", "expected"),
    [
        pytest.param(DEBIAN_13, FRESH.packages, "docker-ce", [], id="a fresh host"),
        pytest.param(DEBIAN_13, CE, "docker-ce", [], id="its own packages"),
        pytest.param(
            DEBIAN_13,
            DEPLOYED.packages,
            "docker-ce",
            ["docker.io", "docker-cli", "docker-compose", "containerd", "runc"],
            id="Debian's before Docker's",
        ),
        pytest.param(
            DEBIAN_13,
            CE,
            "distro",
            ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"],
            id="Docker's before Debian's",
        ),
        pytest.param(RHEL, frozenset({"podman-docker", "runc"}), "docker-ce", ["podman-docker", "runc"], id="podman"),
    ],
)
def test_rivals_that_have_to_go(
    host: machine.Machine, installed: frozenset[str], source: Source, expected: list[str]
) -> None:
    assert docker.conflicts(host, Engine(versions=dict.fromkeys(installed, "")), source) == expected


# --- Refusals ---------------------------------------------------------------------------------------

REFUSALS = [
    pytest.param(DEBIAN_13, FRESH, "docker-ce", [], id="fresh host, docker-ce"),
    pytest.param(DEBIAN_13, FRESH, "distro", [], id="fresh host, distro"),
    pytest.param(DEBIAN_13, DEPLOYED, "distro", [], id="its own packages again, distro"),
    pytest.param(DEBIAN_13, DOCKER_CE, "docker-ce", [], id="its own packages again, docker-ce"),
    pytest.param(UBUNTU, FRESH, "distro", [], id="Ubuntu, distro"),
    pytest.param(DEBIAN_12, FRESH, "docker-ce", [], id="Debian 12, docker-ce"),
    pytest.param(RHEL, FRESH, "docker-ce", [], id="RHEL, docker-ce"),
    pytest.param(
        DEBIAN_13,
        Engine(versions=DEPLOYED.versions),
        "docker-ce",
        [],
        id="rivals that don't run are replaced",
    ),
    pytest.param(
        DEBIAN_12,
        FRESH,
        "distro",
        [
            "docker_source: expected a distribution with Compose v2, got Debian 12, whose packages have none; "
            "set docker_source = 'docker-ce', or upgrade the host to Debian 13"
        ],
        id="Debian 12, distro",
    ),
    pytest.param(
        RHEL,
        FRESH,
        "distro",
        [
            "docker_source: expected a distribution with Docker packages, got Red Hat Enterprise Linux 9.4 (Plow); "
            "set docker_source = 'docker-ce'"
        ],
        id="RHEL, distro",
    ),
    pytest.param(
        DEBIAN_13,
        DEPLOYED,
        "docker-ce",
        [
            "docker_source: expected no other engine, got docker.io, docker-cli, docker-compose, containerd, runc with "
            "containerd, dockerd running and 2 containers up; keep it with docker_source = 'distro' or 'present', "
            "or remove it yourself first"
        ],
        id="Debian's engine runs, docker-ce",
    ),
    pytest.param(
        DEBIAN_13,
        DOCKER_CE,
        "distro",
        [
            "docker_source: expected no other engine, got docker-ce, docker-ce-cli, containerd.io, "
            "docker-buildx-plugin, docker-compose-plugin with containerd, dockerd running and 0 containers up; "
            "keep it with docker_source = 'docker-ce' or 'present', or remove it yourself first"
        ],
        id="Docker's engine runs, distro",
    ),
    pytest.param(
        DEBIAN_13,
        Engine(versions={"containerd": "1.7", "runc": "1.1"}, processes=frozenset({"containerd"})),
        "docker-ce",
        [
            "docker_source: expected no other engine, got containerd, runc with containerd running and 0 containers "
            "up; keep it with docker_source = 'distro' or 'present', or remove it yourself first"
        ],
        id="a Kubernetes node's containerd runs",
    ),
    pytest.param(
        DEBIAN_13,
        replace(FRESH, server="28.0.0", has_cli=True),
        "docker-ce",
        [
            "docker_source: expected no engine or one from packages, got Docker 28.0.0 installed some other way; "
            "set docker_source = 'present' to use it as it is"
        ],
        id="an engine from no package",
    ),
    pytest.param(DEBIAN_13, DOCKER_CE, "present", [], id="present and new enough"),
    pytest.param(DEBIAN_12, DOCKER_CE, "present", [], id="present on Debian 12"),
    pytest.param(
        DEBIAN_13,
        FRESH,
        "present",
        [
            "docker: expected it to be installed (docker_source = 'present'), got no docker command; "
            "install it, or set docker_source = 'docker-ce'"
        ],
        id="present without docker",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("host", "observed", "source", "lines"), REFUSALS)
def test_docker_may_come_from_there_or_is_refused(
    host: machine.Machine, observed: Engine, source: Source, lines: list[str]
) -> None:
    assert docker.refusals(host, observed, source) == lines


STOPPED = (
    "docker: expected a running engine, got none; look at `journalctl -u docker` (or /var/log/docker.log) on the host"
)
NO_COMPOSE = (
    "; install docker-compose-plugin (Docker's repository) or docker-compose (Debian 13)"
)  # fmt: skip


@pytest.mark.parametrize(
    ("server", "compose", "lines"),
    [
        pytest.param("26.1.5+dfsg1", "2.26.1-4", [], id="Debian 13's"),
        pytest.param("20.10.0", "2.21.0", [], id="just new enough"),
        pytest.param("28.1.1", "2.35.1-desktop.1", [], id="Docker Desktop's"),
        pytest.param("28.1.1", "2.40.3+ds1-0ubuntu1", [], id="Ubuntu's"),
        pytest.param("28.1.1", "5.0.0", [], id="a later major version"),
        pytest.param("", "2.26.1", [STOPPED], id="not running"),
        pytest.param(
            "19.03.15", "2.26.1", ["docker: expected Engine 20.10 or newer, got 19.03.15; upgrade it"], id="old engine"
        ),
        pytest.param(
            "26.1.5",
            "2.20.3",
            [f"docker compose: expected version 2.21 or newer, got 2.20.3{NO_COMPOSE}"],
            id="old compose",
        ),
        pytest.param(
            "26.1.5",
            "1.29.2",
            [f"docker compose: expected version 2.21 or newer, got 1.29.2{NO_COMPOSE}"],
            id="compose 1",
        ),
        pytest.param(
            "26.1.5",
            "",
            [f"docker compose: expected version 2.21 or newer, got none{NO_COMPOSE}"],
            id="no compose",
        ),
        pytest.param(
            "",
            "",
            [STOPPED, f"docker compose: expected version 2.21 or newer, got none{NO_COMPOSE}"],
            id="nothing",
        ),
    ],
)
def test_an_engine_too_old_for_the_stack(server: str, compose: str, lines: list[str]) -> None:
    assert docker.shortcomings(Engine(has_cli=True, server=server, compose=compose)) == lines


@pytest.mark.parametrize(
    ("server", "compose", "expected"),
    [
        pytest.param("28.5.2+dfsg4", "2.40.3-3", [], id="proved"),
        pytest.param("20.10.24", "2.21.0", [], id="older"),
        pytest.param("28.99.0", "2.99.0", [], id="a newer minor"),
        pytest.param("29.0.0-rc.1", "2.40.3", ["Engine 29.0.0-rc.1, proved up to 28.x"], id="a newer engine"),
        pytest.param("28.5.2", "5.0.0", ["Compose 5.0.0, proved up to 2.x"], id="a newer compose"),
        pytest.param("", "", [], id="unknown"),
    ],
)
def test_a_major_release_that_nothing_was_proved_on_is_named(server: str, compose: str, expected: list[str]) -> None:
    assert docker.unproved(server, compose) == expected
