"""What an operator asks of a stack's releases: which there are, and what other images would change of people's data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..assembly import Assembly, Stack
from ..clock import Clock
from ..data.compatibility import POSTGRES, VALKEY, is_elsewhere
from ..data.sqlite import Schema
from ..errors import HostError
from ..files import Files
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..run_log import RunLog
from ..system import require_root
from . import recover

Emit = Callable[[Event], None]


def look(arguments: Mapping[str, Any], emit: Emit) -> list[str]:
    """A line for each release, the one in force first; `arguments` has the `Stack` as `stack`."""
    with _stack(arguments, emit) as made:
        return lines(made)


def compare(arguments: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    """How the schema stands to that of the Open WebUI `image`, and whether Valkey and Postgres get another image.

    `arguments` has the `Stack` as `stack`, and `image` and `valkey_image`. The word is "unknown" where others care for
    the database.
    """
    with _stack(arguments, emit) as made:
        return compared(made, arguments["image"], arguments["valkey_image"])


@contextmanager
def _stack(arguments: Mapping[str, Any], emit: Emit) -> Iterator[Assembly]:
    require_root()
    clock = Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work("releases") as held:
        of = Stack(**arguments["stack"])
        log = RunLog(Files(), "", emit)
        yield Assembly(of, log, held.descriptors, table=recover.TABLE, clock=clock)


def lines(made: Assembly) -> list[str]:
    """As `look`. Raises where no release is in force, or it is damaged."""
    check(made)
    return [str(one) for one in made.releases.listed()]


def compared(made: Assembly, image: str, valkey_image: str) -> dict[str, Any]:
    """As `compare`."""
    check(made)
    if is_elsewhere(made.files, made.of.folder):
        return {"schema": "unknown", "there": "", "wanted": "", "valkey": False, "postgres": False}
    schema = schema_of(made, image)
    others = {VALKEY: valkey_image}
    if made.of.database == "postgres":
        others[POSTGRES] = made.of.postgres_image
    changes = {name: made.containers.image_of(name) != made.engine.image(one).id for name, one in others.items()}
    return {
        "schema": schema.word,
        "there": schema.there,
        "wanted": schema.wanted,
        "valkey": changes[VALKEY],
        "postgres": changes.get(POSTGRES, False),
    }


def check(made: Assembly) -> None:
    """Fail where no release is in force, or its files are damaged."""
    made.releases.recover()
    if not made.releases.in_force.is_there():
        raise HostError("rollback", expected="a deployed stack", got="none", do="run deploy.py first")
    made.releases.in_force.check()


def schema_of(made: Assembly, image: str) -> Schema:
    """How the schema of the data stands to an image's. Fails in the words of a rollback where that gives no answer."""
    try:
        return made.schema(image)
    except HostError as error:
        if error.where != "schema":  # Docker or Postgres gave no answer
            raise
        raise refused("to compare the schema", error.got) from error


def refused(expected: str, got: str) -> HostError:
    """The error of a rollback that has changed nothing."""
    return HostError("rollback", expected=expected, got=got, do="nothing was changed")
