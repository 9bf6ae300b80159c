"""Open WebUI as far as its saved settings go: the part of its API that saves them, over real HTTP on this machine.

Its database is a file of SQLite in the form of 0.12 (open_webui/models/config.py). `tests/lab/test_saved_settings.py`
asks the real one the same.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# What the program imports of Open WebUI to make an account; here it writes into the same file.
_MODELS = {
    "models/auths.py": """
import os, sqlite3

def _write(query, *values):
    with sqlite3.connect(os.environ["DATA_DIR"] + "/webui.db") as database:
        database.execute(query, values)

class Auths:
    async def insert_new_auth(email, password, name, role="pending"):
        assert os.environ["ENABLE_DB_MIGRATIONS"] == "false"
        _write("insert into account values (?, ?, ?)", email, password, role)

    async def update_user_password_by_id(id, password):
        _write("update account set password = ? where email = ?", password, id)
""",
    "models/users.py": """
import os, sqlite3
from types import SimpleNamespace

def _all():
    with sqlite3.connect(os.environ["DATA_DIR"] + "/webui.db") as database:
        return database.execute("select email from account").fetchall()

class Users:
    async def get_user_by_email(email):
        return SimpleNamespace(id=email) if (email,) in _all() else None

    async def has_users():
        return bool(_all())
""",
    "utils/auth.py": """
print("a line of a log")

async def get_password_hash(password):
    return "hash of " + password
""",
}


class OpenWebUi:
    """Listens at `address` until `end`, with its database and its package in a folder.

    `asked` are the requests it got, `imported` the values that they brought. It calls `meanwhile` before it answers an
    export, and gives `statuses` by path instead of its answer. Each value that `spoils` names is saved otherwise.
    """

    def __init__(self, folder: Path, saved: Mapping[str, Any]) -> None:
        self.folder, self._path = folder, folder / "webui.db"
        with self.database() as database:
            database.execute("create table config (key text primary key, value json not null, updated_at bigint)")
            database.execute("create table account (email text, password text, role text)")
        self.put(saved)
        for name, text in _MODELS.items():
            path = folder / "open_webui" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.asked: list[str] = []
        self.imported: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None
        self.statuses: dict[str, int] = {}
        self.spoils: frozenset[str] = frozenset()
        self.is_older = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """It has no log."""

            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, body: dict[str, Any]) -> None:
                outer.asked.append(f"{self.command} {self.path}")
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, content = outer.answered(self.path, body, token)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def database(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path)

    def put(self, saved: Mapping[str, Any]) -> None:
        """What an admin saves."""
        with closing(self.database()) as database, database:
            for key, value in saved.items():
                database.execute("insert or replace into config values (?, ?, 0)", (key, json.dumps(value)))

    def saved(self) -> dict[str, Any]:
        with closing(self.database()) as database:
            rows = database.execute("select key, value from config")
            return {key: json.loads(value) if isinstance(value, str) else value for key, value in rows}

    def sign_up(self, email: str, *, known: str = "x", role: str = "admin") -> None:
        with closing(self.database()) as database, database:
            database.execute("insert into account values (?, ?, ?)", (email, f"hash of {known}", role))

    def accounts(self) -> dict[str, tuple[str, str]]:
        """Password and role by e-mail address."""
        with closing(self.database()) as database:
            return {email: (password, role) for email, password, role in database.execute("select * from account")}

    def answered(self, path: str, body: dict[str, Any], token: str) -> tuple[int, Any]:
        """Status and content, as routers/auths.py and routers/configs.py answer."""
        if path in self.statuses:
            return self.statuses[path], {"detail": "no"}
        if path.endswith("/signin"):
            password, role = self.accounts().get(body["email"], ("", ""))
            if password != f"hash of {body['password']}":
                return 400, {"detail": "wrong"}
            self.tokens.add("token-1")
            return 200, {"token": "token-1", "role": role}
        if token not in self.tokens:
            return 401, {"detail": "Not authenticated"}
        if path.endswith("/signout"):
            self.tokens.discard(token)
            return 200, {"status": True}
        if path.endswith("/export"):
            self.meanwhile()
        else:
            self.imported.append(body["config"])
            self.put({key: "spoilt" if key in self.spoils else value for key, value in body["config"].items()})
        return 200, {"ui": {"enable_signup": True}} if self.is_older else self.saved()
