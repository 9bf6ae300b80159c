"""Packages in one tar, as a repository for apt: `Packages`, which lists them, and the packages beside it."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import HostError
from .protocol import Event
from .system import Ended, System, why

FOLDER = "/var/lib/open-webui-stack.packages"
"""Where apt works. It is root's alone, and there only meanwhile."""
_INDEX = "Packages"
_MORE = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Sandbox::User=root")
# An operator's answers in configuration files count, and nobody is asked.
_KEEP = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
_LOCK = ("-o", "DPkg::Lock::Timeout=60")
_LIMIT_S = 3600.0
_PIECE = 1 << 20
_AGAIN = "fix that, and run it again"


class DebRepository:
    """A repository that this host makes, or installs from. The host's own lists and cache of packages stay."""

    def __init__(self, system: System, emit: Callable[[Event], None]) -> None:
        self._system, self._emit = system, emit
        self._folder = system.path(FOLDER)

    def save(self, names: Sequence[str], path: str) -> None:
        """Ensure the tar `path` has the packages (`name=version`), and all that they need on a host with none at all.

        They come from the host's own sources. Raises `HostError` where one can't be had.
        """
        with self._working("lists/partial", "debs/partial"):
            # An empty status is a host with nothing installed. apt's downloads would run as another user, who can't
            # write here.
            (self._folder / "status").touch()
            places = ("-o", f"Dir::State::status={self._folder}/status", *self._places("debs"))
            self._tell("reading the lists of packages")
            if self._apt(*places, "update").status:
                self._tell("apt-get update failed; what it could read has to do")
            self._tell("fetching packages")
            wanted = ("install", "--no-install-recommends", "--download-only", *names)
            self._checked(f"to fetch {', '.join(names)}", *places, *wanted)
            debs = sorted((self._folder / "debs").glob("*.deb"))
            self._tell(f"packing {len(debs)} packages")
            self._pack(debs, self._system.path(path))

    def install(self, names: Sequence[str], path: str) -> None:
        """Ensure the packages are installed from the tar `path`, and from nowhere else. Nothing is removed for them.

        Raises `HostError` where they can't be.
        """
        with self._working("repository", "lists/partial", "archives/partial"):
            self._unpack(self._system.path(path))
            sources = self._folder / "sources.list"
            # The checksums were compared: no signature is needed.
            sources.write_text(f"deb [trusted=yes] file:{self._folder}/repository ./\n")
            alone = ("-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=-")
            places = (*alone, *self._places("archives"), *_LOCK, *_KEEP)
            self._tell(f"installing {', '.join(names)}")
            self._checked("to read the bundle's packages", *places, "update")
            wanted = ("install", "--no-install-recommends", "--no-remove", *names)
            self._checked(f"to install {', '.join(names)}", *places, *wanted)

    # --- Below

    @contextmanager
    def _working(self, *folders: str) -> Iterator[None]:
        """The folder with these in it, and nothing of a run that was killed. It is gone when the block ends."""
        self._remove()
        try:
            self._folder.mkdir(mode=0o700, parents=True)
            for name in folders:
                (self._folder / name).mkdir(parents=True)
            yield
        except OSError as error:
            got = why(error)
            raise HostError(FOLDER, expected="to work with packages there", got=got, do=_AGAIN) from None
        finally:
            self._remove()

    def _remove(self) -> None:
        if self._folder.is_symlink():
            self._folder.unlink()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _places(self, archives: str) -> Sequence[str]:
        lists, cache = f"{self._folder}/lists", f"{self._folder}/{archives}"
        return ("-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache::archives={cache}", *_MORE)

    def _apt(self, *arguments: str) -> Ended:
        """How apt-get ended. It goes on after a lost connection: an installation must not stop half-way."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/root"),
            "LC_ALL": "C",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        command = ("apt-get", "-qq", "--yes", *arguments)
        return self._system.carry_out(*command, environment=environment, limit_s=_LIMIT_S)

    def _checked(self, wish: str, *arguments: str) -> None:
        ended = self._apt(*arguments)
        if ended.status:
            said = [line.strip() for line in (ended.output + ended.errors).splitlines() if line.strip()]
            # As apt marks what made it fail; dpkg marks nothing.
            errors = [line for line in said if line.startswith("E:")] or said[-5:] or [f"exit status {ended.status}"]
            raise HostError("apt", expected=wish, got=" ".join(errors), do=_AGAIN)

    def _pack(self, debs: Sequence[Path], path: Path) -> None:
        index = "".join(map(self._entry, debs)).encode()
        with tarfile.open(path, "w") as archive:
            archive.addfile(_member(_INDEX, len(index)), io.BytesIO(index))
            for deb in debs:
                with deb.open("rb") as content:
                    archive.addfile(_member(deb.name, deb.stat().st_size), content)

    def _entry(self, deb: Path) -> str:
        """What the index says of a package (deb822(5), and apt's own fields of where it is)."""
        digest = hashlib.sha256()
        with deb.open("rb") as content:
            while data := content.read(_PIECE):
                digest.update(data)
        fields = self._system.output("dpkg-deb", "--field", str(deb)).rstrip("\n")
        return f"{fields}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest.hexdigest()}\n\n"

    def _unpack(self, path: Path) -> None:
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is None or posixpath.basename(member.name) != member.name:
                        raise tarfile.TarError(f"{member.name!r} is no package")
                    with (self._folder / "repository" / member.name).open("xb") as target:
                        shutil.copyfileobj(content, target, _PIECE)
        except tarfile.TarError as error:
            do = "make the bundle with runbooks/bundle.py"
            raise HostError("bundle", expected="packages in one tar", got=str(error), do=do) from None

    def _tell(self, line: str) -> None:
        self._emit(Event(line))


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A member without a time and an owner: the same packages make the same bundle."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member
