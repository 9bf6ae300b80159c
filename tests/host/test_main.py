"""The program answers every request with one result or one error, and shows no argument where it has a fault."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from webui_stack.host import protocol
from webui_stack.host.__main__ import Emit, answer
from webui_stack.host.errors import HostError
from webui_stack.host.protocol import Event, Failure, Request, Result
from webui_stack.render import host_program


def works(arguments: Mapping[str, Any], emit: Emit) -> Any:
    emit(Event("half of it"))
    return arguments["of"]


def refuses(arguments: Mapping[str, Any], emit: Emit) -> Any:
    raise HostError("disk", expected="room", got="none", do="free some")


def breaks(arguments: Mapping[str, Any], emit: Emit) -> Any:
    return {}[arguments["password"]]


def test_a_unit_of_systemd_sees_by_the_exit_status_that_its_verb_failed() -> None:
    for verb, expected in {"works": True, "refuses": False, "breaks": False, "explode": False}.items():
        asked, out = Request(verb, protocol.PLAIN, {"of": 3, "password": "x"}), io.StringIO()
        assert answer(asked, out, {"works": works, "refuses": refuses, "breaks": breaks}) is expected


def answers(verb: str, **arguments: Any) -> list[protocol.Answer | None]:
    out = io.StringIO()
    answer(Request(verb, "token", arguments), out, {"works": works, "refuses": refuses, "breaks": breaks})
    return [protocol.read("token", line) for line in out.getvalue().splitlines()]


def test_events_come_before_the_result() -> None:
    assert answers("works", of=3) == [Event("half of it"), Result(3)]


def test_an_error_has_its_four_parts() -> None:
    assert answers("refuses") == [Failure("disk", "room", "none", "free some")]


def test_a_verb_that_is_not_known_is_an_error_that_names_those_that_are() -> None:
    (failure,) = answers("explode")
    assert str(failure) == "verb: expected one of breaks, refuses, works, got explode; deploy again"


def test_a_fault_of_the_program_is_told_without_what_it_was_asked() -> None:
    (failure,) = answers("breaks", password="hunter2")
    assert isinstance(failure, Failure)
    assert "KeyError in answer" in failure.got
    assert "breaks" in failure.got
    assert "hunter2" not in str(failure)


@pytest.mark.parametrize(
    ("verb", "did", "lines"),
    [
        ("works", True, ["half of it", "20261129T030000Z"]),
        ("refuses", False, ["disk: expected room, got none; free some"]),
        ("says nothing", True, []),
    ],
)
def test_people_get_texts_and_the_caller_learns_whether_the_verb_did_it(verb: str, did: bool, lines: list[str]) -> None:
    out, errors = io.StringIO(), io.StringIO()
    asked = Request(verb, protocol.PLAIN, {"of": "20261129T030000Z"})
    verbs = {"works": works, "refuses": refuses, "says nothing": lambda *_: None}
    assert answer(asked, out, verbs, errors) == did
    assert (out if did else errors).getvalue().splitlines() == lines


@pytest.mark.parametrize(("words", "status", "begin"), [((), 0, "python"), (("plain",), 1, "verb: expected one of ")])
def test_a_failure_that_people_read_is_an_exit_status_as_well(
    tmp_path: Path, words: tuple[str, ...], status: int, begin: str
) -> None:
    with tarfile.open(fileobj=io.BytesIO(host_program.archive())) as archive:
        archive.extractall(tmp_path, filter="data")
    request = Request("explode", protocol.PLAIN).line()
    command = [sys.executable, "-I", "-S", str(tmp_path), "explode", *words]
    done = subprocess.run(command, input=f"{request}\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert (done.stderr if words else done.stdout).startswith(begin)
