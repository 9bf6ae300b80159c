"""An address only the host can reach is reached through its own shell where sshd forbids to forward."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from paramiko import ChannelException
from pyinfra.api import Host

from tests.local import local_host
from webui_stack import channel, tunnel
from webui_stack.remote import RemoteError
from webui_stack.tunnel import TunnelError

BYTES = bytes(range(256)) * 1000


@pytest.fixture
def host() -> Host:
    return local_host()


class Server:
    """A server that sends back what it gets; `ended` is set once its client is gone."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.ended, self.hang_up = threading.Event(), threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        while data := connection.recv(65536):
            connection.sendall(data)
            if data.endswith(b"bye"):
                break
        connection.close()
        self.ended.set()

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture(params=["bash", "python3"])
def relay(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The script, on a host that has only this program."""
    other = "python3" if request.param == "bash" else "bash"
    script = tunnel._RELAY.replace(f"command -v {other} ", "command -v nonexistent ")
    monkeypatch.setattr(tunnel, "_RELAY", script)
    return script


def exactly(ends: Any, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = ends.recv(size - len(found))
        assert data
        found += data
    return found


def test_the_hosts_shell_carries_bytes_both_ways(host: Host, server: Server, relay: str) -> None:
    ends = channel.begun(host, relay.format(address="127.0.0.1", port=server.port), 10)
    for start in range(0, len(BYTES), 16384):  # less than what fits into pipes: nobody reads meanwhile
        part = BYTES[start : start + 16384]
        ends.sendall(part)
        assert exactly(ends, len(part)) == part
    ends.shutdown_write()
    assert server.ended.wait(10), "our end is the target's"
    ends.close()


def test_the_targets_end_is_ours(host: Host, server: Server, relay: str) -> None:
    ends = channel.begun(host, relay.format(address="127.0.0.1", port=server.port), 10)
    ends.sendall(b"bye")
    assert exactly(ends, 3) == b"bye"
    assert ends.recv(10) == b""
    ends.close()


def test_a_port_nobody_listens_on_is_refused(host: Host, relay: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RemoteError, match=r"(?i)refused"):
        channel.begun(host, relay.format(address="127.0.0.1", port=port), 10)


def test_a_host_with_neither_program_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tunnel._RELAY.replace("command -v bash ", "false ").replace("command -v python3 ", "false ")
    with pytest.raises(RemoteError, match=r"expected bash or python3 on the host.*AllowTcpForwarding no"):
        channel.begun(host, script.format(address="127.0.0.1", port=1), 10)


class Sshd:
    """The host's SSH connection, whose server answers a channel with this code (RFC 4254, 5.1)."""

    def __init__(self, code: int) -> None:
        self.code, self.asked = code, 0

    def is_active(self) -> bool:
        return True

    def open_channel(self, *_: object, **__: object) -> None:
        self.asked += 1
        raise ChannelException(self.code, "no")


def behind(sshd: Sshd) -> Any:
    client = SimpleNamespace(get_transport=lambda: sshd)
    return SimpleNamespace(connector=SimpleNamespace(client=client), connector_data={})


def test_a_server_that_forbids_to_forward_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def begin(_: object, command: str, timeout_s: float) -> Any:
        begun.append((command, timeout_s))
        return "ends"

    monkeypatch.setattr(channel, "begun", begin)
    sshd = Sshd(1)
    host = behind(sshd)
    ends: list[Any] = [tunnel.dial(host, "198.18.0.2", 6379, 3) for _ in range(2)]
    assert ends == ["ends", "ends"]
    assert sshd.asked == 1
    assert begun[0][0].startswith("set -- 198.18.0.2 6379\n")


def test_a_target_that_refuses_is_not_asked_by_the_hosts_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "begun", lambda *_: pytest.fail("asked"))
    with pytest.raises(TunnelError):
        tunnel.dial(behind(Sshd(2)), "198.18.0.2", 6379, 3)
