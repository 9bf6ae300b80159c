"""Drift says so exactly where a deploy would change something: the lease is taken only where drift is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests import surveys
from tests.defaults import settings
from tests.plan.conftest import LAB_SETTINGS, Pyinfra, Run, answering, configured, converged, fresh
from webui_stack import drift

ANOTHER = surveys.DAEMON_JSON.replace("live-restore", "debug")
PROJECT = surveys.DEPLOYED["project"]


def hosts() -> dict[str, dict[str, Any]]:
    deployed = converged()
    disabled = surveys.DEPLOYED["units"].replace("=enabled", "=disabled")
    return {
        "converged": deployed,
        "fresh": fresh(**LAB_SETTINGS),
        "secret": answering(deployed, project=f"content /opt/open-webui/.env\n{PROJECT}"),
        "image": answering(deployed, images=surveys.DEPLOYED["images"].partition("\n")[0]),
        "units": answering(deployed, units=disabled),
        "file": answering(deployed, files=deployed["sections"]["files"].replace("OnBootSec=60", "OnBootSec=1")),
        "container": answering(deployed, containers=surveys.DEPLOYED["containers"].replace('"running"', '"exited"', 1)),
        "files under it": answering(deployed, project=PROJECT.replace("1000000000", "-")),
        "daemon": configured(deployed, ANOTHER),
        "watchdog off": {
            **deployed,
            "watchdog_pause_s": 0,
            # What pyinfra's own operation asks.
            "fake_responses": {
                **deployed["fake_responses"],
                "--property SubState": "Id=open-webui-watchdog.timer\nSubState=waiting",
                "--property UnitFileState": "Id=open-webui-watchdog.timer\nUnitFileState=enabled",
            },
        },
        "setting": {**deployed, "open_webui_jwt_expires_in": "1h"},
    }


@pytest.fixture(scope="module")
def planned(pyinfra: Pyinfra) -> Run:
    return pyinfra(hosts(), "--json")


@pytest.mark.parametrize("name", hosts())
def test_a_deploy_changes_something_exactly_where_there_is_drift(planned: Run, name: str) -> None:
    host = hosts()[name]
    changed = {
        key: host[key] for key in (*LAB_SETTINGS, "watchdog_pause_s", "open_webui_jwt_expires_in") if key in host
    }
    found = drift.of(
        settings(**changed), surveys.parsed(host["sections"], ANOTHER if name == "daemon" else surveys.DAEMON_JSON)
    )
    assert bool(planned.changes(name)) is bool(found), found
    assert bool(found) is (name != "converged")
