"""The backup sets of this host: in `backup_dir`, and in its restic repositories. Each place answers for itself."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backup_sets import MANIFEST, NEWEST, BackupSets
from ..clock import Clock
from ..errors import HostError
from ..files import Files
from ..protocol import Event
from ..restic import LOOK_S, Repository
from ..system import System, require_root

Emit = Callable[[Event], None]
_DO = "restore another set"
# What reading a text of any other form as a manifest raises.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
_PARTS = "parts"


@dataclass(frozen=True)
class Request:
    """Where to look: `backup_dir`, and `repositories`, which are addresses with the environment that opens each.

    `host` is whose sets count there, "" for this host's.
    """

    backup_dir: str
    repositories: Mapping[str, Mapping[str, str]] = field(repr=False)
    host: str


def look(arguments: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    """The sets in both places; `arguments` are those of `Request`. Nothing is changed but restic's own cache.

    A place that gives no answer has `errors`. A set that could not be read, or is not whole, has `problems`.
    """
    require_root()
    return found(Request(**arguments), System(), Files(), Clock(), emit)


def found(asked: Request, system: System, files: Files, clock: Clock, emit: Emit) -> dict[str, Any]:
    """As `look`. `host` is what this host calls itself, `now_s` its time in seconds since 1970.

    `repositories` are by address, each with what it has said.
    """
    return {
        "host": os.uname().nodename,
        "now_s": int(clock.now()),
        "folder": _in_folder(files, BackupSets(files, clock, asked.backup_dir)),
        "repositories": {
            address: _in_repository(asked, number, address, system, clock, emit)
            for number, address in enumerate(asked.repositories, 1)
        },
    }


def _in_folder(files: Files, sets: BackupSets) -> dict[str, Any]:
    """The sets in the folder, and the name of the `newest`, as a restore chooses it; or why that is not known."""
    try:
        names = sets.names()
    except HostError as error:
        return {"errors": [str(error)], "newest": "", "newest_unknown": "", "sets": []}
    newest, unknown = "", ""
    try:
        newest = sets.choose(NEWEST)
    except HostError as error:
        unknown = str(error)
    there = [_set(files, f"{sets.folder}/{name}", name) for name in names]
    return {"errors": [], "newest": newest, "newest_unknown": unknown, "sets": [one for one in there if one]}


def _set(files: Files, path: str, name: str) -> dict[str, Any] | None:
    """The set, None where a backup removes it meanwhile.

    Its size is in bytes, its manifest comes without the parts that are compared here, and with the file's SHA-256.
    """
    unknown = {"name": name, "size": None, "manifest": None, "sha256": ""}
    try:
        sizes = _sizes(files, path)
        content = files.read(f"{path}/{MANIFEST}")
        if not files.exists(path):
            return None
    except HostError as error:
        return {**unknown, "problems": [str(error)]}
    one = {**unknown, "size": sum(sizes.values())}
    if content is None:
        return {**one, "problems": [_problem(name, MANIFEST, "what is in the set", "no file")]}
    sizes.pop(MANIFEST, None)
    try:
        manifest = json.loads(content)
        wanted = {part: int(each["size"]) for part, each in manifest.pop(_PARTS).items()}
    except _UNREADABLE as error:
        got = f"another text ({type(error).__name__})"
        return {**one, "problems": [_problem(name, MANIFEST, "to describe a backup set", got)]}
    one.update(manifest=manifest, sha256=hashlib.sha256(content).hexdigest())
    return {**one, "problems": _differences(name, wanted, sizes)}


def _sizes(files: Files, path: str) -> dict[str, int]:
    """The size of each file of a set, in bytes."""
    there = {each: files.stat(f"{path}/{each}") for each in files.listdir(path) or []}
    return {each: one.size for each, one in there.items() if one}


def _differences(name: str, wanted: Mapping[str, int], there: Mapping[str, int]) -> list[str]:
    """Where the files are not those that the manifest lists. Their contents are a restore's business, and a drill's."""
    problems = []
    for part in sorted({*wanted, *there}):
        if part not in wanted:
            problems.append(_problem(name, part, f"only what {MANIFEST} lists", "another file"))
        elif part not in there:
            problems.append(_problem(name, part, f"{wanted[part]} bytes", "no file"))
        elif there[part] != wanted[part]:
            problems.append(_problem(name, part, f"{wanted[part]} bytes", str(there[part])))
    return problems


def _problem(name: str, part: str, expected: str, got: str) -> str:
    return str(HostError(f"{name}/{part}", expected=expected, got=got, do=_DO))


def _in_repository(
    asked: Request, number: int, address: str, system: System, clock: Clock, emit: Emit
) -> dict[str, Any]:
    """The sets of the wanted host that the repository has, and the `others` that have some there."""
    host = asked.host or os.uname().nodename
    which = f", number {number} of {len(asked.repositories)}" if len(asked.repositories) > 1 else ""
    emit(Event(f"asking the restic repository{which}"))
    try:
        repository = Repository(system, clock, emit, address, asked.repositories[address])
        snapshots = repository.snapshots("restic", limit_s=LOOK_S)
    except HostError as error:
        return {"errors": [str(error)], "host": host, "names": [], "others": []}
    return {
        "errors": [],
        "host": host,
        "names": sorted({one.name for one in snapshots if one.host == host}),
        "others": sorted({one.host for one in snapshots} - {host}),
    }
