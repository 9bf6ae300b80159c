"""Open WebUI's variables: those that its container gets, and the names of those that are secret."""

from __future__ import annotations

from typing import Any

from webui_stack.render import outbound
from webui_stack.settings.environment import OWNED_WITH
from webui_stack.settings.image_reference import has_ollama
from webui_stack.settings.model import VECTOR_POOL, Settings


def secret_names(settings: Settings) -> list[str]:
    """Open WebUI's variables that `templates/env.j2` defines."""
    database = [] if settings.database_kind == "sqlite" else ["DATABASE_URL", "PGVECTOR_DB_URL"]
    return ["WEBUI_SECRET_KEY", "REDIS_URL", "WEBSOCKET_REDIS_URL", *database]


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
    environment |= _models(settings) | outbound.open_webui_proxy(settings)
    if settings.oidc and settings.oidc.url:
        # A provider that does not know PKCE ignores it (RFC 7636, 5). One that refuses it: set it to "".
        environment["OAUTH_CODE_CHALLENGE_METHOD"] = "S256"
    environment |= settings.sign_in_variables
    environment |= settings.open_webui_env
    return {name: value for name, value in environment.items() if name not in settings.open_webui_secret_env}


def _models(settings: Settings) -> dict[str, str]:
    """Where Open WebUI gets its models, but for the keys.

    Upstream's image asks host.docker.internal for Ollama unless it is told otherwise (config.py, 0.12.4). Nobody
    answers by that name in a stack without Ollama, so Ollama is off there.
    """
    found = {}
    if settings.openai_connections:
        found["OPENAI_API_BASE_URLS"] = ";".join(one.url for one in settings.openai_connections)
    if settings.ollama:
        return found | {"ENABLE_OLLAMA_API": "true", "OLLAMA_BASE_URL": settings.ollama_url}
    own = {*settings.open_webui_env, *settings.open_webui_secret_env} & set(OWNED_WITH["ollama"])
    # An image of upstream's that ends so has an Ollama within.
    if own or has_ollama(settings.open_webui_image):
        return found
    return found | {"ENABLE_OLLAMA_API": "false"}


# Where Open WebUI saves the variables of `open_webui_saved` (DEFAULT_CONFIG in open_webui/config.py, 0.12.4).
_SAVED_AS = {
    "DEFAULT_MODELS": "ui.default_models",
    "DEFAULT_USER_ROLE": "ui.default_user_role",
    "ENABLE_SIGNUP": "ui.enable_signup",
}


def saved_values(settings: Settings) -> dict[str, Any]:
    """The values by key that Open WebUI is to have saved (`open_webui_saved`), but for the keys of connections."""
    variables = open_webui_environment(settings)
    found: dict[str, Any] = {}
    for name in settings.open_webui_saved:
        if name == "openai_connections":
            found["openai.enable"] = variables.get("ENABLE_OPENAI_API", "True").lower() == "true"
            found["openai.api_base_urls"] = [one.url for one in settings.openai_connections]
        elif name == "ollama":
            found |= {"ollama.enable": True, "ollama.base_urls": [settings.ollama_url]}
        else:
            text = variables[name]
            found[_SAVED_AS[name]] = text.lower() == "true" if name == "ENABLE_SIGNUP" else text
    return found


def container_environment(settings: Settings, replica: str) -> dict[str, str]:
    """The variables of the container that is this replica.

    It trusts the CAs of `trusted_ca` as well, and sends its metrics; a container that migrates, or a drill's, does not.
    """
    return outbound.open_webui_trust(settings) | _telemetry(settings, replica) | open_webui_environment(settings)


def _telemetry(settings: Settings, replica: str) -> dict[str, str]:
    """Where the replica sends its metrics and traces, and under which name (utils/telemetry, 0.12.4).

    The name stays over a deploy: a container's id would make another series of each number every time.
    """
    asked = settings.otel
    if not asked:
        return {}
    name = f"{settings.otel_host}/{replica}" if settings.otel_host else replica
    found = {
        "ENABLE_OTEL": "True",
        "ENABLE_OTEL_METRICS": "True",
        "ENABLE_OTEL_TRACES": str(asked.traces),
        "OTEL_OTLP_SPAN_EXPORTER": asked.protocol,
        "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={name}",
    }
    if asked.protocol == "http":
        # Open WebUI hands these to the exporters, which then add no path.
        found["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"{asked.endpoint}/v1/traces"
        found["OTEL_METRICS_EXPORTER_OTLP_ENDPOINT"] = f"{asked.endpoint}/v1/metrics"
    else:
        found["OTEL_EXPORTER_OTLP_ENDPOINT"] = asked.endpoint
        found["OTEL_EXPORTER_OTLP_INSECURE"] = str(asked.endpoint.startswith("http:"))
    return found


def migrating_environment(settings: Settings) -> dict[str, str]:
    """Open WebUI's variables for the container that migrates the database."""
    return open_webui_environment(settings) | {"ENABLE_DB_MIGRATIONS": "true"}
