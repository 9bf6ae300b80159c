"""Containers that somebody made by hand, while the stack takes over from them.

They wait, stopped, as `NAME.by-hand`, until their successors are healthy: open-webui is the first to stop and the last
to start. Their volumes are never removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .containers import PROCESSES, Containers
from .engine import Engine
from .errors import HostError
from .files import Files

_NAMES = ("redis-valkey", "open-webui")  # in the order they start
_SUFFIX = ".by-hand"
_POLICY = re.compile(r"([a-z-]*):([0-9]+)")


class ByHand:
    """The containers made by hand on a host whose stack is in `folder`. `tell` gets a line for each that changes."""

    def __init__(
        self, files: Files, engine: Engine, containers: Containers, folder: str, tell: Callable[[str], None]
    ) -> None:
        self._files, self._engine, self._containers = files, engine, containers
        self._folder, self._tell = folder, tell

    def waiting(self) -> list[str]:
        """The names, without the suffix, of those that have stepped aside."""
        there = self._containers.names("|".join(re.escape(f"{name}{_SUFFIX}") for name in _NAMES))
        return [name for name in _NAMES if f"{name}{_SUFFIX}" in there]

    def step_aside(self, name: str) -> None:
        """Ensure a container made by hand waits, stopped, and that no reboot starts it: nothing happens to ours.

        With `--restart always` a reboot would start it beside its successor, on the same data. Its policy is noted
        first. After a crash, or a failure, `come_back` makes it as it was, and another call goes on.
        """
        if name not in self.waiting():
            if self._containers.folder_of(name) in (None, self._folder):
                return
            self._tell(f"stopping {name}, made by hand; it waits as {name}{_SUFFIX}")
            self._note_policy(name)
            self._engine.set_restart_policy(name, "no")
            self._engine.rename(name, f"{name}{_SUFFIX}")
        else:
            self._engine.set_restart_policy(f"{name}{_SUFFIX}", "no")
        self._containers.stop(re.escape(f"{name}{_SUFFIX}"))

    def remove_successors(self) -> None:
        """Ensure the stack's own containers are gone that have the names, or the data, of those that wait.

        Every replica has the same data: none may run beside the one that comes back. Nothing of others
        is removed.
        """
        waiting = self.waiting()
        pattern = "|".join(PROCESSES if name == "open-webui" else re.escape(name) for name in waiting)
        for name in reversed(self._containers.names(pattern)) if waiting else ():
            if self._containers.folder_of(name) == self._folder:
                self._containers.remove(name, force=True)

    def come_back(self) -> bool:
        """Ensure those that stepped aside run as they did before. Returns whether there was one.

        The caller has removed their successors: on one volume, two must never run.
        """
        waiting = self.waiting()
        came_back = False
        for name in _NAMES:
            if name in waiting:
                self._engine.rename(f"{name}{_SUFFIX}", name)
            elif not self._noted(name) or self._containers.folder_of(name) in (None, self._folder):
                continue
            came_back = True
            self._restore_policy(name)
            if self._engine.container(name).status != "running":
                self._engine.start(name)
                self._tell(f"{name} runs again as it was; nothing was taken over")
            self._files.remove(self._note(name))  # last: after a crash, the note says that this is to be done
        return came_back

    def let_go(self) -> None:
        """Ensure those that wait are removed, as their successors are healthy.

        A later run that fails would give them their names back, so they have to be gone.
        """
        for name in self.waiting():
            try:
                self._containers.remove(f"{name}{_SUFFIX}")
            except HostError as error:
                raise HostError(
                    f"{name}{_SUFFIX}",
                    expected="to remove it, as its successor is healthy",
                    got=error.got,
                    do="docker rm it",
                ) from error
        for name in _NAMES:
            self._files.remove(self._note(name))

    # --- Below

    def _note(self, name: str) -> str:
        return f"{self._folder}/.{name}.restart"

    def _noted(self, name: str) -> str:
        return (self._files.read_text(self._note(name)) or "").strip("\0 \n")

    def _note_policy(self, name: str) -> None:
        """As "always:0" or "on-failure:3". What a killed run has noted stays: the policy is "no" since."""
        if not self._noted(name):
            found = self._engine.container(name)
            self._files.write(self._note(name), f"{found.restart_policy}:{found.restart_retries}\n", mode=0o644)

    def _restore_policy(self, name: str) -> None:
        noted = _POLICY.fullmatch(self._noted(name))
        if noted:
            self._engine.set_restart_policy(name, noted[1] or "no", retries=int(noted[2]))
