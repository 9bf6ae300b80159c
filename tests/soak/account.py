"""What a soak saw, as tables: for the terminal by rich, and in Markdown for whoever reads it later. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from tests.lab.tally import Result

FAULTS = ("fault", "sent", "refused", "due", "lost", "twice", "came back", "well after", "load")
THROUGHPUT = ("processes", "events a second", "median", "p99", "load")


@dataclass(frozen=True)
class Seen:
    """What the crowd saw of one fault; `load` is the machine's, of the last minute, at its end."""

    result: Result
    load: float


def fault_rows(seen: Mapping[str, Seen]) -> list[list[str]]:
    return [
        [
            name,
            str(one.result.sent),
            ", ".join(f"{count} {reason}" for reason, count in sorted(one.result.failed.items())) or "-",
            str(one.result.expected),
            str(one.result.lost),
            str(one.result.duplicated),
            str(one.result.reconnected),
            "never" if one.result.recovery_s is None else f"{one.result.recovery_s:.1f} s",
            f"{one.load:.0f}",
        ]
        for name, one in seen.items()
    ]


def throughput_rows(seen: Mapping[int, Sequence[Seen]]) -> list[list[str]]:
    """A row for each number of processes; the median is of the rounds."""
    return [
        [
            str(processes),
            ", ".join(f"{one.result.events_per_s:.0f}" for one in rounds),
            f"{statistics.median(one.result.events_per_s for one in rounds):.0f}",
            f"{statistics.median(one.result.p99_ms or 0 for one in rounds):.0f} ms",
            ", ".join(f"{one.load:.0f}" for one in rounds),
        ]
        for processes, rounds in sorted(seen.items())
    ]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    made = Table(title=title, box=None, header_style="underline", padding=(0, 1, 0, 0), pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left", no_wrap=column != "refused")
    for row in rows:
        made.add_row(*row)
    return made


def markdown(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(columns) - 1)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (columns, rule, *rows)]
    return "\n".join([f"## {title}", "", *lines, ""])
