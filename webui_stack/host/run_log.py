"""What a run of a verb says: to the operator at once, and to a file at its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from .errors import HostError
from .files import Files
from .protocol import Event

_PROGRESS = ("Container ", "Network ", "Volume ")


class RunLog:
    """The lines of one run. Compose's progress is for the file alone."""

    def __init__(self, files: Files, path: str, emit: Callable[[Event], None]) -> None:
        self._files, self._path, self._emit = files, path, emit
        self._lines: list[str] = []

    def emit(self, event: Event) -> None:
        """Say it."""
        self.note(event.text)
        self._emit(event)

    def say(self, text: str) -> None:
        """Say a line."""
        self.emit(Event(text))

    def compose(self, line: str) -> None:
        """Note a line of compose; say it where it is no progress."""
        if line.strip().startswith(_PROGRESS):
            self.note(line)
        elif line.strip():
            self.say(line)

    def note(self, line: str) -> None:
        """Keep a line for the file."""
        self._lines.append(line)

    def write(self) -> None:
        """Ensure the file has all lines. A full disk loses them, and does not make a good deploy a bad one."""
        with suppress(HostError):
            self._files.write(self._path, "".join(f"{line}\n" for line in self._lines))
