"""How far something long is, for who waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from .clock import Clock
from .protocol import Event

# An operator reads a line every few seconds; and each one stays in the worker's record, which is in memory.
PAUSE_S = 5.0


class Progress:
    """Says every few seconds how far something long is; nothing about what is short."""

    def __init__(self, text: str, emit: Callable[[Event], None], clock: Clock) -> None:
        self._text, self._emit, self._clock = text, emit, clock
        self._said_s = clock.monotonic()

    def at(self, done: int, total: int) -> None:
        """Say that so many bytes of all are done, if it is time."""
        now_s = self._clock.monotonic()
        if now_s - self._said_s >= PAUSE_S:
            self._said_s = now_s
            self._emit(Event(self._text, done=done, total=total))


class Read:
    """A file that is read from its begin, and tells how far that is."""

    def __init__(self, file: BinaryIO, total: int, progress: Progress) -> None:
        self._file, self._total, self._progress = file, total, progress
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._done += len(data)
        self._progress.at(self._done, self._total)
        return data
