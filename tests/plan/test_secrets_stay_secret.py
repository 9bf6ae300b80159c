"""A secret the operator supplies is in nothing pyinfra prints, however much it is asked to print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.plan.conftest import Pyinfra, answering, converged

MARKERS = {
    "TEST_PASSWORD": "markerPassword0123456789",
    "TEST_SECRET_KEY": "markerSecretKey0123456789abcdef0123",
    "TEST_API_KEY": "sk-marker-in-the-environment",
}


def host() -> dict[str, Any]:
    """A deployed host, to be given the operator's own secrets in place of its own."""
    found = converged(
        valkey_password="env:TEST_PASSWORD",
        open_webui_secret_key="env:TEST_SECRET_KEY",
        open_webui_secret_env={"OPENAI_API_KEY": "env:TEST_API_KEY"},
    )
    stale = "content /opt/open-webui/secrets/valkey-password\ncontent /opt/open-webui/.env"
    return answering(found, project=f"{stale}\n{found['sections']['project']}")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--dry", "--diff"], id="diff"),
        pytest.param(["--dry", "--debug-operations"], id="debug-operations"),
        pytest.param(["--dry", "-v"], id="v"),
        pytest.param(["--dry", "-vvv", "--debug"], id="all that pyinfra can say"),
        pytest.param(["--json"], id="json"),
    ],
)
def test_no_plan_shows_a_secret(pyinfra: Pyinfra, arguments: list[str]) -> None:
    result = pyinfra({"one": host()}, *arguments, **MARKERS)
    assert result.status == 0
    assert "Make the secrets on the host" in result.output
    assert [name for name, value in MARKERS.items() if value in result.output] == []


def test_no_run_shows_a_secret(pyinfra: Pyinfra, tmp_path: Path) -> None:
    deploy = tmp_path / "launch.py"
    deploy.write_text("from tasks import preflight, stack\n\nstack.launch(preflight.check())\n")
    result = pyinfra({"one": host()}, "-y", "-vvv", "--diff", "--debug", deploy=str(deploy), **MARKERS)
    assert "sh -s write" in result.executed("one")
    assert [name for name, value in MARKERS.items() if value in result.output] == []


def test_no_error_shows_a_secret(pyinfra: Pyinfra) -> None:
    environment = {name: f"{value}-" for name, value in MARKERS.items()}
    result = pyinfra({"one": host()}, "--dry", "-vvv", **environment)
    assert result.status == 1
    assert "2 problems in the settings" in result.output
    assert "marker" not in result.output
