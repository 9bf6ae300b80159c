"""Recovery without an operator: what a power cut or a crash has cut off is ended.

systemd runs this verb at boot (`recovery.py`): before Docker for a change of Docker's configuration, after Docker for a
stack. The watchdog ends what is cut off in its stack whenever it sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from .. import dockerd, journal
from ..assembly import Assembly, Stack
from ..clock import Clock
from ..errors import HostError
from ..files import Files
from ..holder import Processes
from ..journal import Entry, Journal, Step
from ..kernel import LINUX
from ..locks import WAIT_S, Locks
from ..protocol import Event
from ..recovery import STACK, VERB, Recovery
from ..run_log import RunLog
from ..system import System, require_root
from . import docker

Emit = Callable[[Event], None]
# A mark that a verb leaves on the disk while it is in the middle of something -> what ends that.
ENDS: Mapping[str, Callable[[System, Files, Emit], None]] = {dockerd.MARK: docker.recover}
# Shorter than systemd's own limit for the unit (`recovery.py`), so that a verb that is still at work is named.
_WAIT_S = 60.0
# A verb that leaves a journal in the stack's folder -> its module, which has `STEPS` and `recovery`.
_MODULES = {
    "migrate": "migrate",
    "restore": "restore",
    "rollback": "rollback",
    "rotate": "rotate",
    "swarm": "swarm",
    "swarm_restore": "swarm_restore",
    "swarm_upgrade": "swarm",
    "up": "up",
    "upgrade": "upgrade",
}


class _Table(Mapping[str, Sequence[Step]]):
    """The steps of each verb. A verb's module is imported when it is asked for."""

    def __getitem__(self, verb: str) -> Sequence[Step]:
        steps: Sequence[Step] = _module(verb).STEPS
        return steps

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


TABLE = _Table()
"""For a stack's journal: what a crash at each step of each verb means."""


def run(arguments: Mapping[str, Any], emit: Emit) -> None:
    """Ensure nothing is cut off, in Docker's configuration or, with `stack_dir`, in the stack there.

    With `stack`, by the names of `Stack`, an operator asks: then what earlier versions left is ended as well. Raises
    `HostError` where another verb is at work for a minute; an operator waits as long as for any other verb.
    """
    require_root()
    system, files, clock = System(), Files(), Clock()
    locks = Locks(LINUX, clock, lambda line: emit(Event(line)))
    if "stack" in arguments:
        of = Stack.read(arguments["stack"])
        stack(of.folder, system, files, clock, locks, emit, wait_s=WAIT_S, of=of)
    elif "stack_dir" in arguments:
        stack(arguments["stack_dir"], system, files, clock, locks, emit)
    else:
        apply(system, files, locks, emit)


# --- Docker's configuration


def apply(system: System, files: Files, locks: Locks, emit: Emit) -> None:
    """Ensure Docker's configuration is whole, on this host."""
    with locks.work(VERB, limit_s=_WAIT_S):
        end(system, files, emit)


def is_due(files: Files) -> bool:
    """Whether something was cut off, or is under way: the caller who holds the work lock knows which."""
    return any(files.exists(mark) for mark in ENDS)


def end(system: System, files: Files, emit: Emit) -> None:
    """Ensure what each mark stands for is ended, and that the unit is gone. Does nothing else without a mark.

    The caller holds the work lock, so that no verb is at work. Raises `HostError` where one can't be ended; the unit
    stays then, for the next boot. Can be cut off, and begun again.
    """
    for mark, ends in ENDS.items():
        if files.exists(mark):
            ends(system, files, emit)
    Recovery(system, files).disarm()


# --- A stack


def stack(
    stack_dir: str,
    system: System,
    files: Files,
    clock: Clock,
    locks: Locks,
    emit: Emit,
    *,
    wait_s: float = _WAIT_S,
    of: Stack | None = None,
) -> Entry | None:
    """Ensure nothing is cut off in the stack in `stack_dir`. Returns what was, None where nothing was.

    The journal has all that this needs; `of` is for a mark of earlier versions, which has nothing. Raises `LockedError`
    where another verb is at work for `wait_s`, and `HostError` where what was cut off can't be ended: it stays in the
    journal then.
    """
    with locks.work(VERB, limit_s=wait_s) as held:
        entry = Journal(files, stack_dir, TABLE, clock).open()
        if entry is None:
            Recovery(system, files, STACK).disarm()  # a crash between the journal's end and this
            return None
        if "stack" in entry.data:
            of = Stack.read(entry.data["stack"])
        if of is None:
            raise HostError(
                "recover",
                expected=f"a journal that says all of the stack in {stack_dir}",
                got=f"a mark of an earlier version: {entry}",
                do=f"run runbooks/{entry.verb}.py again",
            )
        log = RunLog(files, f"{stack_dir}/recover.log", emit)
        made = Assembly(of, log, held.descriptors, table=TABLE, system=system, files=files, clock=clock)
        try:
            return end_stack(made)
        except HostError as error:
            log.note(str(error))
            raise
        finally:
            log.write()


def end_stack(made: Assembly, processes: Processes | None = None) -> Entry | None:
    """Ensure nothing is cut off in a stack. Returns what was, None where nothing was; says so first.

    The caller holds the work lock. Raises as `journal.recover` does.
    """
    entry = made.journal.open()
    if entry is None:
        return None
    made.log.say(f"ending what was cut off: {entry}")
    processes = processes or Processes()
    verbs = {entry.verb: _module(entry.verb).recovery(made, entry)} if entry.verb in _MODULES else {}
    return journal.recover(made.journal, verbs, processes.me(VERB), processes)


def _module(verb: str) -> Any:
    return import_module(f".{_MODULES[verb]}", __package__)
