"""Doctor on a host's disk, Docker, memory and kernel."""

from __future__ import annotations

import pytest

from tests.doctor_documents import having
from tests.unit.doctor import judging
from tests.unit.doctor.judging import FINE, judged

CASES = [
    ("disk", '"disk_free_kb":69440980', '"disk_free_kb":1000000', "fault", "976 of 258019 MB free"),
    ("disk", '"disk_free_kb":69440980', '"disk_free_kb":20000000', "advice", "19531 of 258019 MB free"),
    ("docker: version", '"engine":"26.1.5+dfsg1"', '"engine":"29.0.1"', "advice", "Engine 29.0.1, proved up to 28.x"),
    ("docker: version", '"compose":"2.26.1-4"', '"compose":"5.0.0"', "advice", "Compose 5.0.0, proved up to 2.x"),
    ("disk: inodes", '"inodes_free":12000000', '"inodes_free":9', "fault", "9 of 16777216 inodes free"),
    ("disk: inodes", '"inodes_free":12000000', '"inodes_free":1000000', "advice", "1000000 of 16777216"),
    ("docker: packet filter", '"nat":1', '"nat":0', "fault", "filter (nat): somebody flushed it"),
    ("docker: packet filter", '"filter":3', '"filter":0', "fault", "filter (filter): somebody"),
    ("memory", '"memory_free_kb":21670260', '"memory_free_kb":100000', "fault", "97 of 24105 MB available"),
    ("memory", '"memory_free_kb":21670260', '"memory_free_kb":400000', "advice", "390 of 24105 MB available"),
    ("overcommit_memory", '"overcommit_memory":"1"', '"overcommit_memory":"2"', "advice", "is 2"),
]


@pytest.mark.parametrize(("row", "old", "new", "level", "seen"), CASES)
def test_each_row_tells_its_own_trouble_and_no_other(row: str, old: str, new: str, level: str, seen: str) -> None:
    judging.tells_alone(row, old, new, level, seen)


def test_a_file_system_without_inodes_has_no_such_row() -> None:
    none = having(FINE, host={"inodes": 0, "inodes_free": 0})
    assert "disk: inodes" not in {check.name for check in judged(none)}
