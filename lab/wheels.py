"""Download Open WebUI's locked wheels with this machine's own pip settings.

They are then installed without any network: an index, a proxy, a company's certificate authority or
a folder of wheels, whatever pip is configured with here, stays here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lab import docker, state
from lab.errors import LabError
from lab.progress import megabytes, step

PYTHON = "3.11"
# Debian 12's glibc; pip wants each older version it may use spelled out
_GLIBC_MINOR = 36
# Only wheels, of exactly these hashes. They stay in a cache of ours, so not in pip's as well.
_DOWNLOAD = (
    *("download", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-deps", "--require-hashes"),
    "--only-binary=:all:",
)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def download(requirements: Path, architecture: str, lab: str) -> Path:
    """Ensure the wheels that `requirements` locks are in a cache folder, their hashes checked; return it.

    `architecture` is Docker's word for it. Raises LabError with pip's last words; without a pip to ask,
    names what to install.
    """
    key = hashlib.sha256(requirements.read_bytes() + architecture.encode()).hexdigest()[:12]
    folder = state.CACHE / f"wheels-{key}"
    if folder.exists():
        return folder
    if architecture not in _MACHINES:
        raise LabError(f"Open WebUI image: expected amd64 or arm64, got {architecture}, use LAB_IMAGES=pull")
    machine = _MACHINES[architecture]
    # A name of its own, renamed when complete: a killed download leaves no half-filled cache.
    partial = state.ensure_folder(lab) / "build" / f"wheels-{key}"
    partial.mkdir(parents=True, exist_ok=True)
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(_GLIBC_MINOR, 4, -1)]
    legacy = [f"--platform=manylinux{name}_{machine}" for name in ("2014", "2010", "1")]

    def size() -> str:
        return megabytes(sum(wheel.stat().st_size for wheel in partial.glob("*.whl")))

    log = state.log(lab, partial.name)
    with step("Download Open WebUI's wheels", watch=size) as current:
        docker.run_logged(
            [*_pip(), *_DOWNLOAD, f"--dest={partial}", f"--requirement={_only_pip(requirements, partial)}"], log
        )
        (newest,) = partial.glob("pip-*.whl")
        docker.run_logged(
            [
                # This machine's pip may be old: 23 takes three times as long to find the files, all of it computing.
                # A wheel of pip runs as it is.
                *(sys.executable, str(newest / "pip")),
                *_DOWNLOAD,
                f"--python-version={PYTHON}",
                "--implementation=cp",
                "--abi=cp311",
                "--abi=abi3",
                "--abi=none",
                *platforms,
                *legacy,
                f"--requirement={requirements}",
                f"--dest={partial}",
            ],
            log,
        )
        current.detail = size()
    state.CACHE.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        shutil.move(partial, folder)
    return folder


def _only_pip(requirements: Path, folder: Path) -> Path:
    """The lines of `requirements` that lock pip, as a file in `folder`'s parent."""
    found = re.search(r"^pip==.*(?:\n .*)*\n", requirements.read_text(), re.MULTILINE)
    if not found:
        raise LabError(f"{requirements}: expected a line pip==VERSION, got none, lock it again")
    path = folder.with_suffix(".pip.txt")
    path.write_text(found[0])
    return path


def remove_cached() -> None:
    """Ensure no downloaded wheel is left."""
    if state.CACHE.exists():
        shutil.rmtree(state.CACHE)


def _pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    for program in ("pip3", "pip"):
        found = shutil.which(program)
        # a virtual environment made without pip may still have another's in PATH
        if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return [found]
    raise LabError("Open WebUI image: expected pip, got none, install python3-pip, or use LAB_IMAGES=pull")
