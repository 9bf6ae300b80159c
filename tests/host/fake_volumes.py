"""Volumes of the Docker in memory that are folders of the test's, and Open WebUI's own Python working on them."""

from __future__ import annotations

import json
import os
import shutil
import types
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import pytest

from tests.host.fake_docker import Docker, Exit, Process
from webui_stack.host.data import folders, volumes

FOLDERS = Path(folders.__file__).read_bytes()


class Folder(MutableMapping[str, bytes]):
    """What is in a folder, by path; folders themselves are not listed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)

    def __getitem__(self, name: str) -> bytes:
        if not (self.path / name).is_file():
            raise KeyError(name)
        return (self.path / name).read_bytes()

    def __setitem__(self, name: str, content: bytes) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(content)

    def __delitem__(self, name: str) -> None:
        (self.path / name).unlink()

    def __iter__(self) -> Iterator[str]:
        above = len(str(self.path)) + 1
        files = [f"{folder}/{name}"[above:] for folder, _, names in os.walk(self.path) for name in names]
        yield from sorted(files)

    def __len__(self) -> int:
        return len(list(iter(self)))


def put(docker: Docker, name: str, path: Path, files: dict[str, bytes]) -> Folder:
    """A volume that is a folder at `path`."""
    docker.ensure_volume(name, {})
    made = Folder(path)
    made.update(files)
    docker.contents[name] = made
    return made


def python3(process: Process) -> bytes:
    """folders.py on the container's volumes."""
    program, action, folders_ = process.command[1:]
    assert program == "-"
    if process.stdin != FOLDERS:
        raise Exit(1, b"SyntaxError: unexpected EOF while parsing")  # half of it
    where = {path_of(process, name): kept for name, kept in json.loads(folders_).items()}
    try:
        found = folders.act(action, where)
    except (OSError, shutil.Error, folders.Refusal) as error:
        raise Exit(1, f"{action}: {error}\n".encode()) from None
    names = {path_of(process, name): name for name in json.loads(folders_)}
    return json.dumps({names[path]: seen for path, seen in found.items()}).encode()


# --- The same in memory, for worlds that are copied


def python3_in_memory(process: Process) -> bytes:
    """folders.py on volumes whose files are in a dictionary. An empty folder has a file "."."""
    program, action, folders_ = process.command[1:]
    assert program == "-"
    asked = list(json.loads(folders_))
    return json.dumps({name: act_in_memory(action, process.files(name)) for name in asked}).encode()


def act_in_memory(action: str, files: MutableMapping[str, bytes]) -> dict[str, list[str]]:
    """What folders.py does in one folder, and what is there then."""
    there = {name.partition("/")[0] for name in files if name.startswith(folders.PREFIX)}
    old, new = folders.OLD in there, folders.NEW in there
    assert not (old and new), "only a program that is killed leaves that"
    if action == "make":
        if old:
            raise Exit(1, b"make: expected no earlier data beside those in use\n")
        _move(files, folders.NEW, None)
        files[f"{folders.NEW}/."] = b""
    elif action == "set aside" and old:
        number = 1 + sum(name.startswith(folders.BEFORE) for name in there)
        _move(files, folders.OLD, f"{folders.BEFORE}{number}/")
    elif action == "swap":
        if not old and not new:
            raise Exit(1, b"swap: expected new data beside those in use, got none\n")
        if not old:
            for name in [one for one in files if not one.startswith(folders.PREFIX)]:
                files[f"{folders.OLD}/{name}"] = files.pop(name)
            files[f"{folders.OLD}/."] = b""
            del files[f"{folders.NEW}/."]
            _move(files, folders.NEW, "")
    elif action == "undo":
        _move(files, folders.NEW, None)
        if old:
            for name in [one for one in files if not one.startswith(folders.PREFIX)]:
                del files[name]
            del files[f"{folders.OLD}/."]
            _move(files, folders.OLD, "")
    elif action == "forget":
        _move(files, folders.PREFIX.rstrip("-"), None)
    beside = sorted({name.partition("/")[0] for name in files if name.startswith(folders.PREFIX)})
    return {"beside": beside, "data": [mark for mark in folders.MARKS if any(n.startswith(mark) for n in files)]}


def _move(files: MutableMapping[str, bytes], place: str, to: str | None) -> None:
    """Give what is in a place another one; None removes it."""
    for name in [one for one in files if one.startswith(place)]:
        content = files.pop(name)
        if to is not None:
            files[to + name.partition("/")[2]] = content


def tar_in_memory(process: Process) -> bytes:
    try:
        found = json.loads(process.stdin)
    except ValueError:
        raise Exit(2, b"tar: Unexpected EOF in archive\n") from None
    for name, content in found.items():
        process.files(volumes.OPEN_WEBUI)[f"{folders.NEW}/{name}"] = content.encode()
    return b""


def shell_in_memory(process: Process) -> bytes:
    assert process.command == volumes.FILL_VALKEY
    process.files(volumes.VALKEY)[f"{folders.NEW}/dump.rdb"] = process.stdin
    return b""


def path_of(process: Process, folder: str) -> str:
    found = process.files(folder)
    assert isinstance(found, Folder)
    return str(found.path)


def tar(process: Process) -> bytes:
    """Unpacks what is JSON here: the contents of files by their names."""
    assert (process.command[0], *process.command[1:]) == volumes.FILL_OPEN_WEBUI
    try:
        found = json.loads(process.stdin)
    except ValueError:
        raise Exit(2, b"tar: Unexpected EOF in archive\n") from None
    there = process.files(volumes.OPEN_WEBUI)
    assert isinstance(there, Folder)
    if not (there.path / folders.NEW).is_dir():
        raise Exit(2, b"tar: .restore-new: Cannot open: No such file or directory\n")
    for name, content in found.items():
        there[f"{folders.NEW}/{name}"] = content.encode()
    return b""


def shell(process: Process) -> bytes:
    assert process.command == volumes.FILL_VALKEY
    there = process.files(volumes.VALKEY)
    assert isinstance(there, Folder)
    if not (there.path / folders.NEW).is_dir():
        raise Exit(2, b"sh: cannot create .restore-new/dump.rdb: Directory nonexistent\n")
    there[f"{folders.NEW}/dump.rdb"] = process.stdin
    return b""


class Steps:
    """`os` as folders.py sees it: each change is a step, and the program can be killed before one of them."""

    CHANGES = ("mkdir", "rmdir", "rename", "unlink", "chown", "link")

    def __init__(self) -> None:
        self.left: int | None = None  # None for one that is not killed

    def count(self) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in self.CHANGES:
            real = getattr(os, name)

            def change(*arguments: object, real: types.FunctionType = real, **options: object) -> object:
                self.count()
                return real(*arguments, **options)

            monkeypatch.setattr(os, name, change)


class Killed(BaseException):
    """The program is dead; the folders stay as they are."""
