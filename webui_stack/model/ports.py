"""Who has the ports of a host that the settings publish. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from webui_stack.documents import document
from webui_stack.model import compose
from webui_stack.settings.model import Settings


@dataclass(frozen=True)
class Taken:
    """A port that somebody listens on; `container` is whose port Docker publishes there, `program` who listens."""

    address: str
    port: int
    program: str = ""
    container: str = ""


def parse(published: Iterable[document.Published], listening: Iterable[document.Listener]) -> tuple[Taken, ...]:
    """Read who listens where, of the document's section "machine"."""
    return (
        *(Taken(one["address"], one["port"], container=one["container"]) for one in published),
        *(Taken(one["address"], one["port"], program=_named(one)) for one in listening),
    )


def _named(one: document.Listener) -> str:
    return f"{one['program']} (pid {one['pid']})" if one["program"] else "another program"


def wanted(settings: Settings) -> list[tuple[str, str, int]]:
    """Setting, address and port of each port that this host publishes."""
    if settings.topology == "swarm":
        published = [("public_url", settings.proxy_port), ("proxy_http_port", settings.proxy_http_port)]
        return [(name, "*", port) for name, port in published if port and settings.runs("proxy")]
    if settings.public_url:
        published = [("public_url", settings.proxy_port), ("proxy_http_port", settings.proxy_http_port)]
        return [(name, address, port) for name, port in published if port for address in settings.proxy_addresses]
    return [("open_webui_port", settings.open_webui_bind, settings.open_webui_port)]


def refusals(taken: Iterable[Taken], settings: Settings) -> list[str]:
    """Every port that somebody else has; the stack's own containers are nobody else."""
    taken = list(taken)
    found = []
    for setting, address, port in wanted(settings):
        there = [one for one in taken if one.port == port and _meet(address, one.address)]
        containers = [one.container for one in there if one.container]
        others = [name for name in containers if not _is_ours(name)]
        programs = [one.program for one in there if one.program]
        if others:
            holder = f"the container {others[0]}"
        elif containers or not programs:
            continue
        else:
            holder = programs[0]
        found.append(
            f"port {port} ({setting}): expected it to be free on this host, got it taken by {holder}; stop that, or "
            "choose another port"
        )
    return list(dict.fromkeys(found))  # who has a port on all addresses has it on each


def _is_ours(container: str) -> bool:
    # Compose calls a container that it is about to replace ID_NAME, and is killed sometimes.
    name = re.sub(r"^[0-9a-f]{12}_", "", container)
    return re.fullmatch(compose.OURS, name) is not None or container.startswith(f"{compose.STACK}_")


def _meet(one: str, other: str) -> bool:
    """Whether two sockets on one port are in each other's way, by their addresses."""
    if one == other or "*" in (one, other):
        return True
    if ":" in one or ":" in other:
        return "::" in (one, other) and ":" in one and ":" in other
    return "0.0.0.0" in (one, other)  # noqa: S104
