"""One lab for all lab tests: its hosts, and what tests do with them, independent of the code under test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[2]
NAME = "pytest"
FRESH, DOCKER_CE, DEBIAN_12, NO_SYSTEMD = (f"{NAME}-{number}" for number in (1, 2, 3, 4))


@dataclass(frozen=True)
class Lab:
    """A running lab. `run` is the operator at their terminal, `host` a second way in that checks on them."""

    inventory: dict[str, Any]

    def host(self, name: str) -> Any:
        """A testinfra host: root by ssh and sudo."""
        config = ROOT / ".lab" / NAME / "ssh_config"
        return testinfra.get_host(f"ssh://{name}", ssh_config=str(config), sudo=True)

    def port(self, name: str) -> int:
        """The port of this machine's loopback that leads to the host's port 3000."""
        return next(int(host["http_port"]) for host in self.inventory["hosts"] if host["name"] == name)

    def run(self, *arguments: str, limit: str = FRESH, **environment: str) -> subprocess.CompletedProcess[str]:
        """`pyinfra ... tests/lab/inventory.py ARGUMENTS --limit LIMIT`, output and errors together."""
        limits = [part for name in limit.split(",") for part in ("--limit", name)]
        return subprocess.run(
            [Path(sys.executable).with_name("pyinfra"), "tests/lab/inventory.py", *arguments, *limits],
            cwd=ROOT,
            env={**os.environ, "LAB_NAME": NAME, "PYINFRA_PROGRESS": "off", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )

    def report(self, *arguments: str, limit: str = FRESH, **environment: str) -> dict[str, Any]:
        """The JSON of a run that has to succeed."""
        result = self.run(*arguments, "--json", limit=limit, **environment)
        assert result.returncode == 0, result.stdout
        report: dict[str, Any]
        report, _ = json.JSONDecoder().raw_decode(result.stdout[result.stdout.index("{") :])
        return report


def _lab(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "lab", *arguments, "--name", NAME], cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Four hosts nothing was ever installed on: two Debian 13, a Debian 12 and one without systemd."""
    _lab("down")
    try:
        _lab("up", "--hosts", "2", "--debian", "13")
        _lab("up", "--hosts", "3", "--debian", "12")
        _lab("up", "--hosts", "4", "--debian", "13", "--init", "none")
        yield Lab(json.loads((ROOT / ".lab" / NAME / "inventory.json").read_text()))
    finally:
        _lab("down")
