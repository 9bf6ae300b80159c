"""One stack over many hosts: its nodes, services and network as observed and as wanted. Pure.

A host is known by the id its own engine gives for itself, never by its name alone: two machines may have one name, and
a host that left and came back is another node.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from webui_stack.documents import document
from webui_stack.model import compose
from webui_stack.overlay.fragment import is_of_the_stack
from webui_stack.settings.model import Settings

# What a host runs -> the label of its node that lets it.
LABELS = {"data": "open-webui.data", "proxy": "open-webui.proxy", "open-webui": "open-webui.web"}


@dataclass(frozen=True)
class Member:
    """What a host's own engine says of itself; `state` is "inactive" on one that is in no swarm."""

    state: str = "inactive"
    id: str = ""
    manages: bool = False
    address: str = ""
    error: str = ""


@dataclass(frozen=True)
class Node:
    """A node as a manager sees it; `address` is where it listens, if it is a manager itself."""

    id: str
    name: str
    role: str
    availability: str
    labels: Mapping[str, str]
    state: str
    reachable: str
    address: str


@dataclass(frozen=True)
class Service:
    """A service of the stack: the SHA-256 of its definition, its tasks that run healthy of those it is to have.

    `hosts` is how many nodes these are on.
    """

    name: str
    definition: str
    running: int
    hosts: int
    wanted: int
    update: str = ""


@dataclass(frozen=True)
class Observed:
    """A host's part of a swarm. Only on managers there are `nodes`, and only on the one with the data all the rest.

    `inputs` is the SHA-256 of the stack's file and secrets as wanted; `known` what it and the definitions were
    when they were last good, by name; `known_images` what the tags meant then.
    """

    member: Member = field(default_factory=Member)
    nodes: tuple[Node, ...] = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    inputs: str = ""
    known: Mapping[str, str] = field(default_factory=dict)
    known_images: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_member(self) -> bool:
        return self.member.state != "inactive"

    @property
    def serves(self) -> bool:
        """Whether any replica of Open WebUI runs healthy."""
        found = self.services.get("open-webui")
        return bool(found and found.running)


def parse(part: document.Swarm | None, inputs: str = "") -> Observed:
    """Read the document's section "swarm". `inputs` is in the section "project"."""
    if part is None:
        return Observed(inputs=inputs)
    services = [replace(Service(**one), name=_short(one["name"])) for one in part["services"]]
    return Observed(
        member=Member(**part["member"]),
        nodes=tuple(Node(**one) for one in part["nodes"]),
        services={one.name: one for one in services},
        inputs=inputs,
        known={_short(name): value for name, value in part["known"].items()},
        known_images=part["known_images"],
    )


def _short(name: str) -> str:
    """The name of a service without the stack's before it."""
    return name.removeprefix(f"{compose.STACK}_")


# --- Hosts and their network ------------------------------------------------------------------------


def host_refusals(settings: Settings, observed: compose.Observed) -> list[str]:
    """Why a host with what runs there by now can't be in the swarm."""
    found = network_refusals(settings, observed.network)
    if alone := sorted(name for name, one in observed.containers.items() if not one.in_swarm):
        found.insert(
            0,
            f"topology: expected no stack of this host's own, got {', '.join(alone)}; it has people's data: "
            "make a backup, tear it down with topology = 'compose', and see docs/how-to/swarm.md",
        )
    return found


def network_refusals(settings: Settings, network: compose.Network | None) -> list[str]:
    """Why the network that is there is in the way. An unused bridge that this project made is not."""
    if network is None or is_leftover(network):
        return []
    found = compose.network_refusals(network, settings.network_subnet, "overlay")
    if network.driver == "overlay" and network.is_encrypted is not settings.swarm_encrypted:
        found.append(
            f"{compose.NETWORK}: expected swarm_encrypted = {settings.swarm_encrypted}, got one made otherwise; "
            f"`docker stack rm {compose.STACK}` and `docker network rm {compose.NETWORK}`, and run again: people are "
            "without it meanwhile"
        )
    if network.driver == "overlay" and settings.swarm_mtu and network.mtu != settings.swarm_mtu:
        found.append(
            f"{compose.NETWORK}: expected swarm_mtu = {settings.swarm_mtu}, got {network.mtu}; "
            f"`docker stack rm {compose.STACK}` and `docker network rm {compose.NETWORK}`, and run again: people are "
            "without it meanwhile"
        )
    return found


def network_options(settings: Settings, between: int | None) -> list[str]:
    """The options of the network over all hosts. `between` is the smallest MTU of the interfaces between them."""
    mtu = settings.swarm_mtu or min(between or 1500, 1500)
    return [
        *(["encrypted"] if settings.swarm_encrypted else []),
        *([f"{compose.MTU_OPTION}={mtu}"] if settings.swarm_mtu or mtu != 1500 else []),
    ]


def too_large(network: compose.Network | None, between: int | None) -> list[str]:
    """What to tell of a network whose packets don't fit between the hosts: small events pass, large ones don't."""
    if network is None or network.driver != "overlay" or not between or network.mtu <= between:
        return []
    return [
        f"{compose.NETWORK}: expected an MTU of {between} or less, the smallest between the hosts, got {network.mtu}: "
        f"large events may be lost; set swarm_mtu = {between}, `docker stack rm {compose.STACK}` and `docker network "
        f"rm {compose.NETWORK}`, and run again"
    ]


def is_leftover(network: compose.Network | None) -> bool:
    """Whether it is the bridge of a stack on this host that is gone: a swarm's network can't have its name."""
    return network is not None and network.driver == "bridge" and network.is_ours and not network.in_use


# --- The folder that all hosts share ----------------------------------------------------------------

# The folder that all hosts share is known by a folder that one of them makes in it, under a name nobody can guess.
# Containers may put links there: `mkdir` and `rmdir` follow none in their place.
_MARK = ".open-webui-stack"


def mark_command(folder: str, token: str) -> str:
    """Mark the shared folder; it is made where it is missing. Fails where it can't be written to."""
    # Earlier versions wrote into a file of the mark's name.
    return (
        f"mkdir -p {shlex.quote(folder)} && cd {shlex.quote(folder)} && rm -f {_MARK} && mkdir -m 700 {_MARK}-{token}"
    )


def marked_command(folder: str, token: str) -> str:
    """Print whether the folder has the mark: "marked" or "another"; "absent" where there is no folder."""
    mark, folder = shlex.quote(f"{folder}/{_MARK}-{token}"), shlex.quote(folder)
    return f"if [ -d {mark} ]; then echo marked; elif [ -d {folder} ]; then echo another; else echo absent; fi"


def unmark_command(folder: str, token: str) -> str:
    """Remove the mark."""
    return f"rmdir {shlex.quote(f'{folder}/{_MARK}-{token}')}"


# --- The stack --------------------------------------------------------------------------------------


def image_refusals(
    settings: Settings, own: Mapping[str, compose.Image], at_the_data: Mapping[str, compose.Image]
) -> list[str]:
    """Why this host can't run what the swarm is told to: images are named by their ids there."""
    return [
        f"image {reference}: expected the one that the host with the data has ({at_the_data[reference].id[:19]}), got "
        f"{own[reference].id[:19] if reference in own else 'none'}; pull it there again, or remove the older one"
        for reference in dict.fromkeys(settings.all_images.values())
        if reference in at_the_data and (reference not in own or own[reference].id != at_the_data[reference].id)
    ]


@dataclass(frozen=True)
class Work:
    """Why the stack has to be deployed; `again` is a service that gets new tasks though its definition is as wanted."""

    reason: str
    again: str = ""

    def __str__(self) -> str:
        return self.reason


def pending(observed: Observed, images: Mapping[str, compose.Image], services: Mapping[str, str]) -> list[Work]:
    """What has to be done about the stack; empty when all of it runs as wanted.

    `services` maps each service to its image's reference, `images` says what references mean on the host. A good
    release is known by the definitions Docker had then: one that somebody changed by hand has another.
    """
    if observed.inputs != observed.known.get("inputs"):
        return [Work("the stack's definition changed" if observed.known else "the stack is not there yet")]
    found = []
    for name, reference in services.items():
        service, image = observed.services.get(name), images.get(reference)
        if service is None:
            found.append(Work(f"{name}: is missing"))
        elif service.definition != observed.known.get(name):
            found.append(Work(f"{name}: its definition was changed by hand"))
        elif not image or image.id != observed.known_images.get(reference):
            # The swarm knows an overlay's image by its tag, and sees no change where another is meant by it.
            found.append(Work(f"{name}: its image changed", again="" if is_of_the_stack(name) else name))
        elif service.running < service.wanted:
            found.append(Work(f"{name}: {service.running} of {service.wanted} run"))
        elif name == "open-webui" and service.hosts < (best := min(service.wanted, _able(observed.nodes))):
            # A node that comes back gets nothing by itself.
            found.append(
                Work(f"{name}: its {service.wanted} replicas are on {service.hosts} of {best} hosts", again=name)
            )
    found += [Work(f"{name}: is not wanted any more") for name in observed.services if name not in services]
    return found


def _able(nodes: Iterable[Node]) -> int:
    """How many nodes can take a process of Open WebUI right now."""
    label = LABELS["open-webui"]
    return sum(
        node.state == "ready" and node.availability == "active" and node.labels.get(label) == "true" for node in nodes
    )
