"""A run that changes nothing prints a line for each host; a run that changes something, or fails, prints it all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plan.conftest import Pyinfra, Run, answering, converged, fresh

# "Look" and "Look again" change nothing; what the second does besides, a host's data say.
DEPLOY = """
from pyinfra import host, logger
from pyinfra.operations import server
from webui_stack.ops import operations, output

def look_again():
    word = host.data.get("word", "")
    if word == "says":
        host.log("still at work here: somebody")
    elif word == "warns":
        host.log("advice: sign up", log_func=logger.warning)
    host.log("ok  PONG, 0 changes", log_func=output.told)
    return ["water: expected less, got more; move uphill"] if word == "fails" else []

output.hold()
operations.gate(name="Look", check=list)
if host.data.get("word") == "acts":
    server.shell(name="Act", commands=["true"])
operations.gate(name="Look again", check=look_again, at_execution=True)
"""
Printed = Callable[..., list[str]]


@pytest.fixture(scope="module")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("deploy") / "deploy.py"
    path.write_text(DEPLOY)
    return str(path)


def executed(run: Run) -> list[str]:
    """The lines from the first operation on, less what is around pyinfra's own words, and less its own last line."""
    lines = run.output.partition("--> Beginning operation run...")[2].partition("--> Disconnecting")[0].splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


@pytest.fixture(scope="module")
def printed(pyinfra: Pyinfra, deploy: str) -> Printed:
    """What one run prints of two hosts, of which the second has a word to say."""

    def run(word: str, *options: str) -> list[str]:
        return executed(pyinfra({"a": fresh(), "b": fresh(word=word)}, "-y", *options, deploy=deploy))

    return run


TABLE = ["--> Results:", "Operation Hosts Success Error No Change", "Grand total 4 - - 4"]
WHOLE = {"--> Starting operation: Look", "[@fake/a] No changes", "[@fake/b] No changes", "Look 2 - - 2"}


def test_a_run_that_changes_nothing_prints_a_line_for_each_host_and_the_sum(printed: Printed) -> None:
    lines = printed("")
    assert sorted(lines[:2]) == ["[@fake/a] ok PONG, 0 changes", "[@fake/b] ok PONG, 0 changes"]
    assert lines[2:] == TABLE


def test_a_warning_is_printed_and_nothing_else_with_it(printed: Printed) -> None:
    lines = printed("warns")
    assert "[@fake/b] advice: sign up" in lines
    assert lines[3:] == TABLE


@pytest.mark.parametrize(
    ("word", "line"),
    [
        pytest.param("acts", "[@fake/b] Success", id="changes something"),
        pytest.param("says", "[@fake/b] still at work here: somebody", id="waits, and says so"),
        pytest.param("fails", "[@fake/b] water: expected less, got more; move uphill", id="fails"),
    ],
)
def test_where_a_host_has_more_to_tell_all_is_printed_in_its_order(printed: Printed, word: str, line: str) -> None:
    lines = printed(word)
    assert set(lines) >= WHOLE
    assert lines.index(line) > max(lines.index(one) for one in WHOLE if one.startswith(("-->", "[")))


def test_an_operator_who_wants_more_sees_it_all(printed: Printed) -> None:
    assert set(printed("", "-v")) >= WHOLE


def test_a_host_that_could_not_be_reached_makes_the_run_tell_it_all(pyinfra: Pyinfra, deploy: str) -> None:
    gone = {**fresh(), "ssh_hostname": "127.0.0.1", "ssh_port": 1}
    lines = executed(pyinfra({"a": fresh(), "gone": gone}, "-y", deploy=deploy))
    assert {"--> Starting operation: Look", "[@fake/a] No changes"} <= set(lines)


# --- The main job -----------------------------------------------------------------------------------


def test_a_deploy_of_hosts_that_are_as_they_should_be_names_no_operation(pyinfra: Pyinfra, without_proof: str) -> None:
    lines = executed(pyinfra({"a": converged(), "b": converged()}, "-y", deploy=without_proof))
    asked = ["[@fake/a] asked the verb deploy_log", "[@fake/b] asked the verb deploy_log"]
    assert sorted(line for line in lines if line.startswith("[")) == asked
    assert [line for line in lines if "operation:" in line] == []


def test_a_deploy_that_has_something_to_do_on_one_host_names_each_operation(
    pyinfra: Pyinfra, without_proof: str
) -> None:
    lines = executed(pyinfra({"a": converged(), "b": answering(converged(), files={})}, "-y", deploy=without_proof))
    assert lines[0] == "--> Starting operation: Preflight | Check that the host can carry the stack"
    started = [line for line in lines if line.startswith("--> Starting operation: ")]
    assert "--> Starting operation: Stack | Put the compose project" in started
    assert lines.index("[@fake/b] asked the verb lease_take") < lines.index(started[2])


def test_in_batches_a_deploy_that_changes_nothing_names_no_operation(pyinfra: Pyinfra, without_proof: str) -> None:
    hosts = {"a": converged(), "b": converged()}
    lines = executed(pyinfra(hosts, "-y", "--data", "rollout_batch=1", deploy=without_proof))
    assert [line for line in lines if "operation:" in line] == []
