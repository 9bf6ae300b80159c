"""The beginning and the end of a deploy: one operator at a time on a host, and what was done there is in its log."""

from __future__ import annotations

from pyinfra import host, inventory
from pyinfra.api import deploy

from webui_stack.ops import operations, output, session
from webui_stack.settings.model import Settings

from . import preflight, sources, swarm


@deploy("Deployment")
def begin(settings: Settings, *, acts: bool = False) -> None:
    """Ensure nobody else is at work on this host until `end` or `leave`, or until the host fails.

    A run that `acts` changes something even where all is as the settings say, or a restore or an upgrade was cut off.
    A run that changes nothing on any host prints a line for each of them.
    """
    if not acts:
        output.hold()
    operations.gate(
        name="Check that nobody else is at work",
        check=lambda: _begin(settings, acts),
        at_execution=True,
    )


def _begin(settings: Settings, acts: bool) -> list[str]:
    observation = preflight.observation()
    locked = [] if acts else sources.wanted(settings, observation.survey().machine)
    others = swarm.differences() if settings.topology == "swarm" and not acts else []
    return session.begin(observation, settings, locked, others, acts=acts)


@deploy("Deployment")
def end() -> None:
    """Ensure the host's log of deploys has a line on this one (`/var/log/open-webui/deploys.jsonl`)."""
    operations.gate(name="Write the log of deploys", check=_end, at_execution=True)


def _end() -> list[str]:
    session.end(inventory.get_host(host.name))
    return []


@deploy("Deployment")
def leave() -> None:
    """Ensure nothing is left of the lease, and nothing is written any more: the end where all else is gone."""
    operations.gate(
        name="Leave the host",
        check=lambda: session.leave(inventory.get_host(host.name)),
        at_execution=True,
    )
