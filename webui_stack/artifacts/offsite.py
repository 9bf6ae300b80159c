"""Operations that take a backup set off a host onto this machine, and back onto one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pyinfra import logger
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from webui_stack.artifacts import backup_set
from webui_stack.artifacts.backup_set import MANIFEST, BackupSet, Made, SetError
from webui_stack.host.retention import Retention
from webui_stack.ops.progress import Counted, Progress, line
from webui_stack.settings.sources import HiddenItems
from webui_stack.transport import program, remote, transfer

Commands = Generator[StringCommand | FunctionCommand, None, None]


@operation(is_idempotent=False)
def fetch(sets: str, made: Made, folder: str, keep: Sequence[int], recipient: str | None) -> Commands:
    """Ensure the set that was `made` is in `folder` on this machine, out of the host's `sets`.

    There, `keep` says how many sets stay, as `Settings.backup_retention` does. With a `recipient` its parts are
    encrypted to it on the host, by age, while they are sent; only the manifest is plain. It gets its name there once
    size and SHA-256 of each part were compared with its manifest's; fails otherwise, with the sets before as they were.
    Only looks where that set is already.
    """
    yield FunctionCommand(_fetch, (sets, made, Path(folder), Retention(*keep), recipient), {})


@operation(is_idempotent=False)
def send(chosen: BackupSet, sets: str, identity: SecretStr) -> Commands:
    """Ensure a set of this machine is, plain, in the host's folder `sets`; only looks where it is already.

    Encrypted parts are decrypted there, by age with `identity`. It gets its name there when all of it arrived as the
    manifest says. Fails for a file that is not what it should be, for another identity, and where another set has its
    name. Nothing is left of it there then.
    """
    yield FunctionCommand(_send, (chosen, sets, identity), {})


@operation(is_idempotent=False)
def copy(arguments: Mapping[str, Any], made: Made) -> Commands:
    """Ensure the restic repository has the set that was `made`, by the verb `offsite_copy` of the host's program.

    `arguments` are `backup_requests.offsite_copy_request`. The repository is made where it is missing.
    """
    yield FunctionCommand(_copy, (arguments, made), {})


@operation(is_idempotent=False)
def keep_key(arguments: HiddenItems) -> Commands:
    """Ensure the host keeps what opens the restic repository, for root alone: its timer has no operator to ask.

    `arguments` are `backup_requests.offsite_key_request`. They travel in the request of the verb
    `offsite_key`.
    """
    yield FunctionCommand(_ask, ("offsite_key", arguments), {})


@operation(is_idempotent=False)
def bring(arguments: HiddenItems) -> Commands:
    """Ensure the set is on the host, by the verb `offsite_bring` of its program; only looks where it is already.

    `arguments` are `backup_requests.offsite_bring_request`. Fails where the repository does not have the
    set.
    """
    yield FunctionCommand(_ask, ("offsite_bring", arguments), {})


def _ask(state: State, host: Host, verb: str, arguments: HiddenItems) -> bool:  # noqa: ARG001
    return transfer.told(host, lambda: _call(host, verb, arguments), SetError)


def _copy(state: State, host: Host, arguments: Mapping[str, Any], made: Made) -> bool:
    return _ask(state, host, "offsite_copy", HiddenItems({**arguments, "name": made.name}))


def _call(host: Host, verb: str, arguments: Mapping[str, Any]) -> Any:
    """The result of a verb of the host's program; what it says while it is at work is shown."""
    return program.call(host, verb, arguments, lambda event: host.log(line(event.text, event.done, event.total)))


def _fetch(
    state: State,  # noqa: ARG001
    host: Host,
    sets: str,
    made: Made,
    folder: Path,
    rule: Retention,
    recipient: str | None,
) -> bool:
    def work() -> None:
        name = made.name
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
        for old in backup_set.keep(folder, rule):
            host.log(f"removed {folder / old}: {rule.words}")
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
        manifest = hashlib.sha256((chosen.path / MANIFEST).read_bytes()).hexdigest()
        at = {"backup_dir": sets, "name": chosen.name}
        if _call(host, "arrival_begin", {**at, "manifest": manifest}):
            host.log(f"{chosen.name} is on the host already")
            return
        try:
            _upload(host, chosen.path / MANIFEST, manifest, HiddenItems({**at, "part": MANIFEST, "sha256": manifest}))
            # The smallest first: it tells soonest of another identity.
            for part in sorted(chosen.parts, key=lambda name: chosen.parts[name].size):
                one = HiddenItems({**at, "part": part, "sha256": chosen.parts[part].sha256})
                file = part
                if chosen.recipient:
                    file = backup_set.encrypted(part)
                    one |= {"recipient": chosen.recipient, "identity": identity.get_secret_value()}
                _upload(host, chosen.path / file, chosen.files[file].sha256, one)
            _call(host, "arrival_end", at)
        except (remote.RemoteError, OSError):
            _call(host, "arrival_drop", at)  # where the connection is lost, the next run does it
            raise
        host.log(f"{chosen.name} is on the host")

    return transfer.told(host, work, SetError)


def _upload(host: Host, path: Path, sha256: str, part: HiddenItems) -> None:
    """Send a file, whose SHA-256 is this, for the part of the set that arrives."""
    size = path.stat().st_size
    with (
        path.open("rb") as content,
        transfer.uploaded(
            host, path.name, Counted(content, Progress(f"uploading {path.name}", size, host.log)), size, sha256
        ) as place,
    ):
        _call(host, "arrival_part", HiddenItems({**part, "path": place}))
