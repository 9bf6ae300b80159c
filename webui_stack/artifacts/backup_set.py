"""A backup set on this machine: fetched from a host, or to be restored on one. Reads and writes files here only."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from webui_stack.documents.backup_document import Folder, FoundSet
from webui_stack.host import retention
from webui_stack.host.retention import Retention
from webui_stack.ops.progress import Counted, Progress

MANIFEST = "manifest.json"
# Beside the manifest of a set whose files are encrypted: what lies here, as the manifest describes what is on the host.
NOTE = "encrypted.json"
# The time it was made, as host/backup_sets.py names it.
NAME = "[0-9]{8}T[0-9]{6}Z"
# What a host says of its set is not believed: a part is a file in the set's own folder.
_FILE = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_CHUNK = 1 << 20


class SetError(Exception):
    """Why a folder is no backup set to rely on; a line for each reason."""


class Made:
    """The set that a run makes on a host: its `name`, "" before."""

    def __init__(self) -> None:
        self.name = ""

    def note(self, name: object) -> None:
        """Remember its name, the answer of the verb that made it."""
        self.name = str(name or "")


class Part(BaseModel):
    """A file in a set: its size in bytes and its SHA-256."""

    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)

    size: int
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


_Parts = dict[Annotated[str, StringConstraints(pattern=f"^{_FILE}$")], Part]


class _Manifest(BaseModel):
    model_config = ConfigDict(defer_build=True)

    name: Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
    parts: _Parts


class _Note(BaseModel):
    model_config = ConfigDict(defer_build=True)

    recipient: Annotated[str, StringConstraints(pattern="^age1[a-z0-9]+$")]
    files: _Parts


@dataclass(frozen=True)
class BackupSet:
    """A set on this machine: `parts` as they are on a host, `files` as they lie here, each encrypted or none.

    `recipient` is whose identity decrypts the files, as age names it; None where they are plain.
    """

    path: Path
    name: str
    parts: dict[str, Part]
    files: dict[str, Part]
    recipient: str | None = None


def encrypted(part: str) -> str:
    """The name of a part's encrypted file. secrets.tar.age gets one more ending, since age encrypts it once more."""
    return f"{part}.age"


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


def in_clear(folder: Path) -> list[str]:
    """The complete sets in a folder whose files are not encrypted, the oldest first."""
    return [name for name in names(folder) if not (folder / name / NOTE).exists()]


def look(folder: Path) -> Folder:
    """The sets in a folder, those that can't be read among them: each says what is wrong with it."""
    found: Folder = {"errors": [], "newest": "", "newest_unknown": "", "sets": []}
    try:
        paths = sorted(path for path in folder.iterdir() if re.fullmatch(NAME, path.name))
    except FileNotFoundError:
        return found
    except OSError as error:
        found["errors"] = [f"{folder}: expected a folder of sets, got {error.strerror}; look at the path"]
        return found
    found["sets"] = [_look(path) for path in paths]
    found["newest"] = next((path.name for path in reversed(paths) if path.is_dir()), "")
    return found


def _look(path: Path) -> FoundSet:
    found: FoundSet = {"name": path.name, "size": None, "manifest": None, "sha256": "", "problems": []}
    try:
        content = (path / MANIFEST).read_bytes()
        manifest = json.loads(content)
        if isinstance(manifest, dict):
            manifest.pop("parts", None)
            found["manifest"], found["sha256"] = manifest, hashlib.sha256(content).hexdigest()
        found["size"] = sum(one.stat().st_size for one in path.iterdir())
        _read(path)
    except (OSError, ValueError, RecursionError) as error:
        found["problems"] = [f"{path}: expected a backup set, got {error}; take another one"]
    except SetError as error:
        found["problems"] = str(error).splitlines()
    return found


def keep(folder: Path, rule: Retention) -> list[str]:
    """Ensure only the sets that the rule keeps are in a folder; the names of those that went."""
    there = names(folder)
    stay = retention.keep(there, rule)
    old = [name for name in there if name not in stay]
    for name in old:
        shutil.rmtree(folder / name)
    return old


def _read(path: Path) -> BackupSet:
    manifest = _parsed(path / MANIFEST, _Manifest)
    note = _parsed(path / NOTE, _Note) if (path / NOTE).exists() else None
    found = BackupSet(
        path,
        manifest.name,
        manifest.parts,
        note.files if note else manifest.parts,
        note.recipient if note else None,
    )
    if note and note.files.keys() != {encrypted(part) for part in manifest.parts}:
        raise SetError(f"{path / NOTE}: expected it to list the parts of {MANIFEST}, got others; take another set")
    _check_sizes(found)
    return found


_Model = TypeVar("_Model", bound=BaseModel)


def _parsed(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SetError(f"{path.parent}: expected a backup set, got {error}; take another one") from None
    except ValidationError as error:
        said = "; ".join(detail["msg"] for detail in error.errors())
        raise SetError(f"{path}: expected it to describe a backup set, got {said}; take another one") from None


def _check_sizes(found: BackupSet) -> None:
    problems = []
    for name, file in sorted(found.files.items()):
        path = found.path / name
        size = path.stat().st_size if path.is_file() else None
        if size != file.size:
            got = "no file" if size is None else size
            problems.append(f"{found.path.name}/{name}: expected {file.size} bytes, got {got}; take another set")
    if problems:
        raise SetError("\n".join(problems))


class Writer:
    """A set that arrives in `folder`: as NAME.part until `close` has verified all of it, for its owner alone.

    With a `recipient` its parts arrive encrypted to it, and the manifest plain: it holds counts, sums and names.
    """

    def __init__(self, folder: Path, name: str, recipient: str | None = None) -> None:
        if not re.fullmatch(NAME, name):
            raise SetError(f"backup: expected a set on the host, got {name or 'none'}; run it again")
        self._path = folder / name
        self._part = folder / f"{name}.part"
        self._recipient = recipient
        self._sent: dict[str, tuple[str, int]] = {}
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob("*.part"):  # of runs that were cut off
            shutil.rmtree(left)
        self._part.mkdir(mode=0o700)

    @contextmanager
    def file(self, name: str, progress: Progress) -> Iterator[io.RawIOBase]:
        """A file of the set to write to."""
        if not re.fullmatch(_FILE, name) or name == NOTE:
            raise SetError(f"{self._path.name}: expected files of a backup set, got {name!r}; look at the host")
        with self._opened(name) as target:
            yield Counted(target, progress)

    def encrypted(self, part: str, sha256: str, size: int, progress: Progress) -> AbstractContextManager[io.RawIOBase]:
        """The encrypted file of a part to write to; SHA-256 and size are those of the part that the host encrypted."""
        self._sent[part] = (sha256, size)
        return self.file(encrypted(part), progress)

    def close(self, say: Callable[[str], None]) -> BackupSet:
        """Ensure the set has its name, each part as its manifest says; raises `SetError`, with no set, otherwise.

        Nothing here can decrypt a part: of an encrypted one the host's own sum is compared.
        """
        manifest = _parsed(self._part / MANIFEST, _Manifest)
        problems = []
        if manifest.name != self._path.name:
            problems.append(f"{self._path.name}: expected its own {MANIFEST}, got {manifest.name}'s; fetch it again")
        arrived = {path.name: _sum(path, say) for path in sorted(self._part.iterdir()) if path.name != MANIFEST}
        sent = self._sent if self._recipient else arrived
        problems += [f"{self._path.name}/{line}" for line in _differences(manifest.parts, sent)]
        if problems:
            raise SetError("\n".join(problems))
        if self._recipient:
            files = {name: Part(size=size, sha256=sha256) for name, (sha256, size) in arrived.items()}
            with self._opened(NOTE) as target:
                target.write(_Note(recipient=self._recipient, files=files).model_dump_json(indent=1).encode() + b"\n")
        self._part.rename(self._path)
        return _read(self._path)

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        with open(self._part / name, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as target:
            yield target
            target.flush()
            os.fsync(target.fileno())


def _sum(path: Path, say: Callable[[str], None]) -> tuple[str, int]:
    size = path.stat().st_size
    return sha256(path, Progress(f"checking {path.name}", size, say)), size


def _differences(wanted: dict[str, Part], found: dict[str, tuple[str, int]]) -> list[str]:
    problems = []
    for name in sorted({*wanted, *found}):
        if name not in wanted:
            problems.append(f"{name}: expected only what {MANIFEST} lists, got another file")
        elif name not in found:
            problems.append(f"{name}: expected {wanted[name].size} bytes, got no file; fetch it again")
        elif found[name][1] != wanted[name].size:
            problems.append(f"{name}: expected {wanted[name].size} bytes, got {found[name][1]}; fetch it again")
        elif found[name][0] != wanted[name].sha256:
            problems.append(f"{name}: expected SHA-256 {wanted[name].sha256}, got {found[name][0]}; fetch it again")
    return problems


def sha256(path: Path, progress: Progress) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            progress.add(len(chunk))
    return digest.hexdigest()
