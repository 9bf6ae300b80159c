"""Who is told: the receivers of a host's alarms, as a file of root's names them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..digits import whole
from ..errors import HostError
from ..files import Files
from . import http_request
from .email_ import Email, Tls
from .heartbeat import Heartbeat
from .message import Message
from .ntfy import Ntfy
from .webhook import Webhook

FORMAT = 1
_DO = "deploy again"
KEYS: Mapping[str, Sequence[str]] = {
    "webhook": (),
    "ntfy": ("token",),
    "heartbeat": (),
    "email": ("from", "smtp", "user", "password", "tls"),
}
_PORTS: Mapping[Tls, int] = {"starttls": 587, "tls": 465, "none": 25}


class Receiver(Protocol):
    """Where messages are sent. `name` is no secret, and stays: "webhook-1", "email-2"."""

    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None:
        """Send a message. Raises `HostError`, and `RefusedError` where the message would be refused again."""
        ...


@dataclass(frozen=True)
class Receivers:
    """All that are told, in the order of the setting `alarms`."""

    told: Sequence[Receiver] = ()
    heartbeats: Sequence[Heartbeat] = ()


def read(files: Files, path: str) -> Receivers:
    """The receivers in a file: `{"format": 1, "alarms": [...]}`, each as in the setting `alarms`, with its secrets.

    Raises `HostError` where the file is missing, others than root can read it, or it is not as expected; no error has
    anything of its contents.
    """
    status, text = files.stat(path), files.read_text(path)
    if status is None or text is None:
        raise HostError(path, expected="the receivers of alarms", got="no file", do=_DO)
    if status.mode & 0o077 or not files.is_mine(status):
        got = f"mode {status.mode:04o} and the user {status.owner.uid}"
        raise HostError(path, expected="a file that only root can read", got=got, do=_DO)
    try:
        found = json.loads(text)
    except ValueError:  # it has the text in it
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("alarms"), list):
        raise HostError(path, expected="the receivers of alarms as JSON", got="something else", do=_DO)
    if found.get("format") != FORMAT:
        raise HostError(path, expected=f"format {FORMAT}", got="another format", do="deploy with the newer version")
    return parsed(found["alarms"])


def parsed(alarms: Sequence[Any]) -> Receivers:
    """The receivers that a list in the form of the setting `alarms` names. Raises `HostError`, without its contents."""
    counts = dict.fromkeys(KEYS, 0)
    told: list[Receiver] = []
    heartbeats: list[Heartbeat] = []
    for number, one in enumerate(alarms, 1):
        kinds = [kind for kind in KEYS if isinstance(one, dict) and kind in one]
        if len(kinds) != 1 or set(one) - {kinds[0], *KEYS[kinds[0]]}:
            expected = f"one of {', '.join(KEYS)}, with the keys that belong to it"
            raise HostError(f"alarms, number {number}", expected=expected, got="something else", do=_DO)
        (kind,) = kinds
        counts[kind] += 1
        name = f"{kind}-{counts[kind]}"
        if kind == "email":
            told.append(_email(name, one))
        elif not (isinstance(one[kind], str) and http_request.is_url(one[kind])):
            raise HostError(name, expected="a URL that begins with http:// or https://", got="something else", do=_DO)
        elif kind == "heartbeat":
            heartbeats.append(Heartbeat(name, one[kind]))
        elif kind == "webhook":
            told.append(Webhook(name, one[kind]))
        else:
            told.append(Ntfy(name, one[kind], _text(name, one, "token")))
    return Receivers(tuple(told), tuple(heartbeats))


def _email(name: str, one: Mapping[str, Any]) -> Email:
    to, tls = one["email"], next((known for known in _PORTS if known == one.get("tls", "starttls")), None)
    if not (isinstance(to, list) and to and all(isinstance(address, str) and "@" in address for address in to)):
        raise HostError(name, expected="addresses", got="something else", do=_DO)
    if tls is None:
        raise HostError(f"{name}, tls", expected=f"one of {', '.join(_PORTS)}", got="something else", do=_DO)
    host, port = _address(name, _text(name, one, "smtp"), _PORTS[tls])
    texts = {key: _text(name, one, key) for key in ("from", "user", "password")}
    if not texts["from"]:
        raise HostError(f"{name}, from", expected="an address", got="none", do=_DO)
    return Email(name, tuple(to), texts["from"], host, port, texts["user"], texts["password"], tls)


def _address(name: str, text: str, default: int) -> tuple[str, int]:
    """The host and the port of `HOST`, `HOST:PORT` or `[IPv6]:PORT`."""
    host, colon, port = text.rpartition(":") if ":" in text.rpartition("]")[2] else (text, "", "")
    number = whole(port) if colon else default
    host = host.strip("[]")
    if not host or number is None or not 0 < number < 1 << 16:
        raise HostError(f"{name}, smtp", expected="HOST or HOST:PORT", got="something else", do=_DO)
    return host, number


def _text(name: str, one: Mapping[str, Any], key: str) -> str:
    """A header's value, or a word of SMTP: a line end in it would begin another one."""
    text = one.get(key, "")
    if not isinstance(text, str) or not text.isprintable():
        raise HostError(f"{name}, {key}", expected="text in one line", got="something else", do=_DO)
    return text
