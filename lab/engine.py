"""The Docker engine: an existing one is used as it is; on a bare machine the lab starts its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from lab import apt, docker, state
from lab.errors import LabError
from lab.progress import step

DATA_ROOT = Path("/var/lib/open-webui-lab/docker")
IN_USE = "engine-in-use"
"""The lock that each `up` shares, so that no `down` stops the engine of a lab that has no container yet."""

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 60
# Only the ranges of RFC 2544 (benchmarking): a private range may exist around the machine.
_BRIDGE = "198.18.255.1/24"
_POOL = "base=198.18.254.0/24,size=28"


def ensure(name: str) -> None:
    """Ensure a Docker engine answers.

    Uses the one the docker client reaches. If there is none and this is root on a machine without
    systemd, installs and starts dockerd; its log is dockerd.log in the runtime folder. Otherwise raises
    LabError saying what to start.
    """
    if docker.answers():
        return
    with state.lock("engine", "Waiting for another lab that is starting the Docker engine"):
        if not docker.answers():
            _start(name)


def started_by_lab() -> int | None:
    """The process id of the dockerd a lab started on this machine, if it runs."""
    try:
        pid = int(_pid_file().read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ValueError):
        return None
    # the pid may have been given to another process since
    return pid if f"--pidfile={_pid_file()}".encode() in arguments else None


def stop_if_unused() -> str:
    """Ensure the engine a lab started is stopped if it has no container; say what was done and why.

    Call it holding the lock IN_USE.
    """
    pid = started_by_lab()
    if pid is None:
        return "the Docker engine is not the lab's: left running"
    others = docker.run("ps", "-aq").split()
    if others:
        return f"{len(others)} other container(s) exist: Docker engine left running"
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
        if time.monotonic() > deadline:
            raise LabError(f"dockerd: expected process {pid} to end within {_STOP_TIMEOUT_S} s, see {_log_file()}")
        time.sleep(0.2)
    _pid_file().unlink(missing_ok=True)
    _unmount_data()
    # dockerd leaves its default bridge behind; this one was made by the dockerd just stopped
    if Path("/sys/class/net/docker0").exists() and shutil.which("ip"):
        subprocess.run(["ip", "link", "delete", "docker0"], check=True)
    return "Docker engine stopped"


def remove_data() -> None:
    """Ensure the data of an engine that a lab started, and that no longer runs, is gone."""
    if os.geteuid() != 0 or started_by_lab() is not None or not DATA_ROOT.exists():
        return
    _unmount_data()
    state.remove_tree(DATA_ROOT.parent)


def _start(name: str) -> None:
    problem = None
    if "DOCKER_HOST" in os.environ:
        problem = "DOCKER_HOST is set and nothing answers there: start that engine or unset it"
    elif Path("/run/systemd/system").exists():
        problem = "start it: systemctl start docker (or install it: https://docs.docker.com/engine/install/)"
    elif os.geteuid() != 0:
        problem = "start Docker, or run the lab as root to let it start its own"
    if problem:
        raise LabError(f"Docker engine: expected an answer to `docker version`, got none, {problem}")
    apt.ensure_tools(
        {"dockerd": "docker.io", "iptables": "iptables", "containerd": "containerd"}, name, "Docker engine"
    )
    # Debian 12 ships the client in docker.io, Debian 13 in a package of its own
    apt.ensure_tools({"docker": "docker-cli"}, name, "Docker client")
    DATA_ROOT.mkdir(parents=True, exist_ok=True)
    with step("Start dockerd"), _log_file().open("ab") as log:
        process = subprocess.Popen(
            [
                "dockerd",
                f"--pidfile={_pid_file()}",
                f"--data-root={DATA_ROOT}",
                f"--exec-root={state.runtime_folder() / 'docker'}",
                f"--bip={_BRIDGE}",
                f"--default-address-pool={_POOL}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"},
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not docker.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                if process.poll() is None:
                    process.terminate()
                tail = "\n    ".join(_log_file().read_text(errors="replace").splitlines()[-10:])
                raise LabError(
                    f"dockerd: expected an answer within {_START_TIMEOUT_S} s, got none, see {_log_file()}:\n    {tail}"
                )
            time.sleep(0.3)


def _unmount_data() -> None:
    """Ensure the data folder is no mount point: where mounts don't propagate, dockerd mounts it on itself."""
    while DATA_ROOT in state.mounts():
        subprocess.run(["umount", str(DATA_ROOT)], check=True)


def _is_zombie(pid: int) -> bool:
    try:
        return re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE) is not None
    except (FileNotFoundError, ProcessLookupError):
        return True


def _pid_file() -> Path:
    return state.runtime_folder() / "dockerd.pid"


def _log_file() -> Path:
    return state.runtime_folder() / "dockerd.log"
