"""The operator's own compose fragment (`stack_overlay`), as far as this project has to know what it says.

Compose merges it. It is read here to refuse what contradicts the stack before a host is touched
(`plan/overlay_contract.py`), and to know its services, images and volumes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# The services of the stack, whatever the settings are; the overlay may add to them, and has its own beside them.
_OF_THE_STACK = re.compile(r"redis|postgres|ollama|proxy|open-webui(?:-[0-9]+)?")
# Compose and a swarm put the project's name before that of a volume (templates/compose.yaml.j2).
_PROJECT = "open-webui"
_MERGE = "tag:yaml.org,2002:merge"


class OverlayError(Exception):
    """Why a file is no compose fragment; one line without a secret."""


@dataclass(frozen=True)
class Overlay:
    """A fragment: its text as the operator wrote it, and its tree, in which every scalar is text."""

    text: str
    tree: Mapping[str, Any]

    @property
    def services(self) -> Mapping[str, Any]:
        """All services that it names."""
        return _mapping(self.tree.get("services"))

    @property
    def own_services(self) -> dict[str, Mapping[str, Any]]:
        """The services that only it has."""
        return {name: _mapping(one) for name, one in self.services.items() if not is_of_the_stack(name)}

    @property
    def images(self) -> dict[str, str]:
        """Service -> image reference, of its own services."""
        return {name: str(one.get("image", "")) for name, one in self.own_services.items()}

    def volumes(self, *, external: bool = True) -> list[str]:
        """The Docker volumes that it defines; without `external`, only those that compose makes for it."""
        found = []
        for key, one in _mapping(self.tree.get("volumes")).items():
            is_external = _mapping(one).get("external", "false").lower() == "true"
            if external or not is_external:
                default = key if is_external else f"{_PROJECT}_{key}"
                found.append(str(_mapping(one).get("name") or default))
        return found


def is_of_the_stack(service: str) -> bool:
    """Whether the stack has a service of this name, under these settings or others."""
    return _OF_THE_STACK.fullmatch(service) is not None


@cache
def read(path: str) -> Overlay:
    """The fragment in a file of this machine: read once in a run, so that what was checked is what is deployed.

    Raises `OverlayError` where it can't be read, or is no mapping in YAML.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise OverlayError("the file is not UTF-8") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: ~nobody
        raise OverlayError(getattr(error, "strerror", None) or str(error)) from None
    return parse(text)


def parse(text: str) -> Overlay:
    """The fragment in a text. Raises `OverlayError` where that is no mapping in YAML."""
    tree = _tree(text)
    if not isinstance(tree, dict):
        raise OverlayError("it has no mapping at its top, such as services:")
    return Overlay(text.rstrip("\n") + "\n", tree)


def _tree(text: str) -> Any:
    import yaml  # only who has an overlay pays for it: it takes as long as all of a small run's rendering

    class Loader(yaml.SafeLoader):
        """Every scalar is text: what `on` or `0755` means is compose's business, whose YAML is not PyYAML's."""

        yaml_implicit_resolvers = {"<": [(_MERGE, re.compile("<<"))]}  # noqa: RUF012 PyYAML's own form

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise OverlayError(f"line {key.start_mark.line + 1}: the key {key.value} is there twice")
                seen.add(key.value if isinstance(key.value, str) else id(key))
            return node

    try:
        return yaml.load(text, Loader)  # noqa: S506 it is a SafeLoader
    except yaml.constructor.ConstructorError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        tags = re.findall(r"'(![^']*)'", error.problem or "")
        what = f"the tag {tags[0]}: it takes away what the stack needs" if tags else str(error.problem)
        raise OverlayError(f"line {line}: {what}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise OverlayError(f"line {line}: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise OverlayError(type(error).__name__) from None


def scalars(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each text below a tree with the keys that lead to it; items of a list have their list's path."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from scalars(value, (*path, str(key)))
    elif isinstance(tree, list):
        for value in tree:
            yield from scalars(value, path)
    elif isinstance(tree, str):
        yield path, tree


def variables(environment: Any) -> dict[str, str]:
    """A service's `environment`, in either of its forms; a variable without a value has ""."""
    if isinstance(environment, list):
        return {str(one).partition("=")[0]: str(one).partition("=")[2] for one in environment}
    return {str(name): str(value) for name, value in _mapping(environment).items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
