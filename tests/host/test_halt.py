"""Containers count as stopped only where Docker shows that they are."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker
from tests.host.fake_engine import FakeEngine
from tests.host.faults import Crash, Fault, Faults
from webui_stack.host import halt
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError

OURS = ["open-webui", "open-webui-2"]


def engine(fault: Fault | None = None) -> FakeEngine:
    docker = Docker()
    docker.put_image("web:1")
    for name in (*OURS, "open-webui-drill", "web"):
        docker.put_container(name, NewContainer("web:1", restart_policy="unless-stopped"))
    return FakeEngine(docker, faults=Faults(fault))


def running(one: FakeEngine) -> list[str]:
    return sorted(held.name for held in one.docker.held.values() if held.runs)


def test_those_of_the_pattern_are_stopped_and_no_others() -> None:
    one = engine()
    assert halt.stop(one, FakeClock(), halt.OPEN_WEBUI) == OURS
    assert running(one) == ["open-webui-drill", "web"]
    assert halt.stop(one, FakeClock(), halt.OPEN_WEBUI) == OURS


def test_docker_may_be_a_moment_behind() -> None:
    one, clock = engine(), FakeClock()
    one.stop = lambda *_, **__: None  # type: ignore[method-assign]

    def ends() -> None:
        for name in OURS:
            one.docker.stop(one.docker.named(name), graceful=True)

    clock.on_sleep = ends
    halt.stop(one, clock, halt.OPEN_WEBUI)
    assert clock.passed_s == 1


def test_what_runs_on_is_named() -> None:
    one = engine()
    one.stop = lambda *_, **__: None  # type: ignore[method-assign]
    words = (
        r"^docker: expected to stop open-webui open-webui-2, got it running still; look at 'docker ps', and run this"
    )
    with pytest.raises(HostError, match=words):
        halt.stop(one, FakeClock(), halt.OPEN_WEBUI)


@pytest.mark.crash
def test_no_answer_is_never_quiet() -> None:
    """L3."""
    first = engine()
    halt.stop(first, FakeClock(), halt.OPEN_WEBUI)
    for fault in first.faults.points():
        one = engine(fault)
        with pytest.raises((Crash, HostError)):
            halt.stop(one, FakeClock(), halt.OPEN_WEBUI)
        one.faults = Faults()
        with suppress(HostError):
            halt.stop(one, FakeClock(), halt.OPEN_WEBUI)
        assert running(one) == ["open-webui-drill", "web"], fault
