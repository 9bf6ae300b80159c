"""What pyinfra prints of a run that changes nothing: a line for each host, and none for an operation without an effect.

pyinfra 3.10 names each operation, each host that the operation did not change, and each operation again in a table at
the end: nearly two hundred lines for ten hosts that are as they should be.
"""

from __future__ import annotations

import logging
from functools import partial

from pyinfra import logger
from pyinfra.api import State
from pyinfra.api.output import format_text
from pyinfra.context import ctx_state

from webui_stack.ops import run

_ATTRIBUTE = "webui_stack_told"
told = partial(logger.info, extra={_ATTRIBUTE: True})
"""pyinfra's `log_func` for a line that a run prints also where it changes nothing."""


def hold() -> None:
    """Ensure pyinfra prints nothing of operations without an effect, until something else is printed, or `release`.

    Then it prints what was held, and all that follows. A run that ends before prints of its operations only their sum.
    Warnings pass, and so does what is `told`. Does nothing with `-v` or `--debug`: they ask for all of it. A second
    call changes nothing.
    """
    run.current().once(_started)


def release(state: State) -> None:
    """Ensure pyinfra prints what was held: the run has something to do. Does nothing in a run without `hold`."""
    run.of(state).once(_of_run).release()


def is_held() -> bool:
    """Whether this run has printed nothing so far of its operations."""
    return not run.current().once(_of_run).is_open


def _of_run() -> _Held:
    return _Held()


def _started() -> _Held:
    held = run.current().once(_of_run)
    state: State = ctx_state.get()  # type: ignore[no-untyped-call]
    if not (state.print_noop_info or logger.isEnabledFor(logging.DEBUG)):
        held.begin(state)
    return held


class _Held(logging.Filter):
    """The lines of a run that are held. Errors, and lines that it does not know, open it: then all lines pass."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = True
        self._is_over = False
        self._lines: list[logging.LogRecord] = []
        self._state: State

    def begin(self, state: State) -> None:
        """Hold lines from the first operation that pyinfra executes."""
        self._state, self.is_open = state, False
        logger.addFilter(self)

    def release(self) -> None:
        """Print what was held, and hold nothing any more."""
        self.is_open = True
        for line in self._lines:
            logger.callHandlers(line)
        self._lines.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether pyinfra prints this line now."""
        if self.is_open or not self._state.is_executing or record.levelno == logging.WARNING:
            return True
        text = str(record.msg)
        if self._is_over:
            self.is_open = text.startswith("-->")
            return self.is_open or text.startswith(_KEPT_ROWS)
        if hasattr(record, _ATTRIBUTE):
            return True
        if record.levelno > logging.WARNING or self._state.failed_hosts:
            self.release()
        elif text == "--> Results:":
            self._is_over = True
            self._lines.clear()
        elif _is_without_effect(text):
            self._lines.append(record)
            return False
        else:
            self.release()
        return True


# Of pyinfra's table at the end: its head, and the sum of its rows.
_KEPT_ROWS = ("Operation ", "Grand total ")


def _is_without_effect(text: str) -> bool:
    """Whether a line tells that an operation begins, or changed nothing on a host (pyinfra/api/util.py, 3.10)."""
    none = (format_text("No changes", "cyan"), format_text("Skipped", "blue"))
    return ("--> Starting" in text and "operation:" in text) or text.endswith(none)
