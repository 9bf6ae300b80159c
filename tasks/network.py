"""The Docker network Open WebUI and Valkey share."""

from __future__ import annotations

from pyinfra.api import deploy
from pyinfra.operations import docker

from tasks import preflight
from webui_stack import compose, operations
from webui_stack.settings import Settings


@deploy("Network")
def create(settings: Settings) -> None:
    """Ensure `openwebui-network` exists as a bridge, with the subnet the settings name.

    One that exists otherwise is reported and refused, never replaced: other containers may be in it.
    """
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
