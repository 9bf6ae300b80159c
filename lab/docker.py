"""Call the docker client. Every function takes arguments as a list and never a shell string."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from lab import parallel
from lab.errors import LabError

LABEL = "lab.open-webui-stack"
"""On every container, network and volume of a lab; the value is the lab's name."""

CACHE_LABEL = "lab.open-webui-stack.cache"
"""On images and volumes that outlive a lab; the value says which kind."""

_END_TIMEOUT_S = 30
_POLL_S = 0.2


def try_run(*args: str, stdin: bytes | None = None, timeout_s: float | None = None) -> tuple[int, str, str]:
    """Run the client and return (exit status, stdout, stderr); 127 if there is no client, 124 on timeout."""
    try:
        done = subprocess.run(
            ["docker", *args],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        return 127, "", "no docker client in PATH"
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer within {timeout_s} s"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def run(*args: str, stdin: bytes | None = None) -> str:
    """Run the client and return its stripped stdout, or raise LabError with its own words."""
    status, out, err = try_run(*args, stdin=stdin)
    if status:
        raise LabError(f"docker {' '.join(args[:3])}: expected success, got exit status {status}: {err.strip()}")
    return out.strip()


def run_logged(args: list[str], log: Path, hint: str = "", environment: dict[str, str] | None = None) -> None:
    """Run any long command with its output in `log`; a failure carries the last 15 lines."""
    with _open_log(log, args) as out:
        try:
            process = subprocess.Popen(
                args,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(environment or {})},
                # a group of its own: mmdebstrap, when it fails, ends its whole process group
                process_group=0,
            )
        except FileNotFoundError:
            raise LabError(f"{args[0]}: expected it in PATH, got nothing, install it{hint}") from None
        status = _wait(process)
    if status:
        raise _failure(args, status, log, hint)


def run_fed(args: list[str], feed: Callable[[IO[bytes]], None], log: Path) -> str:
    """Run the client with what `feed` writes as its standard input; return its stdout, its stderr is in `log`."""
    with _open_log(log, ["docker", *args]) as out:
        process = subprocess.Popen(
            ["docker", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, process_group=0
        )
        assert process.stdin
        assert process.stdout
        try:
            # a command that ends early breaks the pipe; its status says why
            with suppress(BrokenPipeError):
                feed(process.stdin)
            with suppress(BrokenPipeError):
                process.stdin.close()
        except BaseException:
            _end(process)
            raise
        status = _wait(process)
        answer = process.stdout.read().decode(errors="replace")
    if status:
        raise _failure(["docker", *args], status, log)
    return answer


def _open_log(log: Path, args: list[str]) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    out = log.open("ab")
    shown = [arg if len(arg) < 200 else f"{arg[:60].splitlines()[0]}..." for arg in args]
    out.write(f"\n$ {' '.join(shown)}\n".encode())
    out.flush()
    return out


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process, but not longer than the job it belongs to; return its exit status."""
    try:
        while True:
            try:
                return process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                parallel.check()
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    # time to clean up after itself: mmdebstrap has mounts, a build has a container
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def _failure(args: list[str], status: int, log: Path, hint: str = "") -> LabError:
    tail = "\n    ".join(log.read_text(errors="replace").splitlines()[-15:])
    return LabError(
        f"{args[0]} {args[1]}: expected success, got exit status {status}, see {log}{hint}; its last lines:\n    {tail}"
    )


def answers() -> bool:
    return try_run("version", "--format", "{{.Server.Version}}", timeout_s=20)[0] == 0


def info() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run("info", "--format", "{{json .}}"))
    return result


def inspect(kind: str, names: list[str]) -> list[dict[str, Any]]:
    """The engine's description of each object, in order; [] for no names."""
    if not names:
        return []
    result: list[dict[str, Any]] = json.loads(run(kind, "inspect", *names))
    return result


def containers(*filters: str) -> list[dict[str, Any]]:
    """Every container, running or not, that matches all filters (`label=...`, `name=...`)."""
    return _inspect_present("container", run("ps", "-aq", "--no-trunc", *_filters(filters)).split())


def networks(*filters: str) -> list[dict[str, Any]]:
    return _inspect_present("network", run("network", "ls", "-q", "--no-trunc", *_filters(filters)).split())


def _inspect_present(kind: str, ids: list[str]) -> list[dict[str, Any]]:
    """The description of each that is still there: another lab's may have gone since they were listed."""
    if not ids:
        return []
    status, out, error = try_run(kind, "inspect", *ids)
    # the engine's words for a container (moby, daemon/container.go) and for a network (libnetwork, error.go)
    if status and not all(re.search("no such|not found", line, re.IGNORECASE) for line in error.splitlines()):
        raise LabError(f"docker {kind} inspect: expected descriptions, got: {error.strip()}")
    result: list[dict[str, Any]] = json.loads(out)
    return result


def volumes(*filters: str) -> list[str]:
    return run("volume", "ls", "-q", *_filters(filters)).split()


def image_exists(reference: str) -> bool:
    return try_run("image", "inspect", reference)[0] == 0


def image_id(reference: str) -> str:
    """The engine's id of an image, without `sha256:`."""
    return str(inspect("image", [reference])[0]["Id"]).removeprefix("sha256:")


def image_size_bytes(reference: str) -> int:
    return int(inspect("image", [reference])[0]["Size"])


def _filters(filters: tuple[str, ...]) -> list[str]:
    return [argument for one in filters for argument in ("--filter", one)]
