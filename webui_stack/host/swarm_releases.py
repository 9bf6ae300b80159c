"""Releases of a stack in a swarm: the last good deploy in `.good`, with its secrets and what Docker had of it then.

Earlier ones are not kept: no runbook goes back to them. The survey reads `images` and `known` (`swarm.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from .errors import HostError
from .releases import Release, Releases, RememberedImage
from .stack import OVERLAY
from .stack_file import NAME

_MOUNTED = ["valkey", "proxy"]
_NOTE = "upgrade"


class SwarmRelease(Release):
    """One release, in its folder."""

    def mounted(self) -> list[str]:
        """Its folders with files that services read at their start, or that configs are made of."""
        return list(_MOUNTED)


class SwarmReleases(Releases):
    """The release of a stack in a swarm. Crashes end as those of `Releases` do."""

    needed = (NAME, "images", ".env", "secrets/webui-secret-key", "valkey/valkey.conf")

    def put_in_force(self, images: Sequence[RememberedImage], known: Mapping[str, str], upgrade: str = "") -> str:
        """Ensure the stack as its files are on the host is the release. Returns its name.

        `known` has the hash of each service's definition as Docker has it; `upgrade` is the moment of an upgrade that
        led to it, as `.upgrading` has it. So nobody goes back from it once it is remembered.
        """
        self.recover()
        new = self._release(f"{self._good}.new")
        self._files.remove_tree(new.folder)
        self._files.make_folder(new.folder)
        parts = [NAME, OVERLAY, ".env", "secrets", *_MOUNTED]
        sums = self._place(self._folder, new.folder, self._paths(self._folder, parts))
        lines = "".join(f"{one.id} {one.tag} /{one.container}\n" for one in images)
        self._files.write(f"{new.folder}/images", lines, mode=0o644)
        inputs = b"".join(self._files.read(f"{new.folder}/{name}") or b"" for name in (NAME, OVERLAY, ".env"))
        of_all = {"inputs": hashlib.sha256(inputs).hexdigest(), **known}
        text = "".join(f"{name} {value}\n" for name, value in of_all.items())
        self._files.write(f"{new.folder}/known", text, mode=0o644)
        if upgrade:
            self._files.write(f"{new.folder}/{_NOTE}", f"{upgrade}\n", mode=0o644)
        sums["images"] = hashlib.sha256(lines.encode()).hexdigest()
        self._write_sums(new, sums)
        at = self._next_name()
        self._put_in_force(new, at)
        return at

    def upgraded(self) -> str:
        """The moment of the upgrade that led to the release in force; "" where it was none."""
        return (self._files.read_text(f"{self._good}/{_NOTE}") or "").strip("\0 \n")

    def require(self) -> Release:
        """The release in force, with all of its files and images. Raises `HostError` without one."""
        self.recover()
        release = self.in_force
        if not release.is_there():
            do = "set what runs, and run deploy.py"
            raise HostError(release.folder, expected="an earlier good deploy to go back to", got="none", do=do)
        release.check()
        self.require_images(release)
        return release

    def _release(self, folder: str) -> SwarmRelease:
        return SwarmRelease(self._files, folder, self.needed)
