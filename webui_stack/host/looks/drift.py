"""Drift: containers are those of the last good release: their image, and compose's hash of their configuration.

In a swarm only images are compared: the hash of a service's definition needs the docker command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .. import stack
from ..engine import Container
from ..finding import Finding, Sample
from .sight import Sight

_HASH, _SERVICE = "com.docker.compose.config-hash", "com.docker.compose.service"
# The container that stands for a swarm's service in a release.
_OF_SERVICE = {
    "redis": "redis-valkey",
    "postgres": "open-webui-postgres",
    "ollama": "open-webui-ollama",
    "proxy": "open-webui-proxy",
}


def look(at: Sight) -> Iterator[Finding | Sample]:
    """Cost: three small files. Nothing is found before the first good release."""
    good = f"{at.asked.stack_dir}/.good"
    images = _images(at.system.text(f"{good}/images"))
    hashes = _hashes(at.system.text(f"{good}/known"))
    if not images:
        return
    found = []
    for ones in at.containers.values():
        for one in ones:
            if images.get(_named(one), one.image_id) != one.image_id:
                found.append(f"{one.name} runs another image")
            elif hashes.get(one.labels.get(_SERVICE, ""), "") not in ("", one.labels.get(_HASH, "")):
                found.append(f"{one.name} has another configuration")
    about = "The last good deploy, by the moment it became good."
    at_ = at.system.text(f"{good}/at").strip("\0 \n")
    yield Sample("open_webui_stack_release_info", 1, {"release": at_}, about)
    seen = "; ".join(found) or "all containers are those of the last good deploy"
    step = "run deploy.py, which shows the difference by --dry" if found else ""
    yield Finding("drift", not found, seen, step)
    about = "Containers that are not as the last good deploy made them."
    yield Sample("open_webui_stack_drifted_containers", len(found), help=about)


def _named(one: Container) -> str:
    service = one.labels.get(stack.SERVICE_LABEL, "")
    if not service:
        return one.name
    short = service.partition("_")[2]
    return _OF_SERVICE.get(short, short)


def _images(text: str) -> Mapping[str, str]:
    """Ids by container. A line of another form, as after a power cut, tells nothing."""
    lines = [line.split(" ") for line in text.splitlines()]
    return {words[2].lstrip("/"): words[0] for words in lines if len(words) == 3}


def _hashes(text: str) -> Mapping[str, str]:
    """Compose's hash by service."""
    lines = [line.split(" ") for line in text.splitlines()]
    return {words[1]: words[2] for words in lines if len(words) == 3 and words[0] == "hash"}
