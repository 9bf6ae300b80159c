"""The proof at the end of every deploy, and alone as a runbook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import gevent
from pyinfra import host, logger
from pyinfra.api import deploy

from webui_stack.ops import operations, output, run, session
from webui_stack.settings.model import Settings

from . import preflight

# The proof's largest libraries. `_load` takes them one at a time.
_LIBRARIES = ("websocket", "redis", "engineio", "socketio")
# engineio loads these where they are installed. aiohttp is for its asynchronous client, which nobody uses here, and
# requests for long polling, which the proof does not offer (`verify.websocket`). They take 0.13 s to load.
_UNUSED = ("aiohttp", "requests")


def _load() -> tuple[ModuleType, ModuleType]:
    for library in _LIBRARIES:
        with _as_if_missing(_UNUSED):
            import_module(library)
        gevent.sleep(0)  # between two libraries the run reads hosts' answers and sends requests

    from webui_stack.verify import proof

    from . import reports

    return proof, reports


@contextmanager
def _as_if_missing(names: Sequence[str]) -> Iterator[None]:
    """Have an import find none of these modules, but those that are loaded already."""
    hidden = [name for name in names if name not in sys.modules]
    found: dict[str, Any] = sys.modules  # None stands for a module that is not there (importlib's documentation)
    found.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del found[name]


def _loading() -> gevent.Greenlet:
    return gevent.spawn(_load)


def prepare() -> None:
    """Ensure what `prove` needs is being loaded. Call it before the hosts are looked at.

    The libraries for Valkey and websockets take 0.1 s of processor time to load. A run waits for its hosts'
    answers meanwhile. Without this call `prove` loads it.
    """
    run.current().once(_loading)


@deploy("Verify")
def prove(settings: Settings, *, otherwise: Callable[[], list[str]] = list) -> None:
    """Ensure the stack works, as far as `verify_level` goes: Valkey, websockets, a user's events.

    Changes nothing. A host that fails is skipped from then on; the run prints the failing checks and what to do next.
    `otherwise` is called then, and returns lines to print. Every host is in the run's report.
    """
    operations.gate(
        name="Prove that websockets work",
        check=lambda: _problems(settings, otherwise),
        at_execution=True,
    )


def _passed(line: str) -> str:
    """What the run tells of a host that passed; a deploy also tells how many operations changed it."""
    count = session.changes(host)
    if count is None:
        return line
    changes = f"{count} change{'' if count == 1 else 's'}"
    return "ok  " + ", ".join(filter(None, [line, changes]))


def _problems(settings: Settings, otherwise: Callable[[], list[str]]) -> list[str]:
    proof, reports = run.current().once(_loading).get()
    proved = proof.run(preflight.observation(), settings, preflight.data_node(), preflight.everywhere())
    failed = [check for check in proved.checks if check.is_fault]
    if failed:
        output.release(host.state)
    reports.add("verify", proved.address, proved.checks)
    for check in proved.checks:
        if not check.ok and check.advice:
            host.log_styled(f"advice  {check}", fg="yellow", log_func=logger.warning)
    if not failed:
        host.log(_passed(proved.line), log_func=output.told)
        return []
    for check in proved.checks:
        if check.ok:
            host.log(f"ok      {check}")
    return [*(f"failed  {check}" for check in failed), *otherwise()]
