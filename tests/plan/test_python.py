"""A host without Python: a deploy brings it before anything else, a dry run says so, and other runs refuse the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.plan.conftest import LAB_SETTINGS, SURVEY, Pyinfra, converged, fresh

# A part of the command that asks which package it is.
WHICH = "echo apt python3"
NONE = "python3: expected 3.9 or newer on the host, got none"


def without_python(**answers: str) -> dict[str, Any]:
    host = fresh(**LAB_SETTINGS)
    return {**host, "fake_responses": {**host["fake_responses"], SURVEY: "no python\n", **answers}}


def test_a_dry_run_says_that_python_comes_first_and_plans_other_hosts_to_their_end(pyinfra: Pyinfra) -> None:
    hosts = {"bare": without_python(), "converged": converged()}
    planned = pyinfra(hosts, "--json", "--dry")
    assert planned.status == 0
    assert planned.changes("bare") == ["Python | Install python3"]
    assert planned.changes("converged") == []
    said = pyinfra(hosts, "--dry").said("bare")
    assert any(line.startswith("the rest is planned once there is a python3: run it with -y") for line in said)


def test_a_dry_run_and_one_that_nobody_agreed_to_install_nothing(pyinfra: Pyinfra) -> None:
    for arguments in (("--dry",), ()):
        run = pyinfra({"bare": without_python(**{WHICH: "apt python3"})}, "-vvv", *arguments)
        assert not [line for line in run.executed("bare") if "apt-get" in line]


def test_a_deploy_installs_it_at_once_and_refuses_a_host_that_has_none_afterwards(pyinfra: Pyinfra) -> None:
    run = pyinfra({"bare": without_python(**{WHICH: "apt python3"})}, "-y", "-vvv")
    installs = [line for line in run.executed("bare") if " install " in line]
    assert len(installs) == 1
    assert installs[0].endswith("install --no-install-recommends --no-remove python3")
    assert any(line.startswith(NONE) for line in run.said("bare"))
    assert run.status == 1


PLANNED = """\
from webui_stack.tasks import python
python.plan()
"""


@pytest.mark.parametrize(
    ("answer", "installs"),
    [
        ("apt python3", "install --no-install-recommends --no-remove python3"),
        ("dnf python3.11", "dnf --assumeyes --quiet install python3.11"),
        ("none", ""),
    ],
)
def test_a_plan_that_was_agreed_to_installs_it_by_the_hosts_own_package_manager(
    pyinfra: Pyinfra, tmp_path: Path, answer: str, installs: str
) -> None:
    (tmp_path / "planned.py").write_text(PLANNED)
    host = without_python(**{WHICH: answer, "dnf --assumeyes": "done"})
    run = pyinfra({"bare": host}, "-y", "-vvv", deploy=str(tmp_path / "planned.py"))
    found = [line for line in run.executed("bare") if " install " in line]
    assert [line.endswith(installs) for line in found] == ([True] if installs else [])
    if not installs:
        assert any(line.startswith(NONE) for line in run.said("bare"))
        assert run.status == 1


@pytest.mark.parametrize("runbook", ["status", "verify", "backup", "doctor"])
def test_other_runs_refuse_the_host_by_name_and_change_nothing(pyinfra: Pyinfra, runbook: str) -> None:
    run = pyinfra({"bare": without_python(**{WHICH: "apt python3"})}, "-y", "-vvv", deploy=f"runbooks/{runbook}.py")
    assert run.status == 1
    assert [line for line in run.said("bare") if line.startswith(f"{NONE}; run deploy.py, which installs it")]
    assert "Traceback" not in run.output
    assert not [line for line in run.executed("bare") if "apt-get" in line]
