"""Docker's Engine API over its Unix socket. Objects, and what can be done with them, have the names that Docker has.

No answer is never "nothing there": a call that fails raises one of three exceptions. NotFound is Docker's own word that
the object which the call names first is not there. Unavailable means that nobody knows whether it is there, or whether
the change was made. Refused is Docker's no.

The caller gives the socket: DOCKER_HOST and contexts are not read. The API version is agreed with the engine, from 1.41
(Docker 20.10) to 1.47.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from . import objects
from .containers import Containers
from .errors import EngineError, NotFound, ProgramFailed, Refused, TooNew, TooOld, Unavailable
from .images import Images
from .objects import (
    Container,
    Endpoint,
    Event,
    Image,
    Info,
    Listed,
    Member,
    Mount,
    Network,
    NewContainer,
    Output,
    Port,
    Probe,
    Version,
    Volume,
)
from .storage import Storage
from .swarm import Swarm
from .swarm_objects import Named, Node, Service, Task
from .transport import ANSWER_S, SOCKET, Call, Transport, filters, understood

__all__ = [
    "Container",
    "Endpoint",
    "Engine",
    "EngineError",
    "Event",
    "Image",
    "Info",
    "Listed",
    "Member",
    "Mount",
    "Named",
    "Network",
    "NewContainer",
    "Node",
    "NotFound",
    "Output",
    "Port",
    "Probe",
    "ProgramFailed",
    "Refused",
    "Service",
    "Task",
    "TooNew",
    "TooOld",
    "Unavailable",
    "Version",
    "Volume",
]


class Engine(Containers, Images, Storage, Swarm):
    """The engine at one socket. Nothing is asked of it before the first call."""

    def __init__(self, socket_path: str = SOCKET, *, limit_s: float = math.inf) -> None:
        """`limit_s` is the longest that any one call may take."""
        self._transport = Transport(socket_path, limit_s=limit_s)

    def ping(self) -> str:
        """The newest API version that the engine speaks, from the engine as it runs now."""
        return self._transport.ping()

    def version(self) -> Version:
        call = Call("GET", "/version")
        data = self._transport.json(call)
        with understood(call):
            return objects.version(data)

    def info(self) -> Info:
        call = Call("GET", "/info")
        data = self._transport.json(call)
        with understood(call):
            return objects.info(data)

    def firewall_backend(self) -> str:
        """What writes Docker's rules into the packet filter: iptables, nftables, ...; "" before Docker 28.2.

        To API versions below 1.49 Docker does not tell it (moby: daemon/server/router/system), so none is asked for.
        """
        call = Call("GET", "/info", versioned=False)
        data = self._transport.json(call)
        with understood(call):
            return str((data.get("FirewallBackend") or {}).get("Driver", ""))

    def events(
        self, *, since_s: float, until_s: float, kind: str | None = None, label: str | None = None
    ) -> Iterator[Event]:
        """What happens, and happened, between two times of this host's clock, in seconds since 1970.

        Ends by itself at `until_s`, so a caller that goes on from there misses nothing that Docker remembers: its last
        256 events. A restart of Docker forgets them, and raises Unavailable here. `kind` is container, volume, ...
        """
        limit_s = max(until_s - time.time(), 0) + ANSWER_S
        # Seconds with nine decimals: as a float, a time of today has fewer.
        query = {"since": f"{since_s:.9f}", "until": f"{until_s:.9f}", "filters": filters(type=kind, label=label)}
        call = Call("GET", "/events", query, timeout_s=limit_s)
        with self._transport.open(call) as answer:
            for line in answer.lines():
                with understood(call):
                    event = objects.event(line)
                yield event
