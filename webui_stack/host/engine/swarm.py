"""A swarm, as one of its managers knows it. On every other node these calls are Refused.

While the managers elect a leader, each raises Unavailable, for seconds or for good: ask again, within a limit.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping

from ..typed import TypeVar
from . import objects, swarm_objects
from .errors import Asked
from .swarm_objects import Named, Node, Service, Task
from .transport import Call, Transport, filters, named, understood

_Object = TypeVar("_Object")


class Swarm:
    """Calls on nodes, services, tasks, secrets and configs. Each `name` is a name or an id."""

    _transport: Transport

    def nodes(self, *, label: str | None = None) -> tuple[Node, ...]:
        """`label` is of the node itself, NAME or NAME=VALUE (`docker node update --label-add`)."""
        return self._all("/nodes", {"filters": filters(**{"node.label": label})}, swarm_objects.node)

    def node(self, name: str) -> Node:
        return self._one("node", name, swarm_objects.node)

    def services(self, *, label: str | None = None) -> tuple[Service, ...]:
        return self._all("/services", {"filters": filters(label=label)}, swarm_objects.service)

    def service(self, name: str) -> Service:
        return self._one("service", name, swarm_objects.service)

    def service_update(self, service: Service, *, replicas: int | None = None, force: bool = False) -> None:
        """Ensure another number of replicas; `force` replaces each task. Returns before the tasks are there.

        Only from the very definition that `service` has: Refused where it was changed since.
        """
        import copy  # here, because a survey changes nothing

        spec = copy.deepcopy(dict(service.spec))
        if replicas is not None:
            spec["Mode"]["Replicated"]["Replicas"] = replicas
        if force:
            spec["TaskTemplate"]["ForceUpdate"] = spec["TaskTemplate"].get("ForceUpdate", 0) + 1
        asked = Asked("service", service.id)
        self._transport.json(
            Call("POST", f"/services/{service.id}/update", {"version": service.version}, body=spec, asked=asked),
        )

    def service_logs(self, name: str, *, tail: int, timeout_s: float = 10.0) -> bytes:
        """The last lines of all its tasks. From a node out of reach they never come: Unavailable after the limit."""
        query = {"stdout": True, "stderr": True, "tail": tail}
        asked = Asked("service", name)
        call = Call("GET", f"/services/{named(name)}/logs", query, asked=asked, timeout_s=timeout_s)
        with self._transport.open(call) as answer:
            return b"".join(payload for _, payload in answer.streams())

    def tasks(self, service: str) -> tuple[Task, ...]:
        """The tasks of a service, also past ones that the swarm remembers. NotFound where there is no such service."""
        # To the filter, a service that is not there has no tasks.
        id_ = self.service(service).id
        return self._all("/tasks", {"filters": filters(service=id_)}, swarm_objects.task)

    def secret(self, name: str) -> Named:
        return self._one("secret", name, swarm_objects.named)

    def secrets(self, *, label: str | None = None) -> tuple[Named, ...]:
        return self._all("/secrets", {"filters": filters(label=label)}, swarm_objects.named)

    def create_secret(self, name: str, content: bytes, *, labels: Mapping[str, str] | None = None) -> str:
        """Make a secret, and return its id. Refused (409) where there is one of that name."""
        return self._make("secret", name, content, labels)

    def remove_secret(self, name: str) -> None:
        """Refused (400) while a service uses it."""
        self._transport.json(_one_call("DELETE", "secret", name))

    def config(self, name: str) -> Named:
        return self._one("config", name, swarm_objects.named)

    def configs(self, *, label: str | None = None) -> tuple[Named, ...]:
        return self._all("/configs", {"filters": filters(label=label)}, swarm_objects.named)

    def create_config(self, name: str, content: bytes, *, labels: Mapping[str, str] | None = None) -> str:
        """Make a config, and return its id. Refused (409) where there is one of that name."""
        return self._make("config", name, content, labels)

    def remove_config(self, name: str) -> None:
        """Refused (400) while a service uses it."""
        self._transport.json(_one_call("DELETE", "config", name))

    def _make(self, kind: str, name: str, content: bytes, labels: Mapping[str, str] | None) -> str:
        body = {"Name": name, "Labels": dict(labels or {}), "Data": base64.b64encode(content).decode()}
        call = Call("POST", f"/{kind}s/create", body=body)
        made = self._transport.json(call)
        with understood(call):
            return str(made["ID"])

    def _one(self, kind: str, name: str, parse: Callable[[objects.Json], _Object]) -> _Object:
        call = _one_call("GET", kind, name)
        data = self._transport.json(call)
        with understood(call):
            return parse(data)

    def _all(
        self, path: str, query: Mapping[str, str | None], parse: Callable[[objects.Json], _Object]
    ) -> tuple[_Object, ...]:
        call = Call("GET", path, query)
        data: Iterable[objects.Json] = self._transport.json(call)
        with understood(call):
            return tuple(parse(one) for one in data)


def _one_call(method: str, kind: str, name: str) -> Call:
    return Call(method, f"/{kind}s/{named(name)}", asked=Asked(kind, name))
