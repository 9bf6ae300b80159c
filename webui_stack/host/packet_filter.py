"""Docker's own rules in the packet filter: whether they are there. Somebody may have flushed them."""

from __future__ import annotations

import re
from typing import Any

from . import dockerd
from .engine import Engine, Info
from .system import System
from .unread import Unread

_OFF_IN_FILE = re.compile(rb'"iptables"\s*:\s*false')
_OFF_BY_OPTION = re.compile("--iptables=(false|0)")
# Docker's table with its nftables backend (since 29), and the jumps to its chains.
_TABLE, _TO_NAT, _TO_FILTER = "table ip docker-bridges", "-j DOCKER$", "-j DOCKER"


def look(system: System, engine: Engine, unread: Unread, info: Info | None) -> dict[str, Any]:
    """How many rules lead to Docker's in `nat` and in `filter`, None where that is unknown or nobody's matter.

    `backend` is "" before Docker 29. `managed` is False where Docker leaves the packet filter to the operator.
    """
    backend = unread.answer(engine.firewall_backend, "")
    managed = unread.answer(lambda: _manages(system, info), False)

    def count(pattern: str, *command: str) -> int | None:
        said = unread.answer(lambda: system.output(*command), None)
        return None if said is None else sum(bool(re.search(pattern, line)) for line in said.splitlines())

    nat = filter_ = None
    if managed and backend == "nftables":
        nat = filter_ = count(_TABLE, "nft", "list", "tables")
    elif managed:
        nat = count(_TO_NAT, "iptables", "-w", "5", "-t", "nat", "-S", "PREROUTING")
        filter_ = count(_TO_FILTER, "iptables", "-w", "5", "-S", "FORWARD")
    return {"backend": backend, "managed": managed, "nat": nat, "filter": filter_}


def _manages(system: System, info: Info | None) -> bool:
    options = dockerd.running(system, {})
    return not (
        _OFF_IN_FILE.search(system.data(dockerd.DAEMON_JSON) or b"")
        or any(_OFF_BY_OPTION.fullmatch(option) for option in options)
        or any("rootless" in option for option in (info.security_options if info else ()))
    )
