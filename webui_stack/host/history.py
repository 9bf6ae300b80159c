"""What happened to this host's stack before: leases, deploys, verbs that were cut off, and where people's data are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from .engine import Engine, NotFound, Unavailable
from .system import System
from .typed import Any

_LAST_BYTES = 1 << 16


def look(system: System, stack_dir: str, *, lease_files: Sequence[str], deploy_log: str) -> dict[str, Any]:
    """Whose leases are here, the last line of the log of deploys, and which verb left data in two places."""
    cut_off = ""
    if system.exists(f"{stack_dir}/.upgrading"):
        cut_off = "upgrade"
    elif system.exists(f"{stack_dir}/.restoring"):
        cut_off = system.text(f"{stack_dir}/.restoring").strip() or "restore"
    return {
        "leases": [line for path in lease_files for line in system.text(path).splitlines() if line],
        "deploy": _last_line(system, deploy_log),
        "cut_off": cut_off,
        "migrating": system.exists(f"{stack_dir}/.migrating"),
    }


def database(
    system: System, engine: Engine, *, stack_dir: str, docker_root: str, sqlite_volume: str, postgres_volume: str
) -> str:
    """Where people's data are: "sqlite", "postgres", "external", "" for nowhere, or "unknown".

    It is where the last good deploy has them. Without one it is what the volumes have; of a Docker that does not
    answer, what its own folder has.
    """
    good = f"{stack_dir}/.good"
    environment = _as_remembered(system, good)
    if environment:
        return _named(environment)
    for kind, volume, file in (("postgres", postgres_volume, "PG_VERSION"), ("sqlite", sqlite_volume, "webui.db")):
        there = _in_volume(system, engine, docker_root, volume, file)
        if there is None:
            return "unknown"
        if there:
            return kind
    return "unknown" if system.exists(f"{good}/.env") else ""


def _named(environment: str) -> str:
    lines = [line for line in environment.splitlines() if line.startswith("DATABASE_URL=")]
    if not lines:
        return "sqlite"
    if any("@postgres:5432/" in line for line in lines):
        return "postgres"
    return "external" if any("='postgres" in line for line in lines) else ""


def _as_remembered(system: System, good: str) -> str:
    """The good deploy's environment; "" where there is none, or another than was remembered, as after a power cut."""
    environment = system.text(f"{good}/.env")
    sums = system.text(f"{good}/sums")
    if environment and sums:
        found = hashlib.sha256(environment.encode("utf-8", "surrogateescape")).hexdigest()
        if f"{found}  .env" not in sums.splitlines():
            return ""
    return environment


def _in_volume(system: System, engine: Engine, docker_root: str, volume: str, file: str) -> bool | None:
    """Whether a file is in a volume; None where nobody can look into it, or it is not known whether there is one."""
    try:
        folder = engine.volume(volume).mountpoint
    except NotFound:
        return False
    except Unavailable:
        folder = f"{docker_root}/volumes/{volume}"
        if not os.path.lexists(system.place(folder)):
            return False
        # A volume from elsewhere has its data there, and an empty folder here.
        return True if system.exists(f"{folder}/_data/{file}") else None
    return system.exists(f"{folder}/{file}")


def _last_line(system: System, path: str) -> str:
    try:
        with open(system.place(path), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_BYTES))
            lines = file.read().decode("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1] if lines else ""
