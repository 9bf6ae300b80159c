"""The stack's own Postgres: it answers, and a dump's database takes the place of the one that serves, or leaves it."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast

from .. import digits
from ..clock import Clock
from ..engine import Engine, NewContainer, NotFound, Refused
from ..errors import HostError
from ..files import Files
from .cluster import DATA, Cluster
from .helper import Helper
from .roles import SUPERUSER, Roles

ALONE = "open-webui-postgres-alone"
"""The container that serves the volume where the server's own is missing."""
SERVES, RESTORED, OLD, TRASH = "open-webui", "open-webui.restore", "open-webui.old", "open-webui.trash"
_BEFORE = "open-webui.before."
_STOP_S = 60
_PAUSE_S = 0.5
_ALL = "SELECT datname FROM pg_database WHERE datname LIKE 'open-webui%' ORDER BY datname"
CLOSE_SESSIONS = """\
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'open-webui%' AND pid <> pg_backend_pid();
"""
_MIGRATED = "SELECT to_regclass('public.alembic_version')"
_HEADS = "SELECT string_agg(version_num, ',') FROM public.alembic_version"
COUNTED = {"user": "users", "chat": "chats", "file": "files"}
"""The tables whose rows are counted, and what these are called in a set's manifest."""
# As the schema has them, or the newer one that Open WebUI has made of it at its start.
ROWS = "".join(f'SELECT count(*) FROM public."{table}";\n' for table in COUNTED)  # noqa: S608 names of ours


@dataclass(frozen=True)
class Rows:
    """What a dump has: the revisions of Alembic, joined by commas, and how many of each there are."""

    schema: str
    counts: dict[str, int]


class Postgres:
    """Postgres in the container `server`, made from the cluster's image; it gets `start_s` seconds to answer.

    Where the container is missing, one without network serves the volume until `put_away`. It does not outlive a
    reboot. There are never two that serve one volume. `tell` gets a line for the operator.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        cluster: Cluster,
        *,
        server: str = "open-webui-postgres",
        start_s: float,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._engine, self._clock, self._cluster = engine, clock, cluster
        self._server, self._start_s, self._tell = server, start_s, tell

    def answers(self) -> Roles:
        """Ensure Postgres answers; its container is started if need be. Returns who to ask."""
        self.put_away()
        container = self._started()
        await_answer(self._engine, self._clock, container, self._start_s)
        return Roles(self._engine, container, self._tell)

    def put_away(self) -> None:
        """Ensure no stand-alone container is there. Fails where that can't be seen."""
        with contextlib.suppress(NotFound):
            self._engine.stop(ALONE, timeout_s=_STOP_S)
            self._engine.remove(ALONE, force=True)

    def heads(self) -> str:
        """Alembic's revisions that the database is at, joined by commas; "" where nobody has migrated it."""
        if not self._cluster.wrote():
            return ""
        return heads(self.answers())

    def set_password(self, password: str) -> None:
        """Ensure Open WebUI's user has this password, and no more rights than it needs."""
        self.answers().set_password(password)

    def begin_anew(self) -> Roles:
        """Ensure the database that serves is new, with nothing in it. Returns who to ask."""
        roles = self.answers()
        roles.as_superuser(SUPERUSER, f'{_drop(SERVES)}CREATE DATABASE "{SERVES}";\n')
        roles.hand_over()
        return roles

    # --- A dump's database beside the one that serves

    def look(self) -> Literal["whole", "beside", "half", "swapped"]:
        """What is beside the database that serves, in the words of `volumes.State`."""
        there = self._databases(self.answers())
        if OLD in there:
            return "half" if RESTORED in there else "swapped"
        return "beside" if RESTORED in there else "whole"

    def wrote(self) -> bool:
        """Whether anybody has ever had data there."""
        return bool(self._cluster.wrote())

    def set_aside(self) -> None:
        """Ensure no earlier database is in the way of another one; it is kept until `forget`."""
        roles = self.answers()
        there = self._databases(roles)
        if OLD in there:
            numbers = [digits.whole(name[len(_BEFORE) :]) or 0 for name in there if name.startswith(_BEFORE)]
            name = f"{_BEFORE}{max(numbers, default=0) + 1}"
            roles.as_superuser(SUPERUSER, f'ALTER DATABASE "{OLD}" RENAME TO "{name}";\n')

    def fill_beside(self, dump: BinaryIO) -> None:
        """Ensure the dump's contents are in a database beside the one that serves, where it can take its place.

        Fails where an earlier database waits to be put back or forgotten. Any other database beside it is replaced.
        """
        roles = self.answers()
        if OLD in self._databases(roles):
            raise HostError(
                f"database {OLD}",
                expected="no earlier database beside the one in use",
                got="one that waits",
                do="put it back or forget it first",
            )
        roles.as_superuser(
            SUPERUSER,
            f'DROP DATABASE IF EXISTS "{RESTORED}" WITH (FORCE);\nCREATE DATABASE "{RESTORED}" TEMPLATE template0;\n',
        )
        roles.hand_over()
        roles.load(RESTORED, dump)
        roles.as_superuser(RESTORED, "ANALYZE")

    def swap(self) -> None:
        """Ensure the dump's database serves and the earlier one is kept. Nothing happens where that is so."""
        roles = self.answers()
        there = self._databases(roles)
        if RESTORED in there and OLD not in there:
            self._exchange(roles, OLD, RESTORED)
        elif RESTORED in there or OLD not in there:
            raise HostError(
                f"database {RESTORED}",
                expected="it alone beside the one in use",
                got=", ".join(there) or "none",
                do="put back or forget what is there, and run this again",
            )

    def undo(self) -> None:
        """Ensure the database from before the swap serves, and no other is beside it but what was set aside."""
        roles = self.answers()
        if OLD in self._databases(roles):
            # Of an undo that was cut off between its exchange and its end.
            roles.as_superuser(SUPERUSER, _drop(TRASH))
            self._exchange(roles, TRASH, OLD)
        self._forget(roles)

    def forget(self) -> None:
        """Ensure only the database that serves is there."""
        roles = self.answers()
        self._forget(roles, *(name for name in self._databases(roles) if name.startswith(_BEFORE)))

    # --- Below

    def _started(self) -> str:
        """The container that serves the volume, started."""
        try:
            one = self._engine.container(self._server)
        except NotFound:
            self._cluster.check_place()
            self._start_alone()
            return ALONE
        if one.status == "paused":
            self._engine.unpause(self._server)
        self._engine.start(self._server)
        return self._server

    def _start_alone(self) -> None:
        for other in self._engine.containers(volume=self._cluster.volume):
            if other.running:
                raise HostError(
                    f"volume {self._cluster.volume}",
                    expected="nobody to serve it",
                    got=f"the container {other.name}",
                    do=f"see what that is, stop it (docker stop {other.name}), and run this again",
                )
        # Only a new volume gets this password, and `hand_over` takes it away.
        env = {"POSTGRES_USER": SUPERUSER, "POSTGRES_DB": SERVES, "POSTGRES_PASSWORD": secrets.token_hex(24)}
        volumes = [f"{self._cluster.volume}:{DATA}"]
        self._engine.create(ALONE, NewContainer(self._cluster.image, env=env, volumes=volumes, network="none"))
        self._engine.start(ALONE)

    def _databases(self, roles: Roles) -> list[str]:
        return roles.as_superuser(SUPERUSER, _ALL).splitlines()

    def _exchange(self, roles: Roles, old: str, new: str) -> None:
        """The one that serves gets the name `old`, and `new` takes its place.

        Both names change or neither does, whatever happens (PostgreSQL renames in transactions).
        """
        roles.as_superuser(
            SUPERUSER,
            f"{CLOSE_SESSIONS}BEGIN;\n"
            f'ALTER DATABASE "{SERVES}" RENAME TO "{old}";\n'
            f'ALTER DATABASE "{new}" RENAME TO "{SERVES}";\n'
            "COMMIT;\n",
        )

    def _forget(self, roles: Roles, *more: str) -> None:
        roles.as_superuser(SUPERUSER, "".join(_drop(name) for name in (RESTORED, TRASH, OLD, *more)))


def await_answer(engine: Engine, clock: Clock, container: str, start_s: float) -> None:
    """Return once the Postgres of a container answers. Fails where it does not in `start_s` seconds, or has ended."""
    limit_s = clock.monotonic() + start_s
    while not _is_ready(engine, container):
        one = engine.container(container)
        if not one.running or clock.monotonic() >= limit_s:
            logs = engine.logs(container, tail=3).decode("utf-8", "replace").split("\n")
            got = " ".join(line.strip() for line in logs if line.strip()) or f"its container {one.status}"
            raise HostError("Postgres", expected="it to answer", got=got, do="fix that, and run this again")
        clock.sleep(_PAUSE_S)


def _is_ready(engine: Engine, container: str) -> bool:
    # By TCP: while it makes its database it answers on its socket only.
    command = ["pg_isready", "--quiet", "--host", "127.0.0.1", "--username", SUPERUSER]
    try:
        return engine.exec(container, command, accept=range(256)).exit_code == 0
    except Refused as error:
        if error.status != 409:
            raise
        return False  # it does not run, or not yet again: its state tells


def heads(roles: Roles) -> str:
    """Alembic's revisions that the database is at, joined by commas; "" where nobody has migrated it."""
    # A new volume has no user open-webui yet.
    if not roles.as_superuser(SERVES, _MIGRATED).strip():
        return ""
    return roles.as_open_webui(SERVES, _HEADS).strip()


def password(files: Files, folder: str) -> str:
    """The password of Open WebUI's role, from the secrets of the stack in `folder`. Fails where there is none."""
    path = f"{folder}/secrets/postgres-password"
    found = (files.read_text(path) or "").rstrip("\n")
    if not found:
        raise HostError(path, expected="a password", got="none", do="run deploy.py again")
    return found


def rows(roles: Roles) -> dict[str, int]:
    """How many of each there are in the database that serves."""
    said = roles.as_open_webui(SERVES, ROWS).split()
    found = [number for number in map(digits.whole, said) if number is not None]
    if len(found) != len(COUNTED):
        got = " ".join(said) or "nothing"
        raise HostError("Postgres", expected="to count people's rows", got=got, do="run this again")
    return dict(zip(COUNTED.values(), found))  # noqa: B905 Python 3.9 has no `strict`


class WithPassword:
    """Postgres of the stack in `folder`, by the password of its secrets (`services.Database`)."""

    def __init__(self, files: Files, folder: str, postgres: Postgres) -> None:
        self._files, self._folder, self._postgres = files, folder, postgres

    def put_away(self) -> None:
        """Ensure no Postgres of this program's own serves the volume."""
        self._postgres.put_away()

    def own_password(self) -> None:
        """Ensure Open WebUI's role has the password of the secrets. Fails where there is none."""
        self._postgres.set_password(password(self._files, self._folder))


def dump(engine: Engine, container: str, target: BinaryIO) -> None:
    """Write a dump of the database that serves, in pg_dump's custom format, to `target`. The container runs."""
    engine.exec(container, ["pg_dump", "--username", "open-webui", "--format", "custom", SERVES], stdout=target)


def count(helper: Helper, image: str, folder: str) -> Rows:
    """What is in postgres.dump in the folder of a set, read by an image of Postgres. A damaged dump is an error."""
    script = _Script()
    new = NewContainer(
        image,
        entrypoint=["pg_restore"],
        command=["--data-only", "--file", "-", "/set/postgres.dump"],
        volumes=[f"{folder}:/set:ro"],
        network="none",
    )
    helper.run(new, stdout=cast(BinaryIO, script))
    if not script.complete or not script.heads:
        raise HostError(
            "Postgres",
            expected="a whole dump of people's data",
            got="a part of one" if script.heads else "none with a schema",
            do="run this again",
        )
    return Rows(",".join(script.heads), {name: script.rows.get(table, 0) for table, name in COUNTED.items()})


class _Script:
    """Reads what pg_restore would have psql do, as it comes: a row is a line there, and none is kept."""

    _ENOUGH = 4096
    _TABLE = re.compile(rb'COPY public\.("?)([^" ]+)\1 ')

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.heads: list[str] = []
        self.complete = False
        self._table = ""
        self._begun = b""

    def write(self, data: bytes, /) -> int:
        *lines, rest = bytes(data).split(b"\n")
        for line in lines:
            self._read(self._begun + line)
            self._begun = b""
        if len(self._begun) < self._ENOUGH:  # of a row of megabytes nobody needs the rest
            self._begun += rest
        return len(data)

    def _read(self, line: bytes) -> None:
        if self._table:
            if line == b"\\.":
                self._table = ""
            elif self._table == "alembic_version":
                self.heads.append(line.decode("utf-8", "replace"))
            else:
                self.rows[self._table] = self.rows.get(self._table, 0) + 1
        elif found := self._TABLE.match(line):
            self._table = found[2].decode("utf-8", "replace")
        elif line.startswith(b"-- PostgreSQL database dump complete"):
            self.complete = True


def _drop(name: str) -> str:
    return f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE);\n'
