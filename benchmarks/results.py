"""results.json: the raw figures of the last run of each case, and the machine they are from."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ansible_collections

from benchmarks.lab import BIN, Lab
from benchmarks.series import Series

FILE = Path(__file__).with_name("results.json")


@dataclass
class Results:
    """Figures by case, each with the date and machine of its run: a case alone can be run again."""

    machines: dict[str, dict[str, str]] = field(default_factory=dict)
    series: list[Series] = field(default_factory=list)

    @classmethod
    def load(cls) -> Results:
        """What the file holds; empty without one."""
        if not FILE.exists():
            return cls()
        data = json.loads(FILE.read_text())
        return cls(data["machines"], [Series(**one) for one in data["series"]])

    def put(self, case: str, machine: dict[str, str], series: list[Series]) -> None:
        """Ensure the file has these figures for the case, and no older ones."""
        self.machines[case] = machine
        self.series = [one for one in self.series if one.case != case] + series
        data = {"machines": self.machines, "series": [asdict(one) for one in self.series]}
        FILE.write_text(json.dumps(data, indent=1) + "\n")

    def of(self, case: str) -> list[Series]:
        return [series for series in self.series if series.case == case]


def machine(lab: Lab) -> dict[str, str]:
    """Where and with what the figures are made: no names, no paths.

    Docker and Compose are those of the lab's first host; a host that no case deployed to has none to name.
    """
    models = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    manifest = Path(next(iter(ansible_collections.__path__))) / "community" / "docker" / "MANIFEST.json"
    host = lab.hosts[0]
    has_docker = "docker" in lab.ssh(host, "ls /usr/bin").split()
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": f"{os.cpu_count()}" + (f" ({models[0]})" if models else ""),
        "memory": f"{memory_gb:.0f} GB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
        "pyinfra": _pyinfra(),
        "ansible-core": importlib.metadata.version("ansible-core"),
        "community.docker": str(json.loads(manifest.read_text())["collection_info"]["version"]),
        "hosts": "Debian " + lab.ssh(host, "cat /etc/debian_version").strip(),
        **(_docker(lab, host) if has_docker else {}),
    }


def _docker(lab: Lab, host: str) -> dict[str, str]:
    return {
        "Docker": lab.ssh(host, "sudo docker version --format '{{.Server.Version}}'").strip(),
        "Compose": lab.ssh(host, "sudo docker compose version --short").strip(),
    }


def _pyinfra() -> str:
    done = subprocess.run([BIN / "pyinfra", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    assert found
    return found[0]
