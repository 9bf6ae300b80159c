"""Backup sets in a restic repository: copied there, and brought from there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..arrivals import LOCK, Arrivals
from ..backup_sets import MANIFEST, BackupSets
from ..clock import Clock
from ..errors import HostError
from ..files import Files
from ..kernel import LINUX
from ..locks import WAIT_S, Locks
from ..protocol import Event
from ..restic import Key, Repository, Snapshot
from ..system import System, require_root

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Copy:
    """Which set goes where: the set `name` of `backup_dir`, "" for the newest one, to `repository`.

    `keep` is how many sets of this host stay there, 0 for all. What opens the repository is below `stack_dir`.
    """

    stack_dir: str
    backup_dir: str
    repository: str
    keep: int
    name: str = ""


@dataclass(frozen=True)
class Bring:
    """Which set comes from `repository` to `backup_dir`: its name, or "newest"; and whose, "" for this host's.

    `environment` opens the repository.
    """

    backup_dir: str
    repository: str
    wanted: str
    host: str
    environment: Mapping[str, str] = field(repr=False)


def back_up(arguments: Mapping[str, Any], emit: Emit) -> str:
    """Ensure there is one more set, and that very set is in the repository. Returns its name.

    For the timer. `arguments` has those of the verb `backup`, and of `Copy`. Where the copy fails, the set is good.
    """
    require_root()
    from . import backup  # of which the other verbs here need nothing

    name = backup.run(arguments["backup"], emit)
    copy({**arguments["copy"], "name": name}, emit)
    return name


def copy(arguments: Mapping[str, Any], emit: Emit) -> None:
    """Ensure the set is in the repository, which is made where it is missing; `arguments` are those of `Copy`.

    It takes none of our locks: nothing changes here, it may take hours, and restic has locks of its own.
    """
    require_root()
    Offsite(System(), Files(), Clock(), emit).copy(Copy(**arguments))


def key(arguments: Mapping[str, Any], _emit: Emit) -> None:
    """Ensure `stack_dir` keeps the `environment` that opens the repository, for root alone.

    It takes no lock: the file is replaced whole, and a copy at work has read the one before.
    """
    require_root()
    Key(Files(), arguments["stack_dir"]).keep(arguments["environment"])


def bring(arguments: Mapping[str, Any], emit: Emit) -> None:
    """Ensure the set is in `backup_dir`, from the repository where it is not; `arguments` are those of `Bring`.

    Fails where the repository does not have it, with what it has. The folder gets the set whole or not at all.
    """
    require_root()
    clock = Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).moment(LOCK, "bring a set", limit_s=WAIT_S):
        Offsite(System(), Files(), clock, emit).bring(Bring(**arguments))


class Offsite:
    """The ways of sets between this host and a repository."""

    def __init__(self, system: System, files: Files, clock: Clock, emit: Emit) -> None:
        self._system, self._files, self._clock, self._emit = system, files, clock, emit

    def copy(self, asked: Copy) -> None:
        """Ensure the set is in the repository, and no more sets of this host than are to be kept."""
        began_s = self._clock.monotonic()
        name = asked.name or BackupSets(self._files, self._clock, asked.backup_dir).newest()
        if not name:
            raise HostError(asked.backup_dir, expected="a backup set", got="none", do="run runbooks/backup.py")
        host = os.uname().nodename
        repository = self._repository(asked.repository, Key(self._files, asked.stack_dir).read())
        self._tell(f"copying {name} to the restic repository")
        repository.ensure()
        repository.copy(asked.backup_dir, name, host)
        seconds = int(self._clock.monotonic() - began_s)
        self._tell(f"copied {name} to the restic repository in {seconds} s, as a set of {host}")
        if asked.keep:
            repository.keep(host, asked.keep)

    def bring(self, asked: Bring) -> None:
        """Ensure the set is here. The caller holds the lock on arrivals."""
        there = BackupSets(self._files, self._clock, asked.backup_dir).names()
        if asked.wanted in there or (there and asked.wanted == "newest"):
            return
        repository = self._repository(asked.repository, asked.environment)
        repository.check()
        host = asked.host or os.uname().nodename
        one = _chosen(repository.snapshots(), asked.wanted, host)
        self._tell(f"bringing {one.name} of {host} from the restic repository")
        arrivals = Arrivals(self._system, self._files, self._clock, self._emit, asked.backup_dir)
        folder = arrivals.begin(one.name)
        try:
            repository.restore(one, str(self._system.path(folder)))
            arrivals.name(one.name, self._found(folder, one.name))
        except HostError:
            arrivals.drop(one.name)
            raise
        self._tell(f"{one.name} of {host} is here, from the restic repository")

    def _found(self, folder: str, name: str) -> str:
        """Where the set is: below its path on the host that made it."""
        end = f"/{name}/{MANIFEST}"
        for path in self._files.tree(folder) or []:
            if f"/{path}".endswith(end):
                return f"{folder}/{path}".rpartition("/")[0]
        raise HostError("restore", expected=f"{name} in its snapshot", got="no such set", do="choose another one")

    def _repository(self, address: str, environment: Mapping[str, str]) -> Repository:
        return Repository(self._system, self._clock, self._emit, address, environment)

    def _tell(self, line: str) -> None:
        self._emit(Event(line))


def _chosen(snapshots: Sequence[Snapshot], wanted: str, host: str) -> Snapshot:
    fitting = [one for one in snapshots if one.host == host and wanted in ("newest", one.name)]
    if not fitting:
        raise HostError(
            "restore",
            expected=f"the set {wanted} of {host} in the restic repository",
            got=", ".join(sorted({f"{one.name} of {one.host}" for one in snapshots})) or "none",
            do="choose with restore_set and restore_restic_host",
        )
    # restic lists the oldest first, by the time of the copy.
    return fitting[-1]
