"""Sending to several receivers side by side, each in a thread: a receiver that hangs holds up no other one.

A receiver is sent one thing at a time. What takes too long goes on in its thread, and its end counts in the next run:
so a receiver that is slow does not get the same thing again and again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import HostError
from .connection import LIMIT_S


@dataclass(frozen=True)
class Job:
    """Something to send. `id` names it; `act` raises `HostError` where it fails."""

    id: str
    act: Callable[[], None]


@dataclass(frozen=True)
class Ended:
    """How a job of a receiver ended; `error` is None where it went well."""

    receiver: str
    id: str
    error: HostError | None


class Sender:
    """Runs jobs of receivers, each in a thread. One run waits `limit_s` seconds at most."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._busy: set[str] = set()
        self._ends: queue.SimpleQueue[tuple[Ended, BaseException | None]] = queue.SimpleQueue()

    def run(self, jobs: Mapping[str, Callable[[], Job | None]], ended: Callable[[Ended], bool]) -> list[str]:
        """Run each receiver's jobs, one after the other. No receiver waits for another one.

        `jobs` has a question for each receiver: its next job. `ended` is called in this thread with each end, before
        the receiver's next job begins, and says whether that may. Returns the receivers that have not answered within
        the limit; a next job that began later goes on as well, and is no failure yet.
        """
        until_s = time.monotonic() + self._limit_s
        of_before = frozenset(self._busy)  # nobody waits for these twice
        ready, later = set(jobs) - of_before, set[str]()
        while True:
            for name in sorted(ready):
                self._begin(name, jobs[name]())
            left_s = max(0.0, until_s - time.monotonic()) if self._busy - of_before else 0.0
            try:
                one, fatal = self._ends.get(block=left_s > 0, timeout=left_s)
            except queue.Empty:
                return sorted((self._busy - later) & set(jobs))
            if fatal:
                raise fatal
            self._busy.discard(one.receiver)
            goes_on = ended(one) and one.receiver in jobs and time.monotonic() < until_s
            ready = {one.receiver} if goes_on else set()
            later |= ready

    def _begin(self, name: str, job: Job | None) -> None:
        if job:
            self._busy.add(name)
            # A daemon, because the program may end before it does.
            threading.Thread(target=self._work, args=(name, job), daemon=True).start()

    def _work(self, name: str, job: Job) -> None:
        error, fatal = None, None
        try:
            job.act()
        except HostError as raised:
            error = raised
        except Exception as raised:
            got = type(raised).__name__  # its text may hold a secret
            error = HostError(name, expected="no fault of the program", got=got, do="please report it")
        except BaseException as raised:  # it ends the program, and not this thread alone
            fatal = raised
        self._ends.put((Ended(name, job.id, error), fatal))
