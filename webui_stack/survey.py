"""Everything a run wants to know of a host, observed by one remote command. Pure: parses its output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from webui_stack import compose, docker_config, engine, machine, swarm

# The systemd units a run cares for.
DOCKER_UNIT, TIMER_UNIT, BACKUP_UNIT = "docker.service", "open-webui-watchdog.timer", "open-webui-backup.timer"
# In the order they are printed.
SECTIONS = ("machine", "engine", "docker_config", "images", "containers", "units", "history", "files", "project")
# The first one on hosts of a swarm, and on no others.
SWARM_SECTION = "swarm"
# The log of deploys on the host, and the lease of the run that is at work there.
DEPLOY_LOG = "/var/log/open-webui/deploys.jsonl"
LEASE_FILE = f"{compose.RUN_FOLDER}/lease"
# Where the version of before has it.
OLD_LEASE_FILE = "/run/open-webui-stack.lease"
# What lines of the secrets' script begin with.
_STALE = ("content ", "mode ", "refused ")


class IncompleteError(ValueError):
    """A section is missing or was cut off, or Docker did not answer: what it would have said is unknown."""


@dataclass(frozen=True)
class Survey:
    """One host as observed.

    `files` are the contents of regular files that are root's and 0644, by path: any other file counts as absent,
    and thereby as one to be written again. `secrets` says what the secrets script would do: `content PATH`,
    `mode PATH`, or `refused WHY`. `units` are the systemd units that are active and enabled. `lease` is the lease's
    line (`webui_stack.lease`), `last_deploy` the last line of the log (`webui_stack.history`). `cut_off` is the runbook
    that was killed while data were in two places (`templates/restore.sh.j2`, `up.sh.j2`, `rollback.sh.j2`). `database`
    is where people's data are, "sqlite", "postgres" or "external"; "" where there are none, "unknown" where what tells
    is damaged. `migrating` is "yes" where runbooks/migrate.py has begun and not ended (`templates/migrate.sh.j2`).
    `swarm` is the host's part of it.
    """

    machine: machine.Machine = field(default_factory=lambda: machine.parse([]))
    engine: engine.Engine = field(default_factory=engine.Engine)
    docker: docker_config.Observed = field(default_factory=docker_config.Observed)
    services: compose.Observed = field(default_factory=compose.Observed)
    files: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    units: frozenset[str] = frozenset()
    lease: str = ""
    last_deploy: str = ""
    cut_off: str = ""
    database: str = ""
    migrating: str = ""
    swarm: swarm.Observed = field(default_factory=swarm.Observed)


def parse(lines: Iterable[str]) -> Survey:
    """Read what `templates/survey.sh.j2` prints. Raises `IncompleteError` naming the section it can't trust."""
    found = _split(lines)
    for line in found.get(SWARM_SECTION, []):
        if line.startswith("unknown "):
            what, _, why = line.removeprefix("unknown ").partition(" ")
            raise IncompleteError(
                f"swarm: expected Docker to name its {what}, got {why or 'no answer'}; "
                "look at `docker info` and `docker node ls` on the host, and run again once they answer"
            )
    stale = [line for line in found["project"] if line.startswith(_STALE)]
    inputs = [line for line in found["project"] if line.startswith("inputs ")]
    wanted = [line for line in found["project"] if not line.startswith((*_STALE, "inputs "))]
    return Survey(
        machine.parse(found["machine"]),
        engine.parse(found["engine"]),
        docker_config.parse(found["docker_config"]),
        compose.parse([*wanted, *found["images"], *found["containers"]]),
        _files(found["files"]),
        tuple(stale),
        _units(found["units"]),
        *_lines(found["history"]),
        swarm.parse([*found.get(SWARM_SECTION, []), *inputs]),
    )


def _split(lines: Iterable[str]) -> dict[str, list[str]]:
    """The lines of each section: a text without a final line break ends as one with it does."""
    found: dict[str, list[str]] = {}
    whole = set()
    name = full = ""
    for line in lines:
        if line.startswith("section "):
            name = line.removeprefix("section ")
            found[name] = []
        elif line == "end" and name:
            whole.add(name)
            if found[name] and not found[name][-1]:
                found[name].pop()
            name = ""
        elif line.startswith("full "):
            full = line.removeprefix("full ")
        elif name:
            found[name].append(line)
            if name == "project" and line.startswith("refused "):
                whole.add(name)  # its script says no more then
    for name in (*SECTIONS, *found.keys() - set(SECTIONS)):
        if name not in whole:
            part = "a part of it" if name in found else "nothing"
            todo = f"the disk with {full} is full: free some" if full else "run it again"
            raise IncompleteError(f"survey: expected the section {name!r}, got {part}; {todo}")
    return found


def _lines(lines: Sequence[str]) -> tuple[str, str, str, str, str]:
    """Lease, last deploy, what was cut off, which database, and whether it is being moved; "" for what is not there."""
    lease, deploy, cut_off, database, migrating = (
        next((line.removeprefix(kind) for line in lines if line.startswith(kind)), "")
        for kind in ("lease ", "deploy ", "cut_off ", "database ", "migrating ")
    )
    return lease, deploy, cut_off, database, migrating


def _files(lines: Iterable[str]) -> dict[str, str]:
    contents: dict[str, str] = {}
    path = ""
    for line in lines:
        if line.startswith("file "):
            path = line.removeprefix("file ")
            contents[path] = ""
        else:
            contents[path] += line.removeprefix("|") + "\n"
    return contents


def _units(lines: Iterable[str]) -> frozenset[str]:
    """The units that are active and enabled, from `systemctl show`'s blocks."""
    found: dict[str, dict[str, str]] = {}
    block: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition("=")
        if not line:
            block = {}
            continue
        block[key] = value
        if "Id" in block:
            found[block["Id"]] = block
    return frozenset(
        name
        for name, unit in found.items()
        if unit.get("ActiveState") == "active" and unit.get("UnitFileState") == "enabled"
    )
