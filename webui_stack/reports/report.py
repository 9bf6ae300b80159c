"""The report of a run: its rows as they come in, and its files."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from webui_stack.model.check import Check
from webui_stack.reports import page
from webui_stack.reports.moment import for_machines
from webui_stack.reports.rows import Row

# The note of a host whose row is not in: files are rewritten as hosts finish, and a run may end early.
NO_RESULT = "no result: the run is not done with this host, or ended before it was"


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
        # Here, because a run that changes nothing prints no table, and rich takes 0.04 s to load.
        from rich.text import Text

        from webui_stack.reports import table

        out = table.console(file or sys.stderr)
        out.print(table.of(self.title, self.started, self.rows))
        if self.problem:
            out.print(Text(self.problem), soft_wrap=True)
        elif self.folder:
            out.print(Text(f"report: {self.folder / 'report.html'}"), soft_wrap=True)


def write(folder: Path, title: str, started: datetime, rows: Mapping[str, Row]) -> None:
    """Write both files, each at once: who reads meanwhile sees the old one or the new one."""
    for name, render in (("report.html", page.html), ("report.json", as_json)):
        put(folder / name, render(title, started, rows))


def put(file: Path, text: str) -> None:
    """Write a file at once, in a folder that is there. Runs that write it at the same time don't mix their texts."""
    new = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        # "replace": what a host said may hold bytes that were no UTF-8 (lone surrogates).
        new.write_text(text, encoding="utf-8", errors="replace")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


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
    return json.dumps({"title": title, "started": for_machines(started), "hosts": hosts}, indent=2) + "\n"


def _check_fields(check: Check) -> dict[str, Any]:
    return {name: getattr(check, name) for name in ("name", "ok", "advice", "seen", "next_step", "elapsed_ms")}


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
