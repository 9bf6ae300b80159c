"""The models of the stack's Ollama come where they are missing, whatever Ollama answers; and none of them goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_engine import FakeEngine
from tests.host.ollama_server import OllamaServer
from webui_stack.host import ollama
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.ollama import Ollama, Place, tagged
from webui_stack.host.protocol import Event
from webui_stack.host.verbs import models as verb
from webui_stack.host.verbs.models import Request

PLACE = Place("open-webui-ollama", "openwebui-network")
SETS = "/var/backups/open-webui"


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    found = OllamaServer()
    yield found
    found.end()


def at(server: OllamaServer, clock: FakeClock | None = None) -> Ollama:
    return Ollama("127.0.0.1", clock or FakeClock(), server.port)


def pulled(server: OllamaServer, *wanted: str) -> tuple[list[str], list[Event]]:
    said: list[Event] = []
    clock = FakeClock()
    return verb.pulled(wanted, at(server, clock), clock, said.append), said


def test_missing_models_are_pulled_in_their_order_and_a_second_run_pulls_none(server: OllamaServer) -> None:
    server.models = ["somebodys:7b"]
    assert pulled(server, "nomic-embed-text", "llama3.2:1b")[0] == ["nomic-embed-text", "llama3.2:1b"]
    assert server.models == ["somebodys:7b", "nomic-embed-text:latest", "llama3.2:1b"]
    server.asked.clear()
    assert pulled(server, "nomic-embed-text", "llama3.2:1b") == ([], [])
    assert server.asked == ["GET /api/tags"]


def test_a_pull_says_which_model_it_is_at_and_how_far(server: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.host.progress.PAUSE_S", 0.0)
    said = pulled(server, "llama3.2:1b")[1]
    assert {event.text for event in said} == {"pulling the model llama3.2:1b"}
    assert [(event.done, event.total) for event in said[1:]] == [
        *((0, 1000), (500, 1000), (1000, 1000)),
        *((1000, 1010), (1005, 1010), (1010, 1010)),
    ]


def test_a_model_that_the_registry_does_not_have_is_named_and_the_ones_before_it_stay(server: OllamaServer) -> None:
    with pytest.raises(HostError) as caught:
        pulled(server, "llama3.2:1b", "lama:1b", "nomic-embed-text")
    assert caught.value.where == "ollama_models: lama:1b"
    assert caught.value.got == "pull model manifest: file does not exist"
    assert server.models == ["llama3.2:1b"]


@pytest.mark.parametrize("lines", range(8))
def test_a_pull_that_is_cut_off_is_an_error_and_the_next_one_ends_it(server: OllamaServer, lines: int) -> None:
    server.cut = lines
    with pytest.raises(HostError, match="ollama: expected an answer of the stack's Ollama, got an end of its answer"):
        pulled(server, "llama3.2:1b")
    assert server.models == []
    server.cut = None
    assert pulled(server, "llama3.2:1b")[0] == ["llama3.2:1b"]


@pytest.mark.parametrize(
    "line", [b"<html>\n", b"[]\n", b"\xff\n", b'{"status": "succ'], ids=["HTML", "a list", "no text", "half a line"]
)
def test_an_answer_of_another_form_is_no_success(server: OllamaServer, line: bytes) -> None:
    server.lines = [line]
    with pytest.raises(HostError, match="got a broken answer"):
        at(server).pull("llama3.2:1b", lambda *_: None)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"models": [1]}', b'{"models": null}', b"\xff"])
def test_a_list_of_another_form_is_not_a_list_without_models(server: OllamaServer, text: bytes) -> None:
    server.lines = [text]
    with pytest.raises(HostError, match="no list of models"):
        at(server).models()


def test_an_error_text_is_shortened_and_has_no_control_characters(server: OllamaServer) -> None:
    server.lines = [json.dumps({"error": "\x1b[2Jx" * 200}).encode() + b"\n"]
    with pytest.raises(HostError) as caught:
        at(server).pull("llama3.2:1b", lambda *_: None)
    assert "\x1b" not in caught.value.got
    assert len(caught.value.got) == 300


def test_an_ollama_that_is_not_there_is_an_error_and_not_one_without_models(server: OllamaServer) -> None:
    server.end()
    with pytest.raises(HostError, match="no answer"):
        at(server).models()


def test_a_pull_ends_by_its_limit(server: OllamaServer) -> None:
    clock = FakeClock()
    with pytest.raises(HostError, match=r"no end of the pull of .* in 12 h"):
        at(server, clock).pull("llama3.2:1b", lambda *_: clock.sleep(ollama.PULL_S + 1))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("llama3.2:1b", "llama3.2:1b"),
        ("nomic-embed-text", "nomic-embed-text:latest"),
        ("registry.example.org:5000/team/model", "registry.example.org:5000/team/model:latest"),
        ("hf.co/team/model:Q4_K_M", "hf.co/team/model:Q4_K_M"),
    ],
)
def test_a_model_without_a_tag_is_the_latest(model: str, expected: str) -> None:
    assert tagged(model) == expected


# --- Where it is


def engine(*, start: bool = True) -> FakeEngine:
    found = FakeEngine()
    found.docker.put_image("ollama:1")
    found.create_network(PLACE.network)
    found.docker.put_container(PLACE.container, NewContainer("ollama:1", network=PLACE.network), start=start)
    return found


def test_an_ollama_that_runs_is_found_by_its_address_in_the_stacks_network() -> None:
    docker = engine()
    found = ollama.find(docker, PLACE, FakeClock())
    assert found is not None
    assert found.address == docker.container(PLACE.container).networks[PLACE.network].address != ""


@pytest.mark.parametrize("place", [Place("another", PLACE.network), Place(PLACE.container, "another")])
def test_no_ollama_is_found_where_there_is_none(place: Place) -> None:
    assert ollama.find(engine(), place, FakeClock()) is None


def test_an_ollama_that_is_stopped_is_not_asked() -> None:
    assert ollama.find(engine(start=False), PLACE, FakeClock()) is None


def test_without_an_ollama_all_models_are_missing_and_a_pull_is_refused() -> None:
    assert verb.missing(["a", "b"], None) == ["a", "b"]
    with pytest.raises(HostError, match="ollama_models: expected the stack's Ollama to run"):
        verb.pulled(["a"], None, FakeClock(), lambda _: None)


# --- Of a set


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({"models": "llama3.2:1b,mine:latest"}, ["mine", "new:1", "llama3.2:1b"]),
        ({"models": ""}, ["mine", "new:1"]),
        ({}, ["mine", "new:1"]),
        ([], ["mine", "new:1"]),
    ],
)
def test_a_restore_wants_the_models_of_its_set_as_well(tmp_path: Path, manifest: object, expected: list[str]) -> None:
    made = tmp_path / "20261129T030000Z"
    made.mkdir()
    (made / "manifest.json").write_text(json.dumps(manifest))
    asked = Request("x", "y", models=["mine", "new:1"], sets=str(tmp_path), chosen="newest")
    assert verb.wanted(asked, Files(), FakeClock()) == expected


def test_a_set_that_is_gone_wants_no_models(tmp_path: Path) -> None:
    asked = Request("x", "y", models=["mine"], sets=str(tmp_path), chosen="20261129T030000Z")
    assert verb.wanted(asked, Files(), FakeClock()) == ["mine"]
