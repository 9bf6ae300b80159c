"""docs/how-to/own-repository.md: the deploy between operations of somebody's own, its settings under one key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.defaults import ROOT
from tests.plan.conftest import LAB_SETTINGS, Pyinfra, converged, fresh

PAGE = (ROOT / "docs/how-to/own-repository.md").read_text()
(DEPLOY,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "deploys.provision()" in code]
QUICK = {"preflight_max_clock_skew_s": 3600}


def under_one_key(host: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """The host, with nothing of ours but under the key; `port` and `domain` are names that we refuse elsewhere."""
    own = {name: value for name, value in host.items() if name in ("survey", "fake_responses")}
    return {**own, "port": 22, "domain": "example.org", "open_webui_stack": {**QUICK, **LAB_SETTINGS, **settings}}


def deploy_file(folder: Path) -> str:
    path = folder / "deploy.py"
    path.write_text(DEPLOY)
    return str(path)


def test_the_deploy_comes_between_ones_own_operations(pyinfra: Pyinfra, tmp_path: Path) -> None:
    result = pyinfra({"a": under_one_key(fresh())}, "--dry", "--json", deploy=deploy_file(tmp_path))
    assert result.status == 0, result.output
    changes = result.changes("a")
    assert (changes[0], changes[-1]) == ("Before", "After")
    alone = pyinfra({"a": fresh(**LAB_SETTINGS)}, "--dry", "--json").changes("a")
    assert changes[1:-1] == alone, "by the same names as in a run of its own"


def test_where_all_is_as_it_should_be_only_ones_own_operations_act(pyinfra: Pyinfra, tmp_path: Path) -> None:
    result = pyinfra({"a": under_one_key(converged())}, "--dry", "--json", deploy=deploy_file(tmp_path))
    assert result.changes("a") == ["Before", "After"]


def test_a_mistake_under_the_key_stops_the_run_before_ones_own_operations(pyinfra: Pyinfra, tmp_path: Path) -> None:
    hosts = {"a": under_one_key(fresh()), "b": under_one_key(fresh(), open_webui_port=0)}
    result = pyinfra(hosts, "-y", deploy=deploy_file(tmp_path))
    assert result.status == 2
    assert "@fake/b / open_webui_port: expected a TCP port" in result.output
    assert "Starting operation" not in result.output
