"""Doctor on backup sets: a fault where none are made, and room for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doctor_documents import changed, having
from tests.unit.doctor import judging
from tests.unit.doctor.judging import FINE, judged, levels

DUE = ["2026-11-30 03:30:00", "2026-12-01 03:30:00", "2026-12-02 03:30:00"]

SCHEDULED = having(FINE, due=DUE, backup={"timer": "active"})

CASES = [
    ("backups: disk", '"disk_free_kb":60000000', '"disk_free_kb":1000', "fault", "0 of 97656 MB free"),
    ("backups: disk", '"disk_free_kb":60000000', '"disk_free_kb":6000000', "advice", "5859 of 97656 MB"),
    ("backups: disk: inodes", '"inodes_free":900000', '"inodes_free":0', "fault", "0 of 1000000 inodes"),
    ("backups: last run", '"last_run":"inactive"', '"last_run":"failed"', "fault", "open-webui-backup.service failed"),
]


@pytest.mark.parametrize(("row", "old", "new", "level", "seen"), CASES)
def test_each_row_tells_its_own_trouble_and_no_other(row: str, old: str, new: str, level: str, seen: str) -> None:
    judging.tells_alone(row, old, new, level, seen)


@pytest.mark.parametrize(
    ("row", "old", "new", "seen"),
    [
        ("backups: timer", '"timer":"active"', '"timer":"failed"', "open-webui-backup.timer is failed"),
        ("backups: timer", '"timer":"active"', '"timer":""', "is no systemd"),
        ("backups: newest", "20261128T033000Z", "20261127T033000Z", "every 24 hours"),
        ("backups: newest", "20261128T033000Z", "", "there is none"),
    ],
)
def test_backups_that_are_not_made_are_a_fault(row: str, old: str, new: str, seen: str) -> None:
    schedule = {"backup_schedule": "*-*-* 03:30"}
    assert levels(judged(SCHEDULED, **schedule)) == {}
    checks = judged(changed(SCHEDULED, old, new), **schedule)
    assert levels(checks) == {row: "fault"}
    assert seen in next(check.seen for check in checks if check.name == row)


def test_a_schedule_with_pauses_is_judged_by_the_longest() -> None:
    over_the_weekend = ["2026-11-30 03:30:00", "2026-12-03 03:30:00", "2026-12-04 03:30:00"]
    old = having(SCHEDULED, due=over_the_weekend, backup={"newest": "20261124T033000Z"})
    assert levels(judged(old, backup_schedule="Mon,Thu 03:30")) == {}


def outcome(*, good_h: float | None, said: str = "", of: str = "") -> dict[str, Any]:
    """A job's outcome; its last good one was so many hours before the look."""
    good_s = 0 if good_h is None else int(1795944000 - good_h * 3600)
    return {
        **{"of": of, "set": "20261128T033000Z", "ended_s": 1795943000, "seconds": 60},
        **{"ok": not said, "said": said, "good_s": good_s, "counts": {}},
    }


def rows(outcomes: dict[str, Any], **changes: Any) -> dict[str, str]:
    """What is not fine with jobs that are due each day."""
    document = having(SCHEDULED, jobs={"outcomes": outcomes, "drill_due": DUE, "check_due": DUE})
    return levels(judged(document, **changes))


ALL: dict[str, Any] = {
    "backup_schedule": "*-*-* 03:30",
    "drill_schedule": "*-*-* 05:00",
    "backup_check_schedule": "*-*-* 06:00",
    "backup_restic_repository": "/srv/restic",
    "backup_restic_password": "env:A",
    "backup_restic_second_repository": "s3:x",
    "backup_restic_second_password": "env:B",
}
GOOD = {
    "drill": outcome(good_h=47),
    "copy-1": outcome(good_h=47, of="/srv/restic"),
    "check-1": outcome(good_h=47, of="/srv/restic"),
    "copy-2": outcome(good_h=1, of="s3:x"),
    "check-2": outcome(good_h=1, of="s3:x"),
}
ROWS = {
    "drill": "backups: drill",
    "copy-1": "backups: copy",
    "check-1": "backups: check",
    "copy-2": "backups: second copy",
    "check-2": "backups: second check",
}


@pytest.mark.parametrize("job", ROWS)
def test_a_job_that_failed_or_is_too_old_is_a_fault_of_its_own_row(job: str) -> None:
    assert rows(GOOD, **ALL) == {}
    of = GOOD[job]["of"]
    old, failed = outcome(good_h=49, of=of), outcome(good_h=1, said="Fatal: i/o timeout", of=of)
    never = outcome(good_h=None, said="Fatal: i/o timeout", of=of)
    for bad in (old, failed, never):
        assert rows({**GOOD, job: bad}, **ALL) == {ROWS[job]: "fault"}
    document = having(SCHEDULED, jobs={"outcomes": {**GOOD, job: failed}, "drill_due": DUE, "check_due": DUE})
    (check,) = (one for one in judged(document, **ALL) if not one.ok)
    assert check.seen == "failed, and went well 1 hours ago: Fatal: i/o timeout"
    assert check.next_step


@pytest.mark.parametrize("job", ROWS)
def test_a_job_that_never_ran_is_advice(job: str) -> None:
    there = {name: one for name, one in GOOD.items() if name != job}
    assert rows(there, **ALL) == {ROWS[job]: "advice"}


def test_a_copy_of_a_repository_that_was_given_up_is_none() -> None:
    given_up = outcome(good_h=1, said="gone", of="/mnt/old")
    assert rows({**GOOD, "copy-1": given_up}, **ALL) == {"backups: copy": "advice"}


def test_without_schedules_a_failure_counts_and_an_age_does_not() -> None:
    assert levels(judged(having(FINE, jobs={"outcomes": {"drill": outcome(good_h=9999)}}))) == {}
    failed = {"drill": outcome(good_h=1, said="it broke")}
    assert levels(judged(having(FINE, jobs={"outcomes": failed}))) == {"backups: drill": "fault"}
    assert not {name for name in ROWS.values() if name in {check.name for check in judged(FINE)}}


def test_without_a_schedule_no_timer_is_missed() -> None:
    assert "backups: timer" not in {check.name for check in judged(FINE)}


def test_one_disk_is_told_once() -> None:
    same = having(FINE, backup={"mount": "/"})
    assert "backups: disk" not in {check.name for check in judged(same)}
    assert "backups: disk" in {check.name for check in judged(FINE)}
