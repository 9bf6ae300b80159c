"""The stack's secrets: made where they are missing, kept where they are, and in the files that services read."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import dockerd, secrets
from ..clock import Clock
from ..files import Files
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..system import System, require_root

_DONE = {"content": "wrote", "mode": "set mode and owner of", "presence": "removed"}


@dataclass(frozen=True)
class Request:
    """The secrets as they are wished (`secrets.Wish`)."""

    wish: Mapping[str, Any] = field(repr=False)


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure the stack's secrets and their files are as wished; `arguments` are those of `Request`.

    Tells which files it wrote, and never what is in them. Nothing is written where all is as wished. Holds the work
    lock: a backup reads these files, and a rotation that lost its operator removes and makes them. Raises `HostError`
    as `secrets.write` does, and where that lock is not free within ten minutes.
    """
    require_root()
    asked = Request(**arguments)
    system = System()
    engine = dockerd.engine(system)
    wanted = secrets.wish(asked.wish)
    with Locks(LINUX, Clock(), lambda line: emit(Event(line))).work("secrets"):
        written = secrets.write(Files(), engine, system, wanted)
    for line in told(wanted.folder, written):
        emit(Event(line))


def told(folder: str, written: Mapping[str, str]) -> Iterator[str]:
    """What was written: a line for files with other contents, for another mode or owner, and for those that went."""
    for why, done in _DONE.items():
        if names := [posixpath.relpath(path, folder) for path, one in written.items() if one == why]:
            yield f"{folder}: {done} {', '.join(names)}"
