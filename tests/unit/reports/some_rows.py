"""Rows of made-up hosts: well, faulty, not checked, and hostile."""

from __future__ import annotations

from datetime import UTC, datetime

from webui_stack.model.check import Check
from webui_stack.reports.rows import Row

STARTED = datetime(2026, 11, 22, 21, 22, 5, tzinfo=UTC)
OK = Check("container redis", True, "redis-valkey is running")
PING = Check("ping", True, "PONG in 0.6 ms", elapsed_ms=0.6)
DOWN = Check("container open-webui", False, "open-webui is exited", "look at its log")
SILENT = Check("subscribers", False, "0 connections", "Open WebUI is not connected")
DISK = Check("disk", False, "6 GB free", "prune", advice=True)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}[red]\x1b[2J\x07\u202egnp.exe"


def rows(*some: Row) -> dict[str, Row]:
    return {row.host: row for row in some}


MIXED = rows(
    Row("good", "192.0.2.1", [OK, PING]),
    Row("bad", "192.0.2.2", [OK, DOWN, SILENT, DISK]),
    Row("fair", "192.0.2.3", [OK, PING, DISK]),
    Row("gone", "192.0.2.4", note="could not connect: timed out"),
    Row("fine", "192.0.2.5", [OK, PING]),
)


def hostile_rows() -> dict[str, Row]:
    check = Check(HOSTILE, False, HOSTILE, HOSTILE, elapsed_ms=1)
    return rows(Row(HOSTILE, HOSTILE, [check], HOSTILE), Row("gone", HOSTILE, note=HOSTILE))


def tame_rows() -> dict[str, Row]:
    """The shape of `hostile_rows`, in plain words."""
    return rows(Row("a", "b", [Check("c", False, "d", "e", elapsed_ms=1)], "f"), Row("gone", "b", note="f"))


def many(number: int, *checks: Check) -> dict[str, Row]:
    return rows(*(Row(f"web-{n:03}.example.org", f"192.0.2.{n}", checks) for n in range(number)))
