"""A swarm at the command line, with hosts that are only made up: in which order it is formed, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plan.conftest import Pyinfra, answering, fresh

COMMON: dict[str, Any] = {
    "topology": "swarm",
    "docker_source": "distro",
    "public_url": "https://chat.example.org",
    "open_webui_shared_dir": "/srv/shared/open-webui",
}
ALONE = {"state": "inactive", "id": "", "manages": False, "address": "", "error": ""}
LEAD = {"swarm_manager": True, "swarm_runs": ["data", "proxy", "open-webui"]}


def bare(**data: Any) -> dict[str, Any]:
    """A host nothing was installed on, that is to be in the swarm."""
    lead = "data" in data.get("swarm_runs", [])
    return answering(
        fresh(**{**COMMON, **data}),
        swarm={"member": ALONE, "nodes": [], "services": [], "known": {}, "known_images": {}},
        project={"inputs": "abcd"} if lead else None,
    )


def three(**data: Any) -> dict[str, dict[str, Any]]:
    return {"a": bare(**LEAD, **data), "b": bare(**data), "c": bare(**data)}


def member(host: dict[str, Any], node_id: str, *nodes: tuple[str, str]) -> dict[str, Any]:
    """The host, were it in a swarm; as a manager it tells of these nodes, by id and name."""
    own = {"state": "active", "id": node_id, "manages": bool(nodes), "address": "192.0.2.1", "error": ""}
    seen = []
    for other, name in nodes:
        role = "manager" if other == node_id else "worker"
        labels = {"open-webui.web": "true"}
        if other == node_id:
            labels |= {"open-webui.data": "true", "open-webui.proxy": "true"}
        node = {"id": other, "name": name, "role": role, "availability": "active", "labels": labels, "state": "ready"}
        seen.append({**node, "reachable": "", "address": "192.0.2.1:2377"})
    return answering(host, swarm={**host["survey"]["swarm"], "member": own, "nodes": seen})


def test_bare_hosts_start_join_get_their_work_and_then_the_stack(pyinfra: Pyinfra) -> None:
    run = pyinfra(three(), "--dry", "--json")
    assert run.status == 0
    made = [name for name in run.changes("a") if not name.startswith("Docker | ")]
    assert made == [
        "Swarm | Start the swarm",
        "Swarm | Renew the join tokens",
        "Swarm | Give each node its work",
        "Network | Create the network of all hosts",
        "Stack | Make the secrets on the host",
        "Stack | Pull the images",
        "Stack | Put the stack's files",
        "Stack | Deploy the stack",
    ]
    for name in "bc":
        assert [one for one in run.changes(name) if not one.startswith("Docker | ")] == [
            "Swarm | Join the swarm",
            "Stack | Pull the images",
        ]


def cut_off() -> dict[str, dict[str, Any]]:
    """A swarm of one host, on which an upgrade was cut off."""
    return {"a": answering(member(bare(**LEAD), "n1", ("n1", "a")), history={"cut_off": "upgrade"})}


def test_an_upgrade_that_was_cut_off_is_ended_by_the_hosts_program_before_anything_else(pyinfra: Pyinfra) -> None:
    run = pyinfra(cut_off(), "--dry", "--json", deploy="runbooks/upgrade.py")
    names = [name for name in run.changes("a") if name.startswith(("Upgrade", "Stack"))]
    assert names[0] == "Upgrade | Put back what was there before"
    assert names[-1] == "Stack | Deploy the stack"
    assert not any(name.startswith("Upgrade") for name in pyinfra(three(), "--dry", "--json").changes("a"))


def test_a_deploy_is_refused_where_an_upgrade_was_cut_off(pyinfra: Pyinfra) -> None:
    run = pyinfra(cut_off(), "-y")
    assert run.status != 0
    assert "upgrade: expected none that was cut off, got one; run runbooks/upgrade.py again" in run.output


def test_with_three_managers_two_are_promoted_once_they_joined(pyinfra: Pyinfra) -> None:
    hosts = {"a": bare(**LEAD), "b": bare(swarm_manager=True), "c": bare(swarm_manager=True)}
    run = pyinfra(hosts, "--dry")
    assert run.status == 0
    assert "@fake/b: is to be a manager" in run.said("a")
    assert "@fake/c: is to be a manager" in run.said("a")
    names = [one["name"] for one in pyinfra(hosts, "--dry", "--json").plan]
    assert names.index("Swarm | Join the swarm") < names.index("Swarm | Give each node its work")


def test_a_new_host_joins_the_swarm_that_is_there(pyinfra: Pyinfra) -> None:
    hosts = {**three(), "a": member(three()["a"], "n1", ("n1", "a"), ("n2", "b")), "b": member(three()["b"], "n2")}
    run = pyinfra(hosts, "--dry", "--json")
    assert run.status == 0
    assert "Swarm | Join the swarm" in run.changes("c")
    assert "Swarm | Join the swarm" not in run.changes("a") + run.changes("b")
    assert "Swarm | Start the swarm" not in run.changes("a")


def test_a_member_of_another_swarm_is_refused_alone(pyinfra: Pyinfra) -> None:
    hosts = {**three(), "a": member(three()["a"], "n1", ("n1", "a")), "b": member(three()["b"], "x9")}
    run = pyinfra(hosts, "--dry")
    assert any("got a member of another" in line for line in run.said("b"))
    assert not any("got a member of another" in line for line in run.said("a") + run.said("c"))


@pytest.mark.parametrize(
    ("hosts", "arguments", "line"),
    [
        ({"a": bare(**LEAD), "b": bare(swarm_manager=True)}, ["deploy.py"], "swarm_manager: expected 1 or 3 managers"),
        ({"a": bare(), "b": bare()}, ["deploy.py"], "swarm_runs: expected exactly one host with 'data', got none"),
        ({"a": bare(**LEAD), "b": fresh()}, ["deploy.py"], "topology: expected 'swarm' for all hosts of the inventory"),
        (three(), ["deploy.py", "--limit", "@fake/b"], "@fake/a: expected it in each run, since the swarm is steered"),
        (three(), ["deploy.py", "--serial"], "topology: expected all hosts of a swarm to go in step, got --serial"),
        (three(rollout_canary=1), ["deploy.py"], "rollout_canary: expected it to be left as it is in a swarm, got 1"),
        (three(), ["runbooks/restore.py"], "topology: expected 'compose' for runbooks/restore.py, got 'swarm'"),
        (three(), ["runbooks/teardown.py"], "topology: expected 'compose' for runbooks/teardown.py, got 'swarm'"),
    ],
)
def test_what_can_not_be_a_swarm_is_refused_before_any_host_is_touched(
    pyinfra: Pyinfra, hosts: dict[str, dict[str, Any]], arguments: list[str], line: str
) -> None:
    deploy, *options = arguments
    run = pyinfra(hosts, "-y", *options, deploy=deploy)
    assert run.status != 0
    assert "nothing was changed" in run.output
    assert line in run.output
    assert "Starting operation" not in run.output


def test_hosts_with_a_stack_each_have_no_operation_of_a_swarm(pyinfra: Pyinfra) -> None:
    names = [one["name"] for one in pyinfra({"a": fresh(docker_source="distro")}, "--dry", "--json").plan]
    assert names
    assert not [name for name in names if name.startswith("Swarm")]
