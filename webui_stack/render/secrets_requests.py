"""Requests for the verbs of the host's program that make and rotate the stack's secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import SecretStr

from webui_stack.model import compose
from webui_stack.render import project, stack_requests
from webui_stack.render.environment import saved_values as saved_without_keys
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import HiddenItems, Supplied

# Name in `rotate_secrets` -> its files below `stack_dir`. First is the file of the secret that an operator may supply.
SECRET_FILES = {
    "valkey_password": ["secrets/valkey-password", "secrets/valkey-monitor-password"],
    "open_webui_secret_key": ["secrets/webui-secret-key"],
    "postgres_password": ["secrets/postgres-password"],
    "probe_password": ["secrets/probe-password"],
}
RECEIVERS = "secrets/alarms.json"
"""The file of the receivers of alarms, below `stack_dir`."""
RECEIVERS_FORMAT = 1
STACK_ACCOUNT = "stack@open-webui-stack.invalid"
"""The admin's account by which a deploy saves settings in Open WebUI (`open_webui_saved`)."""
STACK_PASSWORD_FILE = "secrets/stack-password"  # noqa: S105 its place
"""The file of that account's password, below `stack_dir`."""


def secrets_request(settings: Settings, supplied: Supplied) -> HiddenItems:
    """The request for the verb `secrets` (`host/verbs/secrets.py`).

    It holds the operator's own secrets: only ever sent on stdin.
    """
    return HiddenItems({"wish": wish(settings, supplied)})


def rotate_request(settings: Settings, supplied: Supplied, rotated: Iterable[str]) -> HiddenItems:
    """The request for the verb `rotate`: renew the secrets that `rotated` names (`host/verbs/rotate.py`).

    It holds the operator's own secrets: only ever sent on stdin.
    """
    rotated = list(rotated)
    return HiddenItems(
        {
            "stack": stack_requests.stack_request(settings),
            "request": {
                "rotated": rotated,
                "files": [file for name in rotated for file in SECRET_FILES[name]],
                "containers": project.containers(settings),
            },
            "wish": wish(settings, supplied),
        }
    )


def saved_values(settings: Settings, supplied: Supplied) -> HiddenItems:
    """The values by key that Open WebUI is to have saved, with the keys of connections: only ever sent on stdin."""
    found = saved_without_keys(settings)
    if "openai_connections" in settings.open_webui_saved:
        found["openai.api_keys"] = supplied.environment["OPENAI_API_KEYS"].get_secret_value().split(";")
    return HiddenItems(found)


def save_settings_request(settings: Settings, supplied: Supplied, seen: Mapping[str, str]) -> HiddenItems:
    """The request for the verb `save_settings` (`host/verbs/saved_settings.py`): only ever sent on stdin.

    `seen` has the mark of each saved value that differs, by key, as the survey tells it.
    """
    return HiddenItems(
        {
            "container": compose.container_of("open-webui"),
            "email": STACK_ACCOUNT,
            "password_file": f"{settings.stack_dir}/{STACK_PASSWORD_FILE}",
            "wanted": saved_values(settings, supplied),
            "seen": dict(seen),
        }
    )


def registry_logins(settings: Settings, supplied: Supplied) -> HiddenItems:
    """The logins by registry, as the verb `pull` takes them: only ever sent on stdin (`host/verbs/images.py`)."""
    return HiddenItems(
        {
            registry: {"user": login.user, "password": supplied.registry_passwords[registry].get_secret_value()}
            for registry, login in settings.registry_login.items()
        }
    )


def wish(settings: Settings, supplied: Supplied) -> dict[str, Any]:
    """The secrets that the stack needs, and templates of the files made of them (`host/secrets.py`)."""

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
    if settings.open_webui_saved:
        found.append(secret("stack_password"))
    return {
        "folder": settings.stack_dir,
        "secrets": found,
        "acl": project.acl_template(settings),
        "env": project.env_template(settings),
        "marks": project.OWN_MARKS,
        "environment": {name: text(one) for name, one in supplied.environment.items()},
        "adopts": settings.stack_adopt,
        "receivers": _receivers(supplied),
    }


def _receivers(supplied: Supplied) -> str:
    """The file of the receivers of alarms (`host/alarms/receivers.py`); "" for none."""
    if not supplied.alarms:
        return ""
    return json.dumps({"format": RECEIVERS_FORMAT, "alarms": [dict(one) for one in supplied.alarms]}, sort_keys=True)
