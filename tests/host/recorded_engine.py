"""A real HTTP server on a Unix socket which gives the answers it was told, byte by byte where a test wants that.

The answers are not captured from an engine: they are written by the API reference, v1.41 to v1.47
(https://docs.docker.com/reference/api/engine/), and moby's sources where that is silent.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]


# What the server does with a connection once it has the request.
Answering = Callable[[socket.socket, Request], None]


class RecordedEngine:
    """Answers by method and path, each path with its version as the client sends it."""

    def __init__(self, path: Path, *, api: str = "1.44") -> None:
        self.path = str(path)
        self.requests: list[Request] = []
        self._answers: dict[tuple[str, str], Answering] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen()
        self.raw("GET", "/_ping", f"HTTP/1.1 200 OK\r\nApi-Version: {api}\r\nContent-Length: 2\r\n\r\nOK".encode())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        Path(self.path).unlink(missing_ok=True)

    def asked(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]

    def answers(self, method: str, path: str, answering: Answering) -> None:
        self._answers[method, path] = answering

    def raw(self, method: str, path: str, content: bytes) -> None:
        """These bytes, then the end of the connection."""
        self.answers(method, path, lambda connection, _: connection.sendall(content))

    def kept(self, method: str, path: str, content: bytes) -> None:
        """These bytes, and then nothing: as Docker does, which leaves it to the client to close the connection."""

        def answering(connection: socket.socket, _: Request) -> None:
            connection.sendall(content)
            connection.recv(1)

        self.answers(method, path, answering)

    def json(self, method: str, path: str, document: object, *, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.kept(method, path, b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    def error(self, method: str, path: str, status: int, message: str) -> None:
        self.json(method, path, {"message": message}, status=status)

    def empty(self, method: str, path: str, *, status: int = 204) -> None:
        length = b"" if status in (204, 304) else b"Content-Length: 0\r\n"  # as Go's server does
        self.kept(method, path, b"HTTP/1.1 %d X\r\n%s\r\n" % (status, length))

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = _read(connection)
            self.requests.append(request)
            answering = self._answers.get((request.method, request.path))
            if answering is None:
                body = json.dumps({"message": "page not found"}).encode()
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            else:
                answering(connection, request)


def _read(connection: socket.socket) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(4096)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(4096)
    method, target, _ = first.split(" ")
    parts = urlsplit(target)
    query = {name: value[0] for name, value in parse_qs(parts.query).items()}
    return Request(method, parts.path, query, body, headers)


def chunked(*pieces: bytes, whole: bool = True) -> bytes:
    """An answer in chunks as Go's server sends one; cut off after the last piece unless it is `whole`."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + (b"0\r\n\r\n" if whole else b"")


@contextlib.contextmanager
def recorded(path: Path, *, api: str = "1.44") -> Iterator[RecordedEngine]:
    server = RecordedEngine(path, api=api)
    try:
        yield server
    finally:
        server.close()
