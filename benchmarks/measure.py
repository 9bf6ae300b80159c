"""One run of one command, measured from outside: wall time, CPU time, memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# What would make Python other than it is for whoever sets nothing: with the first of them, which containers often have,
# it compiles anew in each run what pip did not install.
_PYTHON = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONOPTIMIZE", "PYTHONPYCACHEPREFIX")


class BenchmarkError(Exception):
    """A run that was to be measured did not do its job; the text says which and how it ended."""


@dataclass(frozen=True)
class Sample:
    """What one run took: wall and CPU (user and system) in seconds, peak memory in MB.

    CPU is that of the process and all its children it waited for; memory is that of the largest single one of them
    (getrusage(2)). What a run leaves behind in the background, as ssh's ControlPersist does, is in neither.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float


def run(command: list[str], environment: Mapping[str, str] | None = None) -> tuple[Sample, str]:
    """Run `command` from the repository's root to its end; its measures and its output, errors included.

    Output goes to a file, as in CI: no terminal is painted. Raises `BenchmarkError` when it fails.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _PYTHON}
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**inherited, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        tail = "\n    ".join(text.splitlines()[-40:])
        raise BenchmarkError(f"{' '.join(command)}: expected success, got status {process.returncode}:\n    {tail}")
    return Sample(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), text
