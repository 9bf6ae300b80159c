"""The secrets in a backup set, brought into force on this host. Nobody but age sees the identity, on its stdin."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping, Sequence

from .errors import HostError
from .files import Files
from .system import System

PART = "secrets.tar.age"
_FOLDER = "secrets"
_MEMBER = re.compile(rf"{_FOLDER}/[A-Za-z0-9_-]+")
# How `System.through` says that a program ran, and said no.
_SAID_NO = "exit status "


Found = Mapping[str, tuple[int, bytes]]
"""Mode and content of each secret, by its path below the stack's folder."""


def place(files: Files, system: System, folder: str, stack_dir: str, identity: str, marks: Sequence[str]) -> None:
    """Ensure the stack in `stack_dir` has the secrets of the set in `folder`: `read`, then `put`."""
    put(files, stack_dir, read(files, system, folder, stack_dir, identity, marks))


def read(files: Files, system: System, folder: str, stack_dir: str, identity: str, marks: Sequence[str]) -> Found:
    """The secrets of the set in `folder`, which an age `identity` decrypts, for the stack in `stack_dir`.

    Raises `HostError` where the set has none, the identity is another one, or `stack_dir` is somebody else's by its
    `marks` (`Files.may_own`).
    """
    name = folder.rpartition("/")[2]
    if not files.exists(f"{folder}/{PART}"):
        do = "it was made without backup_age_recipient"
        raise HostError("restore", expected=f"secrets in {name}", got="none", do=do)
    found = _read(_decrypted(system, f"{folder}/{PART}", identity, name), name)
    if not files.may_own(stack_dir, marks):
        raise HostError(
            "restore",
            expected="an empty folder or one that this project made",
            got=f"{stack_dir} with other files in it",
            do="set stack_dir to another, or move them away",
        )
    return found


def put(files: Files, stack_dir: str, found: Found) -> None:
    """Ensure the stack in `stack_dir` has these secrets.

    Each file takes its place whole: killed at any point, each secret is the old one or the new one, and the next run
    makes the rest.
    """
    files.make_folder(stack_dir)
    files.make_folder(f"{stack_dir}/{_FOLDER}")
    for path, (mode, content) in found.items():
        files.write(f"{stack_dir}/{path}", content, mode=mode)
    files.remove_tree(f"{stack_dir}/{_FOLDER}.new")  # earlier versions left it when they were killed


def _decrypted(system: System, path: str, identity: str, name: str) -> bytes:
    try:
        return system.through("age", "--decrypt", "--identity", "-", path, stdin=f"{identity}\n".encode())
    except HostError as error:
        # Not age's own words: they may repeat a part of what it could not read.
        raise HostError(
            "restore",
            expected=f"restore_age_identity to decrypt the secrets of {name}",
            got="another key" if error.got.startswith(_SAID_NO) else f"{error.got} ({error.where})",
            do="nothing was changed",
        ) from None


def _read(content: bytes, name: str) -> dict[str, tuple[int, bytes]]:
    """Mode and content of each secret, by its path below the stack's folder."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                if member.isdir() and member.name == _FOLDER:
                    continue
                source = tar.extractfile(member) if member.isreg() and _MEMBER.fullmatch(member.name) else None
                if source is None:
                    raise _odd(name, f"{member.name} among them")
                found[member.name] = (member.mode & 0o777, source.read())
    except tarfile.TarError:
        raise _odd(name, "another archive") from None
    if not found:
        raise _odd(name, "none")
    return found


def _odd(name: str, got: str) -> HostError:
    return HostError(
        "restore", expected=f"a file for each secret of {name}", got=got, do="nothing was changed; take another set"
    )
