"""The command lines of an operator of this project, and what their output says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from benchmarks.lab import BIN, Lab
from benchmarks.measure import BenchmarkError, Sample, run

_INVENTORY = "inventories/lab.py"
# The last line of pyinfra's table: hosts, then success, error and no change, "-" for none.
_TOTAL = re.compile(r"^\s*Grand total\s+\S+\s+(\S+)\s+(\S+)\s+(\S+)\s*$", re.MULTILINE)


def deploy(lab: Lab, hosts: Sequence[str], data: Mapping[str, str] | None = None) -> tuple[Sample, int]:
    """Run deploy.py, verify included; what it took and how many operations changed something.

    `data` are settings for this run (`--data`).
    """
    sample, output = run(_command(lab, hosts, "deploy.py", data), _environment(lab))
    return sample, changes(output)


def floor(lab: Lab, hosts: Sequence[str], data: Mapping[str, str] | None = None) -> Sample:
    """Start pyinfra, connect, run `true`: what no deploy by pyinfra can be faster than."""
    sample, _ = run([*_command(lab, hosts, "exec", data), "--", "true"], _environment(lab))
    return sample


def changes(output: str) -> int:
    """How many operations changed something, from pyinfra's closing table. Raises `BenchmarkError` without one."""
    total = _TOTAL.search(output)
    if total is None:
        raise BenchmarkError(f"pyinfra: expected its closing table, got:\n{output[-2000:]}")
    return 0 if total[1] == "-" else int(total[1])


def _command(lab: Lab, hosts: Sequence[str], what: str, data: Mapping[str, str] | None = None) -> list[str]:
    limits = [part for host in hosts for part in ("--limit", host)] if list(hosts) != lab.hosts else []
    settings = [part for key, value in (data or {}).items() for part in ("--data", f"{key}={value}")]
    return [str(BIN / "pyinfra"), "-y", *limits, *settings, _INVENTORY, what]


def _environment(lab: Lab) -> dict[str, str]:
    return {"LAB_NAME": lab.name, "PYINFRA_PROGRESS": "off"}
