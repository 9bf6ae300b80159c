"""The proof at the end of every deploy, and alone as a runbook."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import deploy

from webui_stack import operations, proof
from webui_stack.settings import Settings


@deploy("Verify")
def prove(settings: Settings) -> None:
    """Ensure the stack works: PONG twice, Valkey's settings, subscribers, HTTP and a websocket handshake.

    Changes nothing. A host that fails drops out with the failing checks and what to do next.
    """
    operations.gate(
        name="Prove that websockets work",
        check=lambda: proof.run(host, settings),
        at_execution=True,
    )
