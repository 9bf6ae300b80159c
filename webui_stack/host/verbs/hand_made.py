"""What somebody gave the tutorial's containers of their own, in one document. Reads only, and tells no secret.

A container that is not there is left out. Any question that Docker does not answer raises: a take-over must not drop
what nobody could see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import dockerd, open_webui, programs
from ..engine import Container, Engine, Image, NotFound
from ..system import System, require_root

# An image that was removed meanwhile: then all labels and variables are the container's own.
_NO_IMAGE = Image("")
# A proxy's labels may have its people's passwords, hashed. Compose also acts on a dollar. Such a value stays here.
_SECRET_LABEL = re.compile(r"(?i)auth|users|pass|secret|token|key|credential")
_SECRET_VALUE = re.compile(r"[$]|[A-Za-z0-9+/=_-]{24}|://[^/@ ]*@")


@dataclass(frozen=True)
class Request:
    """The names of the containers; that of Open WebUI's is among them."""

    containers: Sequence[str]
    open_webui: str


def run(arguments: Mapping[str, Any], _emit: Callable[[Any], None]) -> dict[str, Any]:
    """The document of this host; `arguments` are those of `Request`."""
    require_root()
    system = System()
    return look(Request(**arguments), dockerd.engine(system, limit_s=programs.LIMIT_S))


def look(asked: Request, engine: Engine) -> dict[str, Any]:
    """The document."""
    there = {}
    for name in asked.containers:
        try:
            there[name] = engine.container(name)
        except NotFound:
            continue
    images = {name: _image(engine, one) for name, one in there.items()}
    one = there.get(asked.open_webui)
    return {
        "containers": {name: _given(one, images[name]) for name, one in there.items()},
        "open_webui": _open_webui(engine, one, images[asked.open_webui]) if one else None,
    }


def _image(engine: Engine, one: Container) -> Image:
    try:
        return engine.image(one.image_id)
    except NotFound:
        return _NO_IMAGE


def _given(one: Container, image: Image) -> dict[str, Any]:
    """By the kinds of the setting `stack_adopt_drops`."""
    return {
        "networks": sorted(one.networks),
        "labels": {name: _label(name, one.labels[name]) for name in _own(one.labels, image.labels)},
        "mounts": [
            {
                "target": mount.target,
                "kind": mount.kind,
                "source": mount.volume or mount.source,
                "writable": mount.writable,
            }
            for mount in sorted(one.mounts, key=lambda mount: mount.target)
        ],
        "extra_hosts": list(one.extra_hosts),
        "devices": list(one.devices),
        "ports": sorted(one.published),
        "privileges": [
            *(["privileged"] if one.privileged else []),
            *one.cap_add,
            *([f"user {one.user}"] if one.user else []),
        ],
    }


def _label(name: str, value: str) -> str | None:
    """Its value; None where that may be a secret."""
    return None if _SECRET_LABEL.search(name) or _SECRET_VALUE.search(value) else value


def _open_webui(engine: Engine, one: Container, image: Image) -> dict[str, Any]:
    return {
        "variables": _own(one.env, image.env),
        "ports": [{"address": port.address, "outside": port.outside, "inside": port.inside} for port in one.ports],
        "version": open_webui.version(engine, one),
        "key_length": len(open_webui.own_key(engine, one)),
    }


def _own(given: Iterable[str], image: Mapping[str, str]) -> list[str]:
    return sorted(name for name in given if name not in image)
