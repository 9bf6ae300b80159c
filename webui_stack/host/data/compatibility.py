"""Whether what is wanted runs on people's data as they are: another version may have written them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ..containers import Containers
from ..engine import Engine, NotFound
from ..errors import HostError
from ..files import Files
from .sqlite import Schema

OPEN_WEBUI, VALKEY, POSTGRES = "open-webui", "redis-valkey", "open-webui-postgres"


@dataclass(frozen=True)
class Wanted:
    """A stack in `folder`: the image of each container that has data, and the volume with them, by container.

    `migrates` is for data that have just come out of a backup set: they may get a newer schema.
    """

    folder: str
    images: Mapping[str, str]
    volumes: Mapping[str, str]
    database: Literal["sqlite", "postgres", "external"]
    migrates: bool = False


class Reader(Protocol):
    """A Valkey that is asked about what is in its volume (`data.valkey.ValkeyData`)."""

    def refusal(self) -> str: ...


class Place(Protocol):
    """A Postgres that is asked about what is in its volume (`data.cluster.Cluster`)."""

    def check_place(self) -> None: ...
    def check_version(self) -> None: ...


class Compatibility:
    """Looks before anything is stopped, and changes nothing. Data of the very image that is wanted are not looked at.

    `valkey` and `postgres` are the wanted ones. `schema` tells how the migrations of the wanted Open WebUI stand to
    those of the data.
    """

    def __init__(
        self,
        files: Files,
        engine: Engine,
        containers: Containers,
        valkey: Reader,
        postgres: Place,
        schema: Callable[[], Schema],
        wanted: Wanted,
    ) -> None:
        self._files, self._engine, self._containers = files, engine, containers
        self._valkey, self._postgres, self._schema, self._wanted = valkey, postgres, schema, wanted

    def check(self) -> None:
        """Raise `HostError` where Valkey, Postgres or Open WebUI can't run on the data, or would change their schema.

        It raises as well where nobody could look: no answer is no permission.
        """
        schema = self._look()[1]
        if schema and schema.word == "older" and not self._wanted.migrates:
            do = "runbooks/upgrade.py rehearses that, and can go back"
            if self._containers.folder_of(OPEN_WEBUI) != self._wanted.folder:
                do = "set the version they are from, deploy, and change it with runbooks/upgrade.py"
            got = f"one that changes it ({schema.there} to {schema.wanted})"
            raise HostError("open_webui_image", expected="the schema the data have", got=got, do=do)

    def moves(self) -> list[str]:
        """The containers whose data an upgrade changes, maybe: it may need them as they are now to come back.

        These are Open WebUI where the schema gets newer, and Valkey and Postgres where another image takes over their
        data. Raises as `check` does, but for a schema that gets newer.
        """
        return self._look()[0]

    def _look(self) -> tuple[list[str], Schema | None]:
        """What moves, and how the schema stands where Open WebUI's image is another."""
        found = []
        if self._is_other(VALKEY):
            if said := self._valkey.refusal():
                raise HostError(
                    "valkey_image", expected="a Valkey that reads the data there are", got=said, do="set a newer one"
                )
            found.append(VALKEY)
        schema = None
        if not is_elsewhere(self._files, self._wanted.folder):
            if self._wanted.database == "postgres":
                self._postgres.check_place()
                if self._is_other(POSTGRES):
                    self._postgres.check_version()
                    found.append(POSTGRES)
            if self._is_other(OPEN_WEBUI):
                schema = self._compared()
        # What has no container was looked at, and nobody's image is replaced.
        moves = [name for name in found if self._containers.image_of(name)]
        return [*moves, *([OPEN_WEBUI] if schema and schema.word == "older" else [])], schema

    def _compared(self) -> Schema:
        """How the schema stands. Raises where the wanted Open WebUI does not know that of the data."""
        try:
            schema = self._schema()
        except HostError as error:
            if error.where != "schema":  # Docker or Postgres gave no answer
                raise
            raise HostError(
                "open_webui_image",
                expected="to compare its schema with the data's",
                got=error.got,
                do="look at the image",
            ) from error
        if schema.word == "newer":
            raise HostError(
                "open_webui_image",
                expected="an Open WebUI that knows the data's schema",
                got=f"an older one ({schema.there} to {schema.wanted})",
                do="set a newer one, or go back with runbooks/rollback.py",
            )
        return schema

    def _is_other(self, container: str) -> bool:
        """Whether the data of a container may be of another image than the one that is wanted for it."""
        wanted = self._engine.image(self._wanted.images[container]).id
        try:
            self._engine.volume(self._wanted.volumes[container])
        except NotFound:
            return False
        return self._containers.image_of(container) != wanted


def is_elsewhere(files: Files, folder: str) -> bool:
    """Whether the database of the stack in a folder is an external one, and so is the care for it."""
    lines = (files.read_text(f"{folder}/.env") or "").splitlines()
    found = [line for line in lines if line.startswith("DATABASE_URL='postgres")]
    return any("@postgres:5432/open-webui" not in line for line in found)
