"""The same steps for all hosts, in batches: the next one starts when those before it are proved."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import gevent
from pyinfra import host, inventory, logger, state
from pyinfra.api import BaseStateCallback, DeployError, State, deploy, operation
from pyinfra.api.output import format_text

from webui_stack.ops import cli_arguments, run
from webui_stack.ops.operations import Commands
from webui_stack.plan import rollout
from webui_stack.plan.rollout import Batch, Fate, Policy

from . import preflight

# What pyinfra says of each host at each operation that is another batch's.
_SKIPPED = format_text("Skipped", "blue")


def in_batches(provision: Callable[[], None]) -> None:
    """Ensure `provision`, which calls operations, is done to all targeted hosts as far as `rollout_*` lets it.

    In batches: the canary, then the others in the inventory's order. One starts once all operations of those before
    it are through, and no more than `rollout_max_failures` of their hosts failed or could not be reached; otherwise
    its hosts and all after them stay untouched. The plan is told before anything is done, and what became of whom at
    the end. With a single batch this is `provision()` alone. Raises `DeployError` with several and --serial, --no-wait.

    Each host adds the operations of its own batch, and shares one with each neighbouring batch: that leaves pyinfra
    a single order for all operations. Whether a batch may start is asked when it is its turn (`_if`).
    """
    batches = run.current().once(_planned)
    if batches is None:
        provision()
        return
    for number in host.loop(range(len(batches.plan))):  # type: ignore[no-untyped-call]
        if host.name in batches.sharing[number]:
            _turn(name=f"{batches.title(number)} | Wait for the batches before", batches=batches, number=number)
        if host.name in batches.plan[number]:
            # pyinfra writes the name into the function, and hosts of other batches may share it: hence the lambda.
            deploy(batches.title(number))(lambda: provision())(_if=[partial(batches.is_open, number)])


def _planned() -> _Rollout | None:
    """The rollout all targeted hosts take part in, or None when all of them are one batch."""
    targeted = {target.name for target in state.activated_hosts | state.failed_hosts}
    policy = preflight.settings()  # all hosts' are the same in this, or preflight would have refused
    plan = rollout.batches(policy, [target.name for target in inventory if target.name in targeted])
    if len(plan) < 2:
        return None
    if option := cli_arguments.out_of_step():
        raise DeployError(
            f"nothing was changed: rollout_canary, rollout_batch: expected all hosts to go in step, got {option}; "
            "leave it out, or set rollout_canary = 0 and rollout_batch = '100%' for this run"
        )
    return _Rollout(run.current().state, policy, plan)


@operation()
def _turn(batches: _Rollout, number: int) -> Commands:
    """Ensure it is settled whether a batch starts, and that the pause before it is over. Changes nothing."""
    if state.is_executing and host.name in batches.plan[number]:
        batches.open(number)
    host.noop("waits for the hosts of the batches before")
    yield from ()


class _Rollout(BaseStateCallback, logging.Filter):
    """A rollout as it goes on; pyinfra tells it which operation starts, and when the run is over."""

    def __init__(self, state: State, policy: Policy, plan: list[Batch]) -> None:
        super().__init__()
        self.plan = plan
        self._state = state
        self._policy = policy
        self._number = {name: number for number, batch in enumerate(plan) for name in batch}
        self._opened = {0}
        self._stopped_at: int | None = None
        self._why = "over"
        self._is_quiet = self._is_over = False
        self.sharing = self._sharing()
        state.add_callback_handler(self)  # type: ignore[no-untyped-call]
        logger.addFilter(self)
        logger.info(f"--> Rollout of {len(self._number)} hosts in {len(plan)} batches:")
        for line in rollout.told_plan(policy, plan):
            logger.info(line)

    def title(self, number: int) -> str:
        return rollout.title(number, self.plan)

    def _sharing(self) -> list[frozenset[str]]:
        """For each batch the hosts that wait for its turn: its own, and those of the last one before it that has any.

        Hosts that could not be reached have no operations, so they keep nobody waiting.
        """
        reached = {target.name for target in self._state.activated_hosts}
        found: list[frozenset[str]] = []
        before: frozenset[str] = frozenset()
        for number, batch in enumerate(self.plan):
            own = frozenset(reached.intersection(batch))
            found.append(own | before if own and number else frozenset())
            before = own or before
        return found

    # --- Before a batch

    def is_open(self, number: int) -> bool:
        """Whether it was decided that the batch starts."""
        return number in self._opened

    def open(self, number: int) -> None:
        """Decide whether the batch starts, once for all of its hosts, and let the pause pass."""
        if number in self._opened or self._stopped_at is not None:
            return
        failed = {target.name for target in self._state.failed_hosts}
        closed = rollout.first_closed(self._policy, self.plan, failed)
        if closed is None or number < closed:
            self._opened.add(number)
            self._pause(number)
            return
        self._stopped_at = closed
        self._why = rollout.told_stop(self._policy, self.plan, failed, closed)
        logger.error(self._why)

    def _pause(self, number: int) -> None:
        pause_s = self._policy.rollout_pause_s
        if not pause_s or not self._has_changed(self.sharing[number].difference(self.plan[number])):
            return
        logger.info(f"{self.title(number)} starts in {pause_s} s (rollout_pause_s)")
        for slept_s, left_s in rollout.reminders(pause_s):
            gevent.sleep(slept_s)
            if left_s:
                logger.info(f"{left_s} s left")

    def _has_changed(self, names: Collection[str]) -> bool:
        operations = (data for name in names for data in self._operations(name).values())
        return any(data.operation_meta.is_complete() and data.operation_meta.did_change() for data in operations)

    def _operations(self, name: str) -> dict[str, Any]:
        return self._state.ops[self._state.inventory.get_host(name)]

    # --- What pyinfra says meanwhile

    def operation_start(self, state: State, op_hash: str) -> None:  # type: ignore[override]
        """Be quiet about the operations of batches that were not started."""
        if self._stopped_at is not None:
            untouched = tuple(f"{self.title(number)} | " for number in range(self._stopped_at, len(self.plan)))
            self._is_quiet = all(name.startswith(untouched) for name in state.get_op_meta(op_hash).names)

    def operation_end(self, *_: Any) -> None:  # type: ignore[override]
        self._is_quiet = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether pyinfra's line is of use: not one for each host and each operation of a batch it is not in."""
        if self._is_quiet and record.levelno <= logging.INFO:
            return False
        return not str(record.msg).endswith(_SKIPPED)

    # --- The end

    def host_disconnect(self, state: State, *_: Any) -> None:  # type: ignore[override]
        """Tell how it ended at the first host that is left: pyinfra 3.10 calls nobody when a run ends."""
        if self._is_over or not state.is_executing:
            return
        self._is_over = True
        fates = {name: self._fate(name) for name in self._number}
        logger.info(f"--> Rollout {self._why}")
        for line in rollout.told_end(self.plan, fates):
            logger.info(line)
        _close_report(fates)

    def _fate(self, name: str) -> Fate:
        if self._state.inventory.get_host(name) in self._state.failed_hosts:
            return Fate.FAILED
        if not self.is_open(self._number[name]):
            return Fate.UNTOUCHED
        through = all(data.operation_meta.is_complete() for data in self._operations(name).values())
        return Fate.DONE if through else Fate.CUT_OFF


def _close_report(fates: dict[str, Fate]) -> None:
    from . import reports  # loads what draws tables, which a run without batches does while hosts are surveyed

    reports.close("verify", [name for name, fate in fates.items() if fate is Fate.UNTOUCHED])
