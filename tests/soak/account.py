"""What a soak saw, as tables: for the terminal by rich, and in Markdown for whoever reads it later. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from tests.lab.tally import Result

FAULTS = ("fault", "sent", "refused", "due", "lost", "twice", "came back", "well after", "load")
THROUGHPUT = ("processes", "events a second", "median", "p99", "load")
NOTHING = "-"
STOPS = ("stop", "of", "after", "host was at", "at rest after", "serves after", "next run")


@dataclass(frozen=True)
class Seen:
    """What the crowd saw of one fault; `load` is the machine's, of the last minute, at its end."""

    result: Result
    load: float


@dataclass
class Stopped:
    """What came of a run whose host was stopped `after_s` seconds after it began; unbroken it takes `length_s`.

    `step` is what the host's journal had then, in words, and `rest` what it took until nothing was under way any more.
    `served_s` counts from the boot as well, `next_s` is the length of the next run: None for what was not reached.
    `well` is set at the end of all.
    """

    verb: str
    after_s: float
    length_s: float
    step: str = NOTHING
    rest: str = NOTHING
    served_s: float | None = None
    next_s: float | None = None
    well: bool = False


def stop_rows(stopped: Sequence[Stopped]) -> list[list[str]]:
    return [
        [
            str(number),
            one.verb,
            f"{one.after_s:.1f} of {one.length_s:.0f} s",
            one.step,
            one.rest,
            _seconds(one.served_s),
            _seconds(one.next_s) + ("" if one.well else ", not well"),
        ]
        for number, one in enumerate(stopped, 1)
    ]


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f} s"


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
