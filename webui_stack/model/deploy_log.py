"""The log of deploys on a host, one JSON object a line: when, by whom, with which settings, with what result. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal

Result = Literal["started", "unchanged", "changed", "failed"]


@dataclass(frozen=True)
class Record:
    """A line of the log.

    A deploy that finds nothing to do writes one line ("unchanged"). One that takes the lease writes "started" before
    its first change, and another at its end: a last line "started" is a run that is at work, or was cut off.
    `settings` is their digest (`Settings.digest`), `operations` are those that changed something so far.
    """

    at: str
    by: str
    settings: str
    result: Result
    took_s: float = 0.0
    operations: Sequence[str] = field(default_factory=list)
    failed: str = ""

    @property
    def words(self) -> str:
        """For a table: `changed 2026-11-25 18:03 by root@desk`."""
        when = self.at.replace("T", " ")[:16]
        return f"{self.result} {when} by {self.by}"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def line(record: Record) -> str:
    return json.dumps(asdict(record))


def parse(text: str) -> Record | None:
    """The record of a line; None where there is none, or one that can't be read."""
    try:
        return Record(**json.loads(text))
    except (ValueError, TypeError):
        return None
