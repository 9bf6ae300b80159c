"""A set's secrets come into force file by file, none is missing at any moment, and nobody sees the identity."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.fake_files import FakeFiles, crashed_everywhere
from tests.host.fake_system import FakeSystem
from webui_stack.host import set_secrets
from webui_stack.host.errors import HostError

STACK, SET = "/opt/stack", "/var/backups/open-webui/20261129T030000Z"
NAMES = ("postgres-password", "valkey-password", "webui-secret-key")
IDENTITY = "AGE-SECRET-KEY-1MARKER"
MARKS = ["secrets/valkey-password"]


def tar(*names: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The secrets as a backup packs them (`verbs/backup.py`)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        folder = tarfile.TarInfo("secrets")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(folder)
        for name in names:
            one = tarfile.TarInfo(name)
            one.type, one.mode, one.size = kind, 0o644 if "postgres" in name else 0o600, 4
            archive.addfile(one, io.BytesIO(b"new\n"))
    return packed.getvalue()


class Age(FakeSystem):
    """age, which decrypts what it is given to `content`."""

    def __init__(self, content: bytes = b"", error: str = "") -> None:
        super().__init__(Path("/nowhere"))
        self.content = content or tar(*(f"secrets/{name}" for name in NAMES))
        self.error = error
        self.given: list[tuple[tuple[str, ...], bytes]] = []

    def through(self, *command: str, stdin: bytes) -> bytes:
        self.given.append((command, stdin))
        if self.error:
            raise HostError("age", expected=f"an answer to `{' '.join(command)}`", got=self.error, do="run it")
        return self.content


def prepare(files: FakeFiles) -> None:
    files.make_folder(f"{STACK}/secrets")
    for name in NAMES:
        files.write(f"{STACK}/secrets/{name}", "old\n")
    files.make_folder(f"{STACK}/secrets.new")
    files.make_folder(SET)
    files.write(f"{SET}/{set_secrets.PART}", "age")


def place(files: FakeFiles, age: Age | None = None) -> None:
    set_secrets.place(files, age or Age(), SET, STACK, IDENTITY, MARKS)


def found(files: FakeFiles) -> list[str | None]:
    return [files.read_text(f"{STACK}/secrets/{name}") for name in NAMES]


def test_the_identity_goes_to_age_on_its_stdin_alone() -> None:
    files, age = FakeFiles(), Age()
    prepare(files)
    place(files, age)
    ((command, stdin),) = age.given
    assert command == ("age", "--decrypt", "--identity", "-", f"{SET}/{set_secrets.PART}")
    assert stdin == f"{IDENTITY}\n".encode()
    assert found(files) == ["new\n"] * 3
    modes = {name: one.mode for name in NAMES if (one := files.stat(f"{STACK}/secrets/{name}"))}
    assert modes == {"postgres-password": 0o644, "valkey-password": 0o600, "webui-secret-key": 0o600}
    assert not files.exists(f"{STACK}/secrets.new")


def test_a_host_without_a_stack_gets_them() -> None:
    files = FakeFiles()
    files.make_folder(SET)
    files.write(f"{SET}/{set_secrets.PART}", "age")
    place(files)
    assert found(files) == ["new\n"] * 3


@pytest.mark.crash
def test_no_moment_is_without_secrets() -> None:
    """L8: a kill between `rm -rf` and `mv` made the next deploy make new keys."""

    def check(files: FakeFiles, done: bool) -> None:
        there = found(files)
        assert set(there) <= {"old\n", "new\n"}
        assert not done or there == ["new\n"] * 3
        place(files)
        assert found(files) == ["new\n"] * 3
        assert files.listdir(f"{STACK}/secrets") == sorted(NAMES)

    assert crashed_everywhere(prepare, place, check) > 100


def other(files: FakeFiles) -> None:
    files.remove_tree(STACK)
    files.make_folder(STACK, mode=0o755)
    files.write(f"{STACK}/somebodys", "x")


def left_out(files: FakeFiles) -> None:
    files.remove(f"{SET}/{set_secrets.PART}")


@pytest.mark.parametrize(
    ("change", "age", "words"),
    [
        (left_out, Age(), "expected secrets in 20261129T030000Z, got none; it was made without backup_age_recipient"),
        (other, Age(), f"expected an empty folder or one that this project made, got {STACK} with"),
        (None, Age(error="exit status 1: age: error: no identity matched"), "got another key; nothing was changed"),
        (None, Age(error="no such program"), "got no such program (age); nothing was changed"),
        (None, Age(tar("secrets/../../etc/x")), "got secrets/../../etc/x among them; nothing was changed"),
        (None, Age(tar("secrets/x", kind=tarfile.SYMTYPE)), "got secrets/x among them; nothing was changed"),
        (None, Age(b"no tar" * 200), "got another archive; nothing was changed; take another set"),
        (None, Age(tar()), "got none; nothing was changed; take another set"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_changes_nothing(change: Callable[[FakeFiles], None] | None, age: Age, words: str) -> None:
    files = FakeFiles()
    prepare(files)
    if change:
        change(files)
    before = found(files)
    with pytest.raises(HostError) as caught:
        place(files, age)
    assert words in str(caught.value)
    assert IDENTITY not in str(caught.value)
    assert found(files) == before
