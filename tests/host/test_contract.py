"""The engine in memory behaves as contract.py says. tests/lab runs the same cases on a real engine."""

# ruff: noqa: ARG002 - engines that drifted leave some of their parameters alone

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest

from tests.host.contract import CASES, SWARM_CASES, Case, Subject
from tests.host.fake_docker import Exit, Process, Program
from tests.host.fake_engine import FakeEngine
from webui_stack.host.engine import Engine, NewContainer, NotFound, Refused

IMAGE = "contract-image:1"


def cat(process: Process) -> bytes:
    return b"".join(process.read(path) for path in process.command[1:]) if process.command[1:] else process.stdin


def tee(process: Process) -> bytes:
    for path in process.command[1:]:
        process.write(path, process.stdin)
    return process.stdin


def echo(process: Process) -> bytes:
    return " ".join(process.command[1:]).encode() + b"\n"


def fails(_: Process) -> bytes:
    raise Exit(1)


def subject(engine: FakeEngine | None = None, *, swarm: bool = False) -> Subject:
    engine = engine or FakeEngine()
    busybox = Program(commands={"cat": cat, "tee": tee, "true": lambda _: b"", "echo": echo, "false": fails})
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


class MakesVolumesAnew(FakeEngine):
    def create_volume(self, name: str, *, labels: Mapping[str, str] | None = None) -> None:
        self.docker.volumes.pop(name, None)
        super().create_volume(name, labels=labels)


class RemovesVolumesInUse(FakeEngine):
    def remove_volume(self, name: str) -> None:
        with contextlib.suppress(Refused):
            super().remove_volume(name)


class MissesContainersQuietly(FakeEngine):
    def stop(self, name: str, *, timeout_s: int | None = None) -> None:
        with contextlib.suppress(NotFound):
            super().stop(name, timeout_s=timeout_s)


class TakesAnImageForTheContainer(FakeEngine):
    def create(self, name: str, new: NewContainer) -> str:
        try:
            return super().create(name, new)
        except Refused as error:
            raise NotFound("container", name) from error


class RemovesWhatRuns(FakeEngine):
    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        super().remove(name, force=True, volumes=volumes)


class StopsPausedOnesNever(FakeEngine):
    def stop(self, name: str, *, timeout_s: int | None = None) -> None:
        if self.container(name).status != "paused":
            super().stop(name, timeout_s=timeout_s)


class StartsAgainWhatRuns(FakeEngine):
    def start(self, name: str) -> None:
        if self.container(name).status == "running":
            self.restart(name)
        super().start(name)


@pytest.mark.parametrize("engine", [drift for drift in FakeEngine.__subclasses__() if drift.__module__ == __name__])
def test_an_engine_that_drifted_breaks_the_contract(engine: type[FakeEngine]) -> None:
    broken = []
    for case in CASES:
        try:
            case(subject(engine()))
        except (AssertionError, pytest.fail.Exception):
            broken.append(case)
    assert broken
