"""A Socket.IO client over one websocket, as far as a look at Open WebUI needs it: no login, and it sends nothing.

Sources: RFC 6455, https://socket.io/docs/v4/engine-io-protocol/ (4) and https://socket.io/docs/v4/socket-io-protocol/
(5).
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

_HEADERS = (
    "GET {path} HTTP/1.1",
    "Host: {host}",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: {key}",
)
_SWITCHED = 101
_TEXT, _CLOSE, _PING, _PONG, _CONTINUATION = 0x1, 0x8, 0x9, 0xA, 0x0
# Engine.IO's types of packets, and Socket.IO's that are in its messages.
_OPEN, _ENGINE_PING, _ENGINE_PONG = "0", "2", "3"
_CONNECT, _DISCONNECT, _EVENT, _REFUSED = "40", "41", "42", "44"
# Nothing that this client waits for is longer. Others' events may be.
_HEAD_BYTES, _MOST_BYTES = 1 << 14, 1 << 24


class NoSessionError(Exception):
    """What came in place of a session, in words."""


class Event(NamedTuple):
    """An event of the server's, with its first argument."""

    name: str
    data: Any


class Session:
    """A session without a user, as a browser has before its login. `sid` is its name, and that of its own room.

    Raises `NoSessionError` where none is open within the limit. It has no Origin, so no list of origins refuses it.
    """

    def __init__(self, connection: socket.socket, host: str, path: str, limit_s: float) -> None:
        self._connection, self._data = connection, b""
        self._until_s = time.monotonic() + limit_s
        try:
            self.sid = self._open(host, path)
        except NoSessionError:
            connection.close()
            raise
        except (OSError, ValueError, LookupError, TypeError) as error:
            connection.close()
            raise NoSessionError(_reason(error)) from None

    def events(self, limit_s: float) -> Iterator[Event]:
        """The events that come until the limit, or until the server ends the session."""
        self._until_s = time.monotonic() + limit_s
        with suppress(OSError, ValueError):  # another protocol is the session's end as well
            while True:
                packet = self._packet()
                if packet.startswith(_EVENT):
                    name, *arguments = json.loads(packet[len(_EVENT) :])
                    yield Event(str(name), arguments[0] if arguments else None)
                elif packet.startswith(_DISCONNECT):
                    return

    def close(self) -> None:
        """Ensure the session has ended, for the server as well."""
        with suppress(OSError):
            self._connection.settimeout(1)
            self._send(_TEXT, _DISCONNECT.encode())
            self._send(_CLOSE, struct.pack("!H", 1000))
        self._connection.close()

    # --- Socket.IO

    def _open(self, host: str, path: str) -> str:
        key = base64.b64encode(os.urandom(16)).decode()
        head = "\r\n".join(_HEADERS).format(path=path, host=host, key=key)
        self._connection.settimeout(self._left_s())
        self._connection.sendall(f"{head}\r\n\r\n".encode())
        status = self._status()
        if status != _SWITCHED:
            raise NoSessionError(f"HTTP {status} in place of a websocket")
        if not self._packet().startswith(_OPEN):
            raise NoSessionError("no Engine.IO")
        self._send(_TEXT, _CONNECT.encode())
        while not (packet := self._packet()).startswith((_CONNECT, _REFUSED)):
            continue
        if packet.startswith(_REFUSED):
            raise NoSessionError("a refusal by Socket.IO")
        return str(json.loads(packet[len(_CONNECT) :])["sid"])

    def _status(self) -> int:
        while b"\r\n\r\n" not in self._data:
            if len(self._data) > _HEAD_BYTES:
                raise ValueError("no HTTP")
            self._receive()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1])

    def _packet(self) -> str:
        """The next packet of Engine.IO but its pings, which are answered here."""
        while True:
            packet = self._message().decode()
            if packet != _ENGINE_PING:
                return packet
            self._send(_TEXT, _ENGINE_PONG.encode())

    # --- Websocket

    def _message(self) -> bytes:
        """The next whole message."""
        whole = b""
        while True:
            is_last, kind, payload = self._frame()
            if kind == _CLOSE:
                raise ConnectionResetError("it was ended")
            if kind == _PING:
                self._send(_PONG, payload)
            elif kind != _PONG:
                whole = payload if kind != _CONTINUATION else whole + payload
                if is_last:
                    return whole

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._take(2)
        length = second & 0x7F
        if length > 125:
            form = "!H" if length == 126 else "!Q"
            (length,) = struct.unpack(form, self._take(struct.calcsize(form)))
        if length > _MOST_BYTES or second & 0x80:  # a server masks nothing
            raise ValueError("no websocket")
        return bool(first & 0x80), first & 0x0F, self._take(length)

    def _send(self, kind: int, payload: bytes) -> None:
        """A short frame, as a client sends it: masked."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self._connection.sendall(bytes((0x80 | kind, 0x80 | len(payload))) + mask + masked)

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            self._receive()
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def _receive(self) -> None:
        self._connection.settimeout(self._left_s())
        data = self._connection.recv(1 << 16)
        if not data:
            raise ConnectionResetError("it was ended")
        self._data += data

    def _left_s(self) -> float:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise socket.timeout  # noqa: UP041 Python 3.9 has two kinds
        return left_s


def _reason(error: Exception) -> str:
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "no answer in time"
    if isinstance(error, OSError):
        return f"{error.strerror or error}".lower()
    return "another protocol"
