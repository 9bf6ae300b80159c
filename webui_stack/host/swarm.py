"""This host's part of a swarm, as its own engine and, on a manager, the swarm itself tell it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence

from .engine import Engine, Info, Member, Service, Unavailable
from .errors import HostError
from .records import asdict, dataclass
from .stack import STACK_LABEL
from .system import System
from .typed import Any, TypeVar

# A manager that waits for a leader gives no answer, for some seconds or for good.
_TRIES, _PAUSE_S = 5, 1.0
_Answer = TypeVar("_Answer")


def look(
    system: System,
    engine: Engine,
    info: Info | None,
    *,
    stack: str,
    with_services: bool,
    noted: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Who this host is in the swarm, its nodes, and with `with_services` those of the stack.

    `noted` says that a Docker which does not answer has a note of a swarm. Raises `HostError` where that is so, and
    where a manager does not answer: unknown is never "none".
    """
    if info is None and noted:
        raise _silent("its swarm", "no answer")
    manages = info is not None and info.member.state == "active" and info.member.manages
    nodes = _again("its nodes", engine.nodes, sleep) if manages else ()
    services: Sequence[Mapping[str, Any]] = ()
    if manages and with_services:
        services = _again("its services", lambda: _services(system, engine, stack), sleep)
    return {
        "member": asdict(info.member if info else Member()),
        "nodes": [
            {
                "id": node.id,
                "name": node.hostname,
                "role": node.role,
                "availability": node.availability,
                "labels": dict(node.labels),
                "state": node.state,
                "reachable": node.reachable,
                "address": node.address,
            }
            for node in nodes
        ],
        "services": list(services),
    }


def remembered(system: System, good: str) -> dict[str, Any]:
    """What the stack's definitions, and its images' tags, were when they were last good."""
    images = [line.split() for line in system.text(f"{good}/images").splitlines()]
    known = [line.split(maxsplit=1) for line in system.text(f"{good}/known").splitlines()]
    return {
        # A line that a power cut has damaged tells nothing: its service counts as changed.
        "known": {words[0]: words[1] for words in known if len(words) > 1},
        "known_images": {words[1]: words[0] for words in images if len(words) > 2},
    }


def _services(system: System, engine: Engine, stack: str) -> list[Mapping[str, Any]]:
    found = engine.services(label=f"{STACK_LABEL}={stack}")
    definitions = definitions_of(system, [one.id for one in found])
    return [_service(engine, one, definitions[one.name]) for one in found]


@dataclass(frozen=True)
class Replicas:
    """How many replicas of a service run, on how many nodes, and how many are wanted."""

    running: int
    hosts: int
    wanted: int


def replicas(engine: Engine, one: Service) -> Replicas:
    """A task that is out of reach counts as running to its swarm, but it is not to run any more."""
    wanted = [task for task in engine.tasks(one.id) if task.desired == "running"]
    running = [task for task in wanted if task.state == "running"]
    hosts = {task.node_id for task in running}
    return Replicas(len(running), len(hosts), len(wanted) if one.replicas is None else one.replicas)


def _service(engine: Engine, one: Service, definition: str) -> Mapping[str, Any]:
    return {"name": one.name, "definition": definition, **asdict(replicas(engine, one)), "update": one.update}


def definitions_of(system: System, ids: Sequence[str]) -> dict[str, str]:
    """The SHA-256 of each service's definition by its name: of the line that `docker service inspect` prints.

    Deploys of earlier versions remembered it so. `ids` may be names. Raises `Unavailable` where Docker does not say.
    """
    if not ids:
        return {}
    said = system.attempt("docker", "service", "inspect", "--format", "{{.Spec.Name}} {{json .Spec}}", *ids)
    if said is None:
        raise Unavailable("docker service inspect", "none")
    lines = (line.partition(" ")[::2] for line in said.splitlines())
    return {name: hashlib.sha256(f"{text}\n".encode("utf-8", "surrogateescape")).hexdigest() for name, text in lines}


def _again(what: str, ask: Callable[[], _Answer], sleep: Callable[[float], None]) -> _Answer:
    for _ in range(_TRIES):
        try:
            return ask()
        except Unavailable as error:
            why = error.got
            sleep(_PAUSE_S)
    raise _silent(what, why)


def _silent(what: str, why: str) -> HostError:
    return HostError(
        "swarm",
        expected=f"Docker to name {what}",
        got=why,
        do="look at `docker info` and `docker node ls` on the host, and run again once they answer",
    )
