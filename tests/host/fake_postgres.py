"""A Postgres of the Docker in memory: its databases and roles are in its volume, and outlive every crash.

It knows the statements of `host/data/`, and no others: psql ends with an error for them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from tests.host.fake_docker import Docker, Exit, Process, Program
from webui_stack.host.data import cluster, database_copy, postgres, roles

SERVER, IMAGE, VOLUME = "open-webui-postgres", "pgvector:pg17", "postgres-data"
HAND_OVER = roles._HAND_OVER.read_text()
# As pg_restore lists a dump: comments, then a line for each thing in it.
CONTENTS = """\
; Archive created at 2026-11-29 03:00:00 UTC
5; 2615 16385 SCHEMA - public open-webui
2; 3079 16400 EXTENSION - vector
3402; 0 0 COMMENT - EXTENSION vector
219; 1259 16800 TABLE public chat open-webui
"""
_STATEMENT = re.compile(r"\s*(.*?);\n", re.DOTALL)


def dump(rows: str) -> bytes:
    """A dump of a database with these rows."""
    return json.dumps({"rows": rows}).encode()


class Server:
    """What Postgres does in its containers. `broken` ones do not start to answer; `double` counts second servers."""

    def __init__(self, docker: Docker) -> None:
        self.docker = docker
        self.broken = False
        self.not_ready = 0  # so many questions until it answers
        self.double = 0
        self.loaded: list[tuple[str, str]] = []
        self.said: list[str] = []

    def program(self) -> Program:
        commands: dict[str, Callable[[Process], bytes]] = {
            "psql": self._psql,
            "pg_isready": self._is_ready,
            "pg_restore": self._restore,
            "pg_dump": lambda process: dump(self.state(process)["databases"]["open-webui"]),
            "tee": _tee,
            "sh": _look,
        }
        return Program(main=self._main, commands=commands)

    def state(self, process: Process | None = None) -> dict[str, Any]:
        return dict(json.loads(self._files(process)["state"]))

    def put(self, state: dict[str, Any], process: Process | None = None) -> None:
        self._files(process)["state"] = json.dumps(state).encode()

    @property
    def databases(self) -> dict[str, str]:
        return dict(self.state()["databases"])

    def _files(self, process: Process | None) -> MutableMapping[str, bytes]:
        return process.files(cluster.DATA) if process else self.docker.contents[VOLUME]

    def _main(self, process: Process) -> None:
        mine = process.container
        others = [one for one in self.docker.held.values() if one.runs and one is not mine and VOLUME in one.volumes]
        self.double += len(others)
        if self.broken:
            raise Exit(1, b"FATAL:  database files are incompatible\n")
        files = self._files(process)
        if "PG_VERSION" not in files:
            files["PG_VERSION"] = b"17\n"
            made = {"databases": {"open-webui": ""}, "owners": {}, "superusers": ["postgres"], "roles": ["postgres"]}
            files["state"] = json.dumps({**made, "password": mine.new.env["POSTGRES_PASSWORD"]}).encode()

    def _is_ready(self, _: Process) -> bytes:
        if self.not_ready:
            self.not_ready -= 1
            raise Exit(2)
        return b""

    # --- psql

    def _psql(self, process: Process) -> bytes:
        user, database = (process.command[process.command.index(name) + 1] for name in ("--username", "--dbname"))
        state = self.state(process)
        if user not in state["roles"]:
            raise Exit(2, f'psql: error: FATAL:  role "{user}" does not exist\n'.encode())
        if database not in state["databases"] and database != "postgres":
            raise Exit(2, f'psql: error: FATAL:  database "{database}" does not exist\n'.encode())
        text = process.stdin.decode()
        self.said.append(text)
        if text == HAND_OVER:
            self._hand_over(state, database)
            self.put(state, process)
            return b""
        out: list[str] = []
        saved: dict[str, Any] | None = None  # within a transaction
        for statement in _statements(text):
            if statement == "BEGIN":
                saved = json.loads(json.dumps(state))
            elif statement == "COMMIT":
                saved = None
            else:
                out += self._execute(state, user, database, statement)
            if saved is None:
                self.put(state, process)
        return "".join(f"{line}\n" for line in out).encode()

    def _execute(self, state: dict[str, Any], user: str, database: str, statement: str) -> list[str]:
        databases = state["databases"]
        superuser = user in state["superusers"]
        if statement == roles._IS_SUPERUSER:
            return ["t" if superuser else "f"]
        if statement in (roles._DATABASES, postgres._ALL):
            return sorted(name for name in databases if name.startswith("open-webui"))
        if statement == postgres._MIGRATED:
            return ["alembic_version" if databases[database] else ""]
        if found := re.fullmatch(r'SELECT count\(\*\) FROM public\."([a-z]+)"', statement):
            return [dict(pair.split("=") for pair in databases[database].split())[found[1]]]
        if statement == postgres._HEADS:
            return [f"head of {databases[database]}"]
        if statement == database_copy._IS_THERE:
            return ["1"] if database_copy.COPY in databases else []
        if statement == "ANALYZE" or statement.startswith("SELECT pg_terminate_backend"):
            return []
        if not superuser:
            raise Exit(3, b"ERROR:  permission denied\n")
        if statement == roles._CREATE_SUPERUSER:
            if "postgres" in state["roles"]:
                raise Exit(3, b'ERROR:  role "postgres" already exists\n')
            state["roles"].append("postgres")
            state["superusers"].append("postgres")
        elif found := re.fullmatch(r'DROP DATABASE IF EXISTS "([^"]+)"( WITH \(FORCE\))?', statement):
            databases.pop(found[1], None)
        elif found := re.fullmatch(r'CREATE DATABASE "([^"]+)"( TEMPLATE template0)?', statement):
            if found[1] in databases:
                raise Exit(3, b"ERROR:  database already exists\n")
            databases[found[1]] = ""
        elif found := re.fullmatch(r'CREATE DATABASE "([^"]+)" TEMPLATE "([^"]+)" OWNER "open-webui"', statement):
            if found[1] in databases:
                raise Exit(3, b"ERROR:  database already exists\n")
            databases[found[1]] = databases[found[2]]
        elif found := re.fullmatch(r'ALTER DATABASE "([^"]+)" RENAME TO "([^"]+)"', statement):
            if found[1] not in databases or found[2] in databases:
                raise Exit(3, b"ERROR:  database does not exist, or does already\n")
            databases[found[2]] = databases.pop(found[1])
        elif found := re.fullmatch(r"ALTER ROLE \"open-webui\" PASSWORD '(.*)'", statement, re.DOTALL):
            state["password"] = found[1].replace("''", "'")
        elif not statement.startswith("SET log_"):
            raise Exit(3, b"ERROR:  syntax error\n")
        return []

    def _hand_over(self, state: dict[str, Any], database: str) -> None:
        assert "postgres" in state["superusers"]
        state["owners"][database] = "open-webui"
        state["superusers"] = ["postgres"]
        state["roles"] = sorted({*state["roles"], "open-webui"})

    # --- pg_restore

    def _restore(self, process: Process) -> bytes:
        if process.command[1] == "--data-only":
            return process.read("/set/postgres.dump")
        try:
            rows = json.loads(process.stdin)["rows"]
        except ValueError:
            raise Exit(1, b"pg_restore: error: could not read from input file: end of file\n") from None
        if process.command[1] == "--list":
            return CONTENTS.encode()
        user, database = (process.command[process.command.index(name) + 1] for name in ("--username", "--dbname"))
        state = self.state(process)
        assert state["owners"][database] == "open-webui"
        self.loaded.append((user, process.read("/tmp/contents").decode()))
        if "TABLE" in self.loaded[-1][1]:
            state["databases"][database] = rows
            self.put(state, process)
        return b""


def _tee(process: Process) -> bytes:
    process.write(process.command[1], process.stdin)
    return process.stdin


def _look(process: Process) -> bytes:
    assert process.command == ("sh", "-c", cluster.LOOK)
    files = process.files("/cluster")
    return b"" if "PG_VERSION" not in files else (files["PG_VERSION"].strip() or b"?") + b"\n"


@functools.lru_cache(maxsize=1000)
def _statements(text: str) -> Sequence[str]:
    """As psql reads them: what is left at the end of its input is one as well, if its quotes are closed."""
    found = _STATEMENT.findall(text)
    rest = _STATEMENT.sub("", text).strip()
    if rest.count('"') % 2 or rest.count("'") % 2:
        raise Exit(3, b"ERROR:  unterminated quoted string\n")
    return [*found, *([rest.rstrip(";")] if rest else [])]
