"""The jobs of this project for a deploy file of your own: `from webui_stack import deploys`, `deploys.provision()`.

Each is the file that `pyinfra INVENTORY FILE` runs in this project's own folder, read at the place of the call: its
operations come between those before the call and those after it. A problem in any host's settings stops the whole
run before any change, as there.
"""

from __future__ import annotations

from pathlib import Path

from webui_stack import shipped


def provision() -> None:
    """Ensure the stack runs on this host as its settings say, and works: deploy.py."""
    _read("deploy.py")


def verify() -> None:
    """Ensure the stack on this host works; changes nothing: runbooks/verify.py."""
    _read("runbooks/verify.py")


def backup() -> None:
    """Ensure this host has one more backup set: runbooks/backup.py."""
    _read("runbooks/backup.py")


def file(name: str) -> Path:
    """The deploy file of that name, such as `runbooks/status.py`."""
    return shipped.path(name)


def _read(name: str) -> None:
    from pyinfra_cli.util import exec_file  # makes the standard library's threads gevent's (pyinfra_cli 3.10)

    # Not `pyinfra.local.include`: it would put the file's path before the name of each operation.
    exec_file(str(file(name)))
