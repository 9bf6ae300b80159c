"""Problems of one host's settings in this project's words: `setting: expected, got, what to do`."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from webui_stack.settings import environment, sign_in
from webui_stack.settings.model import Settings
from webui_stack.settings.rule import Rule


class SettingsError(Exception):
    """Every problem of one host's settings, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def explain(detail: ErrorDetails) -> str:
    """Turn one of pydantic's errors into `setting: expected, got, what to do`."""
    path = [part for part in detail["loc"] if part != "[key]"]
    name = "/".join(str(part) for part in path)
    if detail["type"] == "missing":
        what = "a value" if len(path) == 1 else "this key"
        return f"{name}: expected {what}, got nothing; see inventories/group_data/all.py"
    if detail["type"] == "extra_forbidden":
        return f"{name}: expected only {_keys(path)}, got another key; remove it"
    rule: Rule = detail.get("ctx", {}).get("rule") or _rule(list(detail["loc"]))
    got = "a value (hidden)" if _is_secret(path, detail["input"]) else repr(detail["input"])
    return f"{name}: expected {rule.expected}, got {got}; {rule.fix}"


def _keys(path: list[Any]) -> str:
    """The keys that a dict of this setting may have."""
    form = _form(Settings.model_fields[path[0]].annotation)
    return " and ".join(form.model_fields) if form else "other keys"


def _form(annotation: Any) -> type[BaseModel] | None:
    """The form of a setting's dicts."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in getattr(annotation, "__args__", ()) if (found := _form(one))), None)


def _is_secret(path: list[Any], value: Any) -> bool:
    """Whether a wrong value may be a secret that somebody typed in place of its source."""
    if environment.has_secret(str(value)):
        return True
    if path[0] == "open_webui_env":
        shown = isinstance(value, bool | int | float | None)
        return len(path) == 1 or not shown or environment.has_secret_name(str(path[1]))
    sources = (
        *("valkey_password", "open_webui_secret_key", "open_webui_secret_env", "restore_age_identity"),
        *("database_url", "postgres_password", "proxy_certificate_key", "alarms"),
    )
    if path[0] in ("openai_connections", "registry_login"):
        return path[-1] not in ("url", "user")
    if path[0] in ("oidc", "ldap"):
        return len(path) == 1 or path[1] in sign_in.SECRETS
    # age-keygen prints both halves
    return path[0] in (*sources, "backup_age_recipient") or path[0].startswith("backup_restic_")


def rule_of(name: str) -> Rule:
    """What a setting has to be, in the words of its error. Raises `KeyError` for an unknown name."""
    return _rule([name])


def _rule(path: list[Any]) -> Rule:
    """The innermost rule on the way to the value: an element's own before its container's."""
    field = Settings.model_fields[path[0]]
    return _rules(field.annotation, list(field.metadata), path[1:])[-1]


def _rules(annotation: Any, metadata: list[Any], rest: list[Any]) -> list[Rule]:
    found = [m for m in metadata if isinstance(m, Rule)]
    origin = getattr(annotation, "__origin__", None)
    args: tuple[Any, ...] = getattr(annotation, "__args__", ())
    if hasattr(annotation, "__metadata__"):
        return found + _rules(origin, list(annotation.__metadata__), rest)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and rest:
        field = annotation.model_fields.get(str(rest[0]))
        return found if field is None else found + _rules(field.annotation, list(field.metadata), rest[1:])
    if origin is list and rest:
        return found + _rules(args[0], [], rest[1:])
    if origin is dict and rest:
        return found + _rules(args[0 if rest[-1] == "[key]" else 1], [], rest[1:])
    for arg in args:
        if arg is not type(None) and origin not in (list, dict):
            found += _rules(arg, [], rest)
    return found


# --- Unknown names ---------------------------------------------------------------------------------

# Keys with our prefixes that belong to pyinfra's own connectors.
_CONNECTOR_KEYS = {"docker_identifier", "docker_platform", "docker_architecture"}
# Words that an inventory may well use for things of its own.
_COMMON_WORDS = {
    "public_",
    "database_",
    "postgres_",
    "proxy_",
    "topology_",
    "monitor_",
    "metrics_",
    "alarm_",
    "alarms_",
    "openai_",
    "ollama_",
    "registry_",
    "outbound_",
    "trusted_",
    "oidc_",
    "ldap_",
    "login_",
    "otel_",
}
_PREFIXES = tuple(
    sorted({f"{name.split('_')[0]}_" for name in Settings.model_fields} - _COMMON_WORDS | {"open_webui_"})
)
# Settings that once had another name: old name -> new one. A rename adds its line here.
_RENAMED: dict[str, str] = {}
# Everyday words for a setting that has a longer name: an inventory that has one means that setting.
EVERYDAY_WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("domain", "fqdn", "url", "webui_url"), ("public_url",)),
    **dict.fromkeys(("tls", "ssl", "https"), ("public_url", "proxy_tls")),
    **dict.fromkeys(("email", "acme_email"), ("proxy_acme_email",)),
    **dict.fromkeys(("acme_directory", "acme_ca", "acme_server"), ("proxy_acme_directory",)),
    **dict.fromkeys(("security_headers", "content_security_policy"), ("proxy_headers",)),
    **dict.fromkeys(("max_body_mb", "max_upload_mb", "client_max_body_size"), ("proxy_max_body_mb",)),
    **dict.fromkeys(("forwarded_allow_ips", "set_real_ip_from"), ("trusted_proxies",)),
    **dict.fromkeys(("certificate", "cert"), ("proxy_certificate",)),
    **dict.fromkeys(("port", "http_port", "webui_port"), ("open_webui_port", "proxy_http_port")),
    **dict.fromkeys(("bind", "listen"), ("open_webui_bind", "proxy_bind")),
    **dict.fromkeys(("image", "webui_image"), ("open_webui_image", "valkey_image")),
    **dict.fromkeys(("replicas", "workers"), ("open_webui_replicas",)),
    **dict.fromkeys(("secret_key", "webui_secret_key"), ("open_webui_secret_key",)),
    **dict.fromkeys(("password", "redis_password"), ("valkey_password",)),
    **dict.fromkeys(("volume", "volumes"), ("open_webui_volume", "valkey_volume")),
    **dict.fromkeys(("subnet",), ("network_subnet",)),
    **dict.fromkeys(("openai_api_key", "openai_api_base_url"), ("openai_connections",)),
    **dict.fromkeys(("ollama_url", "ollama_base_url", "ollama_host"), ("ollama",)),
    **dict.fromkeys(("oauth", "openid", "openid_connect", "sso", "single_sign_on"), ("oidc",)),
    **dict.fromkeys(("enable_login_form", "password_login"), ("login_form",)),
    **dict.fromkeys(("registry_user", "registry_username", "registry_password", "registry_auth"), ("registry_login",)),
    **dict.fromkeys(("http_proxy", "https_proxy", "no_proxy"), ("outbound_proxy",)),
    **dict.fromkeys(("ca", "ca_file", "ca_certificates"), ("trusted_ca", "verify_ca")),
    **dict.fromkeys(("memory_limit", "memory_limit_mb"), ("open_webui_memory_limit_mb",)),
}


def is_meant_for_us(key: str) -> bool:
    """Whether a key that is no setting was meant to be one: by its prefix, a near miss, or an everyday word."""
    if key in Settings.model_fields or key.startswith("_") or key in _CONNECTOR_KEYS:
        return False
    return key in _RENAMED or key in EVERYDAY_WORDS or key.startswith(_PREFIXES) or bool(_near(key, 0.85))


@cache
def _near(key: str, cutoff: float) -> tuple[str, ...]:
    return tuple(difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=cutoff))


def unknown(key: str) -> str:
    """The problem of a key that was meant to be a setting, with the names that are near."""
    if key in _RENAMED:
        return f"{key}: expected {_RENAMED[key]}, got its old name; rename it"
    near = EVERYDAY_WORDS.get(key) or _near(key, 0.8)
    hint = f"did you mean {' or '.join(near)}?" if near else "see inventories/group_data/all.py for what there is"
    return f"{key}: expected a setting of this project, got an unknown name; {hint}"
