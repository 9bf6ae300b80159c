"""The services of the compose project in a folder: brought up until healthy, in an order that serves people."""

from __future__ import annotations

import re
from typing import Protocol

from .compose import Compose
from .containers import PROCESSES, Containers, by_number
from .errors import HostError
from .files import Files
from .releases import database
from .stack import is_of_the_stack


class Database(Protocol):
    """Postgres, as far as bringing up services needs it."""

    def put_away(self) -> None:
        """Ensure no Postgres of this program's own serves the volume: two must never."""
        ...

    def own_password(self) -> None:
        """Ensure Open WebUI's role has the password of the secrets. Postgres is healthy."""
        ...


class Services:
    """What compose.yaml says is what comes up: of a release that comes back it may be something else than the settings.

    `postgres` is needed where compose.yaml has Postgres.
    """

    def __init__(
        self, files: Files, project: Compose, containers: Containers, postgres: Database | None = None
    ) -> None:
        self._files, self._project, self._containers, self._postgres = files, project, containers, postgres

    def up(self) -> None:
        """Ensure all services are as compose.yaml says and healthy. Raises `HostError` where one does not get so.

        Several replicas come one after another: the first one migrates the database, and while one is
        replaced the others serve. Left to itself, compose stops all that depend on a container before it replaces
        that one, and starts processes side by side (2.26).
        """
        if database(self._files, self._project.folder) == "postgres":
            if self._postgres is None:
                raise HostError("postgres", expected="somebody who cares for it", got="none", do="report this")
            self._postgres.put_away()
            self._project.up("postgres")
            self._postgres.own_password()
        definition = self._files.read_text(f"{self._project.folder}/compose.yaml") or ""
        if "  open-webui-2:" not in definition.splitlines():
            self._project.up()
            return
        services = self._project.services()
        for service in ["redis", "ollama", *self._processes(services), "proxy"]:
            if service in services:
                self._project.up(service)
        # What one of these depends on runs by now; compose starts it earlier where Open WebUI depends on it.
        if others := [one for one in services if not is_of_the_stack(one)]:
            self._project.up(*others)

    def restart_processes(self) -> None:
        """Ensure every replica has started after Valkey did, and is healthy: one after another.

        Releases before 0.12.0 lose background tasks for good when Valkey goes away (open-webui#25216, #27762).
        """
        processes = self._processes(self._project.services())
        if self._containers.in_order("redis-valkey", processes):
            return
        alone = len(processes) > 1
        for service in processes:
            self._project.restart(service, alone=alone)
            if alone:
                self._project.up(service)
        if not alone:
            self.up()

    def _processes(self, services: list[str]) -> list[str]:
        return sorted((one for one in services if re.fullmatch(PROCESSES, one)), key=by_number)
