"""Cause: what can keep Open WebUI from hearing Valkey, or browsers from reaching it, in one document. Reads only.

It is asked once a check has failed. What could not be read is a line of `unread`, and explains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .. import dockerd, open_webui, packet_filter, programs, stack
from ..engine import Container, Engine
from ..system import System, require_root
from ..unread import Unread


@dataclass(frozen=True)
class Request:
    """Containers of Open WebUI, by name or id; variables whose values are told, and those with a password in them."""

    containers: Sequence[str]
    shown: Sequence[str]
    addresses: Sequence[str]


def run(arguments: Mapping[str, Any], _emit: Callable[[Any], None]) -> dict[str, Any]:
    """The document of this host; `arguments` are those of `Request`."""
    require_root()
    system = System()
    return look(Request(**arguments), system, dockerd.engine(system, limit_s=programs.LIMIT_S))


def look(asked: Request, system: System, engine: Engine) -> dict[str, Any]:
    """The document. A container that is not there is left out."""
    unread = Unread()
    info = unread.answer(engine.info, None)
    there = {name: unread.answer(partial(engine.container, name), None) for name in asked.containers}
    return {
        # Whose rules they are, only Docker knows.
        "packet_filter": packet_filter.look(system, engine, unread, info) if info else None,
        "containers": {name: _variables(asked, one) for name, one in there.items() if one},
        "unread": unread.lines,
    }


def _variables(asked: Request, one: Container) -> dict[str, Any]:
    told = open_webui.told(one.env, asked.shown, asked.addresses)
    return {
        "values": told["values"],
        "addresses": told["addresses"],
        "in_swarm": stack.SERVICE_LABEL in one.labels,
    }
