"""What an overlay must not change of the stack, and what it can't have: each refused by its place in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from webui_stack.overlay import fragment
from webui_stack.overlay.fragment import Overlay
from webui_stack.settings import environment, image_reference
from webui_stack.settings.image_reference import version_of
from webui_stack.settings.model import Settings

_WHERE = "stack_overlay"
_TOP = ("services", "networks", "volumes", "configs", "secrets")
# What may be added to Valkey and Postgres, and to the services that serve people.
_TO_DATA = (
    *("labels", "annotations", "environment", "volumes", "devices", "deploy", "logging", "sysctls", "ulimits"),
    *("shm_size", "cpus", "cpuset", "cpu_shares", "oom_score_adj", "group_add", "tmpfs"),
)
_TO_OTHERS = (
    *_TO_DATA,
    *("networks", "extra_hosts", "dns", "dns_search", "dns_opt", "hostname", "gpus", "runtime", "device_cgroup_rules"),
    *("cap_add", "depends_on", "configs", "secrets", "init", "stop_grace_period", "expose"),
)
# Key of a service of the stack -> what to do instead.
_INSTEAD = {
    "image": "set {image} instead, which lock, bundle and upgrade follow",
    "container_name": "remove it: runbooks, the watchdog and verify know the container by its name",
    "ports": "remove it: {ports}",
    "network_mode": "remove it: the services reach each other in openwebui-network",
    "networks": "remove it: only openwebui-network leads to people's data; let the other service join that",
    "healthcheck": "remove it: a deploy waits for the stack's own check",
    "restart": "remove it: the stack comes back by itself after a crash or a reboot",
    "mem_limit": "set {memory} instead",
    "pids_limit": "set {pids} instead",
    "read_only": "set open_webui_read_only instead",
    "scale": "set open_webui_replicas instead",
}
_IMAGES = {"redis": "valkey_image", "postgres": "postgres_image", "ollama": "ollama_image", "proxy": "proxy_image"}
_MEMORY = {"redis": "valkey_memory_limit_mb", "postgres": "postgres_memory_limit_mb"}
_PORTS = {
    "redis": "Valkey is not for anybody outside the stack",
    "postgres": "Postgres is not for anybody outside the stack",
    "ollama": "Ollama asks nobody for a password",
}
# Keys that no service can have.
_NEVER = {
    "build": "push the image to a registry, and name it: hosts build nothing, and a lock can't hold what they build",
    "profiles": "remove it: compose starts no service of a profile",
    "env_file": "write its variables under environment, so that releases and drift have them",
    "extends": "write the service out: a release keeps this file alone",
}
# Where the stack's own volumes and files are, in each of its containers.
_TAKEN = {
    "redis": ("/data", "/etc/valkey"),
    "postgres": ("/var/lib/postgresql/data", "/run/secrets/postgres-password"),
    "ollama": ("/root/.ollama",),
    "proxy": ("/data", "/etc/caddy", "/run/secrets/proxy-key"),
    "open-webui": ("/app/backend/data",),
}
_VOLUMES = ("redis-data", "open-webui", "postgres", "ollama", "proxy")
_NETWORK = "openwebui-network"
_CONTAINERS = re.compile(r"redis-valkey|open-webui(?:-postgres|-ollama|-proxy|-[0-9]+)?")
# ${NAME}, ${NAME:-default} and $NAME; $$ is a dollar.
_INTERPOLATION = re.compile(r"\$(?:\$|\{([A-Za-z0-9_]+)([^}]*)\}|([A-Za-z0-9_]+))")
_PUBLISHED = re.compile(r"(?:\[?[0-9a-fA-F.:]*\]?:)?([0-9]+):[0-9]+(?:/tcp)?")


def problems(settings: Settings) -> list[str]:
    """Every problem of the settings' overlay, a line each; nothing without one."""
    found = settings.overlay
    return [f"{_WHERE}/{line}" for line in _of_all(settings, found)] if found else []


def _of_all(settings: Settings, found: Overlay) -> Iterator[str]:
    yield from _top(settings, found)
    for name, service in found.services.items():
        where = f"services/{name}"
        if not isinstance(service, Mapping):
            yield f"{where}: expected a mapping, got {type(service).__name__}; write its keys below it"
            continue
        yield from (f"{where}/{key}: must not be set; {_NEVER[key]}" for key in service if key in _NEVER)
        if fragment.is_of_the_stack(name):
            yield from _of_the_stack(settings, name, service)
        else:
            yield from _own(settings, name, service)
        yield from _mounts(name, service)
        yield from _environment(settings, name, service)
    yield from _texts(settings, found)


def _top(settings: Settings, found: Overlay) -> Iterator[str]:
    for key in found.tree:
        if key in _TOP or key.startswith("x-"):
            if not isinstance(found.tree[key], Mapping | str):
                yield f"{key}: expected a mapping, got {type(found.tree[key]).__name__}; write its names below it"
        elif key == "name":
            yield "name: must not be set; remove it: the project is open-webui, and its containers are known by that"
        elif key == "include":
            yield "include: must not be set; write its services here: a release keeps this file alone"
        else:
            yield f"{key}: expected one of {', '.join(_TOP)}, got {key!r}; remove it"
    for key in _VOLUMES:
        if key in _names(found, "volumes"):
            yield f"volumes/{key}: must not be set; rename it: that is the stack's, see valkey_volume and its like"
    for key, network in _names(found, "networks").items():
        # Neither a release nor a teardown would know of a network that compose makes.
        if not isinstance(network, Mapping) or str(network.get("external", "")).lower() != "true":
            yield f"networks/{key}: expected external: true, got another; make it with `docker network create` first"
        elif key == _NETWORK and len(network) > 1:
            yield f"networks/{key}: expected only external: true, got more; see network_subnet"
    taken = [getattr(settings, name) for name in type(settings).model_fields if name.endswith("_volume")]
    for name in found.volumes():
        if name in taken:
            yield f"volumes: expected volumes of its own, got {name}, which has the stack's data; name another"


def _of_the_stack(settings: Settings, name: str, service: Mapping[str, Any]) -> Iterator[str]:
    where = f"services/{name}"
    if name not in settings.images:
        yield (
            f"{where}: expected a service of the stack as it is set, one of {', '.join(settings.images)}, or a name of "
            "its own, got neither; rename it"
        )
        return
    keys = _TO_DATA if name in ("redis", "postgres") else _TO_OTHERS
    for key in service:
        if key in keys or key in _NEVER or (key == "ports" and name == "proxy") or key.startswith("x-"):
            continue
        instead = _INSTEAD.get(key, f"remove it; an overlay may add {', '.join(keys)}").format(
            image=_IMAGES.get(name, "open_webui_image"),
            memory=_MEMORY.get(name, "open_webui_memory_limit_mb"),
            pids="valkey_pids_limit" if name == "redis" else "open_webui_pids_limit",
            ports=_PORTS.get(name, "set open_webui_bind and open_webui_port, or public_url"),
        )
        yield f"{where}/{key}: must not be set; {instead}"
    deploy = service.get("deploy")
    for key in deploy if isinstance(deploy, Mapping) else ():
        if key not in ("resources", "labels"):
            yield f"{where}/deploy/{key}: expected only resources and labels, got {key!r}; remove it"


def _own(settings: Settings, name: str, service: Mapping[str, Any]) -> Iterator[str]:
    where = f"services/{name}"
    image = service.get("image")
    if not re.fullmatch(r"[a-zA-Z0-9._-]+", name):
        yield f"{where}: expected a name of letters, digits and . _ -, got {name!r}; rename it"
    if not isinstance(image, str) or not image:
        yield f"{where}/image: expected an image, got none; name one with a fixed tag or digest"
    elif not image_reference.is_pinned_image(image):
        yield (
            f"{where}/image: expected an image reference with a fixed tag or digest, got {image!r}; "
            "write registry/name:version"
        )
    deploy = service.get("deploy")
    if settings.topology == "compose" and (
        "scale" in service or (isinstance(deploy, Mapping) and "replicas" in deploy)
    ):
        yield f"{where}: expected one container, got a number of them; write a service for each"
    if not service.get("networks") and not service.get("network_mode"):
        yield (
            f"{where}/networks: expected the networks it is to be in, got none; write networks: [{_NETWORK}] to let "
            "Open WebUI reach it"
        )
    if _CONTAINERS.fullmatch(str(service.get("container_name", ""))):
        yield f"{where}/container_name: expected a name of its own, got one of the stack's; rename it"
    ours = {settings.open_webui_port} if not settings.public_url else {settings.proxy_port, settings.proxy_http_port}
    ports = service.get("ports")
    for port in ports if isinstance(ports, list) else ():
        if _published(port) in ours:
            yield f"{where}/ports: expected a port of its own, got {_published(port)}, which the stack publishes"


def _published(port: Any) -> int | None:
    if isinstance(port, Mapping):
        text = str(port.get("published", "")) if str(port.get("protocol", "tcp")) == "tcp" else ""
    else:
        found = _PUBLISHED.fullmatch(str(port))
        text = found[1] if found else ""
    return int(text) if re.fullmatch("[0-9]{1,5}", text) else None


def _mounts(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    where = f"services/{name}/volumes"
    kind = "open-webui" if fragment.is_of_the_stack(name) and name not in _TAKEN else name
    for source, target, read_only in _mounted(service.get("volumes")):
        if target.rstrip("/") in _TAKEN.get(kind, ()):
            yield f"{where}: expected the stack's own at {target}, got another mount; choose another path"
        if source.startswith((".", "~")) or (source and "/" in source and not source.startswith("/")):
            yield f"{where}: expected a volume or an absolute path, got {source!r}; it is a path of the host"
        # A restore swaps their contents, and stops the stack's own services only.
        if source in _VOLUMES and not (source == "open-webui" and read_only):
            yield (
                f"{where}: expected no volume of the stack, got {source}; Open WebUI's may be mounted read-only, "
                "open-webui:PATH:ro"
            )


def _mounted(volumes: Any) -> Iterator[tuple[str, str, bool]]:
    """Source, target and whether it is read-only, of each mount in either form; an anonymous volume has no source."""
    for one in volumes if isinstance(volumes, list) else ():
        if isinstance(one, Mapping):
            source, target = (str(one.get(key, "")) for key in ("source", "target"))
            yield source, target, str(one.get("read_only", "")).lower() == "true"
            continue
        parts = str(one).split(":")
        if len(parts) == 1:
            yield "", parts[0], False
        else:
            yield parts[0], parts[1], "ro" in (parts[2].split(",") if len(parts) > 2 else ())


def _environment(settings: Settings, name: str, service: Mapping[str, Any]) -> Iterator[str]:
    where = f"services/{name}/environment"
    is_open_webui = fragment.is_of_the_stack(name) and name not in _IMAGES
    broken = environment.broken_variables(version_of(settings.open_webui_image)) if is_open_webui else {}
    owned = {*environment.OWNED, *environment.OWNED_WITH_A_DATABASE, *settings.sign_in_variables}
    owned = owned | settings.sign_in_secrets.keys() if is_open_webui else set()
    for variable, value in fragment.variables(service.get("environment")).items():
        if variable in owned or (name == "postgres" and variable.startswith(("POSTGRES_", "PG"))):
            yield f"{where}/{variable}: expected a variable of your own, got one this project sets; remove it"
        elif variable in broken:
            yield f"{where}/{variable}: must not be set; remove it: {broken[variable]}"
        elif is_open_webui and variable in settings.open_webui_secret_env:
            yield f"{where}/{variable}: expected one place for it, got two; keep the one in open_webui_secret_env"
        elif not _INTERPOLATION.fullmatch(value) and (what := environment.secret_part(variable, value)):
            yield (
                f"{where}/{variable}: expected no secret here, got a {what} that looks like one (value hidden); "
                f"{_hide(settings, variable)}"
            )


def _hide(settings: Settings, variable: str) -> str:
    if settings.topology == "swarm":
        return "make it a secret of the swarm (docker secret create), and name that under secrets as external"
    return f"write ${{{variable}}} and add {variable} to open_webui_secret_env"


def _texts(settings: Settings, found: Overlay) -> Iterator[str]:
    """Texts anywhere: secrets in clear, and variables that compose is to put in."""
    for path, text in fragment.scalars(found.tree):
        where = "/".join(path)
        in_environment = len(path) > 2 and path[0] == "services" and path[2] == "environment"
        if not in_environment and environment.has_secret(text):
            yield f"{where}: expected no secret here, got a text that looks like one (hidden); remove it"
        for one in _INTERPOLATION.finditer(text):
            name = one[1] or one[3]
            if not name:  # a dollar
                continue
            if settings.topology == "swarm":
                yield f"{where}: expected no ${{{name}}} in a swarm, which has no .env, got it; write the value"
            elif name in settings.open_webui_secret_env and not in_environment:
                yield (
                    f"{where}: expected ${{{name}}} under environment only, got it here, where everybody on the host "
                    "can read it; move it"
                )
            elif name not in settings.open_webui_secret_env and not re.match(":?-", one[2] or ""):
                yield f"{where}: expected variables of open_webui_secret_env, got ${{{name}}}; add it there"


def _names(found: Overlay, section: str) -> Mapping[str, Any]:
    value = found.tree.get(section)
    return value if isinstance(value, Mapping) else {}
