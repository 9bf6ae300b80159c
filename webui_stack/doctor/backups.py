"""Doctor's rules about backup sets: room, the last run, the timer, the newest; drills, copies and checks. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from webui_stack.doctor.host import room
from webui_stack.doctor.rule import Rule
from webui_stack.documents.document import Outcome
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
    pause_s = _pause_s(seen.due)
    try:
        age_s = now_s - datetime.strptime(newest, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        age_s = math.inf
    made = f"{newest}, {age_s / _HOUR_S:.0f} hours old" if newest else "there is none"
    yield Check(
        "backups: newest",
        bool(newest) and age_s <= 2 * pause_s,
        made + _due(pause_s),
        "`journalctl -u open-webui-backup.service` tells why; `pyinfra INVENTORY runbooks/backup.py` makes one",
    )


def _pause_s(due: Sequence[datetime]) -> float:
    """A schedule may leave out days: its longest pause counts."""
    pauses_s = ((later - earlier).total_seconds() for earlier, later in itertools.pairwise(due))
    return max(pauses_s, default=math.inf)


def _due(pause_s: float) -> str:
    return f", one is due at least every {pause_s / _HOUR_S:.0f} hours" if pause_s < math.inf else ""


def _jobs(seen: Observed, settings: Settings) -> Iterator[Check]:
    """Drills, and the copies and checks of each restic repository."""
    if not settings.runs("data") or not seen.backup:
        return
    drill = seen.outcomes.get("drill")
    if drill or settings.drill_schedule:
        step = "`pyinfra INVENTORY runbooks/drill.py` holds one, and shows why it fails"
        yield _job(seen, "drill", drill, seen.drill_due, step)
    repositories = (settings.backup_restic_repository, settings.backup_restic_second_repository)
    for number, (address, second) in enumerate(zip(repositories, ("", "second "), strict=True), 1):
        if not address:
            continue
        step = f"mend {address}; `pyinfra INVENTORY runbooks/backup.py` copies what is missing there"
        yield _job(seen, f"{second}copy", _of(seen, f"copy-{number}", address), seen.due, step)
        check = _of(seen, f"check-{number}", address)
        if check or settings.backup_check_schedule:
            step = f"look at {address}; `systemctl start open-webui-backup-check` on the host checks again"
            yield _job(seen, f"{second}check", check, seen.check_due, step)


def _of(seen: Observed, job: str, address: str) -> Outcome | None:
    """The job's last outcome; None where it is of another repository, which was given up."""
    found = seen.outcomes.get(job)
    return found if found and found["of"] in (address, "") else None


def _job(seen: Observed, what: str, last: Outcome | None, due: Sequence[datetime], step: str) -> Check:
    """A fault where the last one failed, or the last good one is too old; advice where there was none yet."""
    name, pause_s = f"backups: {what}", _pause_s(due)
    if last is None:
        return Check(name, False, f"there is none yet{_due(pause_s)}", step, advice=True)
    age_s = seen.backup_number("now_s") - last["good_s"] if last["good_s"] else math.inf
    good = f"went well {age_s / _HOUR_S:.0f} hours ago" if last["good_s"] else "never went well"
    if not last["ok"]:
        return Check(name, False, f"failed, and {good}: {last['said']}", step)
    return Check(name, age_s <= 2 * pause_s, good + _due(pause_s), step)


RULES: tuple[Rule, ...] = (_backups, _jobs)
