"""What a run asks of a host's SSH server, counted there by the server itself."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.lab import Lab

_DROP_IN = "/etc/ssh/sshd_config.d/benchmark.conf"
# sshd's own words at LogLevel DEBUG1 (session.c, serverloop.c of OpenSSH 10).
_SESSION = re.compile(r"Starting session: (command|subsystem '\w+'|shell)")
_FORWARD = re.compile(r"server_request_direct_tcpip: originator")
_CONNECTION = re.compile(r"^Connection from ")


@dataclass
class Count:
    """Connections, remote commands and forwarded TCP connections (to Valkey, through SSH) of one run."""

    connections: int = 0
    commands: int = 0
    forwards: int = 0
    log: str = field(default="", repr=False)

    def read(self, log: str) -> None:
        """Count what sshd's log says."""
        self.log = log
        lines = log.splitlines()
        self.connections = sum(bool(_CONNECTION.search(line)) for line in lines)
        self.commands = sum(bool(_SESSION.search(line)) for line in lines)
        self.forwards = sum(bool(_FORWARD.search(line)) for line in lines)


@contextmanager
def counted(lab: Lab, host: str) -> Iterator[Count]:
    """A count that is filled when the block ends; the server logs as it did before afterwards."""
    lab.ssh(host, f"echo LogLevel DEBUG1 | sudo tee {_DROP_IN} >/dev/null && sudo systemctl reload ssh")
    follow = "sudo journalctl --follow --lines 0 --output cat --identifier sshd --identifier sshd-session"
    # Its own session starts before the first line it prints, so it does not count itself.
    watcher = subprocess.Popen(
        lab.ssh_command(host, follow), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    count = Count()
    try:
        time.sleep(2)
        yield count
        time.sleep(2)
    finally:
        watcher.terminate()
        log, _ = watcher.communicate()
        count.read(log)
        lab.ssh(host, f"sudo rm {_DROP_IN} && sudo systemctl reload ssh")
