"""compose.yaml and its files: the tutorial's contract, the Compose specification, no secret."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests import yaml_text
from tests.defaults import settings
from tests.unit.render.projects import MANY, NASTY, OF_MANY, PROCESSES, PROXIED, TUTORIAL, rendered, service
from webui_stack.model import compose
from webui_stack.render import project, stack_requests


@pytest.mark.parametrize(("changes", "services"), [({}, ["redis", "open-webui"]), (MANY, OF_MANY)], ids=["one", "many"])
def test_every_container_drops_every_capability_and_gains_no_privilege(
    changes: dict[str, Any], services: list[str]
) -> None:
    found = rendered(**changes)["services"]
    assert list(found) == services
    for name in services:
        assert found[name]["cap_drop"] == ["ALL"]
        assert found[name]["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in found[name]
    added = {name: found[name]["cap_add"] for name in services if "cap_add" in found[name]}
    kept = {
        "redis": ["SETGID", "SETUID", "DAC_OVERRIDE"],
        "postgres": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],
        "proxy": ["NET_BIND_SERVICE"],
    }
    assert added == {name: capabilities for name, capabilities in kept.items() if name in services}


def test_each_process_of_open_webui_keeps_the_capabilities_the_settings_name() -> None:
    found = rendered(**MANY, open_webui_cap_add=["CHOWN"])["services"]
    assert [found[name]["cap_add"] for name in PROCESSES] == [["CHOWN"]] * 3


def test_the_containers_of_the_tutorial_have_a_limit_of_processes() -> None:
    assert all(service(name)["pids_limit"] > 0 for name in ("redis", "open-webui"))


@pytest.mark.parametrize(("name", "prefix"), [("redis", "valkey"), ("open-webui", "open_webui")])
def test_limits_are_what_the_settings_say_and_0_is_none(name: str, prefix: str) -> None:
    assert "mem_limit" not in service(name)
    assert service(name, **{f"{prefix}_memory_limit_mb": 700})["mem_limit"] == "700m"
    assert service(name, **{f"{prefix}_pids_limit": 99})["pids_limit"] == 99
    assert "pids_limit" not in service(name, **{f"{prefix}_pids_limit": 0})


def compose_schema() -> dict[str, Any]:
    """The Compose specification's own schema, as check-jsonschema (PyPI, dev group) brings it along."""
    package = metadata.distribution("check-jsonschema")
    file = package.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema: dict[str, Any] = json.loads(Path(str(file)).read_text())
    return schema


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="defaults"),
        pytest.param(
            {
                "open_webui_bind": "::1",
                "open_webui_public_url": "https://chat.example.org",
                "open_webui_offline": True,
                "open_webui_env": NASTY,
                "open_webui_secret_env": {"OPENAI_API_KEY": "env:X"},
                "valkey_save": "",
                "valkey_appendonly": False,
                "valkey_memory_limit_mb": 512,
                "valkey_pids_limit": 0,
                "open_webui_memory_limit_mb": 4096,
                "open_webui_pids_limit": 0,
                "open_webui_cap_add": ["DAC_OVERRIDE"],
                "open_webui_read_only": True,
            },
            id="much of it changed",
        ),
        pytest.param(MANY, id="several processes, Postgres and a proxy"),
        pytest.param(
            {
                **MANY,
                "proxy_tls": "files",
                "proxy_certificate_key": "env:X",
                "proxy_bind": "::",
                "proxy_http_port": 0,
                "postgres_memory_limit_mb": 512,
                "open_webui_env": NASTY,
            },
            id="several processes, and much changed",
        ),
        pytest.param({"database_url": "env:X"}, id="a database elsewhere"),
    ],
)
def test_compose_file_follows_the_specification(changes: dict[str, Any], certificate: dict[str, Any]) -> None:
    if changes.get("proxy_tls") == "files":
        changes = {**changes, "proxy_certificate": certificate["proxy_certificate"]}
    jsonschema.validate(rendered(**changes), compose_schema())


def test_the_schema_finds_what_compose_would_refuse() -> None:
    found = rendered(**MANY)
    found["services"]["proxy"]["port"] = found["services"]["proxy"].pop("ports")
    with pytest.raises(jsonschema.ValidationError, match="'port' was unexpected"):
        jsonschema.validate(found, compose_schema())


@pytest.mark.parametrize(("server", "knows"), [("", True), ("28.5.2", True), ("25.0.0", True), ("24.0.9", False)])
@pytest.mark.parametrize(
    "changes",
    [MANY, {"topology": "swarm", "swarm_runs": ["data"], "open_webui_shared_dir": "/mnt/chat"}],
    ids=["compose", "swarm"],
)
def test_an_older_engine_gets_no_key_that_it_refuses(server: str, knows: bool, changes: dict[str, Any]) -> None:
    (text, *_), (newest, *_) = (project.files(settings(**changes), of).values() for of in (server, ""))
    assert (text.count("start_interval: ") > 0) == knows
    expected = newest if knows else "".join(line for line in newest.splitlines(True) if "start_interval: " not in line)
    assert text == expected


def test_a_text_of_the_operators_stays_on_an_older_engine() -> None:
    changes = {"open_webui_env": {"WEBUI_NAME": "a\n      start_interval: 1s\nb"}}
    found = yaml_text.read(project.files(settings(**changes), "20.10.24")["compose.yaml"])
    assert found["services"]["open-webui"]["environment"]["WEBUI_NAME"] == changes["open_webui_env"]["WEBUI_NAME"]


def test_the_network_is_the_tutorials() -> None:
    assert rendered()["networks"] == TUTORIAL["networks"]
    assert list(TUTORIAL["networks"]) == [compose.NETWORK]


@pytest.mark.parametrize(
    "changes",
    [{}, MANY, {"database_url": "env:X", **PROXIED}, {"ollama": "service"}],
    ids=["one", "many", "elsewhere", "models"],
)
def test_services_and_containers_are_those_the_library_looks_for(changes: dict[str, Any]) -> None:
    wanted = settings(**changes)
    services = rendered(**changes)["services"]
    names = {name: body["container_name"] for name, body in services.items()}
    assert names == compose.containers_of(wanted.images)
    assert {name: body["image"] for name, body in services.items()} == wanted.images
    assert list(names.values()) == project.containers(wanted)
    for service_name, container in names.items():
        assert compose.service_of(container) == service_name
        assert re.fullmatch(compose.OURS, container)
        assert any(volume.endswith(f":{compose.data_of(service_name)}") for volume in services[service_name]["volumes"])


@pytest.mark.parametrize("changes", [{}, MANY, PROXIED, {"database": "postgres"}, {"ollama": "service"}], ids=str)
def test_every_volume_is_one_that_is_made_and_none_of_composes_own(changes: dict[str, Any]) -> None:
    declared = rendered(**changes)["volumes"]
    assert sorted(volume["name"] for volume in declared.values()) == sorted(project.volumes(settings(**changes)))
    assert all(volume["external"] for volume in declared.values())


def test_one_process_is_rendered_with_nothing_of_replicas_database_and_proxy() -> None:
    files = project.files(settings())
    assert list(files) == ["compose.yaml", "valkey/valkey.conf", "valkey/start.sh"]
    found = rendered()
    assert list(found["services"]) == ["redis", "open-webui"]
    assert list(found["volumes"]) == ["redis-data", "open-webui"]
    assert found["services"]["open-webui"]["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert list(found["services"]["open-webui"]["environment"]) == [
        "WEBUI_SECRET_KEY",
        "REDIS_URL",
        "WEBSOCKET_REDIS_URL",
        "CORS_ALLOW_ORIGIN",
        "ENABLE_DB_MIGRATIONS",
        "ENABLE_OLLAMA_API",
        "ENABLE_PERSISTENT_CONFIG",
        "ENABLE_WEBSOCKET_SUPPORT",
        "JWT_EXPIRES_IN",
        "REDIS_HEALTH_CHECK_INTERVAL",
        "REDIS_KEY_PREFIX",
        "REDIS_SOCKET_CONNECT_TIMEOUT",
        "REDIS_SOCKET_KEEPALIVE",
        "UVICORN_WORKERS",
        "WEBSOCKET_MANAGER",
    ]
    words = re.compile(r"postgres|pgvector|proxy|caddy|open-webui-\d|database|forwarded", re.IGNORECASE)
    assert words.findall("".join(files.values())) == []
    assert words.findall("".join(project.files(settings(**MANY)).values()))


@pytest.mark.parametrize(
    "changes",
    [
        {"database_pool_size": 9, "database_pool_overflow": 9, "postgres_max_connections": 99},
        {"postgres_image": "registry.example.org/pgvector:1.0", "proxy_image": "registry.example.org/caddy:1.0"},
        {"proxy_tls": "internal", "proxy_bind": "127.0.0.1", "proxy_http_port": 81, "proxy_acme_email": "a@b"},
        {"ollama_image": "registry.example.org/ollama:1.0", "ollama_volume": "models"},
        {"database_switch": ["a"], "swarm_runs": ["data"], "swarm_manager": True},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_one_process_is_rendered_the_same_whatever_is_set_of_what_it_has_not(changes: dict[str, Any]) -> None:
    assert project.files(settings(**changes)) == project.files(settings())


def test_open_webui_keeps_what_the_tutorial_says() -> None:
    open_webui = service("open-webui")
    assert open_webui["networks"] == ["openwebui-network"]
    assert open_webui["volumes"] == ["open-webui:/app/backend/data"]
    assert rendered()["volumes"]["open-webui"] == {"name": "open-webui", "external": True}
    assert open_webui["environment"]["ENABLE_WEBSOCKET_SUPPORT"] == "true"
    assert open_webui["environment"]["WEBSOCKET_MANAGER"] == "redis"
    assert open_webui["environment"]["WEBSOCKET_REDIS_URL"] == "${WEBSOCKET_REDIS_URL:?run deploy.py}"


@pytest.mark.parametrize(
    ("bind", "published"),
    [("127.0.0.1", "127.0.0.1:3000:8080"), ("0.0.0.0", "0.0.0.0:3000:8080"), ("::1", "[::1]:3000:8080")],
)
def test_open_webui_is_published_where_the_settings_say(bind: str, published: str) -> None:
    assert service("open-webui", open_webui_bind=bind)["ports"] == [published]
    assert "ports" not in service("redis")


@pytest.mark.parametrize(
    ("tag", "restarts"),
    [("v0.11.8-slim", True), ("v0.12.0", False), (f"v0.11.8@sha256:{'0' * 64}", True), (f"@sha256:{'0' * 64}", False)],
)
def test_only_a_release_that_does_not_listen_again_starts_anew_after_valkey(tag: str, restarts: bool) -> None:
    image = f"ghcr.io/open-webui/open-webui{tag if tag.startswith('@') else f':{tag}'}"
    body = service("open-webui", open_webui_image=image)
    assert body["depends_on"]["redis"] == {"condition": "service_healthy", **({"restart": True} if restarts else {})}
    labels = {"open-webui-stack.restart-after-valkey": "true"}
    assert body.get("labels") == (labels if restarts else None)
    asked = stack_requests.up_request(settings(open_webui_image=image), [])
    assert asked["request"]["restarts_after_valkey"] == restarts


def test_exactly_one_process_migrates_the_database() -> None:
    services = rendered(**MANY)["services"]
    migrates = {name: services[name]["environment"]["ENABLE_DB_MIGRATIONS"] for name in PROCESSES}
    assert migrates == {"open-webui": "true", "open-webui-2": "false", "open-webui-3": "false"}


def test_processes_differ_in_nothing_else_and_wait_for_what_they_need() -> None:
    """And neither they nor the proxy for each other: compose stops what depends on a container it replaces (2.26)."""
    services = rendered(**MANY)["services"]
    healthy = {"condition": "service_healthy"}
    data = {"redis": healthy, "postgres": healthy}
    assert [services[name].pop("depends_on") for name in PROCESSES] == [data] * len(PROCESSES)
    assert "depends_on" not in services["proxy"]
    assert [services[name].pop("container_name") for name in PROCESSES] == PROCESSES
    for name in PROCESSES:
        services[name]["environment"].pop("ENABLE_DB_MIGRATIONS")
        assert services[name] == services["open-webui"]


@pytest.mark.parametrize("name", [*PROCESSES, "proxy", "postgres"])
def test_every_service_has_a_health_check_a_restart_policy_and_logs_that_end(name: str) -> None:
    body = service(name, **MANY)
    assert body["healthcheck"]["test"]
    assert body["restart"] == "unless-stopped"
    assert body["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


def test_fewer_replicas_take_processes_away_and_leave_the_others_alone() -> None:
    three = rendered(**MANY)["services"]
    two = rendered(**{**MANY, "open_webui_replicas": 2})["services"]
    assert three.keys() - two.keys() == {"open-webui-3"}
    # The proxy knows its upstreams by its file, and that by its label.
    assert {name for name in two if two[name] != three[name]} == {"proxy"}


def test_postgres_takes_as_many_connections_as_the_settings_say_and_its_password_from_a_file() -> None:
    postgres = service("postgres", **MANY, postgres_max_connections=321, postgres_memory_limit_mb=700)
    assert postgres["command"] == ["postgres", "-c", "max_connections=321"]
    assert postgres["mem_limit"] == "700m"
    assert postgres["environment"] == {
        "POSTGRES_USER": "postgres",  # Open WebUI's own user is no superuser (host/data/roles.sql)
        "POSTGRES_DB": "open-webui",
        "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres-password",
    }
    assert "./secrets/postgres-password:/run/secrets/postgres-password:ro" in postgres["volumes"]
    assert "mem_limit" not in service("postgres", **MANY)


def test_no_secret_has_a_value_in_any_file() -> None:
    secret_env = {"OPENAI_API_KEY": "env:A", "DATABASE_URL": "command:echo b"}
    environment = service("open-webui", open_webui_secret_env=secret_env)["environment"]
    for name in ("WEBUI_SECRET_KEY", "REDIS_URL", "WEBSOCKET_REDIS_URL", *secret_env):
        assert environment[name] == f"${{{name}:?run deploy.py}}"
    for name, value in environment.items():
        if re.search(r"SECRET|PASSWORD|TOKEN|_KEY$|_URL$", name):
            assert value.startswith("${")


def test_no_file_of_several_processes_holds_a_secret(certificate: dict[str, Any]) -> None:
    """Nor where one is read from."""
    sources = {
        "valkey_password": "env:MARKER_A",
        "open_webui_secret_key": "command:echo MARKER_B",
        "postgres_password": "file:/MARKER_C",
        "proxy_certificate_key": "env:MARKER_D",
        "open_webui_secret_env": {"OPENAI_API_KEY": "env:MARKER_E"},
    }
    changes = {**MANY, **certificate, **sources}
    assert "MARKER" not in "".join(project.files(settings(**changes)).values())
    for body in rendered(**changes)["services"].values():
        for name, value in body.get("environment", {}).items():
            if re.search(r"SECRET|PASSWORD|TOKEN|_KEY$|_URL$", name) and name not in (
                "WEBUI_URL",
                "POSTGRES_PASSWORD_FILE",
            ):
                assert value == f"${{{name}:?run deploy.py}}"


@pytest.mark.parametrize("value", NASTY.values(), ids=NASTY)
def test_a_variables_value_comes_out_as_it_went_in(value: str) -> None:
    text = service("open-webui", open_webui_env={"WEBUI_NAME": value})["environment"]["WEBUI_NAME"]
    assert "$" not in text.replace("$$", "")  # or compose would look for a variable
    assert text.replace("$$", "$") == value


def test_same_settings_render_the_same_text() -> None:
    assert project.files(settings()) == project.files(settings())


def test_the_order_of_variables_does_not_matter() -> None:
    one = {"open_webui_env": {"A": "1", "B": "2"}, "open_webui_secret_env": {"C": "env:C", "D": "env:D"}}
    two = {name: dict(reversed(list(value.items()))) for name, value in one.items()}
    assert project.files(settings(**one)) == project.files(settings(**two))
