"""A deploy never begins with another database than its people are in, unless their host is named."""

from __future__ import annotations

from typing import Any

import pytest

from tests.defaults import settings
from webui_stack.plan import database_guard

MANY: dict[str, Any] = {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}
SWITCHED = (
    "move them first (docs/how-to/sqlite-to-postgres.md), then set database_switch = ['chat-1'] for one run; or keep "
)


@pytest.mark.parametrize("changes", [{}, {"database": "postgres"}, MANY, {"database_url": "env:X"}], ids=str)
def test_a_host_without_people_may_have_any_database(changes: dict[str, Any]) -> None:
    assert database_guard.refusals(settings(**changes), "chat-1", "") == []


@pytest.mark.parametrize(
    ("changes", "present"),
    [
        ({}, "sqlite"),
        ({"database": "postgres"}, "postgres"),
        (MANY, "postgres"),
        ({"database_url": "env:X"}, "external"),
        ({**MANY, "database_url": "env:X"}, "external"),
    ],
    ids=str,
)
def test_people_stay_where_they_are(changes: dict[str, Any], present: str) -> None:
    assert database_guard.refusals(settings(**changes), "chat-1", present) == []


@pytest.mark.parametrize(
    ("changes", "present", "line"),
    [
        pytest.param(
            MANY,
            "sqlite",
            "database: expected the stack's own Postgres, in the volume open-webui-postgres, got people whose chats "
            "are in SQLite, in the volume open-webui; runbooks/migrate.py moves them, with database_switch = "
            "['chat-1'] for that run; or keep one replica and database = 'sqlite'",
            id="more replicas of a stack on SQLite",
        ),
        pytest.param(
            {"database_url": "env:X", "open_webui_volume": "chats"},
            "sqlite",
            "database: expected the Postgres of database_url, got people whose chats are in SQLite, in the volume "
            f"chats; {SWITCHED}one replica and database = 'sqlite'",
            id="a database elsewhere",
        ),
        pytest.param(
            {"postgres_volume": "rows"},
            "postgres",
            "database: expected SQLite, in the volume open-webui, got people whose chats are in the stack's own "
            f"Postgres, in the volume rows; {SWITCHED}the settings it was deployed with",
            id="back to one replica",
        ),
        pytest.param(
            {},
            "external",
            "database: expected SQLite, in the volume open-webui, got people whose chats are in the Postgres of "
            f"database_url; {SWITCHED}the settings it was deployed with",
            id="the URL forgotten",
        ),
        pytest.param(
            {"database": "postgres"},
            "external",
            "database: expected the stack's own Postgres, in the volume open-webui-postgres, got people whose chats "
            f"are in the Postgres of database_url; {SWITCHED}the settings it was deployed with",
            id="from theirs to ours",
        ),
    ],
)
def test_people_who_would_find_none_of_their_chats_stop_the_deploy(
    changes: dict[str, Any], present: str, line: str
) -> None:
    assert database_guard.refusals(settings(**changes), "chat-1", present) == [line]


def test_the_hosts_that_are_named_may_switch_and_no_others() -> None:
    switching = settings(**MANY, database_switch=["chat-1"])
    assert database_guard.refusals(switching, "chat-1", "sqlite") == []
    (line,) = database_guard.refusals(switching, "chat-10", "sqlite")
    assert "database_switch = ['chat-10']" in line


@pytest.mark.parametrize("present", ["", "sqlite", "external"])
def test_where_the_operators_own_variable_leads_is_theirs_to_know(present: str) -> None:
    """A host deployed with it says "external" at each run after."""
    own = settings(open_webui_secret_env={"DATABASE_URL": "env:X"})
    assert database_guard.refusals(own, "chat-1", present) == []
    assert bool(database_guard.refusals(settings(), "chat-1", present)) == (present == "external")


@pytest.mark.parametrize("changes", [{}, MANY, {"database_url": "env:X"}], ids=str)
def test_a_damaged_record_of_the_database_is_no_claim_and_no_permission(changes: dict[str, Any]) -> None:
    (line,) = database_guard.refusals(settings(**changes), "chat-1", "unknown")
    assert "got a damaged /opt/open-webui/.good/.env" in line
    assert "docker volume rm" not in line
    assert database_guard.refusals(settings(**changes, database_switch=["chat-1"]), "chat-1", "unknown") == []
