"""A `stack_dir` on this machine, whose secrets the host's program looks at and writes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.host.asking import arguments, silent
from tests.host.fake_system import FakeSystem
from webui_stack.host import secrets
from webui_stack.host.engine import Engine
from webui_stack.host.files import Files
from webui_stack.settings.sources import Supplied

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the program makes files of root: run the tests as root")
NOTHING = Supplied(None, None, {})
FILES = ["secrets/valkey-password", "secrets/valkey-monitor-password", "secrets/webui-secret-key"]
DERIVED = ["valkey/users.acl", ".env"]


class Stack:
    """A `stack_dir` in a temporary folder, on a host without Docker where none is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, supplied: Supplied = NOTHING, *, engine: Engine | None = None, **changes: Any) -> list[str]:
        """Returns the paths that were written, below the folder.

        A look before has named the very same, and one after finds that all is as it is wanted.
        """
        looked = self.look(supplied, engine=engine, **changes).stale
        written = secrets.write(
            *(Files(), engine or silent(), FakeSystem(self.folder / "none"), self.wish(supplied, **changes))
        )
        assert list(written.items()) == list(looked.items())
        after = self.look(supplied, engine=engine, **changes)
        assert (after.stale, after.refused) == ({}, "")
        assert (self.text("valkey/users.acl"), self.text(".env")) == (f"{after.acl}\n", f"{after.env}\n")
        return [os.path.relpath(path, self.folder) for path in written]

    def refusal(self, supplied: Supplied = NOTHING, **changes: Any) -> str:
        """Why nothing is written. A look says the same, and names nothing that is stale."""
        with pytest.raises(secrets.RefusalError) as caught:
            secrets.write(Files(), silent(), FakeSystem(self.folder / "none"), self.wish(supplied, **changes))
        looked = self.look(supplied, **changes)
        assert (looked.refused, looked.stale) == (str(caught.value), {})
        return looked.refused

    def wish(self, supplied: Supplied = NOTHING, **changes: Any) -> secrets.Wish:
        asked = arguments(settings(stack_dir=str(self.folder), **changes), supplied)
        return secrets.wish(asked["project"]["secrets"])

    def look(self, supplied: Supplied = NOTHING, *, engine: Engine | None = None, **changes: Any) -> secrets.State:
        return secrets.look(Files(), engine or silent(), self.wish(supplied, **changes))

    def stale(self, supplied: Supplied = NOTHING, **changes: Any) -> list[str]:
        """The paths that would be written, below the folder."""
        found = self.look(supplied, **changes)
        assert found.refused == ""
        return [os.path.relpath(path, self.folder) for path in found.stale]

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def secret(self, name: str) -> str:
        return self.text(f"secrets/{name}").removesuffix("\n")

    def state(self) -> dict[str, tuple[str, int, int, int, bytes]]:
        """Everything there: kind and mode, owner, inode, time of change, content."""
        found = {}
        for path in sorted([self.folder, *self.folder.rglob("*")]):
            info = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            name = os.path.relpath(path, self.folder)
            found[name] = (stat.filemode(info.st_mode), info.st_uid, info.st_ino, info.st_mtime_ns, content)
        return found


def fill_folder(folder: Path, *names: str) -> None:
    """A folder with these files of others."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("services: {}\n")
