"""Doctor: all that is judged of a host, in one document. Reads only, and tells no secret.

What is not there, and what does not run, is an observation. Any other question that fails is a line of `unread`, and
the look goes on. Which containers there are is the exception: without that, each of them would seem to be missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import backups, compose, disk, dockerd, machine, open_webui, packet_filter, programs, psql, stack, swarm
from .. import valkey as valkey_
from ..clock import Clock
from ..engine import Container, Engine, EngineError, Info, NotFound, Unavailable
from ..files import Files
from ..outcomes import Outcomes
from ..system import System, require_root
from ..unread import Unread

# Where Docker's data are, as far as nobody can tell.
_SOMEWHERE = "/var/lib"
# Options of a log driver that are told. Others may hold a token (splunk-token).
_LOG_OPTIONS = ("max-size", "max-file")


@dataclass(frozen=True)
class Request:
    """What the operator's side asks.

    `containers` has the name of each service's container; in a swarm, the name of the service. `ours` matches the
    names of the stack's containers, however many there are. `swarm` is the stack's name, "" where there is a stack
    for each host. `shown` are variables whose values are told, `addresses` those with a password in an address, and
    `questions` what Valkey is asked.
    """

    stack_dir: str
    backup_dir: str
    backup_schedule: str
    backup_check_schedule: str
    drill_schedule: str
    containers: Mapping[str, str]
    ours: str
    swarm: str
    questions: Sequence[str]
    shown: Sequence[str]
    addresses: Sequence[str]


def run(arguments: Mapping[str, Any], _emit: Callable[[Any], None]) -> dict[str, Any]:
    """The document of this host; `arguments` are those of `Request`."""
    require_root()
    system = System()
    return look(Request(**arguments), system, dockerd.engine(system, limit_s=programs.LIMIT_S), Clock(), Files())


def look(asked: Request, system: System, engine: Engine, clock: Clock, files: Files) -> dict[str, Any]:
    """The document. Of a Docker that does not answer nothing is told, and `engine` is ""."""
    unread = Unread()
    no_times: list[str] = []
    version = _version(engine)
    info = unread.answer(engine.info, None) if version else None
    root = info.root if info and system.path(info.root).is_dir() else _SOMEWHERE
    return {
        "host": {
            **unread.answer(lambda: _memory(system), {"memory_kb": 0, "memory_free_kb": 0}),
            "overcommit_memory": unread.answer(lambda: system.text("/proc/sys/vm/overcommit_memory").strip(), ""),
            "engine": version,
            "compose": unread.answer(lambda: compose.version(system) if system.has("docker") else "", ""),
            "disk_root": root,
            **unread.answer(lambda: disk.room(system, root), disk.NOWHERE),
        },
        "backup": {**backups.look(system, unread, asked.backup_dir), "now_s": int(clock.now())},
        "due": unread.answer(lambda: backups.due(system, asked.backup_schedule), no_times),
        "jobs": {
            "outcomes": Outcomes(files, clock, asked.stack_dir).all(),
            "drill_due": unread.answer(lambda: backups.due(system, asked.drill_schedule, "drill_schedule"), no_times),
            "check_due": unread.answer(
                lambda: backups.due(system, asked.backup_check_schedule, "backup_check_schedule"), no_times
            ),
        },
        **(_of_docker(asked, system, engine, unread, info) if version else _NO_DOCKER),
        "unread": unread.lines,
    }


def _version(engine: Engine) -> str:
    try:
        return engine.version().engine
    except Unavailable:
        return ""


def _memory(system: System) -> dict[str, int]:
    text = system.text("/proc/meminfo")
    return {
        "memory_kb": machine.memory_kb(text, "MemTotal"),
        "memory_free_kb": machine.memory_kb(text, "MemAvailable"),
    }


_NO_PROXY = {"version": "", "package": ""}
_NO_DOCKER: Mapping[str, Any] = {
    "firewall": None,
    "nodes": {},
    "services": {},
    "containers": [],
    "valkey": valkey_.NOTHING,
    "open_webui": open_webui.NOTHING,
    "postgres": None,
    "proxy": _NO_PROXY,
}


def _of_docker(asked: Request, system: System, engine: Engine, unread: Unread, info: Info | None) -> dict[str, Any]:
    there = _containers(asked, engine)
    nodes, services = _swarm(asked, engine, info) if asked.swarm else ({}, {})

    def one(service: str) -> Container | None:
        return _of_service(asked, there, asked.containers[service])

    postgres, proxy = one("postgres"), one("proxy")
    return {
        "firewall": packet_filter.look(system, engine, unread, info),
        "nodes": nodes,
        "services": services,
        "containers": [_document(container) for container in there],
        "valkey": valkey_.look(
            *(system, engine, unread, one("redis")),
            stack_dir=asked.stack_dir,
            in_swarm=bool(asked.swarm),
            questions=asked.questions,
        ),
        "open_webui": open_webui.look(engine, unread, one("open-webui"), shown=asked.shown, addresses=asked.addresses),
        "postgres": unread.answer(lambda: _postgres(engine, postgres), None) if postgres else None,
        "proxy": {
            "version": unread.answer(lambda: _caddy(engine, proxy), ""),
            "package": unread.answer(lambda: programs.package(engine, proxy, "caddy"), ""),
        }
        if proxy
        else _NO_PROXY,
    }


def _containers(asked: Request, engine: Engine) -> list[Container]:
    """The stack's containers, the newest first; of a swarm those that run."""
    if asked.swarm:
        names = [one.name for one in engine.running() if one.labels.get(stack.STACK_LABEL) == asked.swarm]
    else:
        names = [one.name for one in engine.listed() if re.fullmatch(asked.ours, one.name)]
    found = []
    for name in names:
        try:
            found.append(engine.container(name))
        except NotFound:
            continue  # it went meanwhile
    return found


def _of_service(asked: Request, there: Sequence[Container], name: str) -> Container | None:
    """The container of a service on this host, the newest one; None where it has none."""
    if asked.swarm:
        return next((one for one in there if one.labels.get(stack.SERVICE_LABEL) == name), None)
    return next((one for one in there if one.name == name), None)


def _document(one: Container) -> dict[str, Any]:
    """A container without its variables, and without what its healthcheck printed: both may hold a secret."""
    return {
        "name": one.name,
        "image": one.image,
        "directory": one.labels.get(stack.FOLDER_LABEL, ""),
        "task": one.labels.get(stack.SERVICE_LABEL, ""),
        "status": one.status,
        "exit_code": one.exit_code,
        "oom_killed": one.oom_killed,
        "health": one.health or "none",
        "failing": one.failing,
        "restarts": one.restarts,
        "restart_policy": one.restart_policy,
        "log_driver": one.log_driver,
        "log_options": {name: value for name, value in one.log_options.items() if name in _LOG_OPTIONS},
        "network_mode": one.network_mode,
        "networks": list(one.networks),
        "ports": [{"address": port.address, "outside": port.outside, "inside": port.inside} for port in one.ports],
    }


def _swarm(asked: Request, engine: Engine, info: Info | None) -> tuple[dict[str, str], dict[str, str]]:
    """The nodes with their state and availability, the services with their replicas, as `docker node ls` has them.

    A manager without a leader lists nothing. That is a fault, and not a swarm without nodes: the node "?" says so.
    """
    if info is None:
        return {"?": "no answer to `docker info`"}, {}
    if not info.member.manages:
        return {}, {}
    nodes: dict[str, str] = {}
    services: dict[str, str] = {}
    try:
        nodes = {one.hostname: f"{one.state} {one.availability}".title() for one in engine.nodes()}
    except EngineError:
        nodes["?"] = "no answer to `docker node ls`"
    try:
        for one in engine.services(label=f"{stack.STACK_LABEL}={asked.swarm}"):
            replicas = swarm.replicas(engine, one)
            services[one.name] = f"{replicas.running}/{replicas.wanted}"
    except EngineError:
        nodes["?"] = "no answer to `docker service ls`"
    return nodes, services


def _postgres(engine: Engine, one: Container) -> dict[str, int] | None:
    """Connections in use, and how many there may be; None where it does not run."""
    found = psql.connections(engine, one)
    return found and found._asdict()


def _caddy(engine: Engine, one: Container) -> str:
    return programs.said(engine, one, ["caddy", "version"], absent=programs.ABSENT).strip()
