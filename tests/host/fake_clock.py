"""A clock that a test moves: sleeping takes no time."""

from __future__ import annotations

from collections.abc import Callable

from webui_stack.host.clock import Clock

START_S = 1_795_921_200.0  # 2026-11-29 03:00:00 UTC


class FakeClock(Clock):
    """It goes on only while somebody sleeps; `on_sleep` is called after each, as when others act meanwhile."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.set_s = START_S
        self.on_sleep: Callable[[], object] = lambda: None

    def now(self) -> float:
        return self.set_s + self.passed_s

    def monotonic(self) -> float:
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.passed_s += seconds
        self.on_sleep()
