"""Locked images: which of them this host has, and their way to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import client_config, dockerd, images
from ..clock import Clock
from ..containers import Containers
from ..engine import Engine, NotFound, Unavailable
from ..engine.images import Login
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..system import System, require_root

if TYPE_CHECKING:
    from ..archive import Archive


def look(arguments: Mapping[str, Any], _emit: Callable[[Event], None]) -> dict[str, dict[str, str]] | None:
    """What `images.held` says about the `wanted` images; None where Docker gives no answer at all. Reads only.

    A Docker that does not answer is a state of the host, as for the survey: it may be yet to come.
    """
    require_root()
    engine, _ = _engine(System())
    try:
        engine.ping()
    except Unavailable:
        return None
    return images.held(engine, images.locked(arguments["wanted"]))


def running(arguments: Mapping[str, Any], _emit: Callable[[Event], None]) -> dict[str, dict[str, Any]]:
    """The images of the containers whose names match the `pattern`, by the reference each was made with. Reads only.

    Containers, not tags: what was proved is what runs. An image that is removed while its container is there is left
    out. Docker that gives no answer is an error.
    """
    require_root()
    engine, _ = _engine(System())
    return images_of(engine, arguments["pattern"])


def images_of(engine: Engine, pattern: str) -> dict[str, dict[str, Any]]:
    """What `running` tells, asked of an engine."""
    found = {}
    for name in Containers(engine, Clock()).names(pattern):
        try:
            one = engine.container(name)
            image = engine.image(one.image_id)
        except NotFound:
            continue
        found[one.image] = {"id": image.id, "architecture": image.architecture, "digests": list(image.digests)}
    return found


def pull(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure each reference means its locked image, and each of the others any; `wanted` are those of `images.Locked`.

    `references` are the others, which have no lock. `logins` has user and password by registry. Changes nothing
    for an image that is here and has its reference.
    Raises `HostError` where a registry does not give the locked one, or none.
    """
    require_root()
    system, clock = System(), Clock()
    engine, home = _engine(system)
    logins = {registry: Login(**login) for registry, login in arguments.get("logins", {}).items()}
    registry = images.Registry(system, engine, client_config.read(system, home), clock, emit, logins)
    # Not the work lock: a pull may take hours, changes no container, and backups and the watchdog go on beside it. The
    # lease keeps other runs away, but a run whose connection was lost has none, while its worker pulls on. So one pull
    # waits for the other: the references are as the later run wants them, and a wait names the earlier worker.
    with Locks(LINUX, clock, lambda line: emit(Event(line))).images("pull"):
        registry.bring(images.locked(arguments.get("wanted", ())))
        for reference in arguments.get("references", ()):
            registry.ensure(reference)


def load(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure the `reference` means the image of the `id`, from the archive at `path`.

    Raises `HostError` for an archive that gives names to images, and for one of another image.
    """
    require_root()
    emit(Event(f"loading {arguments['reference']}"))
    with Locks(LINUX, Clock(), lambda line: emit(Event(line))).images("load"):
        _archive(arguments["path"]).load(arguments["id"], arguments["reference"])


def save(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure the archive at `path` has the image of the `id`. Nothing else of the host changes."""
    require_root()
    # A run that was cut off may have left one at work, on the same path.
    with Locks(LINUX, Clock(), lambda line: emit(Event(line))).images("save"):
        _archive(arguments["path"]).save(arguments["id"])


def _archive(path: str) -> Archive:
    from ..archive import Archive  # its tarfile costs as much at each start of the program as a dozen calls

    system = System()
    return Archive(system, _engine(system)[0], path)


def _engine(system: System) -> tuple[Engine, str]:
    """The engine, and the home of the user whose docker command reaches it."""
    home = os.environ.get("HOME", "/root")
    return Engine(dockerd.socket(system, home)), home
