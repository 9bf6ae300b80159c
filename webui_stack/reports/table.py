"""The rows of a run as a table for a terminal. What checks saw comes from outside, and can't steer the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webui_stack.reports.moment import for_people
from webui_stack.reports.rows import Row, State, counts

# Output that goes to a file or a pipe has no width of its own.
_WIDTH_WITHOUT_TERMINAL = 120
# A cell of the table; the page has all.
_LETTERS = 120


def of(title: str, started: datetime, rows: Mapping[str, Row]) -> Table:
    """The table for a terminal, worst hosts last: that is where the eye and the prompt are.

    A line for each host that is well, whatever the width; only what there is to look at wraps.
    """
    heading = f"{title}, {for_people(started)}"
    closing = ", ".join(f"{count} {word}" for word, count in counts(rows).items())
    grid = Table(
        title=heading,
        caption=closing,
        min_width=max(len(heading), len(closing)) + 2,  # so that neither wraps above and below a few short names
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        caption_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    grid.add_column("host", no_wrap=True, max_width=32)
    grid.add_column("address", no_wrap=True, max_width=39)  # an IPv6 address in full
    grid.add_column("result", no_wrap=True)
    grid.add_column("what was seen", overflow="fold")
    for row in sorted(rows.values(), key=lambda row: row.state):
        seen = printable(row.words or row.timings)
        if not row.words:
            seen.no_wrap, seen.overflow, seen.style = True, "ellipsis", "dim"
        result = Text(row.result, style=STYLES[row.state])
        grid.add_row(printable(row.host), printable(row.address), result, seen)
    return grid


STYLES = {State.OK: "green", State.ADVICE: "yellow", State.UNCHECKED: "magenta", State.FAULT: "bold red"}


def one_line(words: str) -> str:
    """One line that can't steer a terminal: a check may quote what a broken program wrote to its log."""
    return "".join(letter if letter.isprintable() else "�" for letter in " ".join(words.split()))


def printable(words: str) -> Text:
    """One short line for a cell."""
    line = one_line(words)
    return Text(line if len(line) <= _LETTERS else line[: _LETTERS - 1] + "…")


def console(file: TextIO) -> Console:
    return Console(file=file, width=None if file.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False)
