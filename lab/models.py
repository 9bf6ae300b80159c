"""Language models for the lab's Open WebUI: an OpenAI-compatible API that needs no key, no download and no GPU."""

from __future__ import annotations

import hashlib

from lab import images, network, service

NAME = "models.lab.test"
URL = f"http://{NAME}/v1"
_PROGRAM = images.RECIPES / "models" / "serve.py"


def ensure(lab: str) -> dict[str, str]:
    """Ensure the API is served on the lab's network; return its base URL, for hosts and the containers in them.

    It runs in the image of the hosts, which has the Python it needs: no image of its own has to be built.
    """
    image, program = images.host("13", lab), _PROGRAM.read_bytes()
    wanted = service.Service(
        role="models",
        image=image,
        name=NAME,
        offset=network.MODELS_OFFSET,
        # that image's stop signal is systemd's
        flags=["--entrypoint=python3", "--stop-signal=TERM"],
        command=["/srv/serve.py"],
        files={"/srv/serve.py": program},
    )
    service.ensure(lab, wanted, f"{image} {hashlib.sha256(program).hexdigest()[:12]}")
    return {"url": URL}
