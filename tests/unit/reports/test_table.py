"""The table: the worst is last, each host has a line, and nothing a host says steers the terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from tests.unit.reports.some_rows import (
    DOWN,
    MIXED,
    OK,
    PING,
    STARTED,
    hostile_rows,
    many,
    rows,
)
from webui_stack.model.check import Check
from webui_stack.reports import table
from webui_stack.reports.rows import Row


def printed(of: dict[str, Row], width: int = 100, terminal: bool = False) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=terminal, highlight=False).print(table.of("verify", STARTED, of))
    return out.getvalue().splitlines()


def test_the_table_has_the_worst_last_and_says_so_in_words() -> None:
    lines = printed(MIXED)
    assert [host for line in lines if (host := line.split(" ")[0] or line.split(" ")[1]) in MIXED] == [
        *("good", "fine", "fair", "gone", "bad")
    ]
    text = "\n".join(lines)
    for words in ("2 faults", "1 advice", "not checked", "3 ok, 1 with faults, 1 not checked", "0.6", "6 GB free"):
        assert words in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_hundred_hosts_are_a_hundred_lines(width: int) -> None:
    slow = Check("websocket handshake", True, "connected", elapsed_ms=1234)
    lines = printed(many(100, OK, PING, slow), width)
    assert sum("web-" in line for line in lines) == 100
    assert len(lines) < 110
    assert max(map(len, lines)) <= width
    assert ("1234 ms" in "\n".join(lines)) is (width >= 100)


def test_what_there_is_to_look_at_wraps_between_words() -> None:
    lines = printed(many(1, DOWN, Check("c", False, "")), 60)
    words = " ".join(line[42:].strip() for line in lines)
    assert "container open-webui: open-webui is exited" in words


def test_long_names_and_words_stay_in_their_columns() -> None:
    long = Row("h" * 60, "2001:db8:1111:2222:3333:4444:5555:6666", [Check("c" * 50, False, "word " * 200, "")])
    lines = printed(rows(long), 100)
    assert max(map(len, lines)) <= 100
    assert len(lines) < 20
    assert sum("hhh" in line for line in lines) == sum("2001:db8" in line for line in lines) == 1


def test_what_a_host_says_does_not_steer_the_terminal() -> None:
    text = "\n".join(printed(hostile_rows(), 200, terminal=True))
    assert "\x1b[" in text  # colours of our own
    assert not re.search("\x1b\\[2J|\x07|\u202e", text)
    assert "[red]" in text


def test_a_table_of_no_hosts_is_no_error() -> None:
    assert "0 ok, 0 with faults, 0 not checked" in "\n".join(printed({}))


def test_the_width_is_the_terminals_or_120(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "93")
    assert table.console(Terminal()).width == 93
    assert table.console(io.StringIO()).width == 120
