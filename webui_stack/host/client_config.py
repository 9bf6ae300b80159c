"""The configuration of root's docker command: which engine it reaches, and for which registries it has credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .system import System
from .typed import Any, TypeVar

_Login = TypeVar("_Login")

# How the command names Docker Hub, and under which names its credentials may be found (docker/cli, cli/config).
_HUB = "docker.io"
_HUB_NAMES = frozenset({_HUB, "index.docker.io", "registry-1.docker.io"})


def read(system: System, home: str) -> Mapping[str, Any]:
    """What is in the file; {} where there is none, or a broken one, which the command reads as an empty one."""
    try:
        found = json.loads(system.text(f"{home}/.docker/config.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def has_credentials(config: Mapping[str, Any], name: str) -> bool:
    """Whether the command has, or may get from a helper, credentials for the registry of an image's name.

    A credential store (`credsStore`) is one for all registries: only its program knows which it has.
    """
    if config.get("credsStore"):
        return True
    names = {_host(key) for part in ("credHelpers", "auths") for key in _keys(config.get(part))}
    registry = registry_of(name)
    return bool(names & (_HUB_NAMES if registry in _HUB_NAMES else {registry}))


def registry_of(name: str) -> str:
    """The registry that an image's name begins with; Docker Hub where it begins with none (distribution/reference)."""
    first, slash, _ = name.partition("/")
    return first if slash and (first == "localhost" or "." in first or ":" in first) else _HUB


def of_registry(logins: Mapping[str, _Login], name: str) -> _Login | None:
    """The login for the registry of an image's name, None without one. Docker Hub has several names."""
    registry = registry_of(name)
    names = _HUB_NAMES if registry in _HUB_NAMES else {registry}
    return next((login for key, login in logins.items() if key in names), None)


def _keys(part: object) -> list[str]:
    return list(part) if isinstance(part, dict) else []


def _host(key: str) -> str:
    """The key of a registry is its name, or the URL that was given to `docker login`."""
    return key.rpartition("://")[2].partition("/")[0]
