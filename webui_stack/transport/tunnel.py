"""A TCP connection to an address only the host can reach, through the SSH connection pyinfra has open.

Nothing is published and no second login is made: it is one more channel of the same connection
(RFC 4254, 7.2, what `ssh -W` does). Where sshd forbids such channels (`AllowTcpForwarding no`, as CIS asks), the
host's program carries the bytes instead (`host/verbs/connect.py`): its user may do that there anyway.
"""

from __future__ import annotations

import logging
import socket

import gevent
from paramiko import Channel, ChannelException, SSHException
from pyinfra.api import Host

from webui_stack.transport import program
from webui_stack.transport.remote import RemoteError

# RFC 4254, 5.1.
_PROHIBITED = 1
# Remembered for each host, as long as pyinfra is connected to it.
_NO_FORWARDING = "open_webui_stack_no_forwarding"


class TunnelError(ConnectionError):
    """The host could not be made to connect there."""


def dial(host: Host, address: str, port: int, timeout_s: float) -> socket.socket | Channel:
    """A connected socket to `address:port` as seen from the host.

    Raises `TunnelError`: refused by the target, or out of reach. For `@local`, where there is no SSH, connects
    directly.
    """
    client = getattr(host.connector, "client", None)
    if client is None:
        return direct(address, port, timeout_s)
    transport = client.get_transport()
    if transport is None or not transport.is_active():
        raise TunnelError("the SSH connection is gone")
    if not host.connector_data.get(_NO_FORWARDING):
        # A channel that is refused is an error here, or no reason for one: paramiko prints it nevertheless.
        logging.getLogger("paramiko.transport").addFilter(_is_no_refusal)
        try:
            forwarded: Channel = transport.open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout_s
            )
        except ChannelException as error:
            if error.code != _PROHIBITED:
                raise TunnelError(str(error)) from None
            host.connector_data[_NO_FORWARDING] = True
        except SSHException as error:
            raise TunnelError(str(error)) from None
        else:
            forwarded.settimeout(timeout_s)
            return forwarded
    try:
        asked = {"address": address, "port": port, "timeout_s": timeout_s}
        relayed: Channel = program.stream(host, "connect", asked, timeout_s)
    except (RemoteError, SSHException, OSError) as error:
        raise TunnelError(f"{address}:{port}: {error}") from None
    return relayed


def _is_no_refusal(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Secsh channel ")


def peer(host: Host) -> str:
    """The address that the SSH connection leads to; "" where there is none, or it leads through another host."""
    connection = _connection(host)
    return str(connection.getpeername()[0]) if isinstance(connection, socket.socket) else ""


def goes_by_another_host(host: Host) -> bool:
    """Whether the SSH connection leads through another host or program (ProxyJump, ProxyCommand)."""
    connection = _connection(host)
    return connection is not None and not isinstance(connection, socket.socket)


def _connection(host: Host) -> object:
    """What the SSH connection goes through: a socket, or what paramiko was given in place of one."""
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    return transport.sock if transport else None


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
    connection = _connection(host)
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
