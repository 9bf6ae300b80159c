"""People's rows from the SQLite database of a backup set into a Postgres that has the same schema and no rows.

Runs inside Open WebUI's own image: /set is the set, DATABASE_URL the Postgres. One transaction: all
or nothing. Prints how many rows each table got.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Boolean, Date, DateTime, LargeBinary, MetaData, String, create_engine, insert, text
from sqlalchemy.dialects.postgresql import JSONB

ARCHIVE = Path("/set/open-webui.tar")
DATABASE = "webui.db"
SCHEMA = "alembic_version"
# Rows go in this many at a time: a chat may have megabytes.
BATCH = 200


def main() -> None:
    """Copy every table that both have."""
    engine = create_engine(os.environ["DATABASE_URL"])
    with tempfile.TemporaryDirectory() as work:
        source = opened(Path(work, DATABASE))
        metadata = MetaData()
        metadata.reflect(engine)
        with engine.begin() as target:
            compare(source, target, metadata)
            # SQLite does not enforce foreign keys: rows whose owner is gone come along as they are.
            target.execute(text("SET LOCAL session_replication_role = replica"))
            names = [table.name for table in metadata.sorted_tables if table.name != SCHEMA]
            # Migrations write some rows themselves.
            target.execute(text("TRUNCATE " + ", ".join(f'"{name}"' for name in names)))
            for table in metadata.sorted_tables:
                if table.name != SCHEMA and (count := copied(source, target, table)):
                    print(f"{table.name}: {count}")
        source.close()


def opened(path: Path) -> sqlite3.Connection:
    """The database of the set, taken out of its archive."""
    with tarfile.open(ARCHIVE) as tar, path.open("wb") as copy:
        content = tar.extractfile(DATABASE)
        if content is None:
            sys.exit(f"set: expected a file {DATABASE} in {ARCHIVE}, got another kind")
        shutil.copyfileobj(content, copy)
    source = sqlite3.connect(path)
    source.row_factory = sqlite3.Row
    return source


def compare(source: sqlite3.Connection, target: Any, metadata: Any) -> None:
    """Refuse what would lose something: another schema, or a table with rows that Postgres has not."""
    there = {row[0] for row in source.execute(f"SELECT version_num FROM {SCHEMA}")}
    wanted = set(target.execute(text(f"SELECT version_num FROM {SCHEMA}")).scalars())
    if there != wanted:
        sys.exit(f"schema: expected {','.join(sorted(wanted))} in the set, got {','.join(sorted(there))}")
    tables = source.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (name,) in tables.fetchall():
        if name not in metadata.tables and source.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone():
            # Of the time before Alembic, and tables for a search that Postgres has another way for.
            print(f"left out {name}, which this Open WebUI has not in Postgres", file=sys.stderr)


def copied(source: sqlite3.Connection, target: Any, table: Any) -> int:
    """Copy a table's rows; how many."""
    there = {row["name"] for row in source.execute(f'PRAGMA table_info("{table.name}")')}
    columns = [column for column in table.columns if column.name in there]
    if not columns:
        return 0
    names = ", ".join(f'"{column.name}"' for column in columns)
    rows = source.execute(f'SELECT {names} FROM "{table.name}"')
    count = 0
    while batch := rows.fetchmany(BATCH):
        target.execute(insert(table), [as_row(row, table, columns) for row in batch])
        count += len(batch)
    for column in columns:
        counter = target.execute(
            text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": f'"{table.name}"', "column": column.name}
        ).scalar()
        if counter and count:
            target.execute(
                text(f'SELECT setval(:counter, (SELECT max("{column.name}") FROM "{table.name}"))'),
                {"counter": counter},
            )
    return count


def as_row(row: Any, table: Any, columns: Sequence[Any]) -> dict[str, Any]:
    """A row as Postgres takes it, or why not."""
    found = {}
    for column in columns:
        try:
            found[column.name] = as_postgres(row[column.name], column)
        except (ValueError, TypeError, AttributeError) as error:
            keys = ", ".join(f"{key.name} {row[key.name]}" for key in columns if key.primary_key)
            sys.exit(
                f"{table.name}, {keys}: expected {column.type} in {column.name}, got {error}; fix that row in SQLite"
            )
    return found


def as_postgres(value: Any, column: Any) -> Any:
    """A value of SQLite, which knows neither booleans, nor dates, nor JSON, as the column's type wants it."""
    kind = column.type
    if value is None:
        return None
    if isinstance(kind, Boolean):
        return bool(int(value))
    if isinstance(kind, (JSON, JSONB)):
        return without_nul(json.loads(value)) if isinstance(value, str) else value
    if isinstance(kind, DateTime) and isinstance(value, str):
        return datetime.datetime.fromisoformat(value)
    if isinstance(kind, Date) and isinstance(value, str):
        return datetime.date.fromisoformat(value[:10])
    if isinstance(kind, LargeBinary):
        return value.encode() if isinstance(value, str) else value
    if isinstance(kind, String):
        return without_nul(value if isinstance(value, str) else str(value))
    return value


def without_nul(value: Any) -> Any:
    """Postgres has no NUL in text (https://www.postgresql.org/docs/17/datatype-json.html)."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [without_nul(one) for one in value]
    if isinstance(value, dict):
        return {without_nul(name): without_nul(one) for name, one in value.items()}
    return value


if __name__ == "__main__":
    main()
