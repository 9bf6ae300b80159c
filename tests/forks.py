"""Command lines in a fork of a process that has loaded them, which saves a run 1 s to 3 s of a processor.

As a module, `python -m tests.forks` is that process: it reads a request a line and answers with a status a line.
What is loaded before the fork is pyinfra, the library and tasks/. The deploy file is part of what a run does.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from tests import connectors
from tests.defaults import ROOT, settings

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

    def run(
        self,
        *arguments: str,
        environment: Mapping[str, str] = MappingProxyType({}),
        command: str = "pyinfra",
        folder: Path = ROOT,
    ) -> Ended:
        """`pyinfra ARGUMENTS` or `webui-stack ARGUMENTS` in a folder, without a terminal.

        It has `environment` besides this process's own.
        """
        with self._turn:
            return self._run({"command": command, "arguments": arguments, "folder": str(folder)}, environment)

    def _run(self, asked: Mapping[str, Any], environment: Mapping[str, str]) -> Ended:
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
                **asked,
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

    What is the same in every run, and takes half of a short one, is done once: looking up the installed connectors
    (pyinfra 3.10 reads the entry points of all packages six times) and the modules by their files
    (`inspect.getmodule`), and all that the library makes at its first use, such as compiled patterns and templates.
    """
    pyinfra = importlib.import_module("pyinfra_cli.main")
    pyinfra.set_formatter(pyinfra.click.style)  # as its command does before it reads any file: tasks/ use it
    connectors.keep()
    for name in ("dnf", "files", "python", "server", "systemd", "sysvinit"):
        importlib.import_module(f"pyinfra.operations.{name}")
    for path in sorted((ROOT / "webui_stack").glob("*/*.py")):
        if path.parent.name not in ("host", "starter", "tasks"):
            importlib.import_module(f"webui_stack.{path.parent.name}.{path.stem}")
    for path in sorted((ROOT / "tasks").glob("[!_]*.py")):
        importlib.import_module(f"webui_stack.tasks.{path.stem}")
    survey, project, surveys = map(
        importlib.import_module, ("webui_stack.model.survey", "webui_stack.render.project", "tests.surveys")
    )
    survey.parse(surveys.DEPLOYED)
    project.files(settings())
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
    os.chdir(request["folder"])
    sys.argv = [request["command"], *request["arguments"]]
    signal.alarm(request["limit_s"])


def _end_after(main: Callable[[], object]) -> NoReturn:
    """Run it, then end as Python does, but without taking a thousand modules apart: that would copy their memory."""
    status: object = None
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def _serve() -> None:
    _load()
    from gevent import monkey
    from pyinfra_cli.main import main

    from webui_stack import cli

    mains: Mapping[str, Callable[[], object]] = {"pyinfra": main, "webui-stack": cli.main}
    fork = monkey.get_original("os", "fork")  # gevent's own would start its loop here, for all forks together
    # Looking for garbage among what all forks share would give each its own copy of it.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        child = fork()
        if not child:
            _become(request)
            _end_after(mains[request["command"]])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
