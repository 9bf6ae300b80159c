"""What the operator typed: which inventory this run is about, and how pyinfra goes through it."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

from pyinfra_cli.cli import cli

from webui_stack import shipped


def _parameters() -> dict[str, Any]:
    return _parsed(tuple(sys.argv[1:]))


@cache
def _parsed(arguments: tuple[str, ...]) -> dict[str, Any]:
    """pyinfra 3.10 forgets them once they are read, and click's context belongs to another greenlet, so the command
    line is read once more, by the same parser."""
    return dict(cli.make_context("pyinfra", list(arguments), resilient_parsing=True).params)


def inventory() -> str:
    """The inventory of this run as it was typed: a file, or hosts."""
    return str(_parameters()["inventory"])


def as_typed(text: str) -> str:
    """A message, with each runbook that it names as this run's operator starts it."""
    return shipped.as_typed(text, inventory())


def inventory_file() -> Path | None:
    """The inventory file of this run; None when hosts were named on the command line."""
    path = Path(inventory())
    return path.absolute() if path.is_file() else None


def deploy_files() -> list[str]:
    """The files of operations this run is of, as they were typed: `deploy.py`, `runbooks/backup.py`."""
    return [str(name) for name in _parameters()["operations"]]


def out_of_step() -> str | None:
    """The option, if there is one, that takes a host through all operations without regard to the others."""
    options = {"serial": "--serial", "no_wait": "--no-wait"}
    return next((option for name, option in options.items() if _parameters()[name]), None)


def is_dry() -> bool:
    """Whether this run only tells what it would do."""
    return bool(_parameters()["dry"])


def agrees() -> bool:
    """Whether the operator has agreed to the changes before they are told."""
    return bool(_parameters()["yes"])


def has_bad_data() -> bool:
    """Whether a `--data` is not NAME=VALUE."""
    return any("=" not in str(given) for given in _parameters()["data"])
