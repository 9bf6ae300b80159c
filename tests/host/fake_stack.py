"""`docker stack deploy` and `docker service inspect` on a swarm in memory. It reads the stack.yaml in the folder.

A deploy that would start a version of Open WebUI beside another one is kept in `mixed`: a real swarm replaces one
replica after the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tests import yaml_text
from tests.host.fake_engine import REFUSED, UNAVAILABLE
from tests.host.fake_files import FakeKernel
from tests.host.fake_swarm import FakeSwarm
from tests.host.faults import Faults
from webui_stack.host.engine import NewContainer
from webui_stack.host.stack import STACK_LABEL
from webui_stack.host.system import Ended, System

_VARIABLE = re.compile(r"\$\{([A-Z_0-9]+):\?[^}]*\}")
NO_ENGINE = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@lru_cache
def _parsed(text: str) -> dict[str, Any]:
    return dict(yaml_text.read(text))


class NoAnswerError(Exception):
    """The docker command failed."""


class FakeStackSystem(System):
    """Each command counts as a call of `faults`. `deploys` has the image, the replicas and the order of each deploy."""

    def __init__(self, swarm: FakeSwarm, kernel: FakeKernel, faults: Faults) -> None:
        super().__init__()
        self.swarm, self._kernel, self._faults = swarm, kernel, faults
        self.deploys: list[str] = []
        self.environment: dict[str, str] = {}
        self.mixed: list[str] = []

    def has_systemd(self) -> bool:
        return False

    def _run(self, command: Sequence[str], stdin: str, environment: Mapping[str, str] | None) -> tuple[int, str, str]:
        del stdin, environment
        asked = ["docker", "service", "inspect", "--format", "{{.Spec.Name}} {{json .Spec}}"]
        assert list(command[:5]) == asked
        try:
            with self._call("service inspect"):
                found = [self.swarm.services[name] for name in command[5:]]
        except NoAnswerError:
            return 1, "", NO_ENGINE
        return 0, "".join(f"{one.name} {json.dumps(one.spec)}\n" for one in found), ""

    def _carry_out(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        limit_s: float,
        descriptors: Sequence[int],
        tell: Callable[[str], object] | None,
    ) -> Ended:
        del limit_s, descriptors, tell
        stack, paths = command[-1], command[4 : command.index("--prune") : 2]
        assert list(command[:4]) == ["docker", "stack", "deploy", "--compose-file"]
        assert {"--prune", "--detach=true", "never"} < set(command)
        try:
            with self._call("stack deploy", changes=True):
                if not self.swarm.leader:
                    raise NoAnswerError
                texts = [self._kernel.find(path).data.decode() for path in paths]
                self._deploy(stack, texts, environment)
        except NoAnswerError:
            return Ended(1, "", NO_ENGINE)
        return Ended(0, "", "")

    def _deploy(self, stack: str, texts: Sequence[str], environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        text, *overlays = (_VARIABLE.sub(lambda found: environment[found[1]], one) for one in texts)
        given = _parsed(text)
        services = dict(given["services"])
        for overlay in overlays:  # as far as one level goes: Docker merges what is below as well
            for name, one in _parsed(overlay)["services"].items():
                services[name] = {**services.get(name, {"deploy": {}}), **one}
        given = {**given, "services": services}
        image, replicas = environment["OPEN_WEBUI_IMAGE"], environment["OPEN_WEBUI_REPLICAS"]
        self.deploys.append(f"{self.tag(image)} {replicas} {environment['OPEN_WEBUI_ORDER']}")
        for name, one in given["services"].items():
            used = [given[kind][short]["name"] for kind in ("secrets", "configs") for short in one.get(kind, [])]
            self._service(f"{stack}_{name}", stack, one, used)
        for name, service in list(self.swarm.services.items()):
            if service.labels.get(STACK_LABEL) == stack and name.partition("_")[2] not in given["services"]:
                self.swarm.drop_service(name)

    def _service(self, name: str, stack: str, one: Mapping[str, Any], used: Sequence[str]) -> None:
        new = NewContainer(
            one["image"],
            env=one.get("environment", {}),
            labels={**one.get("labels", {}), "uses": " ".join(used)},
            volumes=one.get("volumes", []),
        )
        replicas = int(one["deploy"].get("replicas", 1))
        others = [task for task in self.swarm.tasks if self._is_another(task.service_id, name) and not task.ended]
        if name.endswith("_open-webui") and replicas:
            self.mixed += [
                f"{self.tag(new.image)} beside {self.tag(task.spec['ContainerSpec']['Image'])}"
                for task in others
                if task.spec["ContainerSpec"]["Image"] != new.image
            ]
        self.swarm.put_service(name, new, replicas=replicas, labels={STACK_LABEL: stack})

    def _is_another(self, service_id: str, name: str) -> bool:
        return name in self.swarm.services and self.swarm.services[name].id == service_id

    def tag(self, image: str) -> str:
        """An image's name."""
        found = self.swarm.docker.images.get(image)
        return found.tags[-1] if found and found.tags else image

    def _call(self, name: str, *, changes: bool = False) -> Any:
        errors = {UNAVAILABLE: lambda: NoAnswerError(), REFUSED: lambda: NoAnswerError()}
        return self._faults.call(f"cli: {name}", changes=changes, errors=errors, lost=UNAVAILABLE)
