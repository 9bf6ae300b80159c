"""Do several things at once: on a fresh machine a download, a bootstrap and a build wait for different things."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")

_ending: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("ending", default=None)


class StoppedError(LabError):
    """This job was stopped because another one failed, or because the operator interrupted."""


def together(*jobs: Callable[[], T]) -> list[T]:
    """Run each job in a thread of its own and return their results in the order of the jobs.

    When one fails, the others are stopped at their next `check`, and its exception is raised once all have
    ended. An interrupt of the caller stops them as well. Jobs may call `together` themselves.
    """
    ending = _ending.get() or threading.Event()
    token = _ending.set(ending)
    try:
        with ThreadPoolExecutor(max(1, len(jobs))) as pool:
            # a context is copied for each: none can be entered twice at a time
            futures = [pool.submit(contextvars.copy_context().run, job) for job in jobs]
            try:
                if any(map(_failed, wait(futures, return_when=FIRST_EXCEPTION).done)):
                    ending.set()
            except BaseException:
                ending.set()
                raise
        errors = [error for future in futures if (error := future.exception())]
        if errors:
            raise next((error for error in errors if not isinstance(error, StoppedError)), errors[0])
        return [future.result() for future in futures]
    finally:
        _ending.reset(token)


def check() -> None:
    """Raise `StoppedError` where the jobs of this thread are to end. Whatever takes long calls it now and then."""
    ending = _ending.get()
    if ending is not None and ending.is_set():
        raise StoppedError("stopped: expected the other steps to succeed, got a failure of one, see its error")


def _failed(future: Future[T]) -> bool:
    return future.exception() is not None
