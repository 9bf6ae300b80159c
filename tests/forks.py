"""pyinfra's command line in a fork of a process that has loaded it, which saves a run 1 s to 3 s of a processor.

As a module, `python -m tests.forks` is that process: it reads a request a line and answers with a status a line.
What is loaded before the fork is pyinfra and the library. The deploy file and tasks/ are part of what a run does.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.defaults import ROOT

_OUTPUTS = ("stdout", "stderr")


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

    def __init__(self, time_limit_s: int = 60, *, together: bool = False) -> None:
        """A run that takes longer than the limit is ended, by the signal that its status then names.

        With `together`, what a run writes to its error output is in `stdout`, where it came in between.
        """
        self._limit_s, self._together = time_limit_s, together
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether a run is on; the next would wait for its end."""
        return self._turn.locked()

    def run(self, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> Ended:
        """`pyinfra ARGUMENTS` in the project's folder, without a terminal; `environment` besides this process's own."""
        with self._turn:
            return self._run(arguments, environment)

    def _run(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Ended:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks"],
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
                "limit_s": self._limit_s,
                "errors": "stdout" if self._together else "stderr",
            }
            print(json.dumps(request), file=self._process.stdin, flush=True)
            status = int(self._process.stdout.readline())
            stdout, stderr = (Path(into, name).read_text() if Path(into, name).exists() else "" for name in _OUTPUTS)
        assert status != -signal.SIGALRM, f"expected pyinfra to end within {self._limit_s} s; it said\n{stdout}{stderr}"
        return Ended(status, stdout, stderr)

    def close(self) -> None:
        """Ensure the process has ended."""
        if self._process is not None:
            self._process.communicate()


def _load() -> None:
    """Load pyinfra first, as its command does: it has to change the standard library before anybody uses it.

    What is the same in every run, and takes half of a short one, is looked up once: the installed connectors (pyinfra
    3.10 reads the entry points of all packages six times), and the modules by their files (`inspect.getmodule`).
    """
    importlib.import_module("pyinfra_cli.main")
    connectors = importlib.import_module("pyinfra.api.connectors")
    connectors.entry_points = functools.cache(connectors.entry_points)  # type: ignore[attr-defined]
    for name in ("dnf", "files", "python", "server", "systemd", "sysvinit"):
        importlib.import_module(f"pyinfra.operations.{name}")
    for path in sorted((ROOT / "webui_stack").glob("*/*.py")):
        if path.parent.name not in ("host", "starter", "tasks"):
            importlib.import_module(f"webui_stack.{path.parent.name}.{path.stem}")
    inspect.getmodule(None, "a file of no module")


def _become(request: dict[str, Any]) -> None:
    """Ensure this process is as one that a shell started for the request."""
    into = Path(request["into"])
    for number, path, flags in (
        (0, Path(os.devnull), os.O_RDONLY),
        (1, into / "stdout", os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, into / request["errors"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["pyinfra", *request["arguments"]]
    signal.alarm(request["limit_s"])


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
