"""Data that take the place of others in a folder, by renames that can be undone after a crash at any of them.

Runs inside Open WebUI's own image, whose Python gets this file on stdin (`volumes.py`):

    python3 - ACTION {FOLDER: [KEPT, ...], ...}

It works on each folder in turn and prints what is in each then, as one line of JSON. The names beside the data are:

    .restore-new        the data that are to take the place of those that are there
    .restore-old.part   some of the data that were there; the rest is still, or again, in the folder itself
    .restore-old        all of the data that were there
    .restore-before.N   the same of an earlier time: nobody has said yet that they are not needed
    .restore-trash      what nobody needs any more
    .restore-kept       a copy that is not whole yet
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PREFIX = ".restore-"
NEW, PART, OLD, TRASH, KEPT = (f"{PREFIX}{name}" for name in ("new", "old.part", "old", "trash", "kept"))
BEFORE = f"{PREFIX}before."
# Files and folders that only people's data have: Open WebUI's database, Valkey's snapshot and log.
MARKS = ("webui.db", "dump.rdb", "appendonlydir")


class Refusal(Exception):  # noqa: N818
    """Why a folder was left as it is."""


def make(folder: Path) -> None:
    """Ensure an empty place for new data. Refuses where earlier data wait to be put back or forgotten."""
    if places(folder) & {OLD, PART}:
        raise Refusal("expected no earlier data beside those in use, got some; put them back or forget them first")
    for name in (NEW, TRASH, KEPT):
        discard(folder, name)
    new_folder(folder, NEW)
    sync(folder)


def set_aside(folder: Path) -> None:
    """Ensure no earlier data are in the way of others: they get a name of their own. Refuses what is half swapped."""
    there = places(folder)
    refuse_half(there)
    if OLD in there:
        numbers = [int(name[len(BEFORE) :]) for name in there if name.startswith(BEFORE)]
        rename(folder, OLD, f"{BEFORE}{max(numbers, default=0) + 1}")


def swap(folder: Path, kept: Iterable[str]) -> None:
    """Ensure the new data are in the folder, and all that were there in `.restore-old`. Goes on after a crash.

    `kept` are folders that a set leaves out because Open WebUI would download them again: they stay.
    """
    there = places(folder)
    if TRASH in there or not there & {NEW, OLD}:
        raise Refusal(f"expected new data beside those in use, got {' '.join(sorted(there)) or 'none'}")
    os.sync()  # what was filled in has to be on the disk before it counts
    if OLD not in there:
        if PART not in there:
            new_folder(folder, PART)
        shift(folder, folder / PART)
        rename(folder, PART, OLD)
    if NEW in there:
        shift(folder / NEW, folder)
        for name in kept:
            keep(folder, name)
        (folder / NEW).rmdir()
        sync(folder)


def undo(folder: Path) -> None:
    """Ensure the earlier data are in the folder, and nothing beside them. Goes on after a crash, of `swap` as well.

    Writes since the swap are lost.
    """
    there = places(folder)
    if NEW in there:
        # Never half removed under its own name: somebody could take it for whole.
        rename(folder, NEW, f"{TRASH}/{NEW}" if TRASH in there else TRASH)
    if OLD in there:
        if TRASH not in places(folder):
            new_folder(folder, TRASH)
        shift(folder, folder / TRASH)
        rename(folder, OLD, PART)
    if PART in places(folder):
        shift(folder / PART, folder)
        (folder / PART).rmdir()
        sync(folder)
    discard(folder, TRASH)
    discard(folder, KEPT)


def forget(folder: Path) -> None:
    """Ensure nothing is beside the data. Refuses where the data are half swapped: both halves are needed."""
    there = places(folder)
    refuse_half(there)
    for name in (TRASH, OLD, NEW, KEPT, *(name for name in sorted(there) if name.startswith(BEFORE))):
        discard(folder, name)


def refuse_half(there: set[str]) -> None:
    """Fail where the names beside the data are those of a swap, or an undo, that was cut off."""
    if PART in there or (OLD in there and there & {NEW, TRASH}):
        raise Refusal("expected data in one place, got them half swapped; finish that, or undo it")


def look(folder: Path) -> dict[str, list[str]]:
    """What is beside the data, and which marks of people's data are in the folder."""
    names = {path.name for path in folder.iterdir()}
    return {"beside": sorted(places(folder)), "data": [name for name in MARKS if name in names]}


def places(folder: Path) -> set[str]:
    """The names beside the data."""
    return {path.name for path in folder.iterdir() if path.name.startswith(PREFIX)}


def new_folder(folder: Path, name: str) -> None:
    """An empty folder beside the data. It has their owner: Valkey does not start beside a file of somebody else."""
    (folder / name).mkdir(mode=0o700)
    owner = folder.stat()
    os.chown(folder / name, owner.st_uid, owner.st_gid)


def shift(source: Path, target: Path) -> None:
    """Move all data of a folder to another one. Both are on the disk then."""
    for path in sorted(source.iterdir()):
        if not path.name.startswith(PREFIX):
            path.rename(target / path.name)
    # In this order a power cut may leave both names of a file, and never none.
    sync(target)
    sync(source)


def rename(folder: Path, old: str, new: str) -> None:
    """Give a place another name. That is on the disk then."""
    (folder / old).rename(folder / new)
    sync(folder)


def discard(folder: Path, name: str) -> None:
    """Ensure nothing has that name. A folder is never half removed under a name that means something."""
    if name not in places(folder):
        return
    if name not in (TRASH, KEPT):
        discard(folder, TRASH)
        rename(folder, name, TRASH)
        name = TRASH
    shutil.rmtree(folder / name)
    sync(folder)


def keep(folder: Path, name: str) -> None:
    """Ensure a folder of the earlier data is among the new ones as well. Its files are the same ones, by hard links."""
    source, target, copy = folder / OLD / name, folder / name, folder / KEPT
    if source.is_symlink() or not source.is_dir() or target.exists() or target.is_symlink():
        return
    discard(folder, KEPT)
    shutil.copytree(source, copy, symlinks=True, copy_function=os.link)
    for path in (copy, *copy.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            owner = (source / path.relative_to(copy)).stat()
            os.chown(path, owner.st_uid, owner.st_gid)
    target.parent.mkdir(parents=True, exist_ok=True)
    copy.rename(target)


def sync(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def act(action: str, folders: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[str]]]:
    """Do it in each of the folders; what is in each then."""
    for name, kept in folders.items():
        folder = Path(name)
        if action == "make":
            make(folder)
        elif action == "set aside":
            set_aside(folder)
        elif action == "swap":
            swap(folder, kept)
        elif action == "undo":
            undo(folder)
        elif action == "forget":
            forget(folder)
        elif action != "look":
            raise Refusal(f"expected an action, got {action}")
    return {name: look(Path(name)) for name in folders}


def main() -> None:
    """Run as a program."""
    try:
        print(json.dumps(act(sys.argv[1], json.loads(sys.argv[2]))))
    except (OSError, shutil.Error, Refusal) as error:
        sys.exit(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
