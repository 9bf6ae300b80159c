"""How far something long is: said every few seconds, and counted by the files that are read or written meanwhile."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import IO

_PROGRESS_S = 5.0


def line(text: str, done: int, total: int) -> str:
    """How far something is, in bytes, as operators read it; the text alone where its size is not known."""
    return f"{text}: {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else text


class Progress:
    """Says every few seconds how far something long is; nothing about what is short."""

    def __init__(self, what: str, total: int, say: Callable[[str], None]) -> None:
        self._what, self._total, self._say = what, total, say
        self._done = 0
        self._said_at = time.monotonic()

    def add(self, size: int) -> None:
        """Count `size` more bytes."""
        self._done += size
        if time.monotonic() - self._said_at >= _PROGRESS_S:
            self._said_at = time.monotonic()
            self._say(line(self._what, self._done, self._total))


class Counted(io.RawIOBase):
    """A file that tells a `Progress` what is read from it or written to it."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file, self._progress = file, progress

    def read(self, size: int = -1) -> bytes:
        """As the file's own, counted."""
        data = self._file.read(size)
        self._progress.add(len(data))
        return data

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """As the file's own, counted."""
        self._progress.add(len(data))
        return self._file.write(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)
