"""A moment, as people read it and as programs do. In UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def for_people(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def for_machines(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
