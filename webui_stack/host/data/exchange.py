"""The data of a backup set in the place of the stack's: Open WebUI's folder, Postgres's rows, Valkey's keys."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import BinaryIO, cast

from ..clock import Clock
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
    until that has returned. Each method can be cut off anywhere, and called again then, or `undo` instead.
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
        self._which = [name for name in BOTH if name in which]
        self._postgres = postgres if OPEN_WEBUI in self._which else None

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
        """Ensure the data of before the swap are in use, and no others beside them, whatever was cut off."""
        if self._postgres:
            self._postgres.undo()
        self._folders.undo(self._which)

    def forget(self) -> None:
        """Ensure only the data in use are there. Fails where they are half swapped."""
        self._folders.forget(self._which)  # first: it refuses what is half swapped
        if self._postgres:
            self._postgres.forget()
