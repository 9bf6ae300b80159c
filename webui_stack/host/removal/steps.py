"""A teardown that is carried out, item by item. Each step can be cut off, and taken again."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from .. import dockerd
from ..engine import Engine, NotFound, Refused
from ..errors import HostError
from ..files import Files
from ..protocol import Event
from ..system import System
from . import units
from .items import LAST, Item, reason, stays
from .objects import present

# A service may take 90 s to stop before systemd kills it (systemd-system.conf(5)).
_UNIT_S = 300.0
_PACKAGES_S = 1800.0
_STOP_S = 30


class Removal:
    """Removes what goes. The caller holds the locks of the stack, and has just decided."""

    def __init__(
        self, system: System, engine: Engine, files: Files, package_manager: str, emit: Callable[[Event], None]
    ) -> None:
        self._system, self._engine, self._files, self._emit = system, engine, files, emit
        self._package_manager = package_manager
        self._steps: Mapping[str, Callable[[str], object]] = {
            "container": self._container,
            "drill": lambda name: engine.remove(name, force=True, volumes=True),
            "network": engine.remove_network,
            "volume": engine.remove_volume,
            "image": engine.remove_image,
            "unit": self._unit,
            "file": files.remove,
            "tree": files.remove_tree,
            "memory": files.remove_tree,
            "folder": files.remove_folder,
            "packages": self._packages,
            "docker file": self._docker_file,
            "docker folder": self._docker_folder,
            "trace": files.remove_tree,
        }

    def carry_out(self, items: Iterable[Item]) -> None:
        """Ensure that nothing is left of what goes, and say so of each thing.

        Goes on after a thing that can't be removed, but leaves what the next teardown needs to know, and Docker.
        Raises `HostError` in the end, where something is left that should not be, or could not be looked at.
        """
        left: list[str] = []
        for item in items:
            if item.kind == "lease":
                continue
            if item.state != "goes":
                self._say(str(item))
                left += [item.what] if item.state == "unknown" else []
            elif left and item.kind in LAST:
                self._say(stays(item.what, "it goes once all of the above is gone"))
            elif not self._is_removed(item):
                left.append(item.what)
        if left:
            raise HostError(
                "teardown",
                expected="to remove all that goes",
                got=f"some of it left: {', '.join(left)}",
                do="see the lines above, and run it again",
            )

    def _is_removed(self, item: Item) -> bool:
        """Whether it is gone, or may stay: Docker knows best who else needs an image."""
        try:
            with suppress(NotFound):  # somebody else was quicker
                self._steps[item.kind](item.name)
        except HostError as error:
            self._say(stays(item.what, f"it could not be removed: {reason(error)}"))
            return item.kind == "image" and isinstance(error, Refused)
        self._say(f"removed {item.what}")
        return True

    def _say(self, line: str) -> None:
        self._emit(Event(line))

    # --- Steps

    def _container(self, name: str) -> None:
        """Its named volumes are no part of it."""
        self._engine.stop(name, timeout_s=_STOP_S)
        self._engine.remove(name, volumes=True)

    def _unit(self, name: str) -> None:
        path = f"{units.FOLDER}/{name}"
        if not self._system.has_systemd():
            self._files.remove(path)
            return
        self._system.order("systemctl", "disable", "--now", name, limit_s=_UNIT_S)
        self._files.remove(path)
        self._system.order("systemctl", "daemon-reload", limit_s=_UNIT_S)
        with suppress(HostError):  # it is not loaded any more, unless it failed
            self._system.order("systemctl", "reset-failed", name, limit_s=_UNIT_S)

    def _packages(self, names: str) -> None:
        """dpkg and rpm refuse where another package depends on one of these."""
        there = present(self._system, self._engine)
        if there and (there.containers or there.volumes):
            raise HostError(
                "docker",
                expected="nobody's containers and volumes",
                got=", ".join([*there.containers, *sorted(there.volumes)]),
                do="see whose they are",
            )
        remover = ("dpkg", "--remove") if self._package_manager == "apt" else ("rpm", "--erase")
        self._system.order(*remover, *names.split(), limit_s=_PACKAGES_S)

    def _docker_file(self, path: str) -> None:
        self._files.remove(path)
        self._docker_folder(posixpath.dirname(path))

    def _docker_folder(self, path: str) -> None:
        """With those above it, up to Docker's own, as far as nothing is in them."""
        while f"{path}/".startswith(f"{dockerd.FOLDER}/") and not self._files.listdir(path):
            self._files.remove_folder(path)
            path = posixpath.dirname(path)
