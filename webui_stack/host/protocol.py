"""What the two sides say to each other: one request to the host's program, and lines of JSON back.

The operator's side names a verb on the command line and sends a request as one line of JSON on stdin. The program
answers with lines that begin with the request's token: any number of events, then one result or one error. Whatever
else a host prints has no token. Secrets travel in the request's arguments, never on a command line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from .errors import HostError
from .records import dataclass, field
from .typed import Any, Protocol, Union

FORMAT = 1
"""Raised with every change that an older side would misread."""


FRAMED = "-"
"""The token of an answer that comes in a frame of its own (`webui_stack.transport.frame`), where nobody else prints."""
PLAIN = "plain"
"""The token of an answer for people, as in a journal: its lines are texts, and begin with no token.

As a word after the verb it has the program begin with nothing else, and end with a status that tells of a failure.
"""
WORKER = "--worker"
"""In place of the verb, on the command line of a worker; its verb and its record follow (`worker.py`)."""


class Out(Protocol):
    """Where an answer's lines go."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class ProtocolError(HostError):
    """The other side said something that is no part of the protocol."""


@dataclass(frozen=True)
class Request:
    """One verb of the program, with its arguments, which JSON can hold.

    `token` is a word that nobody else knows. Each line of the answer begins with it.
    """

    verb: str
    token: str
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def line(self) -> str:
        """The request as it is sent, one line. The verb is not in it."""
        return _json({"format": FORMAT, "token": self.token, "arguments": dict(self.arguments)})

    @classmethod
    def read(cls, verb: str, line: str) -> Request:
        """The request of a line. Raises `ProtocolError`, whose text holds nothing of the request."""
        content = _object(line, "request")
        _check_format(content, "request")
        token, arguments = content.get("token"), content.get("arguments")
        if not (isinstance(token, str) and token and isinstance(arguments, dict)):
            raise _broken("request", "a token and arguments", "something else (not shown)")
        return cls(verb, token, arguments)


@dataclass(frozen=True)
class Event:
    """Progress of a verb that takes longer than a second or two: one line for the operator.

    `step` names the step of the verb that has begun, "" where none did. `done` and `total` are bytes, 0 where the
    event is not about bytes.
    """

    text: str
    step: str = ""
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Result:
    """The verb ended well; `value` is what it found, or says about what it did."""

    value: Any = None


@dataclass(frozen=True)
class Failure:
    """The verb ended otherwise, in the four parts of every error of this project."""

    where: str
    expected: str
    got: str
    do: str

    @classmethod
    def of(cls, error: HostError) -> Failure:
        """The failure that an error of the program is."""
        return cls(error.where, error.expected, error.got, error.do)

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, got {self.got}; {self.do}"


Answer = Union[Event, Result, Failure]  # noqa: UP007 Python 3.9 has no `|` for types at run time
_KINDS: Mapping[str, type[Answer]] = {"event": Event, "result": Result, "error": Failure}


def written(token: str, answer: Answer) -> str:
    """The line of an answer, without its end."""
    if token == PLAIN:
        value = answer.value if isinstance(answer, Result) else str(answer)
        return value if isinstance(value, str) else _json(value)
    (kind,) = (name for name, one in _KINDS.items() if isinstance(answer, one))
    return f"{token} {_json({'format': FORMAT, kind: vars(answer)})}"


def read(token: str, line: str) -> Answer | None:
    """The answer of a line; None for a line that is not the program's. Raises `ProtocolError`."""
    if not line.startswith(f"{token} "):
        return None
    content = _object(line[len(token) + 1 :], "answer of the host")
    _check_format(content, "answer of the host")
    for kind, one in _KINDS.items():
        if kind in content:
            try:
                return one(**content[kind])
            except TypeError:
                break
    raise _broken("answer of the host", f"one of {', '.join(_KINDS)}", f"{', '.join(sorted(content))}")


def _json(content: Any) -> str:
    # One line, and ASCII: no locale of a host, and no line separator of Unicode, can break it.
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"))


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise _broken(where, "one JSON object on a line", f"{len(text)} characters of something else")
    return content


def _check_format(content: Mapping[str, Any], where: str) -> None:
    if content.get("format") != FORMAT:
        raise _broken(where, f"format {FORMAT}", f"format {content.get('format')!r}")


def _broken(where: str, expected: str, got: str) -> ProtocolError:
    return ProtocolError(where, expected=expected, got=got, do="deploy again, so that both sides have one version")
