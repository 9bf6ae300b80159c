"""Models of the stack's Ollama: which of them are here, and their way to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import dockerd
from ..backup_sets import MANIFEST, BackupSets
from ..clock import Clock
from ..errors import HostError
from ..files import Files
from ..kernel import LINUX
from ..locks import WAIT_S, Locks
from ..ollama import Ollama, Place, find, tagged
from ..progress import Progress
from ..protocol import Event
from ..system import System, require_root


@dataclass(frozen=True)
class Request(Place):
    """The models that are wanted, and where Ollama is.

    `chosen` names a backup set in the folder `sets`: the models that it was made beside are wanted as well.
    """

    models: Sequence[str] = ()
    sets: str = ""
    chosen: str = ""


def look(arguments: Mapping[str, Any], _emit: Callable[[Event], None]) -> list[str]:
    """The wanted models that are missing here: all of them where no Ollama runs. Reads only."""
    require_root()
    asked, engine = Request(**arguments), dockerd.engine(System())
    return missing(wanted(asked, Files(), Clock()), find(engine, asked, Clock()))


def pull(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> list[str]:
    """Ensure Ollama has the wanted models; `arguments` are those of `Request`. Returns those that it pulled.

    Changes nothing for a model that is here, though its registry may have a newer one, and removes none. Raises
    `HostError` where no Ollama runs, and for a model that can't be had; the models before it stay.
    """
    require_root()
    asked, engine, clock = Request(**arguments), dockerd.engine(System()), Clock()
    # Not the work lock: a pull may take hours and changes no container, and backups and the watchdog go on beside it.
    with Locks(LINUX, clock, lambda line: emit(Event(line))).moment("models", "models", limit_s=WAIT_S):
        return pulled(wanted(asked, Files(), clock), find(engine, asked, clock), clock, emit)


def wanted(asked: Request, files: Files, clock: Clock) -> list[str]:
    """The models of the request, then those of its set. A set that does not name any wants none."""
    if not asked.chosen:
        return list(asked.models)
    sets = BackupSets(files, clock, asked.sets)
    name = sets.choose(asked.chosen)
    try:
        named = str(json.loads(files.read(f"{asked.sets}/{name}/{MANIFEST}") or b"{}").get("models", ""))
    except (ValueError, AttributeError):  # a restore has read the set, and tells what is wrong with it
        named = ""
    found: dict[str, str] = {}
    for one in (*asked.models, *filter(None, named.split(","))):
        found.setdefault(tagged(one), one)
    return list(found.values())


def missing(models: Sequence[str], ollama: Ollama | None) -> list[str]:
    """The wanted models that Ollama does not have, in their order."""
    there = set(ollama.models()) if ollama else set()
    return [one for one in models if tagged(one) not in there]


def pulled(models: Sequence[str], ollama: Ollama | None, clock: Clock, emit: Callable[[Event], None]) -> list[str]:
    """What `pull` does, with an Ollama."""
    if ollama is None:
        raise HostError(
            "ollama_models",
            expected="the stack's Ollama to run",
            got="no container of it in the stack's network",
            do="run deploy.py",
        )
    lacking = missing(models, ollama)
    for model in lacking:
        text = f"pulling the model {model}"
        emit(Event(text))
        ollama.pull(model, Progress(text, emit, clock).at)
    return lacking
