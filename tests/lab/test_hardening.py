"""What the containers may do, as the kernel and Docker see it; docs/explanation/security.md has the whole list."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from tests.lab.session import FRESH, Lab, changed, containers

pytestmark = pytest.mark.lab

BOTH = ("redis-valkey", "open-webui")
STRICTER = (
    *("--data", "open_webui_read_only=true"),
    *("--data", "open_webui_memory_limit_mb=3000"),
    *("--data", "valkey_memory_limit_mb=256"),
)


def status_of(host: Any, container: str) -> dict[str, str]:
    """/proc/PID/status of the container's server, from outside."""
    lines = host.check_output("cat /proc/$(docker inspect --format '{{.State.Pid}}' %s)/status", container)
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines.splitlines())}


def limits_of(host: Any, container: str) -> dict[str, Any]:
    limits: dict[str, Any] = json.loads(
        host.check_output("docker inspect --format '{{json .HostConfig}}' %s", container)
    )
    return limits


@pytest.mark.parametrize("container", BOTH)
def test_the_server_has_no_capability_and_can_gain_none(lab: Lab, deployed: dict[str, Any], container: str) -> None:
    status = status_of(lab.host(FRESH), container)
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_valkey_can_write_its_data_and_nothing_else(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    assert "Read-only file system" in host.run("docker exec redis-valkey touch /etc/x /usr/x /x").stderr
    assert "Read-only file system" in host.run("docker exec redis-valkey touch /etc/valkey/valkey.conf").stderr
    host.check_output("docker exec redis-valkey sh -c 'touch /data/x && rm /data/x'")


@pytest.mark.parametrize("container", BOTH)
def test_a_container_can_not_fork_without_end(lab: Lab, deployed: dict[str, Any], container: str) -> None:
    assert limits_of(lab.host(FRESH), container)["PidsLimit"] == {"redis-valkey": 128, "open-webui": 4096}[container]


@pytest.mark.long
def test_the_stricter_settings_hold_and_open_webui_works_with_them(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    before = containers(host)
    try:
        assert "Stack | Bring the services up" in changed(lab.report("-y", "deploy.py", *STRICTER))
        assert all(containers(host)[name] != before[name] for name in BOTH)
        assert limits_of(host, "open-webui")["Memory"] == 3000 << 20
        assert limits_of(host, "redis-valkey")["Memory"] == 256 << 20
        for path in ("/app/x", "/usr/x", "/root/x"):
            assert "Read-only file system" in host.run("docker exec open-webui touch %s", path).stderr
        with urllib.request.urlopen(f"http://127.0.0.1:{lab.port(FRESH)}/static/favicon.png", timeout=10) as response:
            assert response.read().startswith(b"\x89PNG")
        assert "Read-only" not in host.check_output("docker logs open-webui 2>&1")
    finally:
        lab.report("-y", "deploy.py")
