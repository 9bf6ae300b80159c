"""People's rows on their way from SQLite, as a backup set has them, into the stack's own Postgres (to_postgres.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..engine import NewContainer, ProgramFailed
from ..errors import HostError
from ..files import Files
from . import postgres
from .helper import Helper
from .postgres import SERVES, Postgres
from .roles import OPEN_WEBUI, SUPERUSER, Roles

PROGRAM = Path(__file__).with_name("to_postgres.py")
# Open WebUI makes its tables where its configuration is first read (open_webui/config.py, 0.11, 0.12).
MAKE_TABLES = b"import open_webui.config\n"
_LAST_LINES = 15


class Move:
    """Fills `postgres` with the rows of a set, by the Open WebUI of `image`. `tell` gets what that says."""

    def __init__(self, files: Files, helper: Helper, serves: Postgres, image: str, tell: Callable[[str], None]) -> None:
        self._files, self._helper, self._postgres, self._image, self._tell = files, helper, serves, image, tell

    def fill(self, folder: str) -> None:
        """Ensure the database that serves has the rows of the set in `folder`, and no others.

        Its earlier contents are dropped: the caller knows that these are nobody's rows. Fails where a row can't be
        copied, and where another number of people, chats or files came along than the set has.
        """
        roles = self._postgres.begin_anew()
        self._run(roles, OPEN_WEBUI, folder, MAKE_TABLES, "to make its tables", last=_LAST_LINES)
        # It copies rows whose owner is gone, and only a superuser may (session_replication_role).
        self._run(roles, SUPERUSER, folder, PROGRAM.read_bytes(), "to copy all rows")
        roles.as_superuser(SERVES, "ANALYZE")
        self._compare(roles, folder)

    def _run(self, roles: Roles, user: str, folder: str, program: bytes, wish: str, *, last: int | None = None) -> None:
        """Run a program in Open WebUI's image; all that it says is told, or if it fails, the `last` lines of that.

        It gets to Postgres by its own loopback, where nobody is asked for a password (pg_hba.conf of the image).
        """
        new = NewContainer(
            self._image,
            entrypoint=["python3"],
            command=["-"],
            env={
                "DATA_DIR": "/tmp",  # noqa: S108 in the container
                "WEBUI_SECRET_KEY": "none",
                "DATABASE_URL": f"postgresql://{user}@127.0.0.1:5432/{SERVES}",
            },
            volumes=[f"{folder}:/set:ro"],
            network=f"container:{roles.container}",
        )
        try:
            done = self._helper.run(new, stdin=program)
        except ProgramFailed as error:
            lines = _lines(error.output, error.errors)
            for line in lines[-last if last else 0 :]:
                self._tell(line)
            got = lines[-1] if lines else f"exit code {error.exit_code}"
            raise HostError("Open WebUI", expected=wish, got=got, do="see the lines above") from None
        if not last:
            for line in _lines(done.stdout, done.stderr):
                self._tell(line)

    def _compare(self, roles: Roles, folder: str) -> None:
        path = f"{folder}/manifest.json"
        try:
            wanted: dict[str, Any] = json.loads(self._files.read(path) or b"")["open_webui"]
        except (ValueError, KeyError, TypeError):
            raise HostError(path, expected="what is in the set", got="something else", do="run this again") from None
        found = postgres.rows(roles)
        for table, name in postgres.COUNTED.items():
            if found[name] != wanted.get(name):
                raise HostError(
                    "Postgres",
                    expected=f"{wanted.get(name)} rows in {table}",
                    got=str(found[name]),
                    do="run this again",
                )


def _lines(*texts: bytes) -> list[str]:
    return [line for text in texts for line in text.decode("utf-8", "replace").splitlines()]
