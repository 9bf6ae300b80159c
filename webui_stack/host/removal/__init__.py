"""A teardown: what on this host is this project's, what of it goes, and how each thing is removed.

`decide` only looks, and gives a list of items in the order in which they go. `Removal` carries such a list out.
"""

from __future__ import annotations

from ..engine import Engine
from ..files import Files
from ..system import System
from . import files as made_files
from . import traces, units
from .docker_itself import docker_itself
from .items import Item
from .objects import Objects, present
from .request import Request
from .steps import Removal

__all__ = ["Item", "Removal", "Request", "decide"]


def decide(asked: Request, system: System, engine: Engine, files: Files) -> list[Item]:
    """What goes and what stays, and why. Reads only.

    A thing about which a question fails stays, and is "unknown". Raises `HostError` where a Docker that is installed
    does not say which containers and volumes there are: then those of others are unknown as well.
    """
    there = present(system, engine)
    objects = Objects(asked, engine, files, there) if there else None
    found: list[Item] = []
    if objects:
        found += objects.drill()
    found += units.units(files)
    if objects:
        found += [*objects.containers(), *objects.network(), *objects.images(), *objects.volumes()]
    found += made_files.stack(asked, system, files)
    found += made_files.backups(asked, system, files)
    found += docker_itself(asked, system, files, objects, found)
    found += traces.traces(asked, system, files)
    return found
