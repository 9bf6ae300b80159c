"""One run's deploy of one host: its lease, and its lines in the host's log of deploys."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pyinfra import logger
from pyinfra.api import BaseStateCallback, Host, State

from webui_stack.model import deploy_log
from webui_stack.model.deploy_log import Record, Result
from webui_stack.model.lock import Wanted
from webui_stack.model.survey import Survey
from webui_stack.ops import lease, output, run
from webui_stack.ops.host_state import Observation
from webui_stack.plan import drift
from webui_stack.settings.model import Settings


class Deployment:
    """From the moment the host is ours to the line in its log that says how it ended."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self._host = host
        self._settings = settings
        self._started = time.monotonic()
        self.lease: lease.Lease | None = None
        self.log: lease.Log | None = None

    @property
    def done(self) -> list[str]:
        """The operations that changed something so far."""
        state = self._host.state
        return [
            name
            for op_hash in self._host.op_hash_order
            if state.ops[self._host][op_hash].operation_meta.executed
            for name in state.op_meta[op_hash].names
        ]

    def record(self, result: Result, failed: str = "") -> str:
        """The log's line, of now."""
        took_s = round(time.monotonic() - self._started, 1)
        return deploy_log.line(
            Record(deploy_log.now(), lease.operator(), self._settings.digest, result, took_s, self.done, failed)
        )

    def end(self, line: str) -> None:
        """Write the last line and give the lease back. A host that can't be reached keeps both: the lease expires."""
        _under_way(self._host.state).pop(self._host.name, None)
        try:
            if self.lease:
                self.lease.release(line)
            else:
                (self.log or lease.Log(self._host)).append(line)
        except Exception as error:  # whatever it is, the deploy itself has ended
            self._host.log_styled(f"the log of deploys lacks this one: {error}", fg="yellow", log_func=logger.warning)


class _Deployments(dict[str, Deployment]):
    """A run's deploys that are under way, by host."""


def _under_way(state: State) -> _Deployments:
    return run.of(state).once(_Deployments)


def unended(survey: Survey) -> list[str]:
    """Why nothing else may begin, where a restore, an upgrade or a rollback was cut off."""
    runbook = survey.cut_off
    return [
        f"{runbook}: expected none that was cut off, got one; run runbooks/{runbook}.py again: "
        "it begins by putting back what was there before"
    ]


def begin(
    observation: Observation, settings: Settings, locked: Sequence[Wanted], others: Sequence[str] = (), *, acts: bool
) -> list[str]:
    """Ensure nobody else is at work on the host, and that nobody comes between; otherwise a line says who is.

    The lease is taken only where something is to be done: the run `acts` anyway, or there is drift, of this host or of
    the `others` it answers for. It is also taken where somebody has one or left one behind. A run that has nothing to
    do only looks. The host is observed again once the lease is ours. Where a restore, an upgrade or a rollback was cut
    off, only a run that `acts` may begin: until then, data may be in two places.
    """
    host, survey = observation.host, observation.survey()
    _watch(host.state)
    if survey.cut_off and not acts:
        return unended(survey)
    deployment = _under_way(host.state)[host.name] = Deployment(host, settings)
    # Without systemd the survey does not see whether Docker is started at boot.
    due = acts or survey.lease or others or drift.of(settings, survey, locked)
    if due:
        output.release(host.state)
    elif survey.machine.has_systemd:
        deployment.log = lease.Log(host)
        return []
    problems, deployment.lease = lease.take(host, deployment.record("started"))
    if problems:
        del _under_way(host.state)[host.name]
    else:
        observation.renew()
    return problems


def changes(host: Host) -> int | None:
    """How many operations of this run's deploy have changed the host so far; None where no deploy is under way."""
    deployment = _under_way(host.state).get(host.name)
    return None if deployment is None else len(deployment.done)


def end(host: Host) -> None:
    """Ensure the host's log has this deploy, and its lease is free again."""
    deployment = _under_way(host.state)[host.name]
    deployment.end(deployment.record("changed" if deployment.done else "unchanged"))


def leave(host: Host) -> list[str]:
    """Ensure the host's lease is free again, with nothing left of it; otherwise a line says why."""
    deployment = _under_way(host.state).pop(host.name)
    assert deployment.lease is not None  # a run that acts has one
    try:
        deployment.lease.leave()
    except Exception as error:  # whatever it is, the others are not concerned
        return [f"lease: expected to give it back, got {error}; it expires by itself"]
    return []


class _OnError(BaseStateCallback):
    """pyinfra goes on without a host that failed, and tells nobody but handlers like this one (3.10)."""

    def operation_host_error(self, state: State, host: Host, op_hash: str, *_rest: Any) -> None:  # type: ignore[override]
        deployment = _under_way(state).get(host.name)
        if deployment:
            names = " or ".join(sorted(state.op_meta[op_hash].names))
            deployment.end(deployment.record("failed", names))


def _watch(state: State) -> None:
    """Ensure one handler for all hosts: pyinfra calls each handler for each operation of each host."""
    if not any(isinstance(handler, _OnError) for handler in state.callback_handlers):
        state.add_callback_handler(_OnError())  # type: ignore[no-untyped-call]
