"""An apt repository shaped like Docker's own, so that a deploy can use its usual steps without the internet."""

from __future__ import annotations

from lab import docker, images, network, service

NAME = "packages.lab.test"
URL = f"http://{NAME}/linux"


def ensure(lab: str) -> dict[str, str]:
    """Ensure the repository is served on the lab's network; return its URL and the SHA-256 of its key file."""
    image = images.on_debian("packages", "packages", "13", lab)
    service.ensure(lab, service.Service("packages", image, NAME, network.PACKAGES_OFFSET), image)
    out = docker.run("exec", service.container_name(lab, "packages"), "sha256sum", "/srv/linux/debian/gpg")
    return {"url": URL, "key_sha256": out.split()[0]}
