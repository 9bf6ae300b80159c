"""Secrets among Open WebUI's variables are known, and variables that break a release."""

from __future__ import annotations

import pytest

from tests.defaults import settings
from tests.unit.settings.given import problems


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        *(
            (name, value, "")
            for name in ("ENABLE_API_KEYS", "USER_PERMISSIONS_FEATURES_API_KEYS")
            for value in ("True", "false")
        ),
        *((name, "1", "") for name in ("ENABLE_API_KEYS", "AIOHTTP_POOL_CONNECTIONS", "WEBUI_AUTH")),
        *((name, "False", "") for name in ("WEBUI_AUTH", "ENABLE_PASSWORD_AUTH", "ENABLE_FORWARD_USER_INFO_HEADERS")),
        *((name, "", "") for name in ("OPENAI_API_KEY", "LDAP_APP_PASSWORD")),
        ("TOOL_SERVER_CONNECTIONS", "[]", ""),
        ("CODE_EXECUTION_JUPYTER_AUTH", "token", ""),
        ("RAG_SOURCE_METADATA_KEYS", "title,author", ""),
        ("API_KEYS_ALLOWED_ENDPOINTS", "/api/v1/chats", ""),
        ("S3_KEY_PREFIX", "chat/", ""),
        ("OPENAI_API_BASE_URL", "https://api.example.org/v1", ""),
        ("HTTPS_PROXY", "http://proxy.example.org:3128", ""),
        ("WEBUI_NAME", "Chat: a@b", ""),
        ("OPENAI_API_CONFIGS", '{"0": {"enable": true, "prefix_id": "x", "key": ""}}', ""),
        *(
            (name, "marker", "name")
            for name in ("OPENAI_API_KEY", "OPENAI_API_KEYS", "AUTOMATIC1111_API_AUTH", "X_AUTH")
        ),
        *(
            (name, "marker", "name")
            for name in ("TOOL_SERVER_CONNECTIONS", "TERMINAL_SERVER_CONNECTIONS", "SCIM_TOKEN")
        ),
        *(
            (name, "marker", "name")
            for name in ("CHROMA_CLIENT_AUTH_CREDENTIALS", "CHROMA_HTTP_HEADERS", "LDAP_APP_PASSWORD")
        ),
        *((name, "123456", "name") for name in ("LDAP_APP_PASSWORD", "WEBUI_ADMIN_PASSWORD", "PGVECTOR_PGCRYPTO_KEY")),
        ("GOOGLE_APPLICATION_CREDENTIALS_JSON", "{marker}", "name"),
        *(
            (name, "http://user:marker@proxy:3128", "value")
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "ANY")
        ),
        ("OPENAI_API_BASE_URLS", "https://a.example;https://marker@b.example", "value"),
        ("QDRANT_URI", "redis://:marker@cache:6379/0", "value"),
        ("OPENAI_API_CONFIGS", '{"0": {"key": "marker"}}', "value"),
        ("ANY", '{"headers": {"Authorization": "marker"}}', "value"),
        ("OTEL_EXPORTER_OTLP_HEADERS_X", "authorization=Basic marker0123", "value"),
        ("SAML_X", "-----BEGIN PRIVATE KEY-----\nmarker", "value"),
    ],
)
def test_a_secret_is_known_by_its_name_and_its_value(name: str, value: str, what: str) -> None:
    if not what:
        assert settings(open_webui_env={name: value}).open_webui_env == {name: value}
        return
    assert problems(open_webui_env={name: value}) == [
        f"open_webui_env/{name}: expected no secret here, got a {what} that looks like one (value hidden); "
        "move it to open_webui_secret_env, which keeps it out of compose.yaml and logs"
    ]
    assert settings(open_webui_secret_env={name: "env:X"})


@pytest.mark.parametrize("image", ["v0.12.4", "v0.13.0-slim", "git-abc1234", "v0.12.4@sha256:" + "0" * 64])
def test_a_timeout_is_taken_from_the_release_on_that_stands_it(image: str) -> None:
    """What names no release counts as the newest."""
    given = {"open_webui_image": f"ghcr.io/open-webui/open-webui:{image}"}
    assert settings(open_webui_env={"REDIS_SOCKET_TIMEOUT": "5"}, **given)
