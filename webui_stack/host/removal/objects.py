"""What Docker has of this project: containers, network, images and volumes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from .. import throw_away
from ..engine import Engine, NotFound, Unavailable
from ..errors import HostError
from ..files import Files
from ..stack import FOLDER_LABEL, overlays
from ..system import System
from . import memory
from .items import Item, looked_at, unknown
from .request import Request

# Of a drill that was killed, and of a restore (data/postgres.py).
_LEFT_CONTAINERS = (*throw_away.CONTAINERS, "open-webui-postgres-alone")
# Somebody's container that a deploy has taken the place of.
_BY_HAND = ".by-hand"
_REPLICA = re.compile(r"open-webui-[0-9]+")
# The name that Docker gives to a volume without one.
_NAMELESS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Present:
    """All that Docker has, whoever made it: containers with the folder of their compose project, and volumes.

    `of_overlays` are those containers whose service only the overlay in their folder has.
    """

    containers: Mapping[str, str]
    volumes: frozenset[str]
    of_overlays: frozenset[str] = frozenset()


def present(system: System, engine: Engine) -> Present | None:
    """What Docker has; None where there is no Docker. Raises `HostError` where it is installed and gives no answer."""
    try:
        there = engine.listed()
        containers = {one.name: one.labels.get(FOLDER_LABEL, "") for one in there}
        of_overlays = frozenset(name for folder in {*containers.values()} for name in overlays(there, folder))
        return Present(containers, frozenset(one.name for one in engine.volumes()), of_overlays)
    except Unavailable as error:
        if not (system.has("docker") or system.has("dockerd")):
            return None
        raise HostError(
            "docker",
            expected="a list of containers and volumes",
            got=f"no answer ({error.got})",
            do="look at `systemctl status docker`, and run this again",
        ) from error


class Objects:
    """What goes and what stays of `there`. Each method asks Docker, and changes nothing."""

    def __init__(self, asked: Request, engine: Engine, files: Files, there: Present) -> None:
        self._asked, self._engine, self._files, self.there = asked, engine, files, there
        self._ours = [name for name, folder in there.containers.items() if self._is_ours(name, folder)]
        self.theirs = [name for name in there.containers if name not in self._ours and name not in _LEFT_CONTAINERS]

    def _is_ours(self, name: str, folder: str) -> bool:
        """Whether this project made it, also for settings of before, with more replicas."""
        known = name in self._asked.known or name in self.there.of_overlays or bool(_REPLICA.fullmatch(name))
        return folder == self._asked.stack_dir and known

    def drill(self) -> Iterator[Item]:
        """What a drill, or a restore, has left that was killed."""
        for name in _LEFT_CONTAINERS:
            if name in self.there.containers:
                yield Item("drill", name)
        for name in throw_away.VOLUMES:
            if name in self.there.volumes:
                yield Item("volume", name)
        yield from looked_at("network", throw_away.NETWORK, self._drill_network)

    def _drill_network(self) -> Item:
        self._engine.network(throw_away.NETWORK)
        return Item("network", throw_away.NETWORK)

    def containers(self) -> Iterator[Item]:
        """Ours, the last to start first; and those of others that have a name of ours."""
        wanted = self._asked.containers
        unwanted = sorted((name for name in self._ours if name not in wanted), reverse=True)
        for name in (*unwanted, *reversed(wanted)):
            for one in (name, f"{name}{_BY_HAND}"):
                if one in self._ours:
                    yield Item("container", one)
                elif one in self.there.containers:
                    why = f"not made by this project in {self._asked.stack_dir}"
                    yield Item("container", one, "stays", why)

    def network(self) -> Iterator[Item]:
        """The network, where it has our label and no container of others is in it."""
        return looked_at("network", self._asked.network, self._network)

    def _network(self) -> Item:
        name = self._asked.network
        if not self._engine.network(name).labels.get(self._asked.network_label):
            why = f"not known to be made by this project; 'docker network rm {name}' removes it"
            return Item("network", name, "stays", why)
        users = self._users(network=name)
        return Item("network", name, "stays", f"{users} uses it") if users else Item("network", name)

    def images(self) -> Iterator[Item]:
        """Those of the settings and of good deploys: by tag, and by id where no tag is left."""
        references = set(self._asked.images)
        try:
            sources = memory.files(self._files, self._asked.stack_dir, "images")
        except HostError as error:
            sources = []
            yield unknown("memory", f"{self._asked.stack_dir}/{memory.DEPLOYS}", error)
        for path in sources:
            try:
                references.update(memory.images(self._files, path))
            except HostError as error:
                yield unknown("memory", path, error)
        for reference in sorted(references):
            yield from looked_at("image", reference, partial(self._image, reference))

    def _image(self, reference: str) -> Item | None:
        image = self._engine.image(reference)
        if reference.startswith("sha256:") and image.tags:
            return None
        users = self._users(image=reference)
        return Item("image", reference, "stays", f"{users} uses it") if users else Item("image", reference)

    def volumes(self) -> Iterator[Item]:
        """People's data."""
        for name in self._asked.volumes:
            yield from looked_at("volume", name, partial(self._volume, name))
        for container, name in self._asked.remembered.items():
            yield from looked_at("volume", name, partial(self._remembered, container, name))

    def _volume(self, name: str) -> Item:
        self._engine.volume(name)
        if not self._asked.data:
            return Item("volume", name, "stays", f"data; teardown_data = ['{self._asked.host}'] removes it")
        users = self._users(volume=name)
        return Item("volume", name, "stays", f"{users} uses it") if users else Item("volume", name)

    def _remembered(self, container: str, name: str) -> Item | None:
        """The volume of a service that these settings do not want, where a deploy of before had it."""
        found = self._volume(name)
        return found if memory.has_container(self._files, self._asked.stack_dir, container) else None

    def nameless(self, containers: Iterator[str]) -> set[str]:
        """The volumes without a name of their own that go with containers."""
        found = set()
        for name in containers:
            try:
                one = self._engine.container(name)
            except NotFound:
                continue
            found |= {mount.volume for mount in one.mounts if _NAMELESS.fullmatch(mount.volume)}
        return found

    def _users(self, *, network: str | None = None, volume: str | None = None, image: str | None = None) -> str:
        """The containers that stay and use something, in any state."""
        found = self._engine.containers(network=network, volume=volume, image=image)
        return " ".join(one.name for one in found if one.name not in (*self._ours, *_LEFT_CONTAINERS))
