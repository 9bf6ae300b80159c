"""What a teardown decides of one thing on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..engine import NotFound, Refused
from ..errors import HostError

# Each kind has a step of its own (steps.py). "drill" is a container of a drill or a restore that was killed, "memory" a
# file or folder that says what the stack had, "trace" what tells of deploys. "lease" is where the lease and the locks
# are: the run removes that itself, once the teardown has ended.
Kind = Literal[
    "container",
    "drill",
    "network",
    "volume",
    "image",
    "unit",
    "file",
    "tree",
    "memory",
    "folder",
    "packages",
    "docker file",
    "docker folder",
    "trace",
    "lease",
]
# "unknown": a question about it failed. It stays, and the teardown has not done all of its work.
State = Literal["goes", "stays", "unknown"]

LAST = frozenset({"memory", "folder", "packages", "docker file", "docker folder", "trace"})
"""The kinds that go only where all before them is gone: by these, the next teardown finds what this one has left."""

_WORDS = {"drill": "container", **{kind: kind for kind in ("container", "network", "volume", "image")}}


@dataclass(frozen=True)
class Item:
    """A thing on the host, by its name or path; whether it goes; and why it does not."""

    kind: Kind
    name: str
    state: State = "goes"
    why: str = ""

    @property
    def what(self) -> str:
        """The thing in words."""
        return f"{_WORDS[self.kind]} {self.name}" if self.kind in _WORDS else self.name

    def __str__(self) -> str:
        return f"goes    {self.what}" if self.state == "goes" else stays(self.what, self.why)


def stays(what: str, why: str) -> str:
    """The line on a thing that stays."""
    return f"stays   {what}: {why}"


def reason(error: HostError) -> str:
    """Why something failed, for the end of a line that says what was tried."""
    return error.message if isinstance(error, Refused) else f"{error.got}; {error.do}"


def unknown(kind: Kind, name: str, error: HostError) -> Item:
    """The item of a thing about which a question failed."""
    return Item(kind, name, "unknown", f"it could not be looked at: {reason(error)}")


def looked_at(kind: Kind, name: str, look: Callable[[], Item | None]) -> Iterator[Item]:
    """What `look` decides of one thing, an unknown one where a question fails; none where it is not there."""
    try:
        found = look()
    except NotFound:
        return
    except HostError as error:
        found = unknown(kind, name, error)
    if found:
        yield found
