"""A webhook: each message is POSTed to a URL as JSON, whose keys `Message.payload` lists."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from . import http_request
from .connection import LIMIT_S
from .message import Message


@dataclass(frozen=True)
class Webhook:
    """A URL that takes JSON."""

    name: str
    url: str = field(repr=False)
    limit_s: float = LIMIT_S

    def send(self, message: Message) -> None:
        """Send a message. Raises `HostError`."""
        body = json.dumps(message.payload()).encode()
        http_request.send(self.name, "POST", self.url, {"Content-Type": "application/json"}, body, self.limit_s)
