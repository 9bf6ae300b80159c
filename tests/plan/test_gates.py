"""A gate that finds a problem, or breaks itself, stops its own host and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plan.conftest import Pyinfra, Run, fresh

DEPLOY = """
from pyinfra import host
from webui_stack.ops import operations

def check():
    return {"@fake/refused": ["water: expected less, got more; move uphill"]}.get(host.name, [])

operations.gate(name="Look", check=lambda: 1 / 0 if host.name == "@fake/broken" else check(), at_execution=True)
operations.gate(name="Look again", check=lambda: [])
"""


@pytest.fixture(scope="module")
def run(pyinfra: Pyinfra, tmp_path_factory: pytest.TempPathFactory) -> Run:
    deploy: Path = tmp_path_factory.mktemp("deploy") / "deploy.py"
    deploy.write_text(DEPLOY)
    return pyinfra({name: fresh() for name in ("good", "refused", "broken")}, "-y", deploy=str(deploy))


def test_the_reason_is_on_the_host_it_is_about(run: Run) -> None:
    assert "water: expected less, got more; move uphill" in run.said("refused")
    assert any(line.startswith("unexpected ZeroDivisionError: division by zero") for line in run.said("broken"))
    assert "Traceback" not in run.output


def test_the_others_go_on(run: Run) -> None:
    second = run.output.partition("Starting operation: Look again")[2]
    assert "[@fake/good]    No changes" in second
    assert "@fake/broken" not in second
    assert "@fake/refused" not in second
    assert run.status == 1
