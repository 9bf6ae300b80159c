"""Open WebUI's images: upstream's where its registry answers, or PyPI's packages in a layer on top of a small image."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from pathlib import Path

from lab import blobs, docker, images, parallel, wheels
from lab.errors import LabError

REPOSITORY = "open-webui/open-webui"
NEWEST = "open-webui"
EARLIER = "open-webui-earlier"
"""Built here, a layer on top of the newest one: its own code and migrations, and the libraries that it can't share."""
_DEBIAN = "12"
_PIN = re.compile(r"^(\S+)==(\S+)", re.MULTILINE)


def tag(recipe: str) -> str:
    """Upstream's tag of the version that the recipe's requirements.txt locks: the one place that has it."""
    return f"v{_pins(recipe)['open-webui']}-slim"


def manifest(recipe: str, lab: str) -> str:
    """Ensure the storage of the registries has this recipe's Open WebUI; return its manifest."""
    if images.pulls_from("ghcr.io"):
        return blobs.of_image(images.pull(f"ghcr.io/{REPOSITORY}:{tag(recipe)}"), lab)
    key = _key(recipe)
    if found := blobs.have(lab).get(key):
        return found
    architecture = docker.run("version", "--format", "{{.Server.Arch}}")
    download = partial(wheels.download, _requirements(recipe), architecture, lab)
    small = partial(images.on_debian, NEWEST, NEWEST, _DEBIAN, lab)
    if recipe == NEWEST:
        # most of the time is for the packages: they are fetched while the image below them is built
        parallel.together(lambda: blobs.of_image(small(), lab), download)
        on, hidden = docker.image_id(small()), []
    else:
        parallel.together(lambda: manifest(NEWEST, lab), download)
        on, newest = _key(NEWEST), _pins(NEWEST)
        hidden = [f"{name.replace('-', '_')}-{newest[name]}.dist-info" for name in _pins(recipe) if name in newest]
    return blobs.of_packages(key, on, small(), download(), _requirements(recipe), hidden, lab)


def _key(recipe: str) -> str:
    """What the storage knows the built image by: a hash of all that goes in."""
    total = hashlib.sha256(images.on_debian_reference(NEWEST, NEWEST, _DEBIAN).encode() + blobs.program().encode())
    for one in dict.fromkeys([NEWEST, recipe]):
        total.update(_requirements(one).read_bytes())
    return f"{recipe}-{total.hexdigest()[:12]}"


def _requirements(recipe: str) -> Path:
    return images.RECIPES / recipe / "requirements.txt"


def _pins(recipe: str) -> dict[str, str]:
    path = _requirements(recipe)
    found = dict(_PIN.findall(path.read_text()))
    if "open-webui" not in found:
        raise LabError(f"{path}: expected a line open-webui==VERSION, got none, lock it again")
    return found
