"""A backup set in the place of the data that a host has, or on a host that has none."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import DeployError, deploy

from webui_stack.ops import operations, session
from webui_stack.render import project, stack_requests
from webui_stack.settings import sources
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import HiddenItems

from . import host_packages, offsite, preflight, stack, swarm_preflight


@deploy("Restore")
def check(settings: Settings) -> None:
    """Ensure a stack that lives is not replaced unless `restore_over` names its host."""
    if settings.runs("data"):
        operations.gate(name="Check that the data may be replaced", check=lambda: _refusals(settings))


def _refusals(settings: Settings) -> list[str]:
    survey = preflight.observation().survey
    if survey().cut_off == "upgrade":
        return session.unended(survey())
    there = [name for name in project.containers(settings) if name in survey().services.containers]
    if settings.topology == "swarm" and (not _is_bare() or survey().swarm.serves):
        there = ["a stack in the swarm"]
    if not there or host.name in settings.restore_over:
        return []
    return [
        f"restore: expected a host without a stack, got {' and '.join(there)}; to put a set in the place of the data "
        f"they have, set restore_over = [{host.name!r}]"
    ]


def _is_bare() -> bool:
    """Whether no deploy of a swarm's stack was ever good on this host, as where it is new."""
    return not preflight.observation().survey().swarm.known


@deploy("Restore")
def load(settings: Settings) -> None:
    """Ensure the stack's data are those of the set `restore_set`, and its secrets in place if they are wanted.

    A set is unpacked beside the data that is there, while the stack serves; then the stack is stopped, the data
    swapped, and it is started again. The replaced data are in a set of their own by then; it comes back by itself when
    the stack does not get healthy, and stays in the volumes until `settle`. Fails, with nothing changed, for a set that
    is not whole or newer than the images. In a swarm that is the work of the host with the data; where it has none yet,
    what holds them is started first, with the set's secrets.
    """
    if not settings.runs("data"):
        return
    identity = _identity(settings)
    if identity:
        host_packages.bring_age("restore_age_identity")
    settings = offsite.bring(settings, identity)
    arguments = _request(settings, identity)
    if settings.topology == "swarm":
        # Planned for what is there when the run begins: an operation of this very run makes the rest.
        if _is_bare():
            if identity:
                operations.restore_secrets(name="Put the set's secrets in place", arguments=arguments)
            stack.launch_data(settings)
        operations.gate(
            name="Check that all hosts share one folder",
            check=lambda: swarm_preflight.folder_refusals(settings),
            at_execution=True,
        )
    operations.restore(name="Put the set's data in place", arguments=arguments, verb=_verb(settings))


@deploy("Models")
def bring_models(settings: Settings) -> None:
    """Ensure the stack's Ollama has its models, and those that the set was made beside: a set has their names only."""
    stack.pull_models(settings, of_set=offsite.set_name(settings))


@deploy("Restore")
def settle(settings: Settings) -> None:
    """Ensure nothing is left of the data that was replaced."""
    if settings.runs("data"):
        operations.settle_restore(
            name="Remove the data that was replaced", arguments=_request(settings), verb=_verb(settings)
        )


def _verb(settings: Settings) -> str:
    return "swarm_restore" if settings.topology == "swarm" else "restore"


def _identity(settings: Settings) -> str:
    if not settings.restore_age_identity:
        return ""
    try:
        identity = sources.read_source(settings.restore_age_identity)
    except OSError as error:
        raise DeployError(f"restore_age_identity: expected to read it, got {error}; check the source") from None
    if not identity.strip():
        raise DeployError("restore_age_identity: expected an identity of age, got an empty text; check the source")
    return identity


def _request(settings: Settings, identity: str = "") -> HiddenItems:
    request = stack_requests.swarm_restore_request if settings.topology == "swarm" else stack_requests.restore_request
    return request(settings, identity, may_replace=host.name in settings.restore_over)
