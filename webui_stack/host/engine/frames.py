"""The frames in which Docker sends stdout and stderr of a container over one stream.

A frame is eight bytes of header, then its payload. The header is the stream's number, three zero bytes, and the
payload's size as a big-endian 32-bit number (Engine API v1.41 to v1.47, "Attach to a container", "Stream format").
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

STDOUT, STDERR = 1, 2
# What the engine itself has to say of a stream that it can't go on with (moby: api/pkg/stdcopy, Systemerr).
ENGINE = 3
_HEADER = struct.Struct(">BxxxL")


class BrokenStream(Exception):  # noqa: N818
    """The stream ended within a frame, or has something else than frames in it."""


def frame(stream: int, payload: bytes) -> bytes:
    """One frame, as the engine writes it."""
    return _HEADER.pack(stream, len(payload)) + payload


def parts(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each piece of payload with the number of its stream, as soon as it came, however the pieces are cut.

    No frame is held in memory as a whole. Raises BrokenStream where the pieces end within a frame.
    """
    header = b""
    stream = left = 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            if not left:
                needed = _HEADER.size - len(header)
                header, rest = header + bytes(rest[:needed]), rest[needed:]
                if len(header) < _HEADER.size:
                    continue
                stream, left = _HEADER.unpack(header)
                if stream not in (STDOUT, STDERR, ENGINE):
                    raise BrokenStream(f"a frame of stream {stream}")
                header = b""
            else:
                payload, rest = bytes(rest[:left]), rest[left:]
                left -= len(payload)
                yield stream, payload
    if header or left:
        raise BrokenStream("its end within a frame")
