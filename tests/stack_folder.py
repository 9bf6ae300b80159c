"""A `stack_dir` on this machine: the shell writes its secrets, and the host's program looks at them.

`templates/secrets.sh.j2` and `webui_stack/host/secrets.py` go by the same rules; `Stack.stale` holds one to the other.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.host.asking import arguments, silent
from webui_stack import templates
from webui_stack.host import secrets
from webui_stack.host.engine import Engine
from webui_stack.host.files import Files
from webui_stack.secrets import Supplied

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the script makes files of root: run the tests as root")
NOTHING = Supplied(None, None, {})
FILES = ["secrets/valkey-password", "secrets/valkey-monitor-password", "secrets/webui-secret-key"]
DERIVED = ["valkey/users.acl", ".env"]
# The shells of this machine, each program once: /bin/sh is often one of the other two.
SHELLS = {Path(path).resolve(): name for name in ("bash", "dash", "sh") if (path := shutil.which(name))}


class Stack:
    """A `stack_dir` in a temporary folder, and the rendered script run against it by one shell."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder = folder
        self.shell = shell

    def run(
        self, supplied: Supplied = NOTHING, path: str | None = None, **changes: Any
    ) -> subprocess.CompletedProcess[str]:
        script = templates.secrets_script(settings(stack_dir=str(self.folder), **changes), supplied)
        environment = {"PATH": path or os.environ["PATH"]}
        return subprocess.run(
            [shutil.which(self.shell) or self.shell, "-s"],
            input="\n".join(script),
            capture_output=True,
            text=True,
            env=environment,
            umask=0o022,
        )

    def write(self, supplied: Supplied = NOTHING, **changes: Any) -> list[str]:
        """Run the script. Returns the paths it wrote, below the folder; the program has to have named the same."""
        looked = [f"{why} {path}" for path, why in self.look(supplied, **changes).stale.items()]
        result = self.run(supplied, **changes)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.splitlines() == looked
        return [os.path.relpath(line.split(" ", 1)[1], self.folder) for line in looked]

    def look(self, supplied: Supplied = NOTHING, *, engine: Engine | None = None, **changes: Any) -> secrets.State:
        asked = arguments(settings(stack_dir=str(self.folder), **changes), supplied)
        return secrets.look(Files(), engine or silent(), secrets.wish(asked["project"]["secrets"]))

    def stale(self, supplied: Supplied = NOTHING, **changes: Any) -> list[str]:
        """The paths the script would write, below the folder."""
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
