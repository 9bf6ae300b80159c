"""HTTP over Docker's Unix socket: one connection a call, JSON bodies, answers read piecewise, a limit on everything.

Sources: Docker Engine API v1.41 to v1.47 (https://docs.docker.com/reference/api/engine/) and moby's daemon/server.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType

from ..records import dataclass, field
from ..typed import Any, BinaryIO
from .errors import Asked, TooNew, TooOld, Unavailable, from_answer
from .feeder import Feeder
from .frames import ENGINE, BrokenStream, parts
from .http import BrokenAnswer, Response, request

SOCKET = "/var/run/docker.sock"
# Docker 20.10 speaks 1.41; 29 speaks nothing below 1.44. This code was written for the answers of 1.41 to 1.47.
OLDEST, NEWEST = (1, 41), (1, 47)
# Docker answers from its own memory in milliseconds; a swarm's manager gives up after 20 s (moby, daemon/cluster).
ANSWER_S = 60.0
_PIECE = 1 << 16
# These stand for themselves in a URL (RFC 3986, 2.3).
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True)
class Call:
    """One question or order. `asked` is the object it is about; of `query`, what is None is left out.

    `timeout_s` is for all of it, from the connection to the last byte of the answer.
    """

    method: str
    path: str
    query: Mapping[str, str | int | bool | None] = field(default_factory=dict)
    body: object = field(default=None, repr=False)  # may hold a secret
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a secret
    asked: Asked | None = None
    timeout_s: float = ANSWER_S
    versioned: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Transport:
    """Calls to one engine. It holds no connection, so a restart of Docker breaks only the calls that are under way."""

    def __init__(
        self, socket_path: str = SOCKET, *, limit_s: float = math.inf, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.socket_path = socket_path
        self._limit_s, self._now_s = limit_s, now_s
        self._prefix = ""

    def json(self, call: Call) -> Any:
        """The whole answer as JSON, None where it has no body (204, 304). Raises an EngineError, and nothing else."""
        with self.open(call) as answer:
            return answer.whole()

    def open(self, call: Call) -> Answer:
        """An answer whose body is yet to be read, within the call's limit. It says that the call was carried out."""
        try:
            return self._open(call)
        except (TooNew, TooOld):
            # The engine may be another than the version was agreed with, and has not carried out anything.
            before, self._prefix = self._prefix, ""
            if self.prefix() == before:
                raise
            return self._open(call)

    def _open(self, call: Call) -> Answer:
        timeout_s = min(call.timeout_s, self._limit_s)
        until_s = self._now_s() + timeout_s
        prefix = self.prefix() if call.versioned else ""
        body = None if call.body is None else json.dumps(call.body).encode()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(self.socket_path)
            connection.sendall(request(call.method, prefix + call.path + _query(call.query), body, call.headers))
            answer = Answer(str(call), connection, Response(connection), until_s, self._now_s)
        except (OSError, BrokenAnswer) as error:
            connection.close()
            raise Unavailable(str(call), _reason(error, self.socket_path)) from error
        if answer.status >= 300 and answer.status != 304:  # 304: nothing had to change
            with answer:
                raise from_answer(str(call), answer.status, answer.message(), call.asked)
        return answer

    def ping(self) -> str:
        """The newest API version that the engine speaks. Asked in every case, whatever was agreed before."""
        with self.open(Call("GET", "/_ping", versioned=False)) as answer:
            newest = answer.header("Api-Version")
            b"".join(answer.pieces())
        if not newest:  # a proxy before the socket may drop what it does not know
            call = Call("GET", "/version", versioned=False)
            data = self.json(call)
            with understood(call):
                newest = data["ApiVersion"]
        return newest

    def prefix(self) -> str:
        """The API version of all calls, as a path: the newest that both sides speak. Asked once, while it is valid."""
        if not self._prefix:
            newest = self.ping()
            version = _numbers(newest)
            if version < OLDEST:
                raise TooOld(
                    *("GET /_ping", f"Docker's API {newest}, which is older than {_text(OLDEST)}"),
                    do="update Docker to 20.10 or newer",
                )
            self._prefix = "/v" + _text(min(version, NEWEST))
        return self._prefix


class Answer:
    """The engine's answer to one call; to be closed. Whatever cuts it off raises Unavailable."""

    def __init__(
        self,
        call: str,
        connection: socket.socket,
        response: Response,
        until_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self.call, self.status = call, response.status
        self._connection, self._response = connection, response
        self._until_s, self._now_s = until_s, now_s

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, also for somebody who waits in it."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._response.close()
        self._connection.close()

    def header(self, name: str) -> str:
        return self._response.headers.get(name.lower(), "")

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. It ends only where the engine ended it, as far as the answer's form can tell."""
        try:
            while True:
                left_s = self._until_s - self._now_s()
                if left_s <= 0:
                    raise TimeoutError
                self._connection.settimeout(left_s)
                piece = self._response.read(_PIECE)
                if not piece:
                    return
                yield piece
        except (OSError, BrokenAnswer) as error:
            raise Unavailable(self.call, _reason(error)) from error

    def lines(self) -> Iterator[Any]:
        """JSON documents, one after the other, as they come (pull, events)."""
        decoder = json.JSONDecoder()
        text = b""
        for piece in self.pieces():
            text += piece
            *whole, text = text.split(b"\n")
            for line in whole:
                if line.strip():
                    yield self._parsed(decoder, line)
        if text.strip():
            yield self._parsed(decoder, text)

    def streams(self) -> Iterator[tuple[int, bytes]]:
        """What a container writes, piece by piece, each with the number of its stream (frames.py)."""
        try:
            for stream, payload in parts(self.pieces()):
                if stream == ENGINE:
                    raise Unavailable(self.call, payload.decode("utf-8", "replace").strip())
                yield stream, payload
        except BrokenStream as error:
            raise Unavailable(self.call, str(error)) from error

    def whole(self) -> Any:
        """The body as one JSON document, None without one."""
        body = b"".join(self.pieces())
        return self._parsed(json.JSONDecoder(), body) if body.strip() else None

    def message(self) -> str:
        """Why the engine refused. Every error of its API is JSON; a proxy's may be any text."""
        body = b"".join(self.pieces())
        try:
            return str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            return body.decode("utf-8", "replace").strip()

    @contextlib.contextmanager
    def fed(self, stdin: bytes | BinaryIO | None) -> Iterator[None]:
        """Send `stdin` while the answer is read, then close that half of the connection: the program's end of file.

        Raises what reading `stdin` raised: a program that got half of its input has not done what it was asked.
        """
        feeder = Feeder(self._connection, stdin)
        try:
            yield
        finally:
            self.close()  # by now nobody reads the rest of it
            feeder.end()
        if feeder.error:
            raise feeder.error

    def _parsed(self, decoder: json.JSONDecoder, text: bytes) -> Any:
        try:
            return decoder.decode(text.decode().strip())
        except ValueError as error:
            raise Unavailable(self.call, f"no JSON: {error}") from error


@contextlib.contextmanager
def understood(call: object) -> Iterator[None]:
    """An answer of another form than this program knows is no answer."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Unavailable(str(call), f"an answer of another form ({type(error).__name__}: {error})") from error


def named(name: str) -> str:
    """A name as part of a path. Of names only those of images have slashes."""
    return _quoted(name, safe="/:@")


def _query(query: Mapping[str, str | int | bool | None]) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value is not None
    }
    return "?" + "&".join(f"{name}={_quoted(str(value))}" for name, value in given.items()) if given else ""


def _quoted(text: str, safe: str = "") -> str:
    """A text as part of a URL. Most need nothing of the library, which takes 4 ms to load."""
    if _UNRESERVED.issuperset(text.translate(dict.fromkeys(map(ord, safe)))):
        return text
    from urllib.parse import quote

    return quote(text, safe=safe)


def filters(**wanted: str | None) -> str | None:
    """Docker's filters, as a query has them; None without any."""
    given = {name: [value] for name, value in wanted.items() if value is not None}
    return json.dumps(given) if given else None


def _numbers(version: str) -> tuple[int, int]:
    try:
        major, minor = version.split(".")
        return int(major), int(minor)
    except ValueError as error:
        raise Unavailable("GET /_ping", f"the API version {version!r}") from error


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _reason(error: Exception, path: str = "") -> str:
    if isinstance(error, FileNotFoundError):
        return f"no socket at {path}: Docker does not run, or is not installed"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody at {path}: Docker does not run"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "none in time"
    if isinstance(error, ConnectionError):
        return "an end of the connection"
    if isinstance(error, BrokenAnswer):
        return str(error)
    return f"{type(error).__name__}: {error}"
