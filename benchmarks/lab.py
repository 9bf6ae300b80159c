"""The lab's hosts as a person at a terminal has them: `python -m lab` and ssh."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, BenchmarkError

# The project's own environment, not the one the benchmarks and Ansible have.
BIN = ROOT / ".venv" / "bin"

# What Debian's cloud images have (cloud-init depends on it) and the lab's do not, which have python3 alone: Ansible's
# modules for apt and Docker need it. The package lists go again, so that a fresh host is as its image was; their folder
# gets an old date, because Ansible's apt takes one that changed just now for fresh lists (cache_valid_time).
_CLOUD_IMAGE = (
    "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "
    "python3 python3-apt python3-requests >/dev/null && apt-get clean && "
    "rm -rf /var/lib/apt/lists/* && touch -d @0 /var/lib/apt/lists"
)


@dataclass(frozen=True)
class Lab:
    """A lab by its name."""

    name: str

    @property
    def folder(self) -> Path:
        return ROOT / ".lab" / self.name

    @cached_property
    def inventory(self) -> dict[str, Any]:
        """What `python -m lab` says of hosts, registry and images."""
        path = self.folder / "inventory.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"hosts": []}
        return found

    @property
    def hosts(self) -> list[str]:
        return [host["name"] for host in self.inventory["hosts"]]

    def up(self, hosts: int, extras: str = "") -> None:
        """Ensure the lab runs with at least so many hosts, each with Python, as a cloud image has it.

        `extras` are names for `--with`.
        """
        self._lab("up", "--hosts", str(hosts), *(("--with", extras) if extras else ()))
        self.__dict__.pop("inventory", None)
        for host in self.hosts:
            self.ssh(host, f"[ -e /usr/lib/python3/dist-packages/apt ] || sudo sh -c {shlex.quote(_CLOUD_IMAGE)}")

    def down(self) -> None:
        """Ensure nothing of the lab is left."""
        self._lab("down")

    def ssh_command(self, host: str, command: str) -> list[str]:
        return ["ssh", "-F", str(self.folder / "ssh_config"), host, command]

    def ssh(self, host: str, command: str) -> str:
        """What a shell command prints on a host. Raises `BenchmarkError` when it fails."""
        done = subprocess.run(
            self.ssh_command(host, command), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            raise BenchmarkError(f"{host}: {command}: expected success, got {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def known_hosts_line(self, ssh_port: int) -> str:
        """The line of known_hosts with the key of the host behind this port."""
        lines = (self.folder / "known_hosts").read_text().splitlines(keepends=True)
        return next(line for line in lines if line.startswith(f"[127.0.0.1]:{ssh_port} "))

    def _lab(self, *arguments: str) -> None:
        if not (BIN / "python").exists():
            raise BenchmarkError(f"{BIN}: expected the project's environment, got none; run `make setup`")
        command = [str(BIN / "python"), "-m", "lab", *arguments, "--name", self.name]
        done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        if done.returncode:
            raise BenchmarkError(f"{' '.join(command[1:])}: expected success, got status {done.returncode}")
