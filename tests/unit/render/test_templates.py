"""The rendered files: the tutorial's contract, the compose schema, no secret, and a script run for real."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import SecretStr

from tests import surveys
from tests.defaults import FIXTURES, ROOT, settings
from webui_stack.host import assembly, protocol, secrets
from webui_stack.host.verbs import backup, migrate, offsite, rollback, rotate, up, upgrade
from webui_stack.model import compose, machine
from webui_stack.model.machine import Machine
from webui_stack.render import host_program, templates
from webui_stack.settings.sources import Supplied

TUTORIAL = yaml.safe_load((FIXTURES / "tutorial-compose.yml").read_text())
DEBIAN_13 = machine.parse(surveys.captured("machine/debian-13"))
NASTY = {
    "dollars": "$HOME ${X:-y} $$ 100$",
    "quotes": 'It\'s a "lab"',
    "comment": "# none",
    "colon": "key: value",
    "blanks": "  around  ",
    "backslash": "C:\\temp\\",
    "lines": "one\ntwo",
    "unicode": "Grüße, 世界",
    "empty": "",
}


class UniqueKeys(yaml.SafeLoader):
    """YAML as compose reads it: a key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise yaml.YAMLError(f"twice in one mapping: {', '.join(twice)}")
        return super().construct_mapping(node, deep)


def rendered(**changes: Any) -> dict[str, Any]:
    text = templates.project(settings(**changes))["compose.yaml"]
    project: dict[str, Any] = yaml.load(text, UniqueKeys)  # noqa: S506 a SafeLoader
    return project


def service(name: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = rendered(**changes)["services"][name]
    return found


def directives(**changes: Any) -> dict[str, str]:
    """valkey.conf's directives; each comes once."""
    text = templates.project(settings(**changes))["valkey/valkey.conf"]
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    assert len({name for name, _, _ in lines}) == len(lines)
    return {name: value for name, _, value in lines}


PASSWORD = "suppliedPassword0123456789"
# The shells of this machine, each program once: /bin/sh is often one of the other two.
SHELLS = {Path(path).resolve(): name for name in ("bash", "dash", "sh") if (path := shutil.which(name))}
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PROXIED: dict[str, Any] = {"public_url": "https://chat.example.org"}
MANY: dict[str, Any] = {**PROXIED, "open_webui_replicas": 3}
PROCESSES = ["open-webui", "open-webui-2", "open-webui-3"]
OF_MANY = ["redis", "postgres", *PROCESSES, "proxy"]


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Any]:
    """Settings of a proxy with a certificate of the operator's."""
    chain = tmp_path / "chain.pem"
    chain.write_text(PEM)
    return {
        **PROXIED,
        "proxy_tls": "files",
        "proxy_certificate": str(chain),
        "proxy_certificate_key": "env:X",
    }


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


def test_a_read_only_open_webui_has_a_place_for_what_it_writes() -> None:
    assert "read_only" not in service("open-webui")
    assert "STATIC_DIR" not in service("open-webui")["environment"]
    read_only = service("open-webui", open_webui_read_only=True)
    assert read_only["read_only"] is True
    assert read_only["tmpfs"] == ["/tmp"]
    assert read_only["environment"]["STATIC_DIR"] == "/tmp/static"


# --- compose.yaml: valid, and the tutorial's -------------------------------------------------------


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
    project = rendered(**MANY)
    project["services"]["proxy"]["port"] = project["services"]["proxy"].pop("ports")
    with pytest.raises(jsonschema.ValidationError, match="'port' was unexpected"):
        jsonschema.validate(project, compose_schema())


@pytest.mark.parametrize(
    "key",
    ["container_name", "restart", "cap_drop", "cap_add", "logging", "networks"],
)
def test_valkey_keeps_what_the_tutorial_says(key: str) -> None:
    assert service("redis")[key] == TUTORIAL["services"]["redis"][key]


def test_valkeys_health_check_is_the_tutorials_ping_as_often_while_it_starts() -> None:
    ours, tutorial = service("redis")["healthcheck"], TUTORIAL["services"]["redis"]["healthcheck"]
    assert (ours["start_interval"], ours["timeout"]) == (tutorial["interval"], tutorial["timeout"])
    assert ours["test"].startswith("valkey-cli ping")


def test_valkeys_health_check_afterwards_is_as_the_settings_say() -> None:
    changes = {"valkey_health_interval_s": 20, "valkey_health_timeout_s": 4, "valkey_health_retries": 2}
    checks = [service("redis")["healthcheck"], service("redis", **changes)["healthcheck"]]
    times = [(check["interval"], check["timeout"], check["retries"]) for check in checks]
    assert times == [("10s", "3s", 3), ("20s", "4s", 2)]


@pytest.mark.parametrize(("server", "knows"), [("", True), ("28.5.2", True), ("25.0.0", True), ("24.0.9", False)])
@pytest.mark.parametrize(
    "changes",
    [MANY, {"topology": "swarm", "swarm_runs": ["data"], "open_webui_shared_dir": "/mnt/chat"}],
    ids=["compose", "swarm"],
)
def test_an_older_engine_gets_no_key_that_it_refuses(server: str, knows: bool, changes: dict[str, Any]) -> None:
    (text, *_), (newest, *_) = (templates.project(settings(**changes), of).values() for of in (server, ""))
    assert (text.count("start_interval: ") > 0) == knows
    expected = newest if knows else "".join(line for line in newest.splitlines(True) if "start_interval: " not in line)
    assert text == expected


def test_a_text_of_the_operators_stays_on_an_older_engine() -> None:
    changes = {"open_webui_env": {"WEBUI_NAME": "a\n      start_interval: 1s\nb"}}
    project = yaml.safe_load(templates.project(settings(**changes), "20.10.24")["compose.yaml"])
    assert project["services"]["open-webui"]["environment"]["WEBUI_NAME"] == changes["open_webui_env"]["WEBUI_NAME"]


@pytest.mark.parametrize(
    ("answer", "is_alive"),
    [
        ("PONG", True),
        ("MISCONF Errors writing to the AOF file: No space left on device", True),
        ("MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.", True),
        ("BUSY Valkey is busy running a script.", True),
        # Neither healthy nor, for as long as loading may take, unhealthy: nothing is started on it.
        ("LOADING Valkey is loading the dataset in memory", False),
        ("NOAUTH Authentication required.", False),
        ("Could not connect to Valkey at 127.0.0.1:6379: Connection refused", False),
        ("", False),
    ],
)
def test_a_valkey_that_cannot_save_is_alive_and_one_that_loads_is_not_yet(
    answer: str, is_alive: bool, tmp_path: Path
) -> None:
    cli = tmp_path / "valkey-cli"
    cli.write_text(f'#!/bin/sh\n[ "$*" = ping ] && echo "{answer}"\n')
    cli.chmod(0o755)
    check = service("redis")["healthcheck"]["test"].replace("$$", "$")
    ran = subprocess.run(["sh", "-c", check], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True)
    assert (ran.returncode == 0) == is_alive


def test_valkey_may_load_for_longer_than_a_deploy_waits() -> None:
    assert service("redis")["healthcheck"]["start_period"] == "1h"


def test_valkey_keeps_the_tutorials_volume_and_its_data() -> None:
    assert set(TUTORIAL["services"]["redis"]["volumes"]) <= set(service("redis")["volumes"])
    assert rendered()["volumes"]["redis-data"] == {"name": "redis-data", "external": True}
    assert rendered(valkey_volume="chat_redis-data")["volumes"]["redis-data"]["name"] == "chat_redis-data"
    assert directives()["dir"] == "/data"


def test_valkey_is_the_tutorials_image_in_a_later_patch() -> None:
    repository, _, tag = service("redis")["image"].rpartition(":")
    tutorial_repository, _, tutorial_tag = TUTORIAL["services"]["redis"]["image"].rpartition(":")
    assert repository == tutorial_repository
    assert re.sub(r"\d+-", "*-", tag) == re.sub(r"\d+-", "*-", tutorial_tag) == "8.0.*-alpine"


def test_valkey_saves_as_the_tutorial_says() -> None:
    """The tutorial's `valkey-server --save 30 1`, by way of the configuration file."""
    program, _, arguments = TUTORIAL["services"]["redis"]["command"].partition(" ")
    assert service("redis")["command"] == ["sh", "/etc/valkey/start.sh"]
    start = templates.project(settings())["valkey/start.sh"]
    assert start.endswith(f"\nexec docker-entrypoint.sh {program} /etc/valkey/valkey.conf\n")
    assert "./valkey:/etc/valkey:ro" in service("redis")["volumes"]
    assert f"--save {directives()['save']}" == arguments


def test_the_network_is_the_tutorials() -> None:
    assert rendered()["networks"] == TUTORIAL["networks"]
    assert list(TUTORIAL["networks"]) == [compose.NETWORK]


@pytest.mark.parametrize("changes", [{}, MANY, {"database_url": "env:X", **PROXIED}], ids=["one", "many", "elsewhere"])
def test_services_and_containers_are_those_the_library_looks_for(changes: dict[str, Any]) -> None:
    wanted = settings(**changes)
    services = rendered(**changes)["services"]
    names = {name: body["container_name"] for name, body in services.items()}
    assert names == compose.containers_of(wanted.images)
    assert {name: body["image"] for name, body in services.items()} == wanted.images
    assert list(names.values()) == templates.containers(wanted)
    for service_name, container in names.items():
        assert compose.service_of(container) == service_name
        assert re.fullmatch(compose.OURS, container)
        assert any(volume.endswith(f":{compose.data_of(service_name)}") for volume in services[service_name]["volumes"])


@pytest.mark.parametrize("changes", [{}, MANY, PROXIED, {"database": "postgres"}], ids=str)
def test_every_volume_is_one_that_is_made_and_none_of_composes_own(changes: dict[str, Any]) -> None:
    declared = rendered(**changes)["volumes"]
    assert sorted(volume["name"] for volume in declared.values()) == sorted(templates.volumes(settings(**changes)))
    assert all(volume["external"] for volume in declared.values())


def test_one_process_is_rendered_with_nothing_of_replicas_database_and_proxy() -> None:
    files = templates.project(settings())
    assert list(files) == ["compose.yaml", "valkey/valkey.conf", "valkey/start.sh"]
    project = rendered()
    assert list(project["services"]) == ["redis", "open-webui"]
    assert list(project["volumes"]) == ["redis-data", "open-webui"]
    assert project["services"]["open-webui"]["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert list(project["services"]["open-webui"]["environment"]) == [
        "WEBUI_SECRET_KEY",
        "REDIS_URL",
        "WEBSOCKET_REDIS_URL",
        "CORS_ALLOW_ORIGIN",
        "ENABLE_DB_MIGRATIONS",
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
    assert words.findall("".join(templates.project(settings(**MANY)).values()))


@pytest.mark.parametrize(
    "changes",
    [
        {"database_pool_size": 9, "database_pool_overflow": 9, "postgres_max_connections": 99},
        {"postgres_image": "registry.example.org/pgvector:1.0", "proxy_image": "registry.example.org/caddy:1.0"},
        {"proxy_tls": "internal", "proxy_bind": "127.0.0.1", "proxy_http_port": 81, "proxy_acme_email": "a@b"},
        {"database_switch": ["a"], "swarm_runs": ["data"], "swarm_manager": True},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_one_process_is_rendered_the_same_whatever_is_set_of_what_it_has_not(changes: dict[str, Any]) -> None:
    assert templates.project(settings(**changes)) == templates.project(settings())


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


# --- compose.yaml: several processes, a database and a proxy ---------------------------------------------


@pytest.mark.parametrize("changes", [MANY, PROXIED, {**PROXIED, "database_url": "env:X"}], ids=str)
def test_only_the_proxy_publishes_ports(changes: dict[str, Any]) -> None:
    services = rendered(**changes)["services"]
    assert {name: body["ports"] for name, body in services.items() if "ports" in body} == {
        "proxy": ["0.0.0.0:443:443", "0.0.0.0:80:80"]
    }
    assert all(body["networks"] == ["openwebui-network"] and "network_mode" not in body for body in services.values())


@pytest.mark.parametrize(
    ("changes", "ports"),
    [
        ({"public_url": "https://chat.example.org:8443"}, ["0.0.0.0:8443:443", "0.0.0.0:80:80"]),
        ({"proxy_bind": "::1"}, ["[::1]:443:443", "[::1]:80:80"]),
        ({"proxy_http_port": 8080}, ["0.0.0.0:443:443", "0.0.0.0:8080:80"]),
        ({"proxy_http_port": 0}, ["0.0.0.0:443:443"]),
    ],
    ids=str,
)
def test_the_proxy_is_published_where_the_settings_say(changes: dict[str, Any], ports: list[str]) -> None:
    assert service("proxy", **{**PROXIED, **changes})["ports"] == ports


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
    asked = templates.up_request(settings(open_webui_image=image), [])
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


def test_the_proxy_is_made_anew_for_another_file_and_for_another_key(certificate: dict[str, Any]) -> None:
    files = templates.project(settings(**certificate))
    proxy = service("proxy", **certificate)
    text = files["proxy/Caddyfile"] + files["proxy/certificate.pem"]
    assert proxy["labels"] == {
        "open-webui-stack.proxy-files": hashlib.sha256(text.encode()).hexdigest(),
        "open-webui-stack.proxy-key": "${PROXY_KEY_SHA256:?run deploy.py}",
    }
    assert "./secrets/proxy-key:/run/secrets/proxy-key:ro" in proxy["volumes"]
    Path(certificate["proxy_certificate"]).write_text(PEM.replace("MIIB", "MIIC"))
    renewed = rendered(**certificate)["services"]
    assert renewed["proxy"]["labels"] != proxy["labels"]
    assert renewed["open-webui"] == service("open-webui", **certificate)


def test_no_secret_of_the_proxy_is_mounted_where_it_has_none() -> None:
    proxy = service("proxy", **PROXIED)
    assert proxy["volumes"] == ["proxy:/data", "./proxy:/etc/caddy:ro"]
    assert list(proxy["labels"]) == ["open-webui-stack.proxy-files"]


# --- Caddyfile: what `caddy validate` says of it, the lab knows ------------------------------------------


def caddyfile(**changes: Any) -> str:
    return templates.project(settings(**{**PROXIED, **changes}))["proxy/Caddyfile"]


def block(text: str, start: str) -> str:
    """A block of the Caddyfile, from the line it starts with to the brace that closes it."""
    assert text.count(f"\n{start} {{\n") == 1
    return text.partition(f"\n{start} {{\n")[2].partition("\n}\n")[0]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({}, None, id="acme is Caddy's own way"),
        pytest.param({"proxy_tls": "internal"}, "\ttls internal", id="internal"),
        pytest.param({"proxy_tls": "files"}, "\ttls /etc/caddy/certificate.pem /run/secrets/proxy-key", id="files"),
    ],
)
def test_the_certificate_comes_from_where_the_settings_say(
    changes: dict[str, Any], line: str | None, certificate: dict[str, Any]
) -> None:
    if changes.get("proxy_tls") == "files":
        changes = certificate
    site = block(caddyfile(**changes), "chat.example.org").splitlines()
    assert [text for text in site if text.startswith("\ttls")] == ([line] if line else [])
    files = templates.project(settings(**{**PROXIED, **changes}))
    assert ("proxy/certificate.pem" in files) == (changes.get("proxy_tls") == "files")


def test_the_certificate_is_the_operators_file(certificate: dict[str, Any]) -> None:
    Path(certificate["proxy_certificate"]).write_text(PEM.rstrip("\n"))
    assert templates.project(settings(**certificate))["proxy/certificate.pem"] == PEM


@pytest.mark.parametrize(
    ("replicas", "upstreams"),
    [(1, "open-webui:8080"), (3, "open-webui:8080 open-webui-2:8080 open-webui-3:8080")],
)
def test_the_proxy_knows_every_process(replicas: int, upstreams: str) -> None:
    text = caddyfile(open_webui_replicas=replicas)
    assert re.findall(r"reverse_proxy (.*) \{", text) == [upstreams]
    services = rendered(**{**MANY, "open_webui_replicas": replicas})["services"]
    assert {upstream.removesuffix(":8080") for upstream in upstreams.split()} <= services.keys()


@pytest.mark.parametrize(
    ("public_url", "target"),
    [
        ("https://chat.example.org", "https://chat.example.org"),
        ("https://chat.example.org/", "https://chat.example.org"),
        ("https://chat.example.org:8443", "https://chat.example.org:8443"),
    ],
)
def test_plain_http_leads_to_the_public_url_with_its_port(public_url: str, target: str) -> None:
    """Caddy's own redirect knows nothing of the port that is published."""
    text = caddyfile(public_url=public_url)
    assert block(text, "http://chat.example.org") == f"\tredir {target}{{uri}} permanent"
    assert block(text, "chat.example.org")  # within its container it listens on 443, whatever is published


def test_without_a_port_for_plain_http_there_is_no_redirect() -> None:
    assert "redir" in caddyfile()
    text = caddyfile(proxy_http_port=0)
    assert "redir" not in text
    assert "http://chat.example.org" not in text


def test_the_ca_hears_of_the_operator_only_when_there_is_an_address() -> None:
    assert "\n\temail ops@example.org\n" in caddyfile(proxy_acme_email="ops@example.org")
    assert "email" not in caddyfile()


def test_what_caddy_would_change_at_run_time_is_switched_off_and_its_health_is_its_own() -> None:
    text = caddyfile()
    assert "\n\tadmin off\n" in text
    assert block(text, "http://127.0.0.1:2020") == "\tbind 127.0.0.1\n\trespond 200"
    assert service("proxy", **PROXIED)["healthcheck"]["test"][-1] == "http://127.0.0.1:2020/"


# --- compose.yaml: environment ---------------------------------------------------------------------


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
    assert "MARKER" not in "".join(templates.project(settings(**changes)).values())
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


def test_a_variable_of_the_operator_wins_over_our_default() -> None:
    changed = templates.open_webui_environment(settings(open_webui_env={"REDIS_HEALTH_CHECK_INTERVAL": "30"}))
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
    changed = templates.open_webui_environment(settings(**changes))
    assert {name: changed[name] for name in expected} == expected


def test_plain_http_gets_no_secure_cookie() -> None:
    changed = templates.open_webui_environment(settings(open_webui_public_url="http://chat.example.org"))
    assert "WEBUI_SESSION_COOKIE_SECURE" not in changed


# --- Same settings, same text ----------------------------------------------------------------------


def test_same_settings_render_the_same_text() -> None:
    assert templates.project(settings()) == templates.project(settings())


def test_the_order_of_variables_does_not_matter() -> None:
    one = {"open_webui_env": {"A": "1", "B": "2"}, "open_webui_secret_env": {"C": "env:C", "D": "env:D"}}
    two = {name: dict(reversed(list(value.items()))) for name, value in one.items()}
    assert templates.project(settings(**one)) == templates.project(settings(**two))


@pytest.mark.parametrize(
    ("name", "value", "directive", "expected"),
    [
        ("valkey_save", "60 5", "save", "60 5"),
        ("valkey_save", "", "save", '""'),
        ("valkey_appendonly", False, "appendonly", "no"),
        ("valkey_appendfsync", "always", "appendfsync", "always"),
        ("valkey_maxclients", 500, "maxclients", "500"),
        ("valkey_timeout_s", 0, "timeout", "0"),
        ("valkey_pubsub_buffer", "64mb 8mb 60", "client-output-buffer-limit", "pubsub 64mb 8mb 60"),
    ],
)
def test_a_valkey_setting_is_in_its_file_and_recreates_the_container(
    name: str, value: Any, directive: str, expected: str
) -> None:
    assert directives(**{name: value})[directive] == expected
    assert directives()[directive] != expected
    label = "open-webui-stack.valkey-files"
    assert service("redis", **{name: value})["labels"][label] != service("redis")["labels"][label]
    assert service("open-webui", **{name: value}) == service("open-webui")


def test_the_label_is_the_hash_of_the_very_files() -> None:
    files = templates.project(settings())
    label = service("redis")["labels"]["open-webui-stack.valkey-files"]
    text = files["valkey/valkey.conf"] + files["valkey/start.sh"]
    assert label == hashlib.sha256(text.encode()).hexdigest()


def test_a_setting_of_open_webui_leaves_valkey_alone() -> None:
    changes: dict[str, Any] = {"open_webui_port": 8080, "open_webui_offline": True, "open_webui_env": NASTY}
    assert service("redis", **changes) == service("redis")
    assert service("open-webui", **changes) != service("open-webui")


def test_valkey_never_evicts_and_its_users_protect_it() -> None:
    conf = directives()
    assert conf["maxmemory-policy"] == "noeviction"
    assert (conf["protected-mode"], conf["aclfile"]) == ("no", "/run/users.acl")


def test_valkey_may_open_a_file_for_each_client() -> None:
    assert service("redis", valkey_maxclients=20000)["ulimits"]["nofile"] > 20000


@pytest.mark.parametrize("value", [0, 30, 600])
def test_the_watchdog_pauses_as_long_as_the_settings_say(value: int) -> None:
    ((path, unit),) = templates.watchdog(
        settings(watchdog_pause_s=value), Machine(python="/usr/bin/python3.11")
    ).items()
    assert path == "/etc/systemd/system/open-webui-watchdog.service"
    assert f"ExecStart=/usr/bin/python3.11 -I -S {host_program.place()} watch plain\n" in unit
    assert asked_of_watchdog(unit)["pause_s"] == value


def asked_of_watchdog(unit: str) -> Mapping[str, Any]:
    """What systemd gives the service on stdin (systemd.exec(5), StandardInputText=)."""
    (text,) = re.findall(r"(?m)^StandardInputText=(.*)$", unit)
    assert not {"%", "\\"} & set(text), "systemd would take them for the begin of something"
    return protocol.Request.read("watch", text).arguments


def test_the_watchdog_is_the_same_for_each_release() -> None:
    """A rollback to an earlier one leaves the unit as it is; what runs says whether it has to be restarted."""
    image = "ghcr.io/open-webui/open-webui:v0.11.4"
    assert templates.watchdog(settings(open_webui_image=image), Machine()) == templates.watchdog(settings(), Machine())


def test_systemd_keeps_what_the_watchdog_says_and_not_each_of_its_starts() -> None:
    assert "\nSyslogLevel=notice\nLogLevelMax=notice\n" in "".join(templates.watchdog(settings(), Machine()).values())


def test_the_default_user_is_closed_once_valkey_has_loaded_also_where_its_disk_is_full(tmp_path: Path) -> None:
    """Otherwise nobody could ask it anything, until somebody restarts it."""
    (tmp_path / "users.acl").write_text("user default on nopass resetkeys resetchannels -@all +ping\nuser monitor on\n")
    (tmp_path / "answers").write_text(
        "NOAUTH\nLOADING Valkey is loading\nMISCONF Errors writing to the AOF file\nBUSY\nOK\n"
    )
    for name, text in {
        "valkey-cli": 'echo "$*" >>asked; head -n 1 answers; sed -i 1d answers',
        "docker-entrypoint.sh": "true",
        "sleep": "true",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = templates.project(settings())["valkey/start.sh"].replace("/etc/valkey/", "./").replace("/run/", "./run-")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", f"{script.replace('exec ', '')}\nwait"], cwd=tmp_path, env=environment, check=True)
    rules = "acl setuser default reset on nopass resetkeys resetchannels -@all +ping"
    assert (tmp_path / "asked").read_text().splitlines() == ["ping", "ping", "ping", rules, rules]


def test_the_start_script_is_good_shell() -> None:
    start = templates.project(settings())["valkey/start.sh"]
    checked = subprocess.run(["sh", "-n"], input=start, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


REPLICATED: dict[str, Any] = {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}


RESTIC: dict[str, Any] = {
    "backup_restic_repository": "s3:https://s3.example.org/it is $HOME",
    "backup_restic_password": "env:X",
}


def test_the_timer_copies_a_set_only_where_there_is_a_repository() -> None:
    service = "/etc/systemd/system/open-webui-backup.service"
    without = templates.backup(settings(backup_schedule="daily"), Machine())[service]
    assert "restic" not in without
    assert " backup plain\n" in without
    some = settings(backup_schedule="daily", backup_keep=3, **RESTIC)
    text = templates.backup(some, Machine())[service]
    assert " offsite_backup plain\n" in text
    (line,) = (line.partition("=")[2] for line in text.splitlines() if line.startswith("StandardInputText="))
    asked = protocol.Request.read("offsite_backup", line.replace("%%", "%").replace("\\\\", "\\")).arguments
    assert asked["backup"] == templates.backup_request(some)
    assert offsite.Copy(**asked["copy"]) == offsite.Copy(
        some.stack_dir, some.backup_dir, "s3:https://s3.example.org/it is $HOME", 3
    )


def test_what_opens_the_repository_is_shown_by_no_request() -> None:
    wanted = {"RESTIC_PASSWORD": SecretStr('it\'s a "$marker"')}
    some = settings(**RESTIC, restore_restic_host="chat-1")
    key, bring = templates.offsite_key_request(some, wanted), templates.offsite_bring_request(some, wanted)
    assert "marker" not in f"{key}{bring!r}"
    asked = offsite.Bring(**bring)
    assert asked.environment == {"RESTIC_PASSWORD": 'it\'s a "$marker"'}
    assert (asked.wanted, asked.host) == ("newest", "chat-1")
    assert "marker" not in f"{asked}"


@pytest.mark.parametrize("rotated", [*([name] for name in templates.SECRET_FILES), [*templates.SECRET_FILES]], ids=str)
def test_the_host_is_asked_for_a_rotation_by_names_and_files(rotated: list[str]) -> None:
    some = settings(verify_level="user")
    asked = json.loads(json.dumps(templates.rotate_request(some, Supplied(SecretStr(PASSWORD), None, {}), rotated)))
    request = rotate.Request(**asked["request"])
    assert assembly.Stack(**asked["stack"]).folder == some.stack_dir
    assert (request.rotated, request.containers) == (rotated, templates.containers(some))
    assert request.files == [file for name in rotated for file in templates.SECRET_FILES[name]]
    assert secrets.wish(asked["wish"]).folder == some.stack_dir
    assert PASSWORD not in f"{asked['stack']} {asked['request']}"


def test_what_a_host_is_asked_for_holds_only_secrets_that_were_supplied_and_shows_none() -> None:
    wanted = settings(valkey_password="env:X", open_webui_secret_env={"OPENAI_API_KEY": "env:Y"})
    without = json.dumps(templates.secrets_request(wanted, Supplied(None, None, {})))
    assert "OPENAI_API_KEY" not in without
    assert not re.search(r"[A-Za-z0-9]{32}", without)
    supplied = Supplied(SecretStr(PASSWORD), None, {"OPENAI_API_KEY": SecretStr("sk-x")})
    hidden = templates.secrets_request(wanted, supplied)
    rotation = templates.rotate_request(wanted, supplied, ["valkey_password"])
    assert PASSWORD not in f"{hidden} {hidden!r} {rotation} {rotation!r}"
    for text in (json.dumps(hidden), json.dumps(rotation)):
        assert (text.count(PASSWORD), text.count("sk-x")) == (1, 1)


def test_nothing_that_the_host_says_advises_to_remove_a_volume() -> None:
    for path in (ROOT / "webui_stack/host").rglob("*.py"):
        assert "volume rm" not in path.read_text(), path.name


def test_the_host_is_asked_for_a_migration_without_a_secret() -> None:
    some = settings(**REPLICATED)
    asked = json.loads(json.dumps(templates.migrate_request(some)))
    stack, request = assembly.Stack(**asked["stack"]), migrate.Request(**asked["request"])
    assert (stack.database, stack.postgres_volume) == ("postgres", some.postgres_volume)
    assert (request.image, request.containers) == (some.open_webui_image, templates.containers(some))
    assert backup.Request(**request.backup).backup_dir == stack.backup_dir
    assert not re.search(r"[A-Za-z0-9]{32}", json.dumps(asked))


def test_a_schedule_brings_a_timer() -> None:
    path = "/etc/systemd/system/open-webui-backup.timer"
    assert path not in templates.backup(settings(), Machine())
    assert "\nOnCalendar=*-*-* 03:30\n" in templates.backup(settings(backup_schedule="*-*-* 03:30"), Machine())[path]


@pytest.mark.parametrize("changes", [{}, REPLICATED, {"database_url": "env:X"}], ids=["sqlite", "postgres", "external"])
def test_the_host_is_asked_for_a_deploy_by_names_and_without_a_secret(changes: dict[str, Any]) -> None:
    work = [
        compose.Work("redis", "x", unpause=True),
        compose.Work("open-webui", "y", recreate=True),
        compose.Work("open-webui-9", "z", remove=True),
    ]
    some = settings(**changes)
    asked = json.loads(json.dumps(templates.up_request(some, work, migrates=True)))
    stack, request = assembly.Stack(**asked["stack"]), up.Request(**asked["request"])
    assert (stack.folder, stack.database, request.migrates) == (some.stack_dir, some.database_kind, True)
    assert (request.unpause, request.recreate, request.remove, request.replace) == (
        ["redis-valkey"],
        ["open-webui"],
        ["open-webui-9"],
        [],
    )
    assert (request.image, request.valkey_image) == (some.open_webui_image, some.valkey_image)
    assert request.containers == templates.containers(some)
    assert "env:X" not in str(asked)


def test_the_host_is_asked_for_an_upgrade_as_for_a_deploy_and_a_set() -> None:
    some, work = settings(**REPLICATED), [compose.Work("open-webui", "y", recreate=True)]
    asked = json.loads(json.dumps(templates.upgrade_request(some, work)))
    assembly.Stack(**asked["stack"])
    request = upgrade.Request(**asked["request"])
    assert request.up == json.loads(json.dumps(templates.up_request(some, work)["request"]))
    assert up.read(request.up).recreate == ["open-webui"]
    assert backup.Request(**request.backup).holds_lock


def test_the_host_is_asked_about_releases_by_names() -> None:
    some = settings()
    stack = templates.stack_request(some)
    assert templates.releases_request(some) == {"stack": stack}
    assert templates.recover_request(some) == {"stack_dir": some.stack_dir, "stack": stack}
    assert templates.compare_request(some) == {
        "stack": stack,
        "image": some.open_webui_image,
        "valkey_image": some.valkey_image,
    }
    asked = rollback.Request(**templates.rollback_request(some, "previous", may_replace=True)["request"])
    assert (asked.to, asked.may_replace, asked.containers) == ("previous", True, templates.containers(some))


def test_what_was_made_by_hand_is_replaced_only_with_the_operators_word() -> None:
    work = [compose.Work(service, "made by hand", replace=True) for service in ("redis", "open-webui")]
    assert templates.up_request(settings(), work)["request"]["replace"] == []
    found = templates.up_request(settings(stack_adopt=True), work)["request"]["replace"]
    assert found == ["redis-valkey", "open-webui"]


# --- Docker's repository ----------------------------------------------------------------------------


def test_repository_for_apt() -> None:
    found = templates.docker_repository(settings(docker_repo_url="https://packages.example.org/linux"), DEBIAN_13)
    assert found["/etc/apt/sources.list.d/docker.sources"] == (
        "# Written by open-webui-stack; a change made here is put back by the next deploy.\n"
        "Types: deb\n"
        "URIs: https://packages.example.org/linux/debian\n"
        "Suites: trixie\n"
        "Components: stable\n"
        "Architectures: amd64\n"
        "Signed-By: /etc/apt/keyrings/docker.asc\n"
    )


def test_repository_for_dnf_takes_its_key_from_a_file_and_never_from_where_the_packages_are(tmp_path: Path) -> None:
    rocky = machine.Machine(distribution="rocky", version="9.5", architecture="aarch64")
    found = templates.docker_repository(settings(docker_repo_url="https://packages.example.org/linux"), rocky)
    assert found["/etc/yum.repos.d/docker-ce.repo"] == (
        "# Written by open-webui-stack; a change made here is put back by the next deploy.\n"
        "[docker-ce-stable]\n"
        "name=Docker CE Stable\n"
        "baseurl=https://packages.example.org/linux/centos/$releasever/$basearch/stable\n"
        "enabled=1\n"
        "gpgcheck=1\n"
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce\n"
    )
    key = "/etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce"
    assert found[key] == (ROOT / "templates/docker-ce.asc").read_text()
    own = tmp_path / "mirror.asc"
    own.write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmine\n-----END PGP PUBLIC KEY BLOCK-----\n")
    assert templates.docker_repository(settings(docker_repo_rpm_key=str(own)), rocky)[key] == own.read_text()


@pytest.mark.parametrize("status", [0, 1])
def test_a_schedule_that_systemd_does_not_read_is_refused_with_its_words(tmp_path: Path, status: int) -> None:
    program = tmp_path / "systemd-analyze"
    program.write_text(f'#!/bin/sh\n[ "$*" = "calendar Mon..Fri *-*-* 03:30" ] && echo seen && exit {status}\n')
    program.chmod(0o755)
    command = templates.check_schedule_command("Mon..Fri *-*-* 03:30")
    made = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    words = "expected a calendar expression of systemd, got 'Mon..Fri *-*-* 03:30'; systemd.time(7) explains it"
    assert made.returncode == status
    assert made.stderr == (f"backup_schedule: {words}\n" if status else "")
