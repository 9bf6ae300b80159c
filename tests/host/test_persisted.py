"""What runs in Open WebUI's container: it names variables that the database overrules, and shows no value."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import ROOT
from webui_stack.host import persisted

PROGRAM = ROOT / "webui_stack/host/persisted.py"
# The form of Open WebUI 0.12 (open_webui/config.py).
CONFIG = """\
CONFIG_KEYS = {
    'auth.jwt_expiry': JWT_EXPIRES_IN,
    'webui.url': WEBUI_URL,
    'openai.api_base_urls': OPENAI_API_BASE_URLS,
    'ui.enable_signup': ENABLE_SIGNUP,
    'ui.banners': WEBUI_BANNERS,
    'oauth.client_id': OAUTH_CLIENT_ID,
    'ldap.server.host': LDAP_SERVER_HOST,
}
"""


@pytest.mark.parametrize(
    ("environment", "rows", "found"),
    [
        ({"JWT_EXPIRES_IN": "24h"}, {"auth.jwt_expiry": '"4w"'}, ["JWT_EXPIRES_IN"]),
        ({"JWT_EXPIRES_IN": "24h"}, {"auth.jwt_expiry": '"24h"'}, []),
        ({"JWT_EXPIRES_IN": ""}, {"auth.jwt_expiry": '"4w"'}, []),
        ({"JWT_EXPIRES_IN": "24h"}, {}, []),
        ({"ENABLE_SIGNUP": "False"}, {"ui.enable_signup": "false"}, []),
        ({"ENABLE_SIGNUP": "False"}, {"ui.enable_signup": "true"}, ["ENABLE_SIGNUP"]),
        ({"OPENAI_API_BASE_URL": "http://a"}, {"openai.api_base_urls": '["http://a"]'}, []),
        (
            {"OPENAI_API_BASE_URLS": "http://a;http://b"},
            {"openai.api_base_urls": '["http://a"]'},
            ["OPENAI_API_BASE_URLS"],
        ),
        ({"WEBUI_BANNERS": "x"}, {"ui.banners": "{}"}, []),
        ({"LDAP_SERVER_HOST": "a"}, {"ldap.server.host": '"localhost"'}, ["LDAP_SERVER_HOST"]),
        ({"OAUTH_CLIENT_ID": "a"}, {"oauth.client_id": '"b"'}, []),
        (
            {"OAUTH_CLIENT_ID": "a", "ENABLE_OAUTH_PERSISTENT_CONFIG": "True"},
            {"oauth.client_id": '"b"'},
            ["OAUTH_CLIENT_ID"],
        ),
        ({"PATH": "/bin"}, {"auth.jwt_expiry": '"4w"'}, []),
    ],
)
def test_a_variable_that_differs_from_what_is_saved_is_overruled(
    environment: dict[str, str], rows: dict[str, str], found: list[str]
) -> None:
    assert persisted.overruled(environment, CONFIG, rows) == found


def printed(folder: Path, **environment: str) -> dict[str, Any]:
    """What it prints, given to a Python on stdin as in the container, where Open WebUI is installed."""
    package = folder / "open_webui"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "config.py").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-"],
        input=PROGRAM.read_text(),
        env={"PYTHONPATH": str(folder), "DATA_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    answer: dict[str, Any] = json.loads(line)
    return answer


def test_the_rows_of_sqlite_are_compared_and_the_database_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "webui.db"
    with sqlite3.connect(path) as database:
        database.execute("create table config (key text, value text)")
        database.execute("insert into config values ('auth.jwt_expiry', '\"4w\"')")
    database.close()
    before = path.read_bytes()
    found = printed(tmp_path, JWT_EXPIRES_IN="24h")
    assert found == {"persisted": ["JWT_EXPIRES_IN"], "vectors": None, "failed": ""}
    assert path.read_bytes() == before


def test_a_database_of_another_kind_is_not_compared_and_no_failure(tmp_path: Path) -> None:
    found = printed(tmp_path, DATABASE_URL="mysql://user:sesame@db/x")
    assert found == {"persisted": None, "vectors": None, "failed": ""}


@pytest.mark.parametrize("url", ["", "postgresql://user:sesame@127.0.0.1:1/x"])
def test_a_database_that_fails_is_told_by_the_kind_of_the_error_alone(tmp_path: Path, url: str) -> None:
    """The words of psycopg2 have parts of the address in them, where it can't read that."""
    found = printed(tmp_path, **({"DATABASE_URL": url} if url else {}))
    assert found["persisted"] is None
    assert found["failed"].endswith("Error")
    assert "sesame" not in str(found)
