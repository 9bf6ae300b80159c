"""Bytes go into a command on a host and come out of it as they are, and a command that fails says why."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from pyinfra.api import Host

from tests.local import local_host
from webui_stack.transport import channel, transfer
from webui_stack.transport.remote import RemoteError

# Each byte, and each pair of what shells and terminals change: line ends, NUL, what is no UTF-8.
BYTES = bytes(range(256)) * 3 + b"\r\n\n\0\xff\r" + os.urandom(200_000)


@pytest.fixture
def host() -> Host:
    return local_host()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that files pass through, on this machine."""
    found = tmp_path / "transfer"
    monkeypatch.setattr(transfer, "_IN_FOLDER", transfer._IN_FOLDER.replace(transfer.FOLDER, str(found)))
    monkeypatch.setattr(transfer, "FOLDER", str(found))
    return found


def received(host: Host, command: str) -> bytes:
    found = b""
    with channel.opened(host, command) as sent:
        while data := sent.read(1 << 16):
            found += data
        sent.finish()
    return found


def test_bytes_come_as_they_are_whatever_the_login_shell_printed(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BYTES)
    noise = "printf 'Welcome!\\n\\nanswer-00\\nx%s' \"$MARK\""  # a mark that is no line of its own is none
    assert received(host, f"{noise}\nbegin\ncat {tmp_path}/file") == BYTES
    assert received(host, "begin") == b""


def test_bytes_arrive_as_they_are(host: Host, tmp_path: Path) -> None:
    with channel.opened(host, f"begin\ncat >{tmp_path}/file\nsha256sum <{tmp_path}/file") as sent:
        for start in range(0, len(BYTES), 7001):
            assert sent.write(BYTES[start : start + 7001])
        sent.finish()
    assert (tmp_path / "file").read_bytes() == BYTES


@pytest.mark.parametrize("command", ["echo why >&2; exit 3", "begin; echo why >&2; exit 3"])
def test_a_command_that_fails_says_why(host: Host, command: str) -> None:
    with pytest.raises(RemoteError, match=r"^why$"), channel.opened(host, command) as sent:
        sent.finish()


def test_a_command_that_never_begins_is_no_empty_answer(host: Host) -> None:
    with pytest.raises(RemoteError, match="expected its mark, got nothing"), channel.opened(host, "echo Welcome!"):
        raise AssertionError


def test_a_command_that_reads_no_more_says_why(host: Host) -> None:
    with channel.opened(host, "begin; echo full >&2; exit 1") as sent:
        while sent.write(b"x" * 65536):
            pass
        with pytest.raises(RemoteError, match=r"^full$"):
            sent.finish()


def test_much_on_the_error_output_blocks_nothing(host: Host) -> None:
    assert received(host, "begin; seq 200000 >&2; echo done") == b"done\n"


def test_an_upload_is_kept_while_a_verb_is_at_it(host: Host, folder: Path) -> None:
    digest = hashlib.sha256(BYTES).hexdigest()
    with transfer.uploaded(host, "it", io.BytesIO(BYTES), len(BYTES), digest) as path:  # type: ignore[arg-type]
        assert Path(path).read_bytes() == BYTES
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


@pytest.mark.parametrize("content", [BYTES + b"x", BYTES[:-1], b"x" + BYTES[1:]], ids=["longer", "cut off", "another"])
def test_an_upload_that_is_not_whole_is_given_to_no_verb(host: Host, folder: Path, content: bytes) -> None:
    wanted = (
        hashlib.sha256(BYTES + b"x").hexdigest() if len(content) > len(BYTES) else hashlib.sha256(BYTES).hexdigest()
    )
    with (
        pytest.raises(RemoteError, match=f"it: expected SHA-256 {wanted} on the host, got"),
        transfer.uploaded(host, "it", io.BytesIO(content), len(BYTES), wanted),  # type: ignore[arg-type]
    ):
        raise AssertionError
    assert not folder.exists()


def test_a_verb_that_fails_leaves_nothing_of_an_upload(host: Host, folder: Path) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    with (
        pytest.raises(RemoteError, match=r"^why$"),
        transfer.uploaded(host, "it", io.BytesIO(b"x"), 1, digest),  # type: ignore[arg-type]
    ):
        raise RemoteError("why")
    assert is_gone(folder)


def is_gone(folder: Path) -> bool:
    """Its shell removes it once the connection has ended."""
    for _ in range(500):
        if not folder.exists():
            return True
        time.sleep(0.02)
    return False


class Fetched:
    """What `download` gave, and into which it wrote."""

    def __init__(self) -> None:
        self.content, self.told = io.BytesIO(), ("", 0)

    @contextmanager
    def open(self, sha256: str, size: int) -> Iterator[io.BytesIO]:
        self.told = (sha256, size)
        yield self.content


def test_a_download_is_the_file_with_its_sum_and_size(host: Host, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(BYTES)
    fetched = Fetched()
    transfer.download(host, f"{tmp_path}/a file", fetched.open)  # type: ignore[arg-type]
    assert fetched.told == (hashlib.sha256(BYTES).hexdigest(), len(BYTES))
    assert fetched.content.getvalue() == BYTES
    assert not folder.exists()


def test_a_download_of_what_a_verb_makes(host: Host, folder: Path) -> None:
    fetched = Fetched()
    make = partial((folder / "part").write_bytes, BYTES)
    transfer.download(host, "part", fetched.open, make=make)  # type: ignore[arg-type]
    assert fetched.content.getvalue() == BYTES
    assert not folder.exists()


def test_a_verb_that_fails_ends_a_download(host: Host, folder: Path) -> None:
    def fails() -> None:
        raise RemoteError("why")

    fetched = Fetched()
    with pytest.raises(RemoteError, match=r"^why$"):
        transfer.download(host, "part", fetched.open, make=fails)  # type: ignore[arg-type]
    assert fetched.told == ("", 0)
    assert is_gone(folder)


def test_a_download_that_fails_says_why_and_leaves_nothing(host: Host, folder: Path) -> None:
    fetched = Fetched()
    with pytest.raises(RemoteError, match="/nonexistent/file"):
        transfer.download(host, "/nonexistent/file", fetched.open)  # type: ignore[arg-type]
    assert fetched.content.getvalue() == b""
    assert not folder.exists()


def test_what_somebody_put_in_the_folders_place_is_not_followed(host: Host, folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "part").write_text("mine")
    folder.symlink_to(precious)
    with transfer.uploaded(host, "it", io.BytesIO(b"x"), 1, hashlib.sha256(b"x").hexdigest()):  # type: ignore[arg-type]
        pass
    assert (precious / "part").read_text() == "mine"
