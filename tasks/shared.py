"""The folder all hosts of a swarm share: whether it is the same one on each."""

from __future__ import annotations

import secrets
import shlex
from functools import cache

from pyinfra import host, inventory
from pyinfra.api import Inventory

from tasks import preflight
from webui_stack import remote
from webui_stack.settings import Settings

# In the folder; what is in it is made anew by each run that looks.
_MARK = ".open-webui-stack"


@cache
def _said(inventory: Inventory) -> str:  # noqa: ARG001 one for each run
    return secrets.token_hex(16)


def mark(settings: Settings) -> list[str]:
    """Ensure the folder has this run's mark; otherwise a line says why not."""
    folder = settings.open_webui_shared_dir
    command = f"mkdir -p {folder} && echo {_said(inventory)} >{folder}/{_MARK}"
    try:
        remote.run(preflight.observation().host, command)
    except remote.RemoteError as error:
        return [
            f"open_webui_shared_dir: expected a folder at {folder} that can be written, got "
            f"{str(error).strip() or 'none'}; mount it on all hosts"
        ]
    return []


def refusals(settings: Settings) -> list[str]:
    """Why the folder of this host is not the one with the mark."""
    path = f"{settings.open_webui_shared_dir}/{_MARK}"
    found = remote.run(preflight.observation().host, f"cat {shlex.quote(path)} 2>/dev/null || true")
    if found == [_said(inventory)]:
        return []
    got = "another folder" if found else "one without the mark that the host with the data has just written"
    return [
        f"open_webui_shared_dir: expected the same folder on all hosts, got {got} on {host.name}; mount "
        f"{settings.open_webui_shared_dir} there from where the others have it"
    ]
