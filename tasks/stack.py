"""The compose project: its secrets, files, images and services, in an order that keeps the old one serving."""

from __future__ import annotations

from pyinfra.api import deploy

from tasks import preflight, sources
from webui_stack import compose, delivery, operations, templates
from webui_stack.settings import Settings


@deploy("Stack")
def launch(settings: Settings) -> None:
    """Ensure Valkey and Open WebUI run as the settings say, healthy.

    Secrets are made on the host and kept. Images are pulled and the new compose file is validated before
    anything of the old one is replaced or stopped. Only services whose definition, image, secrets or
    state differ are touched. When a container does not get healthy, the last good deploy comes back, or
    the containers made by hand that it was to replace.
    """
    supplied = preflight.supplied()
    images = {"redis": settings.valkey_image, "open-webui": settings.open_webui_image}
    directory = settings.stack_dir

    operations.secrets(name="Make the secrets on the host", script=templates.secrets_script(settings, supplied))
    locked = sources.wanted(settings)
    if locked:
        source = sources.opened(settings)
        name = "Load the images" if source else "Pull the locked images"
        delivery.images(name=name, wanted=locked, source=source)
    else:
        operations.images(name="Pull the images", references=sources.references(settings))
    operations.files(
        name="Put the compose project",
        contents={f"{directory}/{path}": text for path, text in templates.project(settings).items()},
        checks={f"{directory}/compose.yaml": lambda new: compose.command(directory, "config", "--quiet", file=new)},
    )
    operations.services(
        name="Bring the services up",
        observe_script=templates.observe_script(settings, supplied, images.values()),
        directory=directory,
        images=images,
        up_script=lambda work: templates.up_script(settings, work),
        image_ids=(lambda: delivery.image_ids(locked)) if locked else None,
    )
