"""What a take-over would drop: names alone, whatever is in the variables; and a question that fails is never "none"."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_docker import Exit, Process, Program
from tests.host.fake_engine import REFUSED, UNAVAILABLE, FakeEngine
from tests.host.faults import CRASH_AFTER, CRASH_BEFORE, Crash, Faults
from webui_stack.host import protocol
from webui_stack.host.engine import Container, Mount, NewContainer, NotFound, Port
from webui_stack.host.errors import HostError
from webui_stack.host.verbs import hand_made
from webui_stack.plan import adoption
from webui_stack.plan.adoption import HandMade
from webui_stack.render import survey_requests

KEY = "k" * 44
OWN_KEY = "/app/backend/.webui_secret_key"
ARGUMENTS = protocol.Request.read("hand_made", survey_requests.hand_made_request()).arguments
PORTS = (Port("8080/tcp", "0.0.0.0", 3000), Port("8080/tcp", "::", 3000))


class Engine(FakeEngine):
    """With what the engine in memory can't make: `more` is of each container, by its name."""

    more: dict[str, dict[str, Any]]

    def container(self, name: str) -> Container:
        return replace(super().container(name), **self.more.get(name, {}))


class World:
    """A host with the tutorial's two containers, made by hand."""

    def __init__(self, **env: str) -> None:
        self.engine = Engine()
        self.engine.more = {"open-webui": {"ports": PORTS, "published": ("8080/tcp",)}}
        self.answer: Callable[[Process], bytes] = lambda _: b'{"version":"0.12.4","deployment_id":""}'
        docker = self.engine.docker
        docker.put_image("valkey:1")
        program = Program(commands={"curl": lambda process: self.answer(process)})
        image = docker.put_image("open-webui:1", program, env={"PATH": "/bin", "ENV": "prod"})
        docker.images[image] = replace(docker.images[image], labels={"org.label": "x", "maintainer": "somebody"})
        self.engine.create_network("openwebui-network")
        self.put("redis-valkey", NewContainer("valkey:1", volumes=["tutorial_redis-data:/data"]))
        self.put("open-webui", NewContainer("open-webui:1", env=env, volumes=["open-webui:/app/backend/data"]))

    def put(self, name: str, new: NewContainer) -> None:
        self.engine.docker.put_container(name, replace(new, network="openwebui-network"))

    def document(self) -> dict[str, Any]:
        """The document as it is sent."""
        sent: dict[str, Any] = json.loads(json.dumps(hand_made.look(hand_made.Request(**ARGUMENTS), self.engine)))
        return sent

    def found(self) -> HandMade:
        return adoption.parse(self.document())


def test_the_tutorial_has_nothing_that_would_be_dropped() -> None:
    found = World(WEBSOCKET_MANAGER="redis").found()
    ports = ("8080/tcp -> 0.0.0.0:3000",)
    assert found == HandMade(frozenset({"WEBSOCKET_MANAGER"}), ports, "0.12.4")


def test_the_verb_answers_on_this_machine_that_its_docker_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui_stack.host.dockerd.socket", lambda *_: str(tmp_path / "no.sock"))
    monkeypatch.setattr("webui_stack.host.verbs.hand_made.require_root", lambda: None)
    with pytest.raises(HostError, match=r"^docker: expected an answer to "):
        hand_made.run(ARGUMENTS, lambda _: None)


@pytest.mark.parametrize(
    ("given", "kind", "names"),
    [
        ({"labels": {"traefik.users": "marker", "maintainer": "marker"}}, "labels", ("traefik.users",)),
        ({"extra_hosts": ("ollama:198.18.0.9",)}, "extra_hosts", ("ollama:198.18.0.9",)),
        ({"devices": ("/dev/x", "GPU")}, "devices", ("/dev/x", "GPU")),
        ({"published": ("8080/tcp", "9090/tcp")}, "ports", ("9090/tcp",)),
        ({"privileged": True}, "privileges", ("privileged",)),
        ({"cap_add": ("NET_RAW", "SETUID", "CAP_SETGID")}, "privileges", ("NET_RAW",)),
        ({"user": "1000:1000"}, "privileges", ("user 1000:1000",)),
    ],
)
def test_each_thing_that_it_was_given_is_told_by_its_kind(
    given: dict[str, Any], kind: str, names: tuple[str, ...]
) -> None:
    world = World()
    world.engine.more["open-webui"].update(given)
    document = world.document()
    assert adoption.parse(document).extras == {"open-webui": {kind: names}}
    assert "marker" not in str(document)


def test_networks_and_mounts_are_told_of_each_container() -> None:
    world = World()
    world.engine.create_network("proxy")
    for name in ("redis-valkey", "open-webui"):
        world.engine.remove(name, force=True)
        image = "valkey:1" if name == "redis-valkey" else "open-webui:1"
        new = NewContainer(image, volumes=["models:/srv/models"], network="proxy")
        world.engine.docker.put_container(name, new)
    found = world.found()
    given = {"networks": ("proxy",), "mounts": ("/srv/models",)}
    assert found.extras == {"open-webui": given, "redis-valkey": given}


# --- Values, for an overlay that keeps them


def test_of_mounts_their_source_is_told_and_whether_they_may_be_written() -> None:
    world = World()
    mounts = (
        Mount("volume", "/app/backend/data", "open-webui", "/var/lib/docker/volumes/open-webui/_data"),
        Mount("bind", "/srv/models", source="/data/models", writable=False),
    )
    world.engine.more["open-webui"]["mounts"] = mounts
    assert world.document()["containers"]["open-webui"]["mounts"] == [
        {"target": "/app/backend/data", "kind": "volume", "source": "open-webui", "writable": True},
        {"target": "/srv/models", "kind": "bind", "source": "/data/models", "writable": False},
    ]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("traefik.enable", "true", True),
        ("traefik.http.routers.chat.rule", "Host(`chat.example.org`) && PathPrefix(`/`)", True),
        ("traefik.http.services.chat.loadbalancer.server.port", "8080", True),
        ("traefik.http.middlewares.login.basicauth.users", "ada:x", False),
        ("backup.password", "x", False),
        ("api-KEY", "x", False),
        ("rule", "ada:$2y$05$c4WoMPo3SXsafkva.HHa6u", False),
        ("hash", "3fZ9mbkH8tYv+Qw/0rX5pL2cN7sD1gJ4uE6aB8iK9oM=", False),
        ("url", "https://ada:sesame@example.org", False),
    ],
)
def test_the_value_of_a_label_stays_on_the_host_where_it_may_be_a_secret(name: str, value: str, told: bool) -> None:
    world = World()
    world.engine.more["open-webui"]["labels"] = {name: value}
    assert world.document()["containers"]["open-webui"]["labels"] == {name: value if told else None}


# --- Secrets


def test_of_variables_only_the_names_are_told() -> None:
    document = World(OPENAI_API_KEY="sk-marker", WEBUI_SECRET_KEY=KEY, ENV="marker").document()
    found = adoption.parse(document)
    assert found.variables == {"OPENAI_API_KEY", "WEBUI_SECRET_KEY"}
    assert found.key_length == len(KEY)
    assert "marker" not in str(document)
    assert KEY not in str(document)


def test_of_a_key_in_its_own_file_the_length_is_told() -> None:
    world = World()
    assert world.found().key_length == 0
    world.engine.docker.named("open-webui").files[OWN_KEY] = b"q2Vt+XJrZXI/L1==\n"
    document = world.document()
    assert adoption.parse(document).key_length == 16
    assert "q2Vt" not in str(document)
    world.engine.stop("open-webui")
    assert world.found().key_length == 16, "it need not run for that"


# --- What is not there


def test_a_container_that_is_not_there_is_left_out() -> None:
    world = World()
    world.engine.remove("open-webui", force=True)
    assert world.document()["open_webui"] is None
    world.engine.remove("redis-valkey", force=True)
    assert world.found() == adoption.NONE


def test_a_container_that_does_not_run_has_no_version_and_all_the_rest() -> None:
    world = World(OPENAI_API_KEY="x")
    world.engine.stop("open-webui")
    found = world.found()
    assert (found.version, found.variables) == ("", frozenset({"OPENAI_API_KEY"}))


def test_without_its_image_everything_is_its_own() -> None:
    """Somebody removed it by force. Then too much is told, and never too little."""
    world = World(OPENAI_API_KEY="x")
    world.engine.more["open-webui"]["labels"] = {"maintainer": "somebody"}
    assert world.found().extras == {}
    world.engine.docker.programs["gone"] = world.engine.docker.programs[world.engine.container("open-webui").image_id]
    world.engine.docker.named("open-webui").image_id = "gone"
    found = world.found()
    assert found.extras == {"open-webui": {"labels": ("maintainer",)}}
    assert "OPENAI_API_KEY" in found.variables


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b'"0.12.4"', b'{"detail":"Not Found"}', b'{"version":null}', b"\xff"]
)
def test_an_open_webui_that_names_no_version_has_none(answer: bytes) -> None:
    world = World()
    world.answer = lambda _: answer
    assert world.found().version == ""


@pytest.mark.parametrize("code", [7, 28, 127])
def test_an_open_webui_that_does_not_answer_has_no_version(code: int) -> None:
    def fail(_: Process) -> bytes:
        raise Exit(code, b"password sesame is wrong")

    world = World()
    world.answer = fail
    assert world.found().version == ""


# --- What nobody could ask


def test_a_container_that_goes_while_it_is_asked_is_not_one_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def gone(name: str, _: str) -> bytes:
        raise NotFound("container", name)

    monkeypatch.setattr(world.engine, "read_file", gone)
    with pytest.raises(NotFound):
        world.document()


@pytest.mark.crash
@pytest.mark.parametrize("kind", [UNAVAILABLE, REFUSED, CRASH_BEFORE, CRASH_AFTER])
def test_no_answer_of_docker_is_never_a_container_without_extras(kind: str) -> None:
    """Every call fails once, in each way in which it can, and is the last one once; then it is asked again."""
    whole = World()
    whole.engine.faults = Faults()  # what made them is not counted
    whole.document()
    points = [point for point in whole.engine.faults.points() if point.kind.startswith(kind)]
    assert len(points) >= (1 if kind == CRASH_AFTER else 6)
    for point in points:
        world = World()
        before = _state(world)
        world.engine.faults = Faults(point)
        with pytest.raises((HostError, Crash)):
            world.document()
        world.engine.faults = Faults()
        assert world.found() == whole.found(), "the next run knows"
        assert _state(world) == before, "a look changes nothing"


def _state(world: World) -> list[Any]:
    return [(one.name, one.status, one.new, dict(one.files)) for one in world.engine.docker.held.values()]
