"""Backup sets on this host, and the systemd units that make them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from . import disk, units
from .errors import HostError
from .system import System
from .unread import Unread

TIMER, SERVICE = "open-webui-backup.timer", "open-webui-backup.service"
_SET = re.compile("[0-9]{8}T[0-9]{6}Z")
# `systemd-analyze calendar` names each time in the host's zone, and in UTC as well where that is another.
_DUE = re.compile("(?m)^.* ([0-9]+-[0-9]+-[0-9]+ [0-9:]+) UTC$")
# A schedule may leave out days: its longest pause is among so many times.
_TIMES = 8


def look(system: System, unread: Unread, folder: str) -> dict[str, Any]:
    """The room in the folder of the sets, the newest one, and the state of the units ("" without systemd)."""
    no_units: dict[str, Mapping[str, str]] = {}
    known = unread.answer(lambda: units.look(system, (TIMER, SERVICE)), no_units)
    there = system.path(folder).is_dir()
    return {
        **(unread.answer(lambda: disk.room(system, folder), disk.NOWHERE) if there else disk.NOWHERE),
        "newest": unread.answer(lambda: _newest(system, folder), ""),
        "timer": known.get(TIMER, {}).get("ActiveState", ""),
        "last_run": known.get(SERVICE, {}).get("ActiveState", ""),
    }


def due(system: System, schedule: str, setting: str = "backup_schedule") -> list[str]:
    """The next times in UTC that a systemd calendar expression names; none without systemd or a schedule.

    An error names the `setting` that has the schedule.
    """
    if not schedule or not system.has_systemd():
        return []
    said = system.attempt(
        *("systemd-analyze", "calendar", f"--iterations={_TIMES}", schedule),
        environment={"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "LC_ALL": "C"},
    )
    if said is None:
        raise HostError(
            setting,
            expected="`systemd-analyze calendar` to name the next times",
            got="a refusal",
            do=f"run `systemd-analyze calendar '{schedule}'` on the host",
        )
    return _DUE.findall(said)


def _newest(system: System, folder: str) -> str:
    """A set that is being made has another name, and is none yet."""
    return max(filter(_SET.fullmatch, system.names(folder)), default="")
