"""Doctor's rules about backup sets: room for them, their last run, their timer, the age of the newest. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from datetime import UTC, datetime

from webui_stack.doctor.host import room
from webui_stack.doctor.rule import Rule
from webui_stack.model.check import Check
from webui_stack.model.doctor_observed import Observed
from webui_stack.settings.model import Settings

_HOUR_S = 3600


def _backups(seen: Observed, settings: Settings) -> Iterator[Check]:
    if not settings.runs("data") or not seen.backup:
        return
    if seen.backup.get("mount") != seen.host.get("mount"):  # else the row of Docker's disk says it
        yield from room("backups: disk", settings.backup_dir, seen.backup, "lower backup_keep, or move backup_dir")
    failed = seen.backup.get("last_run") == "failed"
    yield Check(
        "backups: last run",
        not failed,
        "open-webui-backup.service failed" if failed else "did not fail",
        "`journalctl -u open-webui-backup.service` tells why; `systemctl start open-webui-backup` tries again",
    )
    if not settings.backup_schedule:
        return
    timer = seen.backup.get("timer") or "no systemd"
    yield Check(
        "backups: timer",
        timer == "active",
        f"open-webui-backup.timer is {timer}, backup_schedule is {settings.backup_schedule}",
        "without it no backup is made: `pyinfra INVENTORY runbooks/backup.py` puts it there",
    )
    yield from _newest_backup(seen)


def _newest_backup(seen: Observed) -> Iterator[Check]:
    newest, now_s = seen.backup.get("newest", ""), seen.backup_number("now_s")
    # A schedule may leave out days: its longest pause counts.
    pauses_s = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(seen.due)]
    pause_s = max(pauses_s, default=math.inf)
    try:
        age_s = now_s - datetime.strptime(newest, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        age_s = math.inf
    made = f"{newest}, {age_s / _HOUR_S:.0f} hours old" if newest else "there is none"
    due = f", one is due at least every {pause_s / _HOUR_S:.0f} hours" if pauses_s else ""
    yield Check(
        "backups: newest",
        bool(newest) and age_s <= 2 * pause_s,
        made + due,
        "`journalctl -u open-webui-backup.service` tells why; `pyinfra INVENTORY runbooks/backup.py` makes one",
    )


RULES: tuple[Rule, ...] = (_backups,)
