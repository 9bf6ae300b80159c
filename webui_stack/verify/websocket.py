"""Open WebUI as a client meets it: HTTP, and Socket.IO over the websocket transport."""

from __future__ import annotations

import http.client
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import socketio

# Where Open WebUI mounts Socket.IO (backend/open_webui/main.py, 0.12.4).
SOCKETIO_PATH = "/ws/socket.io"

# The client warns about every ordinary close; what matters is raised.
_quiet = logging.Logger("socket.io", logging.CRITICAL)


class ProbeError(Exception):
    """What was seen instead of the expected answer; `status` is that of HTTP, if one came."""

    def __init__(self, seen: str, status: int | None = None) -> None:
        super().__init__(seen)
        self.status = status


@dataclass(frozen=True)
class Way:
    """How to reach an Open WebUI process.

    `dial` gives the connected socket when there is no direct way. `origin` is the page a browser would
    come from: Open WebUI refuses a websocket from one that is not in CORS_ALLOW_ORIGIN. `detour` says why `dial`
    takes another way than people do, where it does.
    """

    url: str
    dial: Callable[[], Any] | None = None
    origin: str = ""
    detour: str = ""


def ask(way: Way, method: str, path: str, timeout_s: float, body: Any = None, token: str = "") -> Any:
    """The JSON answer to an HTTP request, as the user of `token` if there is one. Raises `ProbeError`."""
    parts = urlsplit(way.url)
    assert parts.hostname is not None
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    where = f"{way.url}{path}"
    try:
        if way.dial is not None:
            connection.sock = way.dial()
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ProbeError(f"no answer from {where}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise ProbeError(f"{where} answered {response.status} {response.reason}{_detail(answer)}", response.status)
    try:
        return json.loads(answer)
    except ValueError:
        raise ProbeError(f"{where} answered no JSON but {answer[:60]!r}", response.status) from None


def _detail(answer: bytes) -> str:
    """The reason in an answer of FastAPI, which names no secret; "" where there is none."""
    try:
        detail = json.loads(answer)["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {detail[:100]}" if isinstance(detail, str) else ""


def ready(way: Way, timeout_s: float) -> str | None:
    """Why the process is not ready for people, "" when it is, None where its version can't be asked.

    `/ready` is there since Open WebUI 0.8.11 (start-up, database, Redis). An older one answers with its front page.
    """
    try:
        ask(way, "GET", "/ready", timeout_s)
    except ProbeError as error:
        return None if error.status in (200, 404) else str(error)
    return ""


class Arrival(NamedTuple):
    """An event that arrived, and when (`time.perf_counter`)."""

    at: float
    event: str
    data: Any


class Session:
    """An open Socket.IO connection, and what arrives on it.

    `sid` is the server's name of it, also the room it alone is in; `handshake_ms` is what opening it took.
    """

    def __init__(self, client: socketio.Client, handshake_ms: float) -> None:
        self._client = client
        self._arrived: queue.Queue[Arrival | None] = queue.Queue()
        self._ended = threading.Event()
        self.handshake_ms = handshake_ms
        self.sid = str(client.get_sid())
        client.on("*", self._note)
        client.on("disconnect", self._note_end)

    def _note(self, event: str, *data: Any) -> None:
        self._arrived.put(Arrival(time.perf_counter(), event, data[0] if data else None))

    def _note_end(self, *_: Any) -> None:
        self._ended.set()
        self._arrived.put(None)  # nothing follows: `next` need not wait

    @property
    def ended(self) -> bool:
        """Whether the other side, or something in between, closed it."""
        return self._ended.is_set()

    def hold(self, seconds: float) -> float:
        """Keep it open and quiet, but for the pings that the server sends; for how many seconds it was open."""
        start = time.perf_counter()
        return time.perf_counter() - start if self._ended.wait(seconds) else seconds

    def call(self, event: str, data: Any, timeout_s: float) -> Any:
        """The server's acknowledgement of an event. Raises `ProbeError`."""
        try:
            return self._client.call(event, data, timeout=timeout_s)
        except socketio.exceptions.SocketIOError as error:
            raise ProbeError(f"no acknowledgement of {event}: {error or 'too late'}") from None

    def wait(self, accept: Callable[[str, Any], bool], timeout_s: float) -> float | None:
        """When (`time.perf_counter`) the first event that `accept` takes arrived; None if none did in time."""
        deadline = time.perf_counter() + timeout_s
        while (left_s := deadline - time.perf_counter()) > 0 and (arrival := self.next(left_s)):
            if accept(arrival.event, arrival.data):
                return arrival.at
        return None

    def next(self, timeout_s: float) -> Arrival | None:
        """The next event that arrived; None if none did in time, or the connection ended."""
        try:
            return self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            return None


@contextmanager
def connected(way: Way, timeout_s: float, token: str = "") -> Iterator[Session]:
    """A Socket.IO session with the websocket as the only transport, as the user of `token` if there is one.

    Long polling is not offered, so an HTTP proxy that swallows the upgrade fails here, as it fails
    people. Raises `ProbeError`.
    """
    # websocket-client 1.9 checks the encoding of a text byte by byte in Python (0.7 s for one of 1 MB), and then
    # decodes it, which checks it again.
    options: dict[str, Any] = {"origin": way.origin or way.url, "skip_utf8_validation": True}
    where = f"{way.url}{SOCKETIO_PATH}"
    client = socketio.Client(
        reconnection=False,
        handle_sigint=False,  # pyinfra runs this off the main thread
        request_timeout=timeout_s,
        websocket_extra_options=options,
        logger=_quiet,
        engineio_logger=_quiet,
    )
    try:
        start = time.perf_counter()
        try:
            if way.dial is not None:
                options["socket"] = way.dial()
            client.connect(
                way.url,
                auth={"token": token} if token else None,
                transports=["websocket"],
                socketio_path=SOCKETIO_PATH,
                wait_timeout=timeout_s,
            )
        except (socketio.exceptions.SocketIOError, OSError) as error:
            raise ProbeError(f"no websocket at {where} from a page of {options['origin']}: {error}") from None
        if client.transport() != "websocket":
            raise ProbeError(f"{where} connected by {client.transport()}, not by websocket")
        yield Session(client, (time.perf_counter() - start) * 1000)
    finally:
        client.disconnect()
