"""One operator at a time on a host: a lease that is renewed while its holder lives, and expires when not.

The lease is a file on the host, so that it holds between machines; `flock` makes taking it atomic. It is
in /run, so that a reboot ends it. Renewal is what makes a killed holder's lease short and a long
deploy's safe.
"""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import time
from functools import cache
from typing import Any

import gevent
from pyinfra import logger, state
from pyinfra.api import BaseStateCallback, Host, State

from webui_stack import compose, remote

# A killed operator's host is free again after this many seconds.
EXPIRY_S = 120
# What a killed run left at work on the host ends by itself: `open_webui_start_timeout_s` twice at most.
_WORK_S = 7200
_RENEWAL_S = 30
_FILE = "/run/open-webui-stack.lease"

# Answers "held OWNER SINCE EXPIRES" when somebody else has it, "busy" when it is taken and the services are
# still being brought up by a run that has lost it. A lease of the same user and machine is
# taken over when its process is gone, which only that machine can tell: hence FORMER.
_SCRIPT = """
exec 9>>{file}.lock
flock 9
now=$(date +%s)
read -r owner since expires 2>/dev/null <{file} || expires=0
case {action} in
take)
  if [ "$expires" -gt "$now" ] && [ "$owner" != {owner} ] && [ "$owner" != {former} ]; then
    echo "held $owner $since $((expires - now))"
    exit 0
  fi
  echo {owner} "$now" $((now + {expiry_s})) >{file}
  flock --nonblock {work_lock} true || echo busy
  ;;
renew)
  if [ "$owner" = {owner} ]; then echo {owner} "$since" $((now + {expiry_s})) >{file}; fi
  ;;
release)
  if [ "$owner" = {owner} ]; then rm -f {file}; fi
  ;;
esac
"""


def _owner(pid: int | None = None) -> str:
    """Who holds a lease, as people know each other: user@machine, and which run."""
    return f"{getpass.getuser()}@{socket.gethostname()}:{pid or os.getpid()}"


def take(host: Host) -> list[str]:
    """Ensure this run holds the host's lease until it ends; otherwise one line says who does.

    Released when the host's last operation is done or one fails. Nothing is changed in a dry run.
    """
    answer = _ask(host, "take")
    if answer.startswith("held "):
        _, owner, since, left_s = answer.split()
        if _is_dead(owner):
            answer = _ask(host, "take", former=owner)
    if answer.startswith("held "):
        _, owner, since, left_s = answer.split()
        started = time.strftime("%H:%M:%S UTC", time.gmtime(int(since)))
        return [
            f"lease: expected nobody else at work here, got {owner} since {started}; wait for that run to end, "
            f"or {left_s} s if it was killed (the lease expires unless its run renews it)"
        ]
    deadline = time.monotonic() + _WORK_S
    while answer == "busy":
        if time.monotonic() > deadline:
            return [f"lease: expected the work of a killed run to end, got {compose.WORK_LOCK} held for {_WORK_S} s"]
        host.log("a run that was cut off is still at work here; waiting for it to end")
        gevent.sleep(5)
        answer = _ask(host, "take")
    # The renewal outlives this operation, and with it the context that `pyinfra.host` looks the host up in.
    itself = state.inventory.get_host(host.name)
    _releases(itself.state).renewals[itself] = gevent.spawn(_renew, itself)
    return []


def _renew(host: Host) -> None:
    while True:
        gevent.sleep(_RENEWAL_S)
        try:
            _ask(host, "renew")
        except Exception as error:  # whatever broke the connection, the run itself will say so
            logger.debug("lease of %s not renewed: %s", host, error)
            return


class _Releases(BaseStateCallback):
    """Gives a host's lease back once pyinfra is done with the host.

    One for all hosts, since pyinfra calls each handler for every operation of every host.
    """

    def __init__(self) -> None:
        self.renewals: dict[Host, gevent.Greenlet] = {}

    def operation_host_success(self, _: State, host: Host, op_hash: str, *_retries: int) -> None:  # type: ignore[override]
        if op_hash == host.op_hash_order[-1]:
            self._release(host)

    def operation_host_error(self, _: State, host: Host, *_rest: Any) -> None:  # type: ignore[override]
        self._release(host)

    def _release(self, host: Host) -> None:
        renewal = self.renewals.pop(host, None)
        if renewal is None:
            return
        renewal.kill(block=False)
        try:
            _ask(host, "release")
        except Exception as error:  # a lost connection: the lease expires by itself
            logger.debug("lease of %s not released: %s", host, error)


@cache
def _releases(state: State) -> _Releases:
    handler = _Releases()
    state.add_callback_handler(handler)  # type: ignore[no-untyped-call]
    return handler


def _is_dead(owner: str) -> bool:
    """Whether the holder is a run of this user on this machine that is no more."""
    name, _, pid = owner.rpartition(":")
    if not pid.isdigit() or f"{name}:{pid}" != _owner(int(pid)):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    return False


def _ask(host: Host, action: str, former: str = "-") -> str:
    lines = remote.run(
        host,
        _SCRIPT.format(
            file=_FILE,
            action=action,
            owner=shlex.quote(_owner()),
            former=shlex.quote(former),
            expiry_s=EXPIRY_S,
            work_lock=compose.WORK_LOCK,
        ),
    )
    return lines[0] if lines else ""
