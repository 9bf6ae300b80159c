"""The systemd units that this project puts on a host."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .. import recovery
from ..files import Files
from .items import Item, looked_at

FOLDER = recovery.FOLDER
UNITS = (
    "open-webui-watchdog.timer",
    "open-webui-watchdog.service",
    "open-webui-backup.timer",
    "open-webui-backup.service",
    *(unit.name for unit in recovery.UNITS),
)
# A timer with Persistent=true keeps the time of its last run there (systemd.timer(5)).
_STAMP = "/var/lib/systemd/timers/stamp-open-webui-backup.timer"


def units(files: Files) -> Iterator[Item]:
    """Our units, and what one of them has noted."""
    for unit in UNITS:
        yield from looked_at("unit", unit, partial(_there, files, Item("unit", unit), f"{FOLDER}/{unit}"))
    yield from looked_at("file", _STAMP, partial(_there, files, Item("file", _STAMP), _STAMP))


def _there(files: Files, item: Item, path: str) -> Item | None:
    return item if files.exists(path) else None
