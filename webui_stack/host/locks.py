"""Locks between the programs on one host: each wait ends, and tells who is waited for.

The kernel frees a lock when the processes that have it end, however they end (flock(2)). The files are in a folder
that only root may enter: a user who can open a file can lock it for ever.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from .clock import Clock
from .errors import HostError
from .files import Files, explained
from .kernel import Kernel

RUN_FOLDER = "/run/open-webui-stack"
# Nobody waits longer for others to end, in seconds.
WAIT_S = 600
_LOOK_S = 0.5
_TELL_S = 30
_MOST_BYTES = 4096

# What changes containers or data has this one alone; a backup shares it, so that nothing changes what it reads.
WORK = "work"
# For one backup or drill at a time.
DATA = "data"
# What gives references to images, or makes an archive of one, has this one for as long as that takes.
IMAGES = "images"
# Earlier versions: what changes containers has `work` and this one, their watchdog has this one. Ours share it.
_OLD_CONTAINERS = "containers"
# Of earlier versions, beside the folder; held only where they are.
_OLD_WORK, _OLD_DRILL = ".work", ".drill.lock"


class LockedError(HostError):
    """Somebody else held a lock for the whole wait; `holder` says who."""

    def __init__(self, who: str, path: str, limit_s: float, holder: str) -> None:
        super().__init__(
            who,
            expected="nobody else at work here",
            got=f"{path} held for {limit_s:.0f} s by {holder or 'an unknown process, see lslocks'}",
            do="run this again when that has ended",
        )
        self.holder = holder


class Held:
    """Locks that are held until `release`, which the end of a `with` is.

    A child process that gets `descriptors` (subprocess's pass_fds) holds them as well, and after this process was
    killed: nobody else begins while a `docker compose up` is still at work.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.descriptors: list[int] = []

    def release(self) -> None:
        """Ensure this process holds none of the locks any more."""
        while self.descriptors:
            self._kernel.close(self.descriptors.pop())

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Locks:
    """The locks of a stack on this host.

    `tell` gets a line at once where somebody else has a lock, and every half minute while it is waited for. Each method
    raises `LockedError` when the wait is over; with a limit of 0 it does not wait.
    """

    def __init__(self, kernel: Kernel, clock: Clock, tell: Callable[[str], None], folder: str = RUN_FOLDER) -> None:
        self._kernel, self._clock, self._tell, self._folder = kernel, clock, tell, folder
        self._files = Files(kernel)

    def work(self, who: str, containers: Iterable[str] = (), *, limit_s: float = WAIT_S) -> Held:
        """Hold the stack alone: for every verb that changes containers or data. `containers` are those it changes."""
        named = [self._path(f"container-{name}") for name in sorted(set(containers))]
        old = self._where_there(_OLD_WORK)
        return self._take(who, fcntl.LOCK_EX, [self._path(WORK), self._path(_OLD_CONTAINERS), *named, *old], limit_s)

    def data(self, who: str, *, live: bool, limit_s: float = WAIT_S) -> Held:
        """Hold the data lock: for a backup, or a drill.

        `live` says that it reads the running stack: then no verb that needs it alone begins meanwhile. A drill reads
        sets only, and a verb that makes a backup has the stack alone already.
        """
        began = self._clock.monotonic()
        held = self._take(who, fcntl.LOCK_SH, [self._path(WORK)] if live else [], limit_s)
        left_s = max(0, limit_s - (self._clock.monotonic() - began))
        return self._take(who, fcntl.LOCK_EX, [self._path(DATA), *self._where_there(_OLD_DRILL)], left_s, held)

    def container(self, name: str, who: str, *, limit_s: float = 0) -> Held:
        """Hold one container: for the watchdog, which goes on beside a backup and stays away from other verbs."""
        held = self._take(who, fcntl.LOCK_SH, [self._path(_OLD_CONTAINERS)], limit_s)
        return self._take(who, fcntl.LOCK_EX, [self._path(f"container-{name}")], limit_s, held)

    def images(self, who: str, *, limit_s: float = WAIT_S) -> Held:
        """Hold what references mean: for what pulls, loads or saves images. All other verbs go on beside it."""
        return self._take(who, fcntl.LOCK_EX, [self._path(IMAGES)], limit_s)

    def moment(self, name: str, who: str, *, limit_s: float = 30) -> Held:
        """Hold a lock of that name for a moment, to read something and write it."""
        return self._take(who, fcntl.LOCK_EX, [self._path(name)], limit_s)

    def at_work(self, *, limit_s: float) -> str | None:
        """Who works on the stack, once that has lasted for `limit_s`; "" where that is unknown, None for nobody."""
        deadline = self._clock.monotonic() + limit_s
        for path in (self._path(WORK), *self._where_there(_OLD_WORK)):
            while (holder := self._holder(path)) is not None:
                if self._clock.monotonic() >= deadline:
                    return holder
                self._clock.sleep(_LOOK_S)
        return None

    def holder(self, name: str) -> str | None:
        """Who has the lock `name` (`WORK`, `DATA`) now; "" where that is unknown, None where nobody has it."""
        return self._holder(self._path(name))

    # --- Below

    def _holder(self, path: str) -> str | None:
        if not self._files.exists(path):
            return None
        fd = self._files.open_shared(path)
        try:
            return None if self._flock(fd, fcntl.LOCK_EX, path) else self._name(fd)
        finally:
            self._kernel.close(fd)

    def _path(self, name: str) -> str:
        assert "/" not in name
        return f"{self._folder}/{name}"

    def _where_there(self, ending: str) -> list[str]:
        path = f"{self._folder}{ending}"
        return [path] if self._files.exists(path) else []

    def _take(self, who: str, how: int, paths: Iterable[str], limit_s: float, held: Held | None = None) -> Held:
        """Take the locks one after the other, in an order that is the same for all; none where one can't be had."""
        held = held or Held(self._kernel)
        deadline = self._clock.monotonic() + limit_s
        try:
            for path in paths:
                held.descriptors.append(self._lock(who, how, path, deadline, limit_s))
        except BaseException:
            held.release()
            raise
        return held

    def _lock(self, who: str, how: int, path: str, deadline: float, limit_s: float) -> int:
        told_s = -float("inf")
        while True:
            fd, holder = self._attempt(who, how, path)
            if fd is not None:
                return fd
            now = self._clock.monotonic()
            if now >= deadline:
                raise LockedError(who, path, limit_s, holder)
            if now - told_s >= _TELL_S:
                told_s = now
                self._tell(f"still at work here: {holder or 'an unknown process'}; waiting for it to end")
            self._clock.sleep(min(_LOOK_S, deadline - now))

    def _attempt(self, who: str, how: int, path: str) -> tuple[int | None, str]:
        """A descriptor that holds the lock; or None, and who has it."""
        while True:
            self._files.make_folder(self._folder)
            fd = self._files.open_shared(path)
            try:
                taken = self._flock(fd, how, path)
                if taken and self._kernel.fstat(fd).st_nlink:
                    self._sign(fd, who)
                    return fd, ""
                holder = self._name(fd)
            except BaseException:
                self._kernel.close(fd)
                raise
            self._kernel.close(fd)
            if not taken:
                return None, holder
            # The file was removed meanwhile (`lease.py`, `leave`): others lock the one that is there now.

    def _flock(self, fd: int, how: int, path: str) -> bool:
        try:
            self._kernel.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise explained(path, "lock it", error) from error
        return True

    def _sign(self, fd: int, who: str) -> None:
        """Say who has the lock, in the words of earlier versions, which read it too."""
        since = time.strftime("%H:%M:%S UTC", time.gmtime(self._clock.now()))
        with suppress(OSError):  # of a full /run: the lock is held all the same
            self._kernel.ftruncate(fd, 0)
            self._kernel.pwrite(fd, f"{who}, process {os.getpid()}, since {since}\n".encode(), 0)

    def _name(self, fd: int) -> str:
        return self._kernel.pread(fd, _MOST_BYTES, 0).decode(errors="replace").strip()
