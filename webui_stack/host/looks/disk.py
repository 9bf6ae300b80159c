"""Disk: room and inodes where Docker has its data, and where backup sets are."""

from __future__ import annotations

from collections.abc import Iterator

from .. import disk, dockerd
from ..engine import EngineError
from ..finding import Finding, Sample
from .sight import Sight
from .words import percent

_KB, _GB = 1024, 1e9
# Docker's root changes with a restart of Docker alone.
_ROOT_S = 3600.0


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: two system calls, and one call to Docker in an hour."""
    # There is none before the first backup.
    if at.system.path(at.asked.backup_dir).is_dir():
        yield from _room(at, "backups", at.asked.backup_dir)
    yield from _room(at, "docker", _root(at))


def _root(at: Sight) -> str:
    """Where Docker has its data. One that gives no answer, as on a full disk, has them where its file says."""
    try:
        return at.memory.kept("docker root", _ROOT_S, lambda: at.engine.info().root)
    except EngineError:
        return dockerd.root(at.system, "")


def _room(at: Sight, what: str, folder: str) -> Iterator[Finding | Sample]:
    room, bounds = disk.room(at.system, folder), at.asked.thresholds
    free, whole = room["disk_free_kb"] * _KB, room["disk_kb"] * _KB
    share = percent(free, whole)
    is_well = share >= bounds.disk_free_percent and free >= bounds.disk_free_bytes
    yield Finding(
        f"disk_{what}",
        is_well,
        f"{free / _GB:.1f} GB ({share:.0f} %) are free at {folder}, on {room['mount']}",
        "" if is_well else f"free some: see `df -h {folder}` and `docker system df`",
    )
    labels = {"place": what}
    yield Sample("open_webui_stack_disk_free_bytes", free, labels, "Room that is left on the disk.")
    yield Sample("open_webui_stack_disk_size_bytes", whole, labels, "The size of the disk.")
    if not room["inodes"]:  # its file system has no fixed number of them
        return
    share = percent(room["inodes_free"], room["inodes"])
    is_well = share >= bounds.inodes_free_percent
    yield Finding(
        f"inodes_{what}",
        is_well,
        f"{share:.0f} % of the inodes are free at {folder}, on {room['mount']}",
        "" if is_well else f"remove small files: see `df -i {folder}`",
    )
    yield Sample("open_webui_stack_disk_free_inodes", room["inodes_free"], labels, "Inodes that are left.")
    yield Sample("open_webui_stack_disk_inodes", room["inodes"], labels, "Inodes of the file system.")
