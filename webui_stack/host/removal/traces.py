"""What tells of deploys, and of the runs that made them: logs, notes, locks, the lease."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial

from .. import lease
from ..errors import HostError
from ..files import Files
from ..locks import RUN_FOLDER
from ..system import System
from . import files as made_files
from .items import Item, looked_at, unknown
from .request import Request

# Where a large file is while it travels to the host, or from it (webui_stack/transport/transfer.py).
TRANSFER = "/var/lib/open-webui-stack.transfer"
# Where apt works on the packages of a bundle (`deb_repository.py`).
PACKAGES = "/var/lib/open-webui-stack.packages"
# What the monitor has noted: alarms that are open.
NOTES = "/var/lib/open-webui-stack"
_RUN = "/run"


def traces(asked: Request, system: System, files: Files) -> list[Item]:
    """The log of deploys, and what runs have left. Where locks and the lease are, the run itself removes in the end."""
    folder = posixpath.dirname(asked.deploy_log)
    try:
        found = [_log(asked, f"{folder}/{name}") for name in made_files.listed(files, folder)]
    except HostError as error:
        found = [unknown("folder", folder, error)]
    found += made_files.emptied(folder, found, system, files)
    found += _of_runs(files, asked.metrics_file)
    return found


def _log(asked: Request, path: str) -> Item:
    return Item("trace", path) if path == asked.deploy_log else Item("tree", path, "stays", made_files.NOT_OURS)


def _of_runs(files: Files, metrics: str) -> Iterator[Item]:
    name = posixpath.basename(RUN_FOLDER)
    try:
        names = [one for one in files.listdir(_RUN) or [] if one == name or one.startswith(f"{name}.")]
    except HostError as error:
        yield unknown("folder", _RUN, error)
        names = []
    of_the_lease = {RUN_FOLDER, *(f"{RUN_FOLDER}{ending}" for ending in lease.OLD_FILES)}
    for path in (f"{_RUN}/{one}" for one in names):
        yield Item("lease" if path in of_the_lease else "trace", path)
    for path in (TRANSFER, PACKAGES, NOTES, *([metrics] if metrics else [])):
        yield from looked_at("trace", path, partial(_left, files, path))


def _left(files: Files, path: str) -> Item | None:
    return Item("trace", path) if files.exists(path) else None
