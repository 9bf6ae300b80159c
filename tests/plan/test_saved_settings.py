"""Saved settings of Open WebUI are shown and saved where they differ, and nothing is asked without the setting."""

from __future__ import annotations

from typing import Any

import pytest

from tests import surveys
from tests.defaults import settings
from tests.plan.conftest import LAB_SETTINGS, Pyinfra, answering, converged, fresh
from webui_stack.plan import drift

SAVE = "Saved settings | Save Open WebUI's settings"
DATA: dict[str, Any] = {
    "open_webui_env": {"ENABLE_SIGNUP": "False", "DEFAULT_MODELS": "llama3.2:1b"},
    "open_webui_saved": ["ENABLE_SIGNUP", "DEFAULT_MODELS"],
}
DIFFERENCES = [
    {"key": "ui.enable_signup", "saved": "true", "wanted": "false", "seen": "0123456789abcdef"},
    {"key": "openai.api_keys", "saved": "(hidden)", "wanted": "(hidden)", "seen": "123456789abcdef0"},
]
LINES = ["ui.enable_signup: saved: true, wanted: false", "openai.api_keys: saved: (hidden), wanted: (hidden)"]


def saved(failed: str = "", *differences: dict[str, str]) -> dict[str, Any]:
    """A host whose Open WebUI says so of its saved settings."""
    return answering(converged(**DATA), saved={"failed": failed, "differences": list(differences)})


def test_each_saved_value_that_differs_is_shown_and_planned(pyinfra: Pyinfra) -> None:
    hosts = {"differs": saved("", *DIFFERENCES), "same": saved(), "without": converged(), "unread": saved("x: no")}
    result = pyinfra(hosts, "--dry", "--json")
    assert result.changes("differs") == [SAVE]
    assert set(LINES) <= set(result.said("differs"))
    assert result.changes("same") == result.changes("without") == []
    assert SAVE in result.changes("unread")
    assert "open_webui_saved: nobody knows what is saved: x: no" in result.said("unread")


def test_a_stack_without_the_setting_asks_nothing_about_it(pyinfra: Pyinfra) -> None:
    result = pyinfra({"without": converged()}, "--dry", "--json")
    assert SAVE not in [operation["name"] for operation in result.plan]


def test_a_host_without_open_webui_is_compared_once_it_runs(pyinfra: Pyinfra) -> None:
    result = pyinfra({"fresh": fresh(**LAB_SETTINGS, **DATA)}, "--dry", "--json")
    assert SAVE in [operation["name"] for operation in result.plan]
    assert SAVE not in result.changes("fresh")


@pytest.mark.parametrize(
    ("host", "lines"),
    [
        (saved("", *DIFFERENCES), LINES),
        (saved(), []),
        (converged(**DATA), []),
        (saved("x: no"), ["open_webui_saved: nobody knows what is saved: x: no"]),
    ],
)
def test_drift_has_what_a_deploy_would_save(host: dict[str, Any], lines: list[str]) -> None:
    found = drift.of(settings(**LAB_SETTINGS, **DATA), surveys.parsed(host["survey"]))
    assert found == lines
