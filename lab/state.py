"""Where a lab keeps its files, and the locks that keep labs apart.

Docker objects are found by their label and never through these files, so that a lab whose `up` was
killed half way can still be removed completely.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from lab import parallel
from lab.errors import LabError
from lab.progress import say

REPOSITORY = Path(__file__).resolve().parent.parent
LABS = REPOSITORY / ".lab"
CACHE = REPOSITORY / ".cache" / "lab"
_LOCK_POLL_S = 0.2
# Threads of this process wait for each other here, without a word: only another process is another lab.
_of_this_process: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def check_name(name: str) -> str:
    """Return `name` if it can be a host name's first part, or raise LabError."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name) or name.endswith("-"):
        raise LabError(
            f"--name (or LAB_NAME): expected a letter, then up to 19 of a-z, 0-9 and -, got {name!r}, choose another"
        )
    return name


def folder(name: str) -> Path:
    return LABS / name


def ensure_folder(name: str) -> Path:
    """Ensure the lab's own folder exists and only its owner can read it."""
    path = folder(name)
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def remove_folder(name: str) -> bool:
    """Ensure the lab's folder is gone; True if it was there."""
    path = folder(name)
    if not path.exists():
        return False
    remove_tree(path)
    if not any(LABS.iterdir()):
        LABS.rmdir()
    return True


def remove_tree(path: Path) -> None:
    """Ensure a folder is gone; refuses a mount and one with mounts in it: their other side would be emptied as well."""
    mounted = [mount for mount in mounts() if path in (mount, *mount.parents)]
    if mounted:
        raise LabError(f"{path}: expected no mount there, got {mounted[0]}, unmount it")
    shutil.rmtree(path)


def log(name: str, about: str) -> Path:
    """The file that this lab's long commands about one thing write their output to."""
    path = ensure_folder(name) / "logs" / f"{about}.log"
    path.parent.mkdir(exist_ok=True)
    return path


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Ensure `path` has this content and mode; readers see the old or the new file, never half of one."""
    temporary = path.with_name(path.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as out:
        out.write(content)
    temporary.chmod(mode)
    temporary.replace(path)


def runtime_folder() -> Path:
    """A folder of this user on this machine, shared by labs of every checkout; emptied by a reboot."""
    base = Path("/run") if os.geteuid() == 0 and Path("/run").is_dir() else None
    if base is None and "XDG_RUNTIME_DIR" in os.environ:
        base = Path(os.environ["XDG_RUNTIME_DIR"])
    path = base / "open-webui-lab" if base else Path(tempfile.gettempdir()) / f"open-webui-lab-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        raise LabError(f"{path}: expected a folder of this user, got someone else's, remove it")
    return path


@contextmanager
def lock(what: str, waiting: str, shared: bool = False) -> Iterator[None]:
    """Hold a lock of this machine; if another process has it, print `waiting` once and wait.

    Any number of processes hold a `shared` one together. The kernel drops it when the process ends,
    however it ends.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with nullcontext() if shared else _thread_lock(what), _lock_file(what).open("w") as handle:
        said = False
        while not _try_flock(handle.fileno(), operation):
            if not said:
                say(waiting)
                said = True
            # asks again and again, because flock itself can't be woken when the other jobs fail
            parallel.check()
            time.sleep(_LOCK_POLL_S)
        yield


@contextmanager
def _thread_lock(what: str) -> Iterator[None]:
    mine = _of_this_process[what]
    while not mine.acquire(timeout=_LOCK_POLL_S):
        parallel.check()
    try:
        yield
    finally:
        mine.release()


def _try_flock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def try_lock(what: str) -> Iterator[bool]:
    """Hold a lock of this machine if nobody else does, and say whether that is so; never wait."""
    with _lock_file(what).open("w") as handle:
        yield _try_flock(handle.fileno(), fcntl.LOCK_EX)


def _lock_file(what: str) -> Path:
    return runtime_folder() / f"{what}.lock"


def mounts() -> list[Path]:
    """Mount points of this process (proc_pid_mountinfo(5)); [] on a system without /proc."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [Path(line.split()[4].replace("\\040", " ")) for line in lines]
