"""The host's own programs and files."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from .errors import HostError
from .records import dataclass

# pathlib and shutil are not loaded here: with what they load themselves they take 15 ms of processor time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_LIMIT_S = 30
# A program that is told to end gets so many seconds.
_END_S = 10.0
# So often a program's new lines are passed on.
_LOOK_S = 1.0
_PIECE = 1 << 20
# It is there while systemd runs the host (sd_booted(3)).
SYSTEMD = "/run/systemd/system"


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status, and what it wrote to stdout and to stderr."""

    status: int
    output: str
    errors: str


class System:
    """Questions and orders to the host. `root` is where its file system begins, for tests of what an odd host has."""

    def __init__(self, root: str = "/") -> None:
        self._root = root.rstrip("/")
        self._ahead: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}

    def path(self, path: str) -> Path:
        """Where a path of the host is."""
        from pathlib import Path

        return Path(self.place(path))

    def place(self, path: str) -> str:
        """Where a path of the host is, as a text."""
        return f"{self._root}/{path.lstrip('/')}"

    def text(self, path: str) -> str:
        """What is in a file, with its very line ends; "" where there is none.

        Raises `HostError` where it can't be read.
        """
        return (self.data(path) or b"").decode("utf-8", "surrogateescape")

    def data(self, path: str) -> bytes | None:
        """The bytes of a file; None where there is none. Raises `HostError` where it can't be read."""
        try:
            with open(self.place(path), "rb", buffering=0) as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):  # the last: of a process that has ended
            return None
        except OSError as error:
            raise HostError(path, expected="a file to read", got=why(error), do="fix it on the host") from None

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; [] where there is none."""
        try:
            return sorted(os.listdir(self.place(path)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise HostError(path, expected="a folder to list", got=why(error), do="fix it on the host") from None

    def status(self, path: str) -> os.stat_result | None:
        """What is at a path, where a link leads; None where there is nothing. Raises `HostError` where nobody knows."""
        try:
            return os.stat(self.place(path))
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            return None
        except OSError as error:
            raise HostError(path, expected="to look at it", got=why(error), do="fix it on the host") from None

    def exists(self, path: str) -> bool:
        """Whether anything is at a path, where a link leads."""
        return self.status(path) is not None

    def is_file(self, path: str) -> bool:
        found = self.status(path)
        return found is not None and stat.S_ISREG(found.st_mode)

    def is_folder(self, path: str) -> bool:
        found = self.status(path)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def has_systemd(self) -> bool:
        """Whether systemd runs this host."""
        return self.is_folder(SYSTEMD)

    def has(self, program: str) -> bool:
        """Whether a program is in PATH."""
        return which(program) is not None

    def ahead(self, *command: str) -> None:
        """Begin a program, which reads nothing and changes nothing: `output` with these words takes its answer.

        It is at work while this program asks others. Raises `HostError` where it is missing.
        """
        self._ahead[command] = self._begun(command, None)

    def output(self, *command: str) -> str:
        """What a program prints. Raises `HostError` where it is missing, fails, or takes longer than 30 s."""
        status, said, errors = self._run(command, "", None)
        if status:
            last = errors.strip().splitlines()[-1:]
            raise _failed(command, f"exit status {status}: {' '.join(last)}".rstrip(": "))
        return said

    def attempt(self, *command: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> str | None:
        """What a program prints, given `stdin`, in `environment` or in this program's own; None where it says no.

        Raises `HostError` where it is missing, or takes longer than 30 s.
        """
        status, said, _ = self._run(command, stdin, environment)
        return None if status else said

    def through(self, *command: str, stdin: bytes) -> bytes:
        """What a program makes of `stdin`, which may be secret. Raises `HostError` where it fails.

        It has 30 s for that.
        """
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, timeout=_LIMIT_S, check=False)
        except FileNotFoundError:
            raise _failed(command, "no such program") from None
        except subprocess.TimeoutExpired:
            raise _failed(command, f"no answer in {_LIMIT_S} s") from None
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise _failed(command, f"exit status {done.returncode}: {' '.join(last)}".rstrip(": "))
        return done.stdout

    def refusal(self, *command: str) -> str:
        """What a program says when it refuses, on either output, and its exit status without a word; "" where it takes.

        Raises `HostError` where it is missing, or takes longer than 30 s.
        """
        status, said, errors = self._run(command, "", None)
        return (said + errors).strip() or f"exit status {status}" if status else ""

    def order(self, *command: str, limit_s: float) -> None:
        """Ensure a program that changes the host has done so. Raises `HostError` where it fails, or is not in time."""
        status, said = self._order(command, limit_s)
        if status:
            last = said.strip().splitlines()[-1:]
            raise _undone(command, f"exit status {status}: {' '.join(last)}".rstrip(": "))

    def carry_out(
        self,
        *command: str,
        environment: Mapping[str, str],
        limit_s: float,
        descriptors: Sequence[int] = (),
        tell: Callable[[str], object] | None = None,
    ) -> Ended:
        """How a program that may change the host ended, in a session of its own and with nothing but `environment`.

        It inherits `descriptors`: locks that it holds as well. `tell` gets each line that it writes to stdout, while it
        is at work. Raises `HostError` where it is missing. After `limit_s` seconds the program is ended with all that
        it has started, and this raises `HostError`.
        """
        return self._carry_out(command, environment, limit_s, descriptors, tell)

    def pour(self, *command: str, stdin: bytes, into: Callable[[bytes], object], limit_s: float) -> Ended:
        """How a program ended that reads `stdin`, which may be secret, and whose stdout goes `into` a function.

        That gets it piece by piece, and nothing more is read where it raises. Raises `HostError` where the program is
        missing, or takes longer than `limit_s` seconds.
        """
        return self._pour(command, stdin, into, limit_s)

    def hang_up(self, pid: int) -> None:
        """Tell a daemon to read its configuration again (SIGHUP), if it is there."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)

    def _order(self, command: Sequence[str], limit_s: float) -> tuple[int, str]:
        # Not by a pipe: a daemon that it starts may keep that, and so its end never comes.
        with os.fdopen(os.memfd_create("output"), "w+b") as output:
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=limit_s, check=False
                )
            except FileNotFoundError:
                raise _undone(command, "no such program") from None
            except subprocess.TimeoutExpired:
                raise _undone(command, f"no end in {limit_s:.0f} s") from None
            output.seek(0)
            return done.returncode, output.read().decode(errors="replace")

    def _carry_out(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        limit_s: float,
        descriptors: Sequence[int],
        tell: Callable[[str], object] | None,
    ) -> Ended:
        output, errors = (os.fdopen(os.memfd_create(name), "w+b") for name in ("output", "errors"))
        with output, errors:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env=environment,
                    pass_fds=descriptors,
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise _undone(command, "no such program") from None
            lines = _Lines(output.fileno(), tell) if tell else None
            try:
                status = _wait(process, limit_s, lines)
            except subprocess.TimeoutExpired:
                raise _undone(command, f"no end in {limit_s:.0f} s") from None
            finally:
                _end(process)
            output.seek(0)
            errors.seek(0)
            texts = [each.read().decode("utf-8", "replace") for each in (output, errors)]
            return Ended(status, *texts)

    def _pour(self, command: Sequence[str], stdin: bytes, into: Callable[[bytes], object], limit_s: float) -> Ended:
        given, errors = (os.fdopen(os.memfd_create(name), "w+b") for name in ("input", "errors"))
        with given, errors:
            given.write(stdin)
            given.seek(0)
            try:
                process = subprocess.Popen(
                    command, stdin=given, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
                )
            except FileNotFoundError:
                raise _undone(command, "no such program") from None
            assert process.stdout
            deadline = time.monotonic() + limit_s
            try:
                with process.stdout as made:
                    while select.select([made], [], [], max(0.0, deadline - time.monotonic()))[0]:
                        data = os.read(made.fileno(), _PIECE)
                        if not data:
                            break
                        into(data)
                status = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise _undone(command, f"no end in {limit_s:.0f} s") from None
            finally:
                _end(process)
            errors.seek(0)
            return Ended(status, "", errors.read().decode("utf-8", "replace"))

    def _run(self, command: Sequence[str], stdin: str, environment: Mapping[str, str] | None) -> tuple[int, str, str]:
        begun = None if stdin or environment is not None else self._ahead.pop(tuple(command), None)
        with begun or self._begun(command, environment) as process:
            try:
                said, errors = process.communicate(stdin.encode(), timeout=_LIMIT_S)
            except BaseException as error:
                process.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise _failed(command, f"no answer in {_LIMIT_S} s") from None
                raise
        return process.returncode, said.decode("utf-8", "surrogateescape"), errors.decode(errors="replace")

    @staticmethod
    def _begun(command: Sequence[str], environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        except FileNotFoundError:
            raise _failed(command, "no such program") from None


class _Lines:
    """Passes on the whole lines of a file that grows."""

    def __init__(self, descriptor: int, tell: Callable[[str], object]) -> None:
        self._descriptor, self._tell = descriptor, tell
        self._offset, self._rest = 0, b""

    def look(self) -> None:
        # Not by `read`: the writer has the same offset.
        while data := os.pread(self._descriptor, _PIECE, self._offset):
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._tell(line.decode("utf-8", "replace"))


def which(program: str) -> str | None:
    """Where a program is, by PATH; None where it is not there."""
    places = [f"{folder}/{program}" for folder in os.environ.get("PATH", os.defpath).split(":") if folder]
    return next((place for place in places if os.access(place, os.X_OK) and os.path.isfile(place)), None)


def require_root() -> None:
    """Raise `HostError` unless this program is root: to anybody else, half of a host's files are not there."""
    if os.geteuid() != 0:
        raise HostError(
            "privileges",
            expected="root",
            got="an ordinary user",
            do="set _sudo = True for the host, and give the SSH user sudo (with a password: _sudo_password)",
        )


def _wait(process: subprocess.Popen[bytes], limit_s: float, lines: _Lines | None) -> int:
    """The exit status of a program. Raises `TimeoutExpired` after the limit."""
    if lines is None:
        return process.wait(limit_s)
    deadline = time.monotonic() + limit_s
    while True:
        try:
            status = process.wait(min(_LOOK_S, max(0.0, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            lines.look()
            if time.monotonic() >= deadline:
                raise
        else:
            lines.look()
            return status


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ensure a program does not run, nor what it has started; nothing happens where it has ended."""
    if process.poll() is not None:
        return
    for order in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, order)
            process.wait(_END_S)


def _failed(command: Sequence[str], got: str) -> HostError:
    return HostError(command[0], expected=f"an answer to `{' '.join(command)}`", got=got, do="run it on the host")


def _undone(command: Sequence[str], got: str) -> HostError:
    return HostError(command[0], expected=f"`{' '.join(command)}` to succeed", got=got, do="run it on the host")


def why(error: OSError) -> str:
    """What the kernel says about an error, in words."""
    return error.strerror or type(error).__name__
