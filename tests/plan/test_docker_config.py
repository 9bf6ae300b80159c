"""Docker's configuration in a plan: what stays is named, whom a restart stops is refused, and no secret is shown."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from tests import surveys
from tests.plan.conftest import Pyinfra, Run, configured, converged
from webui_stack.model import docker_config

CONFIGURATION = surveys.DEPLOYED["docker_config"]
CONFIGURE = "Docker | Configure Docker"
SYSLOG = {"log-driver": "syslog", "log-opts": {"syslog-address": "udp://127.0.0.1:514"}}
PROXY = {"proxies": {"http-proxy": "http://user:markerProxyPassword@proxy.example.org"}}
SOMEBODYS = {"name": "somebodys", "folder": "", "stack": ""}


def host(daemon: dict[str, Any] | str, says: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    """A deployed host with this daemon.json, a container of somebody's, and what else it says of Docker."""
    text = daemon if isinstance(daemon, str) else json.dumps(daemon)
    containers = [*CONFIGURATION["containers"], SOMEBODYS]
    return configured(converged(docker_address_pools=[], **data), text, **{"containers": containers, **(says or {})})


def hosts() -> dict[str, dict[str, Any]]:
    in_swarm = {"live_restore": False, "swarm_state": "active"}
    return {
        "syslog": host({**SYSLOG, **PROXY}),
        "converged": host({**SYSLOG, **PROXY, "live-restore": True}),
        "option": host({"live-restore": True}, {"options": [*CONFIGURATION["options"], "--log-driver"]}),
        "swarm": host(PROXY, in_swarm),
        "allowed": host(PROXY, in_swarm, docker_restart_stops_others=True),
        "left alone": host(PROXY, in_swarm, docker_daemon={}),
        "present": host(PROXY, in_swarm, docker_source="present"),
        "remaps": host("{}", {"remaps_users": True}, docker_source="present"),
        "unread": host("{}", {"sha256": "0" * 64}),
        "broken": host('{"debug": tru'),
    }


def shown(output: str) -> list[str]:
    """The password as it is in the output: as such, or wherever it is in base64."""
    secret = "markerProxyPassword"
    # Three places it may begin at in base64, less the characters that it shares with what is around it.
    encoded = [b64encode(f"{'x' * n}{secret}".encode()).decode().rstrip("=")[4:-1] for n in range(3)]
    return [text for text in (secret, *encoded) if text in output]


@pytest.fixture(scope="module")
def planned(pyinfra: Pyinfra) -> Run:
    return pyinfra(hosts(), "--json", "--diff")


@pytest.mark.parametrize(
    ("name", "changes", "lines"),
    [
        ("syslog", True, ["/etc/docker/daemon.json: log-driver, log-opts stay as they are there"]),
        ("converged", False, ["/etc/docker/daemon.json: log-driver, log-opts stay as they are there"]),
        ("option", False, ["docker: log-driver, log-opts stay as the options of Docker's service have them"]),
        (
            "swarm",
            True,
            [
                "would stop here: docker: expected a restart that stops no containers of others, got one that stops "
                "somebodys; set docker_restart_stops_others = True",
                "docker: live-restore stays off: this host is in a swarm",
                "docker: restarts; this stops somebodys, open-webui, redis-valkey",
            ],
        ),
        ("allowed", True, ["docker: restarts; this stops somebodys, open-webui, redis-valkey"]),
        ("left alone", False, []),
        ("present", False, []),
        ("remaps", False, ["would stop here: docker: expected root in a container to be root on the host, got userns"]),
        (
            "unread",
            False,
            ["would stop here: /etc/docker/daemon.json: expected a JSON object, got something else (it c"],
        ),
        (
            "broken",
            False,
            ["would stop here: /etc/docker/daemon.json: expected a JSON object, got something else (line"],
        ),
    ],
)
def test_the_plan_names_what_stays_and_whom_a_restart_stops(
    planned: Run, name: str, changes: bool, lines: list[str]
) -> None:
    assert (CONFIGURE in planned.changes(name)) is changes
    said = planned.said(name)
    for line in lines:
        assert any(one.startswith(line) for one in said), said
    assert any("would stop" in one for one in said) is any("would stop" in line for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dry", "--diff"],
        ["--dry", "-vvv", "--debug", "--debug-operations", "--debug-facts"],
        ["--json"],
        ["-y", "-vvv", "--diff", "--debug"],
    ],
    ids=" ".join,
)
def test_a_password_in_daemon_json_is_never_shown(pyinfra: Pyinfra, arguments: list[str]) -> None:
    some = {name: one for name, one in hosts().items() if name in ("syslog", "swarm", "allowed")}
    some["broken"] = host(json.dumps(PROXY)[:-1])
    result = pyinfra(some, *arguments, deploy="tests/lab/docker_alone.py")
    assert "Configure Docker" in result.output
    assert shown(result.output) == []
    assert all(shown(one["fake_responses"][docker_config.READ]) for one in some.values()), "it would not be found"


def test_only_the_refused_host_drops_out_and_nothing_is_changed_there(pyinfra: Pyinfra) -> None:
    some = {name: one for name, one in hosts().items() if name in ("syslog", "swarm")}
    result = pyinfra(some, "-y", "-vvv", deploy="tests/lab/docker_alone.py")
    assert result.status == 1
    assert "called the verb docker" in result.said("syslog")
    assert "called the verb docker" not in result.said("swarm")
