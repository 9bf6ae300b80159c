"""Sending a program's standard input while its output is read."""

from __future__ import annotations

import contextlib
import io
import socket
import threading

from ..typed import BinaryIO

_PIECE = 1 << 16
# The connection is closed or at its end by then, so nothing can keep the thread but the source itself.
_END_S = 10.0


class Feeder:
    """A thread that writes `source` to `connection`, then shuts that half down. Without a source it only shuts down.

    `error` is what reading the source raised. That the program reads no more is no error: its exit code tells.
    """

    def __init__(self, connection: socket.socket, source: bytes | BinaryIO | None) -> None:
        self.error: BaseException | None = None
        self._connection = connection
        self._source = io.BytesIO(source or b"") if isinstance(source, bytes) or source is None else source
        self._thread = threading.Thread(target=self._send, name="stdin", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._thread.join(_END_S)

    def _send(self) -> None:
        try:
            while True:
                piece = self._source.read(_PIECE)
                if not piece:
                    break
                with contextlib.suppress(OSError):
                    self._connection.sendall(piece)
                    continue
                return  # the program ended first
        except BaseException as error:
            self.error = error
        # Of a source that broke off, the program must not think that this was all: whoever reads its output ends it.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR if self.error else socket.SHUT_WR)
