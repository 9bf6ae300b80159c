"""Doctor on the proxy."""

from __future__ import annotations

import pytest

from tests.unit.doctor import judging

CASES = [
    ("proxy: version", '"version":"v2.11.9', '"version":"v2.11.7', "advice", "Caddy 2.11.7"),
    (
        "proxy: version",
        '"version":"v2.11.9',
        '"version":"v2.11.1',
        "fault",
        "Caddy 2.11.1 is older than the fixes of GHSA",
    ),
    (
        "proxy: version",
        'v2.11.9 h1:abc=","package":""',
        '2.6.2","package":"2.6.2-12"',
        "advice",
        "package 2.6.2-12",
    ),
]


@pytest.mark.parametrize(("row", "old", "new", "level", "seen"), CASES)
def test_each_row_tells_its_own_trouble_and_no_other(row: str, old: str, new: str, level: str, seen: str) -> None:
    judging.tells_alone(row, old, new, level, seen)
