"""The stack's own Postgres as a service of a swarm: each start gives its container another name."""

from __future__ import annotations

from collections.abc import Callable

from ..clock import Clock
from ..engine import Engine
from ..errors import HostError
from ..files import Files
from ..patience import Patience
from ..stack import SERVICE_LABEL
from . import postgres
from .cluster import Cluster
from .database_copy import DatabaseCopy
from .postgres import Postgres
from .roles import Roles

_PAUSE_S = 1.0


class SwarmPostgres:
    """Postgres of the stack in `folder`, as the task of `service` on this host. `cluster` has the image that is wanted.

    `tell` gets lines for the operator.
    """

    def __init__(
        self,
        engine: Engine,
        patience: Patience,
        files: Files,
        cluster: Cluster,
        folder: str,
        service: str,
        tell: Callable[[str], None],
    ) -> None:
        self._engine, self._patience, self._files, self._cluster = engine, patience, files, cluster
        self._folder, self._service, self._tell = folder, service, tell

    def check(self) -> None:
        """Raise `HostError` unless the image that is wanted is one for the data there are."""
        self._cluster.check_place()
        self._cluster.check_version()

    def own_password(self) -> None:
        """Ensure Open WebUI's user has the password of the secrets, and no more rights than it needs."""
        self._roles().set_password(postgres.password(self._files, self._folder))

    def heads(self) -> str:
        """The revisions the database is at, joined by commas; "" where there are none."""
        return postgres.heads(self._roles())

    def copy(self) -> DatabaseCopy:
        """The copy of the database for the way back."""
        return DatabaseCopy(self._roles())

    def _roles(self) -> Roles:
        found = healthy(self._engine, self._patience, self._service)
        if not found:
            raise _missing(self._service)
        return Roles(self._engine, found, self._tell)


class TaskPostgres(Postgres):
    """The same service, as whoever puts a dump's database in the place of the one that serves sees it.

    It is waited for: after a boot its task is not there at once. Nothing here starts or stops it.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        patience: Patience,
        cluster: Cluster,
        service: str,
        *,
        start_s: float,
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(engine, clock, cluster, server=service, start_s=start_s, tell=tell)
        self._patience = patience

    def answers(self) -> Roles:
        """Who to ask, once a task on this host is healthy. Fails where none is in `start_s` seconds."""
        limit_s = self._clock.monotonic() + self._start_s
        while not (found := healthy(self._engine, self._patience, self._server)):
            if self._clock.monotonic() >= limit_s:
                raise _missing(self._server)
            self._clock.sleep(_PAUSE_S)
        return Roles(self._engine, found, self._tell)

    def put_away(self) -> None:
        """Nothing: there is no Postgres but the service."""

    def heads(self) -> str:
        """Alembic's revisions that the database is at, joined by commas; "" where nobody has migrated it."""
        return postgres.heads(self.answers())


def _missing(service: str) -> HostError:
    return HostError(
        "postgres",
        expected="it to run healthy on this host",
        got="no task that does",
        do=f"look at `docker service ps {service}`",
    )


def healthy(engine: Engine, patience: Patience, service: str) -> str:
    """The container of a service's task on this host that is healthy; "" where Docker has none."""
    found = patience.ask(lambda: engine.containers(label=f"{SERVICE_LABEL}={service}"))
    return next((one.name for one in found if one.running and one.health == "healthy"), "")
