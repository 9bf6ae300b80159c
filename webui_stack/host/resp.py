"""A client of Valkey's protocol, as far as the monitor's questions need it: one connection, one question at a time.

Source: RESP2, https://valkey.io/topics/protocol/. Valkey speaks RESP2 on each connection that has not asked for RESP3.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

# A longer answer is no answer to a question of ours: INFO has 10 kB, ACL LOG some hundred bytes an entry.
_MOST_BYTES = 1 << 22


class RefusedError(Exception):
    """Valkey's own error, such as `NOPERM ...`. Its text quotes no argument of AUTH."""


class Client:
    """A conversation over a connection that is open; `close` ends it.

    Each question has `limit_s` for its answer. Raises `RefusedError` for an error of Valkey's, `socket.timeout` without
    an answer in time, another `OSError` where the connection ended, and `ValueError` for what is no RESP2.
    """

    def __init__(self, connection: socket.socket, limit_s: float) -> None:
        self._connection, self._limit_s, self._data = connection, limit_s, b""
        self._until_s = 0.0

    def ask(self, *words: str) -> Any:
        """The answer: a text, a number, None, or a list of such."""
        self._until_s = time.monotonic() + self._limit_s
        self._connection.settimeout(self._limit_s)
        self._connection.sendall(_command(words))
        return self._answer()

    def close(self) -> None:
        """Ensure the connection is closed."""
        with suppress(OSError):
            self._connection.close()

    def _answer(self) -> Any:
        kind, rest = self._line()
        if kind == "-":
            raise RefusedError(rest)
        if kind == "+":
            return rest
        number = int(rest)
        if kind == ":":
            return number
        if kind not in "$*":
            raise ValueError(f"expected RESP2, got {kind!r}")
        if number < 0:
            return None
        return self._text(number) if kind == "$" else [self._answer() for _ in range(number)]

    def _line(self) -> tuple[str, str]:
        while b"\r\n" not in self._data:
            self._receive()
        line, _, self._data = self._data.partition(b"\r\n")
        text = line.decode("utf-8", "replace")
        return text[:1], text[1:]

    def _text(self, length: int) -> str:
        while len(self._data) < length + 2:
            self._receive()
        text, self._data = self._data[:length], self._data[length + 2 :]
        return text.decode("utf-8", "replace")

    def _receive(self) -> None:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise socket.timeout("timed out")  # noqa: UP041 Python 3.9 has two kinds
        self._connection.settimeout(left_s)
        received = self._connection.recv(1 << 16)
        if not received:
            raise ConnectionResetError(None, "Valkey ended the connection")
        self._data += received
        if len(self._data) > _MOST_BYTES:
            raise ValueError(f"expected an answer of at most {_MOST_BYTES} bytes")


def _command(words: Sequence[str]) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
