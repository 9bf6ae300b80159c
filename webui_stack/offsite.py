"""Operations that take a backup set off a host onto this machine, and back onto one."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Generator
from pathlib import Path

from pyinfra import logger
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from webui_stack import backup_set, remote, templates, transfer
from webui_stack.backup_set import MANIFEST, BackupSet, SetError
from webui_stack.progress import Counted, Progress

Commands = Generator[StringCommand | FunctionCommand, None, None]


@operation(is_idempotent=False)
def fetch(sets: str, folder: str, keep: int) -> Commands:
    """Ensure the newest set of the host's folder `sets` is in `folder` on this machine, and `keep` (0: all) in all.

    It gets its name there once size and SHA-256 of each file were compared with its manifest's; fails otherwise, with
    the sets before as they were.
    """
    yield FunctionCommand(_fetch, (sets, Path(folder), keep), {})


@operation(is_idempotent=False)
def send(chosen: BackupSet, sets: str) -> Commands:
    """Ensure a set of this machine is in the host's folder `sets`; only looks where it is already.

    It gets its name there when all of it arrived. Fails for a file that is not what the manifest says, and where
    another set has its name.
    """
    yield FunctionCommand(_send, (chosen, sets), {})


def _fetch(state: State, host: Host, sets: str, folder: Path, keep: int) -> bool:  # noqa: ARG001
    def work() -> None:
        newest = f"ls {sets} | grep -xE '{backup_set.NAME}' | sort | tail -n 1"
        name = "".join(remote.run(host, newest))
        writer = backup_set.Writer(folder, name)
        for part in remote.run(host, f"ls -A {sets}/{name}"):
            _fetch_part(host, writer, f"{sets}/{name}", part)
        fetched = writer.close(host.log)
        size_mb = sum(part.size for part in fetched.parts.values()) / 1e6
        host.log_styled(f"fetched {name} to {fetched.path}: {size_mb:.0f} MB", fg="green", log_func=logger.info)
        for old in backup_set.keep(folder, keep):
            host.log(f"removed {folder / old}: {keep} newer ones are there")

    return transfer.told(host, work, SetError)


def _fetch_part(host: Host, writer: backup_set.Writer, path: str, part: str) -> None:
    transfer.download(
        host, f"{path}/{part}", lambda _, size: writer.file(part, Progress(f"fetching {part}", size, host.log))
    )


def _send(state: State, host: Host, chosen: BackupSet, sets: str) -> bool:  # noqa: ARG001
    def work() -> None:
        target, arriving = f"{sets}/{chosen.name}", f"{sets}/.{chosen.name}.part"
        sums = {name: part.sha256 for name, part in chosen.parts.items()}
        sums[MANIFEST] = hashlib.sha256((chosen.path / MANIFEST).read_bytes()).hexdigest()
        there = remote.run(host, f"[ ! -e {target} ] || sha256sum {target}/{MANIFEST}")
        if there:
            if there[0].split()[0] != sums[MANIFEST]:
                raise SetError(f"{target}: expected no other set of that name, got one; move it away on the host")
            host.log(f"{chosen.name} is on the host already")
            return
        remote.run(host, templates.sets_folder_script(sets))
        remote.run(host, f"umask 077 && rm -rf {sets}/.*.part && mkdir {arriving}")
        for name, sha256 in sums.items():
            path = chosen.path / name
            moved = f"chmod 600 part && mv part {shlex.quote(f'{arriving}/{name}')}"
            with path.open("rb") as content:
                counted = Counted(content, Progress(f"uploading {name}", path.stat().st_size, host.log))
                transfer.upload(host, name, counted, sha256, moved)
        remote.run(host, f"sync --file-system {sets} && mv -T {arriving} {target}")
        host.log(f"{chosen.name} is on the host")

    return transfer.told(host, work, SetError)
