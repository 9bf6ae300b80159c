"""A backup set in the place of the data that a host has, or on a host that has none."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import DeployError, deploy

from tasks import offsite, preflight, tool
from webui_stack import deployment, operations, secrets, templates
from webui_stack.secrets import HiddenItems
from webui_stack.settings import Settings


@deploy("Restore")
def check(settings: Settings) -> None:
    """Ensure a stack that lives is not replaced unless `restore_over` names its host."""
    operations.gate(name="Check that the data may be replaced", check=lambda: _refusals(settings))


def _refusals(settings: Settings) -> list[str]:
    if preflight.observation().survey().cut_off == "upgrade":
        return deployment.unended(preflight.observation().survey())
    there = [
        name for name in templates.containers(settings) if name in preflight.observation().survey().services.containers
    ]
    if not there or host.name in settings.restore_over:
        return []
    return [
        f"restore: expected a host without a stack, got {' and '.join(there)}; to put a set in the place of the data "
        f"they have, set restore_over = [{host.name!r}]"
    ]


@deploy("Restore")
def load(settings: Settings) -> None:
    """Ensure the data of the set `restore_set` are in the stack's volumes, and its secrets in place if they are wanted.

    A set is unpacked beside the data that is there, while the stack serves; then the stack is stopped, the data
    swapped, and it is started again. What was there is in a set of its own by then; it comes back by itself when the
    stack does not get healthy, and stays in the volumes until `settle`. Fails, with nothing changed, for a set that is
    not whole or newer than the images.
    """
    identity = _identity(settings)
    if identity:
        tool.bring_age("restore_age_identity")
    settings = offsite.bring(settings, identity)
    operations.restore(name="Put the set's data in place", arguments=_request(settings, identity))


@deploy("Restore")
def settle(settings: Settings) -> None:
    """Ensure nothing is left of the data that was replaced."""
    operations.settle_restore(name="Remove the data that was replaced", arguments=_request(settings))


def _identity(settings: Settings) -> str:
    if not settings.restore_age_identity:
        return ""
    try:
        identity = secrets.read_source(settings.restore_age_identity)
    except OSError as error:
        raise DeployError(f"restore_age_identity: expected to read it, got {error}; check the source") from None
    if not identity.strip():
        raise DeployError("restore_age_identity: expected an identity of age, got an empty text; check the source")
    return identity


def _request(settings: Settings, identity: str = "") -> HiddenItems:
    return templates.restore_request(settings, identity, may_replace=host.name in settings.restore_over)
