"""Whether a stack works as its own host sees it, whatever lies between that host and this machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from webui_stack.documents import document


class Container(TypedDict):
    """A container of the stack; its status is "missing" where there is none, its health "none" without a check."""

    name: str
    status: str
    health: str


class Process(TypedDict):
    """The HTTP statuses that a container of Open WebUI gives itself, 0 for no answer."""

    name: str
    health: int
    websocket: int


class Valkey(TypedDict):
    """What Valkey answers. `subscribers` listen for events, None where it does not say; `errors` are its own words."""

    pong: bool
    subscribers: int | None
    errors: list[str]


class Serving(TypedDict):
    """The whole document. `published` is the status at the published port, 0 for no answer, None without a port."""

    containers: list[Container]
    processes: list[Process]
    valkey: Valkey
    published: int | None


def faults(content: Mapping[str, Any]) -> list[str]:
    """What is broken on the host itself, by what the verb `serving` of its program says; nothing where it works.

    Raises `document.IncompleteError` for an answer that is not whole.
    """
    seen = document.checked("serving", _form(), content)
    found = [
        f"{one['name']} is {one['status']}, health {one['health']}"
        for one in seen["containers"]
        if (one["status"], one["health"]) != ("running", "healthy")
    ]
    for one in seen["processes"]:
        if one["health"] != 200:
            found.append(f"{one['name']}: expected 200 from /health, got {_said(one['health'])}")
        if one["websocket"] != 101:
            found.append(f"{one['name']}: expected 101 for a websocket, got {_said(one['websocket'])}")
    valkey, processes = seen["valkey"], len(seen["processes"])
    if not valkey["pong"]:
        found.append(f"redis-valkey: expected PONG, got {_words(valkey)}")
    if seen["published"] not in (None, 200):
        found.append(f"published port: expected 200 from /health, got {_said(seen['published'])}")
    subscribers = valkey["subscribers"]
    if subscribers is None or subscribers < processes:
        got = _words(valkey) if subscribers is None else subscribers
        found.append(f"redis-valkey: expected {processes} that listen for events, got {got}")
    return found


@cache
def _form() -> TypeAdapter[Serving]:
    return TypeAdapter(Serving)


def _said(status: int | None) -> str:
    return str(status) if status else "no answer"


def _words(valkey: Valkey) -> str:
    return "; ".join(valkey["errors"]) or "no answer"
