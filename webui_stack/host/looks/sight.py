"""What the looks of one round share: what is asked once serves all of them, and a question that failed is not repeated.

Docker is asked for each container once, and Valkey in one conversation.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .. import digits, programs, stack, swarm
from ..certificate import Dial
from ..clock import Clock
from ..engine import Container, Engine, NotFound
from ..errors import HostError
from ..files import Files
from ..system import System
from ..valkey import monitor_password
from . import conversation
from .conversation import Conversation
from .memory import Memory
from .request import Request

_Answer = TypeVar("_Answer")


def dial(address: str, port: int, limit_s: float) -> socket.socket:
    """A connection to an address. Raises `OSError`."""
    return socket.create_connection((address, port), timeout=limit_s)


def slot(container: str) -> str:
    """A container's name without the part that each start changes in a swarm: SERVICE.SLOT.ID, or SERVICE.NODE.ID."""
    service, *rest = container.split(".")
    if len(rest) != 2:
        return container
    return service if digits.whole(rest[0]) is None else f"{service}.{rest[0]}"


@dataclass(frozen=True)
class Host:
    """The parts of the host that looks ask."""

    system: System
    engine: Engine
    files: Files
    clock: Clock
    dial: Dial = dial


class Sight:
    """One round of looks at what is asked; `by_a_verb` says that a verb may have started containers since the last."""

    def __init__(self, asked: Request, host: Host, memory: Memory, *, by_a_verb: bool = False) -> None:
        self.asked, self.memory, self.by_a_verb = asked, memory, by_a_verb
        if by_a_verb:
            memory.note_verb()
        self.system, self.engine, self.files, self.clock = host.system, host.engine, host.files, host.clock
        self.dial = host.dial
        self._answers: dict[str, Any] = {}

    @property
    def containers(self) -> Mapping[str, Sequence[Container]]:
        """The containers of this host by the names that are asked for: none or one, in a swarm those that run."""
        return self._once("containers", self._containers)

    @property
    def services(self) -> Mapping[str, swarm.Replicas]:
        """A swarm's services of the stack by their names."""
        return self._once("services", self._services)

    def one(self, name: str) -> Container | None:
        """The container of this name, or the newest of a service here; None where there is none."""
        return next(iter(self.containers.get(name, ())), None)

    @property
    def conversation(self) -> Conversation | None:
        """What Valkey said, and who waits for an event; None where its container does not run here."""
        return self._once("conversation", self._conversation)

    def end(self) -> None:
        """Ensure nothing of this round is open."""
        held = self._answers.get("conversation")
        if isinstance(held, Conversation):
            held.end()

    def _once(self, what: str, ask: Callable[[], _Answer]) -> _Answer:
        if what not in self._answers:
            try:
                self._answers[what] = ask()
            except HostError as error:
                self._answers[what] = error
        answer = self._answers[what]
        if isinstance(answer, HostError):
            raise answer
        known: _Answer = answer
        return known

    def _containers(self) -> Mapping[str, Sequence[Container]]:
        names = {name: [name] for name in self.asked.containers}
        if self.asked.swarm:
            running = self.engine.running()
            names = {
                service: _newest([one.name for one in running if one.labels.get(stack.SERVICE_LABEL) == service])
                for service in self.asked.containers
            }
        return {name: self._found(those) for name, those in names.items()}

    def _found(self, names: Sequence[str]) -> Sequence[Container]:
        found = []
        for name in names:
            try:
                found.append(self.engine.container(name))
            except NotFound:
                continue
        return found

    def _services(self) -> Mapping[str, swarm.Replicas]:
        there = self.engine.services(label=f"{stack.STACK_LABEL}={self.asked.swarm}")
        return {one.name: swarm.replicas(self.engine, one) for one in there}

    def _conversation(self) -> Conversation | None:
        one = self.one(self.asked.valkey)
        if one is None:
            return None

        def hold(running: Container) -> Conversation | None:
            at, passwords = self._address(running), self._passwords(running)
            held = conversation.hold(running, at, passwords, self._listening(), self.dial)
            if (held.answers is None or not held.answers.pong) and programs.has_ended(self.engine, running):
                held.end()
                return None
            return held

        return programs.answer(self.engine, one, hold, None)

    def _passwords(self, one: Container) -> tuple[str, str]:
        """Those of `monitor` and of Open WebUI; "" where this Valkey is not ours."""
        folder = self.asked.stack_dir
        monitor = monitor_password(self.system, one, stack_dir=folder, in_swarm=bool(self.asked.swarm))
        return monitor, self.system.text(f"{folder}/secrets/valkey-password").rstrip("\n") if monitor else ""

    def _listening(self) -> Mapping[str, str]:
        """The addresses at which this host reaches each Open WebUI of its own that serves."""
        serving = [
            one
            for name in self.asked.open_webui
            for one in self.containers.get(name, ())
            if (one.status, one.health) in (("running", "healthy"), ("running", ""))
        ]
        return {one.name: self._address(one) for one in serving}

    def _address(self, one: Container) -> str:
        """The address at which this host reaches a container; "" where it has none."""
        if self.asked.swarm:
            return self._once("gateways", self._gateways).get(one.id, "")
        return next((at.address for at in one.networks.values() if at.address), "")

    def _gateways(self) -> Mapping[str, str]:
        return stack.gateways(self.engine, self.asked.gateway)


def _newest(containers: Sequence[str]) -> list[str]:
    """One container for each slot, of those that come newest first: an update may start one beside the last."""
    found: dict[str, str] = {}
    for name in containers:
        found.setdefault(slot(name), name)
    return list(found.values())
