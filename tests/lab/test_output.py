"""What an operator reads of a deploy that has nothing to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.session import FRESH, Lab

pytestmark = pytest.mark.lab


def test_a_deploy_that_changes_nothing_prints_one_line_for_its_host(lab: Lab, deployed: dict[str, Any]) -> None:
    assert lab.run("-y", "deploy.py").returncode == 0
    result = lab.run("-y", "deploy.py")
    assert result.returncode == 0
    text = result.stdout.partition("--> Beginning operation run...")[2].partition("--> Disconnecting")[0]
    lines = [" ".join(part.split()) for part in text.splitlines() if part.strip()]
    # Advice is a warning, such as that nobody has signed up yet.
    line, *table = [one for one in lines if not one.startswith(f"[{FRESH}] advice ")]
    assert line.startswith(f"[{FRESH}] ok http://127.0.0.1:{lab.port(FRESH)} Open WebUI ")
    assert line.endswith(", 0 changes")
    for part in (", Valkey ", ", PONG in ", ", 1 subscriber, ", ", websocket in ", ", event in "):
        assert part in line
    assert table[:2] == ["--> Results:", "Operation Hosts Success Error No Change"]
    assert table[2].startswith("Grand total ")
    assert len(table) == 3
