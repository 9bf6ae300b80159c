"""What an upgrade, a rollback and a drill would do, and where they refuse to begin."""

from __future__ import annotations

import pytest

from tests.plan.conftest import LAB_SETTINGS, Pyinfra, answering, converged, fresh

NEWER = "registry.lab.test:5000/open-webui/open-webui:v0.13.0-slim"


def test_a_dry_upgrade_says_what_would_change(pyinfra: Pyinfra) -> None:
    hosts = {"as-wanted": converged(), "older": converged(open_webui_image=NEWER)}
    result = pyinfra(hosts, "--json", deploy="runbooks/upgrade.py")
    assert result.changes("as-wanted") == []
    assert result.changes("older")[0] == "Stack | Pull the images"
    assert "Stack | Bring the services up" in result.changes("older")


def test_an_upgrade_begins_by_putting_back_what_a_killed_one_left(pyinfra: Pyinfra) -> None:
    host = answering(converged(), history={"cut_off": "upgrade"})
    result = pyinfra({"half": host}, "--json", deploy="runbooks/upgrade.py")
    assert "Upgrade | Put back what was there before" in result.changes("half")
    refused = pyinfra({"half": host}, "-y", "-vvv").said("half")
    assert [line for line in refused if "got one; run runbooks/upgrade.py again" in line]


def test_a_rollback_is_one_step_and_lists_the_deploys_when_dry(pyinfra: Pyinfra) -> None:
    result = pyinfra({"one": converged()}, "--json", deploy="runbooks/rollback.py")
    assert result.changes("one") == ["Rollback | Go back to an earlier deploy"]


@pytest.mark.parametrize("runbook", ["upgrade", "rollback"])
def test_where_there_is_no_stack_there_is_nothing_to_do(pyinfra: Pyinfra, runbook: str) -> None:
    host = fresh(**LAB_SETTINGS)
    result = pyinfra({"bare": host}, "-y", "-vvv", deploy=f"runbooks/{runbook}.py")
    assert result.status == 1
    assert "backup: expected a stack, got no open-webui and no redis-valkey; run deploy.py first" in result.said("bare")
    assert not [command for command in result.executed("bare") if "sh -s" in command and "survey" not in command]


def test_a_drill_changes_nothing(pyinfra: Pyinfra) -> None:
    assert pyinfra({"one": converged()}, "--json", deploy="runbooks/drill.py").changes("one") == []


def test_an_upgrade_goes_in_batches(pyinfra: Pyinfra) -> None:
    hosts = {name: converged(open_webui_image=NEWER, rollout_canary=1) for name in ("a", "b", "c")}
    result = pyinfra(hosts, "--json", deploy="runbooks/upgrade.py")
    assert "Batch 1 of 2 | Stack | Bring the services up" in result.changes("a")
    assert result.changes("b") == [change.replace("1 of 2", "2 of 2") for change in result.changes("a")]
