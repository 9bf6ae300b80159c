"""Looks: what the monitor looks at, one module each. None changes anything.

A look yields findings and samples. One that raises `HostError` has not answered: what it has found until then counts,
and the rest is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Union

from ..finding import Finding, Sample
from . import backups, certificates, containers, disk, drift, event, postgres, units, valkey
from .sight import Sight

Found = Union[Finding, Sample]  # noqa: UP007 Python 3.9 has no `|` for types at run time


@dataclass(frozen=True)
class Look:
    """A look; `needs_docker` where it can see nothing without Docker, `stops` where verbs stop what it looks at."""

    name: str
    at: Callable[[Sight], Iterator[Found]]
    needs_docker: bool = False
    stops: bool = False


LOOKS = (
    Look("containers", containers.look, needs_docker=True, stops=True),
    Look("valkey", valkey.look, needs_docker=True, stops=True),
    Look("event", event.look, needs_docker=True, stops=True),
    Look("postgres", postgres.look, needs_docker=True, stops=True),
    Look("drift", drift.look, needs_docker=True, stops=True),
    Look("disk", disk.look),
    Look("certificates", certificates.look, stops=True),
    Look("backups", backups.look),
    Look("units", units.look),
)
"""In this order: the look at containers comes first, and the others use what it has asked."""
