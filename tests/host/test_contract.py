"""The engine in memory behaves as contract.py says. tests/lab runs the same cases on a real engine."""

from __future__ import annotations

import pytest

from tests.host.contract import CASES, SWARM_CASES, Case, Subject
from tests.host.fake_docker import Exit, Process, Program
from tests.host.fake_engine import FakeEngine
from webui_stack.host.engine import Engine

IMAGE = "contract-image:1"


def cat(process: Process) -> bytes:
    return b"".join(process.read(path) for path in process.command[1:]) if process.command[1:] else process.stdin


def tee(process: Process) -> bytes:
    for path in process.command[1:]:
        process.write(path, process.stdin)
    return process.stdin


def fails(_: Process) -> bytes:
    raise Exit(1)


def subject(*, swarm: bool = False) -> Subject:
    engine = FakeEngine()
    busybox = Program(commands={"cat": cat, "tee": tee, "true": lambda _: b"", "false": fails})
    engine.docker.put_image(IMAGE, busybox)
    if swarm:
        engine.swarm.put_node("node1")
    return Subject(engine, IMAGE, engine.docker.now_s)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_engine_in_memory_keeps_the_contract(case: Case) -> None:
    case(subject())


@pytest.mark.parametrize("case", SWARM_CASES, ids=lambda case: case.__name__)
def test_the_swarm_in_memory_keeps_the_contract(case: Case) -> None:
    case(subject(swarm=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_case_leaves_nothing_behind(case: Case) -> None:
    ours = subject()
    case(ours)
    ours.clear()
    engine = ours.engine
    assert isinstance(engine, FakeEngine)
    docker = engine.docker
    assert (docker.held, docker.volumes, docker.networks) == ({}, {}, {})
    assert [image.tags for image in docker.images.values()] == [(IMAGE,)]


def test_the_engine_in_memory_has_every_call_of_the_real_one() -> None:
    calls = {name for name in dir(Engine) if not name.startswith("_")}
    assert calls - set(vars(FakeEngine)) == set()
