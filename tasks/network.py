"""The Docker network Open WebUI and Valkey share."""

from __future__ import annotations

from pyinfra import host, logger
from pyinfra.api import deploy
from pyinfra.operations import docker

from tasks import preflight
from webui_stack import compose, operations, swarm
from webui_stack.settings import Settings


@deploy("Network")
def create(settings: Settings) -> None:
    """Ensure `openwebui-network` exists as a bridge, with the subnet the settings name.

    One that exists otherwise is reported and refused, never replaced: other containers may be in it. In a swarm it is
    an overlay over all hosts, and a bridge of that name that an earlier stack left behind is removed on each.
    """
    if settings.topology == "swarm":
        _create_overlay(settings)
        return
    survey = preflight.observation().survey
    operations.gate(
        name="Check the network that is there",
        check=lambda: compose.network_refusals(survey().services.network, settings.network_subnet),
    )
    if survey().services.network is None:
        docker.network(
            name="Create the network",
            network=compose.NETWORK,
            driver="bridge",
            subnet=settings.network_subnet or "",
            labels=[f"{compose.NETWORK_LABEL}=made"],
        )


def _create_overlay(settings: Settings) -> None:
    survey = preflight.observation().survey
    operations.gate(
        name="Check the network that is there",
        check=lambda: swarm.network_refusals(settings, survey().services.network),
    )
    network = survey().services.network
    if settings.runs("data"):
        for line in swarm.too_large(network, preflight.mtu_between_hosts()):
            host.log_styled(line, fg="yellow", log_func=logger.warning)
    if swarm.is_leftover(network):
        docker.network(name="Remove the network of an earlier stack", network=compose.NETWORK, present=False)
    if settings.runs("data") and (network is None or swarm.is_leftover(network)):
        docker.network(
            name="Create the network of all hosts",
            network=compose.NETWORK,
            driver="overlay",
            subnet=settings.network_subnet or "",
            attachable=True,
            labels=[f"{compose.NETWORK_LABEL}=made"],
            opts=swarm.network_options(settings, preflight.mtu_between_hosts()) or None,
        )
