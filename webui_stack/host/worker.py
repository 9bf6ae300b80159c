"""A verb in a process of its own, which goes on when the process that asked for it ends.

What changes a host must not stop half-way because a connection was lost. So the caller starts a worker, gives it the
request by a pipe, and passes on what the worker writes to a file, its record. The caller removes the record once it
has passed on the answer; a record that is left tells a later run what became of the worker.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import protocol
from .errors import HostError
from .files import Files
from .locks import RUN_FOLDER
from .protocol import Out
from .system import System, why

FOLDER = f"{RUN_FOLDER}/workers"
_LOOK_S = 0.1
_BEGUN = "worker begun: process"
# A worker that was started and has not locked its record by then is not taken for one that ended.
_BEGIN_S = 30.0


@dataclass(frozen=True)
class Worker:
    """A worker that was started: `process` is its parent's view of it, `record` the file that it writes to."""

    verb: str
    record: Path
    process: subprocess.Popen[bytes] = field(repr=False)


def start(request: protocol.Request) -> Worker:
    """Ensure a worker is at the request's verb. It has no descriptor of this process and is in a session of its own.

    With systemd it gets a scope as well (systemd.scope(5)): logind may end all processes of a login with it
    (KillUserProcesses in logind.conf(5)). Raises `HostError` where it can't be started; it has done nothing then.
    """
    files, system = Files(), System()
    files.make_folder(FOLDER)
    record = Path(FOLDER) / f"{request.verb}-{time.time_ns()}-{os.getpid()}.jsonl"
    files.write(str(record), "")
    scope = []
    if system.has_systemd() and system.has("systemd-run"):
        name = f"open-webui-stack-{record.stem}.scope"
        scope = ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={name}", "--"]
    worker = _start(request, record, scope)
    if scope and not _began(worker):
        # No bus to ask systemd by, as in some containers: its own session has to do.
        worker = _start(request, record, [])
    if not _began(worker):
        worker.process.wait()
        got = _last_line(record) or f"exit status {worker.process.returncode}"
        record.unlink()
        raise HostError(f"verb {request.verb}", expected="a process of its own", got=got, do="run it again")
    return worker


def follow(worker: Worker, out: Out) -> None:
    """Pass on what the worker says to `out`, as it comes, until its answer; then its record is removed.

    Where `out` is closed meanwhile, as by a lost connection, this ends and the record stays; the worker goes on.
    """
    with worker.record.open(encoding="utf-8", errors="replace") as record:
        rest = ""
        while True:
            ended = worker.process.poll() is not None  # before the last look, so that nothing is missed
            *lines, rest = (rest + record.read()).split("\n")
            for line in lines:
                if _read(line):  # or it is what it printed besides, such as a traceback
                    print(line, file=out, flush=True)
                if _is_answer(line):
                    worker.record.unlink(missing_ok=True)
                    return
            if ended:
                break
            time.sleep(_LOOK_S)
    raise HostError(
        f"verb {worker.verb}",
        expected="an answer",
        got=f"an end of its process (exit status {worker.process.returncode})",
        do="run it again: that finishes what was begun, or puts it back",
    )


def work(verb: str, record: Path, line: str) -> tuple[protocol.Request, Out]:
    """The worker's own begin: its request, and where it says what it does.

    The lock on the record says that it runs. The record's first line is for `start`, and no part of the protocol.
    """
    fd = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.chdir("/")  # no file system is kept busy by it
    os.write(fd, f"{_BEGUN} {os.getpid()}\n".encode())
    return protocol.Request.read(verb, line), _Record(fd)


def unfollowed() -> Iterator[protocol.Event]:
    """What became of workers whose caller was gone before their answer, an event each; their records are removed.

    Workers that still run are left out: a verb that waits for their lock names them.
    """
    for record in sorted(Path(FOLDER).glob("*.jsonl")):
        with record.open("r+", encoding="utf-8", errors="replace") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            lines = opened.read().splitlines()
            if not _has_begun(lines) and time.time() - record.stat().st_mtime < _BEGIN_S:
                continue  # it is started just now
            record.unlink(missing_ok=True)
        verb = record.name.partition("-")[0]
        yield protocol.Event(f"an earlier run of {verb} went on by itself: {_outcome(lines)}")


class _Record:
    """A file that takes lines. A full disk loses them, and does not stop the verb in the middle."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode("utf-8", "replace"))
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""


def _start(request: protocol.Request, record: Path, scope: Sequence[str]) -> Worker:
    program = Path(__file__).resolve().parents[1]
    command = [*scope, sys.executable, "-I", "-S", str(program), protocol.WORKER, request.verb, str(record)]
    with record.open("ab") as said:  # of it or of systemd-run, what is no part of the protocol
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True, cwd="/"
            )
        except OSError as error:
            record.unlink()
            raise HostError(command[0], expected="to start it", got=why(error), do="run it again") from None
    assert process.stdin
    with contextlib.suppress(OSError):  # it ended, and `_began` says so
        process.stdin.write(f"{request.line()}\n".encode())
        process.stdin.close()
    return Worker(request.verb, record, process)


def _began(worker: Worker) -> bool:
    """Whether the worker is at its verb, or was; False where its process ended before."""
    while True:
        ended = worker.process.poll() is not None
        if _has_begun(_lines(worker.record)):
            return True
        if ended:
            return False
        time.sleep(0.01)


def _has_begun(lines: Sequence[str]) -> bool:
    return any(line.startswith(_BEGUN) for line in lines)


def _is_answer(line: str) -> bool:
    return isinstance(_read(line), (protocol.Result, protocol.Failure))


def _read(line: str) -> protocol.Answer | None:
    """The answer of a line, which may begin with any token."""
    token = line.partition(" ")[0]
    try:
        return protocol.read(token, line) if token else None
    except protocol.ProtocolError:
        return None


def _outcome(lines: Sequence[str]) -> str:
    for line in reversed(lines):
        answer = _read(line)
        if isinstance(answer, protocol.Result):
            return "it ended well"
        if isinstance(answer, protocol.Failure):
            return f"it failed: {answer}"
    return "it was cut off"


def _lines(record: Path) -> list[str]:
    return record.read_text(encoding="utf-8", errors="replace").splitlines()


def _last_line(record: Path) -> str:
    return next((line for line in reversed(_lines(record)) if line.strip()), "")
