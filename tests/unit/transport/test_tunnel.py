"""An address only the host can reach is reached through its own program where sshd forbids to forward."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from paramiko import ChannelException
from pyinfra.api import Host

from tests.local import local_host
from webui_stack.transport import program, tunnel
from webui_stack.transport.remote import RemoteError
from webui_stack.transport.tunnel import TunnelError

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


@pytest.fixture
def begun(host: Host, programs: str) -> Callable[[int], Any]:
    """The two ends of a connection that the host's program makes to a port."""

    def begin(port: int) -> Any:
        asked = {"address": "127.0.0.1", "port": port, "timeout_s": 10}
        return program.stream(host, "connect", asked, 10, folder=programs)

    return begin


def exactly(ends: Any, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = ends.recv(size - len(found))
        assert data
        found += data
    return found


def test_the_hosts_program_carries_bytes_both_ways(server: Server, begun: Callable[[int], Any]) -> None:
    ends = begun(server.port)
    for start in range(0, len(BYTES), 16384):  # less than what fits into pipes: nobody reads meanwhile
        part = BYTES[start : start + 16384]
        ends.sendall(part)
        assert exactly(ends, len(part)) == part
    ends.shutdown_write()
    assert server.ended.wait(10), "our end is the target's"
    ends.close()


def test_the_targets_end_is_ours_and_nothing_follows_its_bytes(server: Server, begun: Callable[[int], Any]) -> None:
    ends = begun(server.port)
    ends.sendall(b"bye")
    assert exactly(ends, 3) == b"bye"
    assert ends.recv(10) == b""
    assert ends.recv_exit_status() == 0
    ends.close()


def test_a_port_nobody_listens_on_is_refused(begun: Callable[[int], Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RemoteError, match=rf"^127.0.0.1:{port}: expected a connection from the host, got .*refused"):
        begun(port)


def test_a_host_without_python_is_named(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "PYTHONS", ("python-none",))
    with pytest.raises(program.NoPythonError):
        program.stream(host, "connect", {}, 10, folder=str(tmp_path))


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

    def begin(_: object, verb: str, asked: object, timeout_s: float) -> Any:
        begun.append((verb, asked, timeout_s))
        return "ends"

    monkeypatch.setattr(program, "stream", begin)
    sshd = Sshd(1)
    host = behind(sshd)
    ends: list[Any] = [tunnel.dial(host, "198.18.0.2", 6379, 3) for _ in range(2)]
    assert ends == ["ends", "ends"]
    assert sshd.asked == 1
    assert begun[0] == ("connect", {"address": "198.18.0.2", "port": 6379, "timeout_s": 3}, 3)


def test_a_target_that_refuses_is_not_asked_by_the_hosts_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "stream", lambda *_: pytest.fail("asked"))
    with pytest.raises(TunnelError):
        tunnel.dial(behind(Sshd(2)), "198.18.0.2", 6379, 3)
