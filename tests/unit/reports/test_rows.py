"""Rows: a host is as its worst check, and a latency is told in a line."""

from __future__ import annotations

import pytest

from tests.unit.reports.some_rows import (
    DISK,
    DOWN,
    OK,
    PING,
    SILENT,
    rows,
)
from webui_stack.model.check import Check
from webui_stack.reports.rows import Latency, Row, State, check_names, state_of


@pytest.mark.parametrize(
    ("checks", "note", "result", "words", "ok"),
    [
        ([OK, PING], "", "ok", "", True),
        ([OK], "taken over by hand", "ok", "taken over by hand", True),
        ([OK, DISK], "", "1 advice", "disk: 6 GB free", True),
        ([DISK, DOWN], "", "1 fault", "container open-webui: open-webui is exited", False),
        ([OK, DOWN, DISK, SILENT], "", "2 faults", "container open-webui: open-webui is exited", False),
        ([], "could not connect", "not checked", "could not connect", False),
    ],
)
def test_a_host_is_as_its_worst_check(checks: list[Check], note: str, result: str, words: str, ok: bool) -> None:
    row = Row("h", "a", checks, note)
    assert (row.result, row.words, row.ok) == (result, words, ok)


def test_advice_on_what_is_well_is_no_advice() -> None:
    assert state_of(Check("disk", True, "80 GB free", advice=True)) is State.OK


def test_columns_are_in_the_order_of_the_host_that_got_furthest() -> None:
    stopped_early = Row("first", "", [OK, SILENT])
    assert check_names(rows(stopped_early, Row("second", "", [OK, PING, SILENT]))) == [
        "container redis",
        "ping",
        "subscribers",
    ]


@pytest.mark.parametrize(
    ("values", "summary", "scale_ms"),
    [
        ([0.6], "0.6 ms", 0.7),
        ([3, 1, 2], "min 1.0 ms · median 2.0 ms · max 3.0 ms (host-0)", 3),
        ([24, 36, 48, 145], "min 24 ms · median 42 ms · max 145 ms (host-3)", 150),
        ([0.0, 0.0], "min 0.0 ms · median 0.0 ms · max 0.0 ms (host-0)", 0.1),
    ],
)
def test_a_latency_is_told_in_a_line(values: list[float], summary: str, scale_ms: float) -> None:
    latency = Latency("ping", {f"host-{number}": value for number, value in enumerate(values)})
    assert latency.summary == summary
    assert latency.scale_ms == pytest.approx(scale_ms)
