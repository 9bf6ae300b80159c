"""The client of Docker's API against a real server on a Unix socket, whose answers are written by the API reference."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.recorded_engine import RecordedEngine, Request, chunked, recorded
from webui_stack.host.engine import (
    Container,
    Engine,
    EngineError,
    Mount,
    NewContainer,
    NotFound,
    Port,
    ProgramFailed,
    Refused,
    TooNew,
    TooOld,
    Unavailable,
)
from webui_stack.host.engine.frames import STDERR, STDOUT, BrokenStream, frame, parts
from webui_stack.host.engine.images import Login, split
from webui_stack.host.engine.transport import Call, Transport
from webui_stack.host.errors import HostError

V = "/v1.44"

# By the API reference, v1.44, "Inspect a container"; what this program does not read is left out.
CONTAINER: dict[str, Any] = {
    "Id": "052002f2c0a3",
    "Name": "/redis-valkey",
    "Created": "2026-11-22T21:08:27.1Z",
    "Image": "sha256:5721",
    "RestartCount": 2,
    "State": {
        "Status": "running",
        "Pid": 412,
        "ExitCode": 0,
        "Error": "",
        "OOMKilled": False,
        "StartedAt": "2026-11-22T21:08:28.1Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Health": {
            "Status": "healthy",
            "FailingStreak": 0,
            "Log": [{"Start": "2026-11-22T21:08:29Z", "End": "2026-11-22T21:08:30Z", "ExitCode": 0, "Output": "PONG"}],
        },
    },
    "Config": {
        "Image": "valkey/valkey:8.1.1",
        "Labels": {"com.docker.compose.service": "redis"},
        "Env": ["PATH=/bin", "A=b=c", "NAME_ALONE"],
        "Tty": False,
        "User": "1000",
    },
    "HostConfig": {
        "NetworkMode": "openwebui-network",
        "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
        "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "3000"}]},
        "ExtraHosts": ["ollama:198.18.0.9"],
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}],
        "DeviceRequests": [{"Driver": "", "Count": -1}, {"Driver": "nvidia", "Count": 1}],
        "Privileged": True,
        "CapAdd": ["NET_RAW"],
    },
    "Mounts": [
        {"Type": "volume", "Name": "redis-data", "Source": "/v/_data", "Destination": "/data", "RW": True},
        {"Type": "bind", "Source": "/opt/x", "Destination": "/set", "RW": False},
    ],
    "NetworkSettings": {
        "Networks": {
            "openwebui-network": {"NetworkID": "bc02", "IPAddress": "198.19.1.2", "Aliases": ["redis", "052002f2c0a3"]}
        },
        "Ports": {"6379/tcp": None, "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "3000"}]},
    },
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RecordedEngine]:
    with recorded(tmp_path / "docker.sock") as server:
        yield server


@pytest.fixture
def engine(server: RecordedEngine) -> Engine:
    return Engine(server.path)


# --- Which API


@pytest.mark.parametrize(
    ("newest", "spoken"), [("1.41", "v1.41"), ("1.44", "v1.44"), ("1.47", "v1.47"), ("1.52", "v1.47")]
)
def test_the_lower_of_both_newest_versions_is_spoken_and_asked_for_once(
    tmp_path: Path, newest: str, spoken: str
) -> None:
    with recorded(tmp_path / "s", api=newest) as server:
        server.json("GET", f"/{spoken}/containers/web/json", CONTAINER)
        engine = Engine(server.path)
        engine.container("web")
        engine.container("web")
        assert server.asked() == ["GET /_ping", *[f"GET /{spoken}/containers/web/json"] * 2]


def test_what_writes_the_packet_filter_is_asked_of_the_newest_api(server: RecordedEngine, engine: Engine) -> None:
    """Docker 29 leaves it out of its answers to API versions below 1.49."""
    server.json("GET", "/info", {"FirewallBackend": {"Driver": "nftables"}})
    assert engine.firewall_backend() == "nftables"
    server.json("GET", "/info", {"FirewallBackend": None})
    assert engine.firewall_backend() == ""
    assert server.asked() == ["GET /info", "GET /info"]


def test_no_call_takes_longer_than_the_limit_of_its_engine(server: RecordedEngine) -> None:
    server.answers("GET", f"{V}/containers/web/json", lambda *_: time.sleep(1))
    with pytest.raises(Unavailable, match="none in time"):
        Engine(server.path, limit_s=0.1).container("web")


def test_containers_are_listed_in_any_state_or_only_those_that_run(server: RecordedEngine, engine: Engine) -> None:
    server.json("GET", f"{V}/containers/json", [{"Names": ["/b"]}, {"Names": ["/a"], "Labels": {"x": "y"}}])
    assert [one.name for one in engine.listed()] == ["b", "a"]
    assert [one.name for one in engine.running()] == ["b", "a"]
    assert [request.query for request in server.requests[-2:]] == [{"all": "true"}, {}]


def test_an_engine_of_before_1_41_is_refused_by_name(tmp_path: Path) -> None:
    with recorded(tmp_path / "s", api="1.40") as server, pytest.raises(TooOld, match=r"1\.40.*update Docker"):
        Engine(server.path).container("web")


def test_an_engine_that_speaks_nothing_so_old_is_refused_by_name(server: RecordedEngine, engine: Engine) -> None:
    words = "client version 1.44 is too old. Minimum supported API version is 1.60, please upgrade your client"
    server.error("GET", f"{V}/info", 400, words)
    with pytest.raises(TooNew, match="use a newer release"):
        engine.info()


def test_a_ping_without_its_header_is_asked_by_version(server: RecordedEngine, engine: Engine) -> None:
    server.raw("GET", "/_ping", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
    server.json("GET", "/version", {"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24"})
    assert engine.ping() == "1.45"


def test_a_version_that_is_none_is_no_answer(tmp_path: Path) -> None:
    with recorded(tmp_path / "s", api="new") as server, pytest.raises(Unavailable):
        Engine(server.path).info()


def test_an_engine_that_was_replaced_is_asked_for_its_version_again(server: RecordedEngine, engine: Engine) -> None:
    server.json("GET", f"{V}/containers/web/json", CONTAINER)
    engine.container("web")
    older = b"HTTP/1.1 200 OK\r\nApi-Version: 1.43\r\nContent-Length: 2\r\n\r\nOK"
    server.raw("GET", "/_ping", older)
    words = "client version 1.44 is too new. Maximum supported API version is 1.43"
    server.error("GET", f"{V}/containers/web/json", 400, words)
    server.json("GET", "/v1.43/containers/web/json", CONTAINER)
    assert engine.container("web").name == "redis-valkey"


def test_an_answer_from_elsewhere_is_no_yes(server: RecordedEngine, engine: Engine) -> None:
    server.raw("POST", f"{V}/containers/web/stop", b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(Refused):
        engine.stop("web")


# --- No answer is never "nothing there"


def test_docker_says_that_there_is_no_such_container(server: RecordedEngine, engine: Engine) -> None:
    server.error("GET", f"{V}/containers/web/json", 404, "No such container: web")
    with pytest.raises(NotFound) as caught:
        engine.container("web")
    assert (caught.value.kind, caught.value.name) == ("container", "web")
    assert isinstance(caught.value, EngineError)
    assert isinstance(caught.value, HostError)


@pytest.mark.parametrize(
    "message",
    [
        "page not found",
        "network web not found",
        "No such container: web2",
        "No such container: web-2",
        "No such image: web",
    ],
)
def test_a_404_on_anything_else_is_no_word_on_the_container(
    server: RecordedEngine, engine: Engine, message: str
) -> None:
    server.error("POST", f"{V}/containers/web/start", 404, message)
    with pytest.raises(Refused):
        engine.start("web")


@pytest.mark.parametrize(
    ("path", "ask", "message"),
    [
        ("/images/x:1/json", lambda e: e.image("x:1"), "No such image: x:1"),
        ("/images/docker.io/x/json", lambda e: e.image("docker.io/x"), "No such image: x:latest"),
        ("/volumes/data", lambda e: e.volume("data"), "get data: no such volume"),
        ("/volumes/data", lambda e: e.volume("data"), "volume data not found"),  # a swarm's manager
        ("/networks/net", lambda e: e.network("net"), "network net not found"),
        ("/services/s_redis", lambda e: e.service("s_redis"), "service s_redis not found"),
        ("/nodes/n1", lambda e: e.node("n1"), "node n1 not found"),
        ("/secrets/key", lambda e: e.secret("key"), "secret key not found"),
        ("/configs/conf", lambda e: e.config("conf"), "config conf not found"),
    ],
)
def test_each_kind_of_object_is_missed_in_its_own_words(
    server: RecordedEngine, engine: Engine, path: str, ask: Any, message: str
) -> None:
    server.error("GET", V + path, 404, message)
    with pytest.raises(NotFound):
        ask(engine)
    server.error("GET", V + path, 404, "page not found")
    with pytest.raises(Refused):
        ask(engine)


def test_no_socket_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no socket at"):
        Engine(str(tmp_path / "none")).containers()


def test_a_socket_that_nobody_serves_is_no_answer(tmp_path: Path) -> None:
    path = str(tmp_path / "dead")
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).bind(path)
    with pytest.raises(Unavailable, match="nobody at"):
        Engine(path).containers()


def test_a_docker_that_takes_the_call_and_says_nothing_is_no_answer(server: RecordedEngine) -> None:
    server.answers("GET", "/slow", lambda *_: time.sleep(1))
    with pytest.raises(Unavailable, match="none in time"):
        Transport(server.path).json(Call("GET", "/slow", versioned=False, timeout_s=0.1))


def test_the_limit_is_for_the_whole_answer_and_not_for_each_piece(server: RecordedEngine) -> None:
    def drip(connection: socket.socket, request: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1\r\n \r\n")
            time.sleep(0.02)

    server.answers("GET", "/drip", drip)
    began_s = time.monotonic()
    with pytest.raises(Unavailable, match="none in time"):
        Transport(server.path).json(Call("GET", "/drip", versioned=False, timeout_s=0.2))
    assert time.monotonic() - began_s < 5


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"Id": "052002',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunked(b"[]", whole=False),
        chunked(b"[]", whole=False) + b"0\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[] and more\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n[]\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"Content-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"Id',
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[{,",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[{}]",
        b"\x15\x03\x01",
    ],
)
def test_half_an_answer_or_another_than_docker_gives_is_no_answer(
    server: RecordedEngine, engine: Engine, answer: bytes
) -> None:
    server.raw("GET", f"{V}/containers/json", answer)
    with pytest.raises(Unavailable):
        engine.containers()


def test_an_answer_cut_off_while_docker_says_not_found_is_no_answer(server: RecordedEngine, engine: Engine) -> None:
    server.raw(
        "GET", f"{V}/volumes/data", b'HTTP/1.1 404 Not Found\r\nContent-Length: 90\r\n\r\n{"message": "get data: no'
    )
    with pytest.raises(Unavailable):
        engine.volume("data")


NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are "
    "online. Make sure more than half of the managers are online."
)
WORKER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm'
)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (500, NO_LEADER, Unavailable),
        (503, NO_LEADER, Unavailable),
        (500, "rpc error: code = DeadlineExceeded desc = context deadline exceeded", Unavailable),
        (503, "rpc error: code = Unavailable desc = connection error", Unavailable),
        (502, "Bad Gateway", Unavailable),
        (503, WORKER, Refused),
        (503, "Swarm is encrypted and needs to be unlocked before it can be used.", Refused),
        (500, "rpc error: code = Unknown desc = update out of sequence", Refused),
        (500, "driver failed programming external connectivity: port is already allocated", Refused),
        (409, "conflict", Refused),
        (400, "invalid filter", Refused),
    ],
)
def test_a_swarm_without_a_leader_is_no_answer_and_a_worker_is_a_no(
    server: RecordedEngine, engine: Engine, status: int, message: str, expected: type[EngineError]
) -> None:
    server.error("GET", f"{V}/services", status, message)
    with pytest.raises(expected) as caught:
        engine.services()
    assert type(caught.value) is expected
    assert message[:20] in str(caught.value)


def test_an_error_of_a_proxy_before_the_socket_is_shown_as_it_is(server: RecordedEngine, engine: Engine) -> None:
    server.raw("GET", f"{V}/info", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope")
    with pytest.raises(Refused, match="got nope"):
        engine.info()


# --- Containers


def test_a_container_is_read_without_what_its_health_check_said(server: RecordedEngine, engine: Engine) -> None:
    server.json("GET", f"{V}/containers/redis-valkey/json", CONTAINER)
    seen = engine.container("redis-valkey")
    assert (seen.name, seen.status, seen.health, seen.running) == ("redis-valkey", "running", "healthy", True)
    assert seen.env == {"PATH": "/bin", "A": "b=c"}
    assert seen.mounts == (
        Mount("volume", "/data", "redis-data", "/v/_data"),
        Mount("bind", "/set", source="/opt/x", writable=False),
    )
    assert seen.networks["openwebui-network"].address == "198.19.1.2"
    assert seen.ports == (Port("8080/tcp", "127.0.0.1", 3000),)
    assert (seen.published, seen.extra_hosts) == (("8080/tcp",), ("ollama:198.18.0.9",))
    assert seen.devices == ("/dev/null:/dev/x", "GPU", "nvidia")
    assert (seen.privileged, seen.cap_add, seen.user) == (True, ("NET_RAW",), "1000")
    assert (seen.restart_policy, seen.restarts, seen.log_driver) == ("unless-stopped", 2, "json-file")
    assert seen.probes[0].exit_code == 0
    assert "PONG" not in repr(seen)
    assert "b=c" not in repr(seen)


def test_a_container_that_never_started_needs_nothing_more(server: RecordedEngine, engine: Engine) -> None:
    never = "0001-01-01T00:00:00Z"
    state = {"Status": "created", "ExitCode": 0, "StartedAt": never, "FinishedAt": never}
    bare = {"Id": "1", "Name": "/x", "Created": "", "Image": "sha256:1", "State": state}
    server.json("GET", f"{V}/containers/x/json", {**bare, "Config": {"Image": "i"}, "HostConfig": {}})
    expected = Container("1", "x", "i", "sha256:1", "created", started_at=never, finished_at=never)
    assert engine.container("x") == expected


def test_one_that_goes_while_all_are_listed_is_left_out(server: RecordedEngine, engine: Engine) -> None:
    server.json("GET", f"{V}/containers/json", [{"Id": "1"}, {"Id": "2"}])
    server.error("GET", f"{V}/containers/1/json", 404, "No such container: 1")
    server.json("GET", f"{V}/containers/2/json", CONTAINER)
    assert [one.name for one in engine.containers(label="a=b", network="n")] == ["redis-valkey"]
    listed = next(request for request in server.requests if request.path == f"{V}/containers/json")
    assert listed.query["all"] == "true"
    assert json.loads(listed.query["filters"]) == {"label": ["a=b"], "network": ["n"]}
    server.error("GET", f"{V}/containers/1/json", 500, "input/output error")
    with pytest.raises(Refused):  # the list is never shorter because of a failure
        engine.containers()


def test_a_start_of_one_that_runs_changes_nothing(server: RecordedEngine, engine: Engine) -> None:
    server.empty("POST", f"{V}/containers/web/start", status=304)
    server.empty("POST", f"{V}/containers/web/stop", status=304)
    engine.start("web")
    engine.stop("web", timeout_s=30)
    assert server.requests[-1].query == {"t": "30"}


def test_a_stop_without_a_limit_leaves_the_container_its_own_time(server: RecordedEngine, engine: Engine) -> None:
    server.empty("POST", f"{V}/containers/web/stop")
    engine.stop("web")
    assert server.requests[-1].query == {}


def hijacked(*payload: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n" + b"".join(payload)


def served_exec(server: RecordedEngine, output: bytes, *, running: bool = False, code: int | None = 0) -> None:
    server.json("POST", f"{V}/containers/web/exec", {"Id": "e1"}, status=201)
    server.raw("POST", f"{V}/exec/e1/start", output)
    server.json("GET", f"{V}/exec/e1/json", {"ID": "e1", "Running": running, "ExitCode": code})


def test_exec_tells_both_streams_and_the_exit_code(server: RecordedEngine, engine: Engine) -> None:
    served_exec(
        server, hijacked(frame(STDOUT, b"one "), frame(STDERR, b"oh"), frame(STDOUT, b""), frame(STDOUT, b"two"))
    )
    output = engine.exec("web", ["psql"], env={"PASSWORD": "secret"}, user="postgres")
    assert (output.exit_code, output.stdout, output.stderr) == (0, b"one two", b"oh")
    made = json.loads(server.requests[1].body)
    assert (made["Cmd"], made["Env"], made["User"], made["AttachStdin"]) == (
        ["psql"],
        ["PASSWORD=secret"],
        "postgres",
        False,
    )


def test_exec_gives_the_program_its_input_and_then_its_end(server: RecordedEngine, engine: Engine) -> None:
    got: list[bytes] = []

    def cat(connection: socket.socket, request: Request) -> None:
        connection.sendall(hijacked())
        while piece := connection.recv(1 << 16):
            got.append(piece)
        connection.sendall(frame(STDOUT, b"%d bytes" % sum(map(len, got))))

    served_exec(server, b"")
    server.answers("POST", f"{V}/exec/e1/start", cat)
    into = io.BytesIO()
    output = engine.exec("web", ["cat"], stdin=io.BytesIO(b"x" * 300_000), stdout=into)
    assert into.getvalue() == b"300000 bytes"
    assert output.stdout == b""
    assert b"".join(got) == b"x" * 300_000


def test_a_program_that_does_not_read_its_input_is_not_waited_for(server: RecordedEngine, engine: Engine) -> None:
    def end_with_input_unread(connection: socket.socket, request: Request) -> None:
        connection.sendall(hijacked())
        connection.recv(1, socket.MSG_PEEK)  # so that there is some
        connection.sendall(frame(STDOUT, b"done"))

    served_exec(server, b"")
    server.answers("POST", f"{V}/exec/e1/start", end_with_input_unread)
    assert engine.exec("web", ["true"], stdin=b"x" * 5_000_000, timeout_s=20).stdout == b"done"


def test_an_answer_of_known_length_that_is_reset_is_no_answer(server: RecordedEngine, engine: Engine) -> None:
    def half_then_reset(connection: socket.socket, request: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + frame(STDOUT, b"done"))
        connection.recv(1, socket.MSG_PEEK)

    served_exec(server, b"")
    server.answers("POST", f"{V}/exec/e1/start", half_then_reset)
    with pytest.raises(Unavailable, match="an end of the connection"):
        engine.exec("web", ["true"], stdin=b"x" * 5_000_000, timeout_s=20)


def test_an_input_that_could_not_be_read_is_never_a_success(server: RecordedEngine, engine: Engine) -> None:
    class Broken(io.RawIOBase):
        def read(self, _: int = -1) -> bytes:
            raise OSError("input/output error")

    def wait_for_end(connection: socket.socket, request: Request) -> None:
        connection.sendall(hijacked())
        while connection.recv(1 << 16):
            pass

    served_exec(server, b"")
    server.answers("POST", f"{V}/exec/e1/start", wait_for_end)
    with pytest.raises(OSError, match="input/output error"):
        engine.exec("web", ["pg_restore"], stdin=Broken())  # type: ignore[arg-type]


def test_an_exit_code_that_nobody_accepts_raises_with_the_last_line(server: RecordedEngine, engine: Engine) -> None:
    served_exec(server, hijacked(frame(STDERR, b"hint\nno such table\n")), code=3)
    with pytest.raises(ProgramFailed, match="psql in web: expected it to succeed, got exit code 3: no such table"):
        engine.exec("web", ["psql", "-c", "secret"])
    assert engine.exec("web", ["psql"], accept=(0, 3)).exit_code == 3


@pytest.mark.parametrize(
    ("output", "running", "code"),
    [
        (hijacked(frame(STDOUT, b"half a frame")[:-1]), False, 0),
        (hijacked(frame(STDOUT, b"x")[:5]), False, 0),
        (hijacked(frame(STDOUT, b"fine so far")), True, None),
        (hijacked(b"no frames at all"), False, 0),
        (hijacked(frame(3, b"log driver broke")), False, 0),
    ],
)
def test_output_that_ends_before_the_program_is_no_answer(
    server: RecordedEngine, engine: Engine, output: bytes, running: bool, code: int | None
) -> None:
    served_exec(server, output, running=running, code=code)
    with pytest.raises(Unavailable):
        engine.exec("web", ["pg_dump"])


def test_an_exec_that_docker_forgot_says_nothing_of_its_container(server: RecordedEngine, engine: Engine) -> None:
    served_exec(server, hijacked())
    server.error("GET", f"{V}/exec/e1/json", 404, "No such exec instance: e1")
    with pytest.raises(Refused):
        engine.exec("web", ["true"])


def test_a_hanging_program_ends_the_call_at_its_limit(server: RecordedEngine, engine: Engine) -> None:
    def hang(connection: socket.socket, request: Request) -> None:
        connection.sendall(hijacked())
        time.sleep(2)

    served_exec(server, b"")
    server.answers("POST", f"{V}/exec/e1/start", hang)
    with pytest.raises(Unavailable, match="none in time"):
        engine.exec("web", ["sleep"], stdin=b"x", timeout_s=0.2)


class Run:
    """A server's part of one container that runs once: attached, waited for, started, in that order."""

    def __init__(self, server: RecordedEngine, *, output: bytes, code: int = 0) -> None:
        self.started = threading.Event()
        server.json("POST", f"{V}/containers/create", {"Id": "c1", "Warnings": []}, status=201)

        def attach(connection: socket.socket, request: Request) -> None:
            connection.sendall(hijacked())
            self.started.wait(5)
            connection.sendall(output)

        def wait(connection: socket.socket, request: Request) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.started.wait(5)
            body = json.dumps({"StatusCode": code}).encode() + b"\n"
            connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

        def start(connection: socket.socket, request: Request) -> None:
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            self.started.set()

        server.answers("POST", f"{V}/containers/c1/attach", attach)
        server.answers("POST", f"{V}/containers/c1/wait", wait)
        server.answers("POST", f"{V}/containers/c1/start", start)
        server.empty("DELETE", f"{V}/containers/c1")


NEW = NewContainer("valkey:8", ["valkey-check-rdb", "/set/x"], volumes=["/opt/set:/set:ro"], env={"PASSWORD": "s"})


def test_run_is_attached_and_waiting_before_it_starts_and_docker_removes_it(
    server: RecordedEngine, engine: Engine
) -> None:
    Run(server, output=frame(STDOUT, b"4 keys read"))
    assert engine.run("check", NEW).stdout == b"4 keys read"
    assert server.asked()[1:] == [
        f"POST {V}/containers/{what}" for what in ("create", "c1/attach", "c1/wait", "c1/start")
    ]
    create, _, wait, _ = server.requests[1:]
    body = json.loads(create.body)
    assert create.query == {"name": "check"}
    assert wait.query == {"condition": "removed"}
    assert body["HostConfig"]["AutoRemove"] is True
    assert body["HostConfig"]["NetworkMode"] == "none"
    assert body["HostConfig"]["Binds"] == ["/opt/set:/set:ro"]
    assert body["Cmd"] == ["valkey-check-rdb", "/set/x"]
    assert "Entrypoint" not in body
    assert "PASSWORD" not in repr(NEW)


def test_run_raises_for_its_exit_code(server: RecordedEngine, engine: Engine) -> None:
    Run(server, output=frame(STDERR, b"bad magic"), code=1)
    with pytest.raises(ProgramFailed, match=r"valkey-check-rdb in check.*exit code 1: bad magic"):
        engine.run("check", NEW)


def test_a_run_that_is_cut_off_removes_its_container_and_tells_the_first_error(
    server: RecordedEngine, engine: Engine
) -> None:
    Run(server, output=frame(STDOUT, b"half")[:-2])
    with pytest.raises(Unavailable, match="within a frame"):
        engine.run("check", NEW)
    assert server.asked()[-1] == f"DELETE {V}/containers/c1"
    assert server.requests[-1].query["force"] == "true"


def test_an_image_that_is_missing_is_no_word_on_the_container(server: RecordedEngine, engine: Engine) -> None:
    server.error("POST", f"{V}/containers/create", 404, "No such image: valkey:8")
    with pytest.raises(Refused, match="No such image"):
        engine.run("check", NEW)


def test_a_run_whose_input_breaks_off_is_ended_and_not_left_to_think_it_had_all(
    server: RecordedEngine, engine: Engine
) -> None:
    class Broken(io.RawIOBase):
        def read(self, _: int = -1) -> bytes:
            raise OSError("input/output error")

    ended = threading.Event()

    def attach(connection: socket.socket, request: Request) -> None:
        connection.sendall(hijacked())
        while connection.recv(1 << 16):
            pass
        ended.wait(5)  # the program works on with what it has

    Run(server, output=b"")
    server.answers("POST", f"{V}/containers/c1/attach", attach)
    began_s = time.monotonic()
    with pytest.raises(OSError, match="input/output error"):
        engine.run("fill", NEW, stdin=Broken())  # type: ignore[arg-type]
    assert time.monotonic() - began_s < 3
    assert server.asked()[-1] == f"DELETE {V}/containers/c1"
    ended.set()


def test_logs_of_a_container_with_a_terminal_have_no_frames(server: RecordedEngine, engine: Engine) -> None:
    server.json("GET", f"{V}/containers/web/json", CONTAINER)
    server.raw("GET", f"{V}/containers/web/logs", chunked(frame(STDOUT, b"a\n"), frame(STDERR, b"b\n")[:9], b"\n"))
    assert engine.logs("web", tail=15) == b"a\nb\n"
    assert server.requests[-1].query["tail"] == "15"
    server.json("GET", f"{V}/containers/web/json", {**CONTAINER, "Config": {**CONTAINER["Config"], "Tty": True}})
    server.raw("GET", f"{V}/containers/web/logs", chunked(b"plain\r\n"))
    assert engine.logs("web") == b"plain\r\n"


def test_a_file_that_a_container_lacks_is_not_the_container(server: RecordedEngine, engine: Engine) -> None:
    server.error("GET", f"{V}/containers/web/archive", 404, "Could not find the file /key in container web")
    with pytest.raises(NotFound) as caught:
        engine.read_file("web", "/key")
    assert caught.value.kind == "file"
    server.error("GET", f"{V}/containers/web/archive", 404, "No such container: web")
    with pytest.raises(NotFound) as caught:
        engine.read_file("web", "/key")
    assert caught.value.kind == "container"
    server.raw("GET", f"{V}/containers/web/archive", chunked(b"no tar"))
    with pytest.raises(Unavailable):
        engine.read_file("web", "/key")


# --- Images, volumes, networks


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\r\n"


def layer(status: str, current: int = 0, total: int = 0, id_: str = "aa") -> bytes:
    return line(status=status, id=id_, progressDetail={"current": current, "total": total} if total else {})


def test_a_pull_tells_bytes_of_bytes_however_its_lines_are_cut(server: RecordedEngine, engine: Engine) -> None:
    lines = b"".join(
        [
            line(status="Pulling from valkey/valkey", id="8.1.1"),
            layer("Pulling fs layer"),
            layer("Downloading", 10, 100),
            layer("Downloading", 5, 50, "bb"),
            layer("Verifying Checksum"),
            layer("Download complete"),
            layer("Extracting", 3, 100),
            layer("Pull complete"),
            layer("Already exists", id_="cc"),
        ]
    )
    server.raw("POST", f"{V}/images/create", chunked(lines[:70], lines[70:71], lines[71:]))
    told: list[tuple[int, int]] = []
    engine.pull("reg.test:5000/valkey/valkey:8.1.1", progress=lambda here, of: told.append((here, of)))
    assert told == [(10, 100), (15, 150), (105, 150)]
    assert server.requests[-1].query == {"fromImage": "reg.test:5000/valkey/valkey:8.1.1"}


@pytest.mark.parametrize(
    "error",
    [
        line(errorDetail={"message": "no space left on device"}, error="no space left on device"),
        line(errorDetail={"message": "no space left on device"}),  # API 1.48 may leave the old field out
        line(error="no space left on device"),
    ],
)
def test_an_error_within_a_pull_that_began_well_raises(server: RecordedEngine, engine: Engine, error: bytes) -> None:
    server.raw("POST", f"{V}/images/create", chunked(layer("Downloading", 10, 100), error))
    with pytest.raises(Refused, match="no space left on device"):
        engine.pull("valkey/valkey:8.1.1")


def test_a_pull_that_is_cut_off_is_none(server: RecordedEngine, engine: Engine) -> None:
    server.raw("POST", f"{V}/images/create", chunked(layer("Download complete"), whole=False))
    with pytest.raises(Unavailable):
        engine.pull("valkey/valkey:8.1.1")


def test_what_a_registry_does_not_have_is_no_word_on_this_host(server: RecordedEngine, engine: Engine) -> None:
    server.error("POST", f"{V}/images/create", 404, "manifest for valkey/valkey:9 not found: manifest unknown")
    with pytest.raises(Refused):
        engine.pull("valkey/valkey:9")


def test_a_login_is_in_a_header_of_its_call_alone_and_never_shown(server: RecordedEngine, engine: Engine) -> None:
    login = Login("ci", "märker?>~")
    server.raw("POST", f"{V}/images/create", chunked(line(status="Pulling from a", id="1")))
    server.json("GET", f"{V}/distribution/reg.test:5000/a:1/json", {"Descriptor": {"digest": "sha256:ab"}})
    engine.pull("reg.test:5000/a:1", login=login)
    engine.registry_digest("reg.test:5000/a:1", login=login)
    for asked in server.requests[-2:]:
        sent = json.loads(base64.urlsafe_b64decode(asked.headers["x-registry-auth"]))
        assert sent == {"username": "ci", "password": "märker?>~"}
        assert "rker" not in f"{asked.query} {asked.path}"
    engine.registry_digest("reg.test:5000/a:1")
    assert "x-registry-auth" not in server.requests[-1].headers
    assert "rker" not in repr(login)


@pytest.mark.parametrize(
    ("reference", "name", "tag"),
    [
        ("valkey", "valkey", "latest"),
        ("valkey/valkey:8", "valkey/valkey", "8"),
        ("reg.test:5000/valkey", "reg.test:5000/valkey", "latest"),
        ("reg.test:5000/valkey:8", "reg.test:5000/valkey", "8"),
        ("reg.test:5000/valkey@sha256:ab", "reg.test:5000/valkey", "sha256:ab"),
        ("valkey:8@sha256:ab", "valkey", "sha256:ab"),
    ],
)
def test_a_reference_without_tag_never_means_all_tags(reference: str, name: str, tag: str) -> None:
    assert split(reference) == (name, tag)


def test_a_tag_and_an_image_of_newer_engines_without_config(server: RecordedEngine, engine: Engine) -> None:
    server.empty("POST", f"{V}/images/sha256:ab/tag", status=201)
    engine.tag("sha256:ab", "reg.test:5000/valkey:8")
    assert server.requests[-1].query == {"repo": "reg.test:5000/valkey", "tag": "8"}
    server.json(
        "GET", f"{V}/images/sha256:ab/json", {"Id": "sha256:ab", "RepoTags": None, "RepoDigests": ["v@sha256:cd"]}
    )
    image = engine.image("sha256:ab")
    assert (image.id, image.tags, image.digests) == ("sha256:ab", (), ("v@sha256:cd",))


def test_no_volumes_is_null_and_another_form_is_no_answer(server: RecordedEngine, engine: Engine) -> None:
    server.json("GET", f"{V}/volumes", {"Volumes": None, "Warnings": None})
    assert engine.volumes() == ()
    server.json("GET", f"{V}/volumes", {})
    with pytest.raises(Unavailable):
        engine.volumes()


# --- Swarm and events

SERVICE = {
    "ID": "s1",
    "Version": {"Index": 7},
    "Spec": {
        "Name": "open-webui_open-webui",
        "Labels": {"com.docker.stack.namespace": "open-webui"},
        "TaskTemplate": {"ContainerSpec": {"Image": "sha256:25"}, "ForceUpdate": 1},
        "Mode": {"Replicated": {"Replicas": 2}},
    },
    "UpdateStatus": {"State": "paused", "Message": "update paused due to failure"},
}


def test_a_service_is_updated_from_the_version_that_was_read(server: RecordedEngine, engine: Engine) -> None:
    server.json("GET", f"{V}/services/open-webui_open-webui", SERVICE)
    server.json("POST", f"{V}/services/s1/update", {"Warnings": None})
    service = engine.service("open-webui_open-webui")
    assert (service.replicas, service.update, service.image) == (2, "paused", "sha256:25")
    engine.service_update(service, replicas=0, force=True)
    sent = json.loads(server.requests[-1].body)
    assert server.requests[-1].query == {"version": "7"}
    assert sent["Mode"]["Replicated"]["Replicas"] == 0
    assert sent["TaskTemplate"] == {"ContainerSpec": {"Image": "sha256:25"}, "ForceUpdate": 2}
    assert service.spec["Mode"]["Replicated"]["Replicas"] == 2  # what was read stays


def test_tasks_of_a_service_that_is_not_there_are_not_none(server: RecordedEngine, engine: Engine) -> None:
    server.error("GET", f"{V}/services/web", 404, "service web not found")
    server.json("GET", f"{V}/tasks", [])
    with pytest.raises(NotFound):
        engine.tasks("web")


def test_a_secret_is_sent_in_the_body_alone(server: RecordedEngine, engine: Engine) -> None:
    server.json("POST", f"{V}/secrets/create", {"ID": "k1"}, status=201)
    assert engine.create_secret("key", b"\x00secret", labels={"open-webui-stack": "made"}) == "k1"
    assert json.loads(server.requests[-1].body) == {
        "Name": "key",
        "Labels": {"open-webui-stack": "made"},
        "Data": "AHNlY3JldA==",
    }
    assert server.requests[-1].query == {}


def test_events_end_at_their_time_and_a_docker_that_went_raises(server: RecordedEngine, engine: Engine) -> None:
    died = line(
        Type="container", Action="die", Actor={"ID": "1", "Attributes": {"name": "web"}}, timeNano=1_500_000_000
    )
    server.raw("GET", f"{V}/events", chunked(died))
    (event,) = engine.events(since_s=1.0, until_s=2.0, kind="container")
    assert (event.kind, event.action, event.name, event.time_s) == ("container", "die", "web", 1.5)
    assert server.requests[-1].query["until"] == "2.000000000"
    server.raw("GET", f"{V}/events", chunked(died, whole=False))
    events = engine.events(since_s=1.0, until_s=2.0)
    assert next(events).action == "die"
    with pytest.raises(Unavailable):
        next(events)


def test_an_event_is_told_when_it_comes_and_not_with_the_next(server: RecordedEngine, engine: Engine) -> None:
    told = threading.Event()

    def happen(connection: socket.socket, request: Request) -> None:
        died = line(Type="container", Action="die", Actor={"ID": "1", "Attributes": {}}, timeNano=1)
        connection.sendall(chunked(died, whole=False))
        assert told.wait(5)
        connection.sendall(b"0\r\n\r\n")

    server.answers("GET", f"{V}/events", happen)
    events = engine.events(since_s=1.0, until_s=time.time() + 60)
    assert next(events).action == "die"
    told.set()
    assert list(events) == []


# --- Frames


def test_frames_come_apart_wherever_the_stream_is_cut() -> None:
    stream = frame(STDOUT, b"abc") + frame(STDERR, b"") + frame(STDERR, b"de") + frame(STDOUT, b"f" * 300)
    for size in range(1, 40):
        out = {STDOUT: b"", STDERR: b""}
        for number, payload in parts(stream[at : at + size] for at in range(0, len(stream), size)):
            out[number] += payload
        assert out == {STDOUT: b"abc" + b"f" * 300, STDERR: b"de"}


def test_every_end_within_a_frame_is_noticed() -> None:
    stream = frame(STDOUT, b"abc") + frame(STDERR, b"de")
    ends = {0, 11, len(stream)}
    for end in range(len(stream) + 1):
        if end in ends:
            list(parts([stream[:end]]))
        else:
            with pytest.raises(BrokenStream):
                list(parts([stream[:end]]))
