"""Questions of a look that goes on when one of them fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .engine import NotFound
from .errors import HostError

_Answer = TypeVar("_Answer")


class Unread:
    """Keeps what could not be read; `lines` has an error in four parts for each question that failed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def answer(self, ask: Callable[[], _Answer], otherwise: _Answer) -> _Answer:
        """The answer; `otherwise` where Docker says that the object is not there, and where the question fails."""
        try:
            return ask()
        except NotFound:
            return otherwise
        except HostError as error:
            self.lines.append(str(error))
            return otherwise
