"""What everybody may see while a run goes on: the arguments of processes, on a host and here, and our files' modes."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.session import FRESH, SSH_CONFIG, Lab

# Every process's arguments, every file of ours with its mode; as often as lets the runs beside it get on.
SAMPLER = """
until [ -e /run/sampled ]; do
  cat /proc/[0-9]*/cmdline
  echo
  find /opt/open-webui -printf 'mode %m %U:%G %y %p\\n'
  sleep 0.02
done 2>/dev/null
rm /run/sampled
"""


@dataclass
class Samples:
    """What was sampled: all of it from the host, and the arguments of each process of this machine."""

    host: bytes = b""
    own_arguments: set[bytes] = field(default_factory=set)

    @property
    def modes(self) -> set[str]:
        """The lines about files on the host."""
        return {line for line in self.host.decode(errors="replace").split("\n") if line.startswith("mode ")}


def as_root(script: str, name: str = FRESH) -> list[str]:
    """The command that runs a script as root on a host."""
    return ["ssh", "-F", SSH_CONFIG, name, shlex.join(["sudo", "sh", "-c", script])]


@contextmanager
def sampled(lab: Lab, folder: Path, name: str = FRESH) -> Iterator[Samples]:
    """Sample the host, and this machine, while the block lasts; complete after it."""
    done, found = threading.Event(), Samples()

    def sample_own() -> None:
        while not done.wait(0.05):
            for process in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 takes half of what pathlib takes
                try:
                    with open(f"/proc/{process}/cmdline", "rb", buffering=0) as arguments:  # noqa: PTH123 the same
                        found.own_arguments.add(arguments.read())
                except OSError:
                    continue  # it has ended

    own = threading.Thread(target=sample_own)
    with (folder / "samples").open("wb") as out:
        sampler = subprocess.Popen(as_root(SAMPLER, name), stdin=subprocess.DEVNULL, stdout=out)
        own.start()
        try:
            yield found
        finally:
            done.set()
            own.join()
            lab.host(name).check_output("touch /run/sampled")
            sampler.wait(30)
    found.host = (folder / "samples").read_bytes()
