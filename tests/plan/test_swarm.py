"""A swarm at the command line, with hosts that are only made up: in which order it is formed, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plan.conftest import Pyinfra, Run, answering, fresh

COMMON: dict[str, Any] = {
    "topology": "swarm",
    "docker_source": "distro",
    "public_url": "https://chat.example.org",
    "open_webui_shared_dir": "/srv/shared/open-webui",
}
ALONE = {"state": "inactive", "id": "", "manages": False, "address": "", "error": ""}
DATA_NODE = {"swarm_manager": True, "swarm_runs": ["data", "proxy", "open-webui"]}


def bare(**data: Any) -> dict[str, Any]:
    """A host nothing was installed on, that is to be in the swarm."""
    has_data = "data" in data.get("swarm_runs", [])
    return answering(
        fresh(**{**COMMON, **data}),
        swarm={"member": ALONE, "nodes": [], "services": [], "known": {}, "known_images": {}},
        project={"inputs": "abcd"} if has_data else None,
    )


def three(**data: Any) -> dict[str, dict[str, Any]]:
    return {"a": bare(**DATA_NODE, **data), "b": bare(**data), "c": bare(**data)}


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
        "Monitor | Put the monitor",
        "Monitor | Run the monitor",
    ]
    for name in "bc":
        assert [one for one in run.changes(name) if not one.startswith("Docker | ")] == [
            "Swarm | Join the swarm",
            "Stack | Pull the images",
        ]


def cut_off() -> dict[str, dict[str, Any]]:
    """A swarm of one host, on which an upgrade was cut off."""
    return {"a": answering(member(bare(**DATA_NODE), "n1", ("n1", "a")), history={"cut_off": "upgrade"})}


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


# --- Restore and drill


def deployed(**data: Any) -> dict[str, dict[str, Any]]:
    """A swarm whose stack was deployed."""
    hosts = {**three(**data), "a": member(three(**data)["a"], "n1", ("n1", "a"), ("n2", "b"), ("n3", "c"))}
    part = {**hosts["a"]["survey"]["swarm"], "known": {"inputs": "abcd"}}
    hosts["a"] = answering(hosts["a"], swarm=part)
    return {**hosts, "b": member(hosts["b"], "n2"), "c": member(hosts["c"], "n3")}


def restores(run: Run, host: str) -> list[str]:
    """What a restore does to a host, but for Docker and the swarm."""
    return [name for name in run.changes(host) if name.startswith(("Restore", "Stack"))]


def test_a_swarm_is_restored_on_the_host_with_the_data(pyinfra: Pyinfra) -> None:
    run = pyinfra(deployed(restore_over=["@fake/a"]), "--dry", "--json", deploy="runbooks/restore.py")
    assert run.status == 0
    names = restores(run, "a")
    put = "Restore | Put the set's data in place"
    assert put in names
    assert names[-1] == "Restore | Remove the data that was replaced"
    assert "Restore | Start what holds the data" not in names
    assert names.index(put) < names.index("Stack | Make the secrets on the host")
    assert [name for name in restores(run, "b") if name.startswith("Restore")] == []


def test_a_new_host_for_the_data_gets_the_sets_secrets_then_what_holds_the_data_then_these(pyinfra: Pyinfra) -> None:
    hosts = three(restore_age_identity="env:IDENTITY")
    run = pyinfra(hosts, "--dry", "--json", deploy="runbooks/restore.py", IDENTITY="AGE-SECRET-KEY-1X")
    assert run.status == 0
    assert "Swarm | Start the swarm" in run.changes("a")
    assert restores(run, "a") == [
        "Stack | Pull the images",
        "Restore | Install age",
        "Restore | Put the set's secrets in place",
        "Restore | Make the secrets on the host",
        "Restore | Put the stack's files",
        "Restore | Start what holds the data",
        "Restore | Put the set's data in place",
        "Stack | Make the secrets on the host",
        "Stack | Put the stack's files",
        "Stack | Deploy the stack",
        "Restore | Remove the data that was replaced",
    ]
    for name in "bc":
        assert "Swarm | Join the swarm" in run.changes(name)
        assert restores(run, name) == ["Stack | Pull the images"]


def test_a_swarm_that_lives_is_replaced_only_where_its_host_is_named(pyinfra: Pyinfra) -> None:
    run = pyinfra(deployed(), "-y", deploy="runbooks/restore.py")
    assert run.status != 0
    refused = (
        "restore: expected a host without a stack, got a stack in the swarm; to put a set in the place of the data"
    )
    assert [line for line in run.said("a") if line.startswith(refused)]


def test_a_drill_is_held_where_the_sets_are(pyinfra: Pyinfra) -> None:
    run = pyinfra(three(), "-y", "-vvv", deploy="runbooks/drill.py")
    assert "called the verb drill" in run.executed("a")
    assert not [line for name in "bc" for line in run.executed(name) if "drill" in line]
    assert [name for name in "bc" if any("Success" in line or "No changes" in line for line in run.said(name))]


def test_with_three_managers_two_are_promoted_once_they_joined(pyinfra: Pyinfra) -> None:
    hosts = {"a": bare(**DATA_NODE), "b": bare(swarm_manager=True), "c": bare(swarm_manager=True)}
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
        (
            {"a": bare(**DATA_NODE), "b": bare(swarm_manager=True)},
            ["deploy.py"],
            "swarm_manager: expected 1 or 3 managers",
        ),
        ({"a": bare(), "b": bare()}, ["deploy.py"], "swarm_runs: expected exactly one host with 'data', got none"),
        (
            {"a": bare(**DATA_NODE), "b": fresh()},
            ["deploy.py"],
            "topology: expected 'swarm' for all hosts of the inventory",
        ),
        (three(), ["deploy.py", "--limit", "@fake/b"], "@fake/a: expected it in each run, since the swarm is steered"),
        (three(), ["deploy.py", "--serial"], "topology: expected all hosts of a swarm to go in step, got --serial"),
        (three(rollout_canary=1), ["deploy.py"], "rollout_canary: expected it to be left as it is in a swarm, got 1"),
        (three(), ["runbooks/rotate.py"], "topology: expected 'compose' for runbooks/rotate.py, got 'swarm'"),
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
