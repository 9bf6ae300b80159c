"""The data of a backup set in the place of the stack's: Open WebUI's folder, Postgres's rows, Valkey's keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import BinaryIO, cast

from ..clock import Clock
from ..errors import HostError
from ..files import Files
from ..progress import Progress, Read
from ..protocol import Event
from .postgres import Postgres
from .volumes import BOTH, OPEN_WEBUI, VALKEY, Volumes

_PARTS = {OPEN_WEBUI: "open-webui.tar", VALKEY: "valkey.rdb"}
_ROWS = "postgres.dump"


class Exchange:
    """Puts a set's data beside those in use, then in their place, and back.

    `which` of the folders is exchanged, of `volumes.BOTH`. Rows and people's files belong together: `postgres`, which
    is None without the stack's own, goes with Open WebUI's folder. Nobody writes these data from `swap` or `undo` on,
    until that has returned. Each method can be cut off anywhere, and called again then. Until `forget` begins, `undo`
    can be called instead.

    Parts are swapped and undone in one order, and forgotten in the other one. So what is there after a crash tells
    `forget` whether rows and files are of one set.
    """

    def __init__(
        self,
        files: Files,
        clock: Clock,
        folders: Volumes,
        postgres: Postgres | None,
        emit: Callable[[Event], None],
        which: Collection[str] = BOTH,
    ) -> None:
        self._files, self._clock, self._folders, self._emit = files, clock, folders, emit
        self._which = [name for name in folders.which if name in which]
        self._postgres = postgres if OPEN_WEBUI in which else None

    def holds(self) -> bool:
        """Whether people's data are there. Fails where nobody could look."""
        return any(state.data for state in self._folders.look().values()) or bool(
            self._postgres and self._postgres.wrote()
        )

    def set_aside(self) -> None:
        """Ensure no earlier data are in the way of others, and none are lost: they are kept until `forget`.

        A swap that nobody has accepted leaves such data. They may be the only ones of their kind.
        """
        self._folders.set_aside(self._which[::-1])
        if self._postgres:
            self._postgres.set_aside()

    def fill(self, folder: str) -> None:
        """Ensure the data of the set in `folder` are beside those in use, where they can take their place.

        Fails where earlier data wait to be put back or forgotten. The stack may serve meanwhile.
        """
        self._folders.make(self._which)
        if self._postgres:
            self._emit(Event(f"loading {_ROWS}"))
            with self._files.source(f"{folder}/{_ROWS}") as dump:
                self._postgres.fill_beside(dump)
        for name in self._which:
            path = f"{folder}/{_PARTS[name]}"
            found = self._files.stat(path)
            progress = Progress(f"unpacking {_PARTS[name]}", self._emit, self._clock)
            with self._files.source(path) as part:
                self._folders.fill(name, cast(BinaryIO, Read(part, found.size if found else 0, progress)))

    def swap(self) -> None:
        """Ensure the set's data are in use and the earlier ones beside them. A swap that was cut off goes on."""
        if self._postgres:
            self._postgres.swap()
        self._folders.swap(self._which)

    def undo(self) -> None:
        """Ensure the data from before the swap are in use, and no others beside them, whatever was cut off.

        Data that were set aside stay.
        """
        if self._postgres:
            self._postgres.undo()
        self._folders.undo(self._which)

    def forget(self) -> None:
        """Ensure only the data in use are there. Fails where they are half swapped, or rows and files of two sets."""
        found = self._look()
        if not _are_of_one_set(list(found.values())):
            raise HostError(
                "the data",
                expected="rows and files of one set",
                got=", ".join(f"{name} {word}" for name, word in found.items()),
                do="finish the swap that was cut off, or undo it",
            )
        self._folders.forget(self._which[::-1])
        if self._postgres:
            self._postgres.forget()

    def _look(self) -> dict[str, str]:
        """What each part has, in the order in which they are swapped."""
        rows = {_ROWS: str(self._postgres.look())} if self._postgres else {}
        folders = self._folders.look()
        return {**rows, **{name: folders[name].where for name in self._which}}


def _are_of_one_set(words: Sequence[str]) -> bool:
    """Whether no swap and no undo was cut off.

    A swap leaves parts "swapped" before some that are "beside" yet, an undo leaves them after some that are "whole".
    """
    swapped = [word == "swapped" for word in words]
    if "half" in words or (any(swapped) and "beside" in words):
        return False
    return swapped == sorted(swapped, reverse=True)
