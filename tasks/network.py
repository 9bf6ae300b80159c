"""The Docker network Open WebUI and Valkey share."""

from __future__ import annotations

import shlex

from pyinfra import host, logger
from pyinfra.api import deploy
from pyinfra.operations import server

from webui_stack.model import compose, swarm
from webui_stack.ops import operations
from webui_stack.settings.model import Settings

from . import preflight


@deploy("Network")
def create(settings: Settings) -> None:
    """Ensure `openwebui-network` exists as a bridge, with the subnet the settings name.

    A network that exists otherwise is reported and refused, never replaced: other containers may be in it. In a swarm
    it is an overlay over all hosts. A bridge of that name that an earlier stack left behind is removed on each.
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
        _make("Create the network", settings, "--driver", "bridge")


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
        server.shell(name="Remove the network of an earlier stack", commands=[f"docker network rm {compose.NETWORK}"])
    if settings.runs("data") and (network is None or swarm.is_leftover(network)):
        options = [
            part for one in swarm.network_options(settings, preflight.mtu_between_hosts()) for part in ("--opt", one)
        ]
        _make("Create the network of all hosts", settings, "--driver", "overlay", "--attachable", *options)


def _make(name: str, settings: Settings, *options: str) -> None:
    """Add the operation. pyinfra's own asks a fact, which whatever a login shell prints would break (3.10)."""
    subnet = ["--subnet", settings.network_subnet] if settings.network_subnet else []
    label = ["--label", f"{compose.NETWORK_LABEL}=made"]
    command = ["docker", "network", "create", *options, *subnet, *label, compose.NETWORK]
    server.shell(name=name, commands=[shlex.join(command)])
