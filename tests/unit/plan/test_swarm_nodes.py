"""Who starts a swarm, who joins it, and what changes about each node."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from tests.swarms import DATA_NODE, TRUE, A, B, C, node, of, three
from webui_stack.model.swarm import Member, Node, Observed
from webui_stack.plan import swarm_nodes
from webui_stack.plan.swarm_nodes import Change, Host


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
    assert swarm_nodes.changes(hosts(), knows_all=True) == []
    assert [line for name in "abc" for line in swarm_nodes.refusals(name, hosts())] == []
    assert swarm_nodes.strangers(hosts()) == []


def test_bare_hosts_begin_with_the_one_that_has_the_data() -> None:
    assert swarm_nodes.starting(BARE) == swarm_nodes.steering(BARE) == "a"
    assert [line for name in "abc" for line in swarm_nodes.refusals(name, BARE)] == []
    told = [str(change) for change in swarm_nodes.changes(BARE, knows_all=True)]
    assert told == [
        "a: is to run data, proxy, open-webui",
        "b: is to run open-webui",
        "c: is to run open-webui",
    ]
    assert [change.command for change in swarm_nodes.changes(BARE, knows_all=True)] == ["", "", ""]


def test_three_managers_are_made_of_one() -> None:
    bare = {**BARE, **{name: Host(of(swarm_manager=True), Observed()) for name in "bc"}}
    told = [str(change) for change in swarm_nodes.changes(bare, knows_all=True)]
    assert told[3:] == ["b: is to be a manager", "c: is to be a manager"]


def commands(changed: dict[str, Host], *, knows_all: bool = True) -> list[str]:
    return [change.command for change in swarm_nodes.changes(changed, knows_all=knows_all)]


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
    assert [str(change) for change in swarm_nodes.changes(hosts(nodes, **given), knows_all=True)] == [
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
    assert swarm_nodes.strangers(hosts((A, twin, B, C))) == [
        "b: is in the swarm (worker, ready) and no host of this run; it is left as it is"
    ]


def test_with_hosts_left_out_nothing_that_is_down_is_removed() -> None:
    left = node("b", number=0, state="down")
    assert commands(hosts((A, left, B, C)), knows_all=False) == []


def test_a_host_that_left_is_told_of_and_gets_its_work_once_it_is_back() -> None:
    gone = hosts((A, replace(B, state="down"), C), b=Host(of(), Observed()))
    assert swarm_nodes.changes(gone, knows_all=True) == [Change("b", "is to run open-webui", "")]
    assert swarm_nodes.refusals("b", gone) == []


def test_a_data_node_that_left_comes_back_through_another_manager() -> None:
    stale = replace(A, state="down")
    manager = Host(of(swarm_manager=True), replace(member("b1"), nodes=(stale, replace(B, role="manager"), C)))
    given = hosts(a=Host(of(**DATA_NODE), Observed()), b=manager)
    assert swarm_nodes.steering(given) == "b"
    assert swarm_nodes.starting(given) == ""
    assert Change("a", "is to be a manager", "") in swarm_nodes.changes(given, knows_all=True)


def test_a_member_of_another_swarm_is_refused() -> None:
    (found,) = swarm_nodes.refusals("b", hosts(b=Host(of(), member("x9"))))
    assert found.startswith("swarm: expected a host that is in this swarm or in none, got a member of another; it is")
    assert swarm_nodes.refusals("c", hosts(b=Host(of(), member("x9")))) == []


def test_the_data_node_in_a_swarm_of_its_own_makes_strangers_of_the_others() -> None:
    new = replace(A, id="new")
    alone = hosts((new,), a=Host(of(**DATA_NODE), replace(member("new"), nodes=(new,))))
    assert swarm_nodes.refusals("a", alone) == []
    assert len(swarm_nodes.refusals("b", alone)) == 1


@pytest.mark.parametrize("state", ["pending", "error", "locked"])
def test_a_member_that_is_not_well_is_refused(state: str) -> None:
    odd = Host(of(), Observed(Member(state, "b1", error="rpc error")))
    (found,) = swarm_nodes.refusals("b", hosts(b=odd))
    assert found.startswith(f"swarm: expected a host that is in the swarm or in none, got '{state}' (rpc error); ")


def test_data_on_another_node_are_not_left_behind() -> None:
    other = node("b", "data", "open-webui")
    (found,) = swarm_nodes.refusals("a", hosts((A, other, C)))
    assert found.startswith("open-webui.data: expected it on a, got it on b as well; people's data are there")
    assert swarm_nodes.refusals("b", hosts((A, other, C))) == []


def test_a_lost_host_with_the_data_is_told_with_the_commands_that_let_another_take_its_place() -> None:
    lost = node("b", "data", state="down", role="manager")
    (found,) = swarm_nodes.refusals("a", hosts((A, lost, C)))
    assert (
        "if that host is lost for good, `docker node demote b && docker node rm --force b` on another manager" in found
    )


def test_what_the_data_node_itself_left_behind_has_no_other_data() -> None:
    assert swarm_nodes.refusals("a", hosts((A, node("a", "data", number=0, state="down"), B, C))) == []


def test_no_command_has_a_token_and_no_output_of_one_is_kept() -> None:
    assert swarm_nodes.init_command(of(**DATA_NODE)) == "docker swarm init >/dev/null"
    given = of(**DATA_NODE, swarm_address="198.18.0.11", swarm_address_pool="198.19.128.0/17")
    assert swarm_nodes.init_command(given) == (
        "docker swarm init --advertise-addr 198.18.0.11 --data-path-addr 198.18.0.11 "
        "--listen-addr 198.18.0.11:2377 --default-addr-pool 198.19.128.0/17 --default-addr-pool-mask-length 24 "
        ">/dev/null"
    )
    assert swarm_nodes.join_command(of(), "198.18.0.11:2377") == (
        'read -r token && docker swarm join --token "$token" 198.18.0.11:2377'
    )
    assert swarm_nodes.ROTATE_COMMAND.count(">/dev/null") == swarm_nodes.ROTATE_COMMAND.count("--rotate") == 2
