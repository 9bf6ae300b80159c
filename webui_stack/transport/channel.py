"""Bytes to and from a command on a host: its stdin and stdout, through the connection pyinfra has open.

Nothing is handed over by name: what is sent here goes into the command, and what the command prints comes back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from gevent.subprocess import PIPE, Popen
from paramiko import Channel, ChannelException, SSHException
from pyinfra.api import Host, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.util import extract_control_arguments, make_unix_command_for_host

from webui_stack.transport.frame import NOTHING, Frame
from webui_stack.transport.remote import RemoteError

# What a login shell may print before the command does.
_NOISE = 1 << 20
_BEGIN_S = 120


class _Ends(Protocol):
    """What the two kinds of connection have in common; paramiko's names."""

    def recv(self, nbytes: int) -> bytes: ...
    def sendall(self, s: bytes) -> None: ...
    def shutdown_write(self) -> None: ...
    def recv_exit_status(self) -> int: ...
    def close(self) -> None: ...


class ByteChannel:
    """A command at work on a host, that has printed its mark."""

    def __init__(self, ends: _Ends) -> None:
        self._ends = ends
        self._broken = False

    def read(self, size: int) -> bytes:
        """What the command prints next, `size` bytes at most; b"" once it prints no more."""
        return self._ends.recv(size)

    def line(self) -> str:
        """The next line, without its end; shorter where the command ends before."""
        found = b""
        while (byte := self.read(1)) not in (b"", b"\n"):
            found += byte
        return found.decode(errors="replace")

    def write(self, data: bytes) -> bool:
        """Send to the command; False where it reads no more, and `finish` says why."""
        try:
            self._ends.sendall(data)
        except OSError:
            self._broken = True
        return not self._broken

    def finish(self) -> None:
        """Tell the command that nothing more comes, and wait for its end. Raises `RemoteError` unless it ends well."""
        try:
            self._ends.shutdown_write()
        except OSError:
            self._broken = True
        while self.read(65536):
            pass
        status = self._ends.recv_exit_status()
        if status < 0:
            raise RemoteError("the connection was lost; run it again")
        if status or self._broken:
            got = f"exit status {status}" if status else "its end before it had read all that was sent"
            raise RemoteError(_stderr(self._ends) or f"expected the command to succeed, got {got}")


@contextmanager
def opened(host: Host, command: str) -> Iterator[ByteChannel]:
    """A command on the host, run as the host's data say (`_sudo`, ...), once it has printed its mark: `begin` does.

    Raises `RemoteError` where it ends before. Leaving the block ends the connection to it.
    """
    ends = begun(host, command, _BEGIN_S)
    ends.settimeout(None)  # what the command does may take long
    try:
        yield ByteChannel(ends)
    finally:
        ends.close()


def begun(host: Host, command: str, timeout_s: float) -> Any:
    """The two ends of a command, a paramiko `Channel` where there is SSH, as soon as it has run `begin`.

    `$MARK` is what `begin` prints, for a command that starts another shell. Raises `RemoteError`.
    """
    frame = Frame()
    arguments: Any
    arguments, _ = pop_global_arguments(host.state, host, {})
    arguments = {key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS}
    extract_control_arguments(arguments)
    marked = f"export MARK={frame.token}\nbegin() {{ printf '\\n%s\\n' \"$MARK\"; }}\n{command}"
    line = make_unix_command_for_host(host.state, host, StringCommand(marked), **arguments).get_raw_value()
    ends = _run(host, line, timeout_s)
    try:
        _skip(ends, f"\n{frame.token}\n".encode())
    except BaseException:
        ends.close()
        raise
    return ends


def _skip(ends: _Ends, mark: bytes) -> None:
    """Read up to the mark and not a byte further, since the command's own bytes follow."""
    seen = b""
    while not seen.endswith(mark):
        missing = next(len(mark) - size for size in range(len(mark), -1, -1) if seen.endswith(mark[:size]))
        try:
            data = ends.recv(missing)
        except TimeoutError:
            raise RemoteError(f"{NOTHING} in time") from None
        if not data:
            raise RemoteError(_stderr(ends) or NOTHING)
        if len(seen) > _NOISE:
            raise RemoteError(f"{NOTHING} in {_NOISE} bytes")
        seen += data


def _run(host: Host, line: str, timeout_s: float) -> Any:
    client = getattr(host.connector, "client", None)
    if client is None and isinstance(host.connector, LocalConnector):
        return _Process(line)
    transport = client.get_transport() if client else None
    if transport is None or not transport.is_active():
        raise RemoteError("expected an SSH connection, got none; run it again")
    try:
        channel: Channel = transport.open_session(timeout=timeout_s)
    except ChannelException as error:
        raise RemoteError(f"sshd: expected one more session, got {error}; is its MaxSessions high enough?") from None
    except SSHException as error:
        raise RemoteError(f"the connection was lost ({error}); run it again") from None
    channel.settimeout(timeout_s)
    channel.exec_command(line)
    return channel


class _Process:
    """A command on this machine, by the names of paramiko's `Channel`."""

    def __init__(self, line: str) -> None:
        # A file takes all that is printed there, while nobody reads.
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 closed by `close`
        self._process = Popen(["sh", "-c", line], stdin=PIPE, stdout=PIPE, stderr=self.errors, bufsize=0)

    def recv(self, nbytes: int) -> bytes:
        return bytes(self._process.stdout.read(nbytes))

    def sendall(self, s: bytes) -> None:
        rest = memoryview(s)
        while rest:
            rest = rest[self._process.stdin.write(rest) :]

    def shutdown_write(self) -> None:
        self._process.stdin.close()

    def recv_exit_status(self) -> int:
        # A signal's number is negative here, and no lost connection.
        return abs(int(self._process.wait()))

    def settimeout(self, timeout: float | None) -> None:
        """For the sake of paramiko's: nothing is lost on the way to this machine."""

    def close(self) -> None:
        for end in (self._process.stdin, self._process.stdout, self.errors):
            end.close()


def _stderr(ends: Any) -> str:
    """What the command wrote to its error output, once it has ended."""
    if isinstance(ends, _Process):
        ends.recv_exit_status()
        ends.errors.seek(0)
        text: bytes = ends.errors.read()
    else:
        text = ends.makefile_stderr("rb").read()
    return text.decode(errors="replace").strip()
