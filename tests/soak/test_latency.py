"""How long an event takes from a user's request to their websocket: in one Open WebUI process, and across two."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.lab.precious import Precious, socketio, within
from tests.lab.session import FRESH, NAME, ROOT, Lab
from tests.lab.test_probe import start_second

pytestmark = pytest.mark.lab

EVENTS = 200


@pytest.fixture(scope="module")
def precious(lab: Lab, deployed: dict[str, Any]) -> Precious:
    return Precious(lab)


@contextmanager
def way_to_second(precious: Precious) -> Iterator[str]:
    """The second process's own URL, past the published port: `ssh -L`."""
    host = precious.host
    start_second(host)
    try:
        template = '{{(index .NetworkSettings.Networks "openwebui-network").IPAddress}}'
        address = host.check_output("docker inspect --format %s second", template)
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        config = str(ROOT / ".lab" / NAME / "ssh_config")
        tunnel = subprocess.Popen(["ssh", "-F", config, "-N", "-L", f"127.0.0.1:{port}:{address}:8080", FRESH])
        try:
            base = f"http://127.0.0.1:{port}"
            within(20, "the tunnel is there", lambda: answers(base))
            yield base
        finally:
            tunnel.kill()
            tunnel.wait()
    finally:
        host.check_output("docker rm --force second")


def answers(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=5) as response:
            return bool(json.load(response)["status"])
    except OSError:
        return False


def latencies_ms(precious: Precious, asked: str) -> list[float]:
    """Requests go to `asked`; the websocket is always the first process's."""
    found = []
    with socketio(precious.base, precious.token) as listening:
        listening.send("42" + json.dumps(["user-join", {"auth": {"token": precious.token}}]))
        time.sleep(1)
        for number in range(EVENTS):
            mark = f"mark-{time.time_ns()}-{number}"
            body = json.dumps({"type": "test", "data": {"mark": mark}}).encode()
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {precious.token}"}
            path = f"/api/v1/chats/{precious.chat}/messages/{mark}/event"
            start = time.perf_counter()
            with urllib.request.urlopen(urllib.request.Request(asked + path, body, headers), timeout=10):
                pass
            while mark not in (frame := str(listening.recv())):
                if frame == "2":
                    listening.send("3")  # Engine.IO's ping and pong
            found.append((time.perf_counter() - start) * 1000)
    return found


def test_events_arrive_in_one_process_and_across_two(precious: Precious, capsys: pytest.CaptureFixture[str]) -> None:
    with way_to_second(precious) as second:
        measured = {"one process": latencies_ms(precious, precious.base), "across two": latencies_ms(precious, second)}
    with capsys.disabled():
        print(f"\n  {EVENTS} events, request to websocket{'median':>10} {'p95':>9} {'max':>9}")
        for name, values in measured.items():
            p95 = statistics.quantiles(values, n=20)[-1]
            print(f"  {name:33} {statistics.median(values):6.1f} ms {p95:6.1f} ms {max(values):6.1f} ms")
    assert all(len(values) == EVENTS for values in measured.values())
