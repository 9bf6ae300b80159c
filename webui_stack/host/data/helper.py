"""Programs that work on people's data, each in a container of its own."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO

from ..clock import Clock
from ..engine import Engine, NewContainer, NotFound, Output, Refused
from ..errors import HostError

NAME = "open-webui-stack-helper"
LABEL = "open-webui-stack.helper"
# Docker removes such a container by itself, and answers 409 while it is at that.
_REMOVED_S, _PAUSE_S = 60.0, 0.5


class Helper:
    """Runs one program at a time, in a container called `name`.

    A run that was killed may have left its container at work on the data. So each run first ends the one before. The
    caller holds the lock that goes with the name: whoever works on the data under another lock uses another name.
    """

    def __init__(self, engine: Engine, clock: Clock, name: str = NAME) -> None:
        self._engine, self._clock, self._name = engine, clock, name

    def run(
        self,
        new: NewContainer,
        *,
        stdin: bytes | BinaryIO | None = None,
        stdout: BinaryIO | None = None,
        accept: Collection[int] = (0,),
    ) -> Output:
        """Run a program, as `Engine.run` does, once no other is at work under this name."""
        self.end()
        marked = replace(new, labels={**new.labels, LABEL: "yes"})
        return self._engine.run(self._name, marked, stdin=stdin, stdout=stdout, accept=accept)

    def end(self) -> None:
        """Ensure no program is at work under this name. Fails where that can't be seen.

        Fails as well for a container of that name that somebody else made.
        """
        try:
            found = self._engine.container(self._name)
        except NotFound:
            return
        if LABEL not in found.labels:
            raise HostError(
                f"container {self._name}",
                expected="one that this project made",
                got="one of somebody else",
                do=f"rename it, see `docker rename --help`: {self._name} is the name for work on the data",
            )
        with suppress(NotFound):
            remove(self._engine, self._clock, found.id)


def remove(engine: Engine, clock: Clock, name: str) -> None:
    """Remove a container, with its volumes that have no name; waits for a removal that is under way."""
    limit_s = clock.monotonic() + _REMOVED_S
    while True:
        try:
            engine.remove(name, force=True, volumes=True)
        except Refused as error:
            if error.status != 409 or clock.monotonic() >= limit_s:
                raise
        else:
            return
        clock.sleep(_PAUSE_S)
