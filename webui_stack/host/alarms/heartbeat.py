"""A heartbeat: a URL that is called after each look. Its service raises an alarm when the calls stop.

healthchecks.io, Uptime Kuma and others take a GET. It is the alarm for a host that can send none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from . import http_request
from .connection import LIMIT_S


@dataclass(frozen=True)
class Heartbeat:
    """A URL that is called after each look."""

    name: str
    url: str = field(repr=False)
    limit_s: float = LIMIT_S

    def beat(self) -> None:
        """Call the URL. Raises `HostError`."""
        http_request.send(self.name, "GET", self.url, {}, b"", self.limit_s)
