"""Say what runs, for how long, and how big the result is: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

_console = Console(stderr=True, highlight=False)
_PLAIN_INTERVAL_S = 10.0
_TERMINAL_INTERVAL_S = 0.5


@dataclass
class Step:
    """A running step. `detail` may be set at any time (a size, a last line of output)."""

    name: str
    detail: str = ""
    watch: Callable[[], str] | None = None

    def describe(self, elapsed_s: float) -> str:
        detail = self.watch() if self.watch else self.detail
        return f"{self.name} ({elapsed_s:.0f} s{', ' + detail if detail else ''})"


def say(text: str) -> None:
    _console.print(escape(text), soft_wrap=True)


def warn(text: str) -> None:
    _console.print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)


@contextmanager
def step(name: str, watch: Callable[[], str] | None = None) -> Iterator[Step]:
    """Report `name` while the block runs and how long it took; `watch` supplies a live detail.

    Without a terminal a line is written at the start, every 10 s, and at the end.
    """
    current = Step(name, watch=watch)
    started = time.monotonic()
    done = threading.Event()
    terminal = _console.is_terminal
    status = _console.status(escape(name)) if terminal else None

    def tick() -> None:
        while not done.wait(_TERMINAL_INTERVAL_S if terminal else _PLAIN_INTERVAL_S):
            text = escape(current.describe(time.monotonic() - started))
            if status:
                status.update(text)
            else:
                _console.print(f"  ... {text}", soft_wrap=True)

    if status:
        status.start()
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
        if status:
            status.stop()
        current.watch = None
        _console.print(f"{mark} {escape(current.describe(time.monotonic() - started))}", soft_wrap=True)


def megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
