"""One operator at a time on a host: a lease that is renewed while its holder lives, and expires when not.

The lease is a file on the host, so that it holds between machines; `flock` makes taking it atomic, in a folder
that only root may enter. It is in /run, so that a reboot ends it. Renewal is what makes a killed holder's lease
short and a long deploy's safe.
"""

from __future__ import annotations

import getpass
import os
import posixpath
import shlex
import socket
import time

import gevent
from pyinfra import logger
from pyinfra.api import Host

from webui_stack import compose, digits, host_program, remote
from webui_stack.survey import DEPLOY_LOG, LEASE_FILE, OLD_LEASE_FILE

# A killed operator's host is free again after this many seconds.
EXPIRY_S = 120
# What a killed run left at work on the host ends by itself: `open_webui_start_timeout_s` twice at most.
_WORK_S = 7200
_RENEWAL_S = 30

# Answers "held OWNER SINCE LEFT_S" when somebody else has it, "busy WHO" when it is taken and somebody is at work here
# whose operator is gone, or a backup is made. A lease of the same user and machine is
# taken over when its process is gone, which only that machine can tell: hence FORMER.
# The lease's own lock is held for a moment. A run of the version of before has its lease elsewhere.
# `leave` removes the locks as well: two runs that begin in that very moment could both get the lease, of a host where
# nothing is left.
_SCRIPT = """
log() {{
  [ {line} ] || return 0
  umask 027
  mkdir -p {log_folder} && printf '%s\\n' {line} >>{log}
}}
mkdir -p -m 700 {folder}
exec 9>>{file}.lock
flock --timeout 30 9 || {{
  echo "lease: expected {file}.lock for a moment, got it held for 30 s; see lslocks" >&2
  exit 1
}}
now=$(date +%s)
read -r owner since expires 2>/dev/null <{file} || owner=
case {action} in
take)
  for path in {old_file} {file}; do
    if read -r owner since expires 2>/dev/null <"$path" &&
      [ "$expires" -gt "$now" ] && [ "$owner" != {owner} ] && [ "$owner" != {former} ]; then
      echo "held $owner $since $((expires - now))"
      exit 0
    fi
  done
  echo {owner} "$now" $((now + {expiry_s})) >{file}
  for lock in {old_work_lock} {work_lock}; do
    [ ! -e "$lock" ] || flock --timeout 3 "$lock" true || {{ echo "busy $(cat "$lock")"; break; }}
  done
  log
  ;;
renew)
  if [ "$owner" = {owner} ]; then echo {owner} "$since" $((now + {expiry_s})) >{file}; fi
  ;;
release)
  if [ "$owner" = {owner} ]; then rm -f {file} {old_file} {old_file}.lock {old_work_lock}; fi
  log
  ;;
leave)
  if [ "$owner" = {owner} ]; then rm -rf {folder} {program} {old_file} {old_file}.lock {old_work_lock}; fi
  ;;
log)
  log
  ;;
esac
"""


def operator() -> str:
    """Who is at work, as people know each other: user@machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _owner(pid: int | None = None) -> str:
    """Who holds a lease: an operator, and which run."""
    return f"{operator()}:{pid or os.getpid()}"


class Lease:
    """A host that is ours until `release`, or until this process is gone for two minutes."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._renewal = gevent.spawn(self._renew)

    def release(self, line: str = "") -> None:
        """Give the lease back; `line` goes into the host's log of deploys."""
        self._renewal.kill(block=False)
        _ask(self._host, "release", line=line)

    def leave(self) -> None:
        """Give the lease back where nothing is to be left of it, nor of the locks."""
        self._renewal.kill(block=False)
        _ask(self._host, "leave")

    def _renew(self) -> None:
        while True:
            gevent.sleep(_RENEWAL_S)
            try:
                _ask(self._host, "renew")
            except Exception as error:  # whatever broke the connection, the run itself will say so
                logger.debug("lease of %s not renewed: %s", self._host, error)
                return


def take(host: Host, line: str = "") -> tuple[list[str], Lease | None]:
    """Ensure this run holds the host's lease; otherwise a line says who does. `line` goes into the log of deploys.

    `host` is pyinfra's own object, since the renewal outlives the operation that takes it. Waits for work that a
    run that was cut off has left on the host.
    """
    answer = _ask(host, "take", line=line)
    if answer.startswith("held ") and _is_dead(owner := answer.split()[1]):
        answer = _ask(host, "take", former=owner, line=line)
    if answer.startswith("held "):
        _, owner, since, left_s = answer.split()
        started = time.strftime("%H:%M:%S UTC", time.gmtime(digits.integer(since)))
        return [
            f"lease: expected nobody else at work here, got {owner} since {started}; wait for that run to end, "
            f"or {left_s} s if it was killed (the lease expires unless its run renews it)"
        ], None
    deadline = time.monotonic() + _WORK_S
    while answer.startswith("busy"):
        holder = answer.removeprefix("busy").strip() or "a run that was cut off"
        if time.monotonic() > deadline:
            return [f"lease: expected others' work here to end, got {_WORK_S} s of it by {holder}"], None
        host.log(f"still at work here: {holder}; waiting for it to end")
        gevent.sleep(5)
        answer = _ask(host, "take")
    return [], Lease(host)


def log(host: Host, line: str) -> None:
    """Append a line to the host's log of deploys. Raises `remote.RemoteError`."""
    _ask(host, "log", line=line)


def _is_dead(owner: str) -> bool:
    """Whether the holder is a run of this user on this machine that is no more."""
    name, _, pid = owner.rpartition(":")
    number = digits.whole(pid)
    if number is None or f"{name}:{pid}" != _owner(number):
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def _ask(host: Host, action: str, former: str = "-", line: str = "") -> str:
    lines = remote.run(
        host,
        _SCRIPT.format(
            folder=compose.RUN_FOLDER,
            program=host_program.FOLDER,
            file=LEASE_FILE,
            old_file=OLD_LEASE_FILE,
            old_work_lock=compose.OLD_WORK_LOCK,
            action=action,
            owner=shlex.quote(_owner()),
            former=shlex.quote(former),
            expiry_s=EXPIRY_S,
            work_lock=compose.WORK_LOCK,
            line=shlex.quote(line),
            log=DEPLOY_LOG,
            log_folder=posixpath.dirname(DEPLOY_LOG),
        ),
    )
    return lines[0] if lines else ""
