"""Drift says so exactly where a deploy would change something: the lease is taken only where drift is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests import surveys
from tests.defaults import settings
from tests.plan.conftest import LAB_SETTINGS, Pyinfra, Run, answering, configured, converged, fresh
from webui_stack.plan import drift

_STAT = "user=root group=root mode=-rw-r--r-- atime=0 mtime=0 ctime=0 size=9 '/opt/open-webui/watchdog.sh'"
ANOTHER = surveys.DAEMON_JSON.replace("live-restore", "debug")


def hosts() -> dict[str, dict[str, Any]]:
    deployed = converged()
    first, *_ = surveys.DEPLOYED["images"]
    watchdog = "/etc/systemd/system/open-webui-watchdog.service"
    sooner = deployed["survey"]["files"][watchdog].replace("RestartSec=5", "RestartSec=1")
    exited = surveys.with_container(surveys.DEPLOYED, "redis-valkey", status="exited")
    return {
        "converged": deployed,
        "fresh": fresh(**LAB_SETTINGS),
        "secret": answering(deployed, project={"stale": {"/opt/open-webui/.env": "content"}}),
        "image": answering(deployed, images={first: surveys.DEPLOYED["images"][first]}),
        "units": answering(deployed, units=[]),
        "file": answering(deployed, files={**deployed["survey"]["files"], watchdog: sooner}),
        "timer of before": answering(
            # What pyinfra's own operation asks.
            {**deployed, "fake_responses": {**deployed["fake_responses"], "stat -c": _STAT}},
            files={**deployed["survey"]["files"], "/opt/open-webui/watchdog.sh": "x"},
        ),
        "container": answering(deployed, containers=exited),
        "files under it": answering(deployed, project={"mounted": {"redis": None}}),
        "daemon": configured(deployed, ANOTHER),
        "watchdog off": {
            **deployed,
            "watchdog_pause_s": 0,
            # What pyinfra's own operation asks.
            "fake_responses": {
                **deployed["fake_responses"],
                "--property SubState": "Id=open-webui-watchdog.service\nSubState=running",
                "--property UnitFileState": "Id=open-webui-watchdog.service\nUnitFileState=enabled",
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
        settings(**changed), surveys.parsed(host["survey"], ANOTHER if name == "daemon" else surveys.DAEMON_JSON)
    )
    assert bool(planned.changes(name)) is bool(found), found
    assert bool(found) is (name != "converged")
