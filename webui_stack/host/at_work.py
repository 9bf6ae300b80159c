"""Which verb works on the stack now, as its journal and the work lock's holder tell it. Takes no lock for longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from .clock import Clock
from .files import Files
from .holder import Holder, State
from .journal import Entry, Journal
from .locks import RUN_FOLDER, WORK, Locks

# How long a verb may take, in seconds: by its name in the journal, or by what it says of itself in the lock.
_LIMITS_S: Mapping[str, float] = {
    **dict.fromkeys(("docker", "secrets"), 1800.0),
    # Their data may be large, and are copied.
    **dict.fromkeys(
        ("migrate", "recover", "restore", "rollback", "swarm_restore", "swarm_upgrade", "upgrade"), 14400.0
    ),
}
_LIMIT_S = 3600.0
# They hold the lock, and stop nothing.
_READERS = ("backup", "drill", "releases")


class Processes(Protocol):
    """What is asked of `holder.Processes`."""

    def state(self, holder: Holder) -> State: ...
    def rebooted_since(self, holder: Holder) -> bool: ...


@dataclass(frozen=True)
class AtWork:
    """The verb at work, "" for none, and since when. `cut_off` is what was cut off in the middle, "" for nothing."""

    verb: str = ""
    since_s: float = 0.0
    cut_off: str = ""

    @property
    def limit_s(self) -> float:
        return _LIMITS_S.get(self.verb, _LIMIT_S)

    def explains(self, now_s: float) -> bool:
        """Whether what does not run is stopped by a verb, which is within its time limit."""
        return bool(self.verb) and now_s - self.since_s <= self.limit_s


class Watcher:
    """Looks who is at work, and keeps since when: the lock's holder tells no day."""

    def __init__(self, journal: Journal, locks: Locks, processes: Processes, files: Files, clock: Clock) -> None:
        self._journal, self._locks, self._processes = journal, locks, processes
        self._files, self._clock = files, clock
        self._seen: tuple[str, float] = ("", 0.0)

    def look(self) -> AtWork:
        """Who is at work now. Raises `HostError` where the journal, or the lock, can't be read."""
        entry = self._journal.open()
        holder = self._locks.holder(WORK)
        name = (holder or "").partition(",")[0]
        if holder is not None and name not in _READERS:
            # The journal names the verb; the lock may say "deploy" of an upgrade.
            verb = entry.verb if entry and name != "recover" else name or "an unknown process"
            return AtWork(verb, self._since_s(f"{verb} {holder}"))
        self._seen = ("", 0.0)
        if entry and not self._lives(entry):
            return AtWork(cut_off=str(entry))
        return AtWork(entry.verb, self._since_s(str(entry))) if entry else AtWork()

    def began_since(self, moment_s: float) -> bool:
        """Whether a verb that may stop something took the lock after a moment, though it may have ended."""
        path = f"{RUN_FOLDER}/{WORK}"
        found = self._files.stat(path)
        if found is None or found.changed_s < moment_s:
            return False
        return (self._files.read_text(path) or "").partition(",")[0] not in _READERS

    def _since_s(self, who: str) -> float:
        if self._seen[0] != who:
            self._seen = (who, self._clock.now())
        return min(self._seen[1], self._clock.now())  # an operator may set the clock back

    def _lives(self, entry: Entry) -> bool:
        """Whether its process may run. A verb ends its journal a moment before or after it gives the lock back."""
        if entry.holder is None or self._processes.rebooted_since(entry.holder):
            return False
        return self._processes.state(entry.holder) != "dead"
