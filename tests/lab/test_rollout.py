"""A change goes through hosts in batches, stops at one that can't take it, and goes on once that one is repaired."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.session import BY_HAND, DOCKER_CE, FRESH, Lab, containers, rest, rows_in, wanted_later
from tests.lab.test_deploy import SECRETS

pytestmark = pytest.mark.lab

# In the inventory's order, which is that of the batches.
HOSTS = [FRESH, DOCKER_CE, BY_HAND]
POLICY = ("--data", f'rollout_canary=["{FRESH}"]', "--data", "rollout_batch=1")
CHANGE = ("--data", "open_webui_jwt_expires_in=13h")
# Open WebUI waits there for an answer, and Valkey for the rest of the message. With a port that refuses, Docker would
# start Open WebUI again and again until its time is over, which takes a whole core.
BAD_DATABASE = "postgresql://nobody:nothing@redis:6379/nowhere"

Rollout = Callable[..., subprocess.CompletedProcess[str]]


def state(lab: Lab, name: str) -> tuple[dict[str, str], str, str]:
    """Ids and start times of the containers, the project's files, and what the container was told about logins."""
    host = lab.host(name)
    files = host.check_output("cd /opt/open-webui && find . -type f ! -name '*.log' | sort | xargs sha256sum")
    environment = json.loads(host.check_output("docker inspect --format '{{json .Config.Env}}' open-webui"))
    (expiry,) = [entry for entry in environment if entry.startswith("JWT_EXPIRES_IN=")]
    return containers(host), files, expiry


@pytest.fixture(scope="module")
def rollout(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Rollout]:
    """`pyinfra -y ... deploy.py` on the three hosts; a host that was taken over keeps the volume it came with."""
    mounts = "docker inspect --format '{{range .Mounts}}{{if eq .Destination \"/data\"}}{{.Name}}{{end}}{{end}}'"
    volume = lab.host(BY_HAND).run(f"{mounts} redis-valkey").stdout.strip()
    taken_over = {BY_HAND: {"valkey_volume": volume}} if volume else {}

    def run(*arguments: str, **data: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        host_data = {**taken_over, **{names[key]: value for key, value in data.items()}}
        environment = {**SECRETS, "BAD_DATABASE": BAD_DATABASE, "TEST_HOST_DATA": json.dumps(host_data)}
        result = lab.run("-y", "deploy.py", *arguments, limit=",".join(HOSTS), **environment)
        print(result.stdout)
        return result

    names = {"docker_ce": DOCKER_CE}
    assert run().returncode == 0
    yield run
    if wanted_later(request, "deployed"):
        lab.report("-y", "deploy.py")  # FRESH is as other tests expect it
    if wanted_later(request, "lab"):
        for name in HOSTS[1:]:
            rest(lab.host(name))


def test_a_rollout_stops_at_a_host_that_can_not_take_it_and_then_goes_on(lab: Lab, rollout: Rollout) -> None:
    before = {name: state(lab, name) for name in HOSTS}

    broken = {
        "open_webui_secret_env": {
            "OPENAI_API_KEY": 'command:printf %s "$TEST_OPENAI_KEY"',
            "DATABASE_URL": "env:BAD_DATABASE",
        },
        # it never gets healthy; the one before it needs no longer than this to start again
        "open_webui_start_timeout_s": 45,
    }
    result = rollout(*POLICY, *CHANGE, docker_ce=broken)
    stopped = {name: state(lab, name) for name in HOSTS}

    assert result.returncode == 1
    assert "--> Rollout stopped before batch 3 of 3: 1 host failed, rollout_max_failures is 0" in result.stdout
    assert stopped[FRESH][2] == "JWT_EXPIRES_IN=13h", "its batch came before"
    assert stopped[DOCKER_CE][1:] == before[DOCKER_CE][1:], "not back at the last good deploy"
    assert stopped[BY_HAND] == before[BY_HAND], "touched"
    summary = result.stdout.partition("--> Rollout stopped")[2]
    assert f"done       1: {FRESH}" in summary
    assert f"failed     1: {DOCKER_CE}" in summary
    assert f"untouched  1: {BY_HAND}" in summary

    rows = rows_in(result.stdout)
    assert {name: row["ok"] for name, row in rows.items()} == {
        FRESH: True,
        DOCKER_CE: False,
        BY_HAND: False,
    }
    assert rows[BY_HAND]["note"].startswith("untouched")

    result = rollout(*POLICY, *CHANGE)  # repaired: the inventory's own data again
    finished = {name: state(lab, name) for name in HOSTS}
    assert result.returncode == 0
    assert {name: finished[name][2] for name in HOSTS} == dict.fromkeys(HOSTS, "JWT_EXPIRES_IN=13h")
    assert finished[FRESH] == stopped[FRESH], "done already, and not restarted"
    assert f"done       3: {FRESH}, {DOCKER_CE}, {BY_HAND}" in result.stdout
