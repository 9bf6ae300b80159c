"""This run's side of the lease: whom it takes a host over from, and how long it keeps one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from webui_stack.host.holder import Holder, Processes
from webui_stack.host.lease import EXPIRY_S
from webui_stack.ops import lease
from webui_stack.ops.lease import RENEWAL_S, has_ended, keep_renewed

OTHER = {"owner": "mallory@elsewhere:4711:4026531836:17:boot-2", "since_s": 1_800_000_000.0, "left_s": 60.4}
FREE: dict[str, Any] = {"other": None, "busy": None}


class Over(BaseException):
    """The run has ended: its renewal is killed."""


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, end_s: float) -> None:
        self.now_s = 0.0
        self.end_s = end_s
        monkeypatch.setattr("gevent.sleep", self.sleep)
        monkeypatch.setattr("time.monotonic", lambda: self.now_s)

    def sleep(self, pause_s: float) -> None:
        self.now_s += pause_s
        if self.now_s >= self.end_s:
            raise Over


def failing(times: range) -> Callable[[], bool]:
    """A renewal that fails in some of its calls."""
    calls = iter(range(10_000))

    def renew() -> bool:
        if next(calls) in times:
            raise ConnectionError("broken pipe")
        return True

    return renew


def test_renewal_that_fails_once_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = Clock(monkeypatch, 200), list[str]()
    renewed: list[float] = []
    once = failing(range(1, 2))

    def renew() -> bool:
        once()
        renewed.append(clock.now_s)
        return True

    with pytest.raises(Over):
        keep_renewed(renew, told.append)
    assert renewed == [30, 65, 95, 125, 155, 185]  # at 60 it failed
    assert told == []


def test_renewal_is_tried_until_the_lease_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = Clock(monkeypatch, 10_000), list[str]()
    keep_renewed(failing(range(1, 10_000)), told.append)
    assert clock.now_s == RENEWAL_S + EXPIRY_S
    assert told == ["lease: expected to renew it within 120 s, got broken pipe; others may begin on the host"]


def test_renewal_that_comes_back_just_in_time_keeps_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch, 600)
    told: list[str] = []
    with pytest.raises(Over):
        keep_renewed(failing(range(1, 19)), told.append)
    assert told == []


def test_a_lease_that_another_has_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch, 600)
    told: list[str] = []
    keep_renewed(lambda: False, told.append)
    assert told == ["lease: expected it to be this run's, got it taken by another; see who is at work on the host"]


# --- Whose lease it is


def test_a_run_of_this_machine_that_has_ended_is_known() -> None:
    me = Processes().me(lease.operator())
    assert lease.own_name() == me.token
    with subprocess.Popen([sys.executable, "-ISc", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        started = Processes()._stat(child.pid)
        assert started
        holder = replace(me, pid=child.pid, started=started[1])
        assert not has_ended(holder.token)
        child.kill()
    assert has_ended(holder.token)
    assert not has_ended(replace(holder, name="bob@desk").token)


def test_a_process_of_another_pid_namespace_is_never_taken_for_dead() -> None:
    """R6: containers of a CI have one user and one host name."""
    me = Processes().me(lease.operator())
    assert not has_ended(replace(me, pid=2**22 - 1, namespace="1").token)
    assert not has_ended(f"{lease.operator()}:{2**22 - 1}"), "of an earlier version: it may be in a container"
    for nobody in ("", "x", "a:b:c"):
        assert not has_ended(nobody)


def test_without_proc_a_run_is_known_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS."""
    monkeypatch.setattr(lease, "Processes", lambda: Processes("/nonexistent"))
    monkeypatch.setattr("pathlib.Path.exists", lambda _: False)
    assert lease.own_name() == f"{lease.operator()}:{os.getpid()}"
    assert not has_ended(lease.own_name())
    assert has_ended(f"{lease.operator()}:{2**22 - 1}")
    assert not has_ended(f"bob@desk:{2**22 - 1}")


class Host:
    """A host whose program gives these answers to `lease_take`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: dict[str, Any]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.said: list[str] = []
        self._answers = iter(answers)
        monkeypatch.setattr("webui_stack.transport.program.call", self.call)
        monkeypatch.setattr("webui_stack.transport.program.withdraw", lambda _: self.said.append("withdrawn"))
        monkeypatch.setattr("gevent.sleep", lambda _: None)
        monkeypatch.setattr("gevent.spawn", lambda *_: self)

    def kill(self, *, block: bool) -> None:
        """The renewal's end."""

    def log(self, line: str) -> None:
        self.said.append(line)

    def call(self, _: object, verb: str, arguments: dict[str, Any]) -> Any:
        self.asked.append({"verb": verb, **arguments})
        return next(self._answers) if verb == "lease_take" else None


def test_somebody_elses_lease_is_told_with_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    host: Any = Host(monkeypatch, {"other": OTHER, "busy": None})
    problems, held = lease.take(host)
    assert held is None
    assert problems == [
        "lease: expected nobody else at work here, got mallory@elsewhere, process 4711 since 08:00:00 UTC; wait for "
        "that run to end, or 60 s if it was killed (the lease expires unless its run renews it)"
    ]


def test_a_killed_run_of_ones_own_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    me = Processes().me(lease.operator())
    dead = Holder(me.name, 2**22 - 1, me.namespace, 1, me.boot).token
    host: Any = Host(monkeypatch, {"other": {**OTHER, "owner": dead}, "busy": None}, FREE)
    problems, held = lease.take(host, "started")
    assert (problems, held is not None) == ([], True)
    assert [one["gone"] for one in host.asked] == [[], [dead]]
    assert [one["line"] for one in host.asked] == ["started", "started"]


def test_whose_work_is_waited_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    host: Any = Host(monkeypatch, {"other": None, "busy": "backup, process 17, since 03:00:00 UTC"}, FREE)
    problems, held = lease.take(host, "started")
    assert (problems, held is not None) == ([], True)
    assert host.said == ["still at work here: backup, process 17, since 03:00:00 UTC; waiting for it to end"]
    assert [one["line"] for one in host.asked] == ["started", ""], "one line for one deploy"


def test_who_leaves_takes_the_program_along(monkeypatch: pytest.MonkeyPatch) -> None:
    host: Any = Host(monkeypatch, FREE)
    _, held = lease.take(host)
    assert held
    held.leave()
    assert [one["verb"] for one in host.asked] == ["lease_take", "lease_leave"]
    assert host.said == ["withdrawn"]
