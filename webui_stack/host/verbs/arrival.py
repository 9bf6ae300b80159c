"""A backup set that the operator's machine sends: its begin, each part, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..arrivals import LOCK, Arrivals
from ..clock import Clock
from ..files import Files
from ..kernel import LINUX
from ..locks import WAIT_S, Locks
from ..protocol import Event
from ..system import System, require_root

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Part:
    """A file of a set, which the operator's side has put at `path`; root alone can write there.

    `sha256` is that of the part. With a `recipient` the file is encrypted to it, and `identity` is what decrypts it.
    """

    name: str
    part: str
    path: str
    sha256: str
    recipient: str = ""
    identity: str = field(default="", repr=False)


def begin(arguments: Mapping[str, Any], emit: Emit) -> bool:
    """Ensure the set `name` can arrive in `backup_dir`. Returns whether it is there, which changes nothing.

    `manifest` is its manifest's SHA-256. Fails where another set has its name, and where the folder can't be root's.
    """
    with _arrivals(arguments, emit) as arrivals:
        if arrivals.is_there(arguments["name"], arguments["manifest"]):
            return True
        arrivals.begin(arguments["name"])
        return False


def part(arguments: Mapping[str, Any], emit: Emit) -> None:
    """Ensure one more part of a set that arrives is in `backup_dir`, plain; the rest of `arguments` is `Part`.

    Fails where it is not as its SHA-256 says. The set has no name yet, whatever happens.
    """
    with _arrivals(arguments, emit) as arrivals:
        one = Part(**{name: value for name, value in arguments.items() if name != "backup_dir"})
        if one.recipient:
            arrivals.decrypt(one.name, one.part, one.sha256, one.path, one.recipient, one.identity)
        else:
            arrivals.place(one.name, one.part, one.sha256, one.path)


def end(arguments: Mapping[str, Any], emit: Emit) -> None:
    """Ensure the set `name`, all parts of which have arrived, has its name in `backup_dir`."""
    with _arrivals(arguments, emit) as arrivals:
        arrivals.end(arguments["name"])


def drop(arguments: Mapping[str, Any], emit: Emit) -> None:
    """Ensure nothing is left in `backup_dir` of the set `name`, which did not arrive whole."""
    with _arrivals(arguments, emit) as arrivals:
        arrivals.drop(arguments["name"])


@contextmanager
def _arrivals(arguments: Mapping[str, Any], emit: Emit) -> Iterator[Arrivals]:
    require_root()
    clock = Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).moment(LOCK, "arrival", limit_s=WAIT_S):
        yield Arrivals(System(), Files(), clock, emit, arguments["backup_dir"])
