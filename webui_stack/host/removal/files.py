"""Files of this project on a host, in the stack's folder and in that of backup sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from .. import disk, journal, outcomes, secrets
from ..errors import HostError
from ..files import Files
from ..stack import OVERLAY
from ..system import System
from . import memory
from .items import Item, looked_at, unknown
from .request import Request

# Below the stack's folder. Each may have a file beside it that takes its place once it is whole: NAME.new.
FOLDERS = ("valkey", "proxy", "secrets", outcomes.FOLDER)
_MEMORY = frozenset({memory.DEFINITION, memory.DEPLOYS, ".good", ".good.old", ".good.copy"})
MADE = _MEMORY | {
    *(".env", "up.log", "recover.log", "watchdog.sh", "dataset.py"),
    *("backup.sh", "backup.log", "restic.sh", "restic.env", "restic-2.env", "restic.log"),
    *(f"{outcomes.FOLDER}/{name}.json" for name in outcomes.NAMES),
    *("valkey/valkey.conf", "valkey/start.sh", "valkey/users.acl", "valkey/acl-label"),
    *("proxy/Caddyfile", "proxy/certificate.pem", secrets.RECEIVERS, OVERLAY),
}
# Nobody can read the data without the secrets; and without the marks, nobody knows that they are in two places.
WITH_DATA = frozenset(
    {
        *("secrets/valkey-password", "secrets/valkey-monitor-password", "secrets/webui-secret-key"),
        *("secrets/postgres-password", "secrets/proxy-key", "secrets/probe-password"),
        "secrets/stack-password",
        *(".restoring", ".upgrading", ".migrating", journal.NAME),
    }
)
# A restore that was killed has left it; the secrets in force are in `secrets`.
_NEW_SECRETS = "secrets.new"
# A set; and one that was being made, or fetched.
_SET = re.compile(r"[0-9]{8}T[0-9]{6}Z|\.[0-9]{8}T[0-9]{6}Z\.(new|part)")
NOT_OURS = "not made by this project"


def stack(asked: Request, system: System, files: Files) -> list[Item]:
    """What is in the stack's folder, and the folder itself."""
    folder = asked.stack_dir
    found: list[Item] = []
    try:
        names = listed(files, folder)
        inner = [name for name in FOLDERS if name in names and _is_folder(files, f"{folder}/{name}")]
    except HostError as error:
        return [unknown("folder", folder, error)]
    found += [_file(asked, name) for name in names if name not in inner]
    for name in inner:
        try:
            found += [_file(asked, f"{name}/{one}") for one in listed(files, f"{folder}/{name}")]
        except HostError as error:
            found.append(unknown("folder", f"{folder}/{name}", error))
    for path in (*(f"{folder}/{name}" for name in FOLDERS), folder):
        found += emptied(path, found, system, files)
    return found


def _file(asked: Request, name: str) -> Item:
    path = f"{asked.stack_dir}/{name}"
    of = name[: -len(".new")] if name.endswith(".new") else name
    if name == _NEW_SECRETS:
        return Item("tree", path)
    if of in _MEMORY:
        return Item("memory", path)
    if of in MADE:
        return Item("tree", path)
    if of in WITH_DATA and asked.data:
        return Item("file", path)
    if of in WITH_DATA:
        return Item("file", path, "stays", f"belongs with the data; teardown_data = ['{asked.host}'] removes it")
    return Item("tree", path, "stays", NOT_OURS)


def backups(asked: Request, system: System, files: Files) -> list[Item]:
    """What is in the folder of backup sets, and the folder itself."""
    folder = asked.backup_dir
    try:
        found = [_set(asked, name) for name in listed(files, folder)]
    except HostError as error:
        return [unknown("folder", folder, error)]
    return [*found, *emptied(folder, found, system, files)]


def _set(asked: Request, name: str) -> Item:
    path = f"{asked.backup_dir}/{name}"
    if not _SET.fullmatch(name):
        return Item("tree", path, "stays", NOT_OURS)
    if not asked.backups:
        return Item("tree", path, "stays", f"a backup; teardown_backups = ['{asked.host}'] removes it")
    return Item("tree", path)


def emptied(path: str, found: Sequence[Item], system: System, files: Files) -> Iterator[Item]:
    """The folder at a path, which goes where nothing in it stays."""
    if any(item.state != "goes" and f"{item.name}/".startswith(f"{path}/") for item in found):
        return iter(())
    return looked_at("folder", path, partial(_emptied, path, system, files))


def _emptied(path: str, system: System, files: Files) -> Item | None:
    if not _is_folder(files, path):
        return None
    if disk.is_mount(system, path):
        return Item("folder", path, "stays", "a file system is mounted there")
    return Item("folder", path)


def listed(files: Files, folder: str) -> list[str]:
    """The names in a folder, hidden ones last; none where there is no folder."""
    return sorted(files.listdir(folder) or [], key=lambda name: (name.startswith("."), name))


def _is_folder(files: Files, path: str) -> bool:
    found = files.stat(path)
    return found is not None and found.kind == "folder"
