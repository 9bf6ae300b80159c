"""A mistake in the settings stops the run before any host is changed, and all mistakes come out at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plan.conftest import Pyinfra, Run, converged, fresh

PROBLEMS = [
    "@fake/one / valkey_pasword: expected a setting of this project, got an unknown name; "
    "did you mean valkey_password?",
    "@fake/one / open_webui_port: expected a TCP port from 1 to 65535, as a number, got 0; e.g. 3000",
    "@fake/two / valkey_password: expected to read env:NO_SUCH_NAME, got no environment variable NO_SUCH_NAME; "
    "check the source",
]


@pytest.fixture(scope="module", params=["-y", "--dry"])
def stopped(request: pytest.FixtureRequest, pyinfra: Pyinfra) -> Run:
    hosts = {
        "one": fresh(valkey_pasword="x", open_webui_port=0),
        "two": converged() | {"valkey_password": "env:NO_SUCH_NAME"},
        "good": fresh(),
    }
    return pyinfra(hosts, request.param, "-vvv")


def test_all_problems_of_all_hosts_come_out(stopped: Run) -> None:
    assert "nothing was changed: 3 problems in the settings" in stopped.output
    lines = [line.strip() for line in stopped.output.splitlines() if line.strip().startswith("@fake/")]
    assert lines == PROBLEMS


def test_the_run_fails_and_shows_no_traceback(stopped: Run) -> None:
    assert stopped.status == 2
    assert "Traceback" not in stopped.output


def test_no_operation_was_carried_out(stopped: Run) -> None:
    assert "Starting operation" not in stopped.output
    assert [stopped.executed(host) for host in ("one", "two", "good")] == [[], [], []]


def test_one_problem_is_not_called_problems(pyinfra: Pyinfra) -> None:
    result = pyinfra({"one": fresh(open_webui_port=0)}, "--dry")
    assert "nothing was changed: 1 problem in the settings\n" in result.output


def test_hosts_out_of_the_limit_are_not_asked(pyinfra: Pyinfra) -> None:
    hosts = {"bad": fresh(open_webui_port=0), "good": fresh()}
    result = pyinfra(hosts, "--json", "--limit", "@fake/good")
    assert result.status == 0
    assert "Docker | Install Docker" in result.changes("good")


def test_data_of_the_command_line_is_checked_as_well(pyinfra: Pyinfra) -> None:
    result = pyinfra({"one": fresh()}, "--dry", "--data", "open_webui_port=no")
    assert result.status == 2
    assert (
        "@fake/one / open_webui_port: expected a TCP port from 1 to 65535, as a number, got 'no'; e.g. 3000"
        in result.output
    )


def test_a_runbook_checks_the_settings_too(pyinfra: Pyinfra) -> None:
    result = pyinfra({"one": fresh(open_webui_port=0)}, "--dry", deploy="runbooks/verify.py")
    assert result.status == 2
    assert "nothing was changed: 1 problem in the settings\n" in result.output


COUNTING = """
from webui_stack.inventory import reading
from webui_stack.tasks import preflight

read = reading.from_data
if read.__name__ == "from_data":
    def counted(data):
        print("a host's settings were read")
        return read(data)
    reading.from_data = counted
preflight.check()
"""


@pytest.mark.parametrize("port", [0, 3000])
def test_settings_are_read_once_a_host_whether_they_are_sound_or_not(
    pyinfra: Pyinfra, tmp_path: Path, port: int
) -> None:
    """Each host of a hundred once said what was wrong with all of them: 28 s for one mistake."""
    deploy = tmp_path / "deploy.py"
    deploy.write_text(COUNTING)
    result = pyinfra({name: fresh(open_webui_port=port) for name in "abcde"}, "-y", deploy=str(deploy))
    assert result.output.count("a host's settings were read") == 5
    assert result.output.count("open_webui_port: expected a TCP port") == (0 if port else 5)


def test_hosts_that_would_send_metrics_under_one_name_are_refused_also_with_a_limit(pyinfra: Pyinfra) -> None:
    otel = {"endpoint": "http://collector.example.org:4317"}
    hosts = {"a": fresh(otel=otel), "b": fresh(otel=otel), "c": fresh(otel={**otel, "host": "c"})}
    for limits in ((), ("--limit", "@fake/a")):
        result = pyinfra(hosts, "--dry", *limits)
        assert result.status == 2
        assert "otel/host: expected a name of its own for each host that sends to" in result.output
        assert "got '' for @fake/a, @fake/b; their numbers would be mixed up" in result.output
    assert pyinfra(hosts, "--json", "--limit", "@fake/c").status == 2
