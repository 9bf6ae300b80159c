"""How a run ends: its exit status, and an error in one line instead of a traceback.

0: all hosts passed. 1: a host failed, or a dry run shows that it would. 2: no host was tried (no host matches, settings
refused, a mistake in the command or the inventory). 130: interrupted. pyinfra 3.10 has 0 for a run without hosts, for
Ctrl-C and for failures with --no-wait, 1 for every error, and prints tracebacks of an operator's own files
(pyinfra_cli/cli.py, exceptions.py). Two statuses stay pyinfra's: 2 with click's own words for an unknown option, and
1 for a mistake that it finds before it reads config.py.
"""

from __future__ import annotations

import atexit
import difflib
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from click import ClickException
from pyinfra import logger, state
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_state

from webui_stack.ops import run

# pyinfra_cli and `invocation` are imported where they are used: pyinfra_cli makes the standard library's threads
# gevent's (`pyinfra_cli/__init__.py`, 3.10). What imports `operations`, which only notes refusals, must not get that.

PASSED, FAILED, NOT_TRIED, INTERRUPTED = 0, 1, 2, 130


class _Process:
    """What this process knows of its end: it has one set of signal and exit handlers, and one exit status."""

    is_watched = False
    is_over = False
    """Whether an exit status was chosen that stays."""


class _Plan:
    """What a run knows of its end before anything is executed."""

    would_fail = False
    """Whether a check refused a host."""


def watch() -> None:
    """Ensure this run ends as this module's docstring says. A second call changes nothing."""
    if _Process.is_watched:
        return
    _Process.is_watched = True
    from pyinfra_cli.exceptions import CliError, UnexpectedExternalError, UnexpectedInternalError, WrappedError

    signal.signal(signal.SIGINT, _interrupt)
    atexit.register(_correct)
    for error in (CliError, WrappedError, UnexpectedExternalError, UnexpectedInternalError):
        setattr(error, "show", _show)  # noqa: B010 mypy knows that these are methods
        setattr(error, "exit_code", property(lambda _: _chosen(of_error())))  # noqa: B010


def would_fail() -> None:
    """Note that a host would fail: a dry run ends with 1 then."""
    run.current().once(_Plan).would_fail = True


def of_error() -> int:
    """The status of a run that an error ended."""
    if not _has_state():
        return NOT_TRIED
    began = state.current_stage >= StateStage.Execute or bool(state.failed_hosts)
    return FAILED if began else NOT_TRIED


def _has_state() -> bool:
    """Whether pyinfra has read the inventory."""
    return bool(ctx_state.isset()) and state.initialised  # type: ignore[no-untyped-call]


def _chosen(status: int) -> int:
    _Process.is_over = True
    return status


def _interrupt(*_: object) -> None:
    print("\ninterrupted; run the same command again to finish", file=sys.stderr)
    if _has_state() and state.current_stage >= StateStage.Execute:
        print("A host goes on to the end of the step that it is busy with. The next run waits for it.", file=sys.stderr)
        # pyinfra leaves a host by a place in this pool, and where each host has one, its step has it (pyinfra/api/
        # connect.py, 3.10): without this the run would end when the step does.
        state.pool.kill(block=False)
    sys.exit(_chosen(INTERRUPTED))


def _correct() -> None:
    """Leave with another status than pyinfra's 0 where that would be taken for success."""
    if _Process.is_over or not _has_state():
        return
    if not state.activated_hosts and not state.failed_hosts:
        print(_nobody(), file=sys.stderr)
        _leave(NOT_TRIED)
    if state.failed_hosts or (run.current().once(_Plan).would_fail and state.current_stage < StateStage.Execute):
        _leave(FAILED)


def _leave(status: int) -> None:
    """End this process. An exit handler has no other way to change its status."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _nobody() -> str:
    """Why a run has no host."""
    from webui_stack.ops import cli_arguments

    names = [host.name for host in state.inventory]
    typed = cli_arguments.inventory()
    if names:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        return f"--limit, --exclude: expected a host of {typed}, got none; it has {shown}"
    path = Path(typed)
    if path.is_file():
        return f'{typed}: expected at least one host, got none; write hosts = ["chat.example.org"]'
    there = [str(file) for file in path.parent.glob("*.py")] if path.parent.is_dir() else []
    close = difflib.get_close_matches(typed, there, n=1)
    return f"{typed}: expected an inventory file or hosts, got no such file; " + (
        f"did you mean {close[0]}?" if close else "copy inventories/single.example.py to begin"
    )


def _show(self: ClickException, file: Any = None) -> None:  # noqa: ARG001 click's signature
    """Print the error of a run that it ended, in one line for each problem; the traceback with --debug."""
    from pyinfra_cli.exceptions import WrappedError

    error = getattr(self, "exception", None)
    if isinstance(self, WrappedError) or error is None:
        logger.error(self.format_message())
        return
    logger.error(describe(error, getattr(self, "filename", "")))
    logger.debug("".join(traceback.format_exception(error)))


def describe(error: BaseException, filename: str = "") -> str:
    """An unexpected error in one line: where, what, and what to do if that is known."""
    from webui_stack.ops import cli_arguments

    where = f"{filename}: " if filename else ""
    if isinstance(error, SyntaxError):
        at = f"{error.filename}, line {error.lineno}"
        return f"{at}: expected Python, got a mistake ({error.msg}); look there and in the line before"
    if isinstance(error, EOFError):
        return "expected an answer on the terminal, got none; add -y, and for sudo's password set _sudo_password"
    if isinstance(error, ValueError) and cli_arguments.has_bad_data():
        return "--data: expected NAME=VALUE, got no =; write --data open_webui_port=3000"
    if isinstance(error, IndexError) and not _has_state():
        return f'{cli_arguments.inventory()}: expected a name for each host, got an empty one; write ("NAME", {{...}})'
    line = _line_in(error, filename)
    if line:
        where = f"{filename}, line {line}: "
    if isinstance(error, NameError) and error.name in {"true", "false", "null", "none"}:
        right = {"true": "True", "false": "False"}.get(error.name, "None")
        return f"{where}expected {right}, got {error.name}; write it as Python does"
    if isinstance(error, ModuleNotFoundError) and error.name in {"tasks", "webui_stack"}:
        return f"{where}expected this project's modules, got none; run `make setup`, or go to its folder"
    return f"{where}{type(error).__name__}: {error}; --debug shows where"


def _line_in(error: BaseException, filename: str) -> int | None:
    """The last line of a file that an error passed through."""
    found, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == filename:
            found = step.tb_lineno
        step = step.tb_next
    return found
