"""Open WebUI's variables follow from the settings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.defaults import settings
from tests.unit.render.projects import PROXIED, rendered, service
from webui_stack.render.environment import open_webui_environment


def test_a_read_only_open_webui_has_a_place_for_what_it_writes() -> None:
    assert "read_only" not in service("open-webui")
    assert "STATIC_DIR" not in service("open-webui")["environment"]
    read_only = service("open-webui", open_webui_read_only=True)
    assert read_only["read_only"] is True
    assert read_only["tmpfs"] == ["/tmp"]
    assert read_only["environment"]["STATIC_DIR"] == "/tmp/static"


@pytest.mark.parametrize("changes", [{"database": "postgres"}, {"database_url": "env:X"}], ids=["ours", "elsewhere"])
def test_open_webui_has_its_rows_and_its_vectors_in_postgres(changes: dict[str, Any]) -> None:
    found = service("open-webui", **changes, database_pool_size=7, database_pool_overflow=8)["environment"]
    wanted = {
        "DATABASE_URL": "${DATABASE_URL:?run deploy.py}",
        "PGVECTOR_DB_URL": "${PGVECTOR_DB_URL:?run deploy.py}",
        "VECTOR_DB": "pgvector",
        "DATABASE_POOL_SIZE": "7",
        "DATABASE_POOL_MAX_OVERFLOW": "8",
        "PGVECTOR_POOL_SIZE": "5",
    }
    assert {name: found[name] for name in wanted} == wanted
    assert ("postgres" in rendered(**changes)["services"]) == ("database" in changes)


def test_a_proxy_of_ours_sets_what_one_of_the_operators_does_and_compresses_itself() -> None:
    ours = service("open-webui", **PROXIED)["environment"]
    theirs = service("open-webui", open_webui_public_url=PROXIED["public_url"])["environment"]
    assert {name: value for name, value in ours.items() if theirs.get(name) != value} == {
        "ENABLE_COMPRESSION_MIDDLEWARE": "false",
        "FORWARDED_ALLOW_IPS": "*",
    }
    within = service("open-webui", **PROXIED, network_subnet="198.18.5.0/24")["environment"]
    assert within["FORWARDED_ALLOW_IPS"] == "198.18.5.0/24"


def test_a_variable_of_the_operator_wins_over_our_default() -> None:
    changed = open_webui_environment(settings(open_webui_env={"REDIS_HEALTH_CHECK_INTERVAL": "30"}))
    assert changed["REDIS_HEALTH_CHECK_INTERVAL"] == "30"


def test_a_secret_variable_wins_over_our_default_and_comes_once() -> None:
    environment = service("open-webui", open_webui_secret_env={"REDIS_SOCKET_KEEPALIVE": "env:X"})["environment"]
    assert environment["REDIS_SOCKET_KEEPALIVE"] == "${REDIS_SOCKET_KEEPALIVE:?run deploy.py}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"open_webui_public_url": "https://chat.example.org/"},
            {
                "WEBUI_URL": "https://chat.example.org",
                "WEBUI_SESSION_COOKIE_SECURE": "true",
                "CORS_ALLOW_ORIGIN": "https://chat.example.org",
            },
            id="behind TLS",
        ),
        pytest.param({"open_webui_public_url": "http://chat:3000"}, {"WEBUI_URL": "http://chat:3000"}, id="plain HTTP"),
        pytest.param({"open_webui_offline": True}, {"OFFLINE_MODE": "true", "HF_HUB_OFFLINE": "1"}, id="offline"),
        pytest.param(
            {"open_webui_persistent_config": False}, {"ENABLE_PERSISTENT_CONFIG": "False"}, id="not persisted"
        ),
        pytest.param({"open_webui_jwt_expires_in": "4w"}, {"JWT_EXPIRES_IN": "4w"}, id="long logins"),
        pytest.param({"open_webui_key_prefix": "two"}, {"REDIS_KEY_PREFIX": "two"}, id="prefix"),
    ],
)
def test_a_setting_reaches_its_variable(changes: dict[str, Any], expected: dict[str, str]) -> None:
    changed = open_webui_environment(settings(**changes))
    assert {name: changed[name] for name in expected} == expected


def test_plain_http_gets_no_secure_cookie() -> None:
    changed = open_webui_environment(settings(open_webui_public_url="http://chat.example.org"))
    assert "WEBUI_SESSION_COOKIE_SECURE" not in changed
