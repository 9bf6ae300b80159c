"""The files that a deploy writes, as they are on the host."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping

from .system import System

_MODE = 0o644


def contents(system: System, paths: Iterable[str]) -> dict[str, str]:
    """The text of each file that is root's and 0644. Another kind, mode or owner, and the file counts as absent."""
    return {path: system.text(path) for path in paths if _as_put(system.place(path))}


def sha256(system: System, path: str) -> str:
    """The SHA-256 of a file; "" where there is none."""
    content = system.data(path)
    return "" if content is None else hashlib.sha256(content).hexdigest()


def newest_s(system: System, wanted: Mapping[str, str]) -> int | None:
    """When these files were last written, in whole seconds since 1970; None where one is not as wanted.

    `wanted` has the SHA-256 of each file by its path.
    """
    newest = 0
    for path, sha256 in wanted.items():
        file = system.place(path)
        if not _as_put(file) or hashlib.sha256(system.data(path) or b"").hexdigest() != sha256:
            return None
        newest = max(newest, int(os.stat(file).st_mtime))
    return newest


def _as_put(file: str) -> bool:
    try:
        found = os.lstat(file)
    except (FileNotFoundError, NotADirectoryError):
        return False
    # For tests, whose files are those of the user that runs them.
    owners = {(0, 0), (os.geteuid(), os.getegid())}
    return (
        stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == _MODE and (found.st_uid, found.st_gid) in owners
    )
