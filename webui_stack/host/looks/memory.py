"""What the monitor keeps from one look to the next, as long as its process runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..clock import Clock
from ..errors import HostError

_Answer = TypeVar("_Answer")
_HOUR_S = 3600.0
_ERROR_S = 600.0


@dataclass(frozen=True)
class Restarts:
    """Whether a container was started again since the last look, by others than a verb; and how often in an hour."""

    is_new: bool
    in_an_hour: int


class Memory:
    """Answers that are good for a while, counters, and starts of containers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.began_s = clock.now()
        self.looked_s: float | None = None  # when the last look began
        self._verb_s = -float("inf")
        self._answers: dict[str, tuple[float, Any]] = {}
        self._counters: dict[str, tuple[float, float | None]] = {}
        self._starts: dict[str, tuple[str, str, list[float]]] = {}

    def note_verb(self) -> None:
        """Note that a verb is at work, or was since the last look: what happened until now is its doing."""
        self._verb_s = self._clock.monotonic()

    def is_since_verb(self, age_s: float) -> bool:
        """Whether something of this age has happened since a verb was at work last."""
        return self._clock.monotonic() - age_s > self._verb_s

    def kept(self, what: str, for_s: float, ask: Callable[[], _Answer]) -> _Answer:
        """The answer to a question that is asked once in `for_s` seconds; after an error, once in ten minutes."""
        at_s, answer = self._answers.get(what, (0.0, None))
        good_s = min(for_s, _ERROR_S) if isinstance(answer, HostError) else for_s
        if what not in self._answers or self._clock.monotonic() - at_s >= good_s:
            try:
                answer = ask()
            except HostError as error:
                answer = error
            self._answers[what] = (self._clock.monotonic(), answer)
        if isinstance(answer, HostError):
            raise answer
        known: _Answer = answer
        return known

    def since_rise_s(self, counter: str, value: float) -> float | None:
        """Seconds since a counter was last seen to rise; None where it never was. A count that began again is lower."""
        before, rose_s = self._counters.get(counter, (value, None))
        now_s = self._clock.monotonic()
        if value > before:
            rose_s = now_s
        self._counters[counter] = (value, rose_s)
        return None if rose_s is None else now_s - rose_s

    def restarts(self, name: str, id_: str, started_at: str, *, by_a_verb: bool) -> Restarts:
        """How often a container was started again. Another container of this name was made, and is no restart."""
        before_id, before_at, moments = self._starts.get(name, (id_, started_at, []))
        now_s = self._clock.monotonic()
        is_new = (before_id, by_a_verb) == (id_, False) and before_at != started_at
        moments = [*moments, now_s] if is_new else moments
        moments = [one for one in moments if now_s - one < _HOUR_S] if before_id == id_ else []
        self._starts[name] = (id_, started_at, moments)
        return Restarts(is_new, len(moments))
