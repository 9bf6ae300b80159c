"""pyinfra's command line in a fork of a process that has loaded it: a run takes 0.1 s of a processor in place of 0.8 s.

As a module, `python -m tests.plan.forks` is that process: it reads a request a line and answers with a status a line.
What is loaded before the fork is pyinfra and the library. The deploy file and tasks/ are part of what a run does.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.defaults import ROOT

# A run that takes longer is ended, by the signal that its status then names.
TIME_LIMIT_S = 60


@dataclass(frozen=True)
class Ended:
    """How one run ended; the status of one that a signal ended is that signal's number, negative."""

    status: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


class Forks:
    """The process with pyinfra loaded, from its first run until `close`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> Ended:
        """`pyinfra ARGUMENTS` in the project's folder, without a terminal; `environment` besides this process's own."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.plan.forks"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as into:
            request = {
                "arguments": arguments,
                "environment": {**os.environ, "PYINFRA_PROGRESS": "off", **environment},
                "into": into,
            }
            print(json.dumps(request), file=self._process.stdin, flush=True)
            status = int(self._process.stdout.readline())
            stdout, stderr = ((Path(into) / name).read_text() for name in ("stdout", "stderr"))
        assert status != -signal.SIGALRM, f"expected pyinfra to end within {TIME_LIMIT_S} s; it said\n{stdout}{stderr}"
        return Ended(status, stdout, stderr)

    def close(self) -> None:
        """Ensure the process has ended."""
        if self._process is not None:
            self._process.communicate()


def _load() -> None:
    """Load pyinfra first, as its command does: it has to change the standard library before anybody uses it."""
    importlib.import_module("pyinfra_cli.main")
    for name in ("dnf", "files", "python", "server", "systemd", "sysvinit"):
        importlib.import_module(f"pyinfra.operations.{name}")
    for path in sorted((ROOT / "webui_stack").glob("*.py")):
        importlib.import_module(f"webui_stack.{path.stem}")


def _become(request: dict[str, Any]) -> None:
    """Ensure this process is as one that a shell started for the request."""
    into = Path(request["into"])
    for number, path, flags in (
        (0, Path(os.devnull), os.O_RDONLY),
        (1, into / "stdout", os.O_WRONLY | os.O_CREAT),
        (2, into / "stderr", os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["pyinfra", *request["arguments"]]
    signal.alarm(TIME_LIMIT_S)


def _serve() -> None:
    _load()
    from gevent import monkey
    from pyinfra_cli.main import main

    fork = monkey.get_original("os", "fork")  # gevent's own would start its loop here, for all forks together
    for line in sys.stdin:
        request = json.loads(line)
        child = fork()
        if not child:
            _become(request)
            main()
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
