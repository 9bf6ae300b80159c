"""Recovery without an operator: what a power cut or a crash has cut off is ended. A systemd unit runs it at boot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import dockerd
from ..clock import Clock
from ..files import Files
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..recovery import VERB, Recovery
from ..system import System, require_root
from . import docker

Emit = Callable[[Event], None]
# A mark that a verb leaves on the disk while it is in the middle of something -> what ends that.
ENDS: Mapping[str, Callable[[System, Files, Emit], None]] = {dockerd.MARK: docker.recover}
# Shorter than systemd's own limit for the unit (`recovery.py`), so that a verb that is still at work is named.
_WAIT_S = 60.0


def run(_arguments: Mapping[str, Any], emit: Emit) -> None:
    """Ensure nothing is cut off, as `end` does. Raises `HostError` where another verb is at work for a minute."""
    require_root()
    apply(System(), Files(), Locks(LINUX, Clock(), lambda line: emit(Event(line))), emit)


def apply(system: System, files: Files, locks: Locks, emit: Emit) -> None:
    """Ensure what `run` promises, on this host."""
    with locks.work(VERB, limit_s=_WAIT_S):
        end(system, files, emit)


def is_due(files: Files) -> bool:
    """Whether something was cut off, or is under way: the caller who holds the work lock knows which."""
    return any(files.exists(mark) for mark in ENDS)


def end(system: System, files: Files, emit: Emit) -> None:
    """Ensure what each mark stands for is ended, and that the unit is gone. Does nothing else without a mark.

    The caller holds the work lock, so that no verb is at work. Raises `HostError` where one can't be ended; the unit
    stays then, for the next boot. Can be cut off, and begun again.
    """
    for mark, ends in ENDS.items():
        if files.exists(mark):
            ends(system, files, emit)
    Recovery(system, files).disarm()
