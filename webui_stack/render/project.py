"""The stack's project on a host: compose.yaml or stack.yaml, and the files of Valkey, proxy and secrets."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from webui_stack.model import compose, docker, swarm
from webui_stack.render import outbound
from webui_stack.render.environment import container_environment, secret_names
from webui_stack.render.template import render
from webui_stack.settings.model import Settings

# Open WebUI listens on it within its container.
OPEN_WEBUI_PORT = 8080
# Topology -> the file below `stack_dir` that says what runs.
DEFINITION = {"compose": "compose.yaml", "swarm": "stack.yaml"}
# Name of a config in the swarm -> the file below `stack_dir` it is made of.
CONFIGS = {"caddyfile": "proxy/Caddyfile", "certificate": "proxy/certificate.pem"}
# Service of the swarm -> the variable of stack.yaml that has its image's id.
IMAGE_VARIABLES = {
    "redis": "VALKEY_IMAGE",
    "postgres": "POSTGRES_IMAGE",
    "ollama": "OLLAMA_IMAGE",
    "open-webui": "OPEN_WEBUI_IMAGE",
    "proxy": "PROXY_IMAGE",
}
# Files that tell a `stack_dir` of this project from a folder of others (`host/files.py`, `may_own`).
OWN_MARKS = ["secrets/valkey-password", "watchdog.sh"]
# Folder below `stack_dir` -> the service that reads its files only once, at its start.
_MOUNTED = {"valkey": "redis", "proxy": "proxy"}


def files(settings: Settings, server: str = "") -> dict[str, str]:
    """The stack's files by path below `stack_dir`, its definition first. None of them holds a secret.

    `server` is the version of the host's engine, "" where it has none yet. In a swarm all files are on the host with
    the data.
    """
    if not settings.runs("data"):
        return {}
    valkey = {
        "valkey/valkey.conf": render("valkey.conf.j2", settings=settings),
        "valkey/start.sh": render("valkey-start.sh.j2"),
    }
    proxy = _proxy(settings) if settings.public_url else {}
    if settings.topology == "swarm":
        definition = _stack(settings, valkey, proxy)
    else:
        definition = render(
            "compose.yaml.j2",
            settings=settings,
            environments={
                replica: container_environment(settings, replica)
                | ({"ENABLE_DB_MIGRATIONS": "false"} if number else {})
                for number, replica in enumerate(settings.open_webui_services)
            },
            secret_names=[*secret_names(settings), *settings.secret_variables],
            valkey_files_sha256=_sha256("".join(valkey.values())),
            proxy_files_sha256=_sha256("".join(proxy.values())),
            **_outbound(settings),
        )
    if not docker.knows_start_interval(server):
        definition = without_start_interval(definition)
    overlay = {compose.OVERLAY: settings.overlay.text} if settings.overlay else {}
    return {DEFINITION[settings.topology]: definition, **overlay, **valkey, **proxy}


def host_files(settings: Settings, server: str) -> dict[str, str]:
    """The stack's files by absolute path, for an engine of this version."""
    return {f"{settings.stack_dir}/{path}": text for path, text in files(settings, server).items()}


def unwanted(settings: Settings) -> list[str]:
    """Files of the stack, by absolute path, that these settings do not want; earlier ones may have wanted them."""
    return [] if settings.overlay else [f"{settings.stack_dir}/{compose.OVERLAY}"]


def check_command(settings: Settings, place: Callable[[str], str]) -> str:
    """A command that succeeds when compose, or the swarm, would take the stack's definition with its overlay.

    `place` tells where a file of the stack is, by the path that it will have.
    """
    names = [DEFINITION[settings.topology], *([compose.OVERLAY] if settings.overlay else [])]
    files = [place(f"{settings.stack_dir}/{name}") for name in names]
    if settings.topology == "swarm":
        return _check_stack_command(settings, files)
    return compose.command(settings.stack_dir, "config", "--quiet", files=files)


def _stack(settings: Settings, valkey: Mapping[str, str], proxy: Mapping[str, str]) -> str:
    configs = {name: (path, _sha256(proxy[path])) for name, path in CONFIGS.items() if path in proxy}
    return render(
        "stack.yaml.j2",
        settings=settings,
        labels=swarm.LABELS,
        # A container of its own migrates (host/data/migrator.py).
        # The swarm puts a task's number there: it numbers a service's replicas from 1, and keeps to these numbers.
        environment=container_environment(settings, "open-webui.{{.Task.Slot}}") | {"ENABLE_DB_MIGRATIONS": "false"},
        **_outbound(settings),
        valkey_files_sha256=_sha256("".join(valkey.values())),
        configs=configs,
        secrets=stack_secrets(settings),
    )


def _outbound(settings: Settings) -> dict[str, Any]:
    """What the containers need to reach others. Caddy asks others for certificates alone."""
    trust, proxy = outbound.trust(settings), outbound.https_proxy(settings)
    return {
        "before_start": outbound.before_start(settings),
        "ollama_environment": {"OLLAMA_HOST": "0.0.0.0:11434", **trust, **proxy},
        "proxy_environment": trust | (proxy if settings.proxy_tls == "acme" else {}),
    }


def without_start_interval(definition: str) -> str:
    """The definition for an engine that does not know the key. An operator's text is quoted, so it keeps its lines."""
    return re.sub(r"(?m)^ *start_interval: .*\n", "", definition)


def _proxy(settings: Settings) -> dict[str, str]:
    """The proxy's files; the key of a certificate is with the secrets."""
    found = {
        "proxy/Caddyfile": render(
            "Caddyfile.j2", settings=settings, services=settings.open_webui_services, port=OPEN_WEBUI_PORT
        )
    }
    if settings.proxy_tls == "files" and settings.proxy_certificate:
        text = Path(settings.proxy_certificate).expanduser().read_text(encoding="ascii")
        found["proxy/certificate.pem"] = text.rstrip("\n") + "\n"
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def mounted(texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Service -> SHA-256 of the files mounted into it, by path below `stack_dir`."""
    found: dict[str, dict[str, str]] = {}
    for path, text in texts.items():
        if service := _MOUNTED.get(path.partition("/")[0]):
            found.setdefault(service, {})[path] = _sha256(text)
    return found


def acl_template(settings: Settings) -> str:
    """Valkey's users.acl. The host puts the hashes of the passwords in it (`host/secrets.py`)."""
    return render("users.acl.j2", settings=settings).rstrip("\n")


def env_template(settings: Settings) -> str:
    """The variables that compose.yaml names, as the file .env. The host puts the secrets in it (`host/secrets.py`)."""
    return render("env.j2", settings=settings).rstrip("\n")


def containers(settings: Settings) -> list[str]:
    """The names of the stack's containers, in the order they start."""
    return list(compose.containers_of(settings.images).values())


def ollama(settings: Settings) -> dict[str, str]:
    """Where the host finds the stack's Ollama, as verbs ask for it (`host/ollama.py`)."""
    in_swarm = settings.topology == "swarm"
    return {
        "container": f"{compose.STACK}_ollama" if in_swarm else compose.container_of("ollama"),
        "network": compose.NETWORK,
        "gateway": compose.GATEWAY if in_swarm else "",
    }


def volumes(settings: Settings) -> list[str]:
    """The Docker volumes that hold the stack's data; in a swarm, processes have none."""
    found = [settings.valkey_volume]
    if settings.topology == "compose":
        found.append(settings.open_webui_volume)
    if settings.database_kind == "postgres":
        found.append(settings.postgres_volume)
    if settings.ollama == "service":
        found.append(settings.ollama_volume)
    if settings.public_url:
        found.append(settings.proxy_volume)
    return found


def stack_secrets(settings: Settings) -> dict[str, str]:
    """Name of a secret in the swarm -> the variable of stack.yaml that has its hash."""
    found = {"open-webui-env": "OPEN_WEBUI_ENV_SHA256"}
    if settings.database_kind == "postgres":
        found["postgres-password"] = "POSTGRES_PASSWORD_SHA256"
    if settings.proxy_tls == "files":
        found["proxy-key"] = "PROXY_KEY_SHA256"
    return found


def _check_stack_command(settings: Settings, files: Sequence[str]) -> str:
    """A command that succeeds when `docker stack deploy` would take the files."""
    variables = [*IMAGE_VARIABLES.values(), *stack_secrets(settings).values(), "VALKEY_ACL_SHA256"]
    given = " ".join(f"{name}=x" for name in variables)
    return (
        f'env -i PATH="$PATH" HOME="${{HOME:-/root}}" OPEN_WEBUI_REPLICAS=1 OPEN_WEBUI_ORDER=start-first {given} '
        f"docker stack config {' '.join(f'--compose-file {shlex.quote(file)}' for file in files)} >/dev/null"
    )
