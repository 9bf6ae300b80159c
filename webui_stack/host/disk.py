"""Space and inodes of the file system that a folder is on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from .errors import HostError
from .system import System

# The unit of st_blocks (stat(2)).
_BLOCK = 512
NOWHERE = {"disk_kb": 0, "disk_free_kb": 0, "mount": "", "inodes": 0, "inodes_free": 0}
"""The room in a folder that is not there, or can't be read."""


# Every file system that is mounted, a line each; the fifth word is where (proc(5)).
_MOUNTS = "/proc/self/mountinfo"


def is_mount(system: System, folder: str) -> bool:
    """Whether a file system is mounted at a folder, also a part of one that is mounted elsewhere as well."""
    mounts = (line.split(" ")[4] for line in system.text(_MOUNTS).splitlines())
    return any(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), mount) == folder for mount in mounts)


def used_bytes(system: System, folders: Iterable[str]) -> int:
    """What all files below the folders take on their disks; one that goes meanwhile takes nothing.

    Folders that are not there count as empty. Links are not followed. Raises `HostError` where one can't be read.
    """
    total = 0
    todo = [str(system.path(folder)) for folder in folders]
    while todo:
        folder = todo.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            got = error.strerror or "an error"
            raise HostError(folder, expected="to see its size", got=got, do="run `du` on it on the host") from None
    return total


def room(system: System, folder: str) -> dict[str, Any]:
    """Sizes in kB, where the file system is mounted, and its inodes, as df(1) shows them.

    Some file systems have no fixed number of inodes, and say 0. Raises `HostError` where the folder can't be asked.
    """
    place = system.path(folder)
    try:
        found = os.statvfs(place)
    except OSError as error:
        got = error.strerror or "an error"
        raise HostError(folder, expected="a folder with a size", got=got, do="run `df` on it on the host") from None
    place = place.resolve()
    mount = next(str(one) for one in (place, *place.parents) if one.is_mount())
    return {
        "disk_kb": found.f_blocks * found.f_frsize // 1024,
        "disk_free_kb": found.f_bavail * found.f_frsize // 1024,
        "mount": mount,
        "inodes": found.f_files,
        "inodes_free": found.f_ffree,
    }
