"""Operations that make a swarm of hosts: the tokens that let one in are seen by nobody.

Each is told how to observe all hosts of the run, compares, and then either yields commands or does nothing, as those in
`operations` do.
"""

from __future__ import annotations

from collections.abc import Callable

from gevent.lock import Semaphore
from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from webui_stack.ops.operations import Commands
from webui_stack.plan import swarm_nodes
from webui_stack.settings.sources import HiddenLines
from webui_stack.transport import remote


class Formation:
    """One run's way to a swarm: all its hosts as observed, and who joined in it."""

    def __init__(self, observe: Callable[[], swarm_nodes.Hosts], find: Callable[[str], Host]) -> None:
        self.observe = observe
        self.find = find
        """pyinfra's own object for a host's name, good in any greenlet."""
        self.joined: list[str] = []
        # One after another: what a join changes, managers have to agree on.
        self.turn = Semaphore()


@operation()
def start(formation: Formation) -> Commands:
    """Ensure there is a swarm: this host starts one when no host of the run is in one. It becomes its first manager."""
    hosts = formation.observe()
    if any(one.observed.is_member for one in hosts.values()):
        host.noop("there is a swarm")
    else:
        yield StringCommand(swarm_nodes.init_command(hosts[host.name].settings))


@operation()
def join(formation: Formation) -> Commands:
    """Ensure this host is in the swarm; it joins as a worker, whatever it is to be.

    The token is asked of the host that steers, and goes from this process's memory to the host's stdin.
    """
    hosts = formation.observe()
    if hosts[host.name].observed.is_member or not _is_missing(host.name, hosts):
        host.noop("is in the swarm")
    else:
        yield FunctionCommand(_join, (formation,), {})


def _is_missing(name: str, hosts: swarm_nodes.Hosts) -> bool:
    """Whether the host has to join, or would have if the one that starts the swarm had done so."""
    return not hosts[name].observed.is_member and name != swarm_nodes.starting(hosts)


def _join(state: State, host: Host, formation: Formation) -> bool:  # noqa: ARG001 pyinfra passes the state by this name
    hosts = formation.observe()
    steering = swarm_nodes.steering(hosts)
    own = hosts[steering].observed
    manager = next((node.address for node in own.nodes if node.id == own.member.id), "")
    if not manager:
        host.log_styled(
            f"swarm: expected a manager to join, got none on {steering}; see what happened there",
            fg="red",
            log_func=logger.error,
        )
        return False
    with formation.turn:
        try:
            token = HiddenLines(remote.run(formation.find(steering), swarm_nodes.TOKEN_COMMAND)[0])
            remote.run(formation.find(host.name), swarm_nodes.join_command(hosts[host.name].settings, manager), token)
        except remote.RemoteError as error:
            host.log_styled(f"swarm: expected to join at {manager}, got: {error}", fg="red", log_func=logger.error)
            return False
        formation.joined.append(host.name)
    return True


@operation()
def renew_tokens(formation: Formation) -> Commands:
    """Ensure no token that was used is good for anything any more. Nothing happens when nobody joined."""
    if state.is_executing:
        due = bool(formation.joined)
    else:
        hosts = formation.observe()
        due = any(_is_missing(name, hosts) for name in hosts)
    if due:
        yield StringCommand(swarm_nodes.ROTATE_COMMAND)
    else:
        host.noop("nobody joined")


@operation()
def shape(formation: Formation, *, knows_all: bool) -> Commands:
    """Ensure each node has the role, the labels and the availability of its host's settings.

    An entry that a host left behind is removed once the host came back as another node. Nodes that are no host of this
    run are told of and left alone.
    """
    hosts = formation.observe()
    for line in swarm_nodes.strangers(hosts):
        host.log_styled(line, fg="yellow", log_func=logger.warning)
    found = swarm_nodes.changes(hosts, knows_all=knows_all)
    if not found:
        host.noop("every node is as it is to be")
        return
    for change in found:
        host.log(str(change))
    for change in found:
        if change.command or not state.is_executing:
            yield StringCommand(change.command or "true")
