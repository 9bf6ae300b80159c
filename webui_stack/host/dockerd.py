"""How Docker's service is configured: its file, and the options it was or will be started with."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from . import client_config, digits
from .engine import Engine
from .errors import HostError
from .system import System
from .typed import Any

FOLDER = "/etc/docker"
DAEMON_JSON = f"{FOLDER}/daemon.json"
# This file is there while daemon.json is replaced. A run that was killed meanwhile has left it (verbs/docker.py).
MARK = f"{DAEMON_JSON}.changing"
UNIT = "docker.service"
DEFAULT_ROOT = "/var/lib/docker"
_PID_FILE = "/var/run/docker.pid"
# Of Debian's init script, which has the variable that its unit has as well.
_WITHOUT_SYSTEMD = ("$DOCKER_OPTS", "/etc/default/docker")
# systemd's own spelling of a command that it runs (systemd, src/core/dbus-execute.c).
_ARGUMENTS = re.compile(r"argv\[\]=\S*(.*?) ; ignore_errors=")
# The first data-root that the file names, whether or not the rest of it can be read.
_DATA_ROOT = re.compile(r'"data-root"\s*:\s*"([^"]*)"')


def look(system: System, unit: Mapping[str, str]) -> dict[str, Any]:
    """Docker's configuration without any value of it: an option, and daemon.json, may hold a proxy's password.

    `unit` is what systemd says about docker.service, empty without systemd.
    """
    content = system.data(DAEMON_JSON)
    words = [*configured(system, unit), *running(system, unit)]
    return {
        "sha256": "" if content is None else hashlib.sha256(content).hexdigest(),
        "changing": system.exists(MARK),
        "options": sorted({word.partition("=")[0] for word in words if word.startswith("-")}),
        "config_files": sorted(set(_config_files(words))),
        "runs": pid(system, unit) > 0,
    }


def root(system: System, setting: str) -> str:
    """Where Docker has, or is to have, its data, asked of nobody: by the settings, by daemon.json, or by default."""
    content = system.data(DAEMON_JSON) or b""
    found = _DATA_ROOT.search(content.decode("utf-8", "replace"))
    chosen = setting or (found[1] if found else "")
    return chosen if chosen.startswith("/") else DEFAULT_ROOT


def notes_a_swarm(system: System, folder: str) -> bool:
    """Whether a Docker that does not answer has a note of a swarm among its data (moby, daemon/cluster)."""
    note = f"{folder}/swarm/docker-state.json"
    found = system.status(note) if system.is_file(note) else None
    return found is not None and found.st_size > 0


def pid(system: System, unit: Mapping[str, str]) -> int:
    """The process id of the daemon that runs; 0 where none does."""
    found = digits.whole(unit.get("MainPID") or system.text(_PID_FILE).strip()) or 0
    return found if found and system.exists(f"/proc/{found}/cmdline") else 0


def engine(system: System, *, limit_s: float = math.inf) -> Engine:
    """The engine that root's docker command reaches; `limit_s` is the longest that any one call may take."""
    return Engine(socket(system, os.environ.get("HOME", "/root")), limit_s=limit_s)


def socket(system: System, home: str) -> str:
    """The socket of the engine that the docker command reaches, by the context in use.

    Raises `HostError` for a context that leads elsewhere: then the stack would not be on this host.
    """
    context = client_config.read(system, home).get("currentContext") or "default"
    if context == "default":
        return "/var/run/docker.sock"
    address = system.output("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}", context).strip()
    if not address.startswith("unix://"):
        raise HostError(
            f"docker context {context}",
            expected="an engine on this host",
            got=f"one at {address or 'no address'}",
            do="run `docker context use default` as root there",
        )
    return address[len("unix://") :]


def configured(system: System, unit: Mapping[str, str]) -> list[str]:
    """The words after the program's name that the daemon is started with."""
    return list(_configured(system, unit))


def _configured(system: System, unit: Mapping[str, str]) -> Iterator[str]:
    if unit:
        found = _ARGUMENTS.search(unit.get("ExecStart", ""))
        words = found[1].split() if found else []
        files = [line.partition(" ")[0] for line in unit.get("EnvironmentFiles", "").splitlines()]
    elif system.has_systemd():
        return
    else:
        words, files = [_WITHOUT_SYSTEMD[0]], [_WITHOUT_SYSTEMD[1]]
    for word in words:
        if word.startswith("$"):
            yield from _variable(system, word.strip("${}"), files)
        else:
            yield word


def _variable(system: System, name: str, files: Sequence[str]) -> Iterator[str]:
    """The words of a variable, as a file of systemd's or a shell's sets it."""
    for path in files:
        for line in system.text(path.lstrip("-")).splitlines() if path else ():
            key, _, value = line.strip().partition("=")
            if key == name:
                yield from re.sub("[\"']", "", value).split()


def running(system: System, unit: Mapping[str, str]) -> list[str]:
    """The words after the program's name that the daemon runs with."""
    found = pid(system, unit)
    return system.text(f"/proc/{found}/cmdline").rstrip("\0").split("\0")[1:] if found else []


def _config_files(words: Sequence[str]) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], ""]):  # noqa: B905 Python 3.9 has no `strict`
        name, equals, value = word.partition("=")
        if name == "--config-file" and (equals or following):
            yield value if equals else following
