"""What an overlay keeps of containers made by hand: read from one that is there, and written for one that is not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from webui_stack.overlay.fragment import Overlay, variables

# Service -> kinds of `stack_adopt_drops` that an overlay may give it (`overlay_contract`).
_MAY_HAVE = {
    "open-webui": ("networks", "labels", "mounts", "extra_hosts", "devices", "privileges"),
    "redis": ("labels", "mounts", "devices"),
}
# Names of the stack's own volumes in compose.yaml.
_TAKEN = ("redis-data", "open-webui", "postgres", "ollama", "proxy")
# Of a driver without a name, which is NVIDIA's (`docker run --gpus`).
_GPU = "GPU"


class Mounted(TypedDict):
    """A mount: `source` is a volume's name, or a path of the host."""

    target: str
    kind: str
    source: str
    writable: bool


class Given(TypedDict):
    """What a container was given, by the kinds of `stack_adopt_drops`; labels without those of its image.

    The value of a label is None where it may be a secret.
    """

    networks: list[str]
    labels: dict[str, str | None]
    mounts: list[Mounted]
    extra_hosts: list[str]
    devices: list[str]
    ports: list[str]
    privileges: list[str]


Extras = Mapping[str, Sequence[str]]
"""Things by kind, as `plan/adoption` names them."""


def has(found: Overlay, service: str) -> dict[str, set[str]]:
    """What an overlay gives a service, by kind and by the names that Docker has for it."""
    one = _mapping(found.services.get(service))
    networks = _mapping(found.tree.get("networks"))
    resources = _mapping(_mapping(one.get("deploy")).get("resources"))
    gpus = _list(_mapping(resources.get("reservations")).get("devices")) or _list(one.get("gpus")) or [one.get("gpus")]
    drivers = {str(_mapping(gpu).get("driver", _GPU)) for gpu in gpus if gpu}
    drivers |= {_GPU, "nvidia"} if drivers & {_GPU, "nvidia"} else set()
    capabilities = {str(name).removeprefix("CAP_") for name in _list(one.get("cap_add"))}
    return {
        "networks": {str(_mapping(networks.get(name)).get("name", name)) for name in _names(one.get("networks"))},
        "labels": set(variables(one.get("labels"))),
        "mounts": {_target(mount) for mount in _list(one.get("volumes"))},
        "extra_hosts": set(_hosts(one.get("extra_hosts"))),
        "devices": {_device(str(device)) for device in _list(one.get("devices"))} | drivers,
        "privileges": capabilities | {f"CAP_{name}" for name in capabilities},
    }


def can_keep(service: str, extras: Extras, given: Given) -> dict[str, tuple[str, ...]]:
    """The part of the things that an overlay may give the service, with a value that is known."""
    can = {
        "labels": {name for name, value in given["labels"].items() if value is not None},
        "mounts": {mount["target"] for mount in given["mounts"] if mount["kind"] in ("volume", "bind")},
        "privileges": {name for name in given["privileges"] if name != "privileged" and not name.startswith("user ")},
    }
    found = {
        kind: tuple(one for one in extras.get(kind, ()) if one in can.get(kind, {one}))
        for kind in _MAY_HAVE.get(service, ())
    }
    return {kind: what for kind, what in found.items() if what}


def text(wanted: Mapping[str, Extras], given: Mapping[str, Given], comments: Sequence[str]) -> str:
    """The overlay, in YAML, with comments above it. `wanted` and `given` are by service; `wanted` is of `can_keep`."""
    lines = [*(f"# {comment}" for comment in comments), "services:"]
    volumes: dict[str, str] = {}
    for service, extras in wanted.items():
        lines += [f"  {service}:", *(f"    {line}" for line in _service(extras, given[service], volumes))]
    networks = sorted({name for extras in wanted.values() for name in extras.get("networks", ())})
    if networks:
        lines += ["networks:", *(f"  {_quoted(name)}: {{external: true}}" for name in networks)]
    if volumes:
        lines.append("volumes:")
        lines += [f"  {_quoted(key)}: {{external: true, name: {_quoted(name)}}}" for key, name in volumes.items()]
    return "\n".join(lines) + "\n"


def _service(extras: Extras, given: Given, volumes: dict[str, str]) -> Iterator[str]:
    """The lines of a service. Adds to `volumes` those that it mounts, by their key."""
    for kind, key in (("networks", "networks"), ("extra_hosts", "extra_hosts"), ("privileges", "cap_add")):
        if extras.get(kind):
            yield f"{key}: [{', '.join(map(_quoted, extras[kind]))}]"
    if extras.get("labels"):
        yield "labels:"
        yield from (f"  {_quoted(name)}: {_quoted(given['labels'][name] or '')}" for name in extras["labels"])
    mounts = [mount for mount in given["mounts"] if mount["target"] in extras.get("mounts", ())]
    if mounts:
        yield "volumes:"
    for mount in mounts:
        source = mount["source"]
        if mount["kind"] == "volume":
            source = f"kept-{source}" if source in _TAKEN else source
            volumes[source] = mount["source"]
        read_only = "" if mount["writable"] else ", read_only: true"
        where = f"source: {_quoted(source)}, target: {_quoted(mount['target'])}"
        yield f"  - {{type: {mount['kind']}, {where}{read_only}}}"
    devices = extras.get("devices", ())
    if paths := [one for one in devices if one.startswith("/")]:
        yield f"devices: [{', '.join(_quoted(one if ':' in one else f'{one}:{one}') for one in paths)}]"
    drivers = {"nvidia" if one == _GPU else one for one in devices if not one.startswith("/")}
    if drivers:
        gpus = ", ".join(f"{{driver: {_quoted(one)}, count: all, capabilities: [gpu]}}" for one in sorted(drivers))
        yield f"deploy: {{resources: {{reservations: {{devices: [{gpus}]}}}}}}"


def _quoted(value: str) -> str:
    """A text in YAML, which takes JSON's; a dollar is one for compose as well."""
    return json.dumps(value.replace("$", "$$"))


def _target(mount: Any) -> str:
    if isinstance(mount, Mapping):
        return str(mount.get("target", ""))
    parts = str(mount).split(":")
    return parts[0] if len(parts) == 1 else parts[1]


def _hosts(given: Any) -> Iterator[str]:
    """Each as NAME:ADDRESS, as Docker has it."""
    if isinstance(given, Mapping):
        yield from (f"{name}:{address}" for name, address in given.items())
    else:
        yield from (str(one).replace("=", ":", 1) for one in _list(given))


def _device(given: str) -> str:
    """As Docker's answer is read: the path alone where both are the same, and without its rights."""
    outside, _, rest = given.partition(":")
    inside = rest.partition(":")[0]
    return f"{outside}:{inside}" if inside.startswith("/") and inside != outside else outside


def _names(given: Any) -> list[str]:
    return [str(name) for name in given] if isinstance(given, Mapping | list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
