"""The monitor's unit comes and goes with its setting; receivers are a secret; a test message goes to each of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.defaults import ROOT
from tests.plan.conftest import LAB_SETTINGS, Pyinfra, Run, answering, converged, fresh

UNIT = "open-webui-stack-monitor.service"
PATH = f"/etc/systemd/system/{UNIT}"
RECEIVERS = "/opt/open-webui/secrets/alarms.json"
PUT, RUN, STOP = "Monitor | Put the monitor", "Monitor | Run the monitor", "Monitor | Stop the monitor"
SECRETS = "Stack | Make the secrets on the host"
URL = "https://hooks.example.org/marker"
TOLD: dict[str, Any] = {"alarms": [{"webhook": "env:HOOK"}]}
METRICS = "/var/lib/node-exporter/open-webui-stack.prom"
_FILE = "user=root group=root mode=-rw-r--r-- atime=0 mtime=0 ctime=0 size=9 '/there'"


def running(host: dict[str, Any], **data: Any) -> dict[str, Any]:
    """The host with other settings; pyinfra's own operations find their files, and the unit that runs."""
    responses = {
        **host["fake_responses"],
        "stat -c": _FILE,
        "--property SubState": f"Id={UNIT}\nSubState=running",
        "--property UnitFileState": f"Id={UNIT}\nUnitFileState=enabled",
    }
    return {**host, "fake_responses": responses, **data}


def stale(host: dict[str, Any], what: str) -> dict[str, Any]:
    return answering(host, project={"stale": {RECEIVERS: what}})


def hosts() -> dict[str, dict[str, Any]]:
    return {
        "converged": converged(**TOLD),
        "changed receiver": stale(converged(**TOLD), "content"),
        "no receiver any more": {**stale(converged(**TOLD), "presence"), "alarms": []},
        "elsewhere": running(converged(metrics_textfile_dir="/var/lib/node-exporter"), metrics_textfile_dir=None),
        "stopped": answering(converged(), units=["docker.service", "open-webui-watchdog.service"]),
        "without systemd": fresh(init="init"),
        "none wanted without systemd": fresh(init="init", monitor_interval_s=0),
    }


@pytest.fixture(scope="module")
def planned(pyinfra: Pyinfra) -> Run:
    return pyinfra(hosts(), "--json", HOOK=URL)


@pytest.mark.parametrize(
    ("host", "changes"),
    [
        ("converged", []),
        ("changed receiver", [SECRETS]),
        ("no receiver any more", [SECRETS, PUT]),
        ("elsewhere", [PUT, f"Monitor | Remove {METRICS}"]),
        ("stopped", [RUN]),
    ],
)
def test_a_host_gets_what_it_lacks_and_no_more(planned: Run, host: str, changes: list[str]) -> None:
    assert planned.changes(host) == changes


def test_an_interval_of_0_removes_all_of_it(pyinfra: Pyinfra) -> None:
    run = pyinfra({"one": running(converged(), monitor_interval_s=0)}, "--json")
    removed = [f"Monitor | Remove {path}" for path in (PATH, "/var/lib/open-webui-stack/alarms.json")]
    assert run.changes("one") == [STOP, *removed]


def test_a_host_without_systemd_gets_none_and_is_told(planned: Run) -> None:
    line = "no systemd, so no monitor: no alarms, no metrics"
    for host, is_told in (("without systemd", True), ("none wanted without systemd", False)):
        assert [name for name in planned.changes(host) if name.startswith("Monitor")] == []
        assert (line in planned.said(host)) is is_told


# --- A test message


OK, FAILED = {"receiver": "webhook-1", "error": ""}, "ntfy-1: expected to take a message, got HTTP 403; check its token"


def told(*outcomes: dict[str, str], **data: Any) -> dict[str, Any]:
    return {"fake_results": {"alarm_test": list(outcomes)}, "fake_responses": {}, **LAB_SETTINGS, **TOLD, **data}


def test_each_receivers_outcome_is_told_and_one_that_failed_fails_the_host(pyinfra: Pyinfra) -> None:
    failing = {"receiver": "ntfy-1", "error": FAILED}
    run = pyinfra(
        {"fine": told(OK), "half": told(OK, failing)}, "-y", "-vvv", deploy="runbooks/alarm_test.py", HOOK=URL
    )
    assert run.status == 1
    for host in ("fine", "half"):
        assert "ok      webhook-1: took the message" in run.said(host)
        assert run.executed(host) == ["called the verb alarm_test"]
    assert f"failed  {FAILED}" in run.said("half")
    assert not [line for line in run.said("fine") if line.startswith("failed")]
    assert URL not in run.output


def test_a_test_without_receivers_fails_and_says_where_to_set_them(pyinfra: Pyinfra) -> None:
    run = pyinfra({"one": told(alarms=[])}, "-y", deploy="runbooks/alarm_test.py")
    assert run.status == 1
    assert "alarms: expected receivers, got none; see docs/how-to/monitoring.md, and deploy" in run.said("one")


def test_a_test_whose_answer_is_not_whole_fails(pyinfra: Pyinfra) -> None:
    run = pyinfra({"one": told({"receiver": "webhook-1"})}, "-y", deploy="runbooks/alarm_test.py", HOOK=URL)
    assert run.status == 1
    assert any(line.startswith("alarm_test: expected the section") for line in run.said("one"))


# --- Status


ALARM = {
    **{"name": "valkey_pong", "state": "broken", "since_s": 1_795_933_800.0},
    **{"seen": "Valkey gave no answer for 10 s", "next_step": "look at `docker logs redis-valkey`"},
}


def test_status_shows_open_alarms_and_says_where_they_are_unknown(pyinfra: Pyinfra) -> None:
    there = {
        name: {**answering(fresh(), containers=[]), "fake_results": {"alarms": answer}}
        for name, answer in (("open", [ALARM]), ("quiet", []), ("unknown", {"x": 1}))
    }
    run = pyinfra(there, "-y", deploy="runbooks/status.py")
    assert run.status == 0, run.output
    line = (
        "alarm valkey_pong: broken since 2026-11-29 06:30:00 UTC: Valkey gave no answer for 10 s; look at `docker logs"
    )
    assert f"@fake/open: {line}" in run.output
    assert "alarms: expected a JSON object, got something else; run it again" in run.output
    (path,) = re.findall(r"(?m)^\s*status: (\S+)$", run.output)
    found = json.loads((ROOT / path).read_text())
    assert [found[f"@fake/{name}"]["alarms"] for name in there] == [[ALARM], [], []]
