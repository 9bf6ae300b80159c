"""Settings that Open WebUI saved in its database, put right by its API with the stack's own account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import dockerd, open_webui
from ..clock import Clock
from ..engine import Engine, NotFound
from ..errors import HostError
from ..files import Files
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..system import System, require_root


@dataclass(frozen=True)
class Request:
    """The values that are wanted, by key, and the account that saves them.

    `seen` has the mark of each difference that the operator's run has found (`saved_settings.py`).
    """

    container: str
    email: str
    password_file: str
    wanted: Mapping[str, Any] = field(repr=False)
    seen: Mapping[str, str] = field(default_factory=dict)


def save(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> list[str]:
    """Ensure Open WebUI has saved the wanted values; `arguments` are those of `Request`. Returns the keys it changed.

    Changes no other key, and nothing where all are saved so: then nobody signs in either. All keys are saved at once,
    or none is. Makes the account where there is none. Holds the work lock: no restore and no rollback changes the
    database meanwhile. Raises `HostError` where a saved value is another one than the run has seen, and where
    Open WebUI does not do it.
    """
    require_root()
    asked = Request(**arguments)
    with Locks(LINUX, Clock(), lambda line: emit(Event(line))).work("save_settings"):
        return saved(asked, dockerd.engine(System()), Files(), emit)


def saved(asked: Request, engine: Engine, files: Files, emit: Callable[[Event], None]) -> list[str]:
    """What `save` does, with an engine."""
    try:
        one = engine.container(asked.container)
    except NotFound:
        one = None
    if one is None or one.status != "running":
        got = "no container of it" if one is None else f"a container that is {one.status}"
        raise HostError(asked.container, expected="Open WebUI to run", got=got, do="run deploy.py again")
    password = (files.read_text(asked.password_file) or "").strip()
    if not password:
        raise HostError(
            asked.password_file,
            expected="the password of the stack's account",
            got="none",
            do="run deploy.py again, which makes one",
        )
    changed = open_webui.save(engine, one, asked.wanted, asked.seen, asked.email, password)
    for key in changed:
        emit(Event(f"{asked.container}: saved {key}"))
    return changed
