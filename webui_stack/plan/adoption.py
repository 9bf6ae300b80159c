"""Containers somebody made by hand, after the tutorial: whether they can be taken over, and what that changes."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from webui_stack.documents import document
from webui_stack.model import compose
from webui_stack.model.compose import Container as Observed
from webui_stack.plan import adopted_overlay
from webui_stack.plan.adopted_overlay import Given
from webui_stack.render.environment import container_environment, secret_names
from webui_stack.settings.model import Settings
from webui_stack.settings.types import HOST_OF_CONTAINERS

_VOLUME_SETTING = {
    "redis": "valkey_volume",
    "postgres": "postgres_volume",
    "ollama": "ollama_volume",
    "open-webui": "open_webui_volume",
    "proxy": "proxy_volume",
}
# What the tutorial has, and what can be taken over.
_OF_THE_TUTORIAL = {"redis", "open-webui"}
_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})")


# What a take-over drops, by its name in `stack_adopt_drops`; and what of it the tutorial or our own definition has.
_KEPT = {
    "networks": {compose.NETWORK, "bridge"},
    "labels": set[str](),
    "mounts": {"/data", "/app/backend/data"},
    "extra_hosts": set[str](),
    "devices": set[str](),
    "ports": {"8080/tcp"},
    "privileges": {"SETGID", "SETUID", "DAC_OVERRIDE", "CAP_SETGID", "CAP_SETUID", "CAP_DAC_OVERRIDE"},
}
# Labels that say how a container or an image was made, and that nobody acts on.
_OF_MAKERS = ("com.docker.compose.", "desktop.docker.io/", "org.opencontainers.image.")
# An Open WebUI's key that is shorter can be guessed; its own, where none is set, has 16 (12 bytes in base64).
_STRONG_KEY = 32


@dataclass(frozen=True)
class HandMade:
    """Containers made by hand.

    Of open-webui: its own variables (names), `INSIDE -> ADDRESS:PORT`, its version, the length of its secret key (0: it
    has none). Of each container in `extras`: what it has beyond the tutorial, by kind (`stack_adopt_drops`).
    """

    variables: frozenset[str]
    ports: tuple[str, ...]
    version: str
    key_length: int = 0
    extras: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    given: Mapping[str, Given] = field(default_factory=dict, compare=False)


class Port(TypedDict):
    """A port of a container, published at an address of the host."""

    address: str
    outside: int
    inside: str


class OpenWebUI(TypedDict):
    """Names of the variables that its image does not have. `version` is "", `key_length` 0 where there is none."""

    variables: list[str]
    ports: list[Port]
    version: str
    key_length: int


class Document(TypedDict):
    """What the verb `hand_made` of the host's program says (`host/verbs/hand_made.py`). It has no variable's value."""

    containers: dict[str, Given]
    open_webui: OpenWebUI | None


NONE = HandMade(frozenset(), (), "")
"""A host without such containers."""


def parse(content: Mapping[str, Any]) -> HandMade:
    """Read the document of the host's program. Raises `document.IncompleteError` naming the section it can't trust."""
    whole = document.checked("hand_made", _form(), content)
    extras = {name: _extras(given) for name, given in whole["containers"].items()}
    found = replace(NONE, extras={name: kinds for name, kinds in extras.items() if kinds}, given=whole["containers"])
    one = whole["open_webui"]
    if one is None:
        return found
    version = _VERSION.search(one["version"])
    return replace(
        found,
        variables=frozenset(one["variables"]),
        # One for IPv4 and one for IPv6 say the same.
        ports=tuple(f"{at['inside']} -> {_address(at)}" for at in one["ports"] if at["address"] != "::"),
        version=version[0] if version else "",
        key_length=one["key_length"],
    )


@cache
def _form() -> TypeAdapter[Document]:
    return TypeAdapter(Document)


def _address(port: Port) -> str:
    host = port["address"]
    return f"[{host}]:{port['outside']}" if ":" in host else f"{host}:{port['outside']}"


def _extras(given: Given) -> dict[str, tuple[str, ...]]:
    """What of it neither the tutorial nor our own definition has."""
    kinds: Mapping[str, Any] = {**given, "mounts": [mount["target"] for mount in given["mounts"]]}
    extras = {
        kind: tuple(
            one for one in what if not (one in _KEPT[kind] or (kind == "labels" and one.startswith(_OF_MAKERS)))
        )
        for kind, what in kinds.items()
    }
    return {kind: what for kind, what in extras.items() if what}


def foreign(containers: Mapping[str, Observed], directory: str) -> list[str]:
    """Names of containers that have our names and were not made by the project in `directory`."""
    return [name for name, container in containers.items() if container.directory != directory]


def refusals(containers: Mapping[str, Observed], settings: Settings) -> list[str]:
    """Why the containers that are there can't be replaced, as `what: expected, got, what to do`.

    A container of another origin needs the operator's word (`stack_adopt`); one whose data is elsewhere
    than the settings say would have a successor without it.
    """
    found = []
    strangers = foreign(containers, settings.stack_dir)
    for service, name in compose.containers_of(settings.images).items():
        container = containers.get(name)
        if container is None:
            continue
        if name in strangers and service not in _OF_THE_TUTORIAL:
            found.append(
                f"container {name}: expected one made by this project, or none, got one made by {container.maker}; "
                "rename it or remove it"
            )
            continue
        if name in strangers and not settings.stack_adopt:
            found.append(
                f"container {name}: expected one made by this project, got one made by {container.maker}; "
                "set stack_adopt = True to take it over with its data (docs/how-to/adopt.md)"
            )
        setting = _VOLUME_SETTING["open-webui" if compose.is_process(service) else service]
        data = container.mounts.get(compose.data_of(service))
        if data != getattr(settings, setting):
            found.append(f"container {name}: {_other_data(setting, getattr(settings, setting), data)}")
    return found


def _other_data(setting: str, wanted: str, data: str | None) -> str:
    start = f"expected its data in the volume {wanted}, got"
    if data is None:
        return f"{start} none, so that it is lost with the container; copy it into that volume first (docker cp)"
    if data.startswith("/"):
        return f"{start} the host's folder {data}; copy it into a volume, make the container anew with that"
    return f"{start} {data}; set {setting} = {data!r} to keep using that"


def dropped(found: HandMade, strangers: Container[str], settings: Settings) -> list[str]:
    """Refuse to replace a container by one that lacks what the operator gave it, unless they let it go by its kind."""
    problems = []
    for name, kept in _refused(found, strangers, settings).items():
        way = "put it into an overlay (stack_overlay)" if _can_keep(found, name, kept) else "keep that container"
        problems.append(
            f"container {name}: expected nothing that a take-over drops, got {_shown(kept)}; {way}, "
            f"or let it go with stack_adopt_drops = {sorted(kept)}"
        )
    return problems


def overlay(found: HandMade, strangers: Container[str], settings: Settings) -> str:
    """The overlay that keeps what `dropped` refuses, as far as one can; "" where it can keep nothing."""
    refused = _refused(found, strangers, settings)
    services = {_service(name): name for name in refused}
    wanted = {service: _can_keep(found, name, refused[name]) for service, name in services.items()}
    wanted = {service: kinds for service, kinds in wanted.items() if kinds}
    if not wanted:
        return ""
    comments = [
        "What containers made by hand have and the stack has not. Read it, then name this file in stack_overlay."
    ]
    for service, name in services.items():
        rest = _without(refused[name], wanted.get(service, {}))
        if rest:
            comments.append(f"Not kept: {name}: {_shown(rest)}")
    return adopted_overlay.text(wanted, {_service(name): given for name, given in found.given.items()}, comments)


def _refused(found: HandMade, strangers: Container[str], settings: Settings) -> dict[str, dict[str, tuple[str, ...]]]:
    """What each container would lose, without what the operator lets go."""
    lost = {
        name: {kind: what for kind, what in extras.items() if kind not in settings.stack_adopt_drops}
        for name, extras in _lost(found, settings).items()
        if name in strangers
    }
    return {name: kinds for name, kinds in lost.items() if kinds}


def _can_keep(found: HandMade, name: str, extras: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    given = found.given.get(name)
    return adopted_overlay.can_keep(_service(name), extras, given) if given else {}


def _service(container: str) -> str:
    return next(one for one in _OF_THE_TUTORIAL if compose.container_of(one) == container)


def _lost(found: HandMade, settings: Settings) -> dict[str, dict[str, tuple[str, ...]]]:
    """What containers have beyond the tutorial and beyond the settings: these may name the server itself."""
    ours = f"{HOST_OF_CONTAINERS}:" if settings.asks_its_host else None
    lost = {}
    for name, extras in found.extras.items():
        kept = {kind: list(what) for kind, what in _in_overlay(name, settings).items()}
        kept["extra_hosts"] = [
            *kept.get("extra_hosts", ()),
            *(one for one in extras.get("extra_hosts", ()) if ours and one.startswith(ours)),
        ]
        lost[name] = _without(extras, kept)
    return {name: kinds for name, kinds in lost.items() if kinds}


def _in_overlay(name: str, settings: Settings) -> Mapping[str, set[str]]:
    return adopted_overlay.has(settings.overlay, _service(name)) if settings.overlay else {}


def _without(extras: Mapping[str, tuple[str, ...]], kept: Mapping[str, Container[str]]) -> dict[str, tuple[str, ...]]:
    rest = {kind: tuple(one for one in what if one not in kept.get(kind, ())) for kind, what in extras.items()}
    return {kind: what for kind, what in rest.items() if what}


def _shown(extras: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{kind} {', '.join(sorted(what))}" for kind, what in sorted(extras.items()))


def too_new(found: HandMade, settings: Settings) -> list[str]:
    """Refuse to put an older Open WebUI before a newer one's database, which it can't read."""
    wanted = _VERSION.search(settings.open_webui_image.partition("@")[0].rpartition(":")[2])
    running = _VERSION.search(found.version)
    if wanted and running and _numbers(running) > _numbers(wanted):
        return [
            f"open_webui_image: expected {running[0]} or newer, which runs there, got {wanted[0]}; "
            "name that version or a newer one: its database can't be read by an older one"
        ]
    return []


def _numbers(version: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(number) for number in version.groups())


def changes(found: HandMade, settings: Settings) -> list[str]:
    """What people will notice once the container is ours: variables, address, logins."""
    kept = {*container_environment(settings, "open-webui"), *settings.secret_variables, *secret_names(settings)}
    lost = sorted(found.variables - kept)
    lines = []
    if lost:
        lines.append(
            f"open-webui: set by hand and not in the settings: {', '.join(lost)}; "
            "put what you need into open_webui_env or open_webui_secret_env first"
        )
    before = ", ".join(found.ports) or "no published port"
    lines.append(f"open-webui: {before} becomes {settings.open_webui_bind}:{settings.open_webui_port}")
    if settings.open_webui_persistent_config:
        lines.append(
            "open-webui: what its database saved at its first start goes on overruling variables, logins of 4 weeks "
            "for one; runbooks/doctor.py lists it"
        )
    lines += [f"{name}: loses {_shown(extras)}" for name, extras in _lost(found, settings).items()]
    if settings.open_webui_secret_key:
        lines.append("open-webui: people stay signed in only if open_webui_secret_key is the key it has")
    elif not found.key_length:
        lines.append("open-webui: everybody signs in once more, since it has no key that could be kept")
    elif found.key_length < _STRONG_KEY:
        lines.append(
            "open-webui: its secret key is kept, so people stay signed in; it is weak "
            f"({found.key_length} characters): renew it with runbooks/rotate.py when people may sign in once more"
        )
    return lines
