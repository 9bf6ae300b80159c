"""The stack's services in a swarm: which images they have, whether they run as wanted, and that they stop.

No service counts as missing, healthy or stopped unless Docker says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .clock import Clock, moment
from .engine import Engine, NotFound, Service, Task
from .errors import HostError
from .patience import Patience
from .stack_file import StackFile

OPEN_WEBUI = "open-webui"
_LOOK_S = 1.0
_STOP_LOOKS = 60
_FAILURES = 3
_LOG_LINES, _TASK_LINES = 15, 3
# What of a task's definition makes a new task of it, in a service's and in a task's own words the same.
_WORDS = (
    *("Image", "Args", "Labels", "Env", "Mounts", "Secrets", "Configs", "Healthcheck"),
    *("CapabilityAdd", "Ulimits", "Sysctls"),
)
_TAKEN_BACK = ("paused", "rollback_paused", "rollback_completed")


@dataclass(frozen=True)
class State:
    """How many tasks of a service are `wanted`, how many are `running` as it wants them now, and its `update`.

    `failed` is how many of those have failed since the deploy.
    """

    wanted: int
    running: int
    failed: int
    update: str
    message: str

    @property
    def is_well(self) -> bool:
        return self.update in ("", "completed") and self.running == self.wanted


class NotHealthyError(HostError):
    """Docker has answered: some service does not run as wanted."""


class SwarmServices:
    """The services of `stack`, which stack.yaml names. They have `wait_s` to get healthy; `tell` gets lines meanwhile.

    `start_s` is how long one replica may take, for the words.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        patience: Patience,
        file: StackFile,
        stack: str,
        *,
        start_s: int,
        wait_s: float,
        tell: Callable[[str], None],
    ) -> None:
        self._engine, self._clock, self._patience, self._file, self._stack = engine, clock, patience, file, stack
        self._start_s, self._wait_s, self._tell = start_s, wait_s, tell

    def name(self, service: str) -> str:
        """A service's name in the swarm."""
        return f"{self._stack}_{service}"

    # --- Look

    def image_of(self, service: str) -> str:
        """The image that a service runs, by its definition; "" where there is no such service."""
        found = self._find(service)
        return found.image if found else ""

    def replicas(self, service: str) -> int:
        """How many replicas a service is to have. Raises `NotFound` where there is no such service."""
        return self._patience.ask(lambda: self._engine.service(self.name(service))).replicas or 0

    def state(self, service: str, since_s: float) -> State:
        """How a service stands. Raises `NotFound` where there is none."""
        found = self._patience.ask(lambda: self._engine.service(self.name(service)))
        tasks = self._patience.ask(lambda: self._engine.tasks(found.id))
        mine = [task for task in tasks if _words(task.spec) == _words(found.spec["TaskTemplate"])]
        wanted = found.replicas
        if wanted is None:  # one on each node that may have it
            wanted = sum(task.desired == "running" for task in tasks)
        return State(
            wanted,
            sum((task.state, task.desired) == ("running", "running") for task in mine),
            sum(task.state in ("failed", "rejected") and moment(task.created_at) > since_s for task in mine),
            found.update,
            found.update_message,
        )

    def has_another_version(self, image: str) -> bool:
        """Whether Open WebUI is, or runs somewhere, of another image than this one."""
        found = self._find(OPEN_WEBUI)
        if found is None:
            return False
        # A deploy that was cut off has told the service already, while replicas of before are about to stop.
        others = [task for task in self._unended() if task.spec["ContainerSpec"]["Image"] != image]
        return found.image != image or bool(others)

    # --- Wait

    def await_all(self, since_s: float, only: Sequence[str] = ()) -> None:
        """Return once all services of stack.yaml, or `only` these, run as wanted. `since_s` is when that was told.

        Raises `NotHealthyError`, after it has told why, where one is taken back, fails three times or takes too long;
        `HostError` where Docker gives no answer.
        """
        until_s = self._clock.monotonic() + self._wait_s
        services, told = only or self._file.services(), ""
        while True:
            states = {service: self._seen(service, since_s) for service in services}
            waiting = ", ".join(_waiting(service, state) for service, state in states.items() if not _well(state))
            over = next((why for why in map(_over, states.values()) if why), "")
            if not waiting and not over:
                return
            if waiting and waiting != told:
                self._tell(f"waiting for {waiting}")
            told = waiting
            if not over and self._clock.monotonic() > until_s:
                over = f"not healthy within {self._start_s} s each"
            if over:
                self._tell(f"{over}:")
                for line in self._complaints(since_s):
                    self._tell(line)
                do = "see the lines above"
                raise NotHealthyError("swarm", expected="all services to run healthy", got=over, do=do)
            self._clock.sleep(_LOOK_S)

    def await_stop(self, service: str = OPEN_WEBUI) -> None:
        """Return once no replica of a service runs, also none of a task that is not to run any more.

        Two versions must never serve one database at the same time
        (https://docs.openwebui.com/getting-started/updating, 0.12). Of a node that is out of reach nobody knows.
        """
        for _ in range(_STOP_LOOKS):
            if not self._unended(service):
                return
            self._clock.sleep(_LOOK_S)
        raise HostError(
            self.name(service),
            expected="its tasks to stop",
            got="some that run",
            do="look at their nodes",
        )

    # --- Change

    def halt(self, service: str = OPEN_WEBUI) -> None:
        """Ensure no replica of a service runs, whatever its definition."""
        with contextlib.suppress(NotFound):
            self.scale(service, 0)
        self.await_stop(service)

    def scale(self, service: str, replicas: int) -> None:
        """Ensure the swarm is told how many replicas a service is to have. Raises `NotFound` without such a service."""
        self._patience.ask(lambda: self._update(service, replicas=replicas))

    def again(self, service: str) -> None:
        """Ensure a service gets new tasks, though its definition is as wanted."""
        self._patience.ask(lambda: self._update(service, force=True))

    # --- Below

    def _find(self, service: str) -> Service | None:
        try:
            return self._patience.ask(lambda: self._engine.service(self.name(service)))
        except NotFound:
            return None

    def _update(self, service: str, *, replicas: int | None = None, force: bool = False) -> None:
        # Read each time: Docker refuses a change of a definition that was changed since.
        found = self._engine.service(self.name(service))
        if force or found.replicas != replicas:
            self._engine.service_update(found, replicas=replicas, force=force)

    def _unended(self, service: str = OPEN_WEBUI) -> list[Task]:
        """The tasks of a service that have, or are about to have, a process on a node within reach.

        A task that starts is not "running" until it is healthy, so all states count but the last ones.
        """
        try:
            tasks = self._patience.ask(lambda: self._engine.tasks(self.name(service)))
        except NotFound:
            return []
        left = [task for task in tasks if not task.ended and task.node_id]
        reached = {node_id: self._is_reached(node_id) for node_id in sorted({task.node_id for task in left})}
        return [task for task in left if reached[task.node_id]]

    def _is_reached(self, node_id: str) -> bool:
        try:
            return self._patience.ask(lambda: self._engine.node(node_id)).state == "ready"
        except NotFound:  # a node that is gone runs nothing
            return False

    def _seen(self, service: str, since_s: float) -> State | None:
        try:
            return self.state(service, since_s)
        except NotFound:
            return None

    def _complaints(self, since_s: float) -> Iterator[str]:
        """Why services don't run. It never raises: it explains an error, and must not hide it."""
        for service in self._file.services():
            name = self.name(service)
            try:
                state = self.state(service, since_s)
                if state.is_well:
                    continue
                update = f", {state.message}" if state.update else ""
                yield f"{name}: {state.running} of {state.wanted} run{update}"
                yield from self._last_tasks(name)
                said = self._engine.service_logs(name, tail=_LOG_LINES)
            except HostError as error:
                yield f"{name}: {error}"
                continue
            lines = said.decode("utf-8", "replace").splitlines()
            yield from (f"  | {line}" for line in lines[-_LOG_LINES:])

    def _last_tasks(self, name: str) -> list[str]:
        nodes = {node.id: node.hostname for node in self._engine.nodes()}
        latest = sorted(self._engine.tasks(name), key=lambda task: task.created_at, reverse=True)
        return [_line(task, nodes) for task in latest[:_TASK_LINES]]


def _line(task: Task, nodes: Mapping[str, str]) -> str:
    node = nodes.get(task.node_id, task.node_id)
    said = "" if task.message in ("", "started", task.state) else f", {task.message}"
    return f"  {node}: {task.state}{said}"


def _words(spec: Mapping[str, Any]) -> list[Any]:
    container = spec.get("ContainerSpec") or {}
    words = [container.get(name) or None for name in _WORDS]
    return [*words, spec.get("Resources") or None, spec.get("ForceUpdate", 0)]


def _well(state: State | None) -> bool:
    return state is not None and (state.is_well or state.update in _TAKEN_BACK)


def _waiting(service: str, state: State | None) -> str:
    if state is None:
        return f"{service}, which is missing"
    update = "" if state.update in ("", "completed") else f" ({state.update})"
    return f"{service} {state.running} of {state.wanted}{update}"


def _over(state: State | None) -> str:
    if state is None:
        return ""
    if state.update in _TAKEN_BACK:
        return "taken back"
    if state.running != state.wanted and state.failed >= _FAILURES:
        return f"failed {state.failed} times"
    return ""
