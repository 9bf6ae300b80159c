"""What compose wants, what runs, and what therefore has to change. Pure."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from webui_stack.documents import digits, document
from webui_stack.overlay.fragment import is_of_the_stack

# The operator's own fragment below `stack_dir`, merged over the stack's definition (host/stack.py).
OVERLAY = "stack-overlay.yaml"
NETWORK = "openwebui-network"
# On a network that this project made: only such a one is removed.
NETWORK_LABEL = "open-webui-stack"
# The MTU of what is below an overlay; Docker takes off what its own headers need (moby's overlay driver).
MTU_OPTION = "com.docker.network.driver.mtu"
# The stack's name in a swarm, and the bridge that gives each container there an address its own host can reach.
STACK = "open-webui"
GATEWAY = "docker_gwbridge"
# Root's alone on the host: who may open a file may lock it, and for ever.
RUN_FOLDER = "/run/open-webui-stack"
# Compose service -> container name, as in the tutorial; those it has not are named after the stack. A process of Open
# WebUI is named as its service.
_NAMES = {
    "redis": "redis-valkey",
    "postgres": "open-webui-postgres",
    "ollama": "open-webui-ollama",
    "proxy": "open-webui-proxy",
}
# Compose service -> the folder in its container that holds all its data. Every process of Open WebUI has the same.
DATA = {
    "redis": "/data",
    "postgres": "/var/lib/postgresql/data",
    "ollama": "/root/.ollama",
    "open-webui": "/app/backend/data",
    "proxy": "/data",
}
_PROCESS = re.compile(r"open-webui(?:-[0-9]+)?")
# What matches the names of the stack's containers, however many there are (POSIX extended).
OURS = "|".join([*_NAMES.values(), "open-webui(-[0-9]+)?"])


def container_of(service: str) -> str:
    """The name of a service's container."""
    return _NAMES.get(service, service)


def short_name(container: Container) -> str:
    """A task's container as people know it: without the stack before it and the task's id behind it."""
    parts = container.name.removeprefix(f"{STACK}_").split(".")
    return ".".join(part for part in parts[:2] if digits.whole(part) is not None or part == parts[0])


def service_of(container: str) -> str:
    """The service a container of that name is of."""
    return next((service for service, name in _NAMES.items() if name == container), container)


def containers_of(services: Iterable[str]) -> dict[str, str]:
    """Service -> name of its container."""
    return {service: container_of(service) for service in services}


def is_process(service: str) -> bool:
    """Whether the service is a replica of Open WebUI."""
    return _PROCESS.fullmatch(service) is not None


def is_data(service: str) -> bool:
    """Whether the service keeps what must not be lost: in a swarm it stays with its volume."""
    return service in ("redis", "postgres")


def data_of(service: str) -> str:
    """The folder in a service's container that holds all its data."""
    return DATA["open-webui" if is_process(service) else service]


def _is_ours(name: str) -> bool:
    return re.fullmatch(OURS, name) is not None


def command(directory: str, *arguments: str, files: Sequence[str] = ()) -> str:
    """A `docker compose` command line for the project in `directory`, quoted for a shell.

    `files` are the compose files, `compose.yaml` by default. They are always named, so that an override file
    somebody drops beside them is not picked up. The environment is emptied, because compose lets an exported
    REDIS_URL or COMPOSE_FILE win over the project's own (seen with 2.26).
    """
    argv = ["docker", "compose", "--project-directory", directory]
    for file in files or [f"{directory}/compose.yaml"]:
        argv += ["--file", file]
    return f'env -i PATH="$PATH" HOME="${{HOME:-/root}}" {shlex.join([*argv, *arguments])}'


def hash_command(directory: str) -> str:
    """A command that prints `SERVICE HASH` for each service of the compose file on its stdin.

    Interpolated from the environment it is given, which wins over `.env`.
    """
    return shlex.join(["docker", "compose", "--project-directory", directory, "--file", "-", "config", "--hash", "*"])


_REMOVE_NETWORK = (
    "it is not replaced, other containers may use it: disconnect them, `docker network rm` it and run again"
)


@dataclass(frozen=True)
class Container:
    """A container as `docker inspect` shows it.

    `directory` is the folder of the compose project that made it, "" when none did. `mounts` gives the
    volume's name, or the host's path, by the path in the container. It is `of_overlay` where only the overlay has its
    service. `health_passed_at` is when Docker's last
    health check passed, "" if it did not.
    """

    name: str
    id: str
    image_id: str
    directory: str
    service: str
    config_hash: str
    status: str
    health: str
    health_log: str
    health_passed_at: str
    exit_code: int
    started_at: str
    addresses: Mapping[str, str]
    network_ids: Mapping[str, str]
    mounts: Mapping[str, str]
    in_swarm: bool = False
    of_overlay: bool = False

    @property
    def address(self) -> str:
        """Where its own host can reach it, "" for nowhere: an overlay's addresses are good for containers only."""
        return self.addresses.get(GATEWAY) or self.addresses.get(NETWORK, "")

    @property
    def maker(self) -> str:
        return f"compose in {self.directory}" if self.directory else "hand"


@dataclass(frozen=True)
class Image:
    """What a reference means on the host: an image's id, and the digests (`NAME@sha256:...`) registries serve it by."""

    id: str
    digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Network:
    """A Docker network as `docker network inspect` shows it. `mtu` is that of what is below it, 1500 by default."""

    id: str
    driver: str
    subnets: tuple[str, ...]
    is_ours: bool = False
    is_encrypted: bool = False
    in_use: bool = False
    mtu: int = 1500


@dataclass(frozen=True)
class Observed:
    """One host's project: empty on a host without an engine.

    `processes` are Open WebUI's running containers in the network, with the addresses their host reaches them by;
    `stale` are services whose mounted files are not what their process has read.
    """

    hashes: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    network: Network | None = None
    containers: Mapping[str, Container] = field(default_factory=dict)
    processes: Mapping[str, str] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()

    def of(self, service: str) -> Container | None:
        """A container of the service on this host, a running one if there is one."""
        found = [one for one in self.containers.values() if one.service == service or one.name == container_of(service)]
        return next((one for one in found if one.status == "running"), found[0] if found else None)


def parse(stack: document.Stack) -> Observed:
    """Read the document's sections about the stack."""
    found = [_container(one, stack["gateways"]) for one in stack["containers"]]
    containers = {one.name: one for one in found if one.in_swarm or one.of_overlay or _is_ours(one.name)}
    running = [one for one in found if is_process(one.service) and one.status == "running"]
    mounted = stack["project"]["mounted"] if stack["project"] else {}
    return Observed(
        hashes=stack["project"]["hashes"] if stack["project"] else {},
        images={name: Image(one["id"], tuple(one["digests"])) for name, one in stack["images"].items()},
        network=_network(stack["network"]) if stack["network"] else None,
        containers=containers,
        processes={one.name: one.address for one in running if one.address},
        stale=frozenset(
            service for service, newest in mounted.items() if _is_stale(containers.get(container_of(service)), newest)
        ),
    )


def _is_stale(container: Container | None, newest_s: int | None) -> bool:
    """Whether a mounted file is not as wanted (None), or newer than the process that read it."""
    if container is None or not container.started_at:
        return False
    return newest_s is None or newest_s > datetime.fromisoformat(container.started_at).timestamp()


def _network(part: document.Network) -> Network:
    return Network(
        part["id"],
        part["driver"],
        tuple(part["subnets"]),
        is_ours=NETWORK_LABEL in part["labels"],
        is_encrypted="encrypted" in part["options"],
        in_use=part["in_use"],
        # Of another's making it may be any text.
        mtu=digits.whole(part["options"].get(MTU_OPTION)) or Network.mtu,
    )


def _is_of_overlay(labels: Mapping[str, str]) -> bool:
    """Whether compose made it for a service that only an overlay has (host/stack.py)."""
    overlay = f"{labels.get('com.docker.compose.project.working_dir', '')}/{OVERLAY}"
    return (
        overlay in labels.get("com.docker.compose.project.config_files", "").split(",")
        and labels.get("com.docker.compose.oneoff", "False") != "True"
        and not is_of_the_stack(labels.get("com.docker.compose.service", ""))
    )


def _container(part: document.Container, gateways: Mapping[str, str]) -> Container:
    labels, probe = part["labels"], part["last_probe"]
    swarm_service = labels.get("com.docker.swarm.service.name", "")
    addresses = {name: one["address"] for name, one in part["networks"].items()}
    if part["id"] in gateways:
        addresses[GATEWAY] = gateways[part["id"]]
    return Container(
        name=part["name"],
        id=part["id"],
        image_id=part["image_id"],
        directory=labels.get("com.docker.compose.project.working_dir", ""),
        service=labels.get("com.docker.compose.service", "") or swarm_service.removeprefix(f"{STACK}_"),
        in_swarm=bool(swarm_service),
        of_overlay=_is_of_overlay(labels),
        config_hash=labels.get("com.docker.compose.config-hash", ""),
        status=part["status"],
        health=part["health"] or "none",
        health_log=probe["output"].strip() if probe else "",
        health_passed_at=probe["ended_at"] if probe and probe["exit_code"] == 0 else "",
        exit_code=part["exit_code"],
        started_at=part["started_at"],
        addresses=addresses,
        network_ids={name: one["id"] for name, one in part["networks"].items()},
        mounts=part["mounts"],
    )


def health_age_s(container: Container, now_s: float) -> float:
    """Seconds since Docker's last health check passed by the host's clock; infinite when the last one did not."""
    if container.status != "running" or not container.health_passed_at:
        return math.inf
    return now_s - datetime.fromisoformat(container.health_passed_at).timestamp()


@dataclass(frozen=True)
class Work:
    """What `docker compose up` has to do for one service, and why it alone would not do it right."""

    service: str
    reason: str
    unpause: bool = False
    recreate: bool = False
    replace: bool = False
    remove: bool = False

    def __str__(self) -> str:
        return f"{self.service}: {self.reason}"


def pending(observed: Observed, directory: str, images: Mapping[str, str]) -> list[Work]:
    """The work to do for each service; empty when everything runs as wanted.

    `directory` is the project's own, `images` maps each service to its image reference. Compose compares the label
    `com.docker.compose.config-hash` with `config --hash` (docker/compose, pkg/compose/convergence.go). Compose 2.26
    does not see this: an image that moved under its tag is not in that hash. A paused container makes it fail, and a
    container that was taken off its network stays off.
    """
    work = []
    for service, name in containers_of(images).items():
        if not is_of_the_stack(service):
            work += _pending_of_overlay(observed, directory, service, images[service])
            continue
        container = observed.containers.get(name)
        if container is None:
            work.append(Work(service, "has no container"))
        elif container.directory != directory:
            kept = container.mounts.get(data_of(service), "nothing")
            reason = f"its container was made by {container.maker}; a new one takes its place, with its data in {kept}"
            work.append(Work(service, reason, replace=True))
        elif container.config_hash != observed.hashes.get(service):
            work.append(Work(service, "its definition changed", unpause=container.status == "paused"))
        elif container.image_id != _id(observed, images[service]):
            work.append(Work(service, "its image changed", unpause=container.status == "paused"))
        elif not observed.network or container.network_ids.get(NETWORK) != observed.network.id:
            work.append(Work(service, f"is not attached to {NETWORK}", recreate=True))
        elif container.status == "paused":
            work.append(Work(service, "is paused", unpause=True))
        elif container.status != "running":
            work.append(Work(service, f"is {container.status}"))
        elif container.health == "unhealthy":
            work.append(Work(service, "is unhealthy", recreate=True))
        elif service in observed.stale:
            work.append(Work(service, "its configuration files changed under it", recreate=True))
    for container in observed.containers.values():
        if container.directory == directory and container.service not in images:
            work.append(Work(container.service, "is not wanted any more", remove=True))
    return work


def _pending_of_overlay(observed: Observed, directory: str, service: str, reference: str) -> list[Work]:
    """The work to do for a service that only the overlay has: which networks it is in, and its name, are its own."""
    mine = (one for one in observed.containers.values() if one.of_overlay and one.service == service)
    container = next((one for one in mine if one.directory == directory), None)
    if container is None:
        return [Work(service, "has no container")]
    if container.config_hash != observed.hashes.get(service):
        reason = "its definition changed"
    elif container.image_id != _id(observed, reference):
        reason = "its image changed"
    elif container.status != "running":
        reason = f"is {container.status}"
    elif container.health == "unhealthy":
        return [Work(service, "is unhealthy", recreate=True)]
    else:
        return []
    return [Work(service, reason, recreate=container.status == "paused")]  # compose fails on one that is paused


def _id(observed: Observed, reference: str) -> str:
    image = observed.images.get(reference)
    return image.id if image else ""


def network_refusals(network: Network | None, subnet: str | None, driver: str = "bridge") -> list[str]:
    """Why the network that is there is not the one wanted."""
    if network is None:
        return []
    found = []
    if network.driver != driver:
        found.append(f"{NETWORK}: expected driver {driver}, got {network.driver}; {_REMOVE_NETWORK}")
    if subnet and subnet not in network.subnets:
        found.append(
            f"{NETWORK}: expected network_subnet {subnet}, got {', '.join(network.subnets) or 'none'}; "
            f"{_REMOVE_NETWORK}"
        )
    return found


def quoted(value: str) -> str:
    """A YAML string that compose reads back as `value`: JSON quoting, and `$$` for each `$`.

    Beyond the BMP JSON escapes in surrogates, which YAML 1.2 has not: so characters stay, but for those
    YAML calls unprintable (5.1).
    """
    text = json.dumps(value, ensure_ascii=False).replace("$", "$$")
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", text)


def published(address: str) -> str:
    """An address as compose's short port syntax wants it: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address
