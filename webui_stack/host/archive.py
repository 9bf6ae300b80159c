"""One image as an archive: `docker save`'s, packed by gzip."""

from __future__ import annotations

import gzip
import json
import posixpath
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .engine import Engine, NotFound
from .engine.images import PULL_S
from .errors import HostError
from .system import System, why

_MAKE = "make the bundle with runbooks/bundle.py"
# What names the images of an archive: for Docker's own store, for those of Docker before 1.10, for containerd's.
_MANIFEST, _REPOSITORIES, _INDEX = "manifest.json", "repositories", "index.json"
_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_MOST_BYTES = 16 << 20
_PIECE = 1 << 20


class Archive:
    """An archive at a path. It is in a folder that root alone can enter (`webui_stack.transport.transfer`)."""

    def __init__(self, system: System, engine: Engine, path: str) -> None:
        self._system, self._engine, self._path = system, engine, path

    def load(self, id_: str, reference: str) -> None:
        """Ensure the reference means the image of that id, which the archive has.

        Raises `HostError` for an archive that names its images, before Docker reads it: Docker would give them those
        names. It raises as well where Docker knows the image by another id afterwards.
        """
        self._refuse_names(reference)
        try:
            self._system.order("docker", "load", "--quiet", "--input", self._path, limit_s=PULL_S)
        except HostError as error:
            raise HostError(
                reference,
                expected=f"docker to load {id_}",
                got=error.got,
                do="nothing was stopped: fix that, and run this again",
            ) from error
        try:
            self._engine.tag(id_, reference)
        except NotFound as error:
            raise HostError(
                reference,
                expected=f"{id_} after loading it",
                got="another id",
                do="this host keeps images in another store than the one the bundle was made on (docker info, Storage "
                "Driver): make the bundle on a host like it",
            ) from error

    def save(self, id_: str) -> None:
        """Ensure the archive has the image of that id, without a name. Raises `HostError` where that fails."""
        plain = f"{self._path}.tar"
        self._system.order("docker", "save", "--output", plain, id_, limit_s=PULL_S)
        try:
            _pack(self._system.path(plain), self._system.path(self._path))
            self._system.path(plain).unlink()
        except OSError as error:
            got, do = why(error), "make room on the host, and run this again"
            raise HostError(self._path, expected=f"to pack {id_}", got=got, do=do) from None

    def _refuse_names(self, reference: str) -> None:
        try:
            named = names(self._system.path(self._path))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            got = f"one that can't be read ({type(error).__name__}: {error})"
            raise HostError(reference, expected="an archive of docker save", got=got, do=_MAKE) from None
        if named:
            raise HostError(reference, expected="an archive without tags", got=", ".join(named), do=_MAKE)


def names(path: Path) -> list[str]:
    """The names that Docker would give to the images of an archive.

    Raises `OSError`, `EOFError`, `zlib.error` and `ValueError` where it is none.
    """
    found = []
    for name, content in _documents(path):
        found += _of_document(name, content)
    return sorted(set(found))


def _pack(plain: Path, packed: Path) -> None:
    # Neither a name nor a time is in it.
    with plain.open("rb") as source, packed.open("wb") as target:  # noqa: SIM117 3.9 has no parentheses here
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=target, mtime=0) as out:
            shutil.copyfileobj(source, out, _PIECE)


def _documents(path: Path) -> Iterator[tuple[str, Any]]:
    """The documents that may name images, wherever they are: a link among the members may lead to any folder."""
    # Not by tarfile's own way to gzip, which ends at the first of several parts; Docker reads them all.
    with gzip.open(path) as unpacked:
        try:
            with tarfile.open(fileobj=unpacked, mode="r|") as archive:
                for member in archive:
                    name = posixpath.basename(member.name.rstrip("/"))
                    if name not in (_MANIFEST, _REPOSITORIES, _INDEX):
                        continue
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is None or member.size > _MOST_BYTES:
                        raise ValueError(f"{name} is no file of a few bytes")
                    yield name, json.loads(content.read())
        except tarfile.TarError as error:
            raise ValueError(str(error)) from error


def _of_document(name: str, content: Any) -> list[str]:
    try:
        if name == _MANIFEST:
            return [tag for image in content for tag in image.get("RepoTags") or ()]
        if name == _REPOSITORIES:
            return list(content)
        annotations: list[Mapping[str, str]] = [one.get("annotations") or {} for one in content.get("manifests") or ()]
        return [one[key] for one in annotations for key in _ANNOTATIONS if key in one]
    except (AttributeError, TypeError):
        raise ValueError(f"{name} has another form") from None
