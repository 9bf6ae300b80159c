"""What a stack costs that nobody uses: three hosts of one lab at the same time, each with another stack."""

from __future__ import annotations

import http.client
import json
import shlex
import socket
import time
from collections.abc import Mapping

from benchmarks import ours
from benchmarks.lab import Lab
from benchmarks.measure import ROOT, BenchmarkError

METHOD = (
    "CPU of a whole host, Docker and watchdog included, as the engine under the lab counts it, in percent of one core. "
    "Windows of two minutes, the same ones on three hosts of one machine; nobody uses the stacks. By hand is the "
    "tutorial's compose file, and `docker run` with its websocket variables, on the same images."
)
WINDOW_S = 120
_SETTLE_S = 180
_TUTORIAL = ROOT / "tests" / "fixtures" / "tutorial-compose.yml"
_RUN = (
    "docker run -d --name open-webui --network openwebui-network -v open-webui:/app/backend/data "
    "-e ENABLE_WEBSOCKET_SUPPORT=true -e WEBSOCKET_MANAGER=redis -e WEBSOCKET_REDIS_URL=redis://redis:6379/1 "
    "--restart always -p 3000:8080"
)


class _Engine(http.client.HTTPConnection):
    """The engine under the lab, by its socket (https://docs.docker.com/reference/api/engine/)."""

    def __init__(self) -> None:
        super().__init__("docker", timeout=30)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


def prepare(lab: Lab) -> Mapping[str, str]:
    """Ensure three hosts with a stack each; side -> host. Returns once they have calmed down."""
    lab.up(3, extras="postgres,caddy")
    plain, full, by_hand = lab.hosts[:3]
    ours.deploy(lab, [plain, by_hand])
    proxy = {
        "database": "postgres",
        "public_url": "https://chat.lab.test",
        "proxy_tls": "internal",
        "verify_level": "ping",
    }
    ours.deploy(lab, [full], proxy)
    _tutorial(lab, by_hand)
    time.sleep(_SETTLE_S)
    return {"ours": plain, "ours, Postgres and proxy": full, "by hand": by_hand}


def measured(sides: Mapping[str, str]) -> dict[str, float]:
    """Percent of a core that each side's host takes in one window."""
    before = {side: _cpu_ns(host) for side, host in sides.items()}
    time.sleep(WINDOW_S)
    after = {side: _cpu_ns(host) for side, host in sides.items()}
    return {side: 100 * (after[side][0] - ns) / (after[side][1] - at) for side, (ns, at) in before.items()}


def _cpu_ns(host: str) -> tuple[int, int]:
    """What the host's container has used since its start, and when that was, both in ns."""
    engine = _Engine()
    lab, _, number = host.rpartition("-")
    engine.request("GET", f"/containers/open-webui-lab-{lab}-host-{number}/stats?stream=false&one-shot=true")
    answer = engine.getresponse()
    at = time.monotonic_ns()
    body = json.loads(answer.read())
    if answer.status != http.client.OK:
        raise BenchmarkError(f"{host}: expected its CPU time, got {answer.status}: {body.get('message')}")
    return body["cpu_stats"]["cpu_usage"]["total_usage"], at


def _tutorial(lab: Lab, host: str) -> None:
    """Put the tutorial's stack in the place of ours: the images and Docker are there."""
    images = lab.inventory["images"]
    # Compose wants a string there; the tutorial's 3.9 is a number.
    file = _TUTORIAL.read_text().replace("version: 3.9\n", "")
    file = file.replace("docker.io/valkey/valkey:8.0.1-alpine", images["valkey"])
    commands = [
        "systemctl disable --now open-webui-watchdog.service",
        "docker rm --force open-webui redis-valkey",
        "docker volume rm open-webui redis-data",
        f"mkdir -p /root/tutorial && echo {shlex.quote(file)} >/root/tutorial/docker-compose.yml",
        "cd /root/tutorial && docker compose up --detach --wait",
        f"{_RUN} {images['open_webui']}",
        "until curl -fs http://127.0.0.1:3000/health; do sleep 1; done",
    ]
    for command in commands:
        lab.ssh(host, f"sudo sh -c {shlex.quote(command)}")
