"""One stack over many hosts: who is in the swarm, what each node is to be, what runs. Pure.

A host is known by the id its own engine gives for itself, never by its name alone: two machines may have one name, and
a host that left and came back is another node.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from webui_stack.documents import document
from webui_stack.model import compose
from webui_stack.settings.model import Settings

# What a host runs -> the label of its node that lets it.
LABELS = {"data": "open-webui.data", "proxy": "open-webui.proxy", "open-webui": "open-webui.web"}
# Where managers listen (https://docs.docker.com/engine/swarm/swarm-tutorial/#open-protocols-and-ports-between-the-hosts).
MANAGER_PORT = 2377
# The size of each network cut from `swarm_address_pool`.
_SUBNET_SIZE = 24


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


# --- The settings of all hosts together ------------------------------------------------------------


# What a host may have for itself: all else is about the one stack, and has to be the same for all.
_OF_A_HOST = (
    *("preflight_", "docker_", "verify_url", "backup_", "restore_", "rollout_", "teardown_"),
    *("swarm_manager", "swarm_runs", "swarm_availability", "swarm_address", "watchdog_", "bundle_file", "stack_adopt"),
)
# What is done in batches of hosts, which are one stack here.
_BATCHES = {"rollout_canary": (0, []), "rollout_batch": (None, "100%"), "rollout_pause_s": (0,)}


def problems(inventory: Mapping[str, Settings], targeted: Iterable[str]) -> list[str]:
    """Why these hosts can't be one swarm, a line each; nothing for an inventory without one.

    `inventory` are the settings of all hosts, of which this run is about those `targeted`.
    """
    topologies = {name: one.topology for name, one in inventory.items()}
    if "swarm" not in topologies.values():
        return []
    if "compose" in topologies.values():
        odd = [name for name, topology in topologies.items() if topology == "compose"]
        return [
            f"topology: expected 'swarm' for all hosts of the inventory, got 'compose' for {_names(odd)}; "
            "a swarm has an inventory of its own"
        ]
    return [
        *_roles(inventory, set(targeted)),
        *_agreement(inventory),
        *(
            line
            for one in dict.fromkeys(_refused_in_a_swarm(settings) for settings in inventory.values())
            for line in one
        ),
    ]


def _roles(inventory: Mapping[str, Settings], targeted: set[str]) -> Iterator[str]:
    leads = [name for name, one in inventory.items() if one.runs("data")]
    managers = [name for name, one in inventory.items() if one.swarm_manager]
    if len(leads) != 1:
        yield (
            f"swarm_runs: expected exactly one host with 'data', got {_names(leads)}; Valkey's and Postgres's volumes "
            "are on one host"
        )
    elif not inventory[leads[0]].swarm_manager:
        yield (
            f"swarm_manager: expected True for {leads[0]}, which has the data, got False; the swarm is steered there"
        )
    elif inventory[leads[0]].swarm_availability != "active":
        yield (
            f"swarm_availability: expected 'active' for {leads[0]}, which runs 'data', got 'drain'; "
            "its volumes are nowhere else"
        )
    elif leads[0] not in targeted:
        yield (
            f"{leads[0]}: expected it in each run, since the swarm is steered from there, got it left out or out of "
            "reach; add it to --limit, or see docs/operations.md, Swarm, when it is lost"
        )
    if len(managers) not in (1, 3):
        yield (
            f"swarm_manager: expected 1 or 3 managers, got {len(managers)} ({_names(managers)}); 2 fail when either "
            "does, 3 go on when one does"
        )
    for what in ("open-webui", "proxy"):
        if not any(one.runs(what) and one.swarm_availability == "active" for one in inventory.values()):
            yield f"swarm_runs: expected {what!r} for at least one active host, got none; add it to one"


def _agreement(inventory: Mapping[str, Settings]) -> Iterator[str]:
    for name in next(iter(inventory.values())).model_fields_set:
        if name.startswith(_OF_A_HOST):
            continue
        hosts: dict[str, list[str]] = {}
        for host, one in inventory.items():
            hosts.setdefault(repr(getattr(one, name)), []).append(host)
        if len(hosts) > 1:
            got = " and ".join(f"one for {_names(names)}" for names in hosts.values())
            yield f"{name}: expected the same for all hosts of a swarm, which are one stack, got {got}; set it once"


def _refused_in_a_swarm(settings: Settings) -> tuple[str, ...]:
    found = []
    if settings.stack_adopt:
        found.append("stack_adopt: expected False in a swarm, got True; adopt it with topology = 'compose' first")
    if not settings.public_url:
        found.append("public_url: expected the proxy's URL for a swarm, got None; only the proxy is published there")
    if settings.proxy_bind not in ("0.0.0.0", "::"):  # noqa: S104 what it has to be
        found.append(
            f"proxy_bind: expected '0.0.0.0' in a swarm, got {settings.proxy_bind!r}; Docker publishes on all "
            "addresses there (docs/operations.md, Swarm)"
        )
    for name, usual in _BATCHES.items():
        value = getattr(settings, name)
        if value not in usual:
            found.append(
                f"{name}: expected it to be left as it is in a swarm, got {value!r}; its hosts are one stack, which "
                "replaces one process at a time"
            )
    return tuple(found)


def _names(names: Sequence[str], most: int = 5) -> str:
    listed = ", ".join(names[:most]) or "none"
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"


# Runbook -> what to do in a swarm, where it does not work yet.
_NOT_YET = {
    "rollback": "set the version and the settings of before, and deploy",
    "rotate": "remove the secret's file in stack_dir/secrets on the host with the data, and deploy",
    "teardown": "`docker stack rm open-webui`, then `docker swarm leave` on each host; volumes stay",
    "bundle": "make the bundle with an inventory of topology = 'compose'",
}


def runbook_refusals(runbook: str) -> list[str]:
    """Why a runbook can't be run on a swarm."""
    if runbook not in _NOT_YET:
        return []
    return [f"topology: expected 'compose' for runbooks/{runbook}.py, got 'swarm'; {_NOT_YET[runbook]}"]


# --- Forming it ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Host:
    """A host of this run: its settings, and what was observed there."""

    settings: Settings
    observed: Observed


Hosts = Mapping[str, Host]


def lead(hosts: Hosts) -> str:
    """The host that has the data."""
    return next(name for name, one in hosts.items() if one.settings.runs("data"))


def steering(hosts: Hosts) -> str:
    """The host that steers the swarm in this run: the lead, or another manager when the lead is in no swarm itself."""
    first = lead(hosts)
    managers = [name for name in (first, *hosts) if hosts[name].observed.nodes]
    return managers[0] if managers else first


def starting(hosts: Hosts) -> str:
    """The host that starts the swarm, "" when there is one."""
    return "" if any(one.observed.is_member for one in hosts.values()) else lead(hosts)


def refusals(name: str, hosts: Hosts) -> list[str]:
    """Why this host can't be what its settings say, a line each. `hosts` are all of this run."""
    own = hosts[name].observed
    nodes = hosts[steering(hosts)].observed.nodes
    if own.member.state not in ("active", "inactive"):
        return [
            f"swarm: expected a host that is in the swarm or in none, got {own.member.state!r}"
            f"{f' ({own.member.error})' if own.member.error else ''}; when it does not mend itself, "
            "`docker swarm leave --force` there and run again"
        ]
    if own.member.state == "active" and own.member.id not in {node.id for node in nodes}:
        return [
            "swarm: expected a host that is in this swarm or in none, got a member of another; it is never made to "
            "leave: `docker swarm leave` there if that one is gone"
        ]
    if name != lead(hosts):
        return []
    return [
        f"{LABELS['data']}: expected it on {name}, got it on {node.name} as well; {_leave(node)}"
        for node in nodes
        if node.labels.get(LABELS["data"]) == "true" and node.id != own.member.id and node.name != _name(own, nodes)
    ]


def _leave(node: Node) -> str:
    """How a node with the data makes way for another one."""
    if node.state != "down":
        return "people's data are there: see docs/operations.md, Swarm, on moving them"
    demote = f"docker node demote {node.name} && " if node.role == "manager" else ""
    return (
        f"people's data are there: if that host is lost for good, `{demote}docker node rm --force {node.name}` on "
        "another manager, and run runbooks/restore.py (docs/operations.md, Swarm)"
    )


def _name(own: Observed, nodes: Sequence[Node]) -> str:
    return next((node.name for node in nodes if node.id == own.member.id), "")


def host_refusals(settings: Settings, observed: compose.Observed) -> list[str]:
    """Why a host with what runs there by now can't be in the swarm."""
    found = network_refusals(settings, observed.network)
    if alone := sorted(name for name, one in observed.containers.items() if not one.in_swarm):
        found.insert(
            0,
            f"topology: expected no stack of this host's own, got {', '.join(alone)}; it has people's data: "
            "make a backup, tear it down with topology = 'compose', and see docs/operations.md, Swarm",
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


def init_command(settings: Settings) -> str:
    """Start a swarm. Its output, which has a token in it, is thrown away."""
    options = []
    if settings.swarm_address:
        options += ["--advertise-addr", settings.swarm_address, "--data-path-addr", settings.swarm_address]
        options += ["--listen-addr", f"{compose.published(settings.swarm_address)}:{MANAGER_PORT}"]
    if settings.swarm_address_pool:
        options += ["--default-addr-pool", settings.swarm_address_pool]
        options += ["--default-addr-pool-mask-length", str(_SUBNET_SIZE)]
    return f"{shlex.join(['docker', 'swarm', 'init', *options])} >/dev/null"


def join_command(settings: Settings, manager: str) -> str:
    """Join as a worker, with the token on stdin. `manager` is where one listens."""
    options = []
    if settings.swarm_address:
        options += ["--advertise-addr", settings.swarm_address, "--data-path-addr", settings.swarm_address]
        options += ["--listen-addr", f"{compose.published(settings.swarm_address)}:{MANAGER_PORT}"]
    return f'read -r token && docker swarm join --token "$token" {shlex.join([*options, manager])}'


# A folder that all hosts share is known by a folder that one of them makes in it, under a name nobody can guess.
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


TOKEN_COMMAND = "docker swarm join-token --quiet worker"  # noqa: S105 no token
# Whoever saw one in a list of processes can do nothing with it.
ROTATE_COMMAND = (
    "docker swarm join-token --rotate worker >/dev/null && docker swarm join-token --rotate manager >/dev/null"
)


@dataclass(frozen=True)
class Change:
    """What has to be done about one node, and the shell command that does it; "" until the node is there."""

    node: str
    reason: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"


def changes(hosts: Hosts, *, knows_all: bool) -> list[Change]:
    """What to do about the nodes so that each is as its host's settings say; empty when all are.

    First what a host that came back left behind, then labels, then roles: managers are made before others are unmade,
    so that there are always enough. `knows_all` says whether all hosts of the inventory are in this run: otherwise a
    node that is down may be one of those that are not.
    """
    nodes = {node.id: node for node in hosts[steering(hosts)].observed.nodes}
    own = {name: nodes.get(one.observed.member.id) for name, one in hosts.items()}
    found = [*_left_behind(own, nodes)] if knows_all else []
    for name, one in hosts.items():
        found += _labels(name, one.settings, own[name])
    found += _roles_of(hosts, own)
    for name, one in hosts.items():
        node, wanted = own[name], one.settings.swarm_availability
        if (node.availability if node else "active") != wanted:
            found.append(_update(name, node, f"is to be {wanted}", "--availability", wanted))
    return found


def _left_behind(own: Mapping[str, Node | None], nodes: Mapping[str, Node]) -> Iterator[Change]:
    present = {node.id: node.name for node in own.values() if node}
    for node in nodes.values():
        if node.state == "down" and node.id not in present and node.name in present.values():
            demote = f"docker node demote {node.id} >/dev/null && " if node.role == "manager" else ""
            yield Change(node.name, "came back as another node", f"{demote}docker node rm --force {node.id} >/dev/null")


def _labels(name: str, settings: Settings, node: Node | None) -> list[Change]:
    there = node.labels if node else {}
    add = [label for what, label in LABELS.items() if what in settings.swarm_runs and there.get(label) != "true"]
    remove = [label for what, label in LABELS.items() if what not in settings.swarm_runs and label in there]
    if not add and not remove:
        return []
    arguments = [*(f"--label-add={label}=true" for label in add), *(f"--label-rm={label}" for label in remove)]
    runs = ", ".join(settings.swarm_runs) or "nothing"
    return [_update(name, node, f"is to run {runs}", *arguments)]


def _roles_of(hosts: Hosts, own: Mapping[str, Node | None]) -> Iterator[Change]:
    for wanted, verb in ((True, "promote"), (False, "demote")):
        for name, one in hosts.items():
            node = own[name]
            # Who starts a swarm is a manager, who joins it is not.
            is_manager = node.role == "manager" if node else name == starting(hosts)
            if one.settings.swarm_manager is wanted and is_manager is not wanted:
                role = "a manager" if wanted else "no manager any more"
                yield Change(name, f"is to be {role}", _set_role(verb, node) if node else "")


def _set_role(verb: str, node: Node) -> str:
    """Until it is so: a manager that was just made counts only once it answers."""
    after = "reachable" if verb == "promote" else ""
    asked = shlex.quote("{{if .ManagerStatus}}{{.ManagerStatus.Reachability}}{{end}}")
    is_so = f'[ "$(docker node inspect --format {asked} {node.id})" = "{after}" ]'
    wait = f"for _ in $(seq 60); do if {is_so}; then break; fi; sleep 0.5; done"
    return f"docker node {verb} {node.id} >/dev/null && {wait} && {is_so}"


def _update(name: str, node: Node | None, reason: str, *arguments: str) -> Change:
    command = shlex.join(["docker", "node", "update", *arguments, node.id]) + " >/dev/null" if node else ""
    return Change(name, reason, command)


def strangers(hosts: Hosts) -> list[str]:
    """Nodes that are none of this run's hosts, a line each: they are left alone."""
    ids = {one.observed.member.id for one in hosts.values()}
    return [
        f"{node.name}: is in the swarm ({node.role}, {node.state}) and no host of this run; it is left as it is"
        for node in hosts[steering(hosts)].observed.nodes
        if node.id not in ids
    ]


# --- The stack in it -------------------------------------------------------------------------------


def image_refusals(
    settings: Settings, own: Mapping[str, compose.Image], leads: Mapping[str, compose.Image]
) -> list[str]:
    """Why this host can't run what the swarm is told to: images are named by their ids there."""
    return [
        f"image {reference}: expected the one that the host with the data has ({leads[reference].id[:19]}), got "
        f"{own[reference].id[:19] if reference in own else 'none'}; pull it there again, or remove the older one"
        for reference in dict.fromkeys(settings.images.values())
        if reference in leads and (reference not in own or own[reference].id != leads[reference].id)
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

    `services` maps each service to its image's reference, `images` says what references mean on the host. What was good
    is known by the definitions Docker had then: one that somebody changed by hand has another.
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
            found.append(Work(f"{name}: its image changed"))
        elif service.running < service.wanted:
            found.append(Work(f"{name}: {service.running} of {service.wanted} run"))
        elif name == "open-webui" and service.hosts < (best := min(service.wanted, _able(observed.nodes))):
            # A node that comes back gets nothing by itself.
            found.append(
                Work(f"{name}: its {service.wanted} processes are on {service.hosts} of {best} hosts", again=name)
            )
    found += [Work(f"{name}: is not wanted any more") for name in observed.services if name not in services]
    return found


def _able(nodes: Iterable[Node]) -> int:
    """How many nodes can take a process of Open WebUI right now."""
    label = LABELS["open-webui"]
    return sum(
        node.state == "ready" and node.availability == "active" and node.labels.get(label) == "true" for node in nodes
    )
