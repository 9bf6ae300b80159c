"""What verify and doctor saw, for people and machines: a table, a page, JSON; and the files of a run.

Rendering is pure. Host names and what checks saw come from outside: each form escapes them in its own way.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, TextIO

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webui_stack.model.check import Check

# The note of a host whose row is not in: files are rewritten as hosts finish, and a run may end early.
NO_RESULT = "no result: the run is not done with this host, or ended before it was"

# Output that goes to a file or a pipe has no width of its own.
_WIDTH_WITHOUT_TERMINAL = 120
# A cell of the table; the page has all.
_LETTERS = 120
# The page unfolds hosts with faults, and all hosts, as long as there are no more than these.
_UNFOLDED = 3

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    bytecode_cache=FileSystemBytecodeCache(),
)


class State(IntEnum):
    """How a check or a host is: the greater, the worse."""

    OK = 0
    ADVICE = 1
    UNCHECKED = 2
    FAULT = 3

    @property
    def symbol(self) -> str:
        return "✓!·✗"[self]

    @property
    def word(self) -> str:
        return ("ok", "advice", "not checked", "fault")[self]


def state_of(check: Check) -> State:
    return State.OK if check.ok else State.FAULT if check.is_fault else State.ADVICE


@dataclass(frozen=True)
class Row:
    """One host's checks. One that could not be reached, or dropped out before, has none and a note that says why."""

    host: str
    address: str
    checks: Sequence[Check] = ()
    note: str = ""

    @property
    def state(self) -> State:
        return max(map(state_of, self.checks), default=State.UNCHECKED)

    @property
    def ok(self) -> bool:
        return self.state <= State.ADVICE

    @property
    def result(self) -> str:
        """`ok`, `2 faults`, `1 advice` or `not checked`: in words, since not everybody tells red from green."""
        count = sum(state_of(check) is self.state for check in self.checks)
        match self.state:
            case State.FAULT:
                return f"{count} fault{'' if count == 1 else 's'}"
            case State.ADVICE:
                return f"{count} advice"
            case _:
                return self.state.word

    @property
    def worst_first(self) -> list[Check]:
        return sorted(self.checks, key=state_of, reverse=True)

    @property
    def words(self) -> str:
        """What to read first: the first fault, else the first advice, else the note."""
        first = next((check for check in self.worst_first if not check.ok), None)
        return f"{first.name}: {first.seen}" if first else self.note

    @property
    def timings(self) -> str:
        """What a host that is well has to tell: `ping 0.6 ms · websocket handshake 41 ms`."""
        timed = [(check.name, check.elapsed_ms) for check in self.checks if check.elapsed_ms is not None]
        return " · ".join(f"{name} {milliseconds(elapsed_ms)}" for name, elapsed_ms in timed)


@dataclass(frozen=True)
class Latency:
    """What one check took on each host, in milliseconds."""

    name: str
    elapsed_ms: Mapping[str, float]

    @property
    def summary(self) -> str:
        """`min 24 ms · median 36 ms · max 145 ms (web-21)`; of a single host just its value."""
        slowest, most = max(self.elapsed_ms.items(), key=lambda item: item[1])
        if len(self.elapsed_ms) == 1:
            return milliseconds(most)
        least = milliseconds(min(self.elapsed_ms.values()))
        return f"min {least} · median {milliseconds(self.median_ms)} · max {milliseconds(most)} ({slowest})"

    @property
    def median_ms(self) -> float:
        return statistics.median(self.elapsed_ms.values())

    @property
    def scale_ms(self) -> float:
        """The end of a chart's axis: a round number not much above the maximum."""
        most = max(*self.elapsed_ms.values(), 0.1)
        power = 10.0 ** math.floor(math.log10(most))
        return next(step * power for step in (1, 1.5, 2, 3, 5, 7, 10) if step * power >= most)


def milliseconds(value: float) -> str:
    """`0.6 ms`, `41 ms`: no more digits than mean something."""
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def check_names(rows: Mapping[str, Row]) -> list[str]:
    """Each check's name once, in the order of the host that got furthest; others may have stopped half-way."""
    furthest = sorted(rows.values(), key=lambda row: len(row.checks), reverse=True)
    return list(dict.fromkeys(check.name for row in furthest for check in row.checks))


def latencies(rows: Mapping[str, Row]) -> list[Latency]:
    """Every check that measured time on at least one host."""
    found = {
        name: {
            row.host: check.elapsed_ms
            for row in rows.values()
            for check in row.checks
            if check.name == name and check.elapsed_ms is not None
        }
        for name in check_names(rows)
    }
    return [Latency(name, elapsed_ms) for name, elapsed_ms in found.items() if elapsed_ms]


def counts(rows: Mapping[str, Row]) -> dict[str, int]:
    """How many hosts are ok (advice is no fault), have faults, were not checked."""
    states = Counter(row.state for row in rows.values())
    return {
        "ok": states[State.OK] + states[State.ADVICE],
        "with faults": states[State.FAULT],
        "not checked": states[State.UNCHECKED],
    }


# --- Three forms ------------------------------------------------------------------------------------


def table(title: str, started: datetime, rows: Mapping[str, Row]) -> Table:
    """The table for a terminal, worst hosts last: that is where the eye and the prompt are.

    A line for each host that is well, whatever the width; only what there is to look at wraps.
    """
    heading = f"{title}, {_for_people(started)}"
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
        seen = _printable(row.words or row.timings)
        if not row.words:
            seen.no_wrap, seen.overflow, seen.style = True, "ellipsis", "dim"
        result = Text(row.result, style=_STYLES[row.state])
        grid.add_row(_printable(row.host), _printable(row.address), result, seen)
    return grid


_STYLES = {State.OK: "green", State.ADVICE: "yellow", State.UNCHECKED: "magenta", State.FAULT: "bold red"}


def _printable(words: str) -> Text:
    """One short line that can't steer a terminal: a check may quote what a broken program wrote to its log."""
    line = "".join(letter if letter.isprintable() else "�" for letter in " ".join(words.split()))
    return Text(line if len(line) <= _LETTERS else line[: _LETTERS - 1] + "…")


def html(title: str, started: datetime, rows: Mapping[str, Row]) -> str:
    """One page that needs nothing else: no script, no network; worst hosts first."""
    faults = counts(rows)["with faults"]
    return _environment.get_template("report.html.j2").render(
        title=title,
        started=_for_machines(started),
        started_words=_for_people(started),
        counts=counts(rows),
        advised=sum(row.state is State.ADVICE for row in rows.values()),
        names=check_names(rows),
        rows=sorted(rows.values(), key=lambda row: row.state, reverse=True),
        unfolded=lambda row: len(rows) <= _UNFOLDED or (row.state is State.FAULT and faults <= _UNFOLDED),
        latencies=latencies(rows),
        state_of=state_of,
        cell=_cell,
        milliseconds=milliseconds,
    )


def _cell(row: Row, name: str) -> tuple[State, str]:
    """A host's state and words in a check's column: the worst, when the check came more than once."""
    found = next((check for check in row.worst_first if check.name == name), None)
    return (state_of(found), str(found)) if found else (State.UNCHECKED, f"{name}: {State.UNCHECKED.word}")


def as_json(title: str, started: datetime, rows: Mapping[str, Row]) -> str:
    """The same for programs, in inventory order. Keys are only ever added."""
    hosts = [
        {
            "host": row.host,
            "address": row.address,
            "ok": row.ok,
            "note": row.note,
            "checks": [_check_fields(check) for check in row.checks],
        }
        for row in rows.values()
    ]
    return json.dumps({"title": title, "started": _for_machines(started), "hosts": hosts}, indent=2) + "\n"


def _check_fields(check: Check) -> dict[str, Any]:
    return {name: getattr(check, name) for name in ("name", "ok", "advice", "seen", "next_step", "elapsed_ms")}


def _for_people(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _for_machines(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- A run's report ---------------------------------------------------------------------------------


class Report:
    """A run's rows as they come in, and its files: `reports/<UTC time>/report.html` and `report.json`.

    pyinfra 3.10 calls nobody at a run's end, so rows rewrite the files: whenever the run stops, they tell what is
    known, and hosts without a row are in them as not checked. With `pause_s` not more often than that, so that many
    hosts don't each pay for all; then `write` has to be called at the end, for rows that came within it. A file that
    can't be written fails nothing: `problem` says why, and `show` prints it.
    """

    def __init__(self, title: str, hosts: Iterable[str], below: Path = Path("reports"), pause_s: float = 0) -> None:
        self.title = title
        self.started = datetime.now(UTC)
        self.folder: Path | None = None
        self.problem = ""
        self._hosts = list(hosts)
        self._below = below
        self._rows: dict[str, Row] = {}
        self._pause_s = pause_s
        self._written_at = -math.inf
        self._is_written = True

    @property
    def rows(self) -> dict[str, Row]:
        """Every host in inventory order, then those nobody expected."""
        return {name: Row(name, "", note=NO_RESULT) for name in self._hosts} | self._rows

    @property
    def missing(self) -> list[str]:
        """The hosts that have no row yet."""
        return [name for name in self._hosts if name not in self._rows]

    def add(self, row: Row) -> bool:
        """Put a host's row in, or replace it; True when it was the last one missing, once in a run.

        Does not give way to other greenlets, so hosts that finish together can't mix their files.
        """
        last = set(self._hosts) - self._rows.keys() == {row.host}
        self._rows[row.host] = row
        self._is_written = False
        if last or time.monotonic() - self._written_at >= self._pause_s:
            self.write()
        return last

    def write(self) -> None:
        """Ensure the files have all rows there are."""
        if self._is_written:
            return
        try:
            self.folder = self.folder or _new_folder(self._below, self.started)
            write(self.folder, self.title, self.started, self.rows)
            _point(self._below / "latest", self.folder)
            self.problem = ""
        except OSError as error:
            self.problem = f"report: can't write below {self._below}: {error}"
        self._is_written, self._written_at = True, time.monotonic()

    def show(self, file: TextIO | None = None) -> None:
        """Print the table and where the page is, to stderr unless told."""
        out = console(file or sys.stderr)
        out.print(table(self.title, self.started, self.rows))
        if self.problem:
            out.print(Text(self.problem), soft_wrap=True)
        elif self.folder:
            out.print(Text(f"report: {self.folder / 'report.html'}"), soft_wrap=True)


def console(file: TextIO) -> Console:
    return Console(file=file, width=None if file.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False)


def write(folder: Path, title: str, started: datetime, rows: Mapping[str, Row]) -> None:
    """Write both files, each at once: who reads meanwhile sees the old one or the new one."""
    for name, render in (("report.html", html), ("report.json", as_json)):
        new = folder / f"{name}.new"
        # "replace": what a host said may hold bytes that were no UTF-8 (lone surrogates).
        new.write_text(render(title, started, rows), encoding="utf-8", errors="replace")
        new.replace(folder / name)


def save(name: str, text: str, below: Path = Path("reports")) -> Path:
    """Write a file into a folder of its own, `reports/<UTC time>/NAME`; where it is."""
    file = _new_folder(below, datetime.now(UTC)) / name
    file.write_text(text, encoding="utf-8", errors="replace")
    return file


def _new_folder(below: Path, started: datetime) -> Path:
    """Make this run's folder, its own even when two runs start in one second."""
    stamp = started.strftime("%Y%m%dT%H%M%SZ")
    below.mkdir(parents=True, exist_ok=True)
    for name in itertools.chain([stamp], (f"{stamp}-{number}" for number in itertools.count(2))):
        with contextlib.suppress(FileExistsError):
            (below / name).mkdir()
            break
    return below / name


def _point(link: Path, folder: Path) -> None:
    """Point a link to a folder beside it, at once."""
    new = link.with_name(f"{link.name}.{folder.name}")
    new.symlink_to(folder.name)
    try:
        new.replace(link)
    finally:
        new.unlink(missing_ok=True)  # it is still there when something else is in the link's place
