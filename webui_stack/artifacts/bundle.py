"""A bundle: locked images and Docker's packages in one tar archive, for hosts that reach no registry.

In it are `SHA256SUMS`, which `sha256sum -c` understands, `lock.toml`, an image each as `images/ID.tar.gz`, as
`docker load` reads it, and `packages/PLATFORM.tar`, a repository for apt. Reads and writes files of this machine
only, a chunk at a time: a bundle has gigabytes.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from webui_stack.model import lock
from webui_stack.model.lock import Lock, LockError, Wanted
from webui_stack.ops.progress import Counted, Progress

_SUMS = "SHA256SUMS"
_LOCK = "lock.toml"
_PART = re.compile(r"lock\.toml|images/[0-9a-f]{64}\.tar\.gz|packages/[a-z0-9.-]+\.tar")
_AGAIN = "make it again with runbooks/bundle.py, or copy it again"
_CHUNK = 1 << 20


class BundleError(Exception):
    """Why a file is no bundle to deploy from; one line."""


@dataclass(frozen=True)
class Part:
    """A file in a bundle: its SHA-256 and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Bundle:
    """A bundle whose checksums were right when it was read."""

    path: Path
    lock: Lock
    parts: Mapping[str, Part]

    def image(self, wanted: Wanted) -> tuple[str, str] | None:
        """The part that has the locked image for its architecture, and the image's id; None when none has."""
        return next(((part, id_) for id_ in wanted.ids if (part := image_part(id_)) in self.parts), None)

    @contextmanager
    def open(self, part: str, progress: Progress) -> Iterator[io.RawIOBase]:
        """The part's content, from its beginning; reading it moves `progress`."""
        with tarfile.open(self.path) as archive:
            content = archive.extractfile(part)
            assert content is not None  # `read` has seen it as a file
            yield Counted(content, progress)


def image_part(id_: str) -> str:
    """The name of an image's part."""
    return f"images/{id_.removeprefix('sha256:')}.tar.gz"


def packages_part(platform: str) -> str:
    """The name of a platform's packages."""
    return f"packages/{platform}.tar"


def refusals(bundle: Bundle, images: Sequence[Wanted]) -> list[str]:
    """Why a host's images can't come from the bundle."""
    found = []
    for one in images:
        if "@" in one.reference:
            found.append(
                f"image {one.reference}: expected no digest in it, got one; write the tag alone, the bundle's lock has "
                "the digest (an image that was loaded has none)"
            )
        elif bundle.image(one) is None:
            architectures = sorted(name for name in one.image.ids if bundle.image(_as(one, name)))
            found.append(
                f"bundle {bundle.path.name}: expected the image {one.reference} for {one.architecture}, got "
                f"{'it for ' + ', '.join(architectures) if architectures else 'none'}; make a bundle on a host of "
                "that architecture with runbooks/bundle.py"
            )
    return found


def _as(one: Wanted, architecture: str) -> Wanted:
    return Wanted(one.reference, one.image, architecture)


def package_refusals(bundle: Bundle, platform: str, committed: Lock | None, where: str) -> list[str]:
    """Why Docker's packages for a host can't come from the bundle.

    `committed` is the operator's own lock, in the file `where`. The bundle may be somebody else's, so an archive that
    the lock does not name is not installed. Without a lock, the bundle's own counts.
    """
    if part := bundle.parts.get(packages_part(platform)):
        wanted = committed.archives.get(platform, "no such entry") if committed else f"sha256:{part.sha256}"
        if wanted == f"sha256:{part.sha256}":
            return []
        return [
            f"bundle {bundle.path.name}: expected the packages for {platform} that {where} names ({wanted}), got "
            f"sha256:{part.sha256}; make it with runbooks/bundle.py, which writes that entry, and bring both files"
        ]
    got = sorted(Path(part).name.removesuffix(".tar") for part in bundle.parts if part.startswith("packages/"))
    return [
        f"bundle {bundle.path.name}: expected Docker's packages for {platform}, got {', '.join(got) or 'none'}; make a "
        "bundle on such a host with runbooks/bundle.py, or install Docker there yourself"
    ]


def read(path: Path, say: Callable[[str], None]) -> Bundle:
    """The bundle at `path`, every checksum of it compared; `say` hears of it when that takes long.

    Raises `BundleError` when there is none, a part is missing, too much or not what `SHA256SUMS` says.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            return _read(path, archive, Progress(f"checking {path.name}", path.stat().st_size, say))
    except FileNotFoundError:
        raise BundleError(
            f"bundle: expected {path}, got no such file; copy it there, or set bundle_file (docs/how-to/air-gapped.md)"
        ) from None
    except (OSError, tarfile.TarError) as error:
        raise BundleError(f"bundle {path.name}: expected a whole tar archive, got {error}; {_AGAIN}") from None


def _read(path: Path, archive: tarfile.TarFile, progress: Progress) -> Bundle:
    sums: dict[str, str] = {}
    found: dict[str, Part] = {}
    text = b""
    for member in archive:
        content = archive.extractfile(member) if member.isfile() else None
        if content is None or not (_PART.fullmatch(member.name) or member.name == _SUMS) or member.name in found:
            raise BundleError(f"bundle {path.name}: expected parts of a bundle, got {member.name!r}; {_AGAIN}")
        if member.name == _SUMS:
            sums = _parse_sums(content.read().decode(errors="replace"))
            continue
        digest = hashlib.sha256()
        size = 0
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            progress.add(len(chunk))
            if member.name == _LOCK:
                text += chunk
        # A file cut off inside its last part reads as a shorter part.
        found[member.name] = Part(digest.hexdigest(), size)
    for name in sorted(sums.keys() | found.keys()):
        expected, got = sums.get(name, "no such part"), found[name].sha256 if name in found else "no such part"
        if expected != got:
            raise BundleError(f"bundle {path.name}, {name}: expected SHA-256 {expected}, got {got}; {_AGAIN}")
    if _LOCK not in found:
        raise BundleError(f"bundle {path.name}: expected {_LOCK} in it, got none; {_AGAIN}")
    try:
        return Bundle(path, lock.parse(text.decode(errors="replace"), f"bundle {path.name}, {_LOCK}"), found)
    except LockError as error:
        raise BundleError(str(error)) from None


def _parse_sums(text: str) -> dict[str, str]:
    """`sha256sum`'s lines: the checksum, two blanks, the name."""
    return {name: value for value, _, name in (line.partition("  ") for line in text.splitlines())}


class Writer:
    """A bundle in the making: parts are collected in a folder, then `close` packs them."""

    def __init__(self, path: Path, folder: Path, lock_text: str) -> None:
        self.path, self._folder = path, folder
        (folder / _LOCK).write_text(lock_text)
        self._sums = {_LOCK: hashlib.sha256(lock_text.encode()).hexdigest()}

    @contextmanager
    def part(self, name: str, sha256: str, progress: Progress) -> Iterator[io.RawIOBase]:
        """A file to write the part's content to; `sha256` is what the host that sends it says about it."""
        file = self._folder / name
        file.parent.mkdir(exist_ok=True)
        with file.open("wb") as target:
            yield Counted(target, progress)
        self._sums[name] = sha256

    def close(self, say: Callable[[str], None]) -> Bundle:
        """Ensure the bundle is at its path, whole, and return it as `read` does; an older one is replaced last."""
        (self._folder / _SUMS).write_text("".join(f"{value}  {name}\n" for name, value in sorted(self._sums.items())))
        packed = self._folder / "packed"
        with tarfile.open(packed, "w", format=tarfile.GNU_FORMAT) as archive:
            for name in [_SUMS, *sorted(self._sums)]:
                archive.add(self._folder / name, name, filter=_anonymous)
                (self._folder / name).unlink()  # so that the disk holds each part once, and one twice
        made = read(packed, say)
        packed.replace(self.path)
        return Bundle(self.path, made.lock, made.parts)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Not whose and when, so that the same parts are the same archive."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    member.mode = 0o644
    return member
