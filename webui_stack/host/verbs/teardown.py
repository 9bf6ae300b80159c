"""Teardown: nothing of this project is on the host afterwards, but what the operator keeps. Nothing of others goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from .. import dockerd
from ..clock import Clock
from ..engine import Engine
from ..files import Files
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..removal import Removal, Request, decide
from ..system import System, require_root
from . import recover


def look(arguments: Mapping[str, Any], _emit: Callable[[Event], None]) -> dict[str, Any]:
    """What goes and what stays, an item each; `arguments` are those of `Request`. Reads only.

    Raises `HostError` where a Docker that is installed gives no answer.
    """
    require_root()
    asked, system = Request(**arguments), System()
    found = decide(asked, system, _engine(system), Files())
    return {"items": [{**asdict(item), "what": item.what} for item in found]}


def remove(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure nothing is left of what goes, by a decision of now; `arguments` are those of `Request`.

    Tells of each thing what became of it. Waits for verbs and backups that are at work, and for a drill, ten minutes
    each. Raises `HostError`, and has changed nothing, where these do not end, or Docker gives no answer; in the end,
    where something is left. After a run that was cut off, the next one removes the rest. Where another verb was cut
    off, that is ended first (`recover`).

    The folder of the locks stays, with the record of this very verb: the run removes it when it leaves the host.
    """
    require_root()
    asked, system = Request(**arguments), System()
    locks = Locks(LINUX, Clock(), lambda line: emit(Event(line)))
    apply(asked, system, _engine(system), Files(), locks, emit)


def apply(
    asked: Request, system: System, engine: Engine, files: Files, locks: Locks, emit: Callable[[Event], None]
) -> None:
    """Ensure what `remove` promises, on this host."""
    with locks.work("teardown", asked.known), locks.data("teardown", live=False):
        if recover.is_due(files):  # nothing is left afterwards that could end it
            recover.end(system, files, emit)
        found = decide(asked, system, engine, files)
        Removal(system, engine, files, asked.package_manager, emit).carry_out(found)


def _engine(system: System) -> Engine:
    return dockerd.engine(system)
