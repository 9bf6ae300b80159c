"""The packages of a bundle: out of a host, and onto one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..clock import Clock
from ..deb_repository import DebRepository
from ..kernel import LINUX
from ..locks import WAIT_S, Held, Locks
from ..protocol import Event
from ..system import System, require_root

_LOCK = "packages"


def save(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure the tar at `path` has `packages` and all they need, as a repository for apt. The host stays as it is."""
    require_root()
    with _alone("packages_save", emit):
        DebRepository(System(), emit).save(arguments["packages"], arguments["path"])


def install(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure `packages` are installed from the repository in the tar at `path` alone. Fails with apt's words."""
    require_root()
    with _alone("packages_install", emit):
        DebRepository(System(), emit).install(arguments["packages"], arguments["path"])


def _alone(who: str, emit: Callable[[Event], None]) -> Held:
    """No work lock: there may be no stack yet. A run that was cut off may have left one at work in the same folder."""
    return Locks(LINUX, Clock(), lambda line: emit(Event(line))).moment(_LOCK, who, limit_s=WAIT_S)
