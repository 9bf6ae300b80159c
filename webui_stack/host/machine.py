"""What the host is: its release, sizes, addresses and listening sockets. Asks the kernel, and no program but `ip`."""

from __future__ import annotations

import os
import posixpath
import socket
import sys
import time
from collections.abc import Collection, Iterator

from . import digits
from .errors import HostError
from .system import System
from .typed import Any

_CONTAINERD = "/var/lib/containerd"
# An address of documentation (RFC 5737): the kernel names the source address it would use, and sends nothing.
_ELSEWHERE = ("192.0.2.1", 9)
ADDRESSES = ("ip", "-o", "addr", "show")
"""The program that tells a host's addresses."""
# State of a socket that listens (Linux, include/net/tcp_states.h).
_LISTENS = "0A"


def look(
    system: System, *, stack_dir: str, backup_dir: str, docker_root: str, images_are_containerds: bool
) -> dict[str, Any]:
    """The host as it is. Sizes in kB, time in seconds since the epoch.

    `docker_root` is where Docker has, or is to have, its data. Where a folder does not exist yet, the space is that of
    the nearest one above it. Images are elsewhere where containerd keeps them (Docker 29 on new hosts).
    """
    return {
        "os_release": os_release(system.text("/etc/os-release")),
        "architecture": os.uname().machine,
        "uid": os.getuid(),
        "init": system.text("/proc/1/comm").strip(),
        "memory_kb": memory_kb(system.text("/proc/meminfo"), "MemAvailable"),
        "disk": _space(docker_root),
        "images_disk": _space(_CONTAINERD) if images_are_containerds else None,
        "links": {name: os.path.realpath(name) for name in (stack_dir, backup_dir) if os.path.islink(name)},
        "addresses": list(_addresses(system)),
        "route": _route(),
        "listening": list(listening(system)),
        "epoch_s": int(time.time()),
        "python": sys.executable,
    }


def os_release(text: str) -> dict[str, str]:
    """The names and values of os-release(5), without their quotes."""
    found = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            found[name.strip()] = value.strip().strip("\"'")
    return found


def memory_kb(text: str, wanted: str) -> int:
    """A line of /proc/meminfo (Linux, Documentation/filesystems/proc.rst).

    MemAvailable is what programs can have without swapping.
    """
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == wanted:
            return int(value.split()[0])
    raise HostError("/proc/meminfo", expected=f"a line {wanted}", got="none", do="use a kernel of 3.14 or newer")


def _space(folder: str) -> dict[str, Any]:
    """The free space for everybody in kB, and the folder it was found at."""
    while not os.path.isdir(folder):
        folder = posixpath.dirname(folder)
    found = os.statvfs(folder)
    return {"free_kb": found.f_bavail * found.f_frsize // 1024, "folder": folder}


def _addresses(system: System) -> Iterator[dict[str, Any]]:
    """Every address of every interface, with the interface's MTU; none on a host without iproute2."""
    if not system.has(ADDRESSES[0]):
        return
    for line in system.output(*ADDRESSES).splitlines():
        _, name, _, address, *_ = line.split()
        name = name.partition("@")[0]
        mtu = int(system.text(f"/sys/class/net/{name}/mtu") or 0)
        yield {"address": address.partition("/")[0], "interface": name, "mtu": mtu}


def _route() -> str:
    """The address by which the host reaches others; "" without a default route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def listening(system: System) -> Iterator[dict[str, Any]]:
    """Every TCP port that somebody listens on, with the program and its pid; "" and 0 where nobody can be named.

    The address is "*" for a socket that takes both IPv6 and IPv4.
    """
    sockets = [*_listening(system, "/proc/net/tcp", socket.AF_INET)]
    of_ipv4 = {(address, port) for address, port, _ in sockets}
    for address, port, inode in _listening(system, "/proc/net/tcp6", socket.AF_INET6):
        # The kernel does not say here whether it takes IPv4. It does by default (ipv6(7), IPV6_V6ONLY), unless another
        # socket has IPv4's, as of each port that Docker publishes.
        takes_both = address == "::" and ("0.0.0.0", port) not in of_ipv4  # noqa: S104 where others listen
        sockets.append(("*" if takes_both else address, port, inode))
    holders = _holders(system, {inode for _, _, inode in sockets})
    for address, port, inode in sockets:
        pid = holders.get(inode, 0)
        program = system.text(f"/proc/{pid}/comm").strip() if pid else ""
        yield {"address": address, "port": port, "program": program, "pid": pid}


def _listening(system: System, table: str, family: socket.AddressFamily) -> Iterator[tuple[str, int, str]]:
    """Address, port and inode of each socket in the kernel's table that listens."""
    for line in system.text(table).splitlines()[1:]:
        columns = line.split()
        local, state, inode = columns[1], columns[3], columns[9]
        if state == _LISTENS:
            hexadecimal, _, port = local.partition(":")
            yield _address(hexadecimal, family), int(port, 16), inode


def _address(hexadecimal: str, family: int) -> str:
    """The kernel prints an address in words of 32 bits, each in the machine's byte order (net/ipv4/tcp_ipv4.c)."""
    packed = b"".join(bytes.fromhex(hexadecimal[start : start + 8])[::-1] for start in range(0, len(hexadecimal), 8))
    return socket.inet_ntop(family, packed)


def _holders(system: System, inodes: Collection[str]) -> dict[str, int]:
    """The first process that has each of these sockets open, by the socket's inode."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, int] = {}
    for pid in sorted(filter(None, map(digits.whole, system.names("/proc")))):
        for target in wanted.keys() & _open_files(system.place(f"/proc/{pid}/fd")):
            found.setdefault(wanted[target], pid)
        if len(found) == len(wanted):
            break
    return found


def _open_files(folder: str) -> set[str]:
    """What a process has open, as the kernel names it; less of one that has ended meanwhile, or is another's."""
    found = set()
    try:
        for descriptor in os.listdir(folder):
            found.add(os.readlink(f"{folder}/{descriptor}"))
    except OSError:
        return found
    return found
