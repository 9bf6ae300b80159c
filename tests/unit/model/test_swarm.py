"""What a host says of its swarm, and what of its network, its stack and the shared folder is not as wanted."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import surveys
from tests.swarms import DATA_NODE, A, B, C, of
from webui_stack.model import compose, swarm
from webui_stack.model.swarm import Member, Node, Observed, Service

# --- What the survey says ---------------------------------------------------------------------------

MEMBER = {"state": "active", "id": "n1", "manages": True, "address": "198.18.0.11", "error": ""}
NODE = {
    **{"id": "n1", "name": "a", "role": "manager", "availability": "active", "labels": {"open-webui.data": "true"}},
    **{"state": "ready", "reachable": "reachable", "address": "198.18.0.11:2377"},
}
REDIS = {
    **{"name": "open-webui_redis", "definition": "1234", "running": 1, "hosts": 1, "wanted": 1},
    "update": "completed",
}
OPEN_WEBUI = {
    **{"name": "open-webui_open-webui", "definition": "5678", "running": 2, "hosts": 1, "wanted": 3},
    "update": "",
}


def read(part: dict[str, Any] | None, inputs: str = "") -> Observed:
    """A host that says this of its swarm, as a run reads it."""
    return surveys.parsed(surveys.changed(surveys.DEPLOYED, swarm=part, project={"inputs": inputs})).swarm


def test_a_host_in_a_swarm_is_read_whole() -> None:
    part = {
        "member": MEMBER,
        "nodes": [NODE],
        "services": [REDIS, OPEN_WEBUI],
        "known": {"inputs": "abcd", "open-webui_redis": "1234"},
        "known_images": {"registry/valkey:1": "sha256:77"},
    }
    found = read(part, "abcd")
    assert found.member == Member("active", "n1", manages=True, address="198.18.0.11")
    assert found.nodes == (
        Node("n1", "a", "manager", "active", {"open-webui.data": "true"}, "ready", "reachable", "198.18.0.11:2377"),
    )
    assert found.services == {
        "redis": Service("redis", "1234", running=1, hosts=1, wanted=1, update="completed"),
        "open-webui": Service("open-webui", "5678", running=2, hosts=1, wanted=3),
    }
    assert (found.inputs, found.known) == ("abcd", {"inputs": "abcd", "redis": "1234"})
    assert found.known_images == {"registry/valkey:1": "sha256:77"}


def test_a_stack_serves_where_a_replica_of_open_webui_runs() -> None:
    assert [
        Observed(services={"open-webui": Service("open-webui", "x", number, 1, 2)}).serves for number in (0, 1)
    ] == [
        False,
        True,
    ]
    assert not Observed(services={"redis": Service("redis", "x", 1, 1, 1)}).serves


def test_a_host_without_an_engine_is_in_no_swarm() -> None:
    assert read(None) == Observed()
    assert not read(None).is_member


def test_a_host_that_is_in_no_swarm_yet_is_told_what_its_stack_is_to_be() -> None:
    alone = {"state": "inactive", "id": "", "manages": False, "address": "", "error": ""}
    found = read({"member": alone, "nodes": [], "services": [], "known": {}, "known_images": {}}, "abcd")
    assert found == Observed(inputs="abcd")


# --- The network ------------------------------------------------------------------------------------

BRIDGE = compose.Network("1", "bridge", ("198.19.1.0/24",), is_ours=True)
OVERLAY = compose.Network("2", "overlay", ("198.19.129.0/24",), is_ours=True, is_encrypted=True)


def test_an_unused_bridge_of_ours_makes_way() -> None:
    assert swarm.network_refusals(of(), BRIDGE) == []
    assert swarm.is_leftover(BRIDGE)
    assert not swarm.is_leftover(OVERLAY)
    assert not swarm.is_leftover(None)


@pytest.mark.parametrize("network", [replace(BRIDGE, in_use=True), replace(BRIDGE, is_ours=False)])
def test_another_bridge_is_in_the_way(network: compose.Network) -> None:
    assert not swarm.is_leftover(network)
    (found,) = swarm.network_refusals(of(), network)
    assert found.startswith("openwebui-network: expected driver overlay, got bridge; ")


def test_an_overlay_has_to_be_encrypted_or_not_as_the_settings_say() -> None:
    assert swarm.network_refusals(of(), OVERLAY) == []
    (found,) = swarm.network_refusals(of(swarm_encrypted=False), OVERLAY)
    assert found.startswith("openwebui-network: expected swarm_encrypted = False, got one made otherwise; ")


def test_an_overlays_mtu_is_told_to_docker_where_the_hosts_have_a_smaller_one() -> None:
    mtu = "com.docker.network.driver.mtu"
    plain = of(swarm_encrypted=False)
    assert swarm.network_options(of(), 1500) == ["encrypted"]
    assert swarm.network_options(of(), None) == ["encrypted"]
    assert swarm.network_options(plain, 9000) == []  # what all hosts had until now
    assert swarm.network_options(plain, 1400) == [f"{mtu}=1400"]
    assert swarm.network_options(of(), 1400) == ["encrypted", f"{mtu}=1400"]
    assert swarm.network_options(of(swarm_mtu=8950, swarm_encrypted=False), 1400) == [f"{mtu}=8950"]


def test_an_overlay_whose_packets_do_not_fit_is_told() -> None:
    (line,) = swarm.too_large(OVERLAY, 1400)
    assert line.startswith(
        "openwebui-network: expected an MTU of 1400 or less, the smallest between the hosts, got 1500: large events "
        "may be lost; set swarm_mtu = 1400, "
    )
    assert swarm.too_large(OVERLAY, 1500) == []
    assert swarm.too_large(OVERLAY, None) == []
    assert swarm.too_large(replace(OVERLAY, mtu=1400), 1400) == []
    assert swarm.too_large(BRIDGE, 1400) == []
    assert swarm.too_large(None, 1400) == []


def test_an_overlay_of_another_mtu_than_the_settings_is_refused() -> None:
    assert swarm.network_refusals(of(swarm_mtu=1500), OVERLAY) == []
    (line,) = swarm.network_refusals(of(swarm_mtu=1400), OVERLAY)
    assert line.startswith("openwebui-network: expected swarm_mtu = 1400, got 1500; `docker stack rm open-webui` and ")


def test_a_host_with_a_stack_of_its_own_is_refused() -> None:
    container = {"open-webui": CONTAINER}
    (found,) = swarm.host_refusals(of(), compose.Observed(containers=container))
    assert found.startswith("topology: expected no stack of this host's own, got open-webui; it has people's data: ")
    task = {"open-webui": replace(CONTAINER, in_swarm=True)}
    assert swarm.host_refusals(of(), compose.Observed(containers=task)) == []


def test_a_task_is_known_by_its_services_label() -> None:
    labels = {"com.docker.swarm.service.name": "open-webui_open-webui"}
    containers = surveys.with_container(surveys.DEPLOYED, "open-webui", name="open-webui_open-webui.1.x", labels=labels)
    gateways = {containers[1]["id"]: "172.18.0.3"}
    found = surveys.parsed(surveys.changed(surveys.DEPLOYED, containers=containers, gateways=gateways)).services
    task = found.containers["open-webui_open-webui.1.x"]
    assert (task.in_swarm, task.service, task.address) == (True, "open-webui", "172.18.0.3")
    assert found.processes == {"open-webui_open-webui.1.x": "172.18.0.3"}
    assert not found.containers["redis-valkey"].in_swarm


CONTAINER = surveys.parsed(surveys.DEPLOYED).services.containers["open-webui"]

# --- The stack --------------------------------------------------------------------------------------

SERVICES = {"redis": "valkey:1", "open-webui": "webui:1"}
IMAGES = {"valkey:1": compose.Image("sha256:v"), "webui:1": compose.Image("sha256:w")}
GOOD = Observed(
    Member("active", "a1", manages=True),
    (A, B, C),
    {"redis": Service("redis", "r", 1, 1, 1), "open-webui": Service("open-webui", "o", 2, 2, 2)},
    "same",
    {"inputs": "same", "redis": "r", "open-webui": "o"},
    {"valkey:1": "sha256:v", "webui:1": "sha256:w"},
)


def reasons(observed: Observed, images: dict[str, compose.Image] = IMAGES) -> list[str]:
    return [str(item) for item in swarm.pending(observed, images, SERVICES)]


def test_a_stack_that_runs_as_wanted_is_left_alone() -> None:
    assert reasons(GOOD) == []


def having(name: str, **changes: Any) -> Observed:
    return replace(GOOD, services={**GOOD.services, name: replace(GOOD.services[name], **changes)})


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        (Observed(inputs="same"), "the stack is not there yet"),
        (replace(GOOD, inputs="other"), "the stack's definition changed"),
        (replace(GOOD, services={"redis": GOOD.services["redis"]}), "open-webui: is missing"),
        (having("redis", definition="x"), "redis: its definition was changed by hand"),
        (having("open-webui", running=1, hosts=1), "open-webui: 1 of 2 run"),
        (having("open-webui", hosts=1), "open-webui: its 2 replicas are on 1 of 2 hosts"),
        (
            replace(GOOD, services={**GOOD.services, "proxy": Service("proxy", "p", 1, 1, 1)}),
            "proxy: is not wanted any more",
        ),
        (replace(GOOD, known_images={**GOOD.known_images, "webui:1": "sha256:x"}), "open-webui: its image changed"),
    ],
)
def test_what_is_not_as_wanted_is_said(observed: Observed, reason: str) -> None:
    assert reasons(observed) == [reason]


def test_an_image_that_moved_under_its_tag_is_another() -> None:
    assert reasons(GOOD, {**IMAGES, "valkey:1": compose.Image("sha256:x")}) == ["redis: its image changed"]


def test_only_processes_that_could_be_spread_are_spread_again() -> None:
    crowded = having("open-webui", hosts=1)
    (work,) = swarm.pending(crowded, IMAGES, SERVICES)
    assert work.again == "open-webui"
    down = replace(crowded, nodes=(replace(A, labels={}), B, replace(C, state="down")))
    assert reasons(down) == []
    drained = replace(crowded, nodes=(A, replace(B, availability="drain"), replace(C, availability="drain")))
    assert reasons(drained) == []


def test_every_host_has_to_have_the_very_images() -> None:
    given = of(**DATA_NODE)
    references = enumerate(given.images.values())
    at_the_data = {reference: compose.Image(f"sha256:{number}") for number, reference in references}
    assert swarm.image_refusals(given, at_the_data, at_the_data) == []
    moved = {**at_the_data, given.valkey_image: compose.Image("sha256:other")}
    (found,) = swarm.image_refusals(given, moved, at_the_data)
    assert found.startswith(f"image {given.valkey_image}: expected the one that the host with the data has (sha256:0)")
    lacking = {reference: image for reference, image in at_the_data.items() if reference != given.open_webui_image}
    (found,) = swarm.image_refusals(given, lacking, at_the_data)
    assert "got none; " in found


def sh(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)


def test_a_shared_folder_is_known_by_its_mark_and_left_as_it_was(tmp_path: Path) -> None:
    shared, other = tmp_path / "shared one", tmp_path / "other"
    other.mkdir()
    assert sh(swarm.mark_command(str(shared), "abc")).returncode == 0
    found = [sh(swarm.marked_command(str(folder), "abc")).stdout for folder in (shared, other, tmp_path / "none")]
    assert found == ["marked\n", "another\n", "absent\n"]
    assert sh(swarm.unmark_command(str(shared), "abc")).returncode == 0
    assert list(shared.iterdir()) == []


def test_a_link_that_a_container_put_into_the_shared_folder_is_not_followed(tmp_path: Path) -> None:
    """By the name that earlier versions wrote to, and by the mark's own, had somebody guessed it."""
    shared, precious, folder = tmp_path / "shared", tmp_path / "shadow", tmp_path / "folder"
    shared.mkdir()
    folder.mkdir()
    precious.write_text("root:x")
    (shared / ".open-webui-stack").symlink_to(precious)
    (shared / ".open-webui-stack-abc").symlink_to(folder)
    (shared / ".open-webui-stack-new").symlink_to(tmp_path / "new")
    for token in ("abc", "new"):
        assert sh(swarm.mark_command(str(shared), token)).returncode != 0
        assert sh(swarm.unmark_command(str(shared), token)).returncode != 0
    assert precious.read_text() == "root:x"
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "new").exists()
    assert sh(swarm.mark_command(str(shared), "def")).returncode == 0
