"""Serving: whether the stack works as its own host sees it, in one document. Reads only, and tells no secret.

A program in a container that gives no answer is an observation. Docker that gives none raises: then nothing is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import digits, dockerd, open_webui, programs, published
from .. import valkey as valkey_
from ..engine import Container, Engine, NotFound
from ..protocol import Event
from ..system import System, require_root

# Asked after the websockets: Open WebUI 0.11 listens only from its first client on.
_QUESTIONS = ("PING", "PUBSUB NUMSUB socketio")
# As valkey-cli --json shows an error of Valkey's.
_ERROR = re.compile('error:"(.*)"')


@dataclass(frozen=True)
class Request:
    """What the operator's side asks, by the names of containers.

    `containers` are all of the stack's, `processes` those of Open WebUI, and `valkey` is Valkey's. `published` is the
    address and the port by which this host reaches Open WebUI, None where no port of it is published.
    """

    stack_dir: str
    containers: Sequence[str]
    processes: Sequence[str]
    valkey: str
    published: Mapping[str, Any] | None


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> dict[str, Any]:
    """The document of this host; `arguments` are those of `Request`."""
    require_root()
    system = System()
    return look(Request(**arguments), system, dockerd.engine(system, limit_s=programs.LIMIT_S), emit)


def look(asked: Request, system: System, engine: Engine, emit: Callable[[Event], None]) -> dict[str, Any]:
    """The document. Raises `HostError` where Docker does not answer, or refuses to run a program that asks."""
    there = {name: _container(engine, name) for name in asked.containers}
    processes = []
    for name in asked.processes:
        emit(Event(f"{name}: the host asks for /health and opens a websocket, 10 s at most"))
        processes.append(_process(engine, name, there[name]))
    return {
        "containers": [_document(name, one) for name, one in there.items()],
        "processes": processes,
        "valkey": _valkey(asked, system, engine, there[asked.valkey]),
        "published": published.status(asked.published["address"], asked.published["port"], "/health")
        if asked.published
        else None,
    }


def _container(engine: Engine, name: str) -> Container | None:
    try:
        return engine.container(name)
    except NotFound:
        return None


def _document(name: str, one: Container | None) -> dict[str, Any]:
    if one is None:
        return {"name": name, "status": "missing", "health": "none"}
    return {"name": name, "status": one.status, "health": one.health or "none"}


def _process(engine: Engine, name: str, one: Container | None) -> dict[str, Any]:
    return {
        "name": name,
        "health": programs.answer(engine, one, lambda one: open_webui.status(engine, one, "/health"), 0),
        "websocket": programs.answer(
            engine, one, lambda one: open_webui.status(engine, one, open_webui.WEBSOCKET, *open_webui.HANDSHAKE), 0
        ),
    }


def _valkey(asked: Request, system: System, engine: Engine, one: Container | None) -> dict[str, Any]:
    """Whether it says PONG, and how many listen for events, None where it does not say; and its errors."""

    def ask(running: Container) -> list[str]:
        password = valkey_.monitor_password(system, running, stack_dir=asked.stack_dir, in_swarm=False)
        return valkey_.ask(engine, running, password, _QUESTIONS) or []

    silence: list[str] = []
    return _read(programs.answer(engine, one, ask, silence))


def _read(lines: Sequence[str]) -> dict[str, Any]:
    """What valkey-cli wrote to the questions of this look."""
    pong, subscribers = False, None
    errors: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        answer = _json(line)
        if answer == "PONG":
            pong = True
        elif isinstance(answer, list) and answer[:1] == ["socketio"]:
            subscribers = digits.whole(str(answer[-1]))
        else:
            error = _ERROR.fullmatch(line)
            errors.append(error[1] if error else line)
    return {"pong": pong, "subscribers": subscribers, "errors": errors}


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
