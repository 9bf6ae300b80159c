"""One HTTP/1.1 answer, read piecewise from a socket.

Not by http.client: it loads email and ssl, which take 40 ms of processor time at each start of this program (Python
3.11), more than all questions of a survey. Docker's own server is the only one that is spoken to (RFC 9112, 4 to 7).
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Mapping

_LINE = 1 << 16
_HEADERS = 100
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: |\r)")


class BrokenAnswer(Exception):  # noqa: N818
    """What came is no HTTP, or ended before its time."""


def request(method: str, target: str, body: bytes | None, headers: Mapping[str, str] | None = None) -> bytes:
    """A request as it is sent. `target` is quoted already; `headers` have no line breaks."""
    lines = [f"{method} {target} HTTP/1.1", "Host: docker"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines.append("Content-Type: application/json")
    if body is not None or method == "POST":
        lines.append(f"Content-Length: {len(body or b'')}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


class Response:
    """An answer: its status and headers, then its body by `read`. Raises BrokenAnswer and OSError."""

    def __init__(self, connection: socket.socket) -> None:
        # Whatever is read ahead of the body stays in here.
        self._file: io.BufferedReader = connection.makefile("rb")
        self.status = self._status()
        self.headers = self._headers()
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        # What is left of the body, or of the chunk that has begun; None where only the end of the connection tells.
        self._left: int | None = None
        self._begun = self._ended = False
        if self.status in (204, 304):
            self._ended = True
        elif not self._chunked and "content-length" in self.headers:
            self._left = self._number(self.headers["content-length"].encode(), 10)

    def read(self, at_most: int) -> bytes:
        """The next piece, as soon as there is any of it; b"" at the end of the body."""
        # Only now: the next chunk of a stream may be hours away, and the last one is to be had at once.
        if self._chunked and not self._left and not self._ended:
            self._left = self._next_chunk()
        if self._ended or self._left == 0:
            return b""
        try:
            piece = self._file.read1(at_most if self._left is None else min(at_most, self._left))
        except ConnectionResetError:
            if self._left is not None:
                raise
            # The engine closed its end while a part of a program's input was unread. Linux then gives this error in
            # place of the end, after all that was sent (net/unix/af_unix.c, unix_release_sock). It tells as much.
            piece = b""
        if self._left is not None:
            if not piece:
                raise BrokenAnswer("half an answer")
            self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._file.close()

    def _status(self) -> int:
        line = self._file.readline(_LINE)
        if not line:
            raise BrokenAnswer("an end of the connection")
        found = _STATUS.match(line)
        if not found:
            raise BrokenAnswer(f"no HTTP: {line[:40]!r}")
        return int(found[1])

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(_HEADERS):
            line = self._line()
            if not line:
                return headers
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        raise BrokenAnswer("too many headers")

    def _line(self) -> bytes:
        line = self._file.readline(_LINE)
        if not line.endswith(b"\n"):
            raise BrokenAnswer("half an answer")
        return line.rstrip(b"\r\n")

    def _next_chunk(self) -> int:
        """The size of the next chunk. After the last one, trailers are read, so that the end is known to be one."""
        if self._begun and self._line():
            raise BrokenAnswer("a chunk that is longer than it says")
        self._begun = True
        size = self._number(self._line().partition(b";")[0], 16)
        if not size:
            self._ended = True
            while self._line():
                pass
        return size

    @staticmethod
    def _number(text: bytes, base: int) -> int:
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", text.strip()):
            raise BrokenAnswer(f"no size: {text[:40]!r}")
        try:
            return int(text, base)
        except ValueError as error:
            raise BrokenAnswer(f"no size: {text[:40]!r}") from error
