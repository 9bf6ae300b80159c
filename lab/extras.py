"""What a lab has only when it is asked for: `up --with NAME`. The main job needs none of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab import login, packages
from lab.errors import LabError

ALL = "all"


@dataclass(frozen=True)
class Extra:
    """One thing to ask for: an image of the registry (its key in registry.IMAGES), or a service (its `ensure`).

    A service is known by the extra's own name in inventory.json, an image by its key in `images`.
    """

    what: str
    image: str = ""
    service: Callable[[str], dict[str, str]] | None = None


EXTRAS = {
    "postgres": Extra("PostgreSQL with pgvector", image="postgres"),
    "caddy": Extra("Caddy, the proxy", image="caddy"),
    "ollama": Extra("a stand-in for Ollama", image="ollama"),
    "earlier": Extra("an earlier Open WebUI, to upgrade from", image="open_webui_earlier"),
    "packages": Extra("a package repository shaped like Docker's", service=packages.ensure),
    "login": Extra("a registry that asks for a login", service=login.ensure),
}


def parse(text: str) -> set[str]:
    """The extras that `--with postgres,caddy` names, or `--with all`. Raises LabError for any other."""
    names = {name for name in text.split(",") if name}
    if wrong := sorted(names - {*EXTRAS, ALL}):
        raise LabError(f"--with: expected {', '.join(EXTRAS)} or {ALL}, separated by commas, got {', '.join(wrong)}")
    return set(EXTRAS) if ALL in names else names


def present(inventory: dict[str, Any]) -> set[str]:
    """The extras that a lab has, by its inventory."""
    return {
        name
        for name, extra in EXTRAS.items()
        if (extra.image in inventory.get("images", {}) if extra.image else name in inventory)
    }
