"""The folder of backup sets: a set gets its name when it is whole and on the disk, and old ones are removed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from . import disk
from .clock import Clock, utc
from .errors import HostError
from .files import CannotMoveError, Files
from .retention import Retention, keep
from .system import System

MANIFEST = "manifest.json"
NEWEST = "newest"
MADE_FOR, RESTORE = "made_for", "restore"
"""In the manifest of a set that a restore has made of the data it replaces: `choose` takes it only by its name."""
NAME = re.compile("[0-9]{8}T[0-9]{6}Z")
_MARKS = ("20*T*Z",)
_NEW = re.compile(rf"\.{NAME.pattern}\.new")
_MB = 1 << 20


@dataclass(frozen=True)
class NewSet:
    """A set that is being made in `folder`; `name` is what it is called once it is whole."""

    name: str
    folder: str


class BackupSets:
    """The sets in `folder`, which is root's alone. The caller holds the lock on the data."""

    def __init__(self, files: Files, clock: Clock, folder: str) -> None:
        self._files, self._clock, self.folder = files, clock, folder

    def prepare(self) -> None:
        """Ensure the folder is there and root's alone, and nothing in it is left of a run that was killed.

        Fails for a folder that others use, and for a link, which leads to somebody's.
        """
        found = self._files.stat(self.folder)
        if found and found.kind == "link":
            raise HostError(
                "backup_dir",
                expected="a folder",
                got=f"a link at {self.folder}",
                do=f"set backup_dir = '{self._files.resolved(self.folder)}', where it leads",
            )
        if not self._files.may_own(self.folder, _MARKS):
            raise HostError(
                "backup_dir",
                expected="an empty folder or one with backup sets",
                got=f"{self.folder} with other files in it",
                do="set another",
            )
        self._files.make_folder(self.folder)
        for name in self._files.listdir(self.folder) or []:
            if _NEW.fullmatch(name):
                self._files.remove_tree(f"{self.folder}/{name}")

    def names(self) -> list[str]:
        """The whole sets, by name. Where the clock was set back, the highest name is not the newest set."""
        return [name for name in self._files.listdir(self.folder) or [] if NAME.fullmatch(name)]

    def newest(self) -> str:
        """The whole set that was made last, "" without one: by the time of its manifest, not by its name."""
        return self._last_of(self.names())

    def choose(self, wanted: str) -> str:
        """The name of the set that is wanted, "newest" or a name; "" where it is not there.

        The newest is the one whose manifest was written last: `finish` keeps that order where the clock is set back.
        The next restore does not take a set of data that a restore has replaced, unless there is nothing else.
        """
        names = self.names()
        if wanted != NEWEST:
            return wanted if wanted in names else ""
        others = [name for name in names if not self._is_of_a_restore(name)]
        return self._last_of(others or names)

    def _last_of(self, names: Sequence[str]) -> str:
        return max(names, key=lambda name: (self.written_s(name), name), default="")

    def written_s(self, name: str) -> float:
        """When a set's manifest was written; 0 where it has none, so that its name decides."""
        found = self._files.stat(f"{self.folder}/{name}/{MANIFEST}")
        return found.changed_s if found else 0

    def _is_of_a_restore(self, name: str) -> bool:
        return self._manifest(name).get(MADE_FOR) == RESTORE

    def _manifest(self, name: str) -> dict[str, Any]:
        """A set's manifest; empty where it is damaged: a program that uses the set says what is wrong with it."""
        try:
            found = json.loads(self._files.read(f"{self.folder}/{name}/{MANIFEST}") or b"")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def check_room(self, system: System, data: Sequence[str], reserve_mb: int) -> None:
        """Fail where a set of the folders in `data` would leave less than `reserve_mb` on the disk.

        It is no promise, for others write, too; but it fails early. A full disk makes Valkey refuse writes.
        """
        needed = disk.used_bytes(system, data) // _MB + reserve_mb
        free = self._files.space_left(self.folder) // _MB
        if free <= needed:
            raise HostError(
                "room",
                expected=f"{needed} MB free in {self.folder} ({reserve_mb} of them as a reserve, backup_min_free_mb)",
                got=f"{free} MB",
                do="free some, or lower backup_keep",
            )

    @contextmanager
    def new(self) -> Iterator[NewSet]:
        """A set to fill. Nothing of it is left where the block ends with an error, unless `finish` has named it."""
        name = utc(self._clock.now())
        if self._files.exists(f"{self.folder}/{name}"):
            raise HostError("backup", expected="a new name", got=f"{name} a second time", do="try again")
        made = NewSet(name, f"{self.folder}/.{name}.new")
        self._files.make_folder(made.folder)
        try:
            yield made
        finally:
            self._files.remove_tree(made.folder)

    @contextmanager
    def part(self, made: NewSet, name: str) -> Iterator[BinaryIO]:
        """A file of the set to write to."""
        with self._files.stream(f"{made.folder}/{name}") as target:
            yield target

    def finish(self, made: NewSet, manifest: bytes) -> str:
        """Ensure the set has its manifest and its name. Returns that name: nothing else tells which set was made.

        Each part is on the disk already, since its block has ended. The manifest's time of change is after those of all
        other sets, whatever the clock says.
        """
        newest_s = max(map(self.written_s, self.names()), default=0)
        written_s = max(self._clock.now(), newest_s + 1)
        self._files.write(f"{made.folder}/{MANIFEST}", manifest, changed_s=written_s)
        self._files.rename(made.folder, f"{self.folder}/{made.name}")
        return made.name

    def prune(self, rule: Retention, made: str, needed: Collection[str]) -> list[str]:
        """Ensure only the sets that the rule keeps are there; returns a line for each of the others.

        The one that was `made` stays, whatever its name: the clock may have been set back. Sets that are `needed` stay
        as well, for an earlier release to come back with its data.
        """
        lines, names = [], self.names()
        for old in sorted({*names} - keep(names, rule, made), reverse=True):
            if old in needed:
                lines.append(f"kept {old}: an earlier deploy needs it to come back")
                continue
            self._remove(old)
            lines.append(f"removed {old}: {rule.words}")
        return lines

    def missed(self, host: str, there: Collection[str], rule: Retention, made: str) -> list[str]:
        """The sets that a repository lacks, the oldest first: `there` are those that it has of this host.

        Only sets that the `host` has made, and that the rule keeps; `made` is the newest one and not among them. Sets
        of data that a restore has replaced stay on the host.
        """
        mine = [name for name in self.names() if self._manifest(name).get("host") == host]
        wanted = keep({*mine, *there, made}, rule, made) - {*there, made}
        return [name for name in self.in_order(mine) if name in wanted and not self._is_of_a_restore(name)]

    def in_order(self, names: Collection[str]) -> list[str]:
        """The names by the time at which their sets were made, the oldest first."""
        return sorted(names, key=lambda name: (self.written_s(name), name))

    def _remove(self, name: str) -> None:
        """Ensure a set is gone. It is never half removed under its name, but where it can't be renamed."""
        try:
            self._files.rename(f"{self.folder}/{name}", f"{self.folder}/.{name}.new")
        except CannotMoveError:
            self._files.remove_tree(f"{self.folder}/{name}")
        else:
            self._files.remove_tree(f"{self.folder}/.{name}.new")


def needed(files: Files, stack_dir: str) -> set[str]:
    """The sets that good releases note, each to come back with its data. Fails where one can't be read."""
    releases = [f"{stack_dir}/.good"]
    releases += [f"{stack_dir}/.deploys/{name}" for name in files.listdir(f"{stack_dir}/.deploys") or []]
    found: set[str] = set()
    for release in releases:
        found |= set((files.read_text(f"{release}/data") or "").split())
    return found
