"""Requests for the verbs of the host's program that make, copy and try backup sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from webui_stack.model import compose
from webui_stack.render import project
from webui_stack.render.environment import open_webui_environment
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import HiddenItems

# Open WebUI downloads these folders of its data again (open_webui/config.py, 0.12). A set omits them, unless the host
# is offline.
_DOWNLOADED = ["cache/embedding/models", "cache/tiktoken", "cache/whisper/models"]


def backup_request(settings: Settings, *, holds_lock: bool = False, repairs: bool = False) -> dict[str, Any]:
    """The request for the verb `backup` (`host/verbs/backup.py`). It holds no secret."""
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
        # Not Ollama's: no data of it are in a set, and it may be new to the stack that is saved.
        "images": {
            compose.container_of(service): reference
            for service, reference in settings.images.items()
            if service != "ollama"
        },
        "open_webui": compose.container_of("open-webui"),
        "valkey": runs("redis"),
        "postgres": runs("postgres") if on_postgres else "",
        "people": people,
        "volumes": volumes,
        "folders": [people] if in_swarm and people else [],
        "files": [project.DEFINITION[settings.topology], "valkey", *(["proxy"] if settings.public_url else [])],
        "left_out": left_out(settings),
        "not_in_set": settings.overlay.volumes() if settings.overlay else [],
        "ollama": project.ollama(settings) if settings.ollama == "service" else {},
        **_retention(settings),
        "reserve_mb": settings.backup_min_free_mb,
        "age_recipient": settings.backup_age_recipient or "",
        "in_clear": settings.secret_variables,
        "uploads_in": settings.uploads_elsewhere,
        "holds_lock": holds_lock,
        "repairs": repairs,
    }


def left_out(settings: Settings) -> list[str]:
    """Folders of Open WebUI's data that a backup set omits."""
    return [] if settings.open_webui_offline else _DOWNLOADED


def _retention(settings: Settings) -> dict[str, int]:
    names = ("keep", "keep_daily", "keep_weekly", "keep_monthly")
    return dict(zip(names, settings.backup_retention, strict=True))


# The files below stack_dir that have what opens the first and the second repository.
KEYS = ("restic.env", "restic-2.env")


def repositories(settings: Settings) -> list[dict[str, Any]]:
    """The restic repositories, as the host's program is told of them (`host/restic.py`, Place)."""
    both = (
        (settings.backup_restic_repository, settings.backup_restic_append_only),
        (settings.backup_restic_second_repository, settings.backup_restic_second_append_only),
    )
    return [
        {"address": address, "key": key, "append_only": append_only}
        for key, (address, append_only) in zip(KEYS, both, strict=True)
        if address
    ]


def offsite_copy_request(settings: Settings) -> dict[str, Any]:
    """The request for the verb `offsite_copy`, without the set's name (`host/verbs/offsite.py`). It holds no secret."""
    return {
        "stack_dir": settings.stack_dir,
        "backup_dir": settings.backup_dir,
        "repositories": repositories(settings),
        **_retention(settings),
    }


def offsite_check_request(settings: Settings) -> dict[str, Any]:
    """The request for the verb `offsite_check` (`host/verbs/offsite.py`). It holds no secret."""
    return {"stack_dir": settings.stack_dir, "repositories": repositories(settings)}


def offsite_key_request(settings: Settings, key: str, environment: Mapping[str, SecretStr]) -> HiddenItems:
    """The request for the verb `offsite_key`: keep the variables that open a restic repository, in the file `key`."""
    return HiddenItems({"stack_dir": settings.stack_dir, "name": key, "environment": _values(environment)})


def offsite_bring_request(settings: Settings, environments: Sequence[Mapping[str, SecretStr]]) -> HiddenItems:
    """The request for the verb `offsite_bring`: fetch the set `restore_set`, unless the host has it.

    `environments` open the repositories, in their order.
    """
    addresses = [one["address"] for one in repositories(settings)]
    return HiddenItems(
        {
            "backup_dir": settings.backup_dir,
            "repositories": {
                address: _values(environment) for address, environment in zip(addresses, environments, strict=True)
            },
            "wanted": settings.restore_set,
            "host": settings.restore_restic_host or "",
        }
    )


def backup_sets_request(settings: Settings, environments: Mapping[str, Mapping[str, SecretStr]]) -> HiddenItems:
    """The request for the verb `backup_sets`. `environments` open the restic repositories to ask, by address."""
    return HiddenItems(
        {
            "backup_dir": settings.backup_dir,
            "repositories": {address: _values(environment) for address, environment in environments.items()},
            "host": settings.restore_restic_host or "",
        }
    )


def backup_ages_request(settings: Settings) -> dict[str, Any]:
    """The request for the verb `backup_ages` (`host/verbs/backup_ages.py`). It holds no secret."""
    names = ("stack_dir", "backup_dir", "backup_schedule", "drill_schedule")
    return {name: getattr(settings, name) for name in names}


def _values(environment: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in sorted(environment.items())}


def drill_request(settings: Settings, *, remembers: bool) -> dict[str, Any]:
    """The request for the verb `drill` (`host/verbs/drill.py`). It holds no secret.

    With `remembers` the host notes the outcome. A drill of images that nobody runs yet says nothing of backups.
    """
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
        "stack_dir": settings.stack_dir if remembers else "",
        "reserve_mb": settings.backup_min_free_mb,
    }
