"""Survey: all that a run wants to know of a host, in one document. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import machine
from ..system import System


def run(arguments: Mapping[str, Any], _emit: Callable[[Any], None]) -> dict[str, Any]:
    """The document; `arguments` are those of `machine.look`."""
    system = System()
    return {"machine": machine.look(system, **arguments)}
