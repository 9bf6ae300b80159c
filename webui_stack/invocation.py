"""What the operator typed: which inventory this run is about."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from pyinfra_cli.cli import cli


@cache
def inventory_file() -> Path | None:
    """The inventory file of this run; None when hosts were named on the command line.

    pyinfra 3.10 forgets its name once it is read, and click's context belongs to another greenlet, so the command
    line is read once more, by the same parser.
    """
    context = cli.make_context("pyinfra", sys.argv[1:], resilient_parsing=True)
    path = Path(str(context.params["inventory"]))
    return path.absolute() if path.is_file() else None
