"""Doctor on a real host: silent where all is well, and each fault somebody brings in has its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.precious import Precious
from tests.lab.session import FRESH, Lab, ask_as_monitor, containers, faults, numsub, state

pytestmark = pytest.mark.lab

DOCTOR = ("-y", "runbooks/doctor.py")
# What people do to a running stack: edit Valkey's file, and put one of their own beside the project's.
CONF = "/opt/open-webui/valkey/valkey.conf"
EDITED = f"sed -i 's/^timeout .*/timeout 0/; s/noeviction/allkeys-lru/' {CONF} && echo 'maxmemory 100mb' >>{CONF}"
MEDDLED = """
services:
  open-webui:
    restart: "no"
    environment:
      WEBSOCKET_REDIS_URL: redis://127.0.0.1:6379/1
"""
COMPOSE = "docker compose --project-directory /opt/open-webui --file /opt/open-webui/compose.yaml"


@pytest.fixture(scope="module", autouse=True)
def claimed(lab: Lab, deployed: dict[str, Any]) -> None:
    """Somebody has signed up: a published stack without an admin is a fault of its own."""
    Precious(lab)


@pytest.fixture
def flushed(lab: Lab) -> Iterator[Any]:
    """The host after a firewall's reload took everybody's rules; its own come back afterwards."""
    host = lab.host(FRESH)
    host.check_output("iptables-save >/root/rules && iptables -F && iptables -t nat -F")
    yield host
    host.check_output("iptables-restore </root/rules && rm /root/rules")


@pytest.fixture
def meddled(lab: Lab, deployed: dict[str, Any]) -> Iterator[Any]:
    """The host after somebody followed bad advice."""
    host = lab.host(FRESH)
    host.check_output("systemctl stop open-webui-watchdog.service")  # it starts what compose stops here
    host.check_output(f"{EDITED} && docker restart redis-valkey")
    host.check_output("echo %s >/root/meddled.yaml", MEDDLED)
    host.check_output(f"{COMPOSE} --file /root/meddled.yaml up --detach --wait")
    yield host
    host.check_output("rm /root/meddled.yaml")
    lab.report("-y", "deploy.py")


def test_a_deployed_host_has_no_fault(lab: Lab, deployed: dict[str, Any]) -> None:
    result = lab.run(*DOCTOR)
    assert faults(result.stdout) == set()
    assert "0 faults, " in result.stdout
    assert result.returncode == 0


def test_doctor_changes_nothing_and_leaves_no_trace_in_valkey(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    before = state(host), containers(host), ask_as_monitor(host, "ACL LOG")
    lab.run(*DOCTOR)
    assert (state(host), containers(host), ask_as_monitor(host, "ACL LOG")) == before


def test_doctor_shows_no_secret_however_much_pyinfra_prints(lab: Lab, deployed: dict[str, Any]) -> None:
    result = lab.run("-vvv", "--debug", *DOCTOR)
    secrets = lab.host(FRESH).check_output("cat /opt/open-webui/secrets/*").split()
    assert len(secrets) == 3
    assert '"fingerprint"' in result.stdout, "the fingerprint is there, so the output is"
    assert [secret for secret in secrets if secret in result.stdout] == []


def test_flushed_rules_of_docker_are_named_by_doctor_and_verify(lab: Lab, flushed: Any) -> None:
    assert faults(lab.run(*DOCTOR).stdout) == {"docker: packet filter"}
    result = lab.run("-y", "runbooks/verify.py", "--data", "verify_timeout_s=1")
    assert result.returncode == 1
    assert "somebody flushed it; `systemctl restart docker` makes them again" in result.stdout
    assert "a proxy in between" not in result.stdout


def test_each_fault_is_named_and_gone_after_the_next_deploy(lab: Lab, meddled: Any) -> None:
    result = lab.run(*DOCTOR)
    assert faults(result.stdout) == {
        "valkey: eviction",
        "valkey: timeout",
        "open-webui: restart policy",
        "open-webui: WEBSOCKET_REDIS_URL",
        "websocket: subscribers",
    }
    assert "5 faults, " in result.stdout
    assert result.returncode == 1
    assert numsub(meddled) == 0, "Valkey itself says so too"

    lab.report("-y", "deploy.py")
    again = lab.run(*DOCTOR)
    assert faults(again.stdout) == set()
    assert again.returncode == 0
