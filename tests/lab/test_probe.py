"""What verify proves, and what it says when websockets are dead while `/health` goes on answering 200."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.browser.models import LONG, SHORT, Models
from tests.lab.precious import START_S, Precious, within
from tests.lab.session import FRESH, NAME, Lab, changed, rows_in

pytestmark = pytest.mark.lab

SECOND = """umask 077
docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' open-webui >/run/second.env
docker run --detach --name second --network openwebui-network --label com.docker.compose.service=open-webui \\
  --volume open-webui:/app/backend/data --env-file /run/second.env --env ENABLE_DB_MIGRATIONS=false \\
  $(docker inspect --format '{{.Config.Image}}' open-webui)
rm /run/second.env"""
HEALTH = "docker exec %s curl --fail --silent --max-time 4 http://127.0.0.1:8080/health"
UP = "cd /opt/open-webui && docker compose --file compose.yaml up --detach --wait 2>&1"
# What the lab's models run in, on this machine.
SERVER = ["--filter", f"label=lab.open-webui-stack={NAME}", "--filter", "label=lab.open-webui-stack.service=models"]


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


@pytest.fixture(scope="module")
def models(lab: Lab, precious: Precious) -> Models:
    """The lab's models, which Ada has shared with everybody: before that, Open WebUI shows them to admins only."""
    everybody = [{"principal_type": "user", "principal_id": "*", "permission": "read"}]
    for name in (SHORT, LONG):
        try:
            entry = {"id": name, "name": name, "meta": {}, "params": {}, "access_grants": everybody}
            precious.ask("/api/v1/models/create", entry)
        except urllib.error.HTTPError as error:
            if error.code != 401:  # it is shared already, in a lab that was kept
                raise
    return Models(lab, precious.host)


def verify(lab: Lab, *arguments: str, timeout_s: int = 4) -> subprocess.CompletedProcess[str]:
    return lab.run("-y", "runbooks/verify.py", "--data", f"verify_timeout_s={timeout_s}", *arguments)


def verify_model(lab: Lab, model: str, timeout_s: int = 4) -> subprocess.CompletedProcess[str]:
    user = ("--data", "verify_level=user", "--data", f"verify_model={model}")
    return verify(lab, *user, timeout_s=timeout_s)


def failed(result: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(re.findall(r"failed  (.*)", result.stdout))


def event_ms(result: subprocess.CompletedProcess[str]) -> float:
    """The latency in the line a run ends with."""
    assert result.returncode == 0, result.stdout
    found = re.search(r"event in (\d+) ms", result.stdout)
    assert found, result.stdout
    return float(found[1])


def probes_traces(precious: Precious) -> list[Any]:
    """The chats of everybody, and the sessions and tasks that Valkey knows: what the probe may have left behind."""
    count = "import sqlite3; print(*sqlite3.connect('data/webui.db').execute('select count(*) from chat').fetchone())"
    chats = precious.host.check_output(f'docker exec open-webui python3 -c "{count}"')
    sessions, tasks = ("-n", "1", "HLEN", "open-webui:session_pool"), ("HLEN", "open-webui:tasks")
    return [chats, precious.valkey(*sessions), precious.valkey(*tasks)]


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


def test_an_answer_of_a_model_is_seen_token_by_token_and_leaves_no_trace(
    lab: Lab, precious: Precious, models: Models
) -> None:
    before = probes_traces(precious), models.cancelled(SHORT)
    result = verify_model(lab, SHORT, timeout_s=30)
    assert result.returncode == 0, result.stdout
    checks = {check["name"]: check for check in rows_in(result.stdout)[FRESH]["checks"]}
    first, last = checks[f"first token of {SHORT}"], checks[f"last token of {SHORT}"]
    words = len(models.answer(SHORT).split())
    pieces = re.search(r"in (\d+) pieces", last["seen"])
    assert pieces
    assert int(pieces[1]) >= words / 2
    assert last["elapsed_ms"] - first["elapsed_ms"] >= (words - 2) * 100, "the lab's models say ten words a second"
    assert re.search(r"first token in \d+ ms, last in \d+ ms", result.stdout)
    assert (probes_traces(precious), models.cancelled(SHORT)) == before


def test_an_answer_that_is_not_over_in_time_is_stopped(lab: Lab, precious: Precious, models: Models) -> None:
    before = probes_traces(precious), models.cancelled(LONG)
    result = verify_model(lab, LONG)
    assert "last token of lab-long: answer has no end: " in failed(result)
    within(10, "the model saw its answer cut off", lambda: models.cancelled(LONG) > before[1])
    assert probes_traces(precious) == before[0]


def test_a_name_that_no_user_may_use_is_told_with_those_that_they_may(lab: Lab, models: Models) -> None:
    said = failed(verify_model(lab, "lab-shrot"))
    assert f"model name is unknown: lab-shrot is not among those of ordinary users: {LONG}, {SHORT}" in said


def test_a_model_whose_server_is_stopped_does_not_answer(lab: Lab, models: Models) -> None:
    server = subprocess.check_output(["docker", "ps", "--quiet", *SERVER], text=True).strip()
    subprocess.run(["docker", "stop", server], check=True, stdout=subprocess.DEVNULL)
    try:
        said = failed(verify_model(lab, SHORT, timeout_s=20))
    finally:
        subprocess.run(["docker", "start", server], check=True, stdout=subprocess.DEVNULL)
    assert f"first token of {SHORT}: model does not answer: " in said
    assert verify_model(lab, SHORT, timeout_s=30).returncode == 0


@dataclass(frozen=True)
class Control:
    """What is wrong, how it came to be, and what the probe has to say of it, and of a model's answer."""

    done: str
    says: str
    level: str = "wiring"
    two_processes: bool = False
    answer: str = ""


CONTROLS = {
    "no manager, two processes": Control(
        f"sed -i '/WEBSOCKET_MANAGER/d' compose.yaml && {UP} && ! docker exec open-webui printenv WEBSOCKET_MANAGER",
        "WEBSOCKET_MANAGER is not set in ",
        level="user",
        two_processes=True,
        answer=f"first token of {SHORT}: events do not arrive: ",
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
        level="user",
        answer=f"first token of {SHORT}: events do not arrive: no websocket at ",
    ),
    "a pub/sub buffer too small for a large event": Control(
        "sed -i '/^client-output-buffer-limit/s/pubsub .*/pubsub 64kb 32kb 5/' valkey/valkey.conf && "
        "docker restart redis-valkey open-webui",
        "outgrew the pub/sub buffer; raise valkey_pubsub_buffer",
    ),
}


# Each restarts Open WebUI twice. The others show the same of the check that these are about.
SLOW = {"a wrong URL", "a wrong CORS list", "a pub/sub buffer too small for a large event"}


@pytest.mark.parametrize(
    "control",
    [
        pytest.param(control, id=name, marks=[pytest.mark.long] if name in SLOW else [])
        for name, control in CONTROLS.items()
    ],
)
def test_the_probe_says_no_where_health_says_yes(
    lab: Lab,
    precious: Precious,
    models: Models,
    second: Any,
    control: Control,
    capsys: pytest.CaptureFixture[str],
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
        result = verify_model(lab, SHORT) if control.answer else verify(lab, *level)
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
    assert control.answer in failed(result)
    assert report["ok"] is False
    assert any(control.says in f"{check['name']}: {check['seen']}; {check['next_step']}" for check in report["checks"])
    assert event_ms(repaired) < 1000
