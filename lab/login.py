"""A registry that asks for a login: the program of the lab's other one, with htpasswd, and Valkey alone."""

from __future__ import annotations

import hashlib

from lab import images, network, registry, service

NAME = "login.lab.test"
HOST = f"{NAME}:5000"
USER = "lab"
# No secret: it opens copies of public images, in a network of this machine.
PASSWORD = "Open0the0registry0of0the0lab"  # noqa: S105
# bcrypt, the one form of htpasswd that the program reads (distribution, registry/auth/htpasswd).
_HTPASSWD = f"{USER}:$2b$05$NEH66kW9SLQ0sAfTN6gHa.qvzIx1DDemb1hXITbvAQ.Yfdf601Twm\n"
_FOLDER = "/etc/docker/registry"
_AUTH = f"auth:\n  htpasswd:\n    realm: the lab\n    path: {_FOLDER}/htpasswd\n"


def ensure(lab: str) -> dict[str, str]:
    """Ensure the registry runs on the lab's network; return its host, its login, and the image that it has."""
    offered = registry.IMAGES["valkey"](lab)
    config = (images.RECIPES / "registry" / "serve.yml").read_text() + _AUTH
    registry.serve(
        lab,
        "login",
        NAME,
        network.LOGIN_OFFSET,
        version=hashlib.sha256(f"{config}{_HTPASSWD}".encode()).hexdigest()[:12],
        command=[f"{_FOLDER}/login.yml"],
        files={f"{_FOLDER}/login.yml": config.encode(), f"{_FOLDER}/htpasswd": _HTPASSWD.encode()},
    )
    service.put(service.container_name(lab, "login"), registry.links(offered))
    return {"host": HOST, "user": USER, "password": PASSWORD, "image": f"{HOST}/{offered.repository}:{offered.tag}"}
