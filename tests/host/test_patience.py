"""Patience: an answer that comes late is one, and none within a minute is never "none there"."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.host.fake_clock import FakeClock
from webui_stack.host.engine import EngineError, NotFound, Refused, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.patience import Patience

NO_LEADER = Unavailable("GET /services", "rpc error: code = Unknown desc = The swarm does not have a leader.")


def answering(error: Exception, times: int) -> Callable[[], str]:
    """Gives this error so many times, then an answer."""
    left = [error] * times

    def ask() -> str:
        if left:
            raise left.pop()
        return "ready"

    return ask


@pytest.mark.parametrize("error", [NO_LEADER, Refused("GET /nodes", "input/output error", status=500)], ids=repr)
def test_what_answers_late_is_an_answer(error: Exception) -> None:
    assert Patience(FakeClock()).ask(answering(error, 59)) == "ready"


def test_nobody_is_asked_for_longer_than_a_minute() -> None:
    clock = FakeClock()
    with pytest.raises(HostError, match="Docker: expected an answer within a minute, got rpc error") as caught:
        Patience(clock).ask(answering(NO_LEADER, 1000))
    assert type(caught.value) is HostError
    assert clock.monotonic() == 60


@pytest.mark.parametrize(
    "error",
    [
        NotFound("service", "web"),
        Refused("a removal", "in use", status=400),
        Refused("GET /nodes", "This node is not a swarm manager.", status=503),
    ],
    ids=["not found", "in use", "no manager"],
)
def test_not_found_and_a_no_are_answers(error: EngineError) -> None:
    clock = FakeClock()
    with pytest.raises(type(error)) as caught:
        Patience(clock).ask(answering(error, 1000))
    assert caught.value is error
    assert clock.monotonic() == 0
