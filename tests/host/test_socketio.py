"""A session of Socket.IO without a login: with python-socketio's own server, and with servers that are none."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.host.fake_websockets import Websockets
from webui_stack.host.open_webui import WEBSOCKET
from webui_stack.host.socketio import NoSessionError, Session

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture(scope="module")
def websockets() -> Iterator[Websockets]:
    served = Websockets(origins=["https://chat.example.org"])
    yield served
    served.end()


def opened(port: int, limit_s: float = 5) -> Session:
    return Session(socket.create_connection(("127.0.0.1", port), limit_s), f"127.0.0.1:{port}", WEBSOCKET, limit_s)


def message(sid: str, data: object, event: str = "x") -> str:
    about = {"method": "emit", "event": event, "data": [data], "binary": False, "namespace": "/", "room": sid}
    return json.dumps({**about, "skip_sid": None, "callback": None, "host_id": "another"})


def test_it_hears_what_is_sent_to_its_own_room_and_ends(websockets: Websockets) -> None:
    session = opened(websockets.port)
    other = opened(websockets.port)
    assert sorted(websockets.sids) == sorted([session.sid, other.sid])
    websockets.publish(message(other.sid, "not mine"))
    for size in (1, 200, 70_000):
        websockets.publish(message(session.sid, "x" * size))
    events = session.events(5)
    assert [len(next(events).data) for _ in range(3)] == [1, 200, 70_000]
    assert list(session.events(0.1)) == []
    session.close()
    other.close()
    limit_s = time.monotonic() + 5
    while websockets.sids and time.monotonic() < limit_s:
        time.sleep(0.01)
    assert websockets.sids == []


def test_it_answers_the_servers_pings(websockets: Websockets) -> None:
    """The server pings each second, and ends a session without an answer."""
    session = opened(websockets.port)
    assert list(session.events(1.3)) == []
    websockets.publish(message(session.sid, "here"))
    assert next(session.events(5)).data == "here"
    session.close()


def test_a_server_that_lets_nobody_in_is_told() -> None:
    served = Websockets(refuses=True)
    try:
        with pytest.raises(NoSessionError, match="a refusal by"):
            opened(served.port)
    finally:
        served.end()


# --- Servers that are none


def against(serve: Callable[[socket.socket], object], limit_s: float = 2) -> Session:
    ours, theirs = socket.socketpair()

    def run() -> None:
        with theirs:
            theirs.recv(4096)
            with suppress(OSError):
                serve(theirs)
                theirs.shutdown(socket.SHUT_WR)
                while theirs.recv(4096):
                    continue

    threading.Thread(target=run, daemon=True).start()
    return Session(ours, "host", WEBSOCKET, limit_s)


def frame(payload: bytes, kind: int = 0x81) -> bytes:
    assert len(payload) < 126
    return bytes((kind, len(payload))) + payload


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP 403 in place of a websocket"),
        (b"", "it was ended"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "another protocol"),
        (b"x" * 20000, "another protocol"),
        (SWITCHED + frame(b"hello"), "no Engine.IO"),
        (SWITCHED + frame(b"0{}") + frame(b"40nonsense"), "another protocol"),
        (SWITCHED + frame(b"0{}") + frame(b"40[]"), "another protocol"),
        (SWITCHED + frame(b"", 0x88), "it was ended"),
        (SWITCHED + b"\x81\x85" + b"12345", "another protocol"),
        (SWITCHED + b"\x81\x7f" + struct.pack("!Q", 1 << 40), "another protocol"),
        (SWITCHED + frame(b"\xff\xff"), "another protocol"),
    ],
)
def test_what_is_no_session_is_told_in_words(answer: bytes, why: str) -> None:
    with pytest.raises(NoSessionError, match=f"^{why}$"):
        against(lambda connection: connection.sendall(answer))


def test_a_server_that_says_nothing_has_its_limit() -> None:
    began_s = time.monotonic()
    with pytest.raises(NoSessionError, match="no answer in time"):
        against(lambda _: time.sleep(1), limit_s=0.2)
    assert time.monotonic() - began_s < 0.9


def test_a_server_that_says_one_byte_after_the_other_has_the_same_limit() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in SWITCHED:
            connection.sendall(bytes((byte,)))
            time.sleep(0.05)

    with pytest.raises(NoSessionError, match="no answer in time"):
        against(drip, limit_s=0.3)


def test_messages_in_parts_and_frames_between_them_are_read() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(SWITCHED + frame(b"0{}") + frame(b"2") + frame(b"", 0x89) + frame(b'40{"sid":', 0x01))
        connection.sendall(frame(b"ping", 0x89) + frame(b'"me"}', 0x80))
        connection.sendall(frame(b'42["a",{"b":1}]') + frame(b"3") + frame(b'42["c"]') + frame(b"41"))

    session = against(serve)
    assert (session.sid, list(session.events(2))) == ("me", [("a", {"b": 1}), ("c", None)])
    session.close()
