"""The compose project: its secrets, files, images and services, in an order that keeps the old one serving."""

from __future__ import annotations

from dataclasses import replace

from pyinfra import host
from pyinfra.api import deploy

from webui_stack.artifacts import images
from webui_stack.model import swarm
from webui_stack.model.compose import Observed
from webui_stack.model.lock import Wanted
from webui_stack.ops import facts, operations
from webui_stack.render import project, secrets_requests, stack_requests
from webui_stack.settings.model import Settings

from . import preflight, sources, swarm_preflight


@deploy("Stack")
def launch(settings: Settings, *, with_images: bool = True, upgrades: bool = False, migrates: bool = False) -> None:
    """Ensure Valkey and Open WebUI run as the settings say, healthy.

    Secrets are made on the host and kept. Images are pulled (`with_images` is False after `bring_images`) and the new
    compose file is validated before anything of the old one is replaced or stopped. Only services whose definition,
    image, secrets or state differ are touched. When a container does not get healthy, the last good deploy comes back,
    or the containers made by hand that it was to replace. An image that would change the schema of the data is refused,
    unless the deploy `upgrades`: then a backup set is made first, and comes back as well; or `migrates`: the data have
    just come out of a set.
    """
    if settings.topology == "swarm":
        _deploy(settings, with_images=with_images, upgrades=upgrades)
        return
    supplied = preflight.supplied()
    survey = preflight.observation().survey

    operations.secrets(
        name="Make the secrets on the host",
        request=lambda: secrets_requests.secrets_request(settings, supplied),
        stale=lambda: survey().stale,
        refused=lambda: survey().refused,
    )
    if with_images:
        _bring_images(settings)
    locked = sources.wanted(settings, survey().machine)
    operations.files(
        name="Put the compose project",
        contents=lambda: project.host_files(settings, survey().engine.server),
        present=lambda: survey().files,
        check_all=lambda place: project.check_command(settings, place),
        unwanted=project.unwanted(settings),
    )
    operations.services(
        name="Bring the services up",
        observe=lambda: _with_locked(survey().services, locked),
        directory=settings.stack_dir,
        images=settings.all_images,
        request=lambda work: (
            stack_requests.upgrade_request(settings, work)
            if upgrades
            else stack_requests.up_request(settings, work, migrates=migrates)
        ),
        upgrades=upgrades,
    )


def launch_data(settings: Settings) -> None:
    """Ensure the services run that hold a swarm's data, and no Open WebUI, where the stack was never deployed yet.

    A restore fills them. The images are on all hosts.
    """
    _deploy(settings, with_images=False, upgrades=False, data_only=True)


def _deploy(settings: Settings, *, with_images: bool, upgrades: bool, data_only: bool = False) -> None:
    """The same for a stack on many hosts: images on all, everything else from the host with the data."""
    supplied = preflight.supplied()
    survey = preflight.observation().survey
    has_data = settings.runs("data")
    if has_data:
        operations.secrets(
            name="Make the secrets on the host",
            request=lambda: secrets_requests.secrets_request(settings, supplied),
            stale=lambda: survey().stale,
            refused=lambda: survey().refused,
        )
    if with_images:
        _bring_images(settings)
    if not has_data:
        return
    operations.gate(
        name="Check that each node can run it", check=lambda: swarm_preflight.refusals(settings), at_execution=True
    )
    locked = sources.wanted(settings, survey().machine)
    operations.files(
        name="Put the stack's files",
        contents=lambda: project.host_files(settings, survey().engine.server),
        present=lambda: survey().files,
        check_all=lambda place: project.check_command(settings, place),
        unwanted=project.unwanted(settings),
    )
    operations.stack(
        name="Start what holds the data" if data_only else "Deploy the stack",
        pending=lambda: swarm.pending(
            survey().swarm, _with_locked(survey().services, locked).images, settings.all_images
        ),
        request=lambda work: stack_requests.swarm_request(settings, work, upgrades=upgrades, data_only=data_only),
    )


@deploy("Models")
def bring_models(settings: Settings) -> None:
    """Ensure the stack's Ollama has the models of `ollama_models`. No model is updated, and none removed."""
    pull_models(settings)


def pull_models(settings: Settings, of_set: str = "") -> None:
    """The operation of `bring_models`; the models that the backup set `of_set` names are wanted as well."""
    if settings.ollama != "service" or not settings.runs("data") or not (settings.ollama_models or of_set):
        return
    asked = stack_requests.models_request(settings, settings.ollama_models, of_set=of_set)
    operations.models(
        name="Pull the models",
        missing=lambda: facts.missing_models(host, asked),
        request=lambda models: stack_requests.models_request(settings, models),
    )


@deploy("Saved settings")
def save_settings(settings: Settings) -> None:
    """Ensure Open WebUI has saved what `open_webui_saved` names. Nothing else that admins saved is changed."""
    if not settings.open_webui_saved:
        return
    survey = preflight.observation().survey
    supplied = preflight.supplied()
    operations.saved_settings(
        name="Save Open WebUI's settings",
        observe=lambda: survey().saved,
        request=lambda seen: secrets_requests.save_settings_request(settings, supplied, seen),
    )


@deploy("Stack")
def bring_images(settings: Settings) -> None:
    """Ensure the images are on the host, as they are locked if there is a lock."""
    _bring_images(settings)


def _bring_images(settings: Settings) -> None:
    survey = preflight.observation().survey
    locked = sources.wanted(settings, survey().machine)
    logins = secrets_requests.registry_logins(settings, preflight.supplied())
    if locked:
        source = sources.opened(settings)
        name = "Load the images" if source else "Pull the locked images"
        images.images(name=name, wanted=locked, source=source, present=lambda: survey().services.images, logins=logins)
    else:
        operations.images(
            name="Pull the images",
            references=sources.references(settings),
            present=lambda: survey().services.images,
            logins=logins,
        )


def _with_locked(observed: Observed, locked: list[Wanted]) -> Observed:
    return replace(observed, images=images.as_locked(locked, observed.images))
