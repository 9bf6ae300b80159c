"""The nodes of a swarm: who starts it, who joins it, and what has to change about each. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from webui_stack.model import compose
from webui_stack.model.swarm import LABELS, Node, Observed
from webui_stack.settings.model import Settings

# Where managers listen (https://docs.docker.com/engine/swarm/swarm-tutorial/#open-protocols-and-ports-between-the-hosts).
MANAGER_PORT = 2377
# The size of each network cut from `swarm_address_pool`.
_SUBNET_SIZE = 24


@dataclass(frozen=True)
class Host:
    """A host of this run: its settings, and what was observed there."""

    settings: Settings
    observed: Observed


Hosts = Mapping[str, Host]


def data_node(hosts: Hosts) -> str:
    """The host that has the data."""
    return next(name for name, one in hosts.items() if one.settings.runs("data"))


def steering(hosts: Hosts) -> str:
    """The host that steers the swarm in this run: the data node, or another manager when that one is in no swarm."""
    first = data_node(hosts)
    managers = [name for name in (first, *hosts) if hosts[name].observed.nodes]
    return managers[0] if managers else first


def starting(hosts: Hosts) -> str:
    """The host that starts the swarm, "" when there is one."""
    return "" if any(one.observed.is_member for one in hosts.values()) else data_node(hosts)


def refusals(name: str, hosts: Hosts) -> list[str]:
    """Why this host can't be what its settings say, a line each. `hosts` are all of this run."""
    own = hosts[name].observed
    nodes = hosts[steering(hosts)].observed.nodes
    if own.member.state not in ("active", "inactive"):
        return [
            f"swarm: expected a host that is in the swarm or in none, got {own.member.state!r}"
            f"{f' ({own.member.error})' if own.member.error else ''}; when it does not recover by itself, "
            "`docker swarm leave --force` there and run again"
        ]
    if own.member.state == "active" and own.member.id not in {node.id for node in nodes}:
        return [
            "swarm: expected a host that is in this swarm or in none, got a member of another; it is never made to "
            "leave: `docker swarm leave` there if that one is gone"
        ]
    if name != data_node(hosts):
        return []
    return [
        f"{LABELS['data']}: expected it on {name}, got it on {node.name} as well; {_leave(node)}"
        for node in nodes
        if node.labels.get(LABELS["data"]) == "true" and node.id != own.member.id and node.name != _name(own, nodes)
    ]


def _leave(node: Node) -> str:
    """How a node with the data makes way for another one."""
    if node.state != "down":
        return "people's data are there: see docs/how-to/swarm.md, on moving them"
    demote = f"docker node demote {node.name} && " if node.role == "manager" else ""
    return (
        f"people's data are there: if that host is lost for good, `{demote}docker node rm --force {node.name}` on "
        "another manager, and run runbooks/restore.py (docs/how-to/swarm.md)"
    )


def _name(own: Observed, nodes: Sequence[Node]) -> str:
    return next((node.name for node in nodes if node.id == own.member.id), "")


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
