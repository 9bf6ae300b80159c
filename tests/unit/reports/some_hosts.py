"""Statuses of made-up hosts: well, worth a look, faulty, not looked at, and hostile."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.unit.reports.some_rows import HOSTILE
from webui_stack.documents.alarm_document import OpenAlarm
from webui_stack.model.check import Check
from webui_stack.model.deploy_log import Record
from webui_stack.reports.status import Status

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY_S = 86400
DIGEST = "sha256:" + "9" * 64
RECORD = Record("2026-11-27T12:00:00Z", "root@desk", "c0b41bea6307", "changed", 7.5)
ALARM: OpenAlarm = {
    "name": "valkey_pong",
    "state": "broken",
    "since_s": 1_796_036_400.0,
    "seen": "Valkey gave no PONG",
    "next_step": "look at `docker logs redis-valkey`",
}
LATE = Check("backup_age", False, "the last good backup was 3 days ago", "run runbooks/backup.py")

GOOD = Status(
    open_webui="0.12.4",
    valkey="8.1.1",
    images={"redis": DIGEST, "open-webui": DIGEST},
    subscribers="1",
    last_deploy=RECORD,
    backup_age_s=5 * 3600,
    drill_age_s=3 * DAY_S,
    certificate_ends="2027-01-30T12:00:00+00:00",
    is_monitored=True,
)
DRIFTED = Status(
    open_webui="0.12.3",
    valkey="8.1.1",
    drift=["redis: its definition changed", "/opt/open-webui/compose.yaml: differs"],
    last_deploy=Record("2026-11-30T11:50:00Z", "root@desk", "c0b41bea6307", "failed", 7.5, failed="Verify | Prove it"),
)
BAD = Status(
    open_webui="0.12.4",
    valkey="8.1.1",
    faults=["ping"],
    unwell=[Check("ping", False, "no answer", "look at its log"), Check("disk", False, "6 GB free", advice=True)],
    backup_age_s=3 * DAY_S,
    late=[LATE],
    certificate_ends="2026-11-30T11:00:00+00:00",
    alarms=[ALARM],
    is_monitored=True,
)
GONE = Status(note="could not be looked at; its reason is above")
HOSTS = {"good": GOOD, "drifted": DRIFTED, "gone": GONE, "bad": BAD, "fine": GOOD}


def hostile() -> dict[str, Status]:
    """Every text that a host can say is an attack."""
    return _all_of(HOSTILE)


def tame() -> dict[str, Status]:
    """The shape of `hostile`, in plain words."""
    return _all_of("x")


def _all_of(word: str) -> dict[str, Status]:
    alarm: OpenAlarm = {"name": word, "state": "broken", "since_s": 0.0, "seen": word, "next_step": word}
    return {
        word: Status(
            word,
            word,
            {word: word},
            word,
            [word],
            [word],
            Record(word, word, word, "failed", failed=word),
            word,
            [Check(word, False, word, word)],
            1,
            1,
            [Check(word, False, word, word)],
            word,
            [word],
            {},
            word,
            "2026-12-30T12:00:00+00:00",
            [alarm],
            word,
        )
    }
