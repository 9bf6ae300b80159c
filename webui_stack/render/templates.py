"""The files that land on a host, rendered from `templates/`. Pure: same settings, same text."""

from __future__ import annotations

import hashlib
import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from pydantic import SecretStr

from webui_stack.host import protocol
from webui_stack.model import compose, docker, doctor_observed, survey, swarm
from webui_stack.model.machine import Machine
from webui_stack.render import host_program
from webui_stack.settings import shipped
from webui_stack.settings.model import VECTOR_POOL, Settings
from webui_stack.settings.sources import HiddenItems, HiddenLines, Supplied

_FOLDER = shipped.path("templates")
_environment = Environment(
    loader=FileSystemLoader(_FOLDER),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 nothing here is HTML; each template quotes for its own format
    bytecode_cache=FileSystemBytecodeCache(),  # compiling them takes longer than all else before a no-change run acts
)
# Of Open WebUI in its container.
OPEN_WEBUI_PORT = 8080

_environment.filters["quoted"] = compose.quoted
_environment.filters["quote"] = shlex.quote
_environment.filters["published"] = compose.published


def secret_names(settings: Settings) -> list[str]:
    """Open WebUI's variables that `templates/env.j2` defines."""
    database = [] if settings.database_kind == "sqlite" else ["DATABASE_URL", "PGVECTOR_DB_URL"]
    return ["WEBUI_SECRET_KEY", "REDIS_URL", "WEBSOCKET_REDIS_URL", *database]


# What `rotate_secrets` names -> its files below `stack_dir`, that of what an operator may supply first.
SECRET_FILES = {
    "valkey_password": ["secrets/valkey-password", "secrets/valkey-monitor-password"],
    "open_webui_secret_key": ["secrets/webui-secret-key"],
    "postgres_password": ["secrets/postgres-password"],
    "probe_password": ["secrets/probe-password"],
}


def project(settings: Settings, server: str = "") -> dict[str, str]:
    """The stack's files by path below `stack_dir`, its definition first. None of them holds a secret.

    `server` is the version of the host's engine, "" where it has none yet. In a swarm all files are on the host with
    the data.
    """
    if not settings.runs("data"):
        return {}
    valkey = {
        "valkey/valkey.conf": _render("valkey.conf.j2", settings=settings),
        "valkey/start.sh": _render("valkey-start.sh.j2"),
    }
    proxy = _proxy(settings) if settings.public_url else {}
    environment = open_webui_environment(settings)
    if settings.topology == "swarm":
        definition = _stack(settings, valkey, proxy)
    else:
        definition = _render(
            "compose.yaml.j2",
            settings=settings,
            environment=environment,
            followers_environment=environment | {"ENABLE_DB_MIGRATIONS": "false"},
            secret_names=[*secret_names(settings), *sorted(settings.open_webui_secret_env)],
            valkey_files_sha256=_sha256("".join(valkey.values())),
            proxy_files_sha256=_sha256("".join(proxy.values())),
        )
    if not docker.knows_start_interval(server):
        definition = _without_start_interval(definition)
    return {DEFINITION[settings.topology]: definition, **valkey, **proxy}


def _stack(settings: Settings, valkey: Mapping[str, str], proxy: Mapping[str, str]) -> str:
    configs = {name: (path, _sha256(proxy[path])) for name, path in CONFIGS.items() if path in proxy}
    return _render(
        "stack.yaml.j2",
        settings=settings,
        labels=swarm.LABELS,
        # A container of its own migrates (host/data/migrator.py).
        environment=open_webui_environment(settings) | {"ENABLE_DB_MIGRATIONS": "false"},
        valkey_files_sha256=_sha256("".join(valkey.values())),
        configs=configs,
        secrets=stack_secrets(settings),
    )


def _without_start_interval(definition: str) -> str:
    """The definition for an engine that does not know the key. An operator's text is quoted, so no line of it goes."""
    return re.sub(r"(?m)^ *start_interval: .*\n", "", definition)


# Topology -> the file below `stack_dir` that says what runs.
DEFINITION = {"compose": "compose.yaml", "swarm": "stack.yaml"}
# Name of a config in the swarm -> the file below `stack_dir` it is made of.
CONFIGS = {"caddyfile": "proxy/Caddyfile", "certificate": "proxy/certificate.pem"}


def stack_secrets(settings: Settings) -> dict[str, str]:
    """Name of a secret in the swarm -> the variable of stack.yaml that has its hash."""
    found = {"open-webui-env": "OPEN_WEBUI_ENV_SHA256"}
    if settings.database_kind == "postgres":
        found["postgres-password"] = "POSTGRES_PASSWORD_SHA256"
    if settings.proxy_tls == "files":
        found["proxy-key"] = "PROXY_KEY_SHA256"
    return found


# Service of the swarm -> the variable of stack.yaml that has its image's id.
_IMAGE_VARIABLES = {
    "redis": "VALKEY_IMAGE",
    "postgres": "POSTGRES_IMAGE",
    "open-webui": "OPEN_WEBUI_IMAGE",
    "proxy": "PROXY_IMAGE",
}


def _proxy(settings: Settings) -> dict[str, str]:
    """The proxy's files; the key of a certificate is with the secrets."""
    files = {
        "proxy/Caddyfile": _render(
            "Caddyfile.j2", settings=settings, services=settings.open_webui_services, port=OPEN_WEBUI_PORT
        )
    }
    if settings.proxy_tls == "files" and settings.proxy_certificate:
        text = Path(settings.proxy_certificate).expanduser().read_text(encoding="ascii")
        files["proxy/certificate.pem"] = text.rstrip("\n") + "\n"
    return files


# What the services read only once, at their start, of the files mounted into them -> the service.
_MOUNTED = {"valkey": "redis", "proxy": "proxy"}


def _mounted(files: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Service -> SHA-256 of the files mounted into it, by path below `stack_dir`."""
    found: dict[str, dict[str, str]] = {}
    for path, text in files.items():
        if service := _MOUNTED.get(path.partition("/")[0]):
            found.setdefault(service, {})[path] = _sha256(text)
    return found


def containers(settings: Settings) -> list[str]:
    """The names of the stack's containers, in the order they start."""
    return list(compose.containers_of(settings.images).values())


def volumes(settings: Settings) -> list[str]:
    """The Docker volumes that hold the stack's data; in a swarm, processes have none."""
    found = [settings.valkey_volume]
    if settings.topology == "compose":
        found.append(settings.open_webui_volume)
    if settings.database_kind == "postgres":
        found.append(settings.postgres_volume)
    if settings.public_url:
        found.append(settings.proxy_volume)
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def open_webui_environment(settings: Settings) -> dict[str, str]:
    """Open WebUI's variables that are no secret: ours, then whatever `open_webui_env` adds or changes.

    Source of each value: https://docs.openwebui.com/reference/env-configuration (0.12).
    """
    environment = {
        "ENABLE_WEBSOCKET_SUPPORT": "true",
        "WEBSOCKET_MANAGER": "redis",
        "REDIS_KEY_PREFIX": settings.open_webui_key_prefix,
        # Without it a dead Valkey hangs the app instead of failing the request.
        "REDIS_SOCKET_CONNECT_TIMEOUT": "5",
        # Below valkey_timeout_s, so that pooled connections are never found closed.
        "REDIS_HEALTH_CHECK_INTERVAL": "60",
        "REDIS_SOCKET_KEEPALIVE": "True",
        "ENABLE_DB_MIGRATIONS": "true",
        "UVICORN_WORKERS": "1",
        "CORS_ALLOW_ORIGIN": settings.cors_allow_origin,
        "JWT_EXPIRES_IN": settings.open_webui_jwt_expires_in,
        "ENABLE_PERSISTENT_CONFIG": str(settings.open_webui_persistent_config),
    }
    if settings.open_webui_read_only:
        # It copies its front end's static files there at each start (open_webui/config.py, 0.12).
        environment["STATIC_DIR"] = "/tmp/static"  # noqa: S108 a tmpfs of its own
    if settings.external_url:
        environment["WEBUI_URL"] = settings.external_url
        if settings.external_url.startswith("https:"):
            environment["WEBUI_SESSION_COOKIE_SECURE"] = "true"
    if settings.public_url:
        environment |= {
            # The proxy compresses, and what is streamed must not wait for a compressor.
            "ENABLE_COMPRESSION_MIDDLEWARE": "false",
            # Whose word on a client's address counts. Nobody but the stack's own containers reaches it: it is not
            # published.
            "FORWARDED_ALLOW_IPS": settings.network_subnet or "*",
        }
    if settings.database_kind != "sqlite":
        environment |= {
            "VECTOR_DB": "pgvector",
            "DATABASE_POOL_SIZE": str(settings.database_pool_size),
            "DATABASE_POOL_MAX_OVERFLOW": str(settings.database_pool_overflow),
            "PGVECTOR_POOL_SIZE": str(VECTOR_POOL),
        }
    if settings.open_webui_replicas > 1 or settings.topology == "swarm":
        environment |= {
            # Each process would run pip for the same tools at once, into the same folders.
            "ENABLE_PIP_INSTALL_FRONTMATTER_REQUIREMENTS": "False",
            # For many users: less writing of who was seen when, more threads, and a faster JSON.
            "DATABASE_USER_ACTIVE_STATUS_UPDATE_INTERVAL": "300",
            "THREAD_POOL_SIZE": str(settings.thread_pool_size),
            "ENABLE_ORJSON": "True",
        }
    if settings.topology == "swarm":
        environment |= {
            # A host that is gone closes no connection: browsers learn it from a ping that does not come, at the latest
            # after both together. By default (25 and 20 s) fifty of them were without events for 50 s in the lab.
            "WEBSOCKET_SERVER_PING_INTERVAL": "10",
            "WEBSOCKET_SERVER_PING_TIMEOUT": "10",
        }
    if settings.open_webui_offline:
        environment |= {"OFFLINE_MODE": "true", "HF_HUB_OFFLINE": "1"}
    environment |= settings.open_webui_env
    return {name: value for name, value in environment.items() if name not in settings.open_webui_secret_env}


def secrets_request(settings: Settings, supplied: Supplied) -> HiddenItems:
    """What the verb `secrets` of the host's program is asked (`host/verbs/secrets.py`).

    It holds the operator's own secrets: only ever sent on stdin.
    """
    return HiddenItems({"wish": _secrets(settings, supplied)})


def survey_request(settings: Settings, supplied: Supplied) -> HiddenLines:
    """What the survey of the host's program is asked (`host/verbs/survey.py`): names, and the stack as it is wanted.

    It holds the operator's own secrets, because compose's hash of a service covers them: only ever sent on stdin.
    """
    in_swarm = settings.topology == "swarm"
    request = protocol.Request(
        "survey",
        protocol.FRAMED,
        {
            "stack_dir": settings.stack_dir,
            "backup_dir": settings.backup_dir,
            "data_root": str(settings.docker_daemon.get("data-root", "")),
            "images": list(dict.fromkeys(settings.images.values())),
            "containers": containers(settings),
            "network": compose.NETWORK,
            "gateway": compose.GATEWAY,
            "units": [survey.DOCKER_UNIT, survey.WATCHDOG_UNIT, survey.BACKUP_UNIT],
            "paths": _managed_paths(settings),
            "apt_key": docker.APT_KEY,
            "lease_files": [survey.LEASE_FILE, survey.OLD_LEASE_FILE],
            "deploy_log": survey.DEPLOY_LOG,
            "sqlite_volume": settings.open_webui_volume,
            "postgres_volume": settings.postgres_volume,
            "swarm": compose.STACK if in_swarm else "",
            "project": _wanted(settings, supplied) if settings.runs("data") else None,
        },
    )
    return HiddenLines(request.line())


def _wanted(settings: Settings, supplied: Supplied) -> dict[str, Any]:
    """The stack as it is wanted on the host."""
    files = project(settings)
    definition = DEFINITION[settings.topology]
    return {
        "secrets": _secrets(settings, supplied),
        "file": files[definition],
        "older_file": _without_start_interval(files[definition]),
        "newer_engine": docker.START_INTERVAL_ENGINE,
        "mounted": {
            service: {f"{settings.stack_dir}/{path}": sha256 for path, sha256 in sums.items()}
            for service, sums in _mounted(files).items()
        },
        "with_acl": "redis",
    }


def _secrets(settings: Settings, supplied: Supplied) -> dict[str, Any]:
    """The stack's secrets and the files made of them, as they are wished (`host/secrets.py`)."""

    def text(secret: SecretStr | None) -> str:
        return secret.get_secret_value() if secret else ""

    def secret(name: str, own: SecretStr | None = None, **more: Any) -> dict[str, Any]:
        return {"name": name, "file": name.replace("_", "-"), "supplied": text(own), **more}

    found = [
        secret("valkey_password", supplied.valkey_password),
        {**secret("monitor_password"), "file": "valkey-monitor-password"},
        secret("webui_secret_key", supplied.open_webui_secret_key, also="+/=._~:@%-"),
    ]
    if settings.database_kind == "postgres":
        found.append(secret("postgres_password", supplied.postgres_password, mode=0o644))
    elif settings.database_kind == "external":
        found.append({**secret("database_url", supplied.database_url, kept=False), "file": ""})
    if settings.public_url and settings.proxy_tls == "files":
        found.append(secret("proxy_key", supplied.proxy_certificate_key, kept=False))
    if settings.verify_level == "user":
        found.append(secret("probe_password"))
    return {
        "folder": settings.stack_dir,
        "secrets": found,
        "acl": _render("users.acl.j2", settings=settings).rstrip("\n"),
        "env": _render("env.j2", settings=settings).rstrip("\n"),
        "marks": _OWN_MARKS,
        "environment": {name: text(one) for name, one in supplied.environment.items()},
        "adopts": settings.stack_adopt,
    }


def project_files(settings: Settings, server: str) -> dict[str, str]:
    """The stack's files by absolute path, for an engine of this version."""
    return {f"{settings.stack_dir}/{path}": text for path, text in project(settings, server).items()}


def _managed_paths(settings: Settings) -> list[str]:
    """Every file a deploy may write, whatever the host is."""
    project_paths = project_files(settings, "")
    elsewhere = (docker.APT_SOURCES, docker.DNF_REPOSITORY, docker.DNF_KEY)
    watchdogs = [_WATCHDOG_PATH, *old_watchdog(settings)]
    backups = [*_backup_templates(settings), *_old_backup(settings)]
    paths = [*project_paths, *watchdogs, *backups, _BACKUP_SERVICE, *authorities(settings), *elsewhere]
    return list(dict.fromkeys(paths))


def managed_files(settings: Settings, machine: Machine, server: str) -> dict[str, str]:
    """The files a deploy puts on this host, by absolute path; without daemon.json, of which others have a part."""
    wanted = project_files(settings, server) | authorities(settings)
    if machine.has_systemd and settings.watchdog_pause_s and settings.topology == "compose":
        wanted |= watchdog(settings, machine)
    if settings.docker_source == "docker-ce":
        wanted |= docker_repository(settings, machine)
    return wanted


def authorities(settings: Settings) -> dict[str, str]:
    """Private registries' CA files by their path on the host."""
    return {
        docker.ca_path(registry): Path(path).expanduser().read_text(encoding="ascii")
        for registry, path in settings.docker_registry_ca.items()
    }


def stack_request(settings: Settings) -> dict[str, Any]:
    """The stack, as verbs of the host's program that change it are told of it (`host/assembly.py`)."""
    return {
        "folder": settings.stack_dir,
        "database": settings.database_kind,
        "open_webui_volume": settings.open_webui_volume,
        "valkey_volume": settings.valkey_volume,
        "postgres_volume": settings.postgres_volume,
        "postgres_image": settings.postgres_image,
        "wait_s": settings.open_webui_start_timeout_s,
        "releases_kept": _DEPLOYS_KEPT,
        "backup_dir": settings.backup_dir,
        "left_out": _left_out(settings),
    }


def up_request(settings: Settings, work: Iterable[compose.Work], *, migrates: bool = False) -> dict[str, Any]:
    """What the verb `up` of the host's program is asked (`host/verbs/up.py`). It holds no secret.

    The verb refuses an Open WebUI that would change the schema of the data there are, unless the deploy `migrates` data
    that have just come out of a backup set.
    """
    return {
        "stack": stack_request(settings),
        "request": {
            "image": settings.open_webui_image,
            "valkey_image": settings.valkey_image,
            "appendonly": settings.valkey_appendonly,
            "containers": containers(settings),
            "volumes": volumes(settings),
            "restarts_after_valkey": settings.restarts_after_valkey,
            "migrates": migrates,
            # Docker checks a container that was paused once its interval is over.
            "resume_s": max(settings.valkey_health_interval_s, settings.open_webui_health_interval_s) + 20,
            **_changes(settings, work),
        },
    }


def upgrade_request(settings: Settings, work: Iterable[compose.Work]) -> dict[str, Any]:
    """What the verb `upgrade` of the host's program is asked (`host/verbs/upgrade.py`). It holds no secret."""
    asked = up_request(settings, work)
    backup = backup_request(settings, holds_lock=True, mends=True)
    return {"stack": asked["stack"], "request": {"up": asked["request"], "backup": backup}}


def recover_request(settings: Settings) -> dict[str, Any]:
    """What the verb `recover` is asked, to end what was cut off in the stack (`host/verbs/recover.py`)."""
    return {"stack_dir": settings.stack_dir, "stack": stack_request(settings)}


def releases_request(settings: Settings) -> dict[str, Any]:
    """What the verb `releases` is asked (`host/verbs/releases.py`)."""
    return {"stack": stack_request(settings)}


def compare_request(settings: Settings) -> dict[str, Any]:
    """What the verb `compare` is asked of the settings' images (`host/verbs/releases.py`)."""
    return {
        "stack": stack_request(settings),
        "image": settings.open_webui_image,
        "valkey_image": settings.valkey_image,
    }


def rollback_request(settings: Settings, to: str, *, may_replace: bool) -> dict[str, Any]:
    """What the verb `rollback` is asked (`host/verbs/rollback.py`). It holds no secret.

    `to` is the release's name, or "previous". `may_replace` lets it take back the data as well.
    """
    return {
        "stack": stack_request(settings),
        "request": {
            "to": to,
            "backup": backup_request(settings, holds_lock=True, mends=True),
            "may_replace": may_replace,
            "containers": containers(settings),
        },
    }


def _changes(settings: Settings, work: Iterable[compose.Work]) -> dict[str, list[str]]:
    """What has to happen to containers beside `docker compose up`."""
    work = list(work)
    return {
        "unpause": [compose.container_of(item.service) for item in work if item.unpause],
        "recreate": [item.service for item in work if item.recreate],
        # Compose alone fails on their names; so does a run that was not allowed to replace them.
        "replace": [compose.container_of(item.service) for item in work if item.replace and settings.stack_adopt],
        "remove": [compose.container_of(item.service) for item in work if item.remove],
    }


def swarm_request(
    settings: Settings, work: Iterable[swarm.Work] = (), *, upgrades: bool = False, data_only: bool = False
) -> dict[str, Any]:
    """What the verbs `swarm` and `swarm_mend` of the host's program are asked (`host/verbs/swarm.py`).

    It holds no secret. The verb refuses an Open WebUI that would change the schema of the data there are, unless it
    `upgrades`: then it makes a set of them first, and a copy of the database. With `data_only` it starts no Open WebUI.
    """
    return {
        "stack": stack_request(settings),
        "request": {
            "swarm": compose.STACK,
            "images": {
                name: {
                    "variable": _IMAGE_VARIABLES[name],
                    "reference": reference,
                    "container": compose.container_of(name),
                }
                for name, reference in settings.images.items()
            },
            "secrets": stack_secrets(settings),
            "variables": [*secret_names(settings), *sorted(settings.open_webui_secret_env)],
            "configs": {name: path for name, path in CONFIGS.items() if path in project(settings)},
            "volumes": volumes(settings),
            "web_label": swarm.LABELS["open-webui"],
            "network": compose.NETWORK,
            "replicas": settings.open_webui_replicas,
            "environment": _to_migrate(settings),
            "shared_dir": settings.open_webui_shared_dir or "",
            "again": [item.again for item in work if item.again],
            "upgrades": upgrades,
            "data_only": data_only,
            # Within the verb, which knows where the data are.
            "backup": backup_request(settings, holds_lock=True, mends=True),
        },
    }


def _to_migrate(settings: Settings) -> dict[str, str]:
    """Open WebUI's variables for the container that migrates the database."""
    return open_webui_environment(settings) | {"ENABLE_DB_MIGRATIONS": "true"}


def check_stack_command(settings: Settings, file: str) -> str:
    """A command that succeeds when `docker stack deploy` would take the file."""
    variables = [*_IMAGE_VARIABLES.values(), *stack_secrets(settings).values(), "VALKEY_ACL_SHA256"]
    given = " ".join(f"{name}=x" for name in variables)
    return (
        f'env -i PATH="$PATH" HOME="${{HOME:-/root}}" OPEN_WEBUI_REPLICAS=1 OPEN_WEBUI_ORDER=start-first {given} '
        f"docker stack config --compose-file {shlex.quote(file)} >/dev/null"
    )


def doctor_request(settings: Settings) -> str:
    """What the verb `doctor` of the host's program is asked (`host/verbs/doctor.py`). It holds no secret."""
    in_swarm = settings.topology == "swarm"
    services = ("redis", "postgres", "open-webui", "proxy")
    request = protocol.Request(
        "doctor",
        protocol.FRAMED,
        {
            "stack_dir": settings.stack_dir,
            "backup_dir": settings.backup_dir,
            "backup_schedule": settings.backup_schedule,
            "containers": {name: f"{compose.STACK}_{name}" for name in services}
            if in_swarm
            else compose.containers_of(services),
            "ours": compose.OURS,
            "swarm": compose.STACK if in_swarm else "",
            "questions": list(doctor_observed.QUESTIONS),
            "shown": list(doctor_observed.SHOWN),
            "addresses": list(doctor_observed.ADDRESSES),
        },
    )
    return request.line()


def hand_made_request() -> str:
    """What the verb `hand_made` of the host's program is asked (`host/verbs/hand_made.py`)."""
    request = protocol.Request(
        "hand_made",
        protocol.FRAMED,
        {
            "containers": [compose.container_of("open-webui"), compose.container_of("redis")],
            "open_webui": compose.container_of("open-webui"),
        },
    )
    return request.line()


def serving_request(settings: Settings) -> dict[str, Any]:
    """What the verb `serving` of the host's program is asked (`host/verbs/serving.py`). It holds no secret."""
    bind = settings.open_webui_bind
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104
    return {
        "stack_dir": settings.stack_dir,
        "containers": containers(settings),
        "processes": [compose.container_of(service) for service in settings.open_webui_services],
        "valkey": compose.container_of("redis"),
        # With a proxy none is published of Open WebUI.
        "published": None if settings.public_url else {"address": loopback, "port": settings.open_webui_port},
    }


_WATCHDOG_PATH = f"/etc/systemd/system/{survey.WATCHDOG_UNIT}"


def watchdog(settings: Settings, machine: Machine) -> dict[str, str]:
    """The watchdog's file by absolute path: the systemd service that runs the verb `watch` of the host's program."""
    asked = {
        "stack_dir": settings.stack_dir,
        "containers": containers(settings),
        "open_webui": settings.open_webui_services,
        "pause_s": settings.watchdog_pause_s,
    }
    request = protocol.Request("watch", protocol.PLAIN, asked).line()
    return {
        _WATCHDOG_PATH: _render(
            "open-webui-watchdog.service.j2",
            python=machine.python,
            program=host_program.place(),
            # systemd takes a backslash or % for the begin of more (systemd.exec(5)). No name or folder of ours has one.
            request=request,
        )
    }


def old_watchdog(settings: Settings) -> list[str]:
    """The files of the watchdog of earlier versions that this one has no more."""
    return [f"/etc/systemd/system/{survey.WATCHDOG_TIMER}", f"{settings.stack_dir}/watchdog.sh"]


# What Open WebUI downloads again, below its data folder (open_webui/config.py, 0.12): a set goes without, unless the
# host could not.
_DOWNLOADED = ["cache/embedding/models", "cache/tiktoken", "cache/whisper/models"]


def _left_out(settings: Settings) -> list[str]:
    return [] if settings.open_webui_offline else _DOWNLOADED


def backup_request(settings: Settings, *, holds_lock: bool = False, mends: bool = False) -> dict[str, Any]:
    """What the verb `backup` of the host's program is asked (`host/verbs/backup.py`). It holds no secret."""
    in_swarm = settings.topology == "swarm"

    def runs(service: str) -> str:
        return service if in_swarm else compose.container_of(service)

    on_postgres = settings.database_kind == "postgres"
    people = settings.open_webui_volume if not in_swarm else settings.open_webui_shared_dir or ""
    volumes = [
        *([] if in_swarm else [people]),
        settings.valkey_volume,
        *([settings.postgres_volume] if on_postgres else []),
    ]
    return {
        "stack_dir": settings.stack_dir,
        "backup_dir": settings.backup_dir,
        "swarm": compose.STACK if in_swarm else "",
        "images": {compose.container_of(service): reference for service, reference in settings.images.items()},
        "open_webui": compose.container_of("open-webui"),
        "valkey": runs("redis"),
        "postgres": runs("postgres") if on_postgres else "",
        "people": people,
        "volumes": volumes,
        "folders": [people] if in_swarm and people else [],
        "files": [DEFINITION[settings.topology], "valkey", *(["proxy"] if settings.public_url else [])],
        "left_out": _left_out(settings),
        "keep": settings.backup_keep,
        "reserve_mb": settings.backup_min_free_mb,
        "age_recipient": settings.backup_age_recipient or "",
        "in_clear": sorted(settings.open_webui_secret_env),
        "holds_lock": holds_lock,
        "mends": mends,
    }


def backup(settings: Settings, machine: Machine) -> dict[str, str]:
    """The backup's files by absolute path: its timer's units."""
    verb, asked = "backup", backup_request(settings)
    if settings.backup_restic_repository:
        verb, asked = _OFFSITE_BACKUP, {"backup": asked, "copy": offsite_copy_request(settings)}
    line = protocol.Request(verb, protocol.PLAIN, asked).line()
    return {
        path: _render(
            template,
            settings=settings,
            python=machine.python,
            program=host_program.place(),
            verb=verb,
            # systemd takes a backslash or % for the begin of more (systemd.exec(5)).
            request=line.replace("\\", "\\\\").replace("%", "%%"),
        )
        for path, template in _backup_templates(settings).items()
    }


def kept_backup(settings: Settings, machine: Machine, present: Mapping[str, str]) -> dict[str, str]:
    """What a deploy keeps as the settings say of the backup's files: those that runbooks/backup.py has put on the host.

    A service that copies sets to the restic repository only that runbook puts, as it also opens the repository; until
    then the service stays as it is.
    """
    if not settings.runs("data"):
        return {}
    return {
        path: text
        for path, text in backup(settings, machine).items()
        if path in present
        and not (path.endswith(".service") and _OFFSITE_BACKUP in text and _OFFSITE_BACKUP not in present[path])
    }


_OFFSITE_BACKUP = "offsite_backup"


def _backup_templates(settings: Settings) -> dict[str, str]:
    # Every survey needs the paths, and only backups the texts.
    if not settings.backup_schedule:
        return {}
    units = (posixpath.basename(_BACKUP_SERVICE), survey.BACKUP_UNIT)
    return {f"/etc/systemd/system/{unit}": f"{unit}.j2" for unit in units}


_BACKUP_SERVICE = "/etc/systemd/system/open-webui-backup.service"


def old_backup(settings: Settings, present: Mapping[str, str], runs: str | None = None) -> list[str]:
    """The backup's files of earlier versions that are `present`, and that nothing runs any more.

    `runs` is the text of the service that will be there, where it is another than the one that is.
    """
    service = present.get(_BACKUP_SERVICE, "") if runs is None else runs
    return [path for path in _old_backup(settings) if path in present and path not in service]


def _old_backup(settings: Settings) -> list[str]:
    return [f"{settings.stack_dir}/{name}" for name in ("backup.sh", "dataset.py", "restic.sh")]


def offsite_copy_request(settings: Settings) -> dict[str, Any]:
    """What the verb `offsite_copy` of the host's program is asked (`host/verbs/offsite.py`), but which set.

    It holds no secret.
    """
    return {
        "stack_dir": settings.stack_dir,
        "backup_dir": settings.backup_dir,
        "repository": settings.backup_restic_repository,
        "keep": settings.backup_keep,
    }


def offsite_key_request(settings: Settings, environment: Mapping[str, SecretStr]) -> HiddenItems:
    """What the verb `offsite_key` of the host's program is asked: to keep what opens the restic repository."""
    return HiddenItems({"stack_dir": settings.stack_dir, "environment": _values(environment)})


def offsite_bring_request(settings: Settings, environment: Mapping[str, SecretStr]) -> HiddenItems:
    """What the verb `offsite_bring` of the host's program is asked: the set `restore_set`, unless it is there."""
    return HiddenItems(
        {
            "backup_dir": settings.backup_dir,
            "repository": settings.backup_restic_repository,
            "wanted": settings.restore_set,
            "host": settings.restore_restic_host or "",
            "environment": _values(environment),
        }
    )


def _values(environment: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in sorted(environment.items())}


def on_sqlite(settings: Settings) -> Settings:
    """The settings of the stack from which rows are moved to Postgres, as far as they decide what is in a set."""
    return settings.model_copy(update={"open_webui_replicas": 1, "database": "sqlite", "public_url": None})


def check_schedule_command(schedule: str) -> str:
    """The shell command that fails where systemd does not read `backup_schedule` as a time."""
    text = f"backup_schedule: expected a calendar expression of systemd, got '{schedule}'; systemd.time(7) explains it"
    return f'systemd-analyze calendar {shlex.quote(schedule)} >/dev/null || {{ echo "{text}" >&2; false; }}'


def restore_request(settings: Settings, identity: str = "", *, may_replace: bool) -> HiddenItems:
    """What the verbs `restore` and `restore_settle` of the host's program are asked (`host/verbs/restore.py`).

    `identity` is the age identity that decrypts the set's secrets, "" to leave secrets alone: only ever sent on stdin.
    `may_replace` lets the set take the place of data.
    """
    return HiddenItems(
        {
            "stack": stack_request(settings),
            "request": {
                "restore_set": settings.restore_set,
                "image": settings.open_webui_image,
                "valkey_image": settings.valkey_image,
                "appendonly": settings.valkey_appendonly,
                "containers": containers(settings),
                "followers": settings.open_webui_services[1:],
                "may_replace": may_replace,
                "backup": backup_request(settings, holds_lock=True),
                "marks": _OWN_MARKS,
                "identity": identity,
            },
        }
    )


def swarm_restore_request(settings: Settings, identity: str = "", *, may_replace: bool) -> HiddenItems:
    """What the verbs `swarm_restore...` of the host's program are asked (`host/verbs/swarm_restore.py`).

    `identity` and `may_replace` are as in `restore_request`.
    """
    return HiddenItems(
        {
            "stack": stack_request(settings),
            "request": {
                "restore_set": settings.restore_set,
                "image": settings.open_webui_image,
                "valkey_image": settings.valkey_image,
                "appendonly": settings.valkey_appendonly,
                "swarm": compose.STACK,
                "network": compose.NETWORK,
                "people": settings.open_webui_shared_dir or "",
                "environment": _to_migrate(settings),
                "replicas": settings.open_webui_replicas,
                "may_replace": may_replace,
                "backup": backup_request(settings, holds_lock=True),
                "marks": _OWN_MARKS,
                "identity": identity,
            },
        }
    )


def migrate_request(settings: Settings) -> dict[str, Any]:
    """What the verb `migrate` of the host's program is asked (`host/verbs/migrate.py`). It holds no secret."""
    return {
        "stack": stack_request(settings),
        "request": {
            "image": settings.open_webui_image,
            "backup": backup_request(on_sqlite(settings), holds_lock=True),
            "containers": containers(settings),
        },
    }


def drill_request(settings: Settings) -> dict[str, Any]:
    """What the verb `drill` of the host's program is asked (`host/verbs/drill.py`). It holds no secret."""
    environment = open_webui_environment(settings) | {
        "REDIS_URL": "redis://redis:6379/0",
        "WEBSOCKET_REDIS_URL": "redis://redis:6379/1",
        "OFFLINE_MODE": "true",  # its network leads nowhere
        "HF_HUB_OFFLINE": "1",
    }
    return {
        "backup_dir": settings.backup_dir,
        "restore_set": settings.restore_set,
        "open_webui_image": settings.open_webui_image,
        "valkey_image": settings.valkey_image,
        "postgres_image": settings.postgres_image if settings.database_kind == "postgres" else "",
        "environment": environment,
        "cap_add": settings.open_webui_cap_add,
        "read_only": settings.open_webui_read_only,
        "start_s": settings.open_webui_start_timeout_s,
    }


# Earlier good deploys that a host remembers; each takes some kilobytes.
_DEPLOYS_KEPT = 10


def rotate_request(settings: Settings, supplied: Supplied, rotated: Iterable[str]) -> HiddenItems:
    """What the verb `rotate` of the host's program is asked (`host/verbs/rotate.py`): to renew what `rotated` names.

    It holds the operator's own secrets: only ever sent on stdin.
    """
    rotated = list(rotated)
    return HiddenItems(
        {
            "stack": stack_request(settings),
            "request": {
                "rotated": rotated,
                "files": [file for name in rotated for file in SECRET_FILES[name]],
                "containers": containers(settings),
            },
            "wish": _secrets(settings, supplied),
        }
    )


def docker_repository(settings: Settings, machine: Machine) -> dict[str, str]:
    """The files of Docker's repository for apt (deb822) or dnf, by path; for dnf its key as well.

    The key for apt is fetched with the repository, and has a SHA-256 to be known by.
    """
    if machine.package_manager == "apt":
        return {docker.APT_SOURCES: _render("docker.sources.j2", settings=settings, machine=machine)}
    # Docker's own: fingerprint 060A 61C5 1B55 8A7F 742B 77AA C52F EB6B 621E 9F35 (docs.docker.com/engine/install/rhel).
    own = settings.docker_repo_rpm_key
    key = Path(own).expanduser() if own else _FOLDER / "docker-ce.asc"
    return {
        docker.DNF_KEY: key.read_text(encoding="ascii"),
        docker.DNF_REPOSITORY: _render("docker-ce.repo.j2", settings=settings, machine=machine, key=docker.DNF_KEY),
    }


# What tells a `stack_dir` of this project from a folder of others (`host/files.py`, `may_own`).
_OWN_MARKS = ["secrets/valkey-password", "watchdog.sh"]


def _render(name: str, **context: Any) -> str:
    return _environment.get_template(name).render(**context) + "\n"
