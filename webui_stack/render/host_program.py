"""The host's program as it is sent: its files, and where a host has them.

Each version lies in a folder named by the hash of its files, so that two releases of this project can work on one host,
and systemd units go on with the program they began with. `webui_stack.transport.program` sends it and calls it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import tarfile
from pathlib import Path

FOLDER = "/usr/local/lib/open-webui-stack"
"""Where a host has the programs, each in a folder of its own."""
PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9")
"""In the order in which they are tried. RHEL 8 has 3.6 as python3, and newer ones by their names."""
TOO_OLD = 97
"""How what is sent ends on a Python that is too old: no program of this project, and no shell, ends like that."""

_HOST = Path(__file__).resolve().parents[1] / "host"
# Runs the package `host` beside it. Any Python can read it, so that an older one says so and is passed over.
_START = """\
import sys
if sys.version_info < (3, 9):
    sys.exit(97)
if sys.argv[2:] != ["plain"]:  # which prints nothing but what is for people
    print("python", flush=True)
from host.__main__ import main
main()
"""


def place(folder: str = FOLDER) -> str:
    """The folder of this very program on a host."""
    return f"{folder}/{digest()}"


def _files() -> dict[str, bytes]:
    """The package `host` and what starts it, by the path in the program's folder."""
    files = {"__main__.py": _START.encode()}
    for folder, _, names in os.walk(_HOST):
        for name in names:
            if name.endswith((".py", ".sql")):
                path = Path(folder, name)
                files[f"host/{path.relative_to(_HOST)}"] = path.read_bytes()
    return dict(sorted(files.items()))


@functools.cache
def archive() -> bytes:
    """The program as a tar; the same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in _files().items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@functools.cache
def digest() -> str:
    """The name of the program's folder: a hash of its files.

    Not of the archive: most runs send none, and to make one takes three times as long as all of this.
    """
    found = hashlib.sha256()
    for name, content in _files().items():
        found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]
