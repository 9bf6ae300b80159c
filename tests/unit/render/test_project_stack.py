"""The stack of a swarm as it is rendered: what `docker stack deploy` makes of it, and what its deploy is asked."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests import yaml_text
from tests.defaults import settings
from tests.host.fake_files import FakeFiles
from webui_stack.host.assembly import Stack
from webui_stack.host.stack_file import StackFile
from webui_stack.host.verbs.swarm import Request
from webui_stack.model.swarm import LABELS, Work
from webui_stack.render import project, stack_requests
from webui_stack.render.environment import open_webui_environment
from webui_stack.settings.model import Settings

SWARM = {
    "topology": "swarm",
    "public_url": "https://chat.example.org",
    "open_webui_shared_dir": "/srv/shared/open-webui",
    "open_webui_replicas": 3,
    "swarm_manager": True,
    "swarm_runs": ["data", "proxy", "open-webui"],
}
S3 = {"open_webui_shared_dir": None, "open_webui_env": {"STORAGE_PROVIDER": "s3"}}
EXTERNAL = {"database_url": "env:URL"}


def of(**changes: Any) -> Settings:
    return settings(**{**SWARM, **changes})


def stack(**changes: Any) -> dict[str, Any]:
    """The definition with its variables as they are named."""
    text = project.files(of(**changes))["stack.yaml"]
    found: dict[str, Any] = yaml_text.read(text)
    return found


VARIANTS: list[dict[str, Any]] = [
    {},
    S3,
    EXTERNAL,
    {"open_webui_read_only": True},
    {**S3, "open_webui_read_only": True},
    {"open_webui_memory_limit_mb": 2048, "valkey_memory_limit_mb": 512, "postgres_memory_limit_mb": 1024},
    {"open_webui_pids_limit": 0, "valkey_pids_limit": 0},
    {"open_webui_cap_add": ["DAC_OVERRIDE"]},
    {"proxy_http_port": 0},
    {"ollama": "service"},
    {"ollama": "service", "outbound_proxy": {"https": "http://proxy.example.org:3128"}},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_each_service_has_what_a_swarm_needs_and_nothing_it_ignores(changes: dict[str, Any]) -> None:
    services = stack(**changes)["services"]
    assert set(services) == set(of(**changes).images)
    # Refused, or ignored without a word by some (docker stack deploy, 26.1).
    deaf = {"restart", "security_opt", "container_name", "depends_on", "tmpfs", "pids_limit", "mem_limit", "shm_size"}
    for service in services.values():
        assert not deaf & service.keys()
        assert service["deploy"]["endpoint_mode"] == "dnsrr"
        assert service["cap_drop"] == ["ALL"]
        assert service["networks"] == ["openwebui-network"]
        assert service["healthcheck"]["test"]
        assert re.fullmatch(r"\$\{[A-Z_]+_IMAGE:\?run deploy\.py\}", service["image"]), "a tag is asked of a registry"
        assert "setpriv" in f"{service.get('entrypoint')} {service['command']}"
        for volume in service.get("volumes", []):
            assert isinstance(volume, dict) or ":" in volume


def test_a_browser_hears_within_half_a_minute_that_its_host_is_gone() -> None:
    names = ("WEBSOCKET_SERVER_PING_INTERVAL", "WEBSOCKET_SERVER_PING_TIMEOUT")
    found = stack()["services"]["open-webui"]["environment"]
    assert sum(int(found[name]) for name in names) <= 30
    on_one_host = open_webui_environment(of(topology="compose", open_webui_shared_dir=None, swarm_runs=[]))
    assert not set(names) & on_one_host.keys()
    own = stack(open_webui_env={names[0]: "5"})["services"]["open-webui"]["environment"]
    assert own[names[0]] == "5"


def test_what_a_host_that_is_gone_had_open_is_closed_within_half_a_minute() -> None:
    services = stack()["services"]
    for name in ("redis", "postgres", "open-webui"):
        # (2^(6+1) - 1) x 200 ms, the shortest first wait: 25 s (Linux, ip-sysctl).
        assert services[name]["sysctls"] == {"net.ipv4.tcp_retries2": 6}
    keepalives = {"tcp_keepalives_idle": 15, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
    assert {f"--{name}={value}" for name, value in keepalives.items()} <= set(services["postgres"]["command"])


def test_data_stay_where_their_volumes_are_and_the_rest_goes_by_label() -> None:
    services = stack()["services"]
    constraints = {name: one["deploy"]["placement"]["constraints"] for name, one in services.items()}
    data = [f"node.labels.{LABELS['data']} == true"]
    assert constraints == {
        "redis": data,
        "postgres": data,
        "open-webui": [f"node.labels.{LABELS['open-webui']} == true"],
        "proxy": [f"node.labels.{LABELS['proxy']} == true"],
    }
    assert services["proxy"]["deploy"]["mode"] == "global"
    assert {port["mode"] for port in services["proxy"]["ports"]} == {"host"}
    assert [name for name, one in services.items() if "ports" in one] == ["proxy"]


def test_no_process_migrates_and_what_does_not_get_healthy_is_taken_back() -> None:
    process = stack()["services"]["open-webui"]
    assert process["environment"]["ENABLE_DB_MIGRATIONS"] == "false"
    assert process["deploy"]["update_config"]["failure_action"] == "rollback"
    assert process["deploy"]["update_config"]["parallelism"] == 1


def test_what_fails_is_taken_back_before_the_next_is_stopped() -> None:
    updates = [one["deploy"]["update_config"] for one in stack()["services"].values()]
    rolled_back = [update for update in updates if update["failure_action"] == "rollback"]
    assert [update["delay"] for update in rolled_back] == ["2s", "2s"]


def test_no_secret_is_in_the_definition_and_each_is_read_from_a_file(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    found = stack(proxy_tls="files", proxy_certificate=str(chain), proxy_certificate_key="env:KEY")
    environment = found["services"]["open-webui"]["environment"]
    assert not {"WEBUI_SECRET_KEY", "REDIS_URL", "WEBSOCKET_REDIS_URL", "DATABASE_URL"} & environment.keys()
    given = {name: one["name"] for name, one in found["secrets"].items()}
    assert given == {
        "open-webui-env": "open-webui-open-webui-env-${OPEN_WEBUI_ENV_SHA256:?run deploy.py}",
        "postgres-password": "open-webui-postgres-password-${POSTGRES_PASSWORD_SHA256:?run deploy.py}",
        "proxy-key": "open-webui-proxy-key-${PROXY_KEY_SHA256:?run deploy.py}",
    }
    for section in ("secrets", "configs", "volumes", "networks"):
        assert all(one["external"] is True for one in found[section].values())


def test_another_file_of_the_proxy_is_another_config() -> None:
    def name(**changes: Any) -> str:
        files = project.files(of(**changes))
        sha256 = hashlib.sha256(files["proxy/Caddyfile"].encode()).hexdigest()
        found = str(yaml_text.read(files["stack.yaml"])["configs"]["caddyfile"]["name"])
        assert found == f"open-webui-caddyfile-{sha256[:12]}"
        return found

    assert name() != name(proxy_acme_email="admin@example.org")


def test_the_proxy_asks_where_the_processes_are() -> None:
    caddyfile = project.files(of())["proxy/Caddyfile"]
    assert "dynamic a {\n\t\t\tname open-webui\n\t\t\tport 8080\n" in caddyfile
    assert "health_uri" not in caddyfile, "Caddy has no active checks of dynamic upstreams"


def test_uploads_are_in_the_shared_folder_or_in_no_folder() -> None:
    (folder,) = stack()["services"]["open-webui"]["volumes"]
    assert folder == {"type": "bind", "source": "/srv/shared/open-webui", "target": "/app/backend/data"}
    assert stack(**S3)["services"]["open-webui"]["volumes"] == []


def test_only_the_host_with_the_data_has_files() -> None:
    assert project.files(of(swarm_runs=["open-webui"], swarm_manager=False)) == {}
    assert next(iter(project.files(of()))) == "stack.yaml"


def test_hidden_characters_of_a_setting_reach_the_process() -> None:
    name = """It's a $lab "chat" ${HOME}"""
    text = project.files(of(open_webui_env={"WEBUI_NAME": name}))["stack.yaml"]
    found = yaml_text.read(text)["services"]["open-webui"]["environment"]["WEBUI_NAME"]
    assert found.replace("$$", "$") == name
    assert "$" not in found.replace("$$", "")


def request(**changes: Any) -> Request:
    asked = stack_requests.swarm_request(of(**changes))
    assert Stack(**asked["stack"]).folder == "/opt/open-webui"
    return Request(**json.loads(json.dumps(asked["request"])))


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_the_hosts_program_reads_the_definition_and_gives_all_that_it_leaves_open(changes: dict[str, Any]) -> None:
    text, asked = project.files(of(**changes))["stack.yaml"], request(**changes)
    files = FakeFiles()
    files.make_folder("/s")
    files.write("/s/stack.yaml", text)
    file = StackFile(files, "/s")
    assert sorted(file.services()) == sorted(asked.images) == sorted(yaml_text.read(text)["services"])
    assert file.replicas() == asked.replicas == 3
    given = {one["variable"] for one in asked.images.values()} | set(asked.secrets.values())
    assert set(re.findall(r"\$\{([A-Z_0-9]+)", text)) == given | {
        *("VALKEY_ACL_SHA256", "OPEN_WEBUI_REPLICAS", "OPEN_WEBUI_ORDER")
    }


def test_only_the_migrator_migrates_and_it_sees_peoples_folder() -> None:
    asked = request()
    assert asked.environment["ENABLE_DB_MIGRATIONS"] == "true"
    assert asked.environment.items() >= open_webui_environment(of()).items()
    assert (asked.shared_dir, request(**S3).shared_dir) == ("/srv/shared/open-webui", "")


def test_only_an_upgrade_may_change_data_and_only_what_is_crowded_gets_new_tasks() -> None:
    some = of()
    crowded = stack_requests.swarm_request(some, [Work("crowded", again="open-webui"), Work("other")])["request"]
    assert (crowded["upgrades"], crowded["again"]) == (False, ["open-webui"])
    assert stack_requests.swarm_request(some, upgrades=True)["request"]["upgrades"] is True


def test_no_secret_is_in_a_request_and_each_has_its_name() -> None:
    asked = request(open_webui_secret_env={"OPENAI_API_KEY": "env:X"})
    assert {"WEBUI_SECRET_KEY", "REDIS_URL", "DATABASE_URL", "OPENAI_API_KEY"} <= set(asked.variables)
    assert asked.secrets == project.stack_secrets(of())
    assert "env:X" not in str(asked)
