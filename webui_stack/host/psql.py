"""Postgres as its own container answers: its connections."""

from __future__ import annotations

from typing import NamedTuple

from . import digits, programs
from .engine import Container, Engine
from .errors import HostError

# Clients of Postgres, and how many it takes; of its own processes none counts. Asked as Open WebUI's user, which does
# not see what sessions of others are: those are an operator's.
_CONNECTIONS = (
    "SELECT count(*), current_setting('max_connections') FROM pg_stat_activity WHERE backend_type = 'client backend'"
)


class Connections(NamedTuple):
    """Connections in use, and how many there may be."""

    used: int
    limit: int


def connections(engine: Engine, one: Container, *, limit_s: float = programs.LIMIT_S) -> Connections | None:
    """The connections of now; None where the container does not run. Raises `HostError` without an answer."""
    command = ["psql", "-XqAt", "-F", " ", "-U", "open-webui", "-d", "open-webui", "-c", _CONNECTIONS]
    said = programs.said(engine, one, command, limit_s=limit_s)
    if not said:
        return None
    numbers = [digits.whole(word) for word in said.split()]
    if len(numbers) != 2 or None in numbers:
        raise HostError(f"psql in {one.name}", expected="two numbers", got="another form", do="tell this project")
    return Connections(numbers[0] or 0, numbers[1] or 0)
