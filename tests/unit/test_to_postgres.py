"""Values of SQLite become those of Postgres, or the row is named. SQLAlchemy itself is Open WebUI's and not here."""

from __future__ import annotations

import datetime
import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.defaults import ROOT

TYPES = ("JSON", "Boolean", "Date", "DateTime", "LargeBinary", "String", "JSONB", "MetaData", "BigInteger")


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """host/data/to_postgres.py with types of its own for columns."""
    sqlalchemy = ModuleType("sqlalchemy")
    for name in TYPES:
        setattr(sqlalchemy, name, type(name, (), {"__str__": lambda self: type(self).__name__}))
    for name in ("create_engine", "insert", "text"):
        setattr(sqlalchemy, name, None)
    for name in ("sqlalchemy", "sqlalchemy.dialects", "sqlalchemy.dialects.postgresql"):
        monkeypatch.setitem(sys.modules, name, sqlalchemy)
    spec = importlib.util.spec_from_file_location("to_postgres", ROOT / "webui_stack/host/data/to_postgres.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def column(kind: str, name: str = "c", *, key: bool = False) -> Any:
    return SimpleNamespace(name=name, type=getattr(sys.modules["sqlalchemy"], kind)(), primary_key=key)


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("Boolean", 0, False),
        ("Boolean", 1, True),
        ("JSON", '{"a\\u0000": ["x\\u0000y", 1]}', {"a": ["xy", 1]}),
        ("JSONB", "null", None),
        ("DateTime", "2026-11-26 03:30:00.5", datetime.datetime(2026, 11, 26, 3, 30, 0, 500000)),
        ("Date", "2026-11-26 00:00:00", datetime.date(2026, 11, 26)),
        ("String", "a\0b", "ab"),
        ("String", 7, "7"),  # SQLite keeps what it is given, whatever the column is
        ("LargeBinary", b"\0", b"\0"),
        ("BigInteger", 1795690592, 1795690592),
        *((kind, None, None) for kind in ("Boolean", "JSON", "DateTime", "String", "BigInteger")),
    ],
)
def test_a_value_becomes_what_the_column_wants(copying: ModuleType, kind: str, value: Any, wanted: Any) -> None:
    found = copying.as_postgres(value, column(kind))
    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(("kind", "value"), [("JSON", "{"), ("Boolean", "maybe"), ("DateTime", "yesterday")])
def test_a_row_that_can_not_be_copied_is_named(copying: ModuleType, kind: str, value: str) -> None:
    columns = [column("String", "id", key=True), column(kind, "chat")]
    with pytest.raises(SystemExit, match=rf"^chats, id 7: expected {kind} in chat, got .*; fix that row in SQLite$"):
        copying.as_row({"id": "7", "chat": value}, SimpleNamespace(name="chats"), columns)
