"""One survey tells all of a host, reads only, and shows no secret. Docker without an answer is a state of the host."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.defaults import settings
from tests.host.asking import NOTHING, arguments, request, silent, surveyed
from tests.host.fake_engine import FakeEngine
from tests.host.fake_system import FakeSystem
from webui_stack.host import compose, secrets
from webui_stack.host.engine import Engine, EngineError, Info, Network, NewContainer, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.stack import STACK_LABEL
from webui_stack.host.system import System
from webui_stack.host.verbs import survey as verb
from webui_stack.model import survey
from webui_stack.render import survey_requests
from webui_stack.settings.model import Settings
from webui_stack.settings.sources import Supplied

SWARM: dict[str, Any] = {
    "topology": "swarm",
    "swarm_runs": ["data"],
    "open_webui_shared_dir": "/mnt/chat",
    "stack_dir": "/nonexistent/stack",
}


def nowhere(**changes: Any) -> Settings:
    return settings(stack_dir="/nonexistent/stack", **changes)


def asked_of(*answers: str) -> tuple[FakeSystem, list[Sequence[str]]]:
    """A machine with a docker, that tells its compose's version, and hashes with `answers`; and what it was asked."""
    asked: list[Sequence[str]] = []

    def docker(arguments: Sequence[str]) -> str:
        asked.append(arguments)
        return "2.26.1\n" if "version" in arguments else "".join(f"{line}\n" for line in answers)

    return FakeSystem(Path("/"), ip="", docker=docker), asked


class Older(FakeEngine):
    def info(self) -> Info:
        return replace(super().info(), version="24.0.9")


# --- Of this machine, and as a whole


def test_the_survey_of_a_machine_without_a_stack_is_whole(tmp_path: Path) -> None:
    """Of this one, as it is: whatever is on it, the survey is whole and says so."""
    engine = Engine(str(tmp_path / "no.sock"))
    found = survey.parse(surveyed(nowhere(), system=System(), engine=engine))
    assert found.machine.epoch_s > 0
    assert found.stale["/nonexistent/stack/.env"] == "content"
    assert (found.refused, found.services.containers, found.docker.containers) == ("", {}, None)


def test_the_verb_answers_the_request_of_a_deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.host.dockerd.socket", lambda *_: str(tmp_path / "no.sock"))
    events: list[Any] = []
    document = verb.run(arguments(nowhere()), events.append)
    assert survey.parse(json.loads(json.dumps(document))).machine.epoch_s > 0
    assert events == []


def test_a_request_shows_no_secret_when_printed() -> None:
    """The very text that travels holds them."""
    supplied = Supplied(SecretStr("sesame0123456789ab"), None, {"A": SecretStr("sesame-too")})
    some = nowhere(open_webui_secret_env={"A": "env:X"})
    sent = survey_requests.survey_request(some, supplied)
    assert "sesame" in "".join(sent)
    assert "sesame" not in f"{sent} {sent!r}"
    assert "compose" not in f"{sent} {sent!r}"


def test_nothing_in_the_document_is_a_secret() -> None:
    engine = FakeEngine()
    engine.docker.put_image("image:1")
    engine.docker.put_container("open-webui", NewContainer("image:1", env={"WEBUI_SECRET_KEY": "sesame-by-hand"}))
    supplied = Supplied(SecretStr("sesame0123456789ab"), SecretStr("sesame0123456789abcd"), {"A": SecretStr("sesame")})
    some = nowhere(open_webui_secret_env={"A": "env:X"}, stack_adopt=True)
    system, asked = asked_of("redis c1")
    document = surveyed(some, supplied, system=system, engine=engine)
    assert [one["name"] for one in document["containers"]] == ["open-webui"]
    assert "sesame" not in json.dumps(document)
    assert "sesame" not in str(asked)
    assert any("sesame" in str(one.environment) for one in system.asked)


def test_a_survey_changes_nothing(tmp_path: Path) -> None:
    surveyed(settings(stack_dir=str(tmp_path / "stack")), engine=FakeEngine())
    assert list(tmp_path.iterdir()) == []


# --- Docker that answers, or does not


def test_a_docker_that_does_not_answer_is_a_state() -> None:
    document = surveyed(nowhere(), engine=silent())
    assert document["docker_config"]["containers"] is None
    assert (document["docker_config"]["swarm_state"], document["engine"]["server"]) == ("", "")
    assert (document["images"], document["network"], document["containers"]) == ({}, None, [])


@pytest.mark.parametrize("question", ["running", "image", "network", "container"])
def test_an_engine_that_answers_some_questions_and_fails_another_is_an_error(question: str) -> None:
    """What it did not say would count as absent."""

    class Half(FakeEngine):
        def __getattribute__(self, name: str) -> Any:
            def fails(*_: Any, **__: Any) -> Any:
                raise Unavailable(question, "none in time")

            return fails if name == question else super().__getattribute__(name)

    with pytest.raises(EngineError, match=f"expected an answer to {question}, got none in time"):
        surveyed(nowhere(), engine=Half())


def test_an_engine_that_refuses_to_say_what_it_is_is_an_error() -> None:
    class Refuses(FakeEngine):
        def info(self) -> Info:
            raise EngineError("docker", expected="an answer", got="permission denied", do="x")

    with pytest.raises(EngineError, match="permission denied"):
        surveyed(nowhere(), engine=Refuses())


def test_containers_of_the_stack_are_told_and_those_of_others_in_its_network() -> None:
    engine = FakeEngine()
    engine.docker.put_image("image:1")
    name = arguments(nowhere())["network"]
    engine.docker.networks[name] = Network("n1", name, "bridge", "local", False, (), {})
    engine.docker.put_container("redis-valkey", NewContainer("image:1", network=name))
    engine.docker.put_container("guest", NewContainer("image:1", network=name))
    engine.docker.put_container("open-webui", NewContainer("image:1"), start=False)
    engine.docker.put_container("somebodys", NewContainer("image:1"))
    document = surveyed(nowhere(), engine=engine)
    assert [one["name"] for one in document["containers"]] == ["guest", "open-webui", "redis-valkey"]
    assert [one["name"] for one in document["docker_config"]["containers"]] == ["redis-valkey", "guest", "somebodys"]
    assert document["docker_config"]["there"] == 4


def test_a_host_without_docker_has_no_versions() -> None:
    found = surveyed(nowhere(), engine=silent())["engine"]
    assert (found["cli"], found["server"], found["compose"]) == (False, "", "")


# --- The stack as it is wanted


def test_compose_is_asked_of_the_file_that_this_engine_would_get() -> None:
    for engine, knows in ((FakeEngine(), True), (Older(), False)):
        system, _ = asked_of("redis c1", "open-webui c2")
        document = surveyed(nowhere(), system=system, engine=engine)
        assert document["project"]["hashes"] == {"redis": "c1", "open-webui": "c2"}
        (file,) = [one.stdin for one in system.asked if one.stdin]
        assert ("start_interval: " in file) == knows


def test_a_host_without_compose_has_no_hashes() -> None:
    assert surveyed(nowhere(), engine=FakeEngine())["project"]["hashes"] == {}


def test_what_compose_said_when_the_stack_was_good_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    some = nowhere()
    system, asked = asked_of("redis asked")
    asked_for = request(some)
    assert asked_for.project is not None
    state = secrets.look(Files(), silent(), secrets.wish(asked_for.project.secrets))
    for key, hashes in (
        (compose.key(asked_for.project.file, state.env), {"redis": "known"}),
        ("k", {"redis": "asked"}),
    ):
        asked.clear()
        known = compose.Known("2.26.1", key, {"redis": "known"})
        monkeypatch.setattr(compose, "known", lambda *_, known=known: known)
        assert surveyed(some, system=system, engine=FakeEngine())["project"]["hashes"] == hashes
        assert len(asked) == (0 if hashes == {"redis": "known"} else 1)


def test_a_secret_that_can_not_be_used_is_told_and_compose_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir(mode=0o755)
    (tmp_path / "stack/notes.txt").touch()
    system, asked = asked_of()
    document = surveyed(settings(stack_dir=str(tmp_path / "stack")), system=system, engine=FakeEngine())
    assert document["project"] == {
        "stale": {},
        "refused": f"{tmp_path}/stack: expected an empty folder or one that this project made, got one with other "
        "files in it; set stack_dir to another, or move them away",
        "hashes": {},
        "mounted": {},
        "inputs": "",
    }
    assert not [one for one in asked if "config" in one]


# --- In a swarm


def test_the_host_with_the_data_tells_what_the_stack_is_made_of_and_another_does_not() -> None:
    with_data = surveyed(settings(**SWARM), engine=FakeEngine())
    assert len(with_data["project"]["inputs"]) == 64
    assert with_data["project"]["hashes"] == {}
    without = surveyed(settings(**{**SWARM, "swarm_runs": ["open-webui"]}), engine=FakeEngine())
    assert without["project"] is None
    assert without["swarm"]["member"]["state"] == "inactive"
    assert surveyed(nowhere(), engine=FakeEngine())["swarm"] is None


def test_in_a_swarm_all_containers_of_the_stack_are_told() -> None:
    engine = FakeEngine()
    engine.docker.put_image("image:1")
    labels = {STACK_LABEL: arguments(settings(**SWARM))["swarm"]}
    engine.docker.put_container("open-webui_open-webui.1.x", NewContainer("image:1", labels=labels))
    engine.docker.put_container("somebodys", NewContainer("image:1"))
    names = [one["name"] for one in surveyed(settings(**SWARM), engine=engine)["containers"]]
    assert names == ["open-webui_open-webui.1.x"]


@pytest.mark.parametrize("noted", [True, False])
def test_a_docker_without_an_answer_that_notes_a_swarm_is_an_error_in_a_swarm(tmp_path: Path, noted: bool) -> None:
    """Elsewhere it is told, and the deploy decides."""
    note = tmp_path / "root/swarm/docker-state.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"LocalAddr":""}' if noted else "")
    daemon = {"data-root": str(tmp_path / "root")}
    assert surveyed(nowhere(docker_daemon=daemon))["docker_config"]["swarm_noted"] == noted
    if noted:
        with pytest.raises(HostError, match=r"^swarm: expected Docker to name its swarm, got no answer; "):
            surveyed(settings(**SWARM, docker_daemon=daemon))
    else:
        assert surveyed(settings(**SWARM, docker_daemon=daemon), NOTHING)["swarm"]["member"]["state"] == "inactive"
