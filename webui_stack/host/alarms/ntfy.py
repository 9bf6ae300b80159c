"""ntfy: a message is POSTed to a topic's URL; title, priority and tags are headers (docs.ntfy.sh/publish)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import http_request
from .connection import LIMIT_S
from .message import Kind, Message

# Priorities are 1 to 5, and 3 by default. Tags that name an emoji are shown as one.
_PRIORITIES: Mapping[Kind, str] = {"problem": "4", "flapping": "4", "repaired": "2"}
_TAGS: Mapping[Kind, str] = {
    "problem": "rotating_light",
    "flapping": "warning",
    "well": "white_check_mark",
    "repaired": "wrench",
    "unwatched": "grey_question",
    "reminder": "hourglass",
    "test": "test_tube",
}
# ntfy makes a file of a longer text, or refuses it.
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Ntfy:
    """A topic of an ntfy server. `token` is an access token, "" for none."""

    name: str
    url: str = field(repr=False)
    token: str = field(default="", repr=False)
    limit_s: float = LIMIT_S

    def send(self, message: Message) -> None:
        """Send a message. Raises `HostError`."""
        headers = {
            "Title": _header(message.title),
            "Priority": _PRIORITIES.get(message.kind, "3"),
            "Tags": _TAGS[message.kind],
            "Content-Type": "text/plain; charset=utf-8",
        }
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        http_request.send(self.name, "POST", self.url, headers, _cut(message.text.encode()), self.limit_s)


def _header(text: str) -> str:
    """Other characters than ASCII's are encoded as in mail (RFC 2047), which ntfy reads."""
    return text if text.isascii() else f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="


def _cut(text: bytes) -> bytes:
    return text if len(text) <= _MOST_BYTES else text[: _MOST_BYTES - 4].decode(errors="ignore").encode() + b"\n..."
