"""Language models for the lab's Open WebUI: an OpenAI-compatible API that needs no key, no download and no GPU."""

from __future__ import annotations

from lab import images, network, service

NAME = "models.lab.test"
URL = f"http://{NAME}/v1"


def ensure(lab: str) -> dict[str, str]:
    """Ensure the API is served on the lab's network; return its base URL, for hosts and the containers in them."""
    image = images.on_debian("models", "models", "13", lab)
    service.ensure(lab, service.Service("models", image, NAME, network.MODELS_OFFSET), image)
    return {"url": URL}
