"""Open WebUI as a client meets it: HTTP, and Socket.IO over the websocket transport."""

from __future__ import annotations

import http.client
import json
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import socketio

# Where Open WebUI mounts Socket.IO (backend/open_webui/main.py, 0.12.4).
SOCKETIO_PATH = "/ws/socket.io"

# The client warns about every ordinary close; what matters is raised.
_quiet = logging.Logger("socket.io", logging.CRITICAL)


class ProbeError(Exception):
    """What was seen instead of the expected answer."""


def get_json(url: str, path: str, timeout_s: float, dial: Callable[[], Any] | None = None) -> Any:
    """The JSON answer of `GET url/path`. `dial` gives the connected socket when there is no direct way.

    Raises `ProbeError`.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    try:
        if dial is not None:
            connection.sock = dial()
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ProbeError(f"no answer from {url}{path}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise ProbeError(f"{url}{path} answered {response.status} {response.reason}")
    try:
        return json.loads(body)
    except ValueError:
        raise ProbeError(f"{url}{path} answered no JSON but {body[:60]!r}") from None


def handshake_ms(url: str, timeout_s: float, dial: Callable[[], Any] | None = None) -> float:
    """Milliseconds for a Socket.IO handshake with the websocket as the only transport.

    Long polling is not offered, so an HTTP proxy that swallows the upgrade fails here, as it fails
    people. Raises `ProbeError`.
    """
    options: dict[str, Any] = {"socket": dial()} if dial is not None else {}
    client = socketio.Client(
        reconnection=False,
        handle_sigint=False,  # pyinfra runs this off the main thread
        request_timeout=timeout_s,
        websocket_extra_options=options,
        logger=_quiet,
        engineio_logger=_quiet,
    )
    start = time.perf_counter()
    try:
        client.connect(url, transports=["websocket"], socketio_path=SOCKETIO_PATH, wait_timeout=timeout_s)
        elapsed_ms = (time.perf_counter() - start) * 1000
        if client.transport() != "websocket":
            raise ProbeError(f"{url}{SOCKETIO_PATH} connected by {client.transport()}, not by websocket")
        return elapsed_ms
    except (socketio.exceptions.SocketIOError, OSError) as error:
        raise ProbeError(f"no websocket at {url}{SOCKETIO_PATH}: {error}") from None
    finally:
        client.disconnect()
