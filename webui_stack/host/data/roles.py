"""The roles of the stack's own Postgres, and statements as one of them.

postgres is the superuser and has no password, so nobody logs in as it over the network. open-webui is the user of Open
WebUI: it owns its database and may do nothing else, for a superuser can run programs (COPY ... TO PROGRAM). On its
socket neither needs a password (pg_hba.conf of the official image).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..engine import Engine, ProgramFailed
from ..errors import HostError

SUPERUSER, OPEN_WEBUI = "postgres", "open-webui"
_HAND_OVER = Path(__file__).with_name("roles.sql")
_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
_CREATE_SUPERUSER = "CREATE ROLE postgres LOGIN SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS"
_DATABASES = (
    "SELECT datname FROM pg_database WHERE datname = 'open-webui' OR datname LIKE 'open-webui.%' ORDER BY datname"
)
# psql ends so where it gets no session (psql(1), Exit Status).
_NO_SESSION = 2
_SCHEMAS = re.compile("[0-9]+; [0-9]+ [0-9]+ SCHEMA - ")
_EXTENSIONS = re.compile("[0-9]+; [0-9]+ [0-9]+ (EXTENSION - |COMMENT - EXTENSION )")
_CONTENTS = "/tmp/contents"  # noqa: S108 in the container


class Roles:
    """The roles in the Postgres of `container`, which answers. `tell` gets a line for the operator."""

    def __init__(self, engine: Engine, container: str, tell: Callable[[str], None] = lambda _: None) -> None:
        self._engine, self._container, self._tell = engine, container, tell
        self._superuser = ""

    @property
    def container(self) -> str:
        """The container whose network their Postgres answers in."""
        return self._container

    def as_superuser(self, database: str, statements: str) -> str:
        """What statements print that run as the superuser.

        Not for reading tables, views or functions of open-webui: their code would run with the superuser's rights.
        """
        return self._ask(self._superuser or self._find_superuser(), database, statements, "-c search_path=pg_catalog")

    def as_open_webui(self, database: str, statements: str) -> str:
        """What statements print that run as Open WebUI's user."""
        return self._ask(OPEN_WEBUI, database, statements)

    def hand_over(self) -> None:
        """Ensure open-webui owns its databases, is no superuser, and has what only a superuser can make there.

        Where it was the superuser, it keeps its password, and its sessions are closed. Each database changes whole or
        not at all, the one that serves first; the next call does what a crash left undone.
        """
        if self._find_superuser() == OPEN_WEBUI:
            # Not by its own session: nobody can rename the role they are logged in as.
            try:
                self._ask(OPEN_WEBUI, SUPERUSER, _CREATE_SUPERUSER)
            except HostError as error:
                raise HostError(
                    "Postgres",
                    expected="to make its superuser, postgres",
                    got=error.got,
                    do="rename a role of that name that somebody made, and run this again",
                ) from None
        self._superuser = SUPERUSER
        for database in self.as_superuser(SUPERUSER, _DATABASES).splitlines():
            for line in self.as_superuser(database, _HAND_OVER.read_text()).splitlines():
                self._tell(line)

    def set_password(self, password: str) -> None:
        """Ensure Open WebUI's user has this password. Postgres's own words are in no error: they may repeat it."""
        self.hand_over()
        quoted = password.replace("'", "''")
        # Postgres would log the statement, and so the password.
        quiet = "SET log_min_error_statement = panic;\nSET log_statement = none;\n"
        statements = f"{quiet}ALTER ROLE \"open-webui\" PASSWORD '{quoted}';\n"
        try:
            self.as_superuser(SUPERUSER, statements)
        except ProgramFailed as error:
            got = f"exit code {error.exit_code}"
            raise HostError("Postgres", expected="to set a password", got=got, do="run this again") from None

    def load(self, database: str, dump: BinaryIO) -> None:
        """Load a dump into an empty database. `dump` is read several times, each from its first byte.

        Its contents come from open-webui, so it runs with that user's rights; only extensions need a superuser's.
        """
        listed = self._fed(["pg_restore", "--list"], dump).decode("utf-8", "surrogateescape").splitlines()
        # Comments begin with ";", and pg_restore skips them.
        schemas = [line for line in listed if _SCHEMAS.match(line)]
        extensions = [line for line in listed if _EXTENSIONS.match(line)]
        rest = [line for line in listed if not (_SCHEMAS.match(line) or _EXTENSIONS.match(line))]
        for contents, user in ((schemas, OPEN_WEBUI), (extensions, SUPERUSER), (rest, OPEN_WEBUI)):
            if contents:
                self._load(database, dump, contents, user)

    def _load(self, database: str, dump: BinaryIO, contents: list[str], user: str) -> None:
        text = "".join(f"{line}\n" for line in contents).encode("utf-8", "surrogateescape")
        self._engine.exec(self._container, ["tee", _CONTENTS], stdin=text)
        command = ["pg_restore", "--use-list", _CONTENTS, "--username", user, "--dbname", database]
        self._fed([*command, "--no-owner", "--exit-on-error"], dump)

    def _fed(self, command: list[str], dump: BinaryIO) -> bytes:
        dump.seek(0)
        return self._engine.exec(self._container, command, stdin=dump).stdout

    def _find_superuser(self) -> str:
        """Up to 2026-11-29 the image made open-webui the superuser; it is that until `hand_over`.

        Where postgres gets no session, or is no superuser, open-webui has to say that it is one.
        """
        try:
            if self._ask(SUPERUSER, SUPERUSER, _IS_SUPERUSER).strip() == "t":
                self._superuser = SUPERUSER
                return SUPERUSER
        except ProgramFailed as error:
            if error.exit_code != _NO_SESSION:
                raise
        if self._ask(OPEN_WEBUI, SUPERUSER, _IS_SUPERUSER).strip() == "t":
            return OPEN_WEBUI
        raise HostError(
            "Postgres", expected="postgres or open-webui to be a superuser", got="neither", do="see its roles by psql"
        )

    def _ask(self, user: str, database: str, statements: str, options: str = "") -> str:
        """psql runs what it has been given at the end of its input, so half of a statement has to be none.

        That holds for all here: where one is cut, a name or a text in quotes has no end.
        """
        command = [
            *("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"),
            *("--username", user, "--dbname", database),
        ]
        env = {"PGOPTIONS": f"-c client_min_messages=warning {options}".rstrip()}
        done = self._engine.exec(self._container, command, env=env, stdin=statements.encode())
        return done.stdout.decode("utf-8", "replace").rstrip("\n")
