"""Operations that take a backup set off a host onto this machine, and back onto one."""

from __future__ import annotations

import hashlib
import io
import shlex
from collections.abc import Generator
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import SecretStr
from pyinfra import logger
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from webui_stack import backup_set, remote, templates, transfer
from webui_stack.backup_set import MANIFEST, BackupSet, SetError
from webui_stack.progress import Counted, Progress

Commands = Generator[StringCommand | FunctionCommand, None, None]


@operation(is_idempotent=False)
def fetch(sets: str, folder: str, keep: int, recipient: str | None) -> Commands:
    """Ensure the newest set of the host's folder `sets` is in `folder` on this machine, and `keep` (0: all) in all.

    With a `recipient` its parts are encrypted to it on the host, by age, while they are sent; only the manifest is
    plain. It gets its name there once size and SHA-256 of each part were compared with its manifest's; fails
    otherwise, with the sets before as they were. Only looks where that set is already.
    """
    yield FunctionCommand(_fetch, (sets, Path(folder), keep, recipient), {})


@operation(is_idempotent=False)
def send(chosen: BackupSet, sets: str, identity: SecretStr) -> Commands:
    """Ensure a set of this machine is, plain, in the host's folder `sets`; only looks where it is already.

    Encrypted parts are decrypted there, by age with `identity`. It gets its name there when all of it arrived as the
    manifest says. Fails, with nothing left of it there, for a file that is not what it should be, for another
    identity, and where another set has its name.
    """
    yield FunctionCommand(_send, (chosen, sets, identity), {})


def _fetch(state: State, host: Host, sets: str, folder: Path, keep: int, recipient: str | None) -> bool:  # noqa: ARG001
    def work() -> None:
        newest = f"ls {sets} | grep -xE '{backup_set.NAME}' | sort | tail -n 1"
        name = "".join(remote.run(host, newest))
        if name in backup_set.names(folder):
            _expect_encrypted(backup_set.choose(folder, name), recipient)
            host.log(f"{name} is in {folder} already")
            return
        writer = backup_set.Writer(folder, name, recipient)
        for part in remote.run(host, f"ls -A {sets}/{name}"):
            if recipient and part != MANIFEST:
                _fetch_encrypted(host, writer, f"{sets}/{name}", part, recipient)
            else:
                _fetch_part(host, writer, f"{sets}/{name}", part)
        fetched = writer.close(host.log)
        size_mb = sum(file.size for file in fetched.files.values()) / 1e6
        how = f"encrypted to {recipient}" if recipient else "in clear, as no backup_age_recipient is set"
        host.log_styled(f"fetched {name} to {fetched.path}: {size_mb:.0f} MB, {how}", fg="green", log_func=logger.info)
        for old in backup_set.keep(folder, keep):
            host.log(f"removed {folder / old}: {keep} newer ones are there")
        if recipient and (clear := backup_set.in_clear(folder)):
            host.log(
                f"in clear in {folder}, fetched before: {', '.join(clear)}; remove them once you need them no more"
            )

    return transfer.told(host, work, SetError)


def _expect_encrypted(there: BackupSet, recipient: str | None) -> None:
    if there.recipient != recipient:
        is_, wanted = (f"encrypted to {one}" if one else "in clear" for one in (there.recipient, recipient))
        raise SetError(f"{there.path}: expected it {wanted}, got it {is_}; move it away and run this again")


def _fetch_part(host: Host, writer: backup_set.Writer, path: str, part: str) -> None:
    transfer.download(
        host, f"{path}/{part}", lambda _, size: writer.file(part, Progress(f"fetching {part}", size, host.log))
    )


def _fetch_encrypted(host: Host, writer: backup_set.Writer, path: str, part: str, recipient: str) -> None:
    def receive(sha256: str, size: int) -> AbstractContextManager[io.RawIOBase]:
        return writer.encrypted(part, sha256, size, Progress(f"fetching {part}", size, host.log))

    transfer.download_encrypted(host, f"{path}/{part}", recipient, receive)


def _send(state: State, host: Host, chosen: BackupSet, sets: str, identity: SecretStr) -> bool:  # noqa: ARG001
    def work() -> None:
        target, arriving = f"{sets}/{chosen.name}", f"{sets}/.{chosen.name}.part"
        manifest = hashlib.sha256((chosen.path / MANIFEST).read_bytes()).hexdigest()
        there = remote.run(host, f"[ ! -e {target} ] || sha256sum {target}/{MANIFEST}")
        if there:
            if there[0].split()[0] != manifest:
                raise SetError(f"{target}: expected no other set of that name, got one; move it away on the host")
            host.log(f"{chosen.name} is on the host already")
            return
        remote.run(host, templates.sets_folder_script(sets))
        remote.run(host, f"umask 077 && rm -rf {sets}/.*.part && mkdir {arriving}")
        try:
            _upload(host, chosen.path / MANIFEST, manifest, arriving)
            # The smallest first: it tells soonest of another identity.
            for part in sorted(chosen.parts, key=lambda name: chosen.parts[name].size):
                if chosen.recipient:
                    file = backup_set.encrypted(part)
                    _upload(host, chosen.path / file, chosen.files[file].sha256, arriving)
                    script = templates.decrypt_script(
                        arriving, part, chosen.parts[part].sha256, chosen.recipient, identity
                    )
                    remote.run(host, "sh -s", script)
                else:
                    _upload(host, chosen.path / part, chosen.files[part].sha256, arriving)
        except (remote.RemoteError, OSError):
            remote.run(host, f"rm -rf {arriving}")  # where the connection is lost, the next run does it
            raise
        remote.run(host, f"sync --file-system {sets} && mv -T {arriving} {target}")
        host.log(f"{chosen.name} is on the host")

    return transfer.told(host, work, SetError)


def _upload(host: Host, path: Path, sha256: str, folder: str) -> None:
    moved = f"chmod 600 part && mv part {shlex.quote(f'{folder}/{path.name}')}"
    with path.open("rb") as content:
        counted = Counted(content, Progress(f"uploading {path.name}", path.stat().st_size, host.log))
        transfer.upload(host, path.name, counted, sha256, moved)
