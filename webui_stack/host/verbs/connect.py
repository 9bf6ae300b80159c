"""Connect: this process's stdin and stdout become a TCP connection to an address that only the host can reach."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import HostError
from ..protocol import Event

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Request:
    """Where to connect to, and how many seconds that may take."""

    address: str
    port: int
    timeout_s: float


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Carry bytes both ways until either end closes; `arguments` are those of `Request`. It never returns.

    One event says that the connection is there. stdin and stdout are the connection's alone from then on, so the caller
    sends nothing before. Raises `HostError` where the target refuses, or can't be reached in time.
    """
    asked = Request(**arguments)
    try:
        target = socket.create_connection((asked.address, asked.port), timeout=asked.timeout_s)
    except OSError as error:
        raise HostError(
            f"{asked.address}:{asked.port}", expected="a connection from the host", got=str(error), do="see who listens"
        ) from error
    target.settimeout(None)
    emit(Event("connected"))
    carry(target, sys.stdin.fileno(), sys.stdout.fileno())
    raise SystemExit(0)  # a result would be bytes of the connection


def carry(target: socket.socket, source: int, sink: int) -> None:
    """Carry bytes from `source` to the target and from there to `sink`, until one of them ends; then both do."""

    def up() -> None:
        with suppress(OSError):
            while data := os.read(source, _CHUNK_BYTES):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=up, daemon=True).start()
    with suppress(OSError):
        while data := target.recv(_CHUNK_BYTES):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(sink, rest) :]
    target.close()
