"""The objects of a swarm as its managers show them (Docker Engine API v1.41 to v1.47). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..records import dataclass, field
from .objects import Json


@dataclass(frozen=True)
class Node:
    """A node; `reachable` and `address` are "" on a worker. `state` is what the manager last heard of it."""

    id: str
    hostname: str
    role: str
    availability: str
    state: str
    labels: Mapping[str, str] = field(default_factory=dict)
    reachable: str = ""
    address: str = ""
    leader: bool = False

    @property
    def able(self) -> bool:
        """Whether it takes tasks."""
        return self.state == "ready" and self.availability == "active"


def node(data: Json) -> Node:
    spec, manager = data["Spec"], data.get("ManagerStatus") or {}
    return Node(
        id=data["ID"],
        hostname=data["Description"]["Hostname"],
        role=spec["Role"],
        availability=spec["Availability"],
        state=data["Status"]["State"],
        labels=spec.get("Labels") or {},
        reachable=manager.get("Reachability", ""),
        address=manager.get("Addr", ""),
        leader=manager.get("Leader", False),
    )


@dataclass(frozen=True)
class Service:
    """A service; `spec` is its whole definition, and `version` the one that an update has to name.

    `replicas` is None where it runs once on each node. `update` is "" where it was never updated, else updating,
    paused, completed, rollback_started, rollback_paused or rollback_completed.
    """

    id: str
    name: str
    version: int
    image: str
    replicas: int | None
    update: str = ""
    update_message: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    spec: Json = field(default_factory=dict, repr=False)


def service(data: Json) -> Service:
    spec, update = data["Spec"], data.get("UpdateStatus") or {}
    replicated = spec["Mode"].get("Replicated")
    return Service(
        id=data["ID"],
        name=spec["Name"],
        version=data["Version"]["Index"],
        image=(spec["TaskTemplate"].get("ContainerSpec") or {}).get("Image", ""),  # others may run plug-ins
        # A replicated service without a number has one replica (swarmkit, api/specs.proto).
        replicas=None if replicated is None else replicated.get("Replicas", 1),
        update=update.get("State", ""),
        update_message=update.get("Message", ""),
        labels=spec.get("Labels") or {},
        spec=spec,
    )


# The last states of a task: no process runs any more (swarmkit, design/task_model.md).
ENDED = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")


@dataclass(frozen=True)
class Task:
    """One replica on one node, or what became of it; `spec` is the definition that it was made from.

    `state` is what its node last said: of a node out of reach it is not known. `desired` is what the swarm wants.
    """

    id: str
    service_id: str
    node_id: str
    state: str
    desired: str
    created_at: str
    container_id: str = ""
    message: str = ""
    spec: Json = field(default_factory=dict, repr=False)

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def task(data: Json) -> Task:
    status = data["Status"]
    return Task(
        id=data["ID"],
        service_id=data["ServiceID"],
        node_id=data.get("NodeID", ""),
        state=status["State"],
        desired=data["DesiredState"],
        created_at=data["CreatedAt"],
        container_id=(status.get("ContainerStatus") or {}).get("ContainerID", ""),
        message=status.get("Err") or status.get("Message", ""),
        spec=data["Spec"],
    )


@dataclass(frozen=True)
class Named:
    """A secret or a config of a swarm. What is in it never changes."""

    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


def named(data: Json) -> Named:
    return Named(data["ID"], data["Spec"]["Name"], data["Spec"].get("Labels") or {})
