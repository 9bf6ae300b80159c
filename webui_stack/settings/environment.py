"""Variables of Open WebUI: their names, which of them are secrets, and which the project sets itself."""

from __future__ import annotations

import re

# POSIX's portable variable name; compose refuses others in an env file.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Names compose and docker read from the same .env or environment for themselves.
_FOR_COMPOSE = re.compile(
    r"COMPOSE_|DOCKER_|BUILDKIT_|VALKEY_ACL_SHA256$|POSTGRES_PASSWORD$|PROXY_KEY_SHA256$|PATH$|HOME$"
)
# Names whose values are secrets, whatever they look like. Those of the second kind may also hold a number.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:SECRET|PASSWORD|PASSWD|TOKEN|KEY|CREDENTIALS|CREDENTIALS_JSON)$|^DATABASE_URL$|^PGVECTOR_DB_URL$"
)
_SECRETS_NAME = re.compile(r"(?:^|_)(?:KEYS|AUTH|CONNECTIONS|HEADERS)$")
# Names that end like those, and hold no secret (open_webui/config.py and env.py, 0.12.4).
_NO_SECRET = {"CODE_EXECUTION_JUPYTER_AUTH", "CODE_INTERPRETER_JUPYTER_AUTH", "LICENSE_PUBLIC_KEY"} | {
    "RAG_SOURCE_METADATA_KEYS"
}
_SWITCH = re.compile(r"true|false|yes|no|on|off|none|null|\[\]|\{\}|", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
# Values that are secrets under any name: a user's password in a URL, a key in PEM, a field of JSON, an HTTP header.
_SECRET_VALUE = re.compile(
    r"://[^\s/@:?#]*:[^\s/@]+@|https?://[^\s/@:?#]+@|PRIVATE KEY-----|\b(?:bearer|basic)\s+[a-z0-9+/=_.~-]{8}"
    r"|\"[a-z_-]*(?:key|token|password|secret|authorization)\"\s*:\s*\"[^\"]",
    re.IGNORECASE,
)


def is_name(name: str) -> bool:
    """Whether a variable can have this name."""
    return _NAME.fullmatch(name) is not None


def steers_compose(name: str) -> bool:
    """Whether compose or Docker reads the variable for itself."""
    return _FOR_COMPOSE.match(name) is not None


def has_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret, whatever its value."""
    return _SECRET_NAME.search(name) is not None


def has_secret(text: str) -> bool:
    """Whether the text has a secret in it, under any name."""
    return _SECRET_VALUE.search(text) is not None


def secret_part(name: str, value: str) -> str:
    """The part that makes a variable one of `open_webui_secret_env`: "name", "value", or "" for no secret."""
    named = has_secret_name(name) or (_SECRETS_NAME.search(name) and not _NUMBER.fullmatch(value))
    if named and name not in _NO_SECRET and not _SWITCH.fullmatch(value):
        return "name"
    return "value" if has_secret(value) else ""


# Variables the project sets itself, and what to do instead.
OWNED = {
    "ENABLE_WEBSOCKET_SUPPORT": "remove it, websockets are always on",
    "WEBSOCKET_MANAGER": "remove it, it is always redis",
    "WEBSOCKET_REDIS_URL": "remove it, it follows from the stack's Valkey",
    "REDIS_URL": "remove it, it follows from the stack's Valkey",
    "REDIS_KEY_PREFIX": "set open_webui_key_prefix instead",
    "WEBUI_SECRET_KEY": "set open_webui_secret_key instead",
    "WEBUI_URL": "set public_url instead, or open_webui_public_url for a proxy of your own",
    "CORS_ALLOW_ORIGIN": "set open_webui_cors_origins instead",
    "JWT_EXPIRES_IN": "set open_webui_jwt_expires_in instead",
    "ENABLE_PERSISTENT_CONFIG": "set open_webui_persistent_config instead",
    "OFFLINE_MODE": "set open_webui_offline instead",
    "HF_HUB_OFFLINE": "set open_webui_offline instead",
    "PORT": "set open_webui_port, the published one, instead",
}
_ONE_SERVER = "this stack's Valkey is one server, which Open WebUI would not ask any more"
# Variables upstream offers that break a stack: the first release that is fine with them, None where there is none yet,
# and the reason.
_BROKEN: dict[str, tuple[tuple[int, ...] | None, str]] = {
    "UVICORN_WORKERS": (None, "more than one worker corrupts the database; set open_webui_replicas instead"),
    "REDIS_SOCKET_TIMEOUT": ((0, 12, 4), "any value kills the Stop button before 0.12.4 (open-webui#27103, #27104)"),
    "WEBSOCKET_REDIS_OPTIONS": (None, "setting it disables the inherited connect timeout"),
    "REDIS_SENTINEL_HOSTS": (None, f"{_ONE_SERVER} but Sentinel"),
    "WEBSOCKET_SENTINEL_HOSTS": (None, f"{_ONE_SERVER} but Sentinel"),
    "REDIS_CLUSTER": (None, f"{_ONE_SERVER} but a cluster"),
    "WEBSOCKET_REDIS_CLUSTER": (None, f"{_ONE_SERVER} but a cluster"),
}


def broken_variables(version: tuple[int, ...] | None) -> dict[str, str]:
    """The variables that must not be set for this release of Open WebUI, with the reason; None is the newest one."""
    return {
        name: why
        for name, (since, why) in _BROKEN.items()
        if since is None or (version is not None and version < since)
    }


# Variables the project sets itself where it knows of the database.
OWNED_WITH_A_DATABASE = {
    "DATABASE_URL": "database_url instead",
    "PGVECTOR_DB_URL": "database_url instead",
    "DATABASE_POOL_SIZE": "database_pool_size instead",
    "DATABASE_POOL_MAX_OVERFLOW": "database_pool_overflow instead",
    "PGVECTOR_POOL_SIZE": "database_pool_size instead",
    "ENABLE_DB_MIGRATIONS": "the first replica to migrate and no other, as it is without",
}


# Variables the project sets itself where the setting has a value.
OWNED_WITH = {
    "openai_connections": ("OPENAI_API_BASE_URL", "OPENAI_API_BASE_URLS", "OPENAI_API_KEY", "OPENAI_API_KEYS"),
    "outbound_proxy": tuple(
        variable for name in ("http_proxy", "https_proxy", "no_proxy") for variable in (name, name.upper())
    ),
    "trusted_ca": (
        *("TRUSTED_CA", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("AIOHTTP_CLIENT_SSL_CERT_FILE", "AWS_CA_BUNDLE"),
    ),
    "ollama": ("ENABLE_OLLAMA_API", "OLLAMA_API_BASE_URL", "OLLAMA_BASE_URL", "OLLAMA_BASE_URLS"),
    "otel": (
        *("ENABLE_OTEL", "ENABLE_OTEL_METRICS", "ENABLE_OTEL_TRACES", "OTEL_RESOURCE_ATTRIBUTES"),
        *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_INSECURE", "OTEL_OTLP_SPAN_EXPORTER"),
        *("OTEL_METRICS_EXPORTER_OTLP_ENDPOINT", "OTEL_METRICS_EXPORTER_OTLP_INSECURE"),
        *("OTEL_METRICS_OTLP_SPAN_EXPORTER", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
    ),
}
