"""What Docker has of the stack, as its API answers: published ports, containers, networks, images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.host.fake_engine import FakeEngine
from tests.host.test_engine import CONTAINER
from webui_stack.host import stack
from webui_stack.host.engine import Network, NewContainer, Unavailable, objects

# As `GET /containers/json` of Docker 26.1 lists `-p 3000:8080 -p 127.0.0.1:5000-5001:5000-5001 -p 53:53/udp`.
PORTS = [
    {"IP": "0.0.0.0", "PrivatePort": 8080, "PublicPort": 3000, "Type": "tcp"},
    {"IP": "::", "PrivatePort": 8080, "PublicPort": 3000, "Type": "tcp"},
    {"IP": "127.0.0.1", "PrivatePort": 5000, "PublicPort": 5000, "Type": "tcp"},
    {"IP": "127.0.0.1", "PrivatePort": 5001, "PublicPort": 5001, "Type": "tcp"},
    {"IP": "0.0.0.0", "PrivatePort": 53, "PublicPort": 53, "Type": "udp"},
    {"PrivatePort": 6379, "Type": "tcp"},  # exposed, not published
]
INFO: dict[str, Any] = {
    "ID": "E1",
    "Name": "host",
    "ServerVersion": "26.1.5+dfsg1",
    "DockerRootDir": "/var/lib/docker",
    "Driver": "overlay2",
    "DriverStatus": [["Backing Filesystem", "extfs"]],
    "Containers": 3,
    "LiveRestoreEnabled": True,
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
    "Swarm": {"LocalNodeState": "inactive"},
}


def test_each_published_tcp_port_is_told_with_its_container_and_address() -> None:
    listed = objects.listed({"Names": ["/open-webui"], "Labels": None, "Ports": PORTS})
    assert [(one["container"], one["address"], one["port"]) for one in stack.published([listed])] == [
        ("open-webui", "0.0.0.0", 3000),
        ("open-webui", "::", 3000),
        ("open-webui", "127.0.0.1", 5000),
        ("open-webui", "127.0.0.1", 5001),
    ]


@pytest.mark.parametrize("ports", [None, []])
def test_a_container_without_ports_publishes_none(ports: Any) -> None:
    assert stack.published([objects.listed({"Names": ["/x"], "Ports": ports})]) == []


def test_labels_that_docker_calls_null_are_none() -> None:
    container = objects.container({**CONTAINER, "Config": {**CONTAINER["Config"], "Labels": None}})
    network = objects.network({"Id": "n", "Name": "n", "Driver": "bridge", "Scope": "local", "Labels": None})
    assert (stack.document(container)["labels"], network.labels) == ({}, {})
    assert objects.listed({"Names": ["/x"], "Labels": None}).labels == {}


@pytest.mark.parametrize("health", [None, {}, {"Status": "none", "Log": None}])
def test_without_a_health_check_there_is_no_health_and_no_probe(health: Any) -> None:
    found = stack.document(objects.container({**CONTAINER, "State": {**CONTAINER["State"], "Health": health}}))
    assert (found["health"], found["last_probe"]) == ("", None)


def test_a_container_is_told_without_its_environment() -> None:
    found = stack.document(objects.container(CONTAINER))
    assert found["last_probe"] == {"ended_at": "2026-11-22T21:08:30Z", "exit_code": 0, "output": "PONG"}
    assert found["networks"] == {"openwebui-network": {"id": "bc02", "address": "198.19.1.2"}}
    assert found["mounts"] == {"/data": "redis-data", "/set": "/opt/x"}
    assert "A=b=c" not in str(found)
    assert "b=c" not in str(found)


def test_containers_of_the_network_and_those_by_name_are_told_each_once() -> None:
    engine = FakeEngine()
    engine.docker.put_image("image:1")
    engine.docker.networks["net"] = Network("n1", "net", "bridge", "local", False, ("198.19.1.0/24",), {})
    for name, network in (("redis-valkey", "net"), ("somebodys", "net"), ("open-webui", "bridge")):
        engine.docker.put_container(name, NewContainer("image:1", network=network))
    engine.docker.put_container("elsewhere", NewContainer("image:1"))
    there, ids = stack.network(engine, "net")
    assert there is not None
    assert (there["id"], there["in_use"]) == ("n1", True)
    found = stack.containers(engine, ["redis-valkey", "open-webui", "open-webui-postgres", *ids])
    assert [one["name"] for one in found] == ["open-webui", "redis-valkey", "somebodys"]


def test_a_network_that_is_not_there_is_none_and_an_empty_one_not_in_use() -> None:
    engine = FakeEngine()
    assert stack.network(engine, "net") == (None, [])
    engine.docker.networks["net"] = Network("n1", "net", "bridge", "local", False, (), {})
    there, ids = stack.network(engine, "net")
    assert there is not None
    assert (there["in_use"], ids) == (False, [])


def test_an_overlays_own_end_is_no_container() -> None:
    class Overlay(FakeEngine):
        def network(self, name: str) -> Network:
            ends = {"lb-net": ("net-endpoint", "10.0.1.2/24"), "c1": ("open-webui.1", "10.0.1.3/24")}
            return Network("n1", name, "overlay", "swarm", False, (), {}, containers=ends)

    assert stack.network(Overlay(), "net")[1] == ["c1"]
    assert stack.gateways(Overlay(), "docker_gwbridge")["c1"] == "10.0.1.3"


def test_only_images_that_are_there_are_told() -> None:
    engine = FakeEngine()
    id_ = engine.docker.put_image("here:1")
    assert stack.images(engine, ["here:1", "gone:1"]) == {"here:1": {"id": id_, "digests": []}}


@pytest.mark.parametrize("question", ["image", "network", "container"])
def test_no_answer_is_not_nothing_there(question: str) -> None:
    engine = FakeEngine()
    engine.docker.down = True
    ask: dict[str, Callable[[], Any]] = {
        "image": lambda: stack.images(engine, ["x"]),
        "network": lambda: stack.network(engine, "x"),
        "container": lambda: stack.containers(engine, ["x"]),
    }
    with pytest.raises(Unavailable):
        ask[question]()


def test_the_engines_own_configuration_is_told() -> None:
    info = objects.info(INFO)
    ours = {stack.FOLDER_LABEL: "/opt/open-webui", stack.STACK_LABEL: "s"}
    running = [objects.listed({"Names": ["/a"], "Labels": ours}), objects.listed({"Names": ["/b"], "Labels": None})]
    assert stack.configuration(info, running) == {
        "live_restore": True,
        "swarm_state": "inactive",
        "remaps_users": False,
        "there": 3,
        "root": "/var/lib/docker",
        "driver": "overlay2",
        "containerd_store": False,
        "containers": [
            {"name": "a", "folder": "/opt/open-webui", "stack": "s"},
            {"name": "b", "folder": "", "stack": ""},
        ],
    }
    assert stack.configuration(objects.info({**INFO, "SecurityOptions": ["name=userns"]}), [])["remaps_users"]


def test_containerds_store_of_images_is_known_by_its_driver() -> None:
    """Docker 29 has it on new hosts."""
    status = [["driver-type", "io.containerd.snapshotter.v1"]]
    info = objects.info({**INFO, "Driver": "overlayfs", "DriverStatus": status})
    found = stack.configuration(info, [])
    assert (found["driver"], found["containerd_store"]) == ("overlayfs", True)


def test_of_an_engine_without_an_answer_nothing_is_said() -> None:
    found = stack.configuration(None, None)
    assert (found["containers"], found["swarm_state"], found["root"]) == (None, "", "")
