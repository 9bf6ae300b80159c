"""What Open WebUI's image says of its data is read as it was said; an error is never a schema, a set, a count."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Exit, Process, Program
from tests.host.fake_engine import FakeEngine
from tests.host.faults import Crash, Fault, Faults
from webui_stack.host.data.helper import Helper
from webui_stack.host.data.sqlite import PROGRAM, Dataset, Schema
from webui_stack.host.engine import Output
from webui_stack.host.errors import HostError

IMAGE, VOLUME, SET = "open-webui:1", "open-webui", "/var/backups/open-webui/20261129T030000Z"
MANIFEST = json.dumps({"name": "x", "parts": {"images": {"size": 1}}}).encode()


def dataset(
    answer: bytes = b"", fault: Fault | None = None, *, error: Exit | None = None
) -> tuple[Dataset, FakeEngine, list[Process]]:
    """An Open WebUI whose Python prints `answer`, or ends with an error; and what it was asked."""
    asked: list[Process] = []

    def python3(process: Process) -> bytes:
        if process.stdin != PROGRAM.read_bytes():
            raise Exit(1, b"SyntaxError: unexpected EOF while parsing\n")
        asked.append(process)
        if error:
            raise error
        return answer

    docker = Docker()
    docker.put_image(IMAGE, Program(commands={"python3": python3}))
    docker.put_volume(VOLUME, {"webui.db": b"rows"})
    engine = FakeEngine(docker, faults=Faults(fault))
    return Dataset(Helper(engine, FakeClock()), IMAGE), engine, asked


@pytest.mark.parametrize(
    ("said", "schema"),
    [
        (b"none\n", Schema("none")),
        (b"same a1 a1\n", Schema("same", "a1", "a1")),
        (b"older a1,b2 c3\n", Schema("older", "a1,b2", "c3")),
        (b"newer c3 a1\n", Schema("newer", "c3", "a1")),
    ],
)
def test_a_schema_is_one_of_four_words(said: bytes, schema: Schema) -> None:
    one, _, asked = dataset(said)
    assert one.schema(VOLUME) == schema
    assert one.schema_of("a1,b2") == schema
    assert [process.command for process in asked] == [
        ("python3", "-", "schema"),
        ("python3", "-", "schema", "a1,b2"),
    ]
    assert asked[0].container.new.volumes == ["open-webui:/app/backend/data"]
    assert not asked[1].container.new.volumes
    assert {process.container.new.network for process in asked} == {"none"}


@pytest.mark.parametrize(
    "said", [b"", b"none x\n", b"same\n", b"same a1\n", b"different a b\n", b"older a b c\n", b"\xff"]
)
def test_another_answer_is_no_schema(said: bytes) -> None:
    with pytest.raises(HostError, match=r"^schema: expected an answer of Open WebUI's image, got "):
        dataset(said)[0].schema(VOLUME)


def test_an_error_is_no_other_schema() -> None:
    """L10: data were replaced without a set."""
    error = Exit(1, b"Traceback\nschema: OperationalError: no such table: alembic_version\n")
    with pytest.raises(HostError, match=r"got schema: OperationalError: no such table: alembic_version; fix that"):
        dataset(error=error)[0].schema(VOLUME)


QUESTIONS: dict[str, tuple[bytes, Callable[[Dataset], Any], Any]] = {
    "schema": (b"newer b a", lambda one: one.schema(VOLUME), Schema("newer", "b", "a")),
    "check": (b"", lambda one: one.check(SET, "sqlite"), []),
    "describe": (MANIFEST, lambda one: one.describe(SET, {"name": "x"}), MANIFEST),
    "count": (b"uploads 3\n", lambda one: one.count(VOLUME, "postgres"), {"uploads": 3}),
    "save": (b"", lambda one: one.save(VOLUME, io.BytesIO()), []),
}


@pytest.mark.crash
@pytest.mark.parametrize("name", QUESTIONS)
def test_nothing_that_goes_wrong_is_an_answer(name: str) -> None:
    answer, question, wanted = QUESTIONS[name]
    one, engine, _ = dataset(answer)
    assert question(one) == wanted
    points = engine.faults.points()
    assert len(points) > 10
    for fault in points:
        one, engine, _ = dataset(answer, fault)
        try:
            question(one)
        except (Crash, HostError):
            again = Dataset(Helper(FakeEngine(engine.docker), FakeClock()), IMAGE)
            assert question(again) == wanted, fault
            assert not engine.docker.held, fault
            continue
        raise AssertionError(fault)


def test_a_set_without_a_reason_is_good_and_each_reason_is_a_line() -> None:
    assert dataset(b"")[0].check(SET, "sqlite") == []
    one, _, asked = dataset(b"images: expected 1 bytes, got 2\nschema: x\n")
    assert one.check(SET, "postgres") == ["images: expected 1 bytes, got 2", "schema: x"]
    assert asked[0].command == ("python3", "-", "check", "postgres")
    assert asked[0].container.new.volumes == [f"{SET}:/set:ro"]


def test_a_save_goes_to_its_file_and_names_what_it_left_out() -> None:
    out = io.BytesIO()
    one, engine, asked = dataset(b"a tar")
    assert one.save(VOLUME, out, ["cache/embedding/models"]) == []
    assert out.getvalue() == b"a tar"
    assert asked[0].command == ("python3", "-", "save", "cache/embedding/models")

    def run(*_: Any, **__: Any) -> Any:
        return Output(0, b"", b"a warning\nleft out uploads/fifo: no file, folder or symbolic link\n")

    engine.run = run  # type: ignore[method-assign]
    assert one.save(VOLUME, out) == ["left out uploads/fifo: no file, folder or symbolic link"]


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b"{}", b'{"parts": {}}'])
def test_a_manifest_that_describes_nothing_is_none(said: bytes) -> None:
    with pytest.raises(HostError, match=r"^manifest.json: expected .*, got no description of the set"):
        dataset(said)[0].describe(SET, {"name": "x", "secrets": "left out"})


def test_rows_are_counted_by_name() -> None:
    said = b"users 1\nchats 2\nfiles 0\nuploads 4\n"
    assert dataset(said)[0].count(VOLUME, "sqlite") == {"users": 1, "chats": 2, "files": 0, "uploads": 4}


@pytest.mark.parametrize("said", [b"", b"users 1\n", b"users x\nchats 1\nfiles 1\nuploads 1\n", b"users 1 2\n"])
def test_half_of_a_count_is_none(said: bytes) -> None:
    with pytest.raises(HostError, match=r"^count: expected an answer of Open WebUI's image, got "):
        dataset(said)[0].count(VOLUME, "sqlite")
