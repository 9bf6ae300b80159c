"""Which process holds something, so that another can tell whether it still runs."""

from __future__ import annotations

import os
import re

from .errors import HostError
from .records import asdict, dataclass
from .typed import Any, Literal

# "elsewhere": this process can't see that one, as it runs in another PID namespace (a container) or on another kernel.
State = Literal["alive", "dead", "elsewhere"]

_TOKEN = re.compile(r"(.+):([0-9]{1,10}):([0-9]+):([0-9]{1,20}):([^:]+)")


@dataclass(frozen=True)
class Holder:
    """A process. Its number alone does not name it: numbers are given again, and each PID namespace has its own.

    `name` is what people know it by: a verb, or user@machine. `started` is in clock ticks since boot.
    """

    name: str
    pid: int
    namespace: str
    started: int
    boot: str

    def __str__(self) -> str:
        return f"{self.name}, process {self.pid}"

    @property
    def token(self) -> str:
        """All of it in one word, for a lease; `parse` reads it back."""
        return f"{self.name}:{self.pid}:{self.namespace}:{self.started}:{self.boot}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Any) -> Holder:
        """Read what `as_json` has written. Raises `ValueError`."""
        wanted = {"name": str, "pid": int, "namespace": str, "started": int, "boot": str}
        if not isinstance(found, dict) or {key: type(value) for key, value in found.items()} != wanted:
            raise ValueError("a holder has a name, pid, namespace, started and boot")
        return cls(**found)


def parse(token: str) -> Holder | None:
    """The holder of a lease; None for one in the form that earlier versions wrote, `user@machine:PID`."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    name, pid, namespace, started, boot = found.groups()
    return Holder(name, int(pid), namespace, int(started), boot)


class Processes:
    """The processes that this one can see, read from /proc (proc(5))."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc

    def me(self, name: str) -> Holder:
        """This process as a holder."""
        pid = os.getpid()
        found = self._stat(pid)
        if found is None:
            raise HostError(self._proc, expected="this process in it", got="none", do="mount /proc")
        return Holder(name, pid, self._namespace(), found[1], self._boot())

    def state(self, holder: Holder) -> State:
        """Whether a holder still runs. Needs root, or a holder of the same user: /proc may hide others' processes."""
        if (holder.boot, holder.namespace) != (self._boot(), self._namespace()):
            return "elsewhere"
        found = self._stat(holder.pid)
        # A zombie has ended; its parent has not asked for its status yet.
        return "dead" if found is None or found[0] in "ZX" or found[1] != holder.started else "alive"

    def rebooted_since(self, holder: Holder) -> bool:
        """Whether the host was booted since: then no holder that ran on this host is left."""
        return holder.boot != self._boot()

    def _boot(self) -> str:
        return self._read("sys/kernel/random/boot_id").strip()

    def _namespace(self) -> str:
        path = f"{self._proc}/self/ns/pid"
        try:
            return os.readlink(path).strip("pid:[]")
        except OSError as error:
            raise _unreadable(path, error) from error

    def _stat(self, pid: int) -> tuple[str, int] | None:
        """A process's state and start; None where there is no such process."""
        path = f"{self._proc}/{pid}/stat"
        try:
            with open(path, errors="replace") as file:
                text = file.read()
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        # The name before it is in brackets, and may have brackets and blanks itself.
        fields = text.rpartition(")")[2].split()
        return fields[0], int(fields[19])

    def _read(self, name: str) -> str:
        path = f"{self._proc}/{name}"
        try:
            with open(path) as file:
                return file.read()
        except OSError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> HostError:
    got = error.strerror or str(error)
    return HostError(path, expected="to read it", got=got, do="mount /proc, and run this as root")
