"""A copy of the database that serves, in the same Postgres: for the way back of an upgrade in a swarm."""

from __future__ import annotations

from .postgres import CLOSE_SESSIONS, SERVES
from .roles import SUPERUSER, Roles

COPY, FAILED = "open-webui.before", "open-webui.failed"
_IS_THERE = "SELECT 1 FROM pg_database WHERE datname = 'open-webui.before'"


class DatabaseCopy:
    """The copy, in the Postgres of `roles`. Open WebUI does not run while a method changes something."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    def make(self) -> None:
        """Ensure there is a copy of the database as it is now; an earlier one is replaced."""
        self._roles.as_superuser(
            SUPERUSER,
            # Who is connected yet is on a host that was lost: its connections are closed by nobody.
            f'{CLOSE_SESSIONS}{_drop(COPY)}CREATE DATABASE "{COPY}" TEMPLATE "{SERVES}" OWNER "open-webui";\n',
        )

    def is_there(self) -> bool:
        """Whether there is a copy."""
        return bool(self._roles.as_superuser(SUPERUSER, _IS_THERE).strip())

    def put_back(self, aside: str = FAILED) -> None:
        """Ensure the copy serves; nothing happens where there is none. The database that served gets the name `aside`.

        As `FAILED` it is removed. Both names change or neither does (PostgreSQL renames in transactions), so this can
        be cut off and begun again.
        """
        swap = ""
        if self.is_there():
            swap = (
                f'{CLOSE_SESSIONS}{_drop(FAILED)}BEGIN;\nALTER DATABASE "{SERVES}" RENAME TO "{aside}";\n'
                f'ALTER DATABASE "{COPY}" RENAME TO "{SERVES}";\nCOMMIT;\n'
            )
        self._roles.as_superuser(SUPERUSER, swap + _drop(FAILED))

    def drop(self) -> None:
        """Ensure there is no copy."""
        self._roles.as_superuser(SUPERUSER, _drop(COPY))


def _drop(name: str) -> str:
    return f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE);\n'
