"""Docker itself: its packages and its own files, where nobody else needs it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from functools import partial

from .. import dockerd
from ..errors import HostError
from ..files import Files
from ..system import System
from .items import Item, looked_at, unknown
from .objects import Objects
from .request import Request

WHAT = "Docker itself"


def docker_itself(
    asked: Request,
    system: System,
    files: Files,
    objects: Objects | None,
    found: Sequence[Item],
) -> Iterator[Item]:
    """What becomes of Docker, after all that was `found` before; `objects` is None where there is no Docker."""
    if asked.docker == "present":
        yield Item("packages", WHAT, "stays", "this project did not install it (docker_source = 'present')")
        return
    if asked.docker == "kept":
        if objects or system.has("docker"):
            yield Item("packages", WHAT, "stays", "teardown_docker = True removes it")
        return
    try:
        others = _of_others(objects, found) if objects else []
    except HostError as error:
        yield unknown("packages", WHAT, error)
        return
    if others:
        why = f"expected nobody's containers and volumes, got {','.join(others)}"
        yield Item("packages", WHAT, "stays", why)
        return
    if asked.packages:
        yield Item("packages", " ".join(asked.packages))
    for path in asked.docker_files:
        yield from looked_at("docker file", path, partial(_there, files, Item("docker file", path)))
    folders = sorted({posixpath.dirname(path) for path in (*asked.docker_files, dockerd.DAEMON_JSON)})
    emptied = [item for one in folders for item in looked_at("docker folder", one, partial(_emptied, files, one))]
    yield from dict.fromkeys(emptied)  # one may be the nearest above several
    if dockerd.DAEMON_JSON not in asked.docker_files:
        theirs = Item("docker file", dockerd.DAEMON_JSON, "stays", "it has more than docker_daemon says")
        yield from looked_at("docker file", theirs.name, partial(_there, files, theirs))
    data = Item("folder", dockerd.DEFAULT_ROOT, "stays", "Docker's own folder; remove it by hand")
    yield from looked_at("folder", data.name, partial(_there, files, data))


def _of_others(objects: Objects, found: Sequence[Item]) -> list[str]:
    """The containers that stay, and the volumes that do not go, with a container or by themselves."""
    going = {item.name for item in found if item.kind == "volume" and item.state == "goes"}
    goes_with = (item.name for item in found if item.kind in ("container", "drill") and item.state == "goes")
    volumes = sorted(objects.there.volumes - going - objects.nameless(goes_with))
    return [*(f"container {name}" for name in objects.theirs), *(f"volume {name}" for name in volumes)]


def _emptied(files: Files, folder: str) -> Item | None:
    """A folder of Docker's with nothing in it, or the nearest one above: a run that was cut off has left it."""
    while f"{folder}/".startswith(f"{dockerd.FOLDER}/"):
        names = files.listdir(folder)
        if names is not None:
            return None if names else Item("docker folder", folder)
        folder = posixpath.dirname(folder)
    return None


def _there(files: Files, item: Item) -> Item | None:
    return item if files.exists(item.name) else None
