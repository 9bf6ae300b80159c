"""Containers somebody made by hand, after the tutorial: whether they can be taken over, and what that changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from webui_stack import compose
from webui_stack.compose import Container
from webui_stack.settings import Settings
from webui_stack.templates import open_webui_environment, secret_names

# Names only: a value may be a secret. The image's own variables come with `image`.
COMMAND = """
names='{{range .Config.Env}}{{index (split . "=") 0}}{{println}}{{end}}'
image=$(docker inspect --type container --format '{{.Image}}' open-webui 2>/dev/null) || exit 0
docker inspect --type container --format "$names" open-webui | sed '/./s/^/set /'
docker image inspect --format "$names" "$image" | sed '/./s/^/image /'
docker port open-webui | sed 's/^/port /'
version=$(docker exec open-webui curl --silent --max-time 4 http://127.0.0.1:8080/api/version 2>/dev/null) &&
  echo "version $version"
true
"""

_VOLUME_SETTING = {
    "redis": "valkey_volume",
    "postgres": "postgres_volume",
    "open-webui": "open_webui_volume",
    "proxy": "proxy_volume",
}
# What the tutorial has, and what can be taken over.
_OF_THE_TUTORIAL = {"redis", "open-webui"}
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class HandMade:
    """A container open-webui made by hand: its own variables (names), `INSIDE -> ADDRESS:PORT`, its version."""

    variables: frozenset[str]
    ports: tuple[str, ...]
    version: str


def parse(lines: Iterable[str]) -> HandMade:
    """Read `COMMAND`'s output; the version is "" where the container does not run."""
    found: dict[str, list[str]] = {"set": [], "image": [], "port": [], "version": []}
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind in found:
            found[kind].append(rest)
    version = _VERSION.search("".join(found["version"]))
    return HandMade(
        frozenset(found["set"]) - frozenset(found["image"]),
        # One line for IPv4 and one for IPv6 say the same.
        tuple(port for port in found["port"] if "[::]" not in port),
        version[0] if version else "",
    )


def foreign(containers: Mapping[str, Container], directory: str) -> list[str]:
    """Names of containers that have our names and were not made by the project in `directory`."""
    return [name for name, container in containers.items() if container.directory != directory]


def refusals(containers: Mapping[str, Container], settings: Settings) -> list[str]:
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
                "set stack_adopt = True to take it over with its data (docs/operations.md, Adoption)"
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
    kept = {*open_webui_environment(settings), *settings.open_webui_secret_env, *secret_names(settings)}
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
    if "WEBUI_SECRET_KEY" not in found.variables or not settings.open_webui_secret_key:
        lines.append("open-webui: everybody signs in once more, since the key that signs logins is a new one")
    return lines
