"""Docker's own rules in the host's packet filter: whether somebody flushed them. Pure.

Docker writes them when it starts and does not look again. A firewall that is reloaded by flushing all rules takes
published ports, the containers' way out, and (with bridge-nf-call-iptables) their way to each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NEXT_STEP = "`systemctl restart docker` makes them again; a firewall whose reload flushes all rules does it every time"


def gone(seen: Mapping[str, Any] | None) -> list[str]:
    """Which of Docker's rules are gone, `nat` and `filter`, by `doctor_document.PacketFilter`.

    None where Docker keeps no rules, or nobody can tell.
    """
    if not seen or not seen["managed"]:
        return []
    return [table for table in ("nat", "filter") if seen[table] == 0]


def told(tables: Iterable[str]) -> str:
    """That they are gone, in words."""
    return f"Docker's rules are gone from the packet filter ({', '.join(tables)}): somebody flushed it"
