"""Whether a stack works is the host's own word: what is broken is told, and what nobody could ask is never broken."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.host.fake_docker import Exit, Process, Program
from tests.host.fake_engine import REFUSED, UNAVAILABLE, FakeEngine
from tests.host.fake_system import FakeSystem
from tests.host.faults import CRASH_AFTER, CRASH_BEFORE, CRASH_WITHIN, Crash, Faults
from webui_stack.host import published
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.protocol import Event
from webui_stack.host.stack import FOLDER_LABEL
from webui_stack.host.verbs import serving
from webui_stack.render import survey_requests
from webui_stack.verify import serving as operators

PASSWORD = "sesame-of-monitor"
NAMES = ("redis-valkey", "open-webui", "open-webui-proxy")
PROXIED: dict[str, Any] = {"public_url": "https://chat.example.org"}
TWO: dict[str, Any] = {**PROXIED, "open_webui_replicas": 2}


class Server(BaseHTTPRequestHandler):
    """Answers as Open WebUI does at its published port."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def closed() -> int:
    """A port at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class World:
    """A host whose stack works; `answers` are what its programs write, `ran` those that were run."""

    def __init__(self, folder: Path, names: tuple[str, ...] = NAMES) -> None:
        self.system = FakeSystem(folder)
        self.system.put("/opt/open-webui/secrets/valkey-monitor-password", f"{PASSWORD}\n")
        self.engine = FakeEngine()
        self.ran: list[Process] = []
        self.events: list[Event] = []
        self.health = "healthy"
        self.answers: dict[str, Callable[[Process], bytes]] = {
            "/health": lambda _: b"200",
            "websocket": self.open_websocket,
            "valkey-cli": lambda _: b'"PONG"\n["socketio",1]\n',
        }
        commands = dict.fromkeys(("sh", "curl"), self.run)
        self.engine.docker.put_image("image:1", Program(health=lambda _: self.health, commands=commands))
        for name in names:
            self.put(name)

    def put(self, name: str, folder: str = "/opt/open-webui") -> None:
        self.engine.docker.put_container(name, NewContainer("image:1", labels={FOLDER_LABEL: folder}))

    def run(self, process: Process) -> bytes:
        self.ran.append(process)
        (name,) = (name for name in self.answers if name in " ".join(process.command))
        return self.answers[name](process)

    def open_websocket(self, _: Process) -> bytes:
        """curl writes the status, and ends by its limit: the connection stays open."""
        raise Exit(28, output=b"101")

    def document(self, **changes: Any) -> dict[str, Any]:
        """The document as it is sent."""
        asked = serving.Request(**json.loads(json.dumps(survey_requests.serving_request(settings(**changes)))))
        found = serving.look(asked, self.system, self.engine, self.events.append)
        sent: dict[str, Any] = json.loads(json.dumps(found))
        return sent

    def faults(self, **changes: Any) -> list[str]:
        return operators.faults(self.document(**{**PROXIED, **changes}))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def wrote(answer: bytes) -> Callable[[Process], bytes]:
    return lambda _: answer


def failing(code: int, errors: bytes = b"", output: bytes = b"") -> Callable[[Process], bytes]:
    def fail(_: Process) -> bytes:
        raise Exit(code, errors, output)

    return fail


# --- A stack that works


def test_a_stack_that_works_has_no_faults(world: World, port: int) -> None:
    document = world.document(open_webui_port=port)
    assert operators.faults(document) == []
    assert (document["published"], document["processes"]) == (
        200,
        [{"name": "open-webui", "health": 200, "websocket": 101}],
    )


def test_the_verb_answers_on_this_machine_that_its_docker_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui_stack.host.dockerd.socket", lambda *_: str(tmp_path / "no.sock"))
    monkeypatch.setattr("webui_stack.host.verbs.serving.require_root", lambda: None)
    with pytest.raises(HostError, match=r"^docker: expected an answer to "):
        serving.run(survey_requests.serving_request(settings()), lambda _: None)


def test_each_process_is_asked_and_told_of(tmp_path: Path) -> None:
    world = World(tmp_path, (*NAMES, "open-webui-2", "open-webui-postgres"))
    world.answers["valkey-cli"] = wrote(b'"PONG"\n["socketio",2]\n')
    assert world.faults(**TWO) == []
    assert [event.text.partition(":")[0] for event in world.events] == ["open-webui", "open-webui-2"]
    world.answers["valkey-cli"] = wrote(b'"PONG"\n["socketio",1]\n')
    assert world.faults(**TWO) == ["redis-valkey: expected 2 that listen for events, got 1"]


def test_listeners_are_counted_after_a_websocket_was_tried(world: World) -> None:
    """Open WebUI 0.11 listens only from its first client on."""
    world.document(**PROXIED)
    assert [process.command[0] for process in world.ran] == ["curl", "curl", "sh"]


def test_the_handshake_is_that_of_a_websocket_and_has_a_limit(world: World) -> None:
    world.document(**PROXIED)
    command = list(world.ran[1].command)
    assert command[command.index("--max-time") + 1] == "5"
    assert command[-1] == "http://127.0.0.1:8080/ws/socket.io/?EIO=4&transport=websocket"
    headers = [command[number + 1] for number, word in enumerate(command) if word == "--header"]
    assert [header.partition(":")[0] for header in headers] == [
        *("Connection", "Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key"),
    ]


def test_with_a_proxy_no_published_port_is_tried(world: World) -> None:
    assert world.document(**PROXIED)["published"] is None


@pytest.mark.parametrize(
    ("bind", "address"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1"), ("10.0.0.8", "10.0.0.8")]
)
def test_the_published_port_is_tried_where_this_host_reaches_it(bind: str, address: str) -> None:
    asked = survey_requests.serving_request(settings(open_webui_bind=bind))
    assert asked["published"] == {"address": address, "port": 3000}


# --- What is broken


@pytest.mark.parametrize(
    ("question", "answer", "faults"),
    [
        ("/health", wrote(b"503"), ["open-webui: expected 200 from /health, got 503"]),
        ("/health", failing(7, output=b"000"), ["open-webui: expected 200 from /health, got no answer"]),
        ("/health", failing(137), ["open-webui: expected 200 from /health, got no answer"]),
        ("websocket", failing(22, output=b"403"), ["open-webui: expected 101 for a websocket, got 403"]),
        ("websocket", failing(28, output=b"000"), ["open-webui: expected 101 for a websocket, got no answer"]),
        ("websocket", wrote("\u0663".encode()), ["open-webui: expected 101 for a websocket, got no answer"]),
        (
            "valkey-cli",
            failing(124),
            [
                "redis-valkey: expected PONG, got no answer",
                "redis-valkey: expected 1 that listen for events, got no answer",
            ],
        ),
        (
            "valkey-cli",
            wrote(b'error:"LOADING Valkey is loading the dataset in memory"\n["socketio",1]\n'),
            ["redis-valkey: expected PONG, got LOADING Valkey is loading the dataset in memory"],
        ),
        (
            "valkey-cli",
            failing(1, b"Could not connect to Valkey at 127.0.0.1:6379: Connection refused\n"),
            [
                "redis-valkey: expected PONG, got Could not connect to Valkey at 127.0.0.1:6379: Connection refused",
                "redis-valkey: expected 1 that listen for events, got Could not connect to Valkey at 127.0.0.1:6379: "
                "Connection refused",
            ],
        ),
        (
            "valkey-cli",
            failing(1, b"AUTH failed: WRONGPASS\n", b'"PONG"\r\nerror:"NOPERM no permissions"\r\n'),
            [
                "redis-valkey: expected 1 that listen for events, got NOPERM no permissions; AUTH failed: WRONGPASS",
            ],
        ),
        (
            "valkey-cli",
            wrote(b'"PONG"\n["socketio",0]\n'),
            ["redis-valkey: expected 1 that listen for events, got 0"],
        ),
    ],
    ids=[
        *("another status", "no connection", "a curl that was killed", "a refused handshake", "no handshake"),
        *("no number", "a hanging Valkey", "a loading Valkey", "no Valkey", "a refused user", "no listener"),
    ],
)
def test_each_answer_that_is_not_as_it_should_be_is_a_fault(
    world: World, question: str, answer: Callable[[Process], bytes], faults: list[str]
) -> None:
    world.answers[question] = answer
    assert world.faults() == faults


@pytest.mark.parametrize("health", ["unhealthy", "starting"])
def test_a_container_that_is_not_healthy_is_a_fault(world: World, health: str) -> None:
    world.health = health
    assert world.faults() == [f"{name} is running, health {health}" for name in NAMES]


SILENCE = [
    "open-webui: expected 200 from /health, got no answer",
    "open-webui: expected 101 for a websocket, got no answer",
]


@pytest.mark.parametrize("state", ["paused", "exited", "missing"])
def test_in_what_does_not_run_or_is_not_there_nothing_is_asked(world: World, state: str) -> None:
    if state == "paused":
        world.engine.pause("open-webui")
    else:
        world.engine.stop("open-webui")
    if state == "missing":
        world.engine.remove("open-webui")
    health = "none" if state == "missing" else "unhealthy"
    assert world.faults() == [f"open-webui is {state}, health {health}", *SILENCE]
    assert [process.container.name for process in world.ran] == ["redis-valkey"]


def test_without_any_container_all_is_told(tmp_path: Path) -> None:
    assert World(tmp_path, ()).faults() == [
        *(f"{name} is missing, health none" for name in NAMES),
        *SILENCE,
        "redis-valkey: expected PONG, got no answer",
        "redis-valkey: expected 1 that listen for events, got no answer",
    ]


@pytest.mark.parametrize("end", ["stops", "goes", "starts again"])
@pytest.mark.parametrize("name", ["open-webui", "redis-valkey"])
def test_a_container_that_ends_while_it_is_asked_gives_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, end: str
) -> None:
    """As one does that ends at each start. Docker refuses to run a program in it."""
    world = World(tmp_path)
    run = world.engine.exec

    def ended(asked: str, *arguments: Any, **named: Any) -> Any:
        if asked == name:
            world.engine.stop(name)
        if asked == name and end == "goes":
            world.engine.remove(name)
        try:
            return run(asked, *arguments, **named)
        finally:
            if asked == name and end == "starts again":
                world.engine.start(name)

    monkeypatch.setattr(world.engine, "exec", ended)
    found = world.faults()
    assert [line for line in found if not line.startswith(name)] == []
    assert [line for line in found if line.endswith("got no answer")]


@pytest.mark.parametrize("code", [126, 127, 128])
@pytest.mark.parametrize(
    ("question", "where"), [("/health", "curl in open-webui"), ("valkey-cli", "valkey-cli in redis-valkey")]
)
def test_a_program_that_could_not_be_run_is_no_fault_of_the_stack(
    world: World, question: str, where: str, code: int
) -> None:
    world.answers[question] = failing(code, output=b"OCI runtime exec failed: unable to start\r\n")
    with pytest.raises(HostError, match=rf"^{where}: expected an answer, got exit code {code}; look at "):
        world.faults()


def test_a_program_that_could_not_be_run_in_a_container_that_ended_is_one(world: World) -> None:
    def end(_: Process) -> bytes:
        world.engine.stop("open-webui")
        raise Exit(128, output=b"OCI runtime exec failed: cannot exec in a stopped container\r\n")

    world.answers["/health"] = end
    assert world.faults() == SILENCE


# --- What nobody could ask


@pytest.mark.crash
@pytest.mark.parametrize("kind", [UNAVAILABLE, REFUSED, CRASH_BEFORE, CRASH_AFTER, CRASH_WITHIN])
def test_no_answer_of_docker_is_never_a_stack_that_is_broken(tmp_path: Path, kind: str) -> None:
    """Every call fails once, in each way in which it can, and is the last one once; then it is asked again."""
    whole = World(tmp_path / "whole")
    whole.document(**PROXIED)
    points = [point for point in whole.engine.faults.points() if point.kind.startswith(kind)]
    assert len(points) >= (1 if kind == CRASH_WITHIN else 3)
    for number, point in enumerate(points):
        world = World(tmp_path / str(number))
        before = _state(world)
        world.engine.faults = Faults(point)
        with pytest.raises((HostError, Crash)):
            world.document(**PROXIED)
        world.engine.faults = Faults()
        assert world.faults() == [], "the next run knows"
        assert _state(world) == before, "a look changes nothing"


def _state(world: World) -> list[Any]:
    return [(one.id, one.status, one.started_at, dict(one.files)) for one in world.engine.docker.held.values()]


def test_every_call_can_fail_in_each_way(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.document(**PROXIED)
    kinds = {point.kind.partition(",")[0] for point in world.engine.faults.points()}
    assert kinds == {UNAVAILABLE, REFUSED, CRASH_BEFORE, CRASH_AFTER, CRASH_WITHIN}


def test_a_password_that_can_not_be_read_is_no_fault_of_the_stack(world: World) -> None:
    path = world.system.path("/opt/open-webui/secrets/valkey-monitor-password")
    path.unlink()
    path.mkdir()
    with pytest.raises(HostError, match=r"^/opt/open-webui/secrets/valkey-monitor-password: expected a file to read"):
        world.faults()


# --- Secrets


def test_the_password_is_in_no_argument_and_told_to_nobody(world: World) -> None:
    document = world.document(**PROXIED)
    (asked,) = [process for process in world.ran if process.command[0] == "sh"]
    assert asked.env["REDISCLI_AUTH"] == PASSWORD
    assert asked.command[-2:] == ("--user", "monitor")
    assert asked.stdin == b"PING\nPUBSUB NUMSUB socketio\n"
    assert PASSWORD not in f"{document}{world.events}{[process.command for process in world.ran]}"


def test_a_valkey_of_somebody_elses_does_not_get_our_password(world: World) -> None:
    world.engine.remove("redis-valkey", force=True)
    world.put("redis-valkey", folder="/root/x")
    world.document(**PROXIED)
    (asked,) = [process for process in world.ran if process.command[0] == "sh"]
    assert "REDISCLI_AUTH" not in asked.env


# --- The published port


def test_a_port_tells_the_status_of_who_answers_there(port: int) -> None:
    assert published.status("127.0.0.1", port, "/health") == 200
    assert published.status("127.0.0.1", port, "/elsewhere") == 404


def test_a_port_that_nobody_has_is_a_fault(world: World, closed: int) -> None:
    found = operators.faults(world.document(open_webui_port=closed))
    assert found == ["published port: expected 200 from /health, got no answer"]


@pytest.mark.parametrize("says", [b"", b"\n", b"HTTP/1.1", b"SSH-2.0-OpenSSH_10\r\n", b"HTTP/1.1 \xd9\xa3\n"])
def test_a_program_that_is_no_web_server_or_is_silent_gives_no_answer(says: bytes) -> None:
    """Some of them end the connection, and the first says nothing for longer than anybody waits."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as kept:

        def serve() -> None:
            with contextlib.suppress(OSError):  # on a busy machine the test is over by then
                connection, _ = server.accept()
                kept.enter_context(connection)
                connection.sendall(says)
                if says:
                    connection.shutdown(socket.SHUT_WR)

        threading.Thread(target=serve, daemon=True).start()
        assert published.status("127.0.0.1", server.getsockname()[1], "/health", limit_s=0.2) == 0
