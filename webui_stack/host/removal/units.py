"""The systemd units that this project puts on a host."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .. import recovery
from ..files import Files
from .items import Item, looked_at

FOLDER = recovery.FOLDER
_SCHEDULED = ("open-webui-backup", "open-webui-backup-check", "open-webui-drill")
UNITS = (
    "open-webui-watchdog.timer",
    "open-webui-watchdog.service",
    "open-webui-stack-monitor.service",
    *(f"{name}.{kind}" for name in _SCHEDULED for kind in ("timer", "service")),
    *(unit.name for unit in recovery.UNITS),
)
# A timer with Persistent=true keeps the time of its last run there (systemd.timer(5)).
_STAMPS = [f"/var/lib/systemd/timers/stamp-{name}.timer" for name in _SCHEDULED]


def units(files: Files) -> Iterator[Item]:
    """Our units, and what timers have noted."""
    for unit in UNITS:
        yield from looked_at("unit", unit, partial(_there, files, Item("unit", unit), f"{FOLDER}/{unit}"))
    for stamp in _STAMPS:
        yield from looked_at("file", stamp, partial(_there, files, Item("file", stamp), stamp))


def _there(files: Files, item: Item, path: str) -> Item | None:
    return item if files.exists(path) else None
