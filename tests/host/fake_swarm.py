"""A swarm in memory: nodes, services with their tasks, secrets, configs. Tasks on this host are containers of Docker's.

Tasks are placed in turn on the nodes that take any. An update stops old tasks before it starts new ones; it is paused
when a task failed three times. A node that is out of reach keeps what runs on it, and nobody hears what became of that.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.host.fake_docker import Docker, Held
from webui_stack.host.engine import Member, Named, NewContainer, Node, NotFound, Refused, Service, Task

SERVICE = "com.docker.swarm.service.name"
_TRIES = 3


@dataclass
class FakeSwarm:
    """What the managers know. `leader` is False while they have none, `here` is this host's node."""

    docker: Docker
    here: str = "node1"
    leader: bool = True
    nodes: list[Node] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)  # by name
    tasks: list[Task] = field(default_factory=list)
    secrets: dict[str, Named] = field(default_factory=dict)  # by name
    configs: dict[str, Named] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)  # of secrets and configs, by id

    def __deepcopy__(self, memo: dict[int, Any]) -> FakeSwarm:
        """As any copy, in a part of the time: nodes, services, tasks and secrets are values, and Docker is copied."""
        made = copy.copy(self)
        memo[id(self)] = made
        for name, one in vars(self).items():
            vars(made)[name] = copy.deepcopy(one, memo) if one is self.docker else copy.copy(one)
        return made

    @property
    def member(self) -> Member:
        if not self.nodes:
            return Member()
        mine = next(node for node in self.nodes if node.id == self.here)
        return Member("active", self.here, mine.role == "manager", "10.0.0.1")

    def put_node(
        self, id_: str, *, role: str = "manager", state: str = "ready", labels: Mapping[str, str] | None = None
    ) -> None:
        """A node, or what became of it."""
        self.nodes = [one for one in self.nodes if one.id != id_]
        reachable = "reachable" if role == "manager" else ""
        self.nodes.append(Node(id_, id_, role, "active", state, dict(labels or {}), reachable))

    def put_service(
        self,
        name: str,
        new: NewContainer,
        *,
        replicas: int | None = 1,
        labels: Mapping[str, str] | None = None,
        force: bool = False,
    ) -> None:
        """Ensure a service, as `docker stack deploy` does: its tasks are made anew where its definition is another."""
        before = self.services.get(name)
        spec = _spec(name, new, replicas, labels or {})
        if before:
            forced = before.spec["TaskTemplate"]["ForceUpdate"] + (1 if force else 0)
            spec["TaskTemplate"]["ForceUpdate"] = forced
        version = before.version + 1 if before else 1
        service_id = before.id if before else self.docker.number()
        update = "completed" if before else ""
        made = Service(service_id, name, version, new.image, replicas, update, labels=dict(labels or {}), spec=spec)
        self.services[name] = made
        self._reconcile(made, new)

    def update(self, service: Service, *, replicas: int | None, force: bool) -> None:
        now = self.services[service.name]
        if now.version != service.version:
            words = "rpc error: code = Unknown desc = update out of sequence"
            raise Refused("service_update", words, status=500)
        new = _new(now.spec)
        count = now.replicas if replicas is None else replicas
        self.put_service(now.name, new, replicas=count, labels=now.labels, force=force)

    def drop_service(self, name: str) -> None:
        """As `docker service rm`, or `docker stack deploy --prune`."""
        service = self.services.pop(name)
        for task in self.tasks:
            if task.service_id == service.id:
                self._end(task)
        self.tasks = [task for task in self.tasks if task.service_id != service.id]

    def start_again(self) -> None:
        """A power cut on this host: the managers replace tasks whose containers have ended."""
        for service in list(self.services.values()):
            for task in self.tasks:
                one = self.docker.held.get(task.container_id)
                mine = task.service_id == service.id and task.desired == "running" and task.node_id == self.here
                if mine and not (one and one.runs):
                    self._end(task)
            self._reconcile(service, _new(service.spec))

    def make(self, kind: str, held: dict[str, Named], name: str, content: bytes, labels: Mapping[str, str]) -> str:
        if name in held:
            words = f"rpc error: code = AlreadyExists desc = {kind} {name} already exists"
            raise Refused(f"a {kind} {name}", words, status=409)
        made = Named(self.docker.number(), name, dict(labels))
        held[name] = made
        self.contents[made.id] = content
        return made.id

    def remove(self, kind: str, held: dict[str, Named], name: str) -> None:
        found = self.find(kind, held, name)
        users = [one.name for one in self.services.values() if found.name in json.dumps(one.spec)]
        if users:
            words = f"rpc error: code = InvalidArgument desc = {kind} '{found.name}' is in use by {users}"
            raise Refused(f"a removal of {kind} {name}", words, status=400)
        del held[found.name], self.contents[found.id]

    @staticmethod
    def find(kind: str, held: Mapping[str, Named], name: str) -> Named:
        for one in held.values():
            if name in (one.name, one.id):
                return one
        raise NotFound(kind, name)

    def service(self, name: str) -> Service:
        for one in self.services.values():
            if name in (one.name, one.id):
                return one
        raise NotFound("service", name)

    def node(self, name: str) -> Node:
        for one in self.nodes:
            if name in (one.id, one.hostname):
                return one
        raise NotFound("node", name)

    def seen(self, task: Task) -> Task:
        """A task as it is now: on this host, as its container is."""
        one = self.docker.held.get(task.container_id)
        if task.ended or task.node_id != self.here:
            return task
        if one is None or not one.runs:
            return replace(task, state="failed", message="task: non-zero exit")
        healthy = self.docker.shown(one).health in ("", "healthy")
        return replace(task, state="running" if healthy else "starting")

    def _reconcile(self, service: Service, new: NewContainer) -> None:
        mine = [task for task in self.tasks if task.service_id == service.id and task.desired == "running"]
        able = [node for node in self.nodes if node.able]
        wanted = len(able) if service.replicas is None else service.replicas
        kept = [task for task in mine if task.spec == service.spec["TaskTemplate"]][:wanted]
        for task in mine:
            if task not in kept:
                self._end(task)
        failures = 0
        for number in range(len(kept), wanted):
            while able and failures < _TRIES:
                task = self._place(service, new, able[number % len(able)].id, number + 1)
                self.tasks.append(task)
                if not task.ended:
                    break
                failures += 1
        if failures >= _TRIES and service.update:
            paused = replace(service, update="paused", update_message="update paused due to failure of a task")
            self.services[service.name] = paused

    def _place(self, service: Service, new: NewContainer, node_id: str, slot: int) -> Task:
        id_ = self.docker.number()
        task = Task(
            id_, service.id, node_id, "running", "running", self.docker.time(), spec=service.spec["TaskTemplate"]
        )
        if node_id != self.here:
            return task
        labels = {**new.labels, SERVICE: service.name, "com.docker.swarm.task.id": id_}
        try:
            made = self.docker.make(f"{service.name}.{slot}.{id_}", replace(new, labels=labels, restart_policy="no"))
            self.docker.start(made)
        except Refused as error:
            return replace(task, state="rejected", desired="shutdown", message=error.message)
        if not made.runs:
            return replace(
                task, state="failed", desired="shutdown", container_id=made.id, message="task: non-zero exit"
            )
        return replace(task, container_id=made.id)

    def _end(self, task: Task) -> None:
        node = next((one for one in self.nodes if one.id == task.node_id), None)
        reachable = node is not None and node.state == "ready"
        container = self.docker.held.get(task.container_id)
        if container and container.runs:
            self.docker.stop(container, graceful=True)
        state = "shutdown" if reachable and not task.ended else task.state
        self.tasks = [replace(one, state=state, desired="shutdown") if one.id == task.id else one for one in self.tasks]


def of_service(held: Held, name: str) -> bool:
    return held.new.labels.get(SERVICE) == name


def _spec(name: str, new: NewContainer, replicas: int | None, labels: Mapping[str, str]) -> dict[str, Any]:
    definition = {
        "Image": new.image,
        "Args": list(new.command),
        "Env": [f"{variable}={value}" for variable, value in new.env.items()],
        "Labels": dict(new.labels),
        "Mounts": list(new.volumes),
        "Networks": new.network,
    }
    mode = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    template = {"ContainerSpec": definition, "ForceUpdate": 0}
    return {"Name": name, "Labels": dict(labels), "TaskTemplate": template, "Mode": mode}


def _new(spec: Mapping[str, Any]) -> NewContainer:
    definition = spec["TaskTemplate"]["ContainerSpec"]
    env = dict(line.partition("=")[::2] for line in definition["Env"])
    return NewContainer(
        definition["Image"],
        definition["Args"],
        env=env,
        labels=definition["Labels"],
        volumes=definition["Mounts"],
        network=definition["Networks"],
    )
