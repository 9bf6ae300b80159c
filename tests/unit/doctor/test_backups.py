"""Doctor on backup sets: a fault where none are made, and room for them."""

from __future__ import annotations

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


def test_without_a_schedule_no_timer_is_missed() -> None:
    assert "backups: timer" not in {check.name for check in judged(FINE)}


def test_one_disk_is_told_once() -> None:
    same = having(FINE, backup={"mount": "/"})
    assert "backups: disk" not in {check.name for check in judged(same)}
    assert "backups: disk" in {check.name for check in judged(FINE)}
