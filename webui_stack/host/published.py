"""What answers at a port that Docker publishes, as this host itself reaches it."""

from __future__ import annotations

import socket
import time

from . import digits

LIMIT_S = 10.0
_REQUEST = b"GET %s HTTP/1.0\r\n\r\n"
# A status line is shorter by far.
_LINE_BYTES = 1 << 12


def status(address: str, port: int, path: str, *, limit_s: float = LIMIT_S) -> int:
    """The HTTP status of a path; 0 for none within the limit, and where nobody answers."""
    ends_s = time.monotonic() + limit_s
    line = b""
    try:
        with socket.create_connection((address, port), timeout=limit_s) as connection:
            connection.sendall(_REQUEST % path.encode())
            while b"\n" not in line and len(line) < _LINE_BYTES:
                connection.settimeout(max(ends_s - time.monotonic(), 0.001))
                data = connection.recv(_LINE_BYTES)
                if not data:
                    break
                line += data
    except OSError:  # refused, reset, or too late: to whoever comes by this port, that is no answer
        return 0
    words = line.split(b"\n")[0].decode("utf-8", "replace").split()
    return digits.whole(words[1]) or 0 if len(words) > 1 else 0
