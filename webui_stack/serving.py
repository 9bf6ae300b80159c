"""Whether a stack works as its own host sees it, whatever lies between that host and this machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from webui_stack import digits


class UnknownError(ValueError):
    """The host's answer is not whole, so it says nothing."""


def faults(lines: Iterable[str]) -> list[str]:
    """What is broken on the host itself, from what `templates/serving.sh.j2` prints; nothing where it works.

    Raises `UnknownError` for an answer that was cut off.
    """
    found: list[str] = []
    processes = subscribers = 0
    last = ""
    for line in lines:
        last = line
        kind, *words = line.split()
        match kind, words:
            case "container", [name, status, health] if (status, health) != ("running", "healthy"):
                found.append(f"{name} is {status}, health {health}")
            case "health", [name, *status]:
                processes += 1
                if status != ["200"]:
                    found.append(f"{name}: expected 200 from /health, got {_said(status)}")
            case "websocket", [name, *status] if status != ["101"]:
                found.append(f"{name}: expected 101 for a websocket, got {_said(status)}")
            case "ping", answer if answer != ["PONG"]:
                found.append(f"redis-valkey: expected PONG, got {' '.join(answer) or 'no answer'}")
            case "subscribers", [number]:
                subscribers = digits.whole(number) or 0
            case "published", status if status != ["200"]:
                found.append(f"published port: expected 200 from /health, got {_said(status)}")
    if last != "end":
        raise UnknownError("expected the host to say whether the stack works, got a part of its answer")
    if subscribers < processes:
        found.append(f"redis-valkey: expected {processes} that listen for events, got {subscribers}")
    return found


def _said(status: list[str]) -> str:
    return " ".join(status).replace("000", "no answer") or "no answer"
