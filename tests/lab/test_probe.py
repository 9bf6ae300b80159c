"""What verify proves, and what it says when websockets are dead while `/health` goes on answering 200."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.precious import START_S, Precious, within
from tests.lab.session import FRESH, Lab, changed, rows_in

pytestmark = pytest.mark.lab

SECOND = """umask 077
docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' open-webui >/run/second.env
docker run --detach --name second --network openwebui-network --label com.docker.compose.service=open-webui \\
  --volume open-webui:/app/backend/data --env-file /run/second.env --env ENABLE_DB_MIGRATIONS=false \\
  $(docker inspect --format '{{.Config.Image}}' open-webui)
rm /run/second.env"""
HEALTH = "docker exec %s curl --fail --silent --max-time 4 http://127.0.0.1:8080/health"
UP = "cd /opt/open-webui && docker compose --file compose.yaml up --detach --wait 2>&1"


@pytest.fixture(scope="module")
def precious(lab: Lab, deployed: dict[str, Any]) -> Precious:
    """Somebody has signed up: before that the probe makes no account."""
    return Precious(lab)


@pytest.fixture
def second(precious: Precious) -> Iterator[Any]:
    """Another Open WebUI process beside the first, on the same data, set up as that is at the moment."""
    yield precious.host
    precious.host.check_output("docker rm --force second")


def start_second(host: Any) -> None:
    host.check_output(SECOND)
    within(START_S, "the second process answers", lambda: host.run(HEALTH % "second").rc == 0)


def verify(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    return lab.run("-y", "runbooks/verify.py", "--data", "verify_timeout_s=4", *arguments)


def failed(result: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(re.findall(r"failed  (.*)", result.stdout))


def event_ms(result: subprocess.CompletedProcess[str]) -> float:
    """The latency in the line a run ends with."""
    assert result.returncode == 0, result.stdout
    found = re.search(r"event in (\d+) ms", result.stdout)
    assert found, result.stdout
    return float(found[1])


def probes_traces(precious: Precious) -> list[Any]:
    """The chats of everybody and the sessions that Valkey knows, which the probe may have left behind."""
    count = "import sqlite3; print(*sqlite3.connect('data/webui.db').execute('select count(*) from chat').fetchone())"
    chats = precious.host.check_output(f'docker exec open-webui python3 -c "{count}"')
    return [chats, precious.valkey("-n", "1", "HLEN", "open-webui:session_pool")]


def test_an_event_in_valkey_arrives_at_a_websocket(lab: Lab, precious: Precious) -> None:
    result = verify(lab)
    assert event_ms(result) < 1000
    report = rows_in(result.stdout)[FRESH]
    assert report["ok"] is True
    assert "event of 1024 KB through Valkey" in [check["name"] for check in report["checks"]]


def test_only_the_pings_are_asked_for_at_level_ping(lab: Lab, precious: Precious) -> None:
    result = verify(lab, "--data", "verify_level=ping")
    assert result.returncode == 0
    closing = next(line for line in result.stdout.splitlines() if "PONG in" in line)
    assert "websocket" not in closing
    assert "event" not in closing


def test_a_users_request_is_heard_by_their_websocket_and_leaves_no_trace(lab: Lab, precious: Precious) -> None:
    user = ("--data", "verify_level=user")
    assert changed(lab.report("-y", "deploy.py", *user)) == ["Stack | Make the secrets on the host"]
    before = probes_traces(precious)
    assert event_ms(verify(lab, *user)) < 2000
    assert probes_traces(precious) == before
    people = precious.ask("/api/v1/users/")["users"]
    assert [one["role"] for one in people if one["name"] == "Probe"] == ["user"]
    password = precious.host.file("/opt/open-webui/secrets/probe-password")
    assert (password.mode, password.user) == (0o600, "root")


def test_an_event_crosses_from_one_process_to_another(lab: Lab, second: Any) -> None:
    start_second(second)
    result = verify(lab, "--data", "verify_level=user")
    assert event_ms(result) < 2000
    assert "2 subscribers" in result.stdout


@dataclass(frozen=True)
class Control:
    """What is wrong, how it came to be, and what the probe has to say of it."""

    done: str
    says: str
    level: str = "wiring"
    two_processes: bool = False


CONTROLS = {
    "no manager, two processes": Control(
        f"sed -i '/WEBSOCKET_MANAGER/d' compose.yaml && {UP} && ! docker exec open-webui printenv WEBSOCKET_MANAGER",
        "WEBSOCKET_MANAGER is not set in ",
        level="user",
        two_processes=True,
    ),
    "valkey stopped": Control("docker stop redis-valkey", "container redis: redis-valkey is exited"),
    "a wrong URL": Control(
        f"sed -i 's,WEBSOCKET_REDIS_URL: .*,WEBSOCKET_REDIS_URL: redis://elsewhere:6379/1,' compose.yaml && {UP}",
        "WEBSOCKET_REDIS_URL leads open-webui to elsewhere:6379, not to redis:6379",
    ),
    "a wrong CORS list": Control(
        f"sed -i 's,CORS_ALLOW_ORIGIN: .*,CORS_ALLOW_ORIGIN: https://chat.example.org,' compose.yaml && {UP}",
        "CORS_ALLOW_ORIGIN is https://chat.example.org, without http://127.0.0.1:",
    ),
    "no channel for Open WebUI": Control(
        "sed -i 's/ &socketio &socketio#[*]//' valkey/users.acl && docker restart redis-valkey open-webui",
        "Valkey's ACL refuses Open WebUI socketio: users.acl was changed",
    ),
    "a pub/sub buffer too small for a large event": Control(
        "sed -i '/^client-output-buffer-limit/s/pubsub .*/pubsub 64kb 32kb 5/' valkey/valkey.conf && "
        "docker restart redis-valkey open-webui",
        "outgrew the pub/sub buffer; raise valkey_pubsub_buffer",
    ),
}


# Each restarts Open WebUI twice. The others show the same of the check that these are about.
LONG = {"a wrong URL", "a wrong CORS list", "a pub/sub buffer too small for a large event"}


@pytest.mark.parametrize(
    "control",
    [
        pytest.param(control, id=name, marks=[pytest.mark.long] if name in LONG else [])
        for name, control in CONTROLS.items()
    ],
)
def test_the_probe_says_no_where_health_says_yes(
    lab: Lab, precious: Precious, second: Any, control: Control, capsys: pytest.CaptureFixture[str]
) -> None:
    host = precious.host
    level = ("--data", f"verify_level={control.level}")
    if control.level == "user":
        lab.report("-y", "deploy.py", *level)
    host.check_output(f"systemctl stop open-webui-watchdog.service && cd /opt/open-webui && {{ {control.done}; }}")
    try:
        if control.two_processes:
            start_second(host)
        within(START_S, "/health answers", lambda: host.run(HEALTH % "open-webui").rc == 0)
        result = verify(lab, *level)
        report = rows_in(result.stdout)[FRESH]
        health = host.check_output(HEALTH % "open-webui")
    finally:
        host.check_output("docker rm --force second; docker start redis-valkey; cd /opt/open-webui && rm compose.yaml")
        repaired = lab.run("-y", "deploy.py")  # it ends with the same proof
    with capsys.disabled():
        print(f"\n  /health said {health}, the probe:\n    " + failed(result).replace("\n", "\n    "))
    assert json.loads(health) == {"status": True}
    assert result.returncode == 1
    assert control.says in failed(result)
    assert report["ok"] is False
    assert any(control.says in f"{check['name']}: {check['seen']}; {check['next_step']}" for check in report["checks"])
    assert event_ms(repaired) < 1000
