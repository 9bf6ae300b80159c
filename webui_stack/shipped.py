"""Where the project's own files are: in the library's folder where it is installed, beside it in a clone.

And how an operator starts one of them, which depends on that.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

_LIBRARY = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """The file or folder of that name, such as `templates`; a wheel has all of them within the library."""
    inside = _LIBRARY / name
    return inside if inside.exists() else _LIBRARY.parent / name


def is_installed() -> bool:
    """Whether this is the installed package, whose operators have no `runbooks/` and start jobs by `webui-stack`."""
    return path("runbooks").parent == _LIBRARY


_RUNBOOK = re.compile(r"(?:pyinfra INVENTORY )?\brunbooks/([a-z_]+)\.py")


def as_typed(text: str, inventory: str = "INVENTORY") -> str:
    """The text, with each runbook that it names as the operator starts it.

    That is `webui-stack NAME INVENTORY` for the installed package. A clone keeps `runbooks/NAME.py`, and so does a
    working directory that has a runbook of that name: `webui-stack` would run that one.
    """

    def command(found: re.Match[str]) -> str:
        if Path("runbooks", f"{found[1]}.py").is_file():
            return found[0]
        return f"webui-stack {found[1].replace('_', '-')} {shlex.quote(inventory)}"

    return _RUNBOOK.sub(command, text) if is_installed() else text
