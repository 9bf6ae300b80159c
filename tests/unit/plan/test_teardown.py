"""What a teardown asks of the host's program: names that are this project's, and no others; how it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.defaults import settings
from webui_stack.documents.document import IncompleteError
from webui_stack.host import protocol
from webui_stack.host.removal import Request
from webui_stack.model import docker_config
from webui_stack.model.docker import Engine
from webui_stack.model.machine import Machine
from webui_stack.model.survey import Survey
from webui_stack.plan import teardown

DEBIAN_13 = Machine(distribution="debian", version="13")
WITH_ALL: dict[str, Any] = {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}


def asked(observed: Survey | None = None, **changes: Any) -> Request:
    return Request(**teardown.request(settings(**changes), "a", observed or Survey(DEBIAN_13)))


def with_docker(**daemon: Any) -> Survey:
    text = json.dumps(daemon)
    docker = docker_config.Observed(sha256=docker_config.sha256(text), text=text)
    return Survey(DEBIAN_13, Engine(versions={"docker-ce": "1", "docker.io": "1"}), docker)


def test_docker_goes_with_what_is_installed_of_it_and_its_own_files() -> None:
    wanted = settings().docker_daemon_json
    found = asked(with_docker(**wanted), teardown_docker=True)
    assert (found.docker, found.package_manager, found.packages) == ("removed", "apt", ["docker-ce"])
    assert "/etc/apt/sources.list.d/docker.sources" in found.docker_files
    assert "/etc/docker/daemon.json" in found.docker_files
    more = asked(with_docker(**wanted, mtu=1400), teardown_docker=True)
    assert "/etc/docker/daemon.json" not in more.docker_files


def test_docker_stays_unless_the_settings_say_otherwise_and_this_project_installed_it() -> None:
    assert asked().docker == "kept"
    assert asked(teardown_docker=True, docker_source="present").docker == "present"


def test_data_and_backups_go_on_hosts_that_are_named() -> None:
    found = asked(teardown_data=["a", "b"], teardown_backups=["b"])
    assert (found.data, found.backups) == (True, False)
    found = asked(teardown_data=["b"], teardown_backups=["a"])
    assert (found.data, found.backups) == (False, True)


def test_containers_of_services_that_nobody_wants_any_more_are_known() -> None:
    found = asked()
    assert found.containers == ["redis-valkey", "open-webui"]
    optional = {"open-webui-postgres", "open-webui-ollama", "open-webui-proxy"}
    assert {"redis-valkey", "open-webui", *optional} == set(found.known)
    assert found.volumes == ["redis-data", "open-webui"]
    assert found.remembered == {
        "open-webui-postgres": "open-webui-postgres",
        "open-webui-ollama": "open-webui-ollama",
        "open-webui-proxy": "open-webui-proxy",
    }


def test_volumes_of_services_that_are_wanted_are_no_memory() -> None:
    found = asked(**WITH_ALL, ollama="service")
    assert set(found.volumes) >= {"open-webui-postgres", "open-webui-ollama", "open-webui-proxy"}
    assert found.remembered == {}
    assert "open-webui-2" in found.known


def test_the_look_reads_the_request_in_a_line() -> None:
    line = teardown.look_request(settings(), "a", Survey(DEBIAN_13))
    read = protocol.Request.read("teardown_look", line)
    assert Request(**read.arguments) == asked()


def test_an_answer_is_read_and_written_as_operators_see_it() -> None:
    items = [
        {"what": "container open-webui", "state": "goes", "why": "", "kind": "container", "name": "open-webui"},
        {"what": "volume x", "state": "unknown", "why": "it could not be looked at: no", "kind": "volume", "name": "x"},
    ]
    found = teardown.parse({"items": items})
    assert [str(one) for one in found] == [
        "goes    container open-webui",
        "stays   volume x: it could not be looked at: no",
    ]
    assert [one.goes for one in found] == [True, False]


@pytest.mark.parametrize("content", [{}, {"items": [{"what": "x", "state": "gone", "why": ""}]}], ids=["cut", "other"])
def test_an_answer_that_is_not_whole_is_none(content: dict[str, Any]) -> None:
    with pytest.raises(IncompleteError, match=r"^teardown: expected the section 'items', got"):
        teardown.parse(content)
