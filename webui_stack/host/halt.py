"""Containers that are seen to be stopped. What they write after their data were copied would be lost."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

from .clock import Clock
from .engine import Engine, NotFound
from .errors import HostError

OPEN_WEBUI = "open-webui(-[0-9]+)?"
"""The names of Open WebUI's containers, as a pattern."""
_STOP_S = 30
# Docker's list may be a moment behind (moby, daemon/monitor.go, handleContainerExit; 26.1).
_LOOKS, _PAUSE_S = 5, 1.0


def stop(engine: Engine, clock: Clock, pattern: str) -> list[str]:
    """Ensure no container runs whose whole name matches. Returns the names of those there are, sorted.

    Fails where Docker gives no answer: then no container counts as absent or stopped.
    """
    names = _matching((one.name for one in engine.listed()), pattern)
    for name in names:
        with contextlib.suppress(NotFound):  # it has gone meanwhile
            engine.stop(name, timeout_s=_STOP_S)
    for _ in range(_LOOKS):
        running = _matching((one.name for one in engine.running()), pattern)
        if not running:
            return names
        clock.sleep(_PAUSE_S)
    raise HostError(
        "docker",
        expected=f"to stop {' '.join(running)}",
        got="it running still",
        do="look at 'docker ps', and run this again",
    )


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    return sorted(name for name in names if re.fullmatch(pattern, name))
