"""Who has the ports of a host that the settings publish. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from webui_stack import compose, digits
from webui_stack.settings import Settings

# Listening sockets, and what containers publish. Docker's own proxy for a port may be switched off (`userland-proxy`).
COMMAND = r"""
if command -v ss >/dev/null 2>&1; then
  ss -Hltnp | sed 's/^/listening=/'
else # state 0A listens; the address is hexadecimal, in the machine's byte order
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
    sed -n 's/^ *[0-9]*: \([0-9A-F]*\):\([0-9A-F]*\) [0-9A-F:]* 0A .*/socket=\1 \2/p'
fi
# Docker may be there and not run: it publishes nothing then, and the engine's own answer says that it is silent.
if command -v docker >/dev/null 2>&1; then docker ps --format 'published={{.Names}} {{.Ports}}' 2>/dev/null || :; fi
"""


@dataclass(frozen=True)
class Taken:
    """A port that somebody listens on; `container` is whose port Docker publishes there, `program` who listens."""

    address: str
    port: int
    program: str = ""
    container: str = ""


def parse(values: Mapping[str, Sequence[str]]) -> tuple[Taken, ...]:
    """Read `COMMAND`'s lines, by what is before their first equals sign."""
    return (
        *(taken for line in values.get("published", ()) for taken in _published(line)),
        *(taken for line in values.get("listening", ()) for taken in _listening(line)),
        *(taken for line in values.get("socket", ()) for taken in _socket(line)),
    )


def _published(line: str) -> Iterator[Taken]:
    """`open-webui 0.0.0.0:3000->8080/tcp, [::]:8000-8001->8000-8001/tcp, 9000/tcp`."""
    name, _, ports = line.partition(" ")
    for match in re.finditer(r"(\S+):([0-9]{1,5})(?:-([0-9]{1,5}))?->\S+/tcp", ports):
        first, last = int(match[2]), int(match[3] or match[2])
        for port in range(first, last + 1):
            yield Taken(_bare(match[1]), port, container=name)


def _listening(line: str) -> Iterator[Taken]:
    """`LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=1,fd=6),("nginx",pid=2,fd=6))`."""
    columns = line.split(maxsplit=5)
    address, _, port = columns[3].rpartition(":") if len(columns) > 4 else ("", "", "")
    if number := digits.whole(port):
        users = re.search(r'\("([^"]*)",pid=([0-9]+)', columns[5] if len(columns) > 5 else "")
        yield Taken(_bare(address), number, f"{users[1]} (pid {users[2]})" if users else "another program")


def _socket(line: str) -> Iterator[Taken]:
    address, _, port = line.partition(" ")
    if len(address) == 8:
        dotted = ".".join(str(byte) for byte in bytes.fromhex(address)[::-1])
        yield Taken(dotted, int(port, 16), "another program")
    elif not int(address, 16):
        yield Taken("::", int(port, 16), "another program")


def _bare(address: str) -> str:
    return address.strip("[]").partition("%")[0]


def wanted(settings: Settings) -> list[tuple[str, str, int]]:
    """Setting, address and port of each port that this host publishes."""
    if settings.topology == "swarm":
        published = [("public_url", settings.proxy_port), ("proxy_http_port", settings.proxy_http_port)]
        return [(name, "*", port) for name, port in published if port and settings.runs("proxy")]
    if settings.public_url:
        published = [("public_url", settings.proxy_port), ("proxy_http_port", settings.proxy_http_port)]
        return [(name, settings.proxy_bind, port) for name, port in published if port]
    return [("open_webui_port", settings.open_webui_bind, settings.open_webui_port)]


def refusals(taken: Iterable[Taken], settings: Settings) -> list[str]:
    """Every port that somebody else has; the stack's own containers are nobody else."""
    taken = list(taken)
    found = []
    for setting, address, port in wanted(settings):
        there = [one for one in taken if one.port == port and _meet(address, one.address)]
        containers = [one.container for one in there if one.container]
        others = [name for name in containers if not _is_ours(name)]
        programs = [one.program for one in there if one.program]
        if others:
            holder = f"the container {others[0]}"
        elif containers or not programs:
            continue
        else:
            holder = programs[0]
        found.append(
            f"port {port} ({setting}): expected it to be free on this host, got it taken by {holder}; stop that, or "
            "choose another port"
        )
    return found


def _is_ours(container: str) -> bool:
    # Compose calls a container that it is about to replace ID_NAME, and is killed sometimes.
    name = re.sub(r"^[0-9a-f]{12}_", "", container)
    return re.fullmatch(compose.OURS, name) is not None or container.startswith(f"{compose.STACK}_")


def _meet(one: str, other: str) -> bool:
    """Whether two sockets on one port are in each other's way, by their addresses."""
    if one == other or "*" in (one, other):
        return True
    if ":" in one or ":" in other:
        return "::" in (one, other) and ":" in one and ":" in other
    return "0.0.0.0" in (one, other)  # noqa: S104
