"""The stack's containers on this host, by name: which there are, which images run, and that they are stopped.

No container counts as absent or stopped unless Docker says so: where it does not answer, every method raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from . import digits
from .clock import Clock
from .compose import Compose
from .engine import Engine, EngineError, NotFound
from .errors import HostError
from .stack import COMPOSE_SERVICE_LABEL, FOLDER_LABEL, overlays

PROCESSES = "open-webui(-[0-9]+)?"
"""The containers of Open WebUI, as a pattern for the methods below."""
OURS = f"redis-valkey|open-webui-postgres|open-webui-ollama|open-webui-proxy|{PROCESSES}"
"""All containers that a stack may have."""
_STOP_S = 30
# Docker's list may be a moment behind (moby: daemon/monitor.go, handleContainerExit; 26.1).
_LOOKS, _LOOK_S = 5, 1.0
_LOG_LINES = 15
# When a container started that was only created.
_NEVER = "0001-01-01T"
_NUMBER = re.compile("([0-9]+)")

Each = Callable[[Callable[[str], None], Sequence[str]], None]


def at_once(change: Callable[[str], None], names: Sequence[str]) -> None:
    """Make a change to all of the containers at the same time. Raises the first error once all have ended."""
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        for done in [pool.submit(change, name) for name in names]:
            done.result()


class Containers:
    """Patterns are regular expressions for whole names. `each` makes a change to several containers."""

    def __init__(self, engine: Engine, clock: Clock, *, each: Each = at_once) -> None:
        self._engine, self._clock, self._each = engine, clock, each

    # --- Look

    def names(self, pattern: str) -> list[str]:
        """The containers of these names, in any state; `open-webui-2` comes before `open-webui-10`."""
        return _matching(pattern, (one.name for one in self._engine.listed()))

    def running(self, pattern: str) -> list[str]:
        """The containers of these names that run; what is paused counts."""
        return _matching(pattern, (one.name for one in self._engine.running()))

    def image_of(self, name: str) -> str:
        """The id of the image that a container is of, whether it runs or not; "" where there is no such container."""
        try:
            return self._engine.container(name).image_id
        except NotFound:
            return ""

    def healthy(self, pattern: str) -> list[str]:
        """The containers of these names that are healthy now."""
        return [name for name in self.running(pattern) if self._engine.container(name).health == "healthy"]

    def has_started(self, name: str, image_id: str) -> bool:
        """Whether a container is of this image, and has run at least for a moment."""
        try:
            one = self._engine.container(name)
        except NotFound:
            return False
        return one.image_id == image_id and not one.started_at.startswith(_NEVER)

    def folder_of(self, name: str) -> str | None:
        """The folder of the compose project that made a container, "" for none; None where there is no container."""
        try:
            return self._engine.container(name).labels.get(FOLDER_LABEL, "")
        except NotFound:
            return None

    def of_overlay(self, folder: str) -> list[str]:
        """The containers of services that only the folder's overlay has, in any state."""
        return overlays(self._engine.listed(), folder)

    def in_order(self, first: str, others: Sequence[str]) -> bool:
        """Whether `first` started before all the others."""
        # Docker leaves out zeros at the end of a fraction: with the Z, "10:00:00.5Z" comes after "10:00:00.51Z".
        started = [self._engine.container(name).started_at.rstrip("Z") for name in (first, *others)]
        return min(started) == started[0]

    def complaints(self, names: Sequence[str]) -> list[str]:
        """For each container that is not running and healthy: a line about its state, and its last lines.

        It never raises for what Docker does not answer, but tells that: it explains an error, and must not hide it.
        """
        lines = []
        for name in names:
            try:
                found = self._engine.container(name)
            except NotFound:
                lines.append(f"{name} is missing")
                continue
            except EngineError as error:
                lines.append(f"{name}: {error}")
                continue
            if found.status == "running" and found.health in ("healthy", ""):  # the overlay's may have no check
                continue
            state = " ".join(part for part in (found.status, found.health, found.error) if part)
            lines.append(f"{name} is {state}; its last lines:")
            try:
                said = self._engine.logs(name, tail=_LOG_LINES).decode("utf-8", "replace")
            except EngineError as error:
                said = str(error)
            lines += [f"  | {line}" for line in said.splitlines()]
        return lines

    # --- Change

    def stop(self, pattern: str) -> None:
        """Ensure no container of these names runs, and see that none does: what one still writes would be lost later.

        Each gets 30 s to end by itself. All are asked, also where one of them fails to stop; then this raises.
        """
        names = self.running(pattern)
        if not names:
            return
        self._each(self._ask_to_stop, names)
        for _ in range(_LOOKS):
            names = self.running(pattern)
            if not names:
                return
            self._clock.sleep(_LOOK_S)
        raise HostError(
            "docker",
            expected=f"to stop {' '.join(names)}",
            got="it running still" if len(names) == 1 else "them running still",
            do="look at 'docker ps', and run this again",
        )

    def one_version(self, image_id: str) -> None:
        """Ensure no process of another image than this one runs beside others.

        Two versions must never serve one database at the same time, even with one schema
        (https://docs.openwebui.com/getting-started/updating, 0.12): where the image changes, all processes stop first.
        Where there is the first process alone, compose sees to that, as it is replaced before others start.
        """
        there = self.names(PROCESSES)
        if there != ["open-webui"] and any(self.image_of(name) not in ("", image_id) for name in there):
            self.stop(PROCESSES)

    def drop_strays(self, project: Compose) -> None:
        """Ensure there is no container of the project whose service its compose.yaml does not have."""
        services = project.services()
        for one in self._engine.containers(label=f"{FOLDER_LABEL}={project.folder}"):
            if re.fullmatch(OURS, one.name) and one.labels.get(COMPOSE_SERVICE_LABEL, "") not in services:
                self.remove(one.name, force=True)
        self.retire_of_overlay(project)

    def retire_of_overlay(self, project: Compose, *, all_of_it: bool = False) -> list[str]:
        """Ensure no container of the overlay's own services is left whose service is not wanted any more.

        `all_of_it` means every one of them. Returns the names of those that were stopped and removed.
        """
        there = [one for one in self._engine.listed() if one.name in overlays([one], project.folder)]
        if not there:
            return []
        services = [] if all_of_it else project.services()
        gone = [one.name for one in there if one.labels.get(COMPOSE_SERVICE_LABEL, "") not in services]
        for name in sorted(gone):
            self.retire(name)
        return sorted(gone)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Ensure there is no container of this name. Refused where it runs, unless `force` kills it first."""
        try:
            self._engine.remove(name, force=force)
        except NotFound:
            return

    def retire(self, name: str) -> bool:
        """Ensure a container is stopped and removed. Returns whether there was one."""
        if not self.names(re.escape(name)):
            return False
        self.stop(re.escape(name))
        self.remove(name)
        return True

    def resume(self, name: str, *, limit_s: int) -> None:
        """Ensure a container is not paused, and give it `limit_s` to get healthy; nothing happens where it does not.

        A container that was paused counts as unhealthy until its next check, and compose gives up on that at once.
        """
        if self._engine.container(name).status != "paused":
            return
        self._engine.unpause(name)
        for _ in range(limit_s):
            if self._engine.container(name).health == "healthy":
                return
            self._clock.sleep(1)

    def _ask_to_stop(self, name: str) -> None:
        # Whether it stopped is looked at afterwards. One error must not leave the others running.
        try:
            self._engine.stop(name, timeout_s=_STOP_S)
        except EngineError:
            return


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    return sorted((name for name in names if re.fullmatch(pattern, name)), key=by_number)


def by_number(name: str) -> list[tuple[int, str]]:
    """A sort key by which numbers in names count as numbers."""
    parts = ((digits.whole(part), part) for part in _NUMBER.split(name))
    return [(-1, part) if number is None else (number, "") for number, part in parts]
