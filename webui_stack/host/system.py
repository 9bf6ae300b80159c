"""The host's own programs and files, as far as they are only asked."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import HostError

_LIMIT_S = 30


class System:
    """Questions to the host. `root` is where its file system begins, for tests of what an odd host has."""

    def __init__(self, root: str = "/") -> None:
        self._root = Path(root)

    def path(self, path: str) -> Path:
        """Where a path of the host is."""
        return self._root / path.lstrip("/")

    def text(self, path: str) -> str:
        """What is in a file; "" where there is none. Raises `HostError` where it can't be read."""
        try:
            return self.path(path).read_text(encoding="utf-8", errors="surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            raise HostError(path, expected="a file to read", got=_why(error), do="mend it on the host") from None

    def output(self, *command: str) -> str:
        """What a program prints. Raises `HostError` where it is missing, fails, or takes longer than 30 s."""
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False)
        except FileNotFoundError:
            raise _failed(command, "no such program") from None
        except subprocess.TimeoutExpired:
            raise _failed(command, f"no answer in {_LIMIT_S} s") from None
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise _failed(command, f"exit status {done.returncode}: {' '.join(last)}".rstrip(": "))
        return done.stdout.decode("utf-8", "surrogateescape")


def _failed(command: Sequence[str], got: str) -> HostError:
    return HostError(command[0], expected=f"an answer to `{' '.join(command)}`", got=got, do="run it on the host")


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
