"""Where Open WebUI gets its models: its variables, and the Ollama of a stack."""

from __future__ import annotations

from typing import Any

import pytest

from tests import yaml_text
from tests.defaults import settings
from tests.unit.render.projects import PROXIED, SWARM, rendered, service
from webui_stack.host.verbs.models import Request
from webui_stack.model.swarm import LABELS
from webui_stack.render import backup_requests, project, stack_requests

TWO = [{"url": "https://a.example.org/v1/", "key": "env:A"}, {"url": "http://vllm.example.org:8000/v1"}]


def variables(**changes: Any) -> dict[str, str]:
    found: dict[str, str] = service("open-webui", **changes)["environment"]
    return {name: value for name, value in found.items() if "OLLAMA" in name or "OPENAI" in name}


def test_apis_are_in_the_order_of_their_keys_and_no_key_is_in_the_definition() -> None:
    assert variables(openai_connections=TWO) == {
        "ENABLE_OLLAMA_API": "false",
        "OPENAI_API_BASE_URLS": "https://a.example.org/v1;http://vllm.example.org:8000/v1",
        "OPENAI_API_KEYS": "${OPENAI_API_KEYS:?run deploy.py}",
    }


def test_a_swarm_gets_the_keys_with_its_other_secrets() -> None:
    asked = stack_requests.swarm_request(settings(**SWARM, openai_connections=TWO))["request"]
    assert "OPENAI_API_KEYS" in asked["variables"]
    assert "OPENAI_API_KEYS" not in project.files(settings(**SWARM, openai_connections=TWO))["stack.yaml"]


def test_a_set_says_that_it_may_have_the_keys_in_clear() -> None:
    assert backup_requests.backup_request(settings(openai_connections=TWO))["in_clear"] == ["OPENAI_API_KEYS"]


@pytest.mark.parametrize(
    ("ollama", "url"),
    [
        ("host", "http://host.docker.internal:11434"),
        ("service", "http://ollama:11434"),
        ("http://192.0.2.10:11434/", "http://192.0.2.10:11434"),
    ],
)
def test_open_webui_asks_the_ollama_that_is_meant(ollama: str, url: str) -> None:
    assert variables(ollama=ollama) == {"ENABLE_OLLAMA_API": "true", "OLLAMA_BASE_URL": url}


@pytest.mark.parametrize(
    "changes",
    [
        {"open_webui_env": {"OLLAMA_BASE_URLS": "http://192.0.2.10:11434"}},
        {"open_webui_secret_env": {"OLLAMA_BASE_URL": "env:X"}},
        {"open_webui_image": "ghcr.io/open-webui/open-webui:v0.12.4-ollama"},
    ],
    ids=["a variable", "a secret variable", "an image with an Ollama within"],
)
def test_without_the_setting_an_ollama_of_the_operators_own_stays_on(changes: dict[str, Any]) -> None:
    assert "ENABLE_OLLAMA_API" not in variables(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"ollama": "host"},
        {"ollama": "http://host.docker.internal:8080"},
        {"openai_connections": [{"url": "http://host.docker.internal:8000/v1"}]},
        {"open_webui_env": {"TIKA_SERVER_URL": "http://host.docker.internal:9998"}},
    ],
    ids=["host", "URL", "API", "variable"],
)
def test_the_name_of_the_server_itself_resolves_where_it_is_asked_for(changes: dict[str, Any]) -> None:
    assert service("open-webui", **changes)["extra_hosts"] == ["host.docker.internal:host-gateway"]


def test_the_name_of_the_server_itself_is_nowhere_else() -> None:
    assert "extra_hosts" not in service("open-webui", ollama="http://192.0.2.10:11434")
    assert "extra_hosts" not in service("ollama", ollama="service")


def test_the_ollama_of_a_stack_keeps_its_models_in_a_volume_and_is_not_published() -> None:
    found = service("ollama", ollama="service")
    assert found["volumes"] == ["ollama:/root/.ollama"]
    assert found["healthcheck"]["test"] == ["CMD", "ollama", "list"]
    assert found["networks"] == ["openwebui-network"]
    assert (found["cap_drop"], found["read_only"]) == (["ALL"], True)
    assert not {"ports", "deploy"} & set(found)
    assert "ollama" not in service("open-webui", ollama="service")["depends_on"]


def test_a_gpu_is_reserved_only_where_the_setting_says_so() -> None:
    devices = service("ollama", ollama="service", ollama_gpu=True)["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]


def test_in_a_swarm_ollama_is_on_the_host_with_the_data() -> None:
    wanted = settings(**SWARM, ollama="service")
    found = yaml_text.read(project.files(wanted)["stack.yaml"])
    assert found["services"]["ollama"]["image"] == "${OLLAMA_IMAGE:?run deploy.py}"
    assert found["services"]["ollama"]["deploy"]["placement"]["constraints"] == [
        f"node.labels.{LABELS['data']} == true"
    ]
    assert found["volumes"]["ollama"] == {"name": "open-webui-ollama", "external": True}
    assert found["services"]["open-webui"]["environment"]["OLLAMA_BASE_URL"] == "http://ollama:11434"
    assert "OLLAMA_IMAGE=x" in project.check_command(wanted, str)


def test_ollama_comes_before_those_who_ask_it_and_after_the_data() -> None:
    assert list(rendered(**PROXIED, ollama="service")["services"]) == ["redis", "ollama", "open-webui", "proxy"]
    assert list(settings(**PROXIED, ollama="service").images) == ["redis", "ollama", "open-webui", "proxy"]


def test_no_model_is_in_a_set_and_the_set_is_told_where_to_ask_for_their_names() -> None:
    asked = backup_requests.backup_request(settings(ollama="service"))
    assert "open-webui-ollama" not in [*asked["volumes"], *asked["images"]], "it may be new to the stack"
    assert asked["ollama"] == {"container": "open-webui-ollama", "network": "openwebui-network", "gateway": ""}
    assert backup_requests.backup_request(settings())["ollama"] == {}


def test_a_request_for_models_is_one_that_the_verb_reads() -> None:
    here = Request(**stack_requests.models_request(settings(), ["a", "b"], of_set="newest"))
    assert (here.models, here.container, here.gateway) == (["a", "b"], "open-webui-ollama", "")
    assert (here.sets, here.chosen) == ("/var/backups/open-webui", "newest")
    there = Request(**stack_requests.models_request(settings(**SWARM), ["a"]))
    assert (there.container, there.gateway, there.chosen) == ("open-webui_ollama", "docker_gwbridge", "")
