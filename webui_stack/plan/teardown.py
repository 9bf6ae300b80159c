"""A teardown as the operator's side sees it: what the host's program is asked, and what it found. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from webui_stack.documents import document
from webui_stack.host import protocol
from webui_stack.model import compose, docker, docker_config
from webui_stack.model.survey import DEPLOY_LOG, Survey
from webui_stack.render import project, units
from webui_stack.render.monitor_requests import metrics_file
from webui_stack.settings.model import Settings


@dataclass(frozen=True)
class Found:
    """A thing on the host: what becomes of it, and why it stays. "unknown" stays, since nobody could look at it."""

    what: str
    state: Literal["goes", "stays", "unknown"]
    why: str = ""

    @property
    def goes(self) -> bool:
        """Whether a teardown removes it."""
        return self.state == "goes"

    def __str__(self) -> str:
        return f"goes    {self.what}" if self.goes else f"stays   {self.what}: {self.why}"


def request(settings: Settings, host: str, observed: Survey) -> dict[str, Any]:
    """What the verbs `teardown` and `teardown_look` of the host's program are asked. It holds no secret."""
    present = settings.docker_source == "present"
    packages = docker.packages(observed.machine, settings.docker_source)
    return {
        "host": host,
        "stack_dir": settings.stack_dir,
        "backup_dir": settings.backup_dir,
        "data": host in settings.teardown_data,
        "backups": host in settings.teardown_backups,
        "containers": project.containers(settings),
        "known": list(dict.fromkeys([*project.containers(settings), *map(compose.container_of, compose.DATA)])),
        "volumes": [
            *project.volumes(settings),
            *(settings.overlay.volumes(external=False) if settings.overlay else []),
        ],
        "remembered": _remembered(settings),
        "network": compose.NETWORK,
        "network_label": compose.NETWORK_LABEL,
        "images": list(dict.fromkeys(settings.all_images.values())),
        "deploy_log": DEPLOY_LOG,
        "docker": "present" if present else "removed" if settings.teardown_docker else "kept",
        "package_manager": observed.machine.package_manager,
        "packages": [name for name in packages if name in observed.engine.packages],
        "docker_files": _docker_files(settings, observed.docker),
        "metrics_file": units.metrics_of(observed.files.get(units.MONITOR_PATH, "")) or metrics_file(settings),
    }


def look_request(settings: Settings, host: str, observed: Survey) -> str:
    """The line that the verb `teardown_look` reads."""
    return protocol.Request("teardown_look", protocol.FRAMED, request(settings, host, observed)).line()


def _remembered(settings: Settings) -> dict[str, str]:
    """Container -> volume, of services that these settings do not want, though an earlier deploy may have."""
    found = {
        "postgres": settings.postgres_volume,
        "ollama": settings.ollama_volume,
        "proxy": settings.proxy_volume,
    }
    return {
        compose.container_of(service): volume for service, volume in found.items() if service not in settings.images
    }


def _docker_files(settings: Settings, observed: docker_config.Observed) -> list[str]:
    """The files that belong to Docker as it was installed, whether they are there or not."""
    found = [docker.ca_path(registry) for registry in settings.docker_registry_ca]
    if settings.docker_source == "docker-ce":
        found += [docker.APT_SOURCES, docker.APT_KEY, docker.DNF_REPOSITORY, docker.DNF_KEY]
    if docker_config.is_ours(settings, observed):
        found.append(docker_config.DAEMON_JSON)
    return found


class _Item(TypedDict):
    what: str
    state: Literal["goes", "stays", "unknown"]
    why: str


class _Teardown(TypedDict):
    items: list[_Item]


def parse(content: Mapping[str, Any]) -> list[Found]:
    """Read what the host's program found. Raises `document.IncompleteError` where it is not whole."""
    whole = document.checked("teardown", _form(), content)
    return [Found(item["what"], item["state"], item["why"]) for item in whole["items"]]


@cache
def _form() -> TypeAdapter[_Teardown]:
    return TypeAdapter(_Teardown)
