"""The host's program on a host: sent once, known by its content, called with one request at a time.

It lies in a folder named by the hash of its files, root's own, so that two releases of this project can work on one
host, and timers go on with the program they began with.
"""

from __future__ import annotations

import base64
import gzip
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import gevent
from paramiko import SSHException
from pyinfra.api import Host

from webui_stack.host import protocol
from webui_stack.render.host_program import FOLDER, PYTHONS, TOO_OLD, archive, place
from webui_stack.transport import channel, remote
from webui_stack.transport.remote import RemoteError

UNITS = "/etc/systemd/system"
"""Where units of this project are: one may name a program that does not run now."""

# Reads an archive in base64 from stdin, and puts it in place with one rename: a folder that is there is whole.
_UNPACK = """\
import base64, compileall, glob, io, os, shutil, sys, tarfile, time
if sys.version_info < (3, 9):
    sys.exit(97)
print("python", flush=True)
os.umask(0o022)
place = sys.argv[1]
os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
new = place + ".%d" % os.getpid()
shutil.rmtree(new, ignore_errors=True)
with tarfile.open(fileobj=io.BytesIO(base64.b64decode(sys.stdin.readline()))) as archive:
    archive.extractall(new)
compileall.compile_dir(new, quiet=1)
# A power cut must not leave empty files under the final name.
for folder, _, names in os.walk(new, topdown=False):
    for path in [os.path.join(folder, name) for name in names] + [folder]:
        opened = os.open(path, os.O_RDONLY)
        os.fsync(opened)
        os.close(opened)
try:
    os.rename(new, place)
except OSError:
    shutil.rmtree(new)  # another run was quicker, with the same files
    if not os.path.isdir(place):
        raise
# Programs of other versions go after a day, unless they run, or a unit is to start them.
uses = []
for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob(sys.argv[2] + "/*.service"):
    try:
        with open(path, errors="replace") as text:
            uses.append(text.read())
    except OSError:
        pass
for name in os.listdir(os.path.dirname(place)):
    other = os.path.join(os.path.dirname(place), name)
    if other != place and time.time() - os.stat(other).st_mtime > 86400 and not any(other in one for one in uses):
        shutil.rmtree(other)
"""
NO_PYTHON, NOT_SENT = "no python", "not sent"


class NoPythonError(RemoteError):
    """The host has no Python that the program runs on."""

    def __init__(
        self,
        do: str = "run deploy.py, which installs it, or install it from the distribution (RHEL 8: python3.11)",
    ) -> None:
        super().__init__(f"python3: expected 3.9 or newer on the host, got none; {do}")


class NotSentError(RemoteError):
    """The host does not have this program yet."""

    def __init__(self) -> None:
        super().__init__("the host's program: expected it on the host, got none; run it again")


class HostRefusedError(RemoteError):
    """The program ended with an error of its own: `failure` has its four parts."""

    def __init__(self, failure: protocol.Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def command(verb: str, folder: str = FOLDER) -> str:
    """The shell command that runs a verb of the program, with the request's line on its stdin.

    It first prints a line that says how it stands: `NO_PYTHON`, `NOT_SENT`, or another where the program answers.
    """
    there = place(folder)
    return _with_python(f"-I -S {shlex.quote(there)} {shlex.quote(verb)}", there)


def answered(lines: Sequence[str], token: str) -> Any:
    """What a program answered that was asked by `command`, by all that it printed.

    Raises `NoPythonError`, `NotSentError`, `HostRefusedError`, and `RemoteError` where the answer is not whole.
    """
    state, *rest = lines or [""]
    if state == NO_PYTHON:
        raise NoPythonError
    if state == NOT_SENT:
        raise NotSentError
    for line in rest:
        answer = protocol.read(token, line)
        if isinstance(answer, protocol.Result):
            return answer.value
        if isinstance(answer, protocol.Failure):
            raise HostRefusedError(answer)
    raise RemoteError("answer of the host: expected a result, got the end of the output; run it again")


def call(
    host: Host,
    verb: str,
    arguments: Mapping[str, Any],
    on_event: Callable[[protocol.Event], None] = lambda _: None,
    folder: str = FOLDER,
) -> Any:
    """The result of one verb of the program on the host, which is sent first where it is missing.

    Its events arrive as they are said, over a channel of their own. Raises `NoPythonError`, `HostRefusedError`, and
    `RemoteError` where the answer did not arrive whole.
    """
    request = protocol.Request(verb, f"answer-{secrets.token_hex(16)}", arguments)
    for _ in range(2):
        with channel.opened(host, f"begin\n{command(verb, folder)}") as talk:
            lines = _lines(talk)
            state = next(lines, "")
            if state == NO_PYTHON:
                raise NoPythonError
            if state != NOT_SENT:
                talk.write(f"{request.line()}\n".encode())
                return _result(talk, lines, request.token, on_event)
        send(host, folder)
    raise RemoteError(f"{folder}: expected the program there once it was sent, got none; run it again")


class Waiting:
    """A verb's program on a host that waits for its request: it has started while its caller did something else.

    It is for a host that has the program. A program that gets no request ends with its connection, and does nothing.
    """

    def __init__(self, host: Host, verb: str, folder: str = FOLDER) -> None:
        self._host, self._verb, self._folder = host, verb, folder
        self._begun = gevent.spawn(self._begin)

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """The verb's result, as by the function `call`, which does it where the program could not be started."""
        begun = self._begun.get()
        if begun is None:
            return call(self._host, self._verb, arguments, folder=self._folder)
        talk, lines, connection = begun
        with connection:
            request = protocol.Request(self._verb, f"answer-{secrets.token_hex(16)}", arguments)
            talk.write(f"{request.line()}\n".encode())
            return _result(talk, lines, request.token, lambda _: None)

    def _begin(self) -> tuple[channel.ByteChannel, Iterator[str], ExitStack] | None:
        command_ = f"begin\n{command(self._verb, self._folder)}"
        try:
            with ExitStack() as connection:
                talk = connection.enter_context(channel.opened(self._host, command_))
                lines = _lines(talk)
                if next(lines, "") in ("", NO_PYTHON, NOT_SENT):
                    return None
                return talk, lines, connection.pop_all()
        except (RemoteError, SSHException, OSError):
            return None


def stream(host: Host, verb: str, arguments: Mapping[str, Any], timeout_s: float, folder: str = FOLDER) -> Any:
    """The two ends of a verb that carries bytes once it has said its event: a paramiko `Channel` where there is SSH.

    The program is sent first where it is missing. Raises as `call` does.
    """
    request = protocol.Request(verb, f"answer-{secrets.token_hex(16)}", arguments)
    for _ in range(2):
        ends = channel.begun(host, f"begin\n{command(verb, folder)}", timeout_s)
        try:
            talk = channel.ByteChannel(ends)
            state = talk.line()
            if state == NO_PYTHON:
                raise NoPythonError
            if state != NOT_SENT:
                talk.write(f"{request.line()}\n".encode())
                _await_event(talk, request.token)
                return ends
        except BaseException:
            ends.close()
            raise
        ends.close()
        send(host, folder)
    raise RemoteError(f"{folder}: expected the program there once it was sent, got none; run it again")


def _await_event(talk: channel.ByteChannel, token: str) -> None:
    while line := talk.line():
        answer = protocol.read(token, line)
        if isinstance(answer, protocol.Event):
            return
        if isinstance(answer, protocol.Failure):
            raise HostRefusedError(answer)
    talk.finish()  # says why, where the program ended badly
    raise RemoteError("answer of the host: expected a connection, got the end of the output; run it again")


def _result(
    talk: channel.ByteChannel, lines: Iterator[str], token: str, on_event: Callable[[protocol.Event], None]
) -> Any:
    for line in lines:
        answer = protocol.read(token, line)
        if isinstance(answer, protocol.Event):
            on_event(answer)
        elif isinstance(answer, protocol.Result):
            return answer.value
        elif isinstance(answer, protocol.Failure):
            raise HostRefusedError(answer)
    talk.finish()  # says why, where the program ended badly
    raise RemoteError("answer of the host: expected a result, got the end of the output; run it again")


def _lines(talk: channel.ByteChannel) -> Iterator[str]:
    """The lines that the program prints, as they come."""
    rest = b""
    while data := talk.read(1 << 16):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")


def send(host: Host, folder: str = FOLDER, units: str = UNITS) -> None:
    """Ensure this very program is on the host. Nothing happens where it is.

    Others that nobody needs are removed; `units` is where systemd has those of this project.
    """
    unpack = f"-I -S -c {shlex.quote(_UNPACK)} {shlex.quote(place(folder))} {shlex.quote(units)}"
    packed = base64.b64encode(gzip.compress(archive(), mtime=0)).decode()
    try:
        state, *_ = remote.run(host, _with_python(unpack, ""), [packed])
    except remote.RemoteError as error:
        last = str(error).strip().rpartition("\n")[2]  # of a traceback, the error itself
        raise RemoteError(f"{folder}: expected the host's program to get there, got {last}; fix that") from None
    if state == NO_PYTHON:
        raise NoPythonError


def withdraw(host: Host) -> None:
    """Ensure none of this project's programs is on the host."""
    remote.run(host, f"rm -rf {shlex.quote(FOLDER)}")


def _with_python(arguments: str, there: str) -> str:
    """The shell command that runs the first Python that is new enough, which says in a line that it does.

    With a folder `there` it says instead that the folder is missing, where that is so.
    """
    missing = f"""\
  if [ ! -d {shlex.quote(there)} ]; then
    "$python" -I -S -c 'import sys; sys.exit({TOO_OLD} * (sys.version_info < (3, 9)))' || continue
    echo {shlex.quote(NOT_SENT)}
    exit
  fi
"""
    return f"""\
for python in {" ".join(PYTHONS)}; do
  command -v "$python" >/dev/null || continue
{missing if there else ""}\
  "$python" {arguments}
  status=$?
  if [ $status != {TOO_OLD} ]; then exit $status; fi
done
echo {shlex.quote(NO_PYTHON)}"""
