"""The Jinja environment of `templates/`. Pure: the same template and context give the same text."""

from __future__ import annotations

import shlex
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

from webui_stack import shipped
from webui_stack.model import compose


def _in_caddyfile(value: str) -> str:
    """A token of a Caddyfile in quotes; the settings refuse a backslash and placeholders."""
    return '"' + value.replace('"', '\\"') + '"'


_environment = Environment(
    loader=FileSystemLoader(shipped.path("templates")),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 nothing here is HTML; each template quotes for its own format
    bytecode_cache=FileSystemBytecodeCache(),  # compiling them takes longer than all else before a no-change run acts
)
_environment.filters["quoted"] = compose.quoted
_environment.filters["quote"] = shlex.quote
_environment.filters["published"] = compose.published
_environment.filters["in_caddyfile"] = _in_caddyfile


def render(name: str, **context: Any) -> str:
    """The text of a template, with a line break at its end. Fails where the template needs what `context` lacks."""
    return _environment.get_template(name).render(**context) + "\n"
