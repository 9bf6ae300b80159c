"""Postgres: its connections against the number that it takes."""

from __future__ import annotations

from collections.abc import Iterator

from .. import programs, psql
from ..finding import Finding, Sample
from .sight import Sight
from .words import percent

_ANSWER_S = 15.0


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: one program in Postgres's container; nothing without one."""
    one = at.one(at.asked.postgres) if at.asked.postgres else None
    if one is None:
        return  # the look at containers says so
    found = programs.answer(at.engine, one, lambda one: psql.connections(at.engine, one, limit_s=_ANSWER_S), None)
    if found is None:
        return
    yield Sample("open_webui_stack_postgres_connections", found.used, help="Clients that Postgres has.")
    yield Sample("open_webui_stack_postgres_connections_limit", found.limit, help="How many clients Postgres takes.")
    share = percent(found.used, found.limit)
    is_well = share <= at.asked.thresholds.connections_percent
    yield Finding(
        "postgres_connections",
        is_well,
        f"Postgres has {found.used} of {found.limit} connections",
        "" if is_well else "raise postgres_max_connections, or lower Open WebUI's DATABASE_POOL_SIZE",
    )
