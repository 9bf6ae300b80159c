"""People's data move to Postgres where the operator names the host, and nowhere by accident."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plan.conftest import LAB_SETTINGS, Pyinfra, answering, converged, fresh

MANY: dict[str, Any] = {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}
MOVE = "Migrate | Copy the rows into Postgres"


def on(database: str, **data: Any) -> dict[str, Any]:
    """A lab host whose people are in this database."""
    return answering(converged(**data), history={"database": database})


def test_the_rows_are_copied_before_anything_is_deployed_with_postgres(pyinfra: Pyinfra) -> None:
    host = on("sqlite", **MANY, database_switch=["@fake/a"])
    changes = pyinfra({"a": host}, "--json", deploy="runbooks/migrate.py").changes("a")
    steps = [MOVE, "Stack | Bring the services up", "Migrate | Remove the mark of the move"]
    assert [change for change in changes if change in steps] == steps


REFUSED = {
    "not named": (
        on("sqlite", **MANY),
        "runbooks/migrate.py moves them, with database_switch = ['@fake/a'] for that run",
    ),
    "still SQLite": (on("sqlite"), "migrate: expected settings with the stack's own Postgres, got none"),
    "nobody there": (
        fresh(**LAB_SETTINGS, **MANY),
        "migrate: expected people's data in SQLite, got none; run deploy.py",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_touched_where_there_is_nothing_to_move(pyinfra: Pyinfra, name: str) -> None:
    host, line = REFUSED[name]
    result = pyinfra({"a": host}, "-y", "-vvv", deploy="runbooks/migrate.py")
    assert result.status == 1
    assert line in result.output
    assert not [command for command in result.executed("a") if "sh -s" in command and "flock" in command]


def test_on_postgres_nothing_is_copied(pyinfra: Pyinfra) -> None:
    ended = pyinfra({"a": on("postgres", **MANY)}, "--json", deploy="runbooks/migrate.py")
    assert "people's data are in Postgres already" in ended.output
    changes = ended.changes("a")
    assert not [change for change in changes if change.startswith("Migrate")]


def test_a_move_whose_proof_failed_is_settled_by_the_next_run(pyinfra: Pyinfra) -> None:
    """Otherwise the backup's timer asks for a set of a stack on SQLite, and fails each night."""
    host = answering(converged(**MANY, backup_schedule="daily"), history={"database": "postgres", "migrating": True})
    changes = pyinfra({"a": host}, "--json", deploy="runbooks/migrate.py").changes("a")
    steps = ["Migrate | Put the backup's files", "Migrate | Remove the mark of the move"]
    assert [change for change in changes if change in steps] == steps
