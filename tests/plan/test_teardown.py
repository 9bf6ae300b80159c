"""A teardown says what goes and what stays before it does anything, and does nothing where nothing is left."""

from __future__ import annotations

from typing import Any

from tests.plan.conftest import SURVEY, Pyinfra, answering, converged, fresh

RUNBOOK = "runbooks/teardown.py"
FOUND = "goes    container open-webui\nstays   volume open-webui: data\n"
LEFT = "stays   volume open-webui: data\n"
REMOVE = "Teardown | Remove what this project made"


def finding(told: str, host: dict[str, Any]) -> dict[str, Any]:
    return {**host, "fake_responses": {**host["fake_responses"], "sh -s teardown": told}}


def test_a_dry_run_says_on_each_host_what_goes_and_what_stays(pyinfra: Pyinfra) -> None:
    hosts = {"stack": finding(FOUND, converged()), "half": finding(FOUND, fresh()), "clean": finding(LEFT, converged())}
    result = pyinfra(hosts, "--dry", deploy=RUNBOOK)
    assert result.status == 0
    for name in ("stack", "half"):
        assert {"goes    container open-webui", "stays   volume open-webui: data"} <= set(result.said(name))
    assert {"stays   volume open-webui: data", "nothing of this project is left to remove"} <= set(result.said("clean"))
    plan = pyinfra(hosts, "--json", deploy=RUNBOOK)
    assert [plan.changes(name) for name in hosts] == [[REMOVE], [REMOVE], []]


def test_nothing_is_done_where_nothing_is_left(pyinfra: Pyinfra) -> None:
    result = pyinfra({"clean": finding(LEFT, converged())}, "-y", "-vvv", deploy=RUNBOOK)
    assert result.status == 0
    survey, teardown = result.executed("clean")
    assert SURVEY in survey
    assert teardown.endswith("sh -s teardown")


def test_a_host_with_too_little_for_a_stack_and_half_a_restore_is_torn_down_with_its_data_only(
    pyinfra: Pyinfra,
) -> None:
    host = converged(preflight_min_memory_mb=10_000_000, teardown_data=["@fake/named"])
    half = finding(FOUND, answering(host, history={"cut_off": "restore"}))
    result = pyinfra({"named": half, "other": half}, "-y", deploy=RUNBOOK)
    assert "Success" in result.said("named")
    assert "Success" not in result.said("other")
    assert [line for line in result.said("other") if line.endswith("; or name the host in teardown_data")]


def test_an_engine_that_does_not_answer_is_no_empty_one(pyinfra: Pyinfra) -> None:
    silent = finding(FOUND, answering(converged(), engine={"server": ""}))
    result = pyinfra({"silent": silent, "other": finding(FOUND, converged())}, "-y", deploy=RUNBOOK)
    assert result.status == 1
    assert [line for line in result.said("silent") if line.startswith("docker: expected it to tell what is there")]
    assert not {"Success", FOUND.splitlines()[0]} & set(result.said("silent"))
    assert "Success" in result.said("other")


def test_the_network_is_made_with_a_label(pyinfra: Pyinfra) -> None:
    result = pyinfra({"a": answering(converged(verify_timeout_s=1), network=None)}, "-y", "-vvv")
    (made,) = [command for command in result.executed("a") if "docker network create" in command]
    assert "--label open-webui-stack=made" in made
