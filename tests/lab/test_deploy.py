"""The main job on real hosts: bare Debian to proven stack, refusals, and nothing on a second run."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.precious import socketio
from tests.lab.session import (
    DEBIAN_12,
    DOCKER_CE,
    FRESH,
    NO_SYSTEMD,
    Lab,
    comes_later,
    containers,
    numsub,
    rest,
    state,
)

pytestmark = pytest.mark.lab

PASSWORD = "Operator0Supplied0Password"
OPENAI_KEY = 'sk-test $HOME "quoted" #7 \\n'
SECRETS = {"TEST_VALKEY_PASSWORD": PASSWORD, "TEST_OPENAI_KEY": OPENAI_KEY}


@pytest.fixture(scope="module")
def others(request: pytest.FixtureRequest, lab: Lab) -> Iterator[subprocess.CompletedProcess[str]]:
    """Docker's repository and a host without systemd, in one run; the first with leftovers of older days."""
    host = lab.host(DOCKER_CE)
    host.check_output("mkdir -p /etc/docker && echo %s > /etc/docker/daemon.json", '{"max-concurrent-uploads": 3}')
    host.check_output(
        "echo 'deb [signed-by=/usr/share/keyrings/docker.gpg] https://download.docker.com/linux/debian trixie stable'"
        " > /etc/apt/sources.list.d/docker.list"
    )
    host.check_output("echo '# deb https://download.docker.com/linux/debian trixie stable' >> /etc/apt/sources.list")
    host.check_output("echo 'deb http://packages.lab.test/gone trixie main' > /etc/apt/sources.list.d/gone.list")
    result = lab.run("-y", "deploy.py", limit=f"{DOCKER_CE},{NO_SYSTEMD}", **SECRETS)
    assert result.returncode == 0, result.stdout
    yield result
    rest(lab.host(NO_SYSTEMD))
    if not comes_later(request, "rollout"):  # which would start it again
        rest(lab.host(DOCKER_CE))


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def test_fresh_deploy_gives_healthy_containers(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    status = host.check_output("docker ps --format '{{.Names}} {{.Status}}'").splitlines()
    assert sorted(line.split()[0] for line in status) == ["open-webui", "redis-valkey"]
    assert all("(healthy)" in line for line in status)
    assert host.service("docker").is_enabled


def test_valkey_answers_and_open_webui_listens(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    assert host.check_output("docker exec redis-valkey valkey-cli -p 6379 ping") == "PONG"
    assert numsub(host) >= 1


def test_a_client_without_password_can_ping_and_nothing_else(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    for command in ("GET x", "CONFIG GET *", "INFO", "PUBLISH socketio x", "SUBSCRIBE socketio"):
        assert "NOPERM" in host.check_output(f"docker exec redis-valkey valkey-cli {command}"), command


def test_a_websocket_opens_from_this_machine(lab: Lab, deployed: dict[str, Any]) -> None:
    base = f"http://127.0.0.1:{lab.port(FRESH)}"
    assert _get(f"{base}/health") == {"status": True}
    assert _get(f"{base}/api/config")["features"]["enable_websocket"] is True
    with socketio(base) as socket:
        assert socket.connected


def test_the_dry_run_predicted_the_deploy(planned: dict[str, Any], deployed: dict[str, Any]) -> None:
    done = {operation["name"]: operation for operation in deployed["results"]["operations"]}
    assert [operation["name"] for operation in planned["plan"]] == list(done)
    for operation in planned["plan"]:
        if not operation["hosts_with_conditional_change"]:
            assert operation["hosts_with_change"] == done[operation["name"]]["success"], operation["name"]


def test_second_apply_changes_nothing(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    before, files = containers(host), state(host)
    plan = lab.report("deploy.py", "--dry")["plan"]
    assert [operation["name"] for operation in plan if operation["hosts_with_change"]] == []
    totals = lab.report("-y", "deploy.py")["results"]["totals"]
    assert totals["success"] == totals["error"] == 0
    assert totals["no_change"] == len(plan)
    assert containers(host) == before
    assert state(host) == files


def test_only_root_can_read_the_secrets(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    assert host.file("/opt/open-webui").mode == 0o700
    assert host.file("/opt/open-webui/secrets").mode == 0o700
    assert host.file("/opt/open-webui/.env").mode == 0o600
    secrets = [host.file(f"/opt/open-webui/secrets/{name}") for name in host.file("/opt/open-webui/secrets").listdir()]
    assert len(secrets) == 3
    compose = host.file("/opt/open-webui/compose.yaml").content_string
    for secret in secrets:
        assert secret.mode == 0o600
        assert secret.user == "root"
        assert len(secret.content_string.strip()) == 48
        assert secret.content_string.strip() not in compose


def test_the_host_follows_the_docker_settings(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    address = host.check_output(
        "docker inspect --format '{{(index .NetworkSettings.Networks \"openwebui-network\").IPAddress}}' redis-valkey"
    )
    assert address.startswith("198.19."), "not from docker_address_pools"
    assert host.check_output("docker info --format '{{.LiveRestoreEnabled}}'") == "true"


def test_the_run_ends_with_a_line_a_person_wants(lab: Lab, deployed: dict[str, Any]) -> None:
    result = lab.run("-y", "runbooks/verify.py")
    assert result.returncode == 0, result.stdout
    closing = next(line for line in result.stdout.splitlines() if "PONG in" in line)
    assert f"[{FRESH}]" in closing
    for part in (f"http://127.0.0.1:{lab.port(FRESH)}", "Open WebUI 0.12.4", "Valkey ", "1 subscriber", "websocket in"):
        assert part in closing


def test_a_debian_12_host_with_its_own_packages_is_refused_untouched(lab: Lab) -> None:
    before = state(lab.host(DEBIAN_12))
    result = lab.run("-y", "deploy.py", limit=DEBIAN_12)
    assert result.returncode == 1
    assert "got Debian 12, whose packages have none; set docker_source = 'docker-ce'" in result.stdout
    assert state(lab.host(DEBIAN_12)) == before


def test_a_broken_daemon_json_is_refused_and_kept(lab: Lab) -> None:
    host = lab.host(DEBIAN_12)
    host.check_output("mkdir -p /etc/docker && echo '{\"debug\": tru' > /etc/docker/daemon.json")
    try:
        before = state(host)
        result = lab.run("-y", "deploy.py", "--data", "docker_source=docker-ce", limit=DEBIAN_12)
        assert result.returncode == 1
        assert "/etc/docker/daemon.json: expected a JSON object" in result.stdout
        assert state(host) == before
    finally:
        host.check_output("rm -r /etc/docker")


def test_docker_from_its_own_repository(lab: Lab, others: subprocess.CompletedProcess[str]) -> None:
    host = lab.host(DOCKER_CE)
    assert host.package("docker-ce").is_installed
    assert host.package("docker-compose-plugin").is_installed
    assert not host.package("docker.io").is_installed
    assert host.check_output("docker inspect --format '{{.State.Health.Status}}' open-webui") == "healthy"
    assert not host.file("/etc/apt/sources.list.d/docker.list").exists, "two files for one repository"
    sources = host.file("/etc/apt/sources.list.d/docker.sources").content_string
    assert "Signed-By: /etc/apt/keyrings/docker.asc" in sources
    assert host.file("/etc/apt/sources.list.d/docker.list.disabled").exists
    assert (
        "got an error from http://packages.lab.test/gone in /etc/apt/sources.list.d/gone.list, line 1" in others.stdout
    )
    assert host.run("apt-get update").rc == 100
    host.check_output("rm /etc/apt/sources.list.d/gone.list")
    host.check_output("apt-get update")


def test_other_keys_of_daemon_json_are_kept(lab: Lab, others: subprocess.CompletedProcess[str]) -> None:
    daemon = json.loads(lab.host(DOCKER_CE).file("/etc/docker/daemon.json").content_string)
    assert daemon["max-concurrent-uploads"] == 3
    assert daemon["live-restore"] is True


def test_a_port_on_the_loopback_is_proved_through_ssh(lab: Lab, others: subprocess.CompletedProcess[str]) -> None:
    assert lab.host(DOCKER_CE).check_output("docker port open-webui") == "8080/tcp -> 127.0.0.1:3000"
    closing = next(line for line in others.stdout.splitlines() if f"[{DOCKER_CE}]" in line and "PONG in" in line)
    assert "http://127.0.0.1:3000" in closing


def test_supplied_secrets_arrive_and_are_not_shown(lab: Lab, others: subprocess.CompletedProcess[str]) -> None:
    host = lab.host(DOCKER_CE)
    environment = json.loads(host.check_output("docker inspect --format '{{json .Config.Env}}' open-webui"))
    assert f"OPENAI_API_KEY={OPENAI_KEY}" in environment
    assert f"REDIS_URL=redis://open-webui:{PASSWORD}@redis:6379/0" in environment
    assert 'WEBUI_NAME=It\'s a $lab "chat"' in environment
    compose = host.file("/opt/open-webui/compose.yaml").content_string
    for secret in SECRETS.values():
        assert secret not in others.stdout
        assert secret not in compose


def test_a_host_without_systemd_is_served_by_its_init_script(
    lab: Lab, others: subprocess.CompletedProcess[str]
) -> None:
    host = lab.host(NO_SYSTEMD)
    assert host.check_output("cat /proc/1/comm") != "systemd"
    assert "is running" in host.check_output("service docker status")
    assert host.check_output("docker inspect --format '{{.State.Health.Status}}' open-webui") == "healthy"


def test_second_apply_changes_nothing_there_either(lab: Lab, others: subprocess.CompletedProcess[str]) -> None:
    hosts = f"{DOCKER_CE},{NO_SYSTEMD}"
    totals = lab.report("-y", "deploy.py", limit=hosts, **SECRETS)["results"]["totals"]
    assert totals["success"] == totals["error"] == 0
    assert totals["no_change"] > 20


def test_a_running_engine_of_another_origin_is_never_removed(lab: Lab, deployed: dict[str, Any]) -> None:
    before = containers(lab.host(FRESH))
    result = lab.run("-y", "deploy.py", "--data", "docker_source=docker-ce")
    assert result.returncode == 1
    assert "expected no other engine, got docker.io" in result.stdout
    assert containers(lab.host(FRESH)) == before


def test_a_network_with_another_subnet_is_reported_and_kept(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    before = host.check_output("docker network inspect --format '{{json .IPAM}}' openwebui-network")
    result = lab.run("-y", "deploy.py", "--data", "network_subnet=198.19.200.0/24")
    assert result.returncode == 1
    assert "openwebui-network: expected network_subnet 198.19.200.0/24, got 198.19." in result.stdout
    assert host.check_output("docker network inspect --format '{{json .IPAM}}' openwebui-network") == before


def test_a_mistake_in_the_settings_stops_before_any_host(lab: Lab, deployed: dict[str, Any]) -> None:
    before = state(lab.host(FRESH))
    result = lab.run("-y", "deploy.py", "--data", "open_webui_port=99999", "--data", "valky_image=x")
    assert result.returncode == 2
    assert f"{FRESH} / open_webui_port: expected a TCP port from 1 to 65535" in result.stdout
    assert f"{FRESH} / valky_image: expected a setting of this project, got an unknown name" in result.stdout
    assert "Starting operation" not in result.stdout
    assert state(lab.host(FRESH)) == before


def test_an_ordinary_user_without_sudo_is_refused(lab: Lab, deployed: dict[str, Any]) -> None:
    result = lab.run("-y", "deploy.py", "--data", "_sudo=false")
    assert result.returncode == 1
    assert "privileges: expected root, got an ordinary user; set _sudo = True" in result.stdout


def test_verify_names_the_setting_that_is_not_in_force(lab: Lab, deployed: dict[str, Any]) -> None:
    result = lab.run("-y", "runbooks/verify.py", "--data", "valkey_timeout_s=900", "--data", "verify_timeout_s=3")
    assert result.returncode == 1
    assert "failed  settings in force: timeout is '1800', not '900'" in result.stdout


def test_verify_fails_the_host_whose_valkey_is_stopped_and_no_other(
    lab: Lab, deployed: dict[str, Any], others: subprocess.CompletedProcess[str]
) -> None:
    lab.host(FRESH).check_output("docker stop redis-valkey")
    assert _get(f"http://127.0.0.1:{lab.port(FRESH)}/health") == {"status": True}, "health alone proves nothing"
    result = lab.run("-y", "runbooks/verify.py", limit=f"{FRESH},{NO_SYSTEMD}")
    assert result.returncode == 1
    failed = [line for line in result.stdout.splitlines() if "failed  " in line]
    assert all(f"[{FRESH}]" in line for line in failed)
    for check in ("container redis: redis-valkey is exited", "ping in its container", "ping through SSH"):
        assert any(check in line for line in failed), check
    assert "`pyinfra INVENTORY deploy.py` starts it again" in result.stdout
    assert any(f"[{NO_SYSTEMD}]" in line and "PONG in" in line for line in result.stdout.splitlines())

    healed = lab.report("-y", "deploy.py")["results"]["operations"]
    assert [operation["name"] for operation in healed if operation["success"]] == ["Stack | Bring the services up"]
    assert numsub(lab.host(FRESH)) >= 1
