"""One operator at a time on a host: this run's side of the lease (`webui_stack/host/lease.py`).

The lease is a file on the host, so that it holds between machines. It expires unless its run renews it: that makes a
killed run's lease short, and a long run's safe.
"""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from pyinfra import logger
from pyinfra.api import Host

from webui_stack.documents import digits
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Processes, parse
from webui_stack.host.lease import EXPIRY_S, Other
from webui_stack.model.survey import DEPLOY_LOG
from webui_stack.transport import program

# What a killed run left at work on the host ends by itself: `open_webui_start_timeout_s` twice at most.
_WORK_S = 7200
_PAUSE_S = 5
RENEWAL_S = 30
RETRY_S = 5


def operator() -> str:
    """Who is at work, as people know each other: user@machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


class Lease:
    """A host that is ours until `release`, or until this process is gone for two minutes."""

    def __init__(self, host: Host, owner: str) -> None:
        self._host, self._owner = host, owner
        self._renewal = gevent.spawn(keep_renewed, self._renew, self._tell)

    def release(self, line: str = "") -> None:
        """Give the lease back; `line` goes into the host's log of deploys."""
        self._renewal.kill(block=False)
        program.call(self._host, "lease_release", {"owner": self._owner, "line": line, "log": DEPLOY_LOG})

    def leave(self) -> None:
        """Give the lease back where nothing is to be left of it, nor of the locks, nor of the program."""
        self._renewal.kill(block=False)
        program.call(self._host, "lease_leave", {"owner": self._owner})
        program.withdraw(self._host)

    def _renew(self) -> bool:
        return bool(program.call(self._host, "lease_renew", {"owner": self._owner}))

    def _tell(self, line: str) -> None:
        self._host.log_styled(line, fg="yellow", log_func=logger.warning)


def keep_renewed(renew: Callable[[], bool], tell: Callable[[str], None]) -> None:
    """Renew a lease until this greenlet is killed. A renewal that fails is tried again until the lease has expired.

    Returns where the lease is the caller's no more; `tell` gets a line then.
    """
    renewed_s = time.monotonic()
    pause_s = RENEWAL_S
    while True:
        gevent.sleep(pause_s)
        asked_s = time.monotonic()
        try:
            if not renew():
                tell("lease: expected it to be this run's, got it taken by another; see who is at work on the host")
                return
            renewed_s, pause_s = asked_s, RENEWAL_S
        except Exception as error:  # whatever breaks a connection
            if time.monotonic() - renewed_s >= EXPIRY_S:
                tell(f"lease: expected to renew it within {EXPIRY_S} s, got {error}; others may begin on the host")
                return
            pause_s = RETRY_S


def take(host: Host, line: str = "") -> tuple[list[str], Lease | None]:
    """Ensure this run holds the host's lease; otherwise a line says who does. `line` goes into the log of deploys.

    `host` is pyinfra's own object, since the renewal outlives the operation that takes it. Waits for work that a
    run that was cut off has left on the host.
    """
    owner = own_name()
    answer = _take(host, owner, line)
    if answer["other"] and has_ended(answer["other"]["owner"]):
        answer = _take(host, owner, line, gone=answer["other"]["owner"])
    if answer["other"]:
        other = Other(**answer["other"])
        return [
            f"lease: expected nobody else at work here, got {other}; wait for that run to end, "
            f"or {other.left_s:.0f} s if it was killed (the lease expires unless its run renews it)"
        ], None
    deadline = time.monotonic() + _WORK_S
    while answer["busy"] is not None:
        holder = answer["busy"] or "a run that was cut off"
        if time.monotonic() > deadline:
            return [f"lease: expected others' work here to end, got {_WORK_S} s of it by {holder}"], None
        host.log(f"still at work here: {holder}; waiting for it to end")
        gevent.sleep(_PAUSE_S)
        answer = _take(host, owner)
    return [], Lease(host, owner)


class Log:
    """The host's log of deploys, for the line of a run that takes no lease."""

    def __init__(self, host: Host) -> None:
        # It starts while the run proves the stack: that line is the last that the run waits for.
        self._program = program.Waiting(host, "deploy_log")

    def append(self, line: str) -> None:
        """Ensure the log ends in this line. Raises `remote.RemoteError`."""
        self._program.call({"line": line, "log": DEPLOY_LOG})


def own_name() -> str:
    """Who this run is: its operator, and its process, so that another run can tell whether it still lives."""
    try:
        return Processes().me(operator()).token
    except HostError:  # no /proc, as on macOS, where there are no PID namespaces either
        return f"{operator()}:{os.getpid()}"


def has_ended(owner: str) -> bool:
    """Whether a lease's owner is a run of this user on this machine, and is no more.

    False where that is unknown: for another machine, or a process in a container of its own.
    """
    holder = parse(owner)
    if holder:
        return holder.name == operator() and Processes().state(holder) == "dead"
    name, _, pid = owner.rpartition(":")
    number = digits.whole(pid)
    if number is None or name != operator() or Path("/proc/self/ns").exists():
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def _take(host: Host, owner: str, line: str = "", gone: str = "") -> dict[str, Any]:
    asked = {"owner": owner, "gone": [gone] if gone else [], "line": line, "log": DEPLOY_LOG}
    answer: dict[str, Any] = program.call(host, "lease_take", asked)
    return answer
