"""A TCP connection to an address only the host can reach, through the SSH connection pyinfra has open.

Nothing is published and no second login is made: it is one more channel of the same connection
(RFC 4254, 7.2, what `ssh -W` does).
"""

from __future__ import annotations

import socket

import gevent
from paramiko import Channel, SSHException
from pyinfra.api import Host


class TunnelError(ConnectionError):
    """The host could not be made to connect there."""


def dial(host: Host, address: str, port: int, timeout_s: float) -> socket.socket | Channel:
    """A connected socket to `address:port` as seen from the host.

    Raises `TunnelError`: refused by the target, or by the SSH server (`AllowTcpForwarding no`). For
    `@local`, where there is no SSH, connects directly.
    """
    client = getattr(host.connector, "client", None)
    if client is None:
        return direct(address, port, timeout_s)
    transport = client.get_transport()
    if transport is None or not transport.is_active():
        raise TunnelError("the SSH connection is gone")
    try:
        channel: Channel = transport.open_channel("direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout_s)
    except SSHException as error:
        hint = "; is AllowTcpForwarding on in its sshd_config?" if "prohibited" in str(error) else ""
        raise TunnelError(f"{error}{hint}") from None
    channel.settimeout(timeout_s)
    return channel


def direct(address: str, port: int, timeout_s: float) -> socket.socket:
    """A connected socket to `address:port` as seen from this machine. Raises `TunnelError`."""
    try:
        return socket.create_connection((address, port), timeout=timeout_s)
    except OSError as error:
        raise TunnelError(f"{address}:{port}: {error}") from None


def as_socket(connection: socket.socket | Channel) -> socket.socket:
    """The same connection as a socket of the operating system: TLS wants one, and a channel is none."""
    if isinstance(connection, socket.socket):
        return connection
    ours, theirs = socket.socketpair()
    ours.settimeout(connection.gettimeout())
    gevent.spawn(_pump, connection, theirs)
    gevent.spawn(_pump, theirs, connection)
    return ours


def _pump(source: socket.socket | Channel, target: socket.socket | Channel) -> None:
    """All that comes from `source` goes to `target`, until either ends; then both do."""
    source.settimeout(None)
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass  # whoever reads sees the end
    finally:
        source.close()
        target.close()


def send_at_once(host: Host) -> None:
    """Ensure small packets to the host don't wait for its acknowledgement of the one before (TCP_NODELAY).

    OpenSSH sets it, paramiko 4 doesn't: two of three channels opened in 40 ms instead of 1 ms, for the host delays
    its acknowledgements. Does nothing where there is no SSH connection over TCP.
    """
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    if transport is not None and isinstance(transport.sock, socket.socket):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
