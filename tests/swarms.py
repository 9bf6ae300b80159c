"""A swarm of three hosts: their settings and nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.defaults import settings
from webui_stack.model.swarm import LABELS, Node
from webui_stack.settings.model import Settings

COMMON = {
    "topology": "swarm",
    "public_url": "https://chat.example.org",
    "open_webui_shared_dir": "/srv/shared/open-webui",
}
DATA_NODE = {"swarm_manager": True, "swarm_runs": ["data", "proxy", "open-webui"]}
TRUE = "true"


def of(**data: Any) -> Settings:
    return settings(**{**COMMON, **data})


def three(**data: Any) -> dict[str, Settings]:
    return {"a": of(**DATA_NODE, **data), "b": of(**data), "c": of(**data)}


def node(name: str, *what: str, number: int = 1, **changes: Any) -> Node:
    labels = {LABELS[one]: TRUE for one in what}
    made = Node(f"{name}{number}", name, "worker", "active", labels, "ready", "", "")
    return replace(made, **changes)


A = node("a", "data", "proxy", "open-webui", role="manager", reachable="reachable", address="198.18.0.11:2377")
B, C = node("b", "open-webui"), node("c", "open-webui")
