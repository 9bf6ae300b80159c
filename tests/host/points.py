"""One counter for the calls of a program to files, to Docker and to compose: each can fail, or be its last one.

All of them are points of a `FakeKernel`. A generator runs a change once for each point:

    for at, world in every_crash(start, change): ...             # the program was killed there, or the power failed
    for at, world, error in every_failure(start, change): ...    # that one call failed, and what the change raised
"""

from __future__ import annotations

import contextlib
import copy
import errno
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from tests.host.fake_engine import REFUSED, UNAVAILABLE
from tests.host.fake_files import FakeKernel, on_nothing
from tests.host.faults import Faults
from webui_stack.host.errors import HostError

# Between two calls that change something, a crash leaves one and the same world. So a crash before each of them, and
# after the last one, is a crash before and after every call. A file that was made, and given a mode and a time, is
# found before its first byte is written, or before it is on the disk.
_CHANGES = ("mkdir", "rename", "unlink", "rmdir", "pwrite", "fsync", "ftruncate")
# Calls of which every method of `Files` makes one at least, after it has walked to the file: what follows a failure of
# the walk is the same.
_LOOKS = ("lstat", "listdir", "pread", "flock")
# The errors of a call to Docker by the one that the kernel is made to raise.
_OUTSIDE = {errno.EIO: UNAVAILABLE, errno.ENOSPC: REFUSED}


class Points(Faults):
    """Calls to others than the kernel, as its points: "before docker: stop x!" where the call changes something."""

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__()
        self._kernel = kernel

    @contextlib.contextmanager
    def call(
        self,
        name: str,
        *,
        changes: bool,
        errors: Mapping[str, Callable[[], Exception]],
        lost: str = "",
        within: Callable[[], None] | None = None,
    ) -> Iterator[None]:
        del within
        mark = "!" if changes else ""
        try:
            self._kernel.point(f"before {name}{mark}")
        except OSError as error:
            raise errors[_OUTSIDE[error.errno or 0]]() from None
        yield
        try:
            self._kernel.point(f"after {name}{mark}")
        except OSError:
            raise errors[lost]() from None


class _World(Protocol):
    """What a change is made to."""

    kernel: FakeKernel

    def boot(self) -> None:
        """What Docker does by itself after a power cut."""
        ...


World = TypeVar("World", bound=_World)


def is_change(point: str) -> bool:
    when, _, call = point.partition(" ")
    return when == "before" and (call in _CHANGES or call.endswith("!"))


def every_crash(
    start: World,
    change: Callable[[World], object],
    *,
    points: Callable[[str], bool] = is_change,
    ends: Sequence[bool | None] = (None, False, True),
) -> Iterator[tuple[str, World]]:
    """The world after each crash of the change, with the point's name: killed, and by a power cut in both its ways.

    `start` stays as it is: each world is a copy. In `ends`, None is a kill, and the others are `cut_power`'s `names`.
    """
    found: list[tuple[str, World]] = []
    world = copy.deepcopy(start)

    def keep(point: str) -> None:
        if points(point):
            world.kernel.on_point = on_nothing
            found.append((point, copy.deepcopy(world)))
            world.kernel.on_point = keep

    world.kernel.on_point = keep
    with contextlib.suppress(HostError):
        change(world)
    world.kernel.on_point = on_nothing
    found.append(("after all", world))
    for number, (point, left) in enumerate(found):
        for names in ends:
            cut = left if names is ends[-1] else copy.deepcopy(left)
            if names is None:
                cut.kernel.restart()
            else:
                cut.kernel.cut_power(names=names)
                cut.boot()
            yield f"{'killed' if names is None else f'power cut, late names {names}'} {point} ({number})", cut


def every_failure(
    start: World, change: Callable[[World], object], *, points: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[str, World, HostError | None]]:
    """The world after each failure of one call, with what the change raised: None where it went well all the same."""
    for number, lost in ((errno.EIO, False), (errno.EIO, True), (errno.ENOSPC, False)):
        for at in itertools.count(1):
            world, failed, error = copy.deepcopy(start), Failing(number, lost, at, points), None
            world.kernel.on_point = failed
            try:
                change(world)
            except HostError as raised:
                error = raised
            world.kernel.on_point = on_nothing
            if not failed.point:
                break
            yield f"{errno.errorcode[number]}{', lost' if lost else ''} {failed.point} ({at})", world, error


class Failing:
    """The call number `at`, of those that can fail so, fails. `point` is where it did."""

    choices = frozenset((*_LOOKS, *_CHANGES))

    def __init__(self, number: int, lost: bool, at: int, points: Callable[[str], bool]) -> None:
        self._number, self._lost, self._left, self._points = number, lost, at, points
        self.point = ""

    def __call__(self, point: str) -> None:
        if _can_fail(point, self._number, self._lost) and self._points(point):
            self._left -= 1
            if not self._left:
                self.point = point
                raise OSError(self._number, "input/output error")


def outside(point: str) -> bool:
    """Whether a point is one of Docker or compose, or the rename that makes files count. A faster choice of points."""
    return ": " in point or point == "before rename"


def _can_fail(point: str, number: int, lost: bool) -> bool:
    """Whether a call can end so. Others can refuse it, and their answer to a change can be lost."""
    when, _, call = point.partition(" ")
    of_others = ": " in call
    if when == "after" or lost:
        return lost and when == "after" and of_others and call.endswith("!")
    return of_others or (number == errno.EIO and call in (*_LOOKS, *_CHANGES))
