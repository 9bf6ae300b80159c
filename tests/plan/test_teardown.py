"""A teardown says what goes and what stays before it does anything, and does nothing where nothing is left."""

from __future__ import annotations

from typing import Any

from tests import surveys
from tests.plan.conftest import SURVEY, Pyinfra, answering, converged, fresh
from webui_stack.host import protocol
from webui_stack.render import host_program

RUNBOOK = "runbooks/teardown.py"
GOES = {"what": "container open-webui", "state": "goes", "why": ""}
STAYS = {"what": "volume open-webui", "state": "stays", "why": "data"}
UNKNOWN = {"what": "volume redis-data", "state": "unknown", "why": "it could not be looked at: none in time"}
FOUND, LEFT = [GOES, STAYS], [STAYS]
REMOVE = "Teardown | Remove what this project made"


def finding(items: list[dict[str, str]], host: dict[str, Any]) -> dict[str, Any]:
    return answering_to_look(surveys.printed({"items": items}), host)


def answering_to_look(text: str, host: dict[str, Any]) -> dict[str, Any]:
    return {**host, "fake_responses": {" teardown_look": text, **host["fake_responses"]}}


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
    survey, look = result.executed("clean")
    assert SURVEY in survey
    assert SURVEY in look
    assert f"/{host_program.digest()} teardown_look" in result.output
    assert "called the verb teardown" not in result.said("clean")


def test_what_nobody_could_look_at_is_something_left(pyinfra: Pyinfra) -> None:
    result = pyinfra({"unclear": finding([STAYS, UNKNOWN], converged())}, "-y", deploy=RUNBOOK)
    assert "stays   volume redis-data: it could not be looked at: none in time" in result.said("unclear")
    assert "called the verb teardown" in result.said("unclear"), "it decides again, and says so if it can't"
    assert "nothing of this project is left to remove" not in result.said("unclear")


def test_a_host_that_does_not_say_what_goes_is_left_alone(pyinfra: Pyinfra) -> None:
    failure = protocol.Failure("docker", "a list of containers and volumes", "no answer (none in time)", "look at it")
    refusing = answering_to_look(f"python\n{protocol.written(protocol.FRAMED, failure)}\n", converged())
    result = pyinfra({"silent": refusing, "other": finding(FOUND, converged())}, "-y", deploy=RUNBOOK)
    assert result.status == 1
    assert str(failure) in result.output
    assert "nothing of this project is left to remove" not in result.said("silent")
    assert "called the verb teardown" not in result.said("silent")
    assert "called the verb teardown" in result.said("other")


def test_a_host_with_too_little_for_a_stack_and_half_a_restore_is_torn_down_with_its_data_only(
    pyinfra: Pyinfra,
) -> None:
    host = converged(preflight_min_memory_mb=10_000_000, teardown_data=["@fake/named"])
    half = finding(FOUND, answering(host, history={"cut_off": "restore"}))
    result = pyinfra({"named": half, "other": half}, "-y", deploy=RUNBOOK)
    assert "Success" in result.said("named")
    assert "called the verb teardown" in result.said("named")
    assert "Success" not in result.said("other")
    assert [line for line in result.said("other") if line.endswith("; or name the host in teardown_data")]


def test_an_engine_that_does_not_answer_is_no_empty_one(pyinfra: Pyinfra) -> None:
    silent = finding(FOUND, answering(converged(), engine={"server": ""}))
    result = pyinfra({"silent": silent, "other": finding(FOUND, converged())}, "-y", deploy=RUNBOOK)
    assert result.status == 1
    assert [line for line in result.said("silent") if line.startswith("docker: expected it to tell what is there")]
    assert not {"Success", "goes    container open-webui"} & set(result.said("silent"))
    assert "Success" in result.said("other")


def test_the_network_is_made_with_a_label(pyinfra: Pyinfra) -> None:
    result = pyinfra({"a": answering(converged(verify_timeout_s=1), network=None)}, "-y", "-vvv")
    (made,) = [command for command in result.executed("a") if "docker network create" in command]
    assert "--label open-webui-stack=made" in made
