"""A backup set on this machine: fetched from a host, or to be restored on one. Reads and writes files here only."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from webui_stack.progress import Counted, Progress

MANIFEST = "manifest.json"
# The time it was made, as templates/backup.sh.j2 names it.
NAME = "[0-9]{8}T[0-9]{6}Z"
# What a host says of its set is not believed: a part is a file in the set's own folder.
_FILE = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_CHUNK = 1 << 20


class SetError(Exception):
    """Why a folder is no backup set to rely on; a line for each reason."""


class Part(BaseModel):
    """A file in a set: its size in bytes and its SHA-256."""

    model_config = ConfigDict(frozen=True, strict=True)

    size: int
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    name: Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
    parts: dict[Annotated[str, StringConstraints(pattern=f"^{_FILE}$")], Part]


@dataclass(frozen=True)
class BackupSet:
    """A set as its manifest describes it."""

    path: Path
    name: str
    parts: dict[str, Part]


def choose(folder: Path, wanted: str) -> BackupSet:
    """The set `wanted` ("newest", or its name) of a folder of sets, or in the folder of that very set.

    Raises `SetError` where there is none, or one with a part that is missing or not of its size.
    """
    if (folder / MANIFEST).is_file():
        found = _read(folder)
        if wanted not in ("newest", found.name):
            raise SetError(f"{folder}: expected the set {wanted}, got {found.name}; set restore_set to it")
        return found
    there = names(folder)
    name = there[-1] if there and wanted == "newest" else wanted
    if name not in there:
        raise SetError(f"{folder}: expected the set {wanted} in it, got {' '.join(there) or 'none'}; look at the path")
    return _read(folder / name)


def names(folder: Path) -> list[str]:
    """The complete sets in a folder, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if re.fullmatch(NAME, path.name) and path.is_dir())


def keep(folder: Path, count: int) -> list[str]:
    """Ensure only the newest `count` sets are in a folder, 0 for all of them; the names of those that went."""
    old = names(folder)[:-count] if count else []
    for name in old:
        shutil.rmtree(folder / name)
    return old


def _read(path: Path) -> BackupSet:
    try:
        manifest = _Manifest.model_validate_json((path / MANIFEST).read_bytes())
    except OSError as error:
        raise SetError(f"{path}: expected a backup set, got {error}; take another one") from None
    except ValidationError as error:
        said = "; ".join(detail["msg"] for detail in error.errors())
        raise SetError(
            f"{path / MANIFEST}: expected it to describe a backup set, got {said}; take another one"
        ) from None
    problems = []
    for name, part in sorted(manifest.parts.items()):
        size = (path / name).stat().st_size if (path / name).is_file() else None
        if size != part.size:
            got = "no file" if size is None else size
            problems.append(f"{path.name}/{name}: expected {part.size} bytes, got {got}; take another set")
    if problems:
        raise SetError("\n".join(problems))
    return BackupSet(path, manifest.name, manifest.parts)


class Writer:
    """A set that arrives in `folder`: as NAME.part until `close` has verified all of it, for its owner alone."""

    def __init__(self, folder: Path, name: str) -> None:
        if not re.fullmatch(NAME, name):
            raise SetError(f"backup: expected a set on the host, got {name or 'none'}; run it again")
        self._path = folder / name
        self._part = folder / f"{name}.part"
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob("*.part"):  # of runs that were cut off
            shutil.rmtree(left)
        self._part.mkdir(mode=0o700)

    @contextmanager
    def file(self, name: str, progress: Progress) -> Iterator[io.RawIOBase]:
        """A file of the set to write to."""
        if not re.fullmatch(_FILE, name):
            raise SetError(f"{self._path.name}: expected files of a backup set, got {name!r}; look at the host")
        with open(self._part / name, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as target:
            yield Counted(target, progress)
            target.flush()
            os.fsync(target.fileno())

    def close(self, say: Callable[[str], None]) -> BackupSet:
        """Ensure the set has its name, each file as its manifest says; raises `SetError`, with no set, otherwise."""
        arrived = _read(self._part)
        problems = []
        if arrived.name != self._path.name:
            problems.append(f"{self._path.name}: expected its own {MANIFEST}, got {arrived.name}'s; fetch it again")
        for name in sorted(path.name for path in self._part.iterdir()):
            if name not in {*arrived.parts, MANIFEST}:
                problems.append(f"{self._path.name}/{name}: expected only what {MANIFEST} lists, got another file")
        for name, part in sorted(arrived.parts.items()):
            found = sha256(self._part / name, Progress(f"checking {name}", part.size, say))
            if found != part.sha256:
                problems.append(
                    f"{self._path.name}/{name}: expected SHA-256 {part.sha256}, got {found}; fetch it again"
                )
        if problems:
            raise SetError("\n".join(problems))
        self._part.rename(self._path)
        return BackupSet(self._path, arrived.name, arrived.parts)


def sha256(path: Path, progress: Progress) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            progress.add(len(chunk))
    return digest.hexdigest()
