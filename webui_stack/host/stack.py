"""What Docker on this host has of the stack: its images, its network, and its containers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from .engine import Container, Engine, Info, Listed, NotFound
from .records import asdict
from .typed import Any

# Who made a container: compose by the folder of its project, a swarm by the name of its stack, and of its service.
FOLDER_LABEL, STACK_LABEL = "com.docker.compose.project.working_dir", "com.docker.stack.namespace"
SERVICE_LABEL = "com.docker.swarm.service.name"
# On a container of compose: its service, the files it was made by, and whether `compose run` made it.
COMPOSE_SERVICE_LABEL = "com.docker.compose.service"
_FILES_LABEL, _ONE_OFF_LABEL = "com.docker.compose.project.config_files", "com.docker.compose.oneoff"

OVERLAY = "stack-overlay.yaml"
"""The operator's own fragment, in the stack's folder: compose and the swarm merge it over the stack's definition."""
_SERVICES = re.compile(r"redis|postgres|ollama|proxy|open-webui(?:-[0-9]+)?")


def is_of_the_stack(service: str) -> bool:
    """Whether the stack has a service of this name, under some settings. Any other is the overlay's alone."""
    return _SERVICES.fullmatch(service) is not None


def is_of_overlay(labels: Mapping[str, str], folder: str) -> bool:
    """Whether a container is of a service that only the folder's overlay has, by the files it was made by.

    A container that somebody made in this folder by files of their own is not.
    """
    return (
        labels.get(FOLDER_LABEL) == folder
        and f"{folder}/{OVERLAY}" in labels.get(_FILES_LABEL, "").split(",")
        and labels.get(_ONE_OFF_LABEL, "False") != "True"
        and not is_of_the_stack(labels.get(COMPOSE_SERVICE_LABEL, ""))
    )


def overlays(listed: Iterable[Listed], folder: str) -> list[str]:
    """The names of the containers that are the overlay's alone."""
    return sorted(one.name for one in listed if is_of_overlay(one.labels, folder))


def published(running: Iterable[Listed]) -> list[dict[str, Any]]:
    """Every TCP port that Docker publishes, with the container it leads to."""
    return [
        {"container": one.name, "address": port.address, "port": port.outside}
        for one in running
        for port in one.ports
        if port.inside.endswith("/tcp")
    ]


def configuration(info: Info | None, running: Sequence[Listed] | None) -> dict[str, Any]:
    """What the engine says about its own configuration; `None` where it gave no answer."""
    return {
        "live_restore": bool(info and info.live_restore),
        "swarm_state": info.member.state if info else "",
        "remaps_users": bool(info and "name=userns" in info.security_options),
        "there": info.containers if info else 0,
        "root": info.root if info else "",
        "driver": info.storage_driver if info else "",
        "containerd_store": bool(info and info.containerd_store),
        "containers": None
        if running is None
        else [
            {"name": one.name, "folder": one.labels.get(FOLDER_LABEL, ""), "stack": one.labels.get(STACK_LABEL, "")}
            for one in running
        ],
    }


def images(engine: Engine, references: Iterable[str]) -> dict[str, Any]:
    """Id and digests of each of the references that means an image here."""
    found = {}
    for reference in references:
        try:
            image = engine.image(reference)
        except NotFound:
            continue
        found[reference] = {"id": image.id, "digests": list(image.digests)}
    return found


def network(engine: Engine, name: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The network, or None, and the ids of the containers that run in it."""
    try:
        found = engine.network(name)
    except NotFound:
        return None, []
    # An overlay's own ends are listed beside its containers ("lb-openwebui-network").
    ids = [id_ for id_ in found.containers if not id_.startswith("lb-")]
    return {
        "id": found.id,
        "driver": found.driver,
        "subnets": list(found.subnets),
        "labels": dict(found.labels),
        "options": dict(found.options),
        "in_use": bool(found.containers),
    }, ids


def gateways(engine: Engine, bridge: str) -> dict[str, str]:
    """The address of each container in the bridge by which a host reaches those of a swarm, by the container's id."""
    try:
        found = engine.network(bridge)
    except NotFound:
        return {}
    return {id_: address.partition("/")[0] for id_, (_, address) in found.containers.items()}


def containers(engine: Engine, names: Iterable[str]) -> list[dict[str, Any]]:
    """The containers of these names or ids that there are, each once, by name."""
    found = {}
    for name in names:
        try:
            one = engine.container(name)
        except NotFound:
            continue
        found[one.name] = document(one)
    return [found[name] for name in sorted(found)]


def document(one: Container) -> dict[str, Any]:
    """A container without its environment, which has secrets."""
    return {
        "name": one.name,
        "id": one.id,
        "image_id": one.image_id,
        "labels": dict(one.labels),
        "status": one.status,
        "health": one.health,
        "last_probe": asdict(one.probes[-1]) if one.probes else None,
        "exit_code": one.exit_code,
        "started_at": one.started_at,
        "networks": {name: {"id": at.network_id, "address": at.address} for name, at in one.networks.items()},
        "mounts": _mounts(one),
    }


def _mounts(one: Container) -> Mapping[str, str]:
    return {mount.target: mount.volume or mount.source for mount in one.mounts}
