"""The lease of this host, and the log of its deploys: who is at work here, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..clock import Clock
from ..errors import HostError
from ..files import Files
from ..kernel import LINUX
from ..lease import Lease
from ..locks import Locks
from ..protocol import Event
from ..records import asdict
from ..system import require_root
from ..typed import Any

Emit = Callable[[Event], None]
# The watchdog holds a lock for a moment: nobody has to be told of that.
_WORK_S = 3.0


class Leases:
    """What this module's verbs do; the arguments of each are a request's."""

    def __init__(self, files: Files, locks: Locks, clock: Clock, lease: Lease) -> None:
        self._files, self._locks, self._clock, self._lease = files, locks, clock, lease

    def take(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Ensure `owner` has the lease; a `line` of its own is in the `log` then.

        Returns `other`, who has it instead, with `left_s` seconds until it expires; None where that is nobody. `busy`
        is who is at work here whose operator is gone, or who makes a backup; None for nobody. `gone` are owners of
        whom the caller knows that they have ended.
        """
        other = self._lease.take(arguments["owner"], arguments["gone"])
        if other:
            return {"other": asdict(other), "busy": None}
        self.log(arguments)
        return {"other": None, "busy": self._locks.at_work(limit_s=_WORK_S)}

    def renew(self, arguments: Mapping[str, Any]) -> bool:
        """Ensure the lease of `owner` lasts. Returns whether it still is theirs."""
        return self._lease.renew(arguments["owner"])

    def release(self, arguments: Mapping[str, Any]) -> None:
        """Ensure `owner` has the lease no more, and that the `log` has a `line` of how its deploy ended."""
        try:
            self.log(arguments)
        finally:
            self._lease.release(arguments["owner"])

    def leave(self, arguments: Mapping[str, Any]) -> None:
        """Ensure nothing is left of the lease of `owner`, nor of the locks."""
        self._lease.leave(arguments["owner"])

    def log(self, arguments: Mapping[str, Any]) -> None:
        """Ensure the file `log` ends in a `line`; "" for none."""
        line = arguments.get("line", "")
        if "\n" in line:
            raise HostError("log of deploys", expected="one line", got="several", do="please report it")
        if line:
            with self._locks.moment("lease.lock", "log"):
                self._files.append(arguments["log"], line)


def _leases(emit: Emit) -> Leases:
    require_root()
    files, clock = Files(), Clock()
    locks = Locks(LINUX, clock, lambda text: emit(Event(text)))
    return Leases(files, locks, clock, Lease(files, locks, clock))


def take(arguments: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    """See `Leases.take`."""
    return _leases(emit).take(arguments)


def renew(arguments: Mapping[str, Any], emit: Emit) -> bool:
    """See `Leases.renew`."""
    return _leases(emit).renew(arguments)


def release(arguments: Mapping[str, Any], emit: Emit) -> None:
    """See `Leases.release`."""
    _leases(emit).release(arguments)


def leave(arguments: Mapping[str, Any], emit: Emit) -> None:
    """See `Leases.leave`."""
    _leases(emit).leave(arguments)


def log(arguments: Mapping[str, Any], emit: Emit) -> None:
    """See `Leases.log`."""
    _leases(emit).log(arguments)
