"""How far something long is, for who waits for it."""

from __future__ import annotations

from collections.abc import Callable

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
