"""Which PostgreSQL has written what is in a volume, and whether an image is one for it.

A tag or a digest does not tell; an image's own variables do (docker-library/postgres, Dockerfile-debian.template).
"""

from __future__ import annotations

import re

from ..engine import Engine, EngineError, NewContainer, NotFound, ProgramFailed
from ..errors import HostError
from .helper import Helper

DATA = "/var/lib/postgresql/data"
UNKNOWN = "?"
# Nothing where nobody has written any data.
LOOK = f'cd /cluster && {{ [ ! -e PG_VERSION ] || grep . PG_VERSION || echo "{UNKNOWN}"; }}'


class Cluster:
    """Postgres's data in `volume`, and the `image` that is to serve them."""

    def __init__(self, engine: Engine, helper: Helper, image: str, volume: str) -> None:
        self._engine, self._helper = engine, helper
        self.image, self.volume = image, volume

    def wrote(self) -> str:
        """The major version that has written the data; `UNKNOWN` where its file is empty, "" where nobody has any.

        Fails where nobody could look: then the volume may have people's data.
        """
        try:
            self._engine.volume(self.volume)
        except NotFound:
            return ""
        new = NewContainer(
            self.image,
            entrypoint=["sh"],
            command=["-c", LOOK],
            volumes=[f"{self.volume}:/cluster:ro"],
            network="none",
        )
        try:
            said = self._helper.run(new).stdout.decode("utf-8", "replace").strip()
        except ProgramFailed as error:
            raise self._unseen(f"exit code {error.exit_code}") from None
        if not re.fullmatch(r"[0-9.]*|\?", said):
            raise self._unseen("another answer")
        return said

    def check_place(self) -> None:
        """Fail for an image that keeps its data outside of the volume.

        The variable is not set for the container instead: that would restart every Postgres there is, for nothing. No
        data could follow to PostgreSQL 18 that way, because each major version has a format of its own.
        """
        place = self._variable("PGDATA")
        if place and not f"{place}/".startswith(f"{DATA}/"):
            raise HostError(
                "postgres_image",
                expected=f"an image with its data in {DATA}",
                got=f"{place} in {self.image}, as PostgreSQL 18 and newer have it, outside the volume",
                do="set an image of PostgreSQL 17 or older; nothing was stopped",
            )

    def check_version(self) -> None:
        """Fail for an image of another major version than the one that has written the data."""
        wrote = self.wrote()
        knows = self._variable("PG_MAJOR")
        if wrote and knows and wrote != knows:
            raise HostError(
                "postgres_image",
                expected=f"PostgreSQL {wrote}, which the data there are from",
                got=knows,
                do="to change it, see docs/how-to/postgres-major.md; nothing was stopped",
            )

    def _variable(self, name: str) -> str:
        try:
            return self._engine.image(self.image).env.get(name, "")
        except EngineError as error:
            raise HostError(
                "postgres_image",
                expected=f"Docker to say what {self.image} is",
                got=error.got,
                do="run this again",
            ) from error

    def _unseen(self, got: str) -> HostError:
        return HostError("Postgres", expected=f"to look into its volume {self.volume}", got=got, do="run this again")
