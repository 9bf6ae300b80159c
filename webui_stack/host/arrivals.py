"""Backup sets on their way to this host: a set gets its name once all of it is here and on the disk."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, BinaryIO

from .backup_sets import MANIFEST, NAME, BackupSets
from .clock import Clock
from .errors import HostError
from .files import Files
from .progress import Progress, Read
from .protocol import Event
from .system import System

LOCK = "arrivals"
"""The lock for one arrival at a time. Backups go on beside it: a set may take hours to arrive."""
_PART = re.compile(rf"\.{NAME.pattern}\.part")
_CHUNK = 1 << 20
# A part of a set is as large as people's files.
_LIMIT_S = 6 * 3600.0


class Arrivals:
    """What arrives in the folder of sets. The caller holds `LOCK`."""

    def __init__(self, system: System, files: Files, clock: Clock, emit: Callable[[Event], None], folder: str) -> None:
        self._system, self._files, self._clock, self._emit = system, files, clock, emit
        self._folder = folder

    def begin(self, name: str) -> str:
        """Ensure there is an empty folder for the set, and nothing is left of arrivals that were killed.

        Returns its path. Fails for a folder of sets that can't be root's alone.
        """
        BackupSets(self._files, self._clock, self._folder).prepare()
        for each in self._files.listdir(self._folder) or []:
            if _PART.fullmatch(each):
                self._files.remove_tree(f"{self._folder}/{each}")
        self._files.make_folder(self.path(name))
        return self.path(name)

    def path(self, name: str) -> str:
        """Where the set is until it has its name."""
        return f"{self._folder}/.{name}.part"

    def is_there(self, name: str, manifest: str) -> bool:
        """Whether the set is on this host, by its manifest's SHA-256. Fails where another set has its name."""
        target = f"{self._folder}/{name}"
        if not self._files.exists(target):
            return False
        if self._files.sha256(f"{target}/{MANIFEST}") != manifest:
            do = "move it away on the host"
            raise HostError(target, expected="no other set of that name", got="one", do=do)
        return True

    def place(self, name: str, part: str, sha256: str, source: str) -> None:
        """Ensure the part of the set is the file `source`. Fails where that has another SHA-256."""
        size = self._size(source)
        with self._files.source(source) as content, self._writing(name, part) as target:
            read = Read(content, size, Progress(f"putting {part} in place", self._emit, self._clock))
            while data := read.read(_CHUNK):
                target.write(data)
        if target.sha256 != sha256:
            raise HostError(part, expected=f"SHA-256 {sha256} on the host", got=target.sha256, do="run it again")

    def decrypt(self, name: str, part: str, sha256: str, source: str, recipient: str, identity: str) -> None:
        """Ensure the part of the set is what age makes of the file `source`. `identity` gets no name on a disk.

        `sha256` is that of what was encrypted. Fails for another identity, and for any other file.
        """
        where, size = f"{part}.age", self._size(source)
        progress = Progress(f"decrypting {where}", self._emit, self._clock)
        with self._writing(name, part) as target:

            def take(data: bytes) -> None:
                target.write(data)
                progress.at(target.size, size)

            path = str(self._system.path(source))
            command = ("age", "--decrypt", "--identity", "-", path)
            ended = self._system.pour(*command, stdin=f"{identity}\n".encode(), into=take, limit_s=_LIMIT_S)
        if ended.status:
            said = _hidden(ended.errors.strip() or f"exit status {ended.status}", identity).splitlines()[0]
            do = f"it is encrypted to {recipient}; nothing was changed"
            raise HostError(where, expected="restore_age_identity to decrypt it", got=said, do=do)
        if target.sha256 != sha256:
            expected = f"SHA-256 {sha256} of what was encrypted"
            raise HostError(where, expected=expected, got=target.sha256, do="nothing was changed")

    def end(self, name: str) -> None:
        """Ensure the set has its name. Fails where a part is missing that its manifest lists."""
        folder = self.path(name)
        parts = json.loads(self._files.read(f"{folder}/{MANIFEST}") or b"{}").get("parts", {})
        there = {each: self._size(f"{folder}/{each}") for each in self._files.listdir(folder) or []}
        there.pop(MANIFEST, None)
        if not parts or there != {part: one["size"] for part, one in parts.items()}:
            do = "run it again"
            raise HostError(name, expected="all parts that its manifest lists", got="others", do=do)
        self.name(name, folder)

    def name(self, name: str, folder: str) -> None:
        """Ensure the set in `folder`, which is what arrived or below it, has its name; on the disk first."""
        self._files.sync_tree(folder)
        self._files.rename(folder, f"{self._folder}/{name}")
        self.drop(name)

    def drop(self, name: str) -> None:
        """Ensure nothing is left of what arrived without its name."""
        self._files.remove_tree(self.path(name))

    # --- Below

    def _size(self, path: str) -> int:
        found = self._files.stat(path)
        return found.size if found else 0

    def _writing(self, name: str, part: str) -> _Writing:
        return _Writing(self._files.stream(f"{self.path(name)}/{part}"))


class _Writing:
    """A part that is written: its size and SHA-256 so far."""

    def __init__(self, opened: Any) -> None:
        self._opened, self._digest, self.size = opened, hashlib.sha256(), 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def __enter__(self) -> _Writing:
        self._file: BinaryIO = self._opened.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)


def _hidden(text: str, identity: str) -> str:
    for line in identity.split():
        if line.startswith("AGE-"):
            text = text.replace(line, "(hidden)")
    return text
