"""Questions and orders to a swarm's managers, who give no answer for some seconds while they elect a leader."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .clock import Clock
from .engine import EngineError, Refused, Unavailable
from .errors import HostError

LIMIT_S = 60.0
_PAUSE_S = 1.0
# An error within Docker: the words of an election are not always known as such.
_WITHIN_DOCKER = 500
_Answer = TypeVar("_Answer")


class Patience:
    """Makes a call again while Docker gives no answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def ask(self, call: Callable[[], _Answer]) -> _Answer:
        """The answer to a call, made once a second for a minute: also a change may be made more than once.

        Docker's word that something is not there, and its no, are answers: they are raised at once. Raises `HostError`
        without an answer within the minute: that never means "there is none".
        """
        until_s = self._clock.monotonic() + LIMIT_S
        while True:
            try:
                return call()
            except (Unavailable, Refused) as error:
                if isinstance(error, Refused) and error.status != _WITHIN_DOCKER:
                    raise
                if self._clock.monotonic() >= until_s:
                    raise _silent(error) from error
            self._clock.sleep(_PAUSE_S)


def _silent(error: EngineError) -> HostError:
    return HostError(
        "Docker",
        expected="an answer within a minute",
        got=error.got,
        do="look at `docker node ls`, and run again",
    )
