"""Docker Compose on this host: its version, and what it says of a project that is wanted."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .system import System

# Where the docker command looks for plug-ins (docker/cli, cli-plugins/manager).
_PLUGINS = ("/usr/local/lib/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/libexec/docker")


@dataclass(frozen=True)
class Known:
    """What compose said when the last deploy was good, and of which inputs: it takes compose long to say it."""

    version: str = ""
    key: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)


def known(system: System, good: str) -> Known:
    """What was remembered, as long as docker and compose are the same programs; else nothing.

    Nothing of a damaged file, either: then compose is asked again.
    """
    lines = [line.partition(" ")[::2] for line in system.text(f"{good}/known").splitlines()]
    words = dict(lines)
    hashes = [value.split() for name, value in lines if name == "hash"]
    if words.get("programs", "-") != programs() or any(len(words) != 2 for words in hashes):
        return Known()
    return Known(words.get("compose", ""), words.get("key", ""), dict(hashes))


def programs() -> str:
    """Which docker and compose there are, told by their files, as `programs.sh.j2` writes it."""
    home = os.environ.get("HOME", "/root")
    paths = [f"{place}/cli-plugins/docker-compose" for place in (f"{home}/.docker", *_PLUGINS)]
    lines = []
    docker = shutil.which("docker")
    for path in ([docker] if docker else []) + paths:
        try:
            found = Path(path).stat()
        except OSError:
            continue
        lines.append(f"{path} {found.st_size} {int(found.st_mtime)}\n")
    return f"{hashlib.sha256(''.join(lines).encode()).hexdigest()}  -"


def key(file: str, env: str) -> str:
    """What tells a compose file with its environment from any other, as `good.sh.j2` writes it."""
    text = f"{file}{env}\n"
    return f"{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()}  -"


def version(system: System) -> str:
    """Compose's version, "" where docker has no such plug-in."""
    return (system.attempt("docker", "compose", "version", "--short") or "").strip().lstrip("v")


def hashes(system: System, folder: str, file: str, env: str) -> dict[str, str]:
    """What compose says of each service of a file that is not on the host yet, with these variables.

    They are given in the environment, which wins over `.env`, and which only root can see, unlike arguments. None of
    a file that compose refuses, as one from before the deploy may do.
    """
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    said = system.attempt(
        *("docker", "compose", "--project-directory", folder, "--file", "-", "config", "--hash", "*"),
        stdin=file,
        environment={**own, **variables(env)},
    )
    return dict(line.split() for line in (said or "").splitlines())


def variables(env: str) -> dict[str, str]:
    """The variables of an environment file of ours: each value is in single quotes."""
    # Not `splitlines`, which also ends a line at what a value may hold, such as U+2028.
    lines = (line.partition("=") for line in env.split("\n") if line and not line.startswith("#"))
    return {name: value[1:-1] for name, _, value in lines}
