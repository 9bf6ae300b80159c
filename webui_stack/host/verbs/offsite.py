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
from ..outcomes import Outcomes
from ..protocol import Event
from ..restic import Key, Place, Repository, Snapshot
from ..retention import Retention, keep
from ..system import System, require_root

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Copy:
    """Which set goes where: the set `name` of `backup_dir`, "" for the newest one, to each of `repositories`.

    `repositories` are those of `Place`. Of this host's sets there, those stay that `keep` and the numbers beside it
    say, as in `Retention`. What opens a repository is below `stack_dir`.
    """

    stack_dir: str
    backup_dir: str
    repositories: Sequence[Mapping[str, Any]]
    keep: int
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    name: str = ""

    @property
    def rule(self) -> Retention:
        return Retention(self.keep, self.keep_daily, self.keep_weekly, self.keep_monthly)


@dataclass(frozen=True)
class Check:
    """Which repositories are looked at: those of `Place`. What opens one is below `stack_dir`."""

    stack_dir: str
    repositories: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Bring:
    """Which set comes to `backup_dir`: its name, or "newest"; and whose, "" for this host's.

    `repositories` are addresses with the environment that opens each. The first one that has the set gives it; the
    newest set is the newest of all.
    """

    backup_dir: str
    repositories: Mapping[str, Mapping[str, str]] = field(repr=False)
    wanted: str
    host: str


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
    """Ensure the set is in each repository, which is made where it is missing; `arguments` are those of `Copy`.

    Sets that an outage has kept away are copied first. A repository that fails keeps no other one from its copy. It
    takes none of our locks: no set changes here, it may take hours, and restic has locks of its own.
    """
    require_root()
    Offsite(System(), Files(), Clock(), emit).copy(Copy(**arguments))


def check(arguments: Mapping[str, Any], emit: Emit) -> None:
    """Ensure it is known whether each repository is whole; `arguments` are those of `Check`. Fails where one is not.

    It takes none of our locks, and nothing changes but restic's own locks.
    """
    require_root()
    Offsite(System(), Files(), Clock(), emit).check(Check(**arguments))


def key(arguments: Mapping[str, Any], _emit: Emit) -> None:
    """Ensure `stack_dir` keeps, in the file `name`, the `environment` that opens a repository, for root alone.

    It takes no lock: the file is replaced whole, and a copy at work has read the one before.
    """
    require_root()
    Key(Files(), arguments["stack_dir"], arguments["name"]).keep(arguments["environment"])


def bring(arguments: Mapping[str, Any], emit: Emit) -> None:
    """Ensure the set is in `backup_dir`, from a repository where it is not; `arguments` are those of `Bring`.

    Fails where no repository has it, with what they have. The folder gets the set whole or not at all.
    """
    require_root()
    clock = Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).moment(LOCK, "bring a set", limit_s=WAIT_S):
        Offsite(System(), Files(), clock, emit).bring(Bring(**arguments))


class Offsite:
    """The ways of sets between this host and repositories."""

    def __init__(self, system: System, files: Files, clock: Clock, emit: Emit) -> None:
        self._system, self._files, self._clock, self._emit = system, files, clock, emit

    def copy(self, asked: Copy) -> None:
        """Ensure the set is in each repository, and no more sets of this host than are to be kept."""
        sets = BackupSets(self._files, self._clock, asked.backup_dir)
        name = asked.name or sets.newest()
        if not name:
            raise HostError(asked.backup_dir, expected="a backup set", got="none", do="run runbooks/backup.py")
        self._each("copy", asked, name, lambda place: self._copy(asked, sets, place, name))

    def check(self, asked: Check) -> None:
        """Ensure it is known whether each repository is whole."""
        self._each("check", asked, "", lambda place: self._check(asked, place))

    def bring(self, asked: Bring) -> None:
        """Ensure the set is here. The caller holds the lock on arrivals."""
        there = BackupSets(self._files, self._clock, asked.backup_dir).names()
        if asked.wanted in there or (there and asked.wanted == "newest"):
            return
        host = asked.host or os.uname().nodename
        repository, one = self._chosen(asked, host)
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

    # --- Each repository

    def _each(self, job: str, asked: Copy | Check, name: str, work: Callable[[Place], int]) -> None:
        """Do the work for each repository and remember how it ended. Fails, after the last one, where one has failed.

        The work returns how many sets it was about.
        """
        failed: list[tuple[Place, HostError]] = []
        for number, place in enumerate((Place(**one) for one in asked.repositories), 1):
            began_s = self._clock.monotonic()
            said, sets = "", 0
            try:
                sets = work(place)
            except HostError as error:
                said = str(error)
                failed.append((place, error))
                if len(asked.repositories) > 1:
                    self._tell(f"{place.address}: {error}")
            outcomes = Outcomes(self._files, self._clock, asked.stack_dir)
            try:
                outcomes.note(
                    f"{job}-{number}", of=place.address, set_=name, began_s=began_s, said=said, counts={"sets": sets}
                )
            except HostError as error:  # of a full disk, say: the copy is good all the same
                self._tell(f"not remembered: {error}")
        if failed and len(asked.repositories) == 1:
            raise failed[0][1]
        if failed:
            got = "; ".join(f"{place.address}: {error.got}" for place, error in failed)
            expected = f"a {job} in each of {len(asked.repositories)} repositories"
            raise HostError("restic", expected=expected, got=got, do="fix that, and run it again")

    def _copy(self, asked: Copy, sets: BackupSets, place: Place, name: str) -> int:
        """Ensure the repository has the set, and those before it that it lacks. Returns how many were copied."""
        host = os.uname().nodename
        repository = self._opened(asked, place)
        repository.ensure()
        missed, failed = self._missed(asked, sets, place, repository, name), None
        if missed:
            self._tell(f"earlier sets missing in the restic repository: {len(missed)}; copying them first")
        for one in missed:
            try:
                self._copy_one(repository, sets, one, host)
            except HostError as error:  # the newest set is worth more
                failed = failed or error
                self._tell(f"{one} stays out: {error}")
        self._copy_one(repository, sets, name, host)
        self._forget(asked, repository, place, host, name)
        if failed:
            raise failed
        return 1 + len(missed)

    def _copy_one(self, repository: Repository, sets: BackupSets, name: str, host: str) -> None:
        began_s = self._clock.monotonic()
        self._tell(f"copying {name} to the restic repository")
        repository.copy(sets.folder, name, host, sets.written_s(name))
        seconds = int(self._clock.monotonic() - began_s)
        self._tell(f"copied {name} to the restic repository in {seconds} s, as a set of {host}")

    def _missed(self, asked: Copy, sets: BackupSets, place: Place, repository: Repository, name: str) -> Sequence[str]:
        """The earlier sets that the repository lacks since an outage, the oldest first."""
        host = os.uname().nodename
        there = {one.name for one in repository.snapshots("restic") if one.host == host}
        missed = sets.missed(host, there, asked.rule, name)
        if not place.append_only:
            return missed
        # What others forget there must not be copied again and again: only sets after the last copy are missed.
        known = sets.in_order([one for one in sets.names() if one in there])
        since_s = sets.written_s(known[-1]) if known else 0
        return [one for one in missed if sets.written_s(one) > since_s]

    def _forget(self, asked: Copy, repository: Repository, place: Place, host: str, name: str) -> None:
        """Ensure no more sets of this host are in the repository than the rule keeps; nothing in one to append to."""
        if place.append_only or not asked.keep:
            return
        mine = [one for one in repository.snapshots("restic") if one.host == host]
        kept = keep({one.name for one in mine}, asked.rule, name)
        last = {one.name: one.id for one in mine}  # of a set that was copied twice
        repository.forget([one for one in mine if one.name not in kept or last[one.name] != one.id])

    def _check(self, asked: Check, place: Place) -> int:
        began_s = self._clock.monotonic()
        repository = self._opened(asked, place)
        self._tell(f"checking the restic repository {place.address}")
        repository.check()
        host = os.uname().nodename
        sets = len({one.name for one in repository.snapshots("restic") if one.host == host})
        seconds = int(self._clock.monotonic() - began_s)
        self._tell(f"the restic repository {place.address} is whole: {sets} sets of {host}, in {seconds} s")
        return sets

    def _opened(self, asked: Copy | Check, place: Place) -> Repository:
        environment = Key(self._files, asked.stack_dir, place.key).read()
        return self._repository(place.address, environment)

    # --- The way back

    def _chosen(self, asked: Bring, host: str) -> tuple[Repository, Snapshot]:
        """The snapshot that is wanted, and where it is. A repository that gives no answer is told, unless all do so."""
        known: list[tuple[Repository, list[Snapshot]]] = []
        failed: list[HostError] = []
        for address, environment in asked.repositories.items():
            repository = self._repository(address, environment)
            try:
                repository.expect()
                known.append((repository, repository.snapshots()))
            except HostError as error:
                failed.append(error)
                if len(asked.repositories) > 1:
                    self._tell(f"{address}: {error}")
        if failed and not known:
            raise failed[0]
        found = [(repository, one) for repository, all_ in known if (one := _fitting(all_, asked.wanted, host))]
        if not found:
            snapshots = [one for _, all_ in known for one in all_]
            raise HostError(
                "restore",
                expected=f"the set {asked.wanted} of {host} in the restic repository",
                got=", ".join(sorted({f"{one.name} of {one.host}" for one in snapshots})) or "none",
                do="choose with restore_set and restore_restic_host",
            )
        return max(found, key=lambda each: each[1].made_s)

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


def _fitting(snapshots: Sequence[Snapshot], wanted: str, host: str) -> Snapshot | None:
    """The last one, as restic lists the oldest first."""
    fitting = [one for one in snapshots if one.host == host and wanted in ("newest", one.name)]
    return fitting[-1] if fitting else None
