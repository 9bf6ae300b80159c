"""What explains a check that failed: never a secret, and what could not be read explains nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_engine import REFUSED, UNAVAILABLE, FakeEngine
from tests.host.fake_system import FakeSystem
from tests.host.faults import CRASH_BEFORE, Crash, Faults
from webui_stack.documents import document
from webui_stack.host.engine import Info, NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.stack import SERVICE_LABEL
from webui_stack.host.verbs import cause
from webui_stack.model import firewall
from webui_stack.verify import hints as operators

GIVEN = {
    "WEBSOCKET_MANAGER": "redis",
    "WEBSOCKET_REDIS_URL": "redis://open-webui:marker@redis:6379/1",
    "CORS_ALLOW_ORIGIN": "https://chat.example.org",
    "WEBUI_SECRET_KEY": "marker",
}
FLUSHED = "-P PREROUTING ACCEPT\n"


class World:
    """A host whose packet filter was flushed."""

    def __init__(self, folder: Path) -> None:
        self.system = FakeSystem(folder, iptables=FLUSHED)
        self.engine = FakeEngine()
        self.engine.docker.put_image("image:1")
        self.engine.docker.put_container("open-webui", NewContainer("image:1", env=GIVEN))

    def document(self, *containers: str) -> dict[str, Any]:
        """The document as it is sent."""
        asked = cause.Request(**operators.request(containers))
        sent: dict[str, Any] = json.loads(json.dumps(cause.look(asked, self.system, self.engine)))
        document.checked("cause", operators._form(), sent)
        return sent


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_variables_are_told_without_a_password_and_rules_that_are_gone(world: World) -> None:
    found = world.document("open-webui")
    assert found["containers"] == {
        "open-webui": {
            "values": {"WEBSOCKET_MANAGER": "redis", "CORS_ALLOW_ORIGIN": "https://chat.example.org"},
            "addresses": {"WEBSOCKET_REDIS_URL": "redis://redis:6379/1"},
            "in_swarm": False,
        }
    }
    assert firewall.gone(found["packet_filter"]) == ["nat", "filter"]
    assert found["unread"] == []
    assert "marker" not in str(found)


def test_the_verb_answers_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.host.dockerd.socket", lambda *_: str(tmp_path / "no.sock"))
    monkeypatch.setattr("webui_stack.host.verbs.cause.require_root", lambda: None)
    found = cause.run(operators.request(["open-webui"]), lambda _: None)
    assert (found["packet_filter"], found["containers"]) == (None, {})
    assert len(found["unread"]) == 2


def test_a_container_that_is_not_there_is_left_out(world: World) -> None:
    found = world.document("open-webui", "open-webui-2")
    assert (list(found["containers"]), found["unread"]) == (["open-webui"], [])


def test_a_task_of_a_swarm_is_told_as_one(world: World) -> None:
    new = NewContainer("image:1", labels={SERVICE_LABEL: "open-webui_open-webui"})
    made = world.engine.docker.put_container("open-webui_open-webui.1.x", new)
    assert world.document(made.id)["containers"][made.id]["in_swarm"]


def test_rules_of_a_rootless_docker_are_nobodys_matter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    info: Info = replace(world.engine.info(), security_options=("name=rootless",))
    monkeypatch.setattr(world.engine, "info", lambda: info)
    assert firewall.gone(world.document()["packet_filter"]) == []


@pytest.mark.crash
@pytest.mark.parametrize("kind", [UNAVAILABLE, REFUSED, CRASH_BEFORE])
def test_what_could_not_be_read_is_told_and_explains_nothing(tmp_path: Path, kind: str) -> None:
    whole = World(tmp_path / "whole")
    whole.document("open-webui")
    points = [point for point in whole.engine.faults.points() if point.kind == kind]
    assert len(points) == 3
    for number, point in enumerate(points):
        world = World(tmp_path / str(number))
        world.engine.faults = Faults(point)
        if kind == CRASH_BEFORE:
            with pytest.raises(Crash):
                world.document("open-webui")
            continue
        found = world.document("open-webui")
        assert len(found["unread"]) == 1
        name = whole.engine.faults.calls[point.index].name
        if "container" in name:
            assert found["containers"] == {}
        elif "info" in name:
            assert found["packet_filter"] is None


def test_an_iptables_that_fails_leaves_its_rules_unknown(world: World) -> None:
    world.system.programs["iptables"] = lambda _: None
    found = world.document()
    assert firewall.gone(found["packet_filter"]) == []
    assert len(found["unread"]) == 2


def test_only_root_can_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(HostError, match=r"^privileges: expected root"):
        cause.run(operators.request([]), lambda _: None)
