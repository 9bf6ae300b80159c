"""The rows of a run as one page for a browser. What checks saw comes from outside, and is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

from webui_stack.reports.moment import for_machines, for_people
from webui_stack.reports.rows import Row, State, check_names, counts, latencies, milliseconds, state_of

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


def html(title: str, started: datetime, rows: Mapping[str, Row]) -> str:
    """One page that needs nothing else: no script, no network; worst hosts first."""
    faults = counts(rows)["with faults"]
    return render(
        "report.html.j2",
        title=title,
        started=for_machines(started),
        started_words=for_people(started),
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


def render(template: str, **values: object) -> str:
    """A page of this folder's template, whose values are escaped."""
    return _environment.get_template(template).render(**values)


def _cell(row: Row, name: str) -> tuple[State, str]:
    """A host's state and words in a check's column: the worst, when the check came more than once."""
    found = next((check for check in row.worst_first if check.name == name), None)
    return (state_of(found), str(found)) if found else (State.UNCHECKED, f"{name}: {State.UNCHECKED.word}")
