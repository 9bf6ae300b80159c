"""A host cut off the lab's network, and brought back: what a broken switch, and its repair, do to a cluster."""

from __future__ import annotations

from lab import docker
from lab.hosts import Host

# Before and after everything the host's own Docker does: a container's packets pass these as well as the host's.
_TABLE = "mangle"
_IN, _OUT = "LAB-CUT-IN", "LAB-CUT-OUT"


def cut(host: Host, gateway: str) -> bool:
    """Ensure nothing passes between the host and the lab's network but ssh from this machine; True if it changed.

    Packets are dropped, not refused, and the host keeps its address. Its other published ports don't answer
    either. A host that is stopped and started again is no longer cut off.
    """
    if is_cut(host):
        return False
    _restore(
        host,
        f":{_IN} - [0:0]",
        f":{_OUT} - [0:0]",
        # the engine forwards a published port from the network's gateway
        f"-A {_IN} -s {gateway} -p tcp --dport 22 -j RETURN",
        f"-A {_IN} -j DROP",
        f"-A {_OUT} -d {gateway} -p tcp --sport 22 -j RETURN",
        f"-A {_OUT} -j DROP",
        f"-I PREROUTING -i eth0 -j {_IN}",
        f"-I POSTROUTING -o eth0 -j {_OUT}",
    )
    return True


def reconnect(host: Host) -> bool:
    """Ensure the host is not cut off; True if it was."""
    if not is_cut(host):
        return False
    _restore(
        host,
        f"-D PREROUTING -i eth0 -j {_IN}",
        f"-D POSTROUTING -o eth0 -j {_OUT}",
        *(f"{action} {chain}" for chain in (_IN, _OUT) for action in ("-F", "-X")),
    )
    return True


def is_cut(host: Host) -> bool:
    return f"-j {_IN}" in docker.run("exec", host.container, "iptables", "-w", "-t", _TABLE, "-S", "PREROUTING")


def _restore(host: Host, *rules: str) -> None:
    """All of the rules or none of them (iptables-restore(8))."""
    text = "\n".join([f"*{_TABLE}", *rules, "COMMIT", ""])
    docker.run("exec", "-i", host.container, "iptables-restore", "-w", "--noflush", stdin=text.encode())
