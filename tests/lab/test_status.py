"""The table of all hosts says what is on them, by what the hosts themselves say; and their logs what was done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.session import DEBIAN_12, FRESH, ROOT, Lab, containers, numsub, state

pytestmark = pytest.mark.lab
LOG = "/var/log/open-webui/deploys.jsonl"


def log(host: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in host.file(LOG).content_string.splitlines()]


def status(lab: Lab, *arguments: str, limit: str = FRESH) -> tuple[str, dict[str, Any]]:
    """What the runbook prints, and what it wrote for programs."""
    result = lab.run("-y", "runbooks/status.py", *arguments, limit=limit)
    assert result.returncode == 0, result.stdout
    (file,) = (line.removeprefix("status: ") for line in result.stdout.splitlines() if line.startswith("status: "))
    return result.stdout, json.loads((ROOT / file).read_text())


def test_status_says_what_the_host_says(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    before, files = containers(host), state(host)
    output, found = status(lab)
    assert containers(host) == before
    assert state(host) == files
    one = found[FRESH]
    assert one["open_webui"] == "0.12.4"
    assert one["valkey"] in host.check_output("docker exec redis-valkey valkey-server --version")
    assert int(one["subscribers"]) == numsub(host)
    for service, container in (("redis", "redis-valkey"), ("open-webui", "open-webui")):
        digests = host.check_output(
            "docker image inspect --format '{{json .RepoDigests}}' $(docker inspect --format '{{.Image}}' %s)",
            container,
        )
        assert one["images"][service] in digests
    assert (one["faults"], one["drift"], one["late"], one["backups_unknown"]) == ([], [], [], "")
    page = (ROOT / "reports/status.html").read_text()
    assert f">{FRESH}</th>" in page
    assert one["images"]["open-webui"] in page
    assert one["last_deploy"] == log(host)[-1]
    assert one["last_deploy"]["result"] in ("changed", "unchanged")
    assert FRESH in output


def test_each_deploy_is_in_the_hosts_log(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    lab.report("-y", "deploy.py")
    before = log(host)
    lab.report("-y", "deploy.py")
    host.check_output("chmod 644 /opt/open-webui/.env")
    lab.report("-y", "deploy.py", "--data", "watchdog_pause_s=301")
    lab.report("-y", "deploy.py")
    lines = log(host)
    assert lines[: len(before)] == before, "not append-only"
    new = lines[len(before) :]
    assert [line["result"] for line in new] == ["unchanged", "started", "changed", "started", "changed"]
    assert new[2]["operations"] == ["Stack | Make the secrets on the host", "Watchdog | Put the watchdog"]
    assert new[0]["settings"] == new[4]["settings"] != new[2]["settings"]
    assert host.file(LOG).mode == 0o640


def test_a_deploy_that_fails_is_in_the_log_and_drift_says_where(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    result = lab.run("-y", "deploy.py", "--data", "verify_url=http://127.0.0.1:9", "--data", "verify_timeout_s=1")
    assert result.returncode == 1
    assert (log(host)[-1]["result"], log(host)[-1]["failed"]) == ("failed", "Verify | Prove that websockets work")

    host.check_output("docker stop redis-valkey && echo >> /etc/systemd/system/open-webui-watchdog.service")
    try:
        output, found = status(lab)
    finally:
        lab.report("-y", "deploy.py")
    assert f"{FRESH}: /etc/systemd/system/open-webui-watchdog.service: differs" in output
    assert f"{FRESH}: redis: is exited" in output
    assert "ping through SSH" in found[FRESH]["faults"]


def test_a_host_nothing_was_deployed_to_is_in_the_table_untouched(lab: Lab, deployed: dict[str, Any]) -> None:
    before = state(lab.host(DEBIAN_12))
    _, found = status(lab, limit=f"{FRESH},{DEBIAN_12}")
    assert list(found) == [FRESH, DEBIAN_12]
    assert found[DEBIAN_12]["note"] == "no stack here"
    assert state(lab.host(DEBIAN_12)) == before
