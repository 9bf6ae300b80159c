"""Where a program under test can fail or be killed: one call counted after the other, one of them going wrong.

A generator runs a scenario once with `Faults()`, reads `points()`, and runs it again from the start with each of them:

    for fault in faults.points():
        world = ...                       # anew
        world.engine.faults = Faults(fault)
        with suppress(Crash, HostError):
            verb(world)
        world.engine.faults = Faults()    # the next process
        recover(world); verb(world)

The fakes of one world share one `Faults`, so that calls to Docker, to compose and to files are counted together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.host import cases

# The program is killed before the call reaches the other side.
CRASH_BEFORE = "crash before"
# It is killed after the call was carried out, before it knows of that.
CRASH_AFTER = "crash after"
# It is killed while its input is on the way: the other side has half of it, then its end.
CRASH_WITHIN = "crash within"
# Any other kind is the name of an error. With this ending the call was carried out, and the error is all one learns.
DONE = ", but done"


class Crash(BaseException):
    """The program is dead. Nothing that it does from here on, in a `finally` say, may reach the world."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at which call, counted from 0."""

    index: int
    kind: str


@dataclass(frozen=True)
class Made:
    """A call that was made, and all that could have gone wrong with it."""

    index: int
    name: str
    kinds: tuple[str, ...]


@dataclass
class Faults:
    """Counts calls; `fault` is the one thing that goes wrong, if there is one."""

    fault: Fault | None = None
    calls: list[Made] = field(default_factory=list)
    dead: bool = False
    _quiet: int = 0

    def __post_init__(self) -> None:
        if self.fault:
            cases.one_more()

    def points(self) -> list[Fault]:
        """Everything that can go wrong with the calls that were made, in their order."""
        return [Fault(made.index, kind) for made in self.calls for kind in made.kinds]

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Not counted: what the world does by itself, or a test looks at."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

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
        """One call, carried out by the body. `errors` are what it can raise without having changed anything.

        `lost` is the one of them that leaves it open whether the call was carried out; `within` carries out half of it.
        """
        if self._quiet:
            yield
            return
        if self.dead:
            raise Crash
        kinds = [CRASH_BEFORE, *errors]
        if changes:  # what only reads leaves the same world before and after
            kinds += [CRASH_AFTER, *([lost + DONE] if lost else [])]
        if within:
            kinds.append(CRASH_WITHIN)
        made = Made(len(self.calls), name, tuple(kinds))
        self.calls.append(made)
        kind = self.fault.kind if self.fault and self.fault.index == made.index else ""
        if kind and kind not in kinds:
            raise AssertionError(
                f"call {made.index} is {name}, which can't have {kind!r}: is the scenario deterministic?"
            )
        if kind == CRASH_WITHIN and within:
            within()
        if kind in (CRASH_BEFORE, CRASH_WITHIN):
            self._die()
        if kind in errors:
            raise errors[kind]()
        try:
            yield
        finally:
            if kind == CRASH_AFTER:
                self._die()
        if kind == lost + DONE:
            raise errors[lost]()

    def _die(self) -> None:
        self.dead = True
        raise Crash
