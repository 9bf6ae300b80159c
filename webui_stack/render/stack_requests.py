"""Requests for the verbs of the host's program that start, change or replace the stack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from webui_stack.model import compose, swarm
from webui_stack.overlay.fragment import is_of_the_stack
from webui_stack.render import backup_requests, project
from webui_stack.render.environment import migrating_environment, secret_names
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import HiddenItems

# A host remembers so many good deploys. Each takes some kilobytes.
_DEPLOYS_KEPT = 10


def stack_request(settings: Settings) -> dict[str, Any]:
    """The stack, as each request that changes it describes it (`host/assembly.py`)."""
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
        "left_out": backup_requests.left_out(settings),
    }


def up_request(settings: Settings, work: Iterable[compose.Work], *, migrates: bool = False) -> dict[str, Any]:
    """The request for the verb `up` (`host/verbs/up.py`). It holds no secret.

    The verb refuses an Open WebUI that would change the schema of the data. It does not where the deploy `migrates`:
    then the data have just come out of a backup set.
    """
    return {
        "stack": stack_request(settings),
        "request": {
            "image": settings.open_webui_image,
            "valkey_image": settings.valkey_image,
            "appendonly": settings.valkey_appendonly,
            "containers": project.containers(settings),
            "volumes": project.volumes(settings),
            "restarts_after_valkey": settings.restarts_after_valkey,
            "migrates": migrates,
            # Docker checks a container that was paused once its interval is over.
            "resume_s": max(settings.valkey_health_interval_s, settings.open_webui_health_interval_s) + 20,
            **_changes(settings, work),
        },
    }


def _changes(settings: Settings, work: Iterable[compose.Work]) -> dict[str, list[str]]:
    """Changes to containers that `docker compose up` does not make by itself."""
    work = list(work)
    return {
        "unpause": [compose.container_of(item.service) for item in work if item.unpause],
        "recreate": [item.service for item in work if item.recreate],
        # Compose fails on names that are taken; so does a run that may not replace these containers.
        "replace": [compose.container_of(item.service) for item in work if item.replace and settings.stack_adopt],
        # Those of an overlay have names of their own: the host tells them by their labels.
        "remove": [
            compose.container_of(item.service) for item in work if item.remove and is_of_the_stack(item.service)
        ],
    }


def upgrade_request(settings: Settings, work: Iterable[compose.Work]) -> dict[str, Any]:
    """The request for the verb `upgrade` (`host/verbs/upgrade.py`). It holds no secret."""
    asked = up_request(settings, work)
    backup = backup_requests.backup_request(settings, holds_lock=True, repairs=True)
    return {"stack": asked["stack"], "request": {"up": asked["request"], "backup": backup}}


def swarm_request(
    settings: Settings, work: Iterable[swarm.Work] = (), *, upgrades: bool = False, data_only: bool = False
) -> dict[str, Any]:
    """The request for the verbs `swarm` and `swarm_recover` (`host/verbs/swarm.py`).

    It holds no secret. The verb refuses an Open WebUI that would change the schema of the data there are, unless it
    `upgrades`: then it makes a set of them first, and a copy of the database. With `data_only` it starts no Open WebUI.
    """
    return {
        "stack": stack_request(settings),
        "request": {
            "swarm": compose.STACK,
            "images": {
                name: {
                    "variable": project.IMAGE_VARIABLES[name],
                    "reference": reference,
                    "container": compose.container_of(name),
                }
                for name, reference in settings.images.items()
            },
            "secrets": project.stack_secrets(settings),
            "variables": [*secret_names(settings), *settings.secret_variables],
            "configs": {name: path for name, path in project.CONFIGS.items() if path in project.files(settings)},
            "volumes": project.volumes(settings),
            "web_label": swarm.LABELS["open-webui"],
            "network": compose.NETWORK,
            "replicas": settings.open_webui_replicas,
            "environment": migrating_environment(settings),
            "shared_dir": settings.open_webui_shared_dir or "",
            "again": [item.again for item in work if item.again],
            "upgrades": upgrades,
            "data_only": data_only,
            # Within the verb, which knows where the data are.
            "backup": backup_requests.backup_request(settings, holds_lock=True, repairs=True),
        },
    }


def models_request(settings: Settings, models: Iterable[str], *, of_set: str = "") -> dict[str, Any]:
    """The request for the verbs `models` and `models_pull` (`host/verbs/models.py`). It holds no secret.

    The models that the backup set `of_set` names are wanted as well.
    """
    return {"models": list(models), "sets": settings.backup_dir, "chosen": of_set, **project.ollama(settings)}


def recover_request(settings: Settings) -> dict[str, Any]:
    """The request for the verb `recover`: finish or undo a change that was cut off (`host/verbs/recover.py`)."""
    return {"stack_dir": settings.stack_dir, "stack": stack_request(settings)}


def releases_request(settings: Settings) -> dict[str, Any]:
    """The request for the verb `releases` (`host/verbs/releases.py`)."""
    return {"stack": stack_request(settings)}


def compare_request(settings: Settings) -> dict[str, Any]:
    """The request for the verb `compare`, about the settings' images (`host/verbs/releases.py`)."""
    return {
        "stack": stack_request(settings),
        "image": settings.open_webui_image,
        "valkey_image": settings.valkey_image,
    }


def rollback_request(settings: Settings, to: str, *, may_replace: bool) -> dict[str, Any]:
    """The request for the verb `rollback` (`host/verbs/rollback.py`). It holds no secret.

    `to` is the release's name, or "previous". `may_replace` lets it take back the data as well.
    """
    return {
        "stack": stack_request(settings),
        "request": {
            "to": to,
            "backup": backup_requests.backup_request(settings, holds_lock=True, repairs=True),
            "may_replace": may_replace,
            "containers": project.containers(settings),
        },
    }


def restore_request(settings: Settings, identity: str = "", *, may_replace: bool) -> HiddenItems:
    """The request for the verbs `restore` and `restore_settle` (`host/verbs/restore.py`).

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
                "containers": project.containers(settings),
                "followers": settings.open_webui_services[1:],
                "may_replace": may_replace,
                "backup": backup_requests.backup_request(settings, holds_lock=True),
                "marks": project.OWN_MARKS,
                "identity": identity,
            },
        }
    )


def swarm_restore_request(settings: Settings, identity: str = "", *, may_replace: bool) -> HiddenItems:
    """The request for the verbs `swarm_restore...` (`host/verbs/swarm_restore.py`).

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
                "environment": migrating_environment(settings),
                "replicas": settings.open_webui_replicas,
                "may_replace": may_replace,
                "backup": backup_requests.backup_request(settings, holds_lock=True),
                "marks": project.OWN_MARKS,
                "identity": identity,
            },
        }
    )


def migrate_request(settings: Settings) -> dict[str, Any]:
    """The request for the verb `migrate` (`host/verbs/migrate.py`). It holds no secret."""
    return {
        "stack": stack_request(settings),
        "request": {
            "image": settings.open_webui_image,
            "backup": backup_requests.backup_request(on_sqlite(settings), holds_lock=True),
            "containers": project.containers(settings),
        },
    }


def on_sqlite(settings: Settings) -> Settings:
    """The settings of the stack from which rows are moved to Postgres, as far as they decide the contents of a set."""
    return settings.model_copy(update={"open_webui_replicas": 1, "database": "sqlite", "public_url": None})
