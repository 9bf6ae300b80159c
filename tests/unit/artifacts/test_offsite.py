"""A set goes from this machine to this machine, with an `age` that is made up: what is in clear, where, and for whom.

Real age, and hosts, are in tests/lab/test_backup.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pyinfra.api import Host

from tests.local import local_host
from webui_stack.artifacts import backup_set, offsite
from webui_stack.host.errors import HostError
from webui_stack.host.locks import Locks
from webui_stack.host.protocol import Event, Failure
from webui_stack.host.retention import Retention
from webui_stack.host.verbs import VERBS, arrival
from webui_stack.transport import program, transfer

NAME = "20261126T033000Z"
FILES = {"open-webui.tar": b"marker of a chat\n" * 5000, "valkey.rdb": b"marker of a key\n" * 20, "images": b"x\n"}
RECIPIENT, IDENTITY = "age1" + "q" * 58, "AGE-SECRET-KEY-1MARKER"
# Like age's: the file begins with whom it is for, its end is known, and what it decrypts it writes as it goes.
AGE = r"""#!/bin/sh
here=${0%/*}
echo "$*" >>"$here/asked"
cat /proc/[0-9]*/cmdline 2>/dev/null | grep -qa [S]ECRET-KEY && echo "shown as an argument" >>"$here/asked"
case "$1" in
--encrypt)
  [ ! -e "$here/failing" ] || { head -c 10 "$4"; echo "age: error: no space" >&2; exit 1; }
  echo "for $3"
  tr a-y b-z <"$4"
  echo end
  ;;
--decrypt)
  read -r identity
  if [ "$identity" != "$(cat "$here/identity")" ]; then
    echo "age: error: no identity matched any of the recipients" >&2
    exit 1
  fi
  sed '1d; $d' "$4" | tr b-z a-y
  [ "$(tail -n 1 "$4")" = end ] || { echo "age: error: unexpected EOF" >&2; exit 1; }
  ;;
esac
"""


@dataclass
class Way:
    """There and back: the host's sets, this machine's, and the sets of the host that gets one."""

    host: Host
    bin: Path
    there: Path
    here: Path
    back: Path
    said: list[str] = field(default_factory=list)

    def fetch(self, recipient: str | None = None, name: str = NAME) -> bool:
        made = backup_set.Made()
        made.note(name)
        return offsite._fetch(self.host.state, self.host, str(self.there), made, self.here, Retention(0), recipient)

    def call(self, _: Host, verb: str, arguments: Mapping[str, Any], say: Callable[[Event], None]) -> Any:
        """The host's program, in this process."""
        try:
            return VERBS[verb](arguments, say)
        except HostError as error:
            raise program.HostRefusedError(Failure.of(error)) from None

    def send(self, identity: str = IDENTITY) -> bool:
        chosen = backup_set.choose(self.here, NAME)
        return offsite._send(self.host.state, self.host, chosen, str(self.back), SecretStr(identity))

    @property
    def asked(self) -> list[str]:
        path = self.bin / "asked"
        return path.read_text().splitlines() if path.exists() else []

    def found(self, text: bytes) -> list[str]:
        """The files of this machine's sets that hold it."""
        return sorted(path.name for path in self.here.rglob("*") if path.is_file() and text in path.read_bytes())


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Way:
    found = Way(local_host(), tmp_path / "bin", tmp_path / "there", tmp_path / "here", tmp_path / "back")
    found.bin.mkdir()
    (found.bin / "age").write_text(AGE)
    (found.bin / "age").chmod(0o755)
    (found.bin / "identity").write_text(IDENTITY + "\n")
    monkeypatch.setenv("PATH", f"{found.bin}:{os.environ['PATH']}")
    (found.there / NAME).mkdir(parents=True)
    parts = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in FILES.items()}
    for name, data in {**FILES, "manifest.json": json.dumps({"name": NAME, "parts": parts}).encode()}.items():
        (found.there / NAME / name).write_bytes(data)
    folder = str(tmp_path / "transfer")
    monkeypatch.setattr(transfer, "_IN_FOLDER", transfer._IN_FOLDER.replace(transfer.FOLDER, folder))
    monkeypatch.setattr(transfer, "FOLDER", folder)
    monkeypatch.setattr(program, "call", found.call)
    monkeypatch.setattr(arrival, "require_root", lambda: None)
    monkeypatch.setattr(arrival, "Locks", partial(Locks, folder=str(tmp_path / "locks")))

    def say(text: str, **_: Any) -> None:
        found.said.append(text)

    monkeypatch.setattr(found.host, "log", say)
    monkeypatch.setattr(found.host, "log_styled", say)
    return found


def test_with_a_recipient_nothing_of_a_set_is_in_clear_on_this_machine(way: Way) -> None:
    assert way.fetch(RECIPIENT)
    assert way.found(b"marker of") == []
    assert len(way.found(f"for {RECIPIENT}".encode())) == len(FILES)
    assert f"encrypted to {RECIPIENT}" in way.said[-1]


def test_without_a_recipient_it_is_in_clear_and_the_run_says_so(way: Way) -> None:
    assert way.fetch()
    assert way.found(b"marker of") == ["open-webui.tar", "valkey.rdb"]
    assert way.asked == []
    assert "in clear, as no backup_age_recipient is set" in way.said[-1]


@pytest.mark.parametrize("recipient", [RECIPIENT, None])
def test_what_is_here_is_not_fetched_again(way: Way, recipient: str | None) -> None:
    assert way.fetch(recipient)
    asked = way.asked
    assert way.fetch(recipient)
    assert way.said[-1] == f"{NAME} is in {way.here} already"
    assert way.asked == asked


def test_a_set_that_is_here_in_clear_is_not_taken_for_an_encrypted_one(way: Way) -> None:
    assert way.fetch()
    assert not way.fetch(RECIPIENT)
    assert f"{way.here / NAME}: expected it encrypted to {RECIPIENT}, got it in clear; move it away" in way.said[-1]


def test_sets_fetched_in_clear_before_are_named(way: Way) -> None:
    assert way.fetch()
    (way.here / NAME).rename(way.here / "20250101T000000Z")
    assert way.fetch(RECIPIENT)
    assert f"in clear in {way.here}, fetched before: 20250101T000000Z;" in way.said[-1]


def test_an_age_that_fails_midway_makes_no_set(way: Way) -> None:
    (way.bin / "failing").touch()
    assert not way.fetch(RECIPIENT)
    assert way.said[-1] == "age: error: no space"
    assert backup_set.names(way.here) == []


def test_a_part_that_is_another_than_the_manifest_says_is_not_fetched(way: Way) -> None:
    (way.there / NAME / "valkey.rdb").write_bytes(FILES["valkey.rdb"].replace(b"k", b"K"))
    assert not way.fetch(RECIPIENT)
    assert f"{NAME}/valkey.rdb: expected SHA-256" in way.said[-1]
    assert backup_set.names(way.here) == []


def test_the_set_that_was_made_is_fetched_and_not_the_one_of_the_highest_name(way: Way) -> None:
    """L7: the clock was set back."""
    shutil.copytree(way.there / NAME, way.there / "20270101T000000Z")
    assert way.fetch()
    assert backup_set.names(way.here) == [NAME]


def test_no_set_that_was_made_is_nothing_to_fetch(way: Way) -> None:
    assert not way.fetch(name="")
    assert way.said == ["backup: expected a set on the host, got none; run it again"]


def test_a_set_of_that_name_on_the_host_stays_as_it_is(way: Way) -> None:
    assert way.fetch()
    (way.back / NAME).mkdir(parents=True, mode=0o700)
    (way.back / NAME / "manifest.json").write_text("another")
    assert not way.send()
    assert way.said[-1] == (f"{way.back / NAME}: expected no other set of that name, got one; move it away on the host")
    assert (way.back / NAME / "manifest.json").read_text() == "another"


@pytest.mark.parametrize("recipient", [RECIPIENT, None])
def test_a_set_comes_back_as_it_was(way: Way, recipient: str | None) -> None:
    assert way.fetch(recipient)
    assert way.send()
    assert {path.name: path.read_bytes() for path in (way.back / NAME).iterdir()} == {
        path.name: path.read_bytes() for path in (way.there / NAME).iterdir()
    }
    assert {path.stat().st_mode & 0o777 for path in (way.back / NAME).iterdir()} == {0o600}
    assert [path.name for path in way.back.iterdir()] == [NAME]
    assert "shown as an argument" not in way.asked
    assert way.send("")
    assert way.said[-1] == f"{NAME} is on the host already"


def test_another_identity_is_refused_at_the_smallest_part_and_nothing_is_left(way: Way) -> None:
    assert way.fetch(RECIPIENT)
    assert not way.send("AGE-SECRET-KEY-1OTHER")
    assert way.said[-1] == (
        "images.age: expected restore_age_identity to decrypt it, got age: error: no identity matched any of the "
        f"recipients; it is encrypted to {RECIPIENT}; nothing was changed"
    )
    assert [line for line in way.asked if "--decrypt" in line] == [f"--decrypt --identity - {transfer.FOLDER}/part"]
    assert list(way.back.iterdir()) == []


@pytest.mark.parametrize("recipient", [RECIPIENT, None])
def test_a_changed_file_does_not_arrive(way: Way, recipient: str | None) -> None:
    assert way.fetch(recipient)
    path = way.here / NAME / ("open-webui.tar.age" if recipient else "open-webui.tar")
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"X")
    assert not way.send()
    assert f"{path.name}: expected SHA-256" in way.said[-1]
    assert list(way.back.iterdir()) == []


def noted_as_it_is(folder: Path, file: str) -> None:
    """Change the note along with a file."""
    note, data = json.loads((folder / "encrypted.json").read_text()), (folder / file).read_bytes()
    note["files"][file] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "encrypted.json").write_text(json.dumps(note))


def test_a_file_that_was_truncated_before_it_was_noted_does_not_arrive(way: Way) -> None:
    assert way.fetch(RECIPIENT)
    path = way.here / NAME / "valkey.rdb.age"
    path.write_bytes(path.read_bytes()[:-4])
    noted_as_it_is(path.parent, path.name)
    assert not way.send()
    assert "valkey.rdb.age: expected restore_age_identity to decrypt it, got age: error: unexpected EOF" in way.said[-1]
    assert list(way.back.iterdir()) == []


def test_a_part_of_another_set_does_not_arrive_though_it_decrypts(way: Way) -> None:
    assert way.fetch(RECIPIENT)
    shutil.copy(way.here / NAME / "images.age", way.here / NAME / "valkey.rdb.age")
    noted_as_it_is(way.here / NAME, "valkey.rdb.age")
    assert not way.send()
    assert "valkey.rdb.age: expected SHA-256" in way.said[-1]
    assert "of what was encrypted" in way.said[-1]
    assert list(way.back.iterdir()) == []
