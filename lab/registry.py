"""The lab's registry: the images a deploy pulls, under a name of its own, behind the lab's own CA.

All labs share the layers (lab/blobs.py). What a lab's registry has of its own is small: which of its names means
which manifest, and its certificate. So an image is added to a registry that runs, and another lab never sees it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
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
# The release whose API the stand-in answers.
_OLLAMA_TAG = "0.40.2"
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

    serve_it = partial(serve, lab, "registry", NAME, network.REGISTRY_OFFSET)
    parallel.together(serve_it, *(partial(offer, key) for key in wanted))
    found: dict[str, bytes] = {}
    for one in offered.values():
        found |= links(one)
    service.put(service.container_name(lab, "registry"), found)
    return {key: offered[key].name for key in wanted}


def remove_cached() -> list[str]:
    """Ensure no volume with registry content is left; return what went."""
    names = docker.volumes(f"label={docker.CACHE_LABEL}=registry")
    if names:
        docker.run("volume", "rm", *names)
    return names


def serve(
    lab: str,
    role: str,
    name: str,
    offset: int,
    *,
    version: str = "",
    command: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Ensure a registry runs on the lab's network as this service, with a certificate for its name.

    `command` and `files` are those of `service.Service`; `version` names what is in them.
    """
    image = images.on_debian("registry", "registry", "13", lab)
    made_of = " ".join(filter(None, (image, blobs.VOLUME, version)))
    if service.is_current(lab, role, made_of):
        return
    certificate, key = keys.issue(lab, name)
    wanted = service.Service(
        role=role,
        image=image,
        name=name,
        offset=offset,
        flags=[f"--volume={blobs.VOLUME}:{_STORAGE}/blobs:ro"],
        command=list(command),
        files={
            "/etc/docker/registry/tls.crt": certificate,
            "/etc/docker/registry/tls.key": key,
            **(files or {}),
        },
    )
    blobs.ensure_volume()
    service.ensure(lab, wanted, made_of)


def links(one: Offered) -> dict[str, bytes]:
    """The files that give a repository its tag, its manifest and the blobs it may serve."""
    digest = f"sha256:{hashlib.sha256(one.manifest.encode()).hexdigest()}"
    manifest = json.loads(one.manifest)
    repository = f"{_STORAGE}/repositories/{one.repository}"
    found = {f"{repository}/_manifests/tags/{one.tag}/current/link": digest}
    found[f"{repository}/_manifests/revisions/{digest.replace(':', '/')}/link"] = digest
    for blob in [manifest["config"], *manifest["layers"]]:
        found[f"{repository}/_layers/{blob['digest'].replace(':', '/')}/link"] = blob["digest"]
    return {path: content.encode() for path, content in found.items()}


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


def _ollama(lab: str) -> Offered:
    """The stand-in for Ollama, under a name of its own: upstream's has 2 GB, and no models without the internet."""
    reference = images.on_debian("ollama", "ollama", "13", lab)
    return Offered("lab/ollama-stand-in", _OLLAMA_TAG, blobs.of_image(reference, lab))


def _open_webui(recipe: str, lab: str) -> Offered:
    return Offered(open_webui.REPOSITORY, open_webui.tag(recipe), open_webui.manifest(recipe, lab))


IMAGES: dict[str, Callable[[str], Offered]] = {
    "valkey": partial(_small, "valkey/valkey", _VALKEY_TAG, "{}", "valkey", "valkey-server"),
    "open_webui": partial(_open_webui, open_webui.NEWEST),
    "postgres": partial(
        _small, "pgvector/pgvector", _POSTGRES_TAG, "{}-pg17-trixie", "postgres", "postgresql-17-pgvector"
    ),
    "ollama": _ollama,
    "caddy": partial(_small, "library/caddy", _CADDY_TAG, "{}", "caddy", "caddy"),
    "open_webui_earlier": partial(_open_webui, open_webui.EARLIER),
}
"""The images a lab can offer, by the inventory's keys. Each entry ensures its image for a lab and returns it."""
