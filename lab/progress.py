"""Say what runs, for how long, and how big the result is: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.status import Status

_console = Console(stderr=True, highlight=False)
_PLAIN_INTERVAL_S = 10.0
_TERMINAL_INTERVAL_S = 0.5


@dataclass(eq=False)
class Step:
    """A running step. `detail` may be set at any time (a size, a last line of output)."""

    name: str
    detail: str = ""
    watch: Callable[[], str] | None = None
    started: float = field(default_factory=time.monotonic)

    def describe(self) -> str:
        detail = self.watch() if self.watch else self.detail
        return f"{self.name} ({time.monotonic() - self.started:.0f} s{', ' + detail if detail else ''})"


class _LiveLine:
    """The last line of a terminal: every step that runs now. Steps of several threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: list[Step] = []
        self._status: Status | None = None

    def add(self, one: Step) -> None:
        with self._lock:
            self._steps.append(one)
            if self._status is None:
                self._status = _console.status("")
                self._status.start()
        self.refresh()

    def remove(self, one: Step) -> None:
        with self._lock:
            self._steps.remove(one)
            if not self._steps and self._status:
                self._status.stop()
                self._status = None
        self.refresh()

    def refresh(self) -> None:
        with self._lock:
            if self._status:
                self._status.update(escape(" | ".join(one.describe() for one in self._steps)))


_live = _LiveLine()


def say(text: str) -> None:
    _console.print(escape(text), soft_wrap=True)


def warn(text: str) -> None:
    _console.print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)


@contextmanager
def step(name: str, watch: Callable[[], str] | None = None) -> Iterator[Step]:
    """Report `name` while the block runs and how long it took; `watch` supplies a live detail.

    Without a terminal a line is written at the start, every 10 s, and at the end. Steps of several threads
    may run at the same time.
    """
    current = Step(name, watch=watch)
    done = threading.Event()
    terminal = _console.is_terminal

    def tick() -> None:
        while not done.wait(_TERMINAL_INTERVAL_S if terminal else _PLAIN_INTERVAL_S):
            if terminal:
                _live.refresh()
            else:
                _console.print(f"  ... {escape(current.describe())}", soft_wrap=True)

    if terminal:
        _live.add(current)
    else:
        say(f"{name} ...")
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    mark = "[red]failed[/]"
    try:
        yield current
        mark = "[green]done[/]  "
    finally:
        done.set()
        ticker.join()
        current.watch = None
        if terminal:
            _live.remove(current)
        _console.print(f"{mark} {escape(current.describe())}", soft_wrap=True)


def megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
