"""The lab's registry: the images a deploy pulls, under a name of its own, behind the lab's own CA.

All labs share the layers (lab/blobs.py). What a lab's registry has of its own is small: which of its names means
which manifest, and its certificate. So an image is added to a registry that runs, and another lab never sees it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from lab import blobs, docker, images, keys, network, open_webui, parallel, service

NAME = "registry.lab.test"
HOST = f"{NAME}:5000"
# renovate: datasource=docker depName=docker.io/valkey/valkey versioning=docker
_VALKEY_TAG = "8.0.12-alpine"
# A tag with Debian's release in it: another C library sorts text otherwise, which breaks indexes of existing data.
# renovate: datasource=docker depName=docker.io/pgvector/pgvector versioning=docker
_POSTGRES_TAG = "0.8.7-pg17-trixie"
# renovate: datasource=docker depName=docker.io/library/caddy versioning=docker
_CADDY_TAG = "2.11.9-alpine"
_STORAGE = "/var/lib/registry/docker/registry/v2"
"""What distribution's filesystem driver has below its root folder (its registry/storage/paths.go)."""


@dataclass(frozen=True)
class Offered:
    """An image the registry has: its name there, and its manifest."""

    repository: str
    tag: str
    manifest: str

    @property
    def name(self) -> str:
        return f"{HOST}/{self.repository}:{self.tag}"


def ensure(lab: str, wanted: Collection[str]) -> dict[str, str]:
    """Ensure the registry runs on the lab's network with the wanted images, keys of IMAGES; return their full names.

    Images that are not in the storage yet are pulled or built, side by side.
    """
    offered: dict[str, Offered] = {}

    def offer(key: str) -> None:
        offered[key] = IMAGES[key](lab)

    parallel.together(partial(_serve, lab), *(partial(offer, key) for key in wanted))
    links: dict[str, bytes] = {}
    for one in offered.values():
        links |= _links(one)
    service.put(service.container_name(lab, "registry"), links)
    return {key: offered[key].name for key in wanted}


def remove_cached() -> list[str]:
    """Ensure no volume with registry content is left; return what went."""
    names = docker.volumes(f"label={docker.CACHE_LABEL}=registry")
    if names:
        docker.run("volume", "rm", *names)
    return names


def _serve(lab: str) -> None:
    image = images.on_debian("registry", "registry", "13", lab)
    version = f"{image} {blobs.VOLUME}"
    if service.is_current(lab, "registry", version):
        return
    certificate, key = keys.issue(lab, NAME)
    wanted = service.Service(
        role="registry",
        image=image,
        name=NAME,
        offset=network.REGISTRY_OFFSET,
        flags=[f"--volume={blobs.VOLUME}:{_STORAGE}/blobs:ro"],
        files={"/etc/docker/registry/tls.crt": certificate, "/etc/docker/registry/tls.key": key},
    )
    blobs.ensure_volume()
    service.ensure(lab, wanted, version)


def _links(one: Offered) -> dict[str, bytes]:
    """The files that give a repository its tag, its manifest and the blobs it may serve."""
    digest = f"sha256:{hashlib.sha256(one.manifest.encode()).hexdigest()}"
    manifest = json.loads(one.manifest)
    repository = f"{_STORAGE}/repositories/{one.repository}"
    links = {f"{repository}/_manifests/tags/{one.tag}/current/link": digest}
    links[f"{repository}/_manifests/revisions/{digest.replace(':', '/')}/link"] = digest
    for blob in [manifest["config"], *manifest["layers"]]:
        links[f"{repository}/_layers/{blob['digest'].replace(':', '/')}/link"] = blob["digest"]
    return {path: content.encode() for path, content in links.items()}


def _small(repository: str, pulled: str, built: str, recipe: str, package: str, lab: str) -> Offered:
    """An image of Docker Hub with the tag `pulled`, or Debian's package in its shape.

    `built` is the tag of the latter, with {} for the package's upstream version.
    """
    if images.pulls_from("registry-1.docker.io"):
        reference, tag = images.pull(f"docker.io/{repository}:{pulled}"), pulled
    else:
        reference = images.on_debian(recipe, recipe, "13", lab)
        query = ["dpkg-query", "--show", "--showformat=${source:Upstream-Version}", package]
        version = docker.run("run", "--rm", "--network=none", f"--entrypoint={query[0]}", reference, *query[1:])
        # 8.1.1+dfsg1 is upstream's 8.1.1
        tag = built.format(re.split(r"[+~]", version)[0])
    return Offered(repository, tag, blobs.of_image(reference, lab))


def _open_webui(recipe: str, lab: str) -> Offered:
    return Offered(open_webui.REPOSITORY, open_webui.tag(recipe), open_webui.manifest(recipe, lab))


IMAGES: dict[str, Callable[[str], Offered]] = {
    "valkey": partial(_small, "valkey/valkey", _VALKEY_TAG, "{}", "valkey", "valkey-server"),
    "open_webui": partial(_open_webui, open_webui.NEWEST),
    "postgres": partial(
        _small, "pgvector/pgvector", _POSTGRES_TAG, "{}-pg17-trixie", "postgres", "postgresql-17-pgvector"
    ),
    "caddy": partial(_small, "library/caddy", _CADDY_TAG, "{}", "caddy", "caddy"),
    "open_webui_earlier": partial(_open_webui, open_webui.EARLIER),
}
"""The images a lab can offer, by the inventory's keys. Each entry ensures its image for a lab and returns it."""
