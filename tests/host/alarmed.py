"""Findings for tests of alarms, and what people were told of them."""

from __future__ import annotations

from collections.abc import Sequence

from webui_stack.host.alarms.message import Message
from webui_stack.host.finding import Finding

HOST = "host1"


def well(name: str = "valkey_pong", repaired: str = "") -> Finding:
    return Finding(name, True, "PONG", repaired=repaired)


def broken(name: str = "valkey_pong", silenced_by: str = "", repaired: str = "") -> Finding:
    return Finding(name, False, "no PONG for 5 s", "run runbooks/doctor.py", silenced_by, repaired)


def unknown(name: str = "valkey_pong", silenced_by: str = "") -> Finding:
    return Finding(name, None, "Docker gave no answer", silenced_by=silenced_by)


def short(messages: Sequence[Message]) -> list[str]:
    """Each message in one line: "problem: valkey_pong broken"."""
    return [f"{one.kind}: {', '.join(f'{item.name} {item.state}' for item in one.items)}" for one in messages]
