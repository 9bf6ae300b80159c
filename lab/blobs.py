"""The storage that the registries of all labs serve: one volume, each layer in it once, whatever lab asks for it.

A manifest in it has a key, which covers all that went into the image. What is there already is never written again.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from lab import docker, images, state
from lab.errors import LabError
from lab.progress import step

VOLUME = "open-webui-lab-blobs"


def of_image(reference: str, lab: str) -> str:
    """Ensure an image of the engine is in the storage; return its manifest. Its key is the engine's own id."""
    key = docker.image_id(reference)

    def save(out: IO[bytes]) -> None:
        done = subprocess.run(["docker", "save", reference], stdout=out, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise LabError(f"docker save {reference}: expected an archive, got {done.stderr.decode().strip()}")

    return _ensure(lab, key, f"Store {reference}", images.host("13", lab), ["image", key], save)


def of_packages(
    key: str, on: str, image: str, wheels: Path, requirements: Path, hidden: Sequence[str], lab: str
) -> str:
    """Ensure the storage has the image with key `on` with a layer more, the wheels installed; return the manifest.

    `image` runs the installation, so it has the Python that the wheels are for. `hidden` are entries of `on`'s
    dist-packages that the layer takes away.
    """

    def send(out: IO[bytes]) -> None:
        with tarfile.open(fileobj=out, mode="w|") as archive:
            archive.add(wheels, ".")
            archive.add(requirements, "requirements.txt")

    return _ensure(lab, key, f"Install {key}", image, ["packages", key, on, *hidden], send)


def have(lab: str) -> dict[str, str]:
    """Every manifest of the storage by its key; {} where there is no storage yet."""
    if not docker.volumes(f"name=^{VOLUME}$"):
        return {}
    found: dict[str, str] = json.loads(docker.run(*_command(lab, images.host("13", lab)), "has"))
    return found


def ensure_volume() -> None:
    docker.run("volume", "create", f"--label={docker.CACHE_LABEL}=registry", VOLUME)


def program() -> str:
    """The source of the program that runs in the container."""
    return Path(__file__).with_name("layers.py").read_text()


def _ensure(lab: str, key: str, name: str, image: str, arguments: list[str], feed: Callable[[IO[bytes]], None]) -> str:
    with state.lock(f"blobs-{key}", f"Waiting for another lab: {name}"):
        present = have(lab)
        if key not in present:
            ensure_volume()
            with step(name):
                out = docker.run_fed([*_command(lab, image), *arguments], feed, state.log(lab, f"blobs-{key[:20]}"))
            present = json.loads(out)
    return present[key]


def _command(lab: str, image: str) -> list[str]:
    return [
        *("run", "--rm", "--interactive", "--network=none", f"--label={docker.LABEL}={lab}"),
        *(f"--volume={VOLUME}:/blobs", "--entrypoint=python3", image, "-c", program()),
    ]
