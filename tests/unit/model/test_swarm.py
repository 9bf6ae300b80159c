"""Who is in the swarm, what each node is to be, whether the stack runs: read, compared, refused."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import surveys
from tests.defaults import settings
from webui_stack.model import compose, swarm
from webui_stack.model.swarm import Change, Host, Member, Node, Observed, Service
from webui_stack.settings.model import Settings

COMMON = {
    "topology": "swarm",
    "public_url": "https://chat.example.org",
    "open_webui_shared_dir": "/srv/shared/open-webui",
}
LEAD = {"swarm_manager": True, "swarm_runs": ["data", "proxy", "open-webui"]}
TRUE = "true"


def of(**data: Any) -> Settings:
    return settings(**{**COMMON, **data})


def three(**data: Any) -> dict[str, Settings]:
    return {"a": of(**LEAD, **data), "b": of(**data), "c": of(**data)}


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


# --- Settings of all hosts together -----------------------------------------------------------------


def test_one_host_with_the_data_that_steers_two_workers_is_a_swarm() -> None:
    assert swarm.problems(three(), ["a", "b", "c"]) == []
    assert swarm.problems({"a": of(**LEAD)}, ["a"]) == []


def test_hosts_with_a_stack_each_are_no_business_of_a_swarm() -> None:
    assert swarm.problems({"a": settings(), "b": settings(rollout_canary=1)}, ["a", "b"]) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"b": settings()}, "topology: expected 'swarm' for all hosts of the inventory, got 'compose' for b; "),
        (
            {"a": of(swarm_manager=True, swarm_runs=["proxy"])},
            "swarm_runs: expected exactly one host with 'data', got none; ",
        ),
        ({"b": of(swarm_runs=["data"])}, "swarm_runs: expected exactly one host with 'data', got a, b; "),
        (
            {"a": of(**{**LEAD, "swarm_manager": False}), "b": of(swarm_manager=True)},
            "swarm_manager: expected True for a, which has the data, got",
        ),
        (
            {"a": of(**LEAD, swarm_availability="drain"), "b": of(swarm_runs=["proxy"])},
            "swarm_availability: expected 'active' for a, which runs",
        ),
        ({"b": of(swarm_manager=True)}, "swarm_manager: expected 1 or 3 managers, got 2 (a, b); 2 fail when either"),
        ({"a": of(**{**LEAD, "swarm_runs": ["data", "open-webui"]})}, "swarm_runs: expected 'proxy' for at least one"),
        ({"b": of(open_webui_offline=True)}, "open_webui_offline: expected the same for all hosts of a swarm, which"),
        ({"b": of(valkey_image="valkey/valkey:8.0.9")}, "valkey_image: expected the same for all hosts of a swarm"),
        (three(stack_adopt=True), "stack_adopt: expected False in a swarm, got True; "),
        (three(public_url=None), "public_url: expected the proxy's URL for a swarm, got None; "),
        (three(proxy_bind="127.0.0.1"), "proxy_bind: expected '0.0.0.0' in a swarm, got '127.0.0.1'; "),
        (three(rollout_canary=1), "rollout_canary: expected it to be left as it is in a swarm, got 1; "),
        (three(rollout_batch="50%"), "rollout_batch: expected it to be left as it is in a swarm, got '50%'; "),
        (three(rollout_pause_s=5), "rollout_pause_s: expected it to be left as it is in a swarm, got 5; "),
    ],
)
def test_hosts_that_are_no_swarm_together_are_told_in_one_line(changed: dict[str, Settings], line: str) -> None:
    (found,) = swarm.problems({**three(), **changed}, ["a", "b", "c"])
    assert found.startswith(line)


def test_what_is_a_hosts_own_may_differ() -> None:
    own = of(backup_keep=1, preflight_min_disk_mb=1, verify_url="https://127.0.0.1", docker_source="present")
    assert swarm.problems({**three(), "b": own}, ["a", "b", "c"]) == []


def test_the_host_with_the_data_is_in_each_run() -> None:
    (found,) = swarm.problems(three(), ["b", "c"])
    assert found.startswith("a: expected it in each run, since the swarm is steered from there, got it left out")
    assert swarm.problems(three(), ["a", "b"]) == []


@pytest.mark.parametrize("runbook", ["rollback", "rotate", "teardown", "bundle"])
def test_a_runbook_that_would_do_harm_says_what_to_do_instead(runbook: str) -> None:
    (found,) = swarm.runbook_refusals(runbook)
    assert found.startswith(f"topology: expected 'compose' for runbooks/{runbook}.py, got 'swarm'; ")


@pytest.mark.parametrize("name", ["deploy", "verify", "status", "doctor", "lock", "restore", "drill"])
def test_others_are_not_in_the_way(name: str) -> None:
    assert swarm.runbook_refusals(name) == []


# --- Forming ----------------------------------------------------------------------------------------


def node(name: str, *what: str, number: int = 1, **changes: Any) -> Node:
    labels = {swarm.LABELS[one]: TRUE for one in what}
    made = Node(f"{name}{number}", name, "worker", "active", labels, "ready", "", "")
    return replace(made, **changes)


A = node("a", "data", "proxy", "open-webui", role="manager", reachable="reachable", address="198.18.0.11:2377")
B, C = node("b", "open-webui"), node("c", "open-webui")


def hosts(nodes: tuple[Node, ...] = (A, B, C), **changed: Host) -> dict[str, Host]:
    """Hosts that are as wanted, but for those given."""
    given = three()
    made = {name: Host(given[name], member(f"{name}1")) for name in given}
    made["a"] = Host(given["a"], replace(member("a1"), nodes=nodes))
    return {**made, **changed}


def member(node_id: str, state: str = "active") -> Observed:
    return Observed(Member(state, node_id))


BARE = {name: Host(one, Observed()) for name, one in three().items()}


def test_nodes_as_wanted_leave_nothing_to_do() -> None:
    assert swarm.changes(hosts(), knows_all=True) == []
    assert [line for name in "abc" for line in swarm.refusals(name, hosts())] == []
    assert swarm.strangers(hosts()) == []


def test_bare_hosts_begin_with_the_one_that_has_the_data() -> None:
    assert swarm.starting(BARE) == swarm.steering(BARE) == "a"
    assert [line for name in "abc" for line in swarm.refusals(name, BARE)] == []
    told = [str(change) for change in swarm.changes(BARE, knows_all=True)]
    assert told == [
        "a: is to run data, proxy, open-webui",
        "b: is to run open-webui",
        "c: is to run open-webui",
    ]
    assert [change.command for change in swarm.changes(BARE, knows_all=True)] == ["", "", ""]


def test_three_managers_are_made_of_one() -> None:
    bare = {**BARE, **{name: Host(of(swarm_manager=True), Observed()) for name in "bc"}}
    told = [str(change) for change in swarm.changes(bare, knows_all=True)]
    assert told[3:] == ["b: is to be a manager", "c: is to be a manager"]


def commands(changed: dict[str, Host], *, knows_all: bool = True) -> list[str]:
    return [change.command for change in swarm.changes(changed, knows_all=knows_all)]


def test_a_label_that_is_gone_or_too_many_is_put_right_and_others_stay() -> None:
    odd = replace(B, labels={"open-webui.proxy": TRUE, "zone": "north"})
    assert commands(hosts((A, odd, C))) == [
        "docker node update --label-add=open-webui.web=true --label-rm=open-webui.proxy b1 >/dev/null"
    ]


def test_a_drained_node_is_one_whose_settings_say_so() -> None:
    assert commands(hosts((A, replace(B, availability="drain"), C))) == [
        "docker node update --availability active b1 >/dev/null"
    ]
    drained = Host(of(swarm_availability="drain"), member("b1"))
    assert commands(hosts(b=drained)) == ["docker node update --availability drain b1 >/dev/null"]
    assert commands(hosts((A, replace(B, availability="drain"), C), b=drained)) == []


def test_managers_are_made_before_others_are_unmade() -> None:
    given = {"b": Host(of(), member("b1")), "c": Host(of(swarm_manager=True), member("c1"))}
    nodes = (A, replace(B, role="manager", reachable="reachable"), C)
    assert [str(change) for change in swarm.changes(hosts(nodes, **given), knows_all=True)] == [
        "c: is to be a manager",
        "b: is to be no manager any more",
    ]


def test_a_promotion_waits_until_the_new_manager_answers() -> None:
    (command,) = commands(hosts(b=Host(of(swarm_manager=True), member("b1"))))
    assert command.startswith("docker node promote b1 >/dev/null && for _ in $(seq 60); do if [ ")
    subprocess.run(["sh", "-n", "-c", command], check=True)
    assert '= "reachable" ]' in command


def test_what_a_host_left_behind_is_removed_and_a_manager_is_one_no_more_before() -> None:
    left = node("b", "open-webui", number=0, state="down")
    assert commands(hosts((A, left, B, C))) == ["docker node rm --force b0 >/dev/null"]
    left = replace(left, role="manager", reachable="unreachable")
    assert commands(hosts((A, left, B, C))) == [
        "docker node demote b0 >/dev/null && docker node rm --force b0 >/dev/null"
    ]


def test_a_node_of_the_same_name_that_is_up_is_somebody_elses() -> None:
    twin = node("b", number=0)
    assert commands(hosts((A, twin, B, C))) == []
    assert swarm.strangers(hosts((A, twin, B, C))) == [
        "b: is in the swarm (worker, ready) and no host of this run; it is left as it is"
    ]


def test_with_hosts_left_out_nothing_that_is_down_is_removed() -> None:
    left = node("b", number=0, state="down")
    assert commands(hosts((A, left, B, C)), knows_all=False) == []


def test_a_host_that_left_is_told_of_and_gets_its_work_once_it_is_back() -> None:
    gone = hosts((A, replace(B, state="down"), C), b=Host(of(), Observed()))
    assert swarm.changes(gone, knows_all=True) == [Change("b", "is to run open-webui", "")]
    assert swarm.refusals("b", gone) == []


def test_a_lead_that_left_comes_back_through_another_manager() -> None:
    stale = replace(A, state="down")
    manager = Host(of(swarm_manager=True), replace(member("b1"), nodes=(stale, replace(B, role="manager"), C)))
    given = hosts(a=Host(of(**LEAD), Observed()), b=manager)
    assert swarm.steering(given) == "b"
    assert swarm.starting(given) == ""
    assert Change("a", "is to be a manager", "") in swarm.changes(given, knows_all=True)


def test_a_member_of_another_swarm_is_refused() -> None:
    (found,) = swarm.refusals("b", hosts(b=Host(of(), member("x9"))))
    assert found.startswith("swarm: expected a host that is in this swarm or in none, got a member of another; it is")
    assert swarm.refusals("c", hosts(b=Host(of(), member("x9")))) == []


def test_the_lead_in_a_swarm_of_its_own_makes_strangers_of_the_others() -> None:
    alone = hosts((replace(A, id="new"),), a=Host(of(**LEAD), replace(member("new"), nodes=(replace(A, id="new"),))))
    assert swarm.refusals("a", alone) == []
    assert len(swarm.refusals("b", alone)) == 1


@pytest.mark.parametrize("state", ["pending", "error", "locked"])
def test_a_member_that_is_not_well_is_refused(state: str) -> None:
    odd = Host(of(), Observed(Member(state, "b1", error="rpc error")))
    (found,) = swarm.refusals("b", hosts(b=odd))
    assert found.startswith(f"swarm: expected a host that is in the swarm or in none, got '{state}' (rpc error); ")


def test_data_on_another_node_are_not_left_behind() -> None:
    other = node("b", "data", "open-webui")
    (found,) = swarm.refusals("a", hosts((A, other, C)))
    assert found.startswith("open-webui.data: expected it on a, got it on b as well; people's data are there")
    assert swarm.refusals("b", hosts((A, other, C))) == []


def test_a_lost_host_with_the_data_is_told_with_the_commands_that_let_another_take_its_place() -> None:
    lost = node("b", "data", state="down", role="manager")
    (found,) = swarm.refusals("a", hosts((A, lost, C)))
    assert (
        "if that host is lost for good, `docker node demote b && docker node rm --force b` on another manager" in found
    )


def test_what_the_lead_itself_left_behind_has_no_other_data() -> None:
    assert swarm.refusals("a", hosts((A, node("a", "data", number=0, state="down"), B, C))) == []


def test_no_command_has_a_token_and_no_output_of_one_is_kept() -> None:
    assert swarm.init_command(of(**LEAD)) == "docker swarm init >/dev/null"
    given = of(**LEAD, swarm_address="198.18.0.11", swarm_address_pool="198.19.128.0/17")
    assert swarm.init_command(given) == (
        "docker swarm init --advertise-addr 198.18.0.11 --data-path-addr 198.18.0.11 "
        "--listen-addr 198.18.0.11:2377 --default-addr-pool 198.19.128.0/17 --default-addr-pool-mask-length 24 "
        ">/dev/null"
    )
    assert swarm.join_command(of(), "198.18.0.11:2377") == (
        'read -r token && docker swarm join --token "$token" 198.18.0.11:2377'
    )
    assert swarm.ROTATE_COMMAND.count(">/dev/null") == swarm.ROTATE_COMMAND.count("--rotate") == 2


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
        (having("open-webui", hosts=1), "open-webui: its 2 processes are on 1 of 2 hosts"),
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
    given = of(**LEAD)
    leads = {reference: compose.Image(f"sha256:{number}") for number, reference in enumerate(given.images.values())}
    assert swarm.image_refusals(given, leads, leads) == []
    moved = {**leads, given.valkey_image: compose.Image("sha256:other")}
    (found,) = swarm.image_refusals(given, moved, leads)
    assert found.startswith(f"image {given.valkey_image}: expected the one that the host with the data has (sha256:0)")
    lacking = {reference: image for reference, image in leads.items() if reference != given.open_webui_image}
    (found,) = swarm.image_refusals(given, lacking, leads)
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
