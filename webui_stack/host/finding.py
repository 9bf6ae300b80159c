"""What the monitor finds, for alarms and for Prometheus: the types that its looks and its alarms share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that a look has looked at.

    `name` is a stable id, in words of Prometheus' labels: "valkey_pong", "container_open_webui", "disk_backups".
    `ok` is None where the question failed: the thing is unknown then. `seen` is for people: "Valkey gave no PONG for
    5 s", and so is `next_step`: "run runbooks/doctor.py". `silenced_by` names the verb at work that explains it
    ("upgrade"), up to that verb's time limit. `repaired` says what the watchdog did itself since the last look:
    "restarted".
    """

    name: str
    ok: bool | None
    seen: str
    next_step: str = ""
    silenced_by: str = ""
    repaired: str = ""


@dataclass(frozen=True)
class Sample:
    """One sample for Prometheus, named by its conventions: base units, `_total` for counters, `_info` for infos."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    help: str = ""
    type: Literal["gauge", "counter"] = "gauge"
