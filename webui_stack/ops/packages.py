"""Operations on apt's packages that wait for others, and go on without sources of packages that are dead."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence

from pyinfra import logger
from pyinfra.api import FunctionCommand, Host, State, operation

from webui_stack.ops.operations import Commands
from webui_stack.plan import apt_sources
from webui_stack.transport import remote

_NO_SOURCES = (
    "-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=- -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
)
# A fresh host's unattended-upgrades holds dpkg's lock for minutes.
_PATIENCE_S = 900.0
_PAUSE_S = 5.0
_APT_GET = (
    "LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get --yes "
    "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
)


class _HeldError(Exception):
    """Another program held one of apt's locks for too long; the text names it."""


@operation(is_idempotent=False)
def install(names: Sequence[str], sources: Mapping[str, str]) -> Commands:
    """Ensure the packages (`name` or `name=version`) are installed from apt's sources, without what they recommend.

    Fails where that would remove another package, and names it: somebody wanted that one.
    Waits a quarter of an hour at most for another package manager, and names it. A source that apt can't read fails the
    operation only if the packages can't be had without it; otherwise the run warns of it. `sources` are the texts of
    apt's files (`engine.Engine.apt_sources`). Fails with apt's own words.
    """
    yield FunctionCommand(_install, (list(names), dict(sources)), {})


@operation(is_idempotent=False)
def install_chosen(choose: Callable[[Host], tuple[str, Sequence[str]]]) -> Commands:
    """Ensure the packages are installed that `choose` names once the run is at it, with the host's package manager.

    Fails as `install_now` does, and where `choose` raises `RemoteError`.
    """
    yield FunctionCommand(_install_chosen, (choose,), {})


@operation(is_idempotent=False)
def remove(names: Sequence[str]) -> Commands:
    """Ensure the packages are not installed; waits for another package manager as `install` does."""
    yield FunctionCommand(_remove, (list(names),), {})


@operation(is_idempotent=False)
def turn() -> Commands:
    """Ensure nobody else is at work with dpkg, for a script that follows; waits for them as `install` does."""
    yield FunctionCommand(_turn, (), {})


def install_now(host: Host, manager: str, names: Sequence[str]) -> bool:
    """Ensure the packages are installed at once, before anything is planned; whether it was done.

    `manager` is "apt", which waits for others as `install` does, or "dnf". Errors are told.
    """
    if manager == "apt":
        return _install(host.state, host, list(names), {})
    done, output = remote.attempt(host, f"dnf --assumeyes --quiet install {shlex.join(names)}", shown=True)
    return done or _fail(host, output.stderr_lines)


def _install_chosen(state: State, host: Host, choose: Callable[[Host], tuple[str, Sequence[str]]]) -> bool:  # noqa: ARG001
    try:
        manager, names = choose(host)
    except remote.RemoteError as error:
        return _fail(host, [str(error)])
    return install_now(host, manager, names)


def _install(state: State, host: Host, names: list[str], sources: dict[str, str]) -> bool:  # noqa: ARG001
    try:
        updated, update_said = _patiently(host, f"{_APT_GET} -qq update")
        done, said = _patiently(host, f"{_APT_GET} install --no-install-recommends --no-remove {shlex.join(names)}")
    except _HeldError as error:
        return _fail(host, [str(error)])
    if lost := apt_sources.removed(said):
        wanted, gone = ", ".join(names), " ".join(lost)
        return _fail(
            host,
            [
                f"apt: expected to install {wanted} and remove nothing, got {gone} in the way; see what needs that "
                f"on the host, `apt-get remove {gone}`, and run again"
            ],
        )
    if not done:
        # Of a source that is out of reach apt only warns: the packages are missing then.
        return _fail(host, [*apt_sources.complaints(update_said), *(apt_sources.complaints(said) or said)])
    if not updated:
        for line in apt_sources.dead(update_said, sources):
            told = f"apt: expected all sources of packages to work, got an error from {line}; fix or remove it"
            host.log_styled(told, fg="yellow", log_func=logger.warning)
    return True


def _remove(state: State, host: Host, names: list[str]) -> bool:  # noqa: ARG001
    try:
        done, said = _patiently(host, f"{_APT_GET} remove {shlex.join(names)}")
    except _HeldError as error:
        return _fail(host, [str(error)])
    return done or _fail(host, apt_sources.complaints(said) or said)


def _turn(state: State, host: Host) -> bool:  # noqa: ARG001
    try:
        # Installs nothing, reads no sources, and takes dpkg's lock. Any other failure is for the script that follows.
        _patiently(host, f"{_APT_GET} -qq {_NO_SOURCES} install")
    except _HeldError as error:
        return _fail(host, [str(error)])
    return True


def _patiently(host: Host, command: str) -> tuple[bool, list[str]]:
    """Whether the command succeeded, and what it said, once no other program holds apt's locks.

    apt's own `DPkg::Lock::Timeout` does not wait for the lock of the lists (seen with 3.0), and does not say for whom.
    """
    deadline = time.monotonic() + _PATIENCE_S
    told = ""
    while True:
        done, output = remote.attempt(host, command, shown=True)
        said = [*output.stdout_lines, *output.stderr_lines]
        if done or not apt_sources.is_locked(said):
            return done, said
        holder = apt_sources.holder(said)
        if time.monotonic() > deadline:
            raise _HeldError(
                f"apt: expected its turn within {_PATIENCE_S / 60:.0f} minutes, got it kept by {holder}; "
                "see what that does, and run again"
            )
        if holder != told:
            host.log_styled(
                f"waiting for {holder}, {_PATIENCE_S / 60:.0f} minutes at most", fg="yellow", log_func=logger.warning
            )
            told = holder
        time.sleep(_PAUSE_S)  # apt asks for its locks only at its start


def _fail(host: Host, said: Sequence[str]) -> bool:
    for line in said:
        host.log_styled(line, fg="red", log_func=logger.error)
    return False
