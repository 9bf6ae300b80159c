"""Which variables Open WebUI's database overrules, and how its index of vectors was made.

This file runs in Open WebUI's own container, whose Python gets it on stdin (`open_webui.py`). It prints one line of
JSON: `persisted` has names of variables, null for a database that it does not know; `vectors` is null without an
index; `failed` names the kind of an error, and no more, as its text may hold a password.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEYS = re.compile("(?m)^    '([a-z0-9_.]+)': ([A-Z0-9_]+),$")
# The index, how far it was made after its table, whether it is as it was made then, and the rows of the table.
_VECTORS = """
    select method.amname, made.oid::bigint - rows.oid::bigint,
           pg_relation_filenode(made.oid) = made.oid, rows.reltuples::bigint
    from pg_index join pg_class made on made.oid = indexrelid join pg_class rows on rows.oid = indrelid
    join pg_am method on method.oid = made.relam
    where made.relname = 'idx_document_chunk_vector' and rows.relname = 'document_chunk'"""


def overruled(environment: Mapping[str, str], source: str, rows: Mapping[str, Any]) -> list[str]:
    """The variables whose values differ from those that are saved.

    Open WebUI 0.12 keeps one row per setting (models/config.py), written from the variables at the first start. Its
    config.py, which is `source`, lists which setting comes from which variable.
    """
    keys = {name: key for key, name in _KEYS.findall(source)}
    found = []
    for name, text in environment.items():
        # OPENAI_API_BASE_URL is the list of one that OPENAI_API_BASE_URLS would be.
        key = keys.get(name) or keys.get(f"{name}S", "")
        if not text or key not in rows:
            continue
        # Rows of an earlier release, or of this switch, that nobody reads (models/config.py).
        if key.startswith("oauth.") and environment.get("ENABLE_OAUTH_PERSISTENT_CONFIG", "").lower() != "true":
            continue
        value = json.loads(rows[key])
        same = value == text.split(";") if isinstance(value, list) else str(value).lower() == text.lower()
        if not (same or isinstance(value, dict)):
            found.append(name)
    return found


def saved(environment: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The rows of the database by key; None for a database of another kind."""
    url = environment.get("DATABASE_URL", "")
    if url.startswith("postgres"):
        return dict(_asked(url, "select key, value::text from config"))
    if url:
        return None
    path = f"file:{environment.get('DATA_DIR', '/app/backend/data')}/webui.db?mode=ro"
    return dict(sqlite3.connect(path, uri=True).execute("select key, value from config"))


def vectors(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The index of document search in Postgres; None without one."""
    url = environment.get("PGVECTOR_DB_URL") or environment.get("DATABASE_URL", "")
    if environment.get("VECTOR_DB") != "pgvector" or not url.startswith("postgres"):
        return None
    found = _asked(url, _VECTORS)
    return dict(zip(("method", "distance", "original", "rows"), found[-1])) if found else None  # noqa: B905 as 3.9


def _asked(url: str, query: str) -> list[Any]:
    psycopg2 = importlib.import_module("psycopg2")  # of Open WebUI's image
    with psycopg2.connect(url, connect_timeout=5) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def _source() -> str:
    spec = importlib.util.find_spec("open_webui")
    folders = spec.submodule_search_locations if spec else None
    return (Path(next(iter(folders or ()))) / "config.py").read_text()


def main() -> None:
    """Print the line."""
    found: dict[str, Any] = {"persisted": None, "vectors": None, "failed": ""}
    try:
        rows = saved(os.environ)
        found["persisted"] = None if rows is None else overruled(os.environ, _source(), rows)
        found["vectors"] = vectors(os.environ)
    except Exception as error:
        found["failed"] = type(error).__name__
    print(json.dumps(found))


if __name__ == "__main__":
    main()
