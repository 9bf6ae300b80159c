"""Open WebUI's variables follow from the settings."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.defaults import settings
from tests.unit.render.projects import MANY, PROCESSES, PROXIED, SWARM, rendered, service
from webui_stack.render import project
from webui_stack.render.backup_requests import drill_request
from webui_stack.render.environment import migrating_environment, open_webui_environment


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


# --- Its own metrics and traces

OTEL: dict[str, Any] = {"endpoint": "http://collector.example.org:4317"}
NAME = "OTEL_RESOURCE_ATTRIBUTES"


def sent(**otel: Any) -> dict[str, str]:
    """What a replica is told of a collector."""
    environment = service("open-webui", otel={**OTEL, **otel})["environment"]
    return {name: value for name, value in environment.items() if "OTEL" in name}


def test_no_variable_is_about_metrics_without_a_collector() -> None:
    assert "OTEL" not in project.files(settings())["compose.yaml"]
    assert "OTEL" not in project.files(settings(**SWARM))["stack.yaml"]


def test_metrics_go_to_the_collector_by_grpc_and_traces_only_if_asked() -> None:
    assert sent() == {
        "ENABLE_OTEL": "True",
        "ENABLE_OTEL_METRICS": "True",
        "ENABLE_OTEL_TRACES": "False",
        "OTEL_OTLP_SPAN_EXPORTER": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example.org:4317",
        "OTEL_EXPORTER_OTLP_INSECURE": "True",
        "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=open-webui",
    }
    assert sent(traces=True)["ENABLE_OTEL_TRACES"] == "True"
    assert sent(endpoint="https://collector.example.org:4317")["OTEL_EXPORTER_OTLP_INSECURE"] == "False"


def test_by_http_each_kind_goes_to_its_own_path() -> None:
    found = sent(endpoint="http://metrics.example.org:9090/api/v1/otlp/", protocol="http")
    assert found["OTEL_OTLP_SPAN_EXPORTER"] == "http"
    assert found["OTEL_METRICS_EXPORTER_OTLP_ENDPOINT"] == "http://metrics.example.org:9090/api/v1/otlp/v1/metrics"
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://metrics.example.org:9090/api/v1/otlp/v1/traces"


def test_each_replica_has_a_name_of_its_own_that_lasts() -> None:
    services = rendered(**MANY, otel=OTEL)["services"]
    assert [services[replica]["environment"][NAME] for replica in PROCESSES] == [
        f"service.instance.id=chat.example.org/{replica}" for replica in PROCESSES
    ]
    named = rendered(**MANY, otel={**OTEL, "host": "chat-1"})["services"]["open-webui-2"]
    assert named["environment"][NAME] == "service.instance.id=chat-1/open-webui-2"


def test_a_swarm_names_its_replicas_by_their_numbers() -> None:
    services = yaml.safe_load(project.files(settings(**SWARM, otel=OTEL))["stack.yaml"])["services"]
    name = "service.instance.id=chat.example.org/open-webui.{{.Task.Slot}}"
    assert services["open-webui"]["environment"][NAME] == name


def test_neither_a_drill_nor_a_migration_sends_metrics() -> None:
    wanted = settings(otel=OTEL, restore_set="newest")
    assert "OTEL" not in str(drill_request(wanted, remembers=True))
    assert "OTEL" not in str(migrating_environment(wanted))


def test_a_collector_on_the_server_has_its_name_in_the_containers() -> None:
    found = service("open-webui", otel={"endpoint": "http://host.docker.internal:4317"})
    assert found["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert "extra_hosts" not in service("open-webui", otel=OTEL)
