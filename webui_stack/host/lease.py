"""One operator at a time on a host: a lease that is renewed while its run lives, and expires when not.

The lease is a file on the host, so that it holds between machines; a lock makes taking it atomic. It is in /run, so
that a reboot ends it. Renewal makes the lease of a killed run short, and that of a long run safe
(`webui_stack/ops/lease.py`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection

from .clock import Clock
from .files import Files
from .holder import parse
from .locks import RUN_FOLDER, Locks
from .records import dataclass

# The host of a killed run is free again after this many seconds.
EXPIRY_S = 120

_NAME, _LOCK = "lease", "lease.lock"
# Beside the folder, where versions before there was one have theirs, with their lock and their work lock.
_OLD, _OLD_REST = ".lease", (".lease.lock", ".work")
OLD_FILES = (_OLD, *_OLD_REST)
"""Their names, after the folder's. `leave` removes them."""
_UNKNOWN = "an unknown run"
# Owner, when it began, and when it expires, in seconds since 1970.
_LINE = re.compile(rb"(\S+) ([0-9]{1,12}) ([0-9]{1,12})\n?")


@dataclass(frozen=True)
class Other:
    """Somebody else who has the lease: the `token` of a `Holder`, or `user@machine:PID` from earlier versions."""

    owner: str
    since_s: float
    left_s: float

    def __str__(self) -> str:
        since = time.strftime("%H:%M:%S UTC", time.gmtime(self.since_s))
        return f"{parse(self.owner) or self.owner} since {since}"


class Lease:
    """The lease of this host. An `owner` is a holder's `token`. All methods raise `HostError`."""

    def __init__(self, files: Files, locks: Locks, clock: Clock, folder: str = RUN_FOLDER) -> None:
        self._files, self._locks, self._clock, self._folder = files, locks, clock, folder
        self._path = f"{folder}/{_NAME}"

    def take(self, owner: str, gone: Collection[str] = ()) -> Other | None:
        """Ensure `owner` has the lease, for `EXPIRY_S`; otherwise tell who has it.

        `gone` are owners that the caller knows to have ended (see `has_ended`).
        """
        with self._locks.moment(_LOCK, "lease"):
            for path in (f"{self._folder}{_OLD}", self._path):
                other = self._read(path)
                if other and other.left_s > 0 and other.owner != owner and other.owner not in gone:
                    return other
            self._write(owner, self._clock.now())
        return None

    def renew(self, owner: str) -> bool:
        """Ensure the lease lasts for another `EXPIRY_S`. Returns whether it is still `owner`'s."""
        with self._locks.moment(_LOCK, "lease"):
            found = self._read(self._path)
            if found is None or found.owner != owner:
                return False
            self._write(owner, found.since_s)
            return True

    def release(self, owner: str) -> None:
        """Ensure the lease is not `owner`'s any more, and what earlier versions left of theirs is removed."""
        with self._locks.moment(_LOCK, "lease"):
            if self._is_of(owner):
                self._files.remove(self._path)
                self._remove_old()

    def leave(self, owner: str) -> None:
        """Ensure nothing is left of the lease and of all locks, where nothing of the stack is left either."""
        with self._locks.moment(_LOCK, "lease"):
            if self._is_of(owner):
                self._remove_old()
                self._files.remove_tree(self._folder)

    # --- Below

    def _is_of(self, owner: str) -> bool:
        found = self._read(self._path)
        return found is not None and found.owner == owner

    def _read(self, path: str) -> Other | None:
        """Who has a lease, expired or not. One that can't be read counts for as long as it could at most."""
        text = self._files.read(path)
        if text is None:
            return None
        now = self._clock.now()
        line = _LINE.fullmatch(text)
        if line:
            owner, since_s, expires_s = line.groups()
            return Other(owner.decode(errors="replace"), int(since_s), int(expires_s) - now)
        found = self._files.stat(path)
        written_s = found.changed_s if found else now
        return Other(_UNKNOWN, written_s, min(written_s + EXPIRY_S - now, EXPIRY_S))

    def _write(self, owner: str, since_s: float) -> None:
        self._files.write(self._path, f"{owner} {since_s:.0f} {self._clock.now() + EXPIRY_S:.0f}\n")

    def _remove_old(self) -> None:
        for ending in OLD_FILES:
            self._files.remove(f"{self._folder}{ending}")
