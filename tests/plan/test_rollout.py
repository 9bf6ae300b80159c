"""Batches in one run of pyinfra: what starts, what stays untouched, what is told, at the command line."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.defaults import ROOT, settings
from tests.plan.conftest import Pyinfra, Run, answering, converged, fresh, machine
from webui_stack.plan import rollout
from webui_stack.settings.model import Settings

# What changes a host. Surveys and leases are no such commands, and pyinfra's own facts neither.
CHANGING = ("umask", "mv ", "mkdir", "DEBIAN_FRONTEND", "apt-get", "systemctl", "called the verb", "sh -s")


def outdated() -> dict[str, Any]:
    """A host that gets new files and then is as it should be."""
    return answering(converged(), files={})


def refused() -> dict[str, Any]:
    """A host that fails before its batch, unchanged."""
    return answering(outdated(), machine=machine(architecture="armv7l"))


def breaking() -> dict[str, Any]:
    """A host that is changed and then fails: its Docker does not come up."""
    return fresh(docker_source="distro")


def unreachable() -> dict[str, Any]:
    return {**outdated(), "ssh_hostname": "127.0.0.1", "ssh_port": 1}


FAILING = {"refused": refused, "breaking": breaking, "unreachable": unreachable}


def name_of(host: str, kind: str) -> str:
    return host if kind == "unreachable" else f"@fake/{host}"


def data(policy: Settings) -> list[str]:
    """The rollout's settings as options. `--data` knows no None: what is None is left at its default."""
    chosen = {name: value for name, value in policy.model_dump().items() if name.startswith("rollout_")}
    return [
        part
        for name, value in chosen.items()
        if value is not None
        for part in ("--data", f"{name}={value if isinstance(value, str) else json.dumps(value)}")
    ]


def was_changed(run: Run, host: str) -> bool:
    return any(command.startswith(CHANGING) for command in run.executed(host))


def batches_told(run: Run) -> list[list[str]]:
    found = re.findall(r"(?m)^ +Batch \d+ of \d+(?:, the canary)?: (.+)$", run.output)
    return [line.split(", ") for line in found]


def told(run: Run, fate: str) -> list[str]:
    """The hosts the summary has under a word."""
    found = re.search(rf"(?m)^ +{fate} +\d+: (.+)$", run.output.partition("--> Rollout ")[2])
    return found.group(1).split(", ") if found else []


# --- Any fleet, any failures ------------------------------------------------------------------------

# A hundred hosts take this through pyinfra in a few seconds, and deploy.py in half a minute.
SHORT = """
from pyinfra import host
from webui_stack.tasks import preflight, rollout
from webui_stack.ops import operations

settings = preflight.check()
survey = preflight.observation().survey

def provision():
    operations.files(name="Change", contents={"/etc/a": "new"}, present=dict)
    operations.gate(name="Check", check=lambda: [] if survey().engine.server else ["no engine"], at_execution=True)

rollout.in_batches(provision)
"""


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("deploy") / "deploy.py"
    path.write_text(SHORT)
    return str(path)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[dict[str, str], Settings]:
    """Some hosts, a few of which fail in some way, and a policy that makes batches of them."""
    size = draw(st.sampled_from([10, 20, 30]))
    hosts = [f"web-{number:03}" for number in range(size)]
    kinds = dict.fromkeys(hosts, "outdated")
    for host in draw(st.lists(st.sampled_from(hosts), max_size=6, unique=True)):
        kinds[host] = draw(st.sampled_from(sorted(FAILING)))
    names = [name_of(host, kind) for host, kind in kinds.items()]
    policy = settings(
        rollout_canary=draw(st.integers(0, 3) | st.lists(st.sampled_from(names), max_size=3, unique=True)),
        rollout_batch=draw(st.integers(size // 7, size // 2) | st.sampled_from(["12%", "30%", "50%"])),
        rollout_max_failures=draw(st.integers(0, 3)),
    )
    return kinds, policy


# Two of its batches are over the limit with what fails before and after anything was changed.
HUNDRED = (
    {
        f"web-{number:03}": {7: "breaking", 30: "unreachable", 61: "refused"}.get(number, "outdated")
        for number in range(100)
    },
    settings(rollout_canary=3, rollout_batch="30%", rollout_max_failures=1),
)


@given(fleets())
@example(HUNDRED)
# Not made smaller when it fails: each example is a run of pyinfra.
@examples(max_examples=3, derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate])
def test_batches_start_exactly_as_long_as_few_enough_failed(
    pyinfra: Pyinfra, short: str, fleet: tuple[dict[str, str], Settings]
) -> None:
    kinds, policy = fleet
    hosts = {host: FAILING.get(kind, outdated)() for host, kind in kinds.items()}
    run = pyinfra(hosts, "-y", "-vv", *data(policy), deploy=short)

    names = {name_of(host, kind): host for host, kind in kinds.items()}
    failing = {name for name, host in names.items() if kinds[host] != "outdated"}
    plan = rollout.batches(policy, list(names))
    assert batches_told(run) == [list(batch) for batch in plan]
    failures = 0
    for batch in plan:
        may_start = failures <= policy.rollout_max_failures
        for name in batch:
            kind = kinds[names[name]]
            assert was_changed(run, names[name]) == (may_start and kind in ("outdated", "breaking")), name
            early = kind in ("refused", "unreachable")
            fate = "failed" if early else "untouched" if not may_start else "done" if kind == "outdated" else "failed"
            assert name in told(run, fate), name
        failures += len(failing.intersection(batch))
    assert run.status == (1 if told(run, "failed") else 0)


# --- One fleet, looked at closely -------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(pyinfra: Pyinfra, without_proof: str) -> Run:
    """The second of three batches has a host that fails after it was changed."""
    hosts = {"d": outdated(), "c": outdated(), "b": breaking(), "a": outdated(), "e": breaking(), "f": breaking()}
    policy = settings(rollout_canary=1, rollout_batch=3)
    return pyinfra(hosts, "-y", "-vv", *data(policy), deploy=without_proof)


def test_the_rest_of_the_failed_batch_is_finished_and_nothing_after_it_begun(stopped: Run) -> None:
    assert batches_told(stopped) == [["@fake/d"], ["@fake/c", "@fake/b", "@fake/a"], ["@fake/e", "@fake/f"]]
    assert {host for host in "abcdef" if was_changed(stopped, host)} == set("abcd")


def test_an_operation_with_a_condition_of_its_own_is_not_begun_either(stopped: Run) -> None:
    """`_if=` of an operation takes the place of its deploy's (pyinfra 3.10)."""
    assert "systemctl start docker.service" in stopped.executed("b")
    assert "systemctl start docker.service" not in stopped.executed("e")


def test_a_batch_begins_when_the_one_before_has_ended(stopped: Run) -> None:
    starts = [
        line.split("|")[0].split("Batch")[1].strip()
        for line in stopped.output.splitlines()
        if "--> Starting operation: Batch" in line
    ]
    assert starts == sorted(starts)
    assert set(starts) == {"1 of 3", "2 of 3", "3 of 3"}


def test_the_summary_says_what_became_of_whom(stopped: Run) -> None:
    assert "--> Rollout stopped before batch 3 of 3: 1 host failed, rollout_max_failures is 0" in stopped.output
    assert told(stopped, "done") == ["@fake/d", "@fake/c", "@fake/a"]
    assert told(stopped, "failed") == ["@fake/b"]
    assert told(stopped, "untouched") == ["@fake/e", "@fake/f"]
    assert "run the same command again: it goes on with what is left" in stopped.output


def test_the_report_has_every_host_and_why_it_was_not_checked(pyinfra: Pyinfra) -> None:
    run = pyinfra({"b": breaking(), "e": outdated(), "a": outdated()}, "-y", "--data", "rollout_canary=1")
    (page,) = re.findall(r"(?m)^report: (.+)$", run.output)
    hosts = json.loads((ROOT / page).with_suffix(".json").read_text())["hosts"]
    rows = {row["host"]: row["note"] for row in hosts}
    assert list(rows) == ["@fake/b", "@fake/e", "@fake/a"]
    assert rows["@fake/b"].startswith("failed earlier in this run")
    assert rows["@fake/e"] == rows["@fake/a"] == "untouched: too many hosts of the batches before it failed"


def test_hosts_of_other_batches_are_not_mentioned(stopped: Run) -> None:
    second = stopped.output.partition("Batch 2 of 3 | Stack | Put the compose project")[2].partition("-->")[0]
    assert re.findall(r"\[@fake/(\w)\] +(?:Success|No changes|Skipped)", second) in (["a", "c"], ["c", "a"])
    assert "Skipped" not in stopped.output
    assert "Starting operation: Batch 3 of 3 | Docker" not in stopped.output


# --- Before anything is done ------------------------------------------------------------------------


def test_a_dry_run_shows_the_batches_and_their_operations(pyinfra: Pyinfra) -> None:
    hosts = {name: outdated() for name in ("c", "b", "a")}
    run = pyinfra(hosts, "--dry", "--data", 'rollout_canary=["@fake/a"]', "--data", "rollout_batch=1")
    assert run.status == 0
    assert batches_told(run) == [["@fake/a"], ["@fake/c"], ["@fake/b"]]
    assert "Batch 1 of 3, the canary: @fake/a" in run.output
    (row,) = [line for line in run.output.splitlines() if "Batch 2 of 3 | Stack | Put the compose project" in line]
    assert "1 (@fake/c)" in row
    assert "--> Rollout over" not in run.output


def test_limit_leaves_out_hosts_and_a_canary_among_them(pyinfra: Pyinfra, without_proof: str) -> None:
    hosts = {name: outdated() for name in ("c", "b", "a", "z")}
    options = ["--data", 'rollout_canary=["@fake/z"]', "--data", "rollout_batch=2", "--limit", "@fake/[abc]"]
    run = pyinfra(hosts, "-y", "-vv", *options, deploy=without_proof)
    assert run.status == 0
    assert batches_told(run) == [["@fake/c", "@fake/b"], ["@fake/a"]]
    assert told(run, "done") == ["@fake/c", "@fake/b", "@fake/a"]
    assert run.executed("z") == []


@pytest.mark.parametrize("options", [[], ["--data", "rollout_batch=2"]], ids=["default", "as large as the fleet"])
def test_a_single_batch_is_an_ordinary_run(pyinfra: Pyinfra, options: list[str]) -> None:
    run = pyinfra({"a": outdated(), "b": outdated()}, "--json", *options)
    names = [operation["name"] for operation in run.plan]
    assert names[:2] == [
        "Preflight | Check that the host can carry the stack",
        "Deployment | Check that nobody else is at work",
    ]
    assert not [name for name in names if "Batch" in name or "Wait" in name]
    assert "Rollout" not in run.output


@pytest.mark.parametrize("option", ["--serial", "--no-wait"])
def test_options_that_take_hosts_out_of_step_are_refused(pyinfra: Pyinfra, option: str) -> None:
    run = pyinfra({"a": outdated(), "b": outdated()}, "-y", "-vv", option, "--data", "rollout_batch=1")
    assert run.status == 2
    assert f"rollout_canary, rollout_batch: expected all hosts to go in step, got {option}; leave it out" in run.output
    assert not was_changed(run, "a")
    assert not was_changed(run, "b")


def test_settings_that_are_not_of_one_run_are_refused_before_any_host(pyinfra: Pyinfra) -> None:
    hosts = {"a": {**outdated(), "rollout_batch": 1}, "b": {**outdated(), "rollout_canary": ["@fake/x"]}}
    run = pyinfra(hosts, "-y", "-vv")
    assert run.status == 2
    assert "nothing was changed: 3 problems in the settings" in run.output
    assert (
        "rollout_batch: expected the same for all targeted hosts, since it is about the run, got 1 (@fake/a)"
        in run.output
    )
    assert "rollout_canary: expected hosts of the inventory, got '@fake/x'" in run.output
    assert run.executed("a") == run.executed("b") == []


# --- The pause --------------------------------------------------------------------------------------


def test_a_pause_follows_a_batch_that_changed_something_and_no_other(pyinfra: Pyinfra, without_proof: str) -> None:
    hosts = {"same": converged(), "changed": outdated(), "last": outdated()}
    started = time.monotonic()
    run = pyinfra(hosts, "-y", "--data", "rollout_batch=1", "--data", "rollout_pause_s=11", deploy=without_proof)
    assert time.monotonic() - started > 11
    assert run.status == 0
    assert re.findall(r"Batch \d of 3 starts in 11 s", run.output) == ["Batch 3 of 3 starts in 11 s"]
    assert "1 s left" in run.output
