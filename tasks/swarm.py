"""The swarm the hosts are to be: started, joined, and each node what its host's settings say."""

from __future__ import annotations

from pyinfra import host, inventory
from pyinfra.api import deploy

from webui_stack.ops import operations, run
from webui_stack.ops import swarm as formation
from webui_stack.ops.swarm import Formation
from webui_stack.plan import swarm_nodes
from webui_stack.settings.model import Settings

from . import preflight


@deploy("Swarm")
def form(settings: Settings) -> None:
    """Ensure all hosts of this run are one swarm, with the managers, labels and availability of their settings.

    The host with the data starts it and steers it. A member of another swarm is refused and never made to leave. Adds
    no operation where hosts are no swarm.
    """
    if settings.topology != "swarm":
        return
    forming = run.current().once(_formation)
    operations.gate(
        name="Check the swarm that is there",
        check=lambda: swarm_nodes.refusals(host.name, forming.observe()),
    )
    steers = host.name == swarm_nodes.steering(forming.observe())
    if host.name == swarm_nodes.data_node(forming.observe()):
        formation.start(name="Start the swarm", formation=forming)
    formation.join(name="Join the swarm", formation=forming)
    if steers:
        formation.renew_tokens(name="Renew the join tokens", formation=forming)
        formation.shape(name="Give each node its work", formation=forming, knows_all=preflight.is_whole())


def _formation() -> Formation:
    return Formation(preflight.swarm_hosts, inventory.get_host)


def differences() -> list[str]:
    """Where this host's node is not as its settings say; of all nodes where the swarm is steered."""
    hosts = preflight.swarm_hosts()
    own = hosts[host.name]
    found = [] if own.observed.is_member else ["swarm: is not in it"]
    if host.name == swarm_nodes.steering(hosts):
        found += map(str, swarm_nodes.changes(hosts, knows_all=preflight.is_whole()))
    return found
