"""What a verb needs to work on one stack of this host, put together: each part knows those that it asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

from . import dockerd, recovery
from .by_hand import ByHand
from .clock import Clock
from .compose import Compose
from .containers import Containers
from .data.cluster import Cluster
from .data.exchange import Exchange
from .data.helper import Helper
from .data.postgres import Postgres, WithPassword
from .data.sqlite import Dataset, Schema
from .data.valkey import ValkeyData
from .data.volumes import Volumes
from .engine import Engine
from .files import Files
from .journal import Journal, Table
from .recovery import Recovery
from .releases import Releases
from .run_log import RunLog
from .services import Services
from .system import System


@dataclass(frozen=True)
class Stack:
    """The stack on this host: its folder, and where its data and their sets are.

    `wait_s` is how long services may take until they are healthy; `releases_kept` is how many earlier releases stay.
    `left_out` are folders below Open WebUI's data that no set has.
    """

    folder: str
    database: Literal["sqlite", "postgres", "external"]
    open_webui_volume: str
    valkey_volume: str
    postgres_volume: str
    postgres_image: str
    wait_s: int
    releases_kept: int
    backup_dir: str = ""
    left_out: Sequence[str] = ()

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Stack:
        """The stack that an entry of the journal names. Another version may have noted more."""
        return cls(**{one.name: found[one.name] for one in fields(cls) if one.name in found})


class Assembly:
    """The parts for the stack `of`, each made when it is first asked for.

    The caller holds the work lock, and compose gets its `descriptors`. Tests give parts of their own: `system`,
    `files`, `clock`, `engine` and `project`.
    """

    def __init__(
        self,
        of: Stack,
        log: RunLog,
        descriptors: Sequence[int] = (),
        *,
        table: Table,
        system: System | None = None,
        files: Files | None = None,
        clock: Clock | None = None,
        engine: Engine | None = None,
        project: Compose | None = None,
    ) -> None:
        self.of, self.log, self.descriptors = of, log, descriptors
        self.system = system or System()
        self.files = files or Files()
        self.clock = clock or Clock()
        self.engine = engine or dockerd.engine(self.system)
        self.project = project or Compose(
            self.system, self.files, of.folder, wait_s=of.wait_s, descriptors=descriptors, tell=log.compose
        )
        self._table = table

    @cached_property
    def containers(self) -> Containers:
        return Containers(self.engine, self.clock)

    @cached_property
    def helper(self) -> Helper:
        return Helper(self.engine, self.clock)

    @cached_property
    def journal(self) -> Journal:
        return Journal(
            self.files,
            self.of.folder,
            self._table,
            self.clock,
            Recovery(self.system, self.files, recovery.STACK, {"stack_dir": self.of.folder}),
        )

    @cached_property
    def releases(self) -> Releases:
        return Releases(self.files, self.engine, self.clock, self.of.folder, kept=self.of.releases_kept)

    @cached_property
    def by_hand(self) -> ByHand:
        return ByHand(self.files, self.engine, self.containers, self.of.folder, self.log.say)

    @cached_property
    def services(self) -> Services:
        return Services(
            self.files, self.project, self.containers, WithPassword(self.files, self.of.folder, self.postgres)
        )

    @cached_property
    def cluster(self) -> Cluster:
        return self.cluster_of(self.of.postgres_image)

    @cached_property
    def postgres(self) -> Postgres:
        return self.postgres_of(self.of.postgres_image)

    def cluster_of(self, image: str) -> Cluster:
        """Postgres's data, as an image of Postgres sees them."""
        return Cluster(self.engine, self.helper, image, self.of.postgres_volume)

    def postgres_of(self, image: str) -> Postgres:
        """The stack's Postgres; where its container is missing, the image serves."""
        return Postgres(self.engine, self.clock, self.cluster_of(image), start_s=self.of.wait_s, tell=self.log.say)

    def valkey(self, image: str) -> ValkeyData:
        """Valkey's data, as an image of Valkey sees them."""
        return ValkeyData(self.engine, self.files, self.clock, self.helper, image, self.of.valkey_volume)

    def dataset(self, image: str) -> Dataset:
        """Open WebUI's data, as an image of it sees them."""
        return Dataset(self.helper, image)

    def schema(self, image: str) -> Schema:
        """How the migrations of an Open WebUI stand to the data. No Postgres of this program's own serves then."""
        if self.of.database != "postgres":
            return self.dataset(image).schema(self.of.open_webui_volume)
        heads = self.postgres.heads()
        self.postgres.put_away()
        return self.dataset(image).schema_of(heads)

    def exchange(self, image: str, which: Sequence[str]) -> Exchange:
        """A set's data in the place of those in use; `image` is an Open WebUI's, `which` as `data.volumes` has them."""
        of = self.of
        folders = Volumes(self.helper, image, of.open_webui_volume, of.valkey_volume, of.left_out)
        postgres = self.postgres if of.database == "postgres" else None
        return Exchange(self.files, self.clock, folders, postgres, self.log.emit, which)
