"""Backups: the age of the last set, and of the last drill that a set has passed, against their schedules."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator

from .. import backups
from ..backup_sets import MANIFEST, BackupSets
from ..finding import Finding, Sample
from ..outcomes import Outcomes
from .sight import Sight
from .words import duration

# A schedule's pauses are the same for weeks.
_SCHEDULE_S = 86400.0
_FORM = "%Y-%m-%d %H:%M:%S"
_UNIT = "/etc/systemd/system/{}"


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: no call to Docker; a file's status for each set, and a program for each schedule once a day."""
    yield from _backup(at)
    yield from _drill(at)


def _backup(at: Sight) -> Iterator[Finding | Sample]:
    newest = BackupSets(at.files, at.clock, at.asked.backup_dir).newest()
    made = at.files.stat(f"{at.asked.backup_dir}/{newest}/{MANIFEST}") if newest else None
    if made:
        about = "When the newest backup set was made, in seconds since 1970."
        yield Sample("open_webui_stack_backup_last_timestamp_seconds", made.changed_s, help=about)
    if at.asked.backup_schedule and at.system.has_systemd():  # without it there is no timer
        step = "run runbooks/backup.py, and look at `journalctl -u open-webui-backup`"
        yield _age(at, "backup", at.asked.backup_schedule, made.changed_s if made else None, step)


def _drill(at: Sight) -> Iterator[Finding | Sample]:
    found = Outcomes(at.files, at.clock, at.asked.stack_dir).read("drill")
    good_s = found["good_s"] if found else 0
    if good_s:
        about = "When a backup set was last restored in a drill that found no fault, in seconds since 1970."
        yield Sample("open_webui_stack_drill_last_timestamp_seconds", good_s, help=about)
    if at.asked.drill_schedule and at.system.has_systemd():
        yield _age(at, "drill", at.asked.drill_schedule, good_s or None, "run runbooks/drill.py")


def _age(at: Sight, what: str, schedule: str, last_s: float | None, step: str) -> Finding:
    """Without any, its age is that of the timer, which a deploy has written."""
    pause_s = at.memory.kept(f"pause of {schedule}", _SCHEDULE_S, lambda: _longest_pause_s(at, schedule))
    if pause_s is None:
        return Finding(f"{what}_age", None, f"the schedule {schedule} names fewer than two times to come")
    timer = at.files.stat(_UNIT.format(f"open-webui-{what}.timer"))
    since_s = last_s if last_s is not None else timer.changed_s if timer else at.memory.began_s
    age_s = at.clock.now() - since_s
    is_well = age_s <= at.asked.thresholds.pauses * pause_s
    seen = f"the last good {what} was {duration(age_s)} ago" if last_s is not None else f"there was no good {what} yet"
    if not is_well:
        seen += f"; one is due every {duration(pause_s)}"
    return Finding(f"{what}_age", is_well, seen, "" if is_well else step)


def _longest_pause_s(at: Sight, schedule: str) -> float | None:
    """The longest pause among the next times of a schedule; None for fewer than two."""
    moments = [calendar.timegm(time.strptime(one, _FORM)) for one in backups.due(at.system, schedule)]
    return max((after - before for before, after in zip(moments, moments[1:])), default=None)  # noqa: B905, RUF007 Python 3.9
