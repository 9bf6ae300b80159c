"""A backup set has what was committed when it was made, and one that is not whole is told from one that is."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.defaults import ROOT

HEAD = "56359461a091"


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """host/data/dataset.py with folders of its own, beside an Open WebUI that knows one migration."""
    spec = importlib.util.spec_from_file_location("dataset", ROOT / "webui_stack/host/data/dataset.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("DATA", "SET"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setattr(module, name, folder)
    versions = tmp_path / "image" / "open_webui" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions.parents[1] / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    (versions / "one.py").write_text(f"down_revision: str = '1'\nrevision: str = '{HEAD}'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "image"))
    return module


def database(path: Path, chats: int = 0, head: str = HEAD) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    for table in ("user", "chat", "file"):
        connection.execute(f'CREATE TABLE "{table}" (id INTEGER)')
    connection.execute("CREATE TABLE alembic_version (version_num)")
    connection.execute("INSERT INTO alembic_version VALUES (?)", [head])
    connection.executemany("INSERT INTO chat VALUES (?)", [(number,) for number in range(chats)])
    connection.commit()
    return connection


def saved(dataset: ModuleType, capsysbinary: Any, *left_out: str) -> tarfile.TarFile:
    dataset.save(left_out)
    return tarfile.open(fileobj=io.BytesIO(capsysbinary.readouterr().out))


def test_a_database_that_is_written_to_is_saved_as_it_was_committed(
    dataset: ModuleType, tmp_path: Path, capsysbinary: Any
) -> None:
    writer = database(dataset.DATA / "webui.db", chats=3)
    writer.execute("INSERT INTO chat VALUES (4)")  # not committed
    assert (dataset.DATA / "webui.db-wal").exists()
    with saved(dataset, capsysbinary) as tar:
        assert tar.getnames() == ["webui.db"]
        tar.extract("webui.db", tmp_path)
    (count,) = sqlite3.connect(tmp_path / "webui.db").execute("SELECT count(*) FROM chat").fetchone()
    assert count == 3
    writer.rollback()


def test_everything_else_is_saved_as_it_is_and_databases_go_first(dataset: ModuleType, capsysbinary: Any) -> None:
    data = dataset.DATA
    for folder in ("a-first", "uploads", "empty", "vector_db/x", "cache/embedding/models", ".restore-old"):
        (data / folder).mkdir(parents=True)
    (data / "a-first" / "file").write_bytes(b"x" * 100_000)
    (data / "a-first" / "file").chmod(0o640)
    (data / "uploads" / "link").symlink_to("../a-first/file")
    (data / "cache" / "embedding" / "models" / "m").write_text("large")
    (data / ".restore-old" / "webui.db").write_text("aside")
    database(data / "vector_db" / "chroma.sqlite3").close()
    database(data / "webui.db").close()
    with saved(dataset, capsysbinary, "cache/embedding/models") as tar:
        names = tar.getnames()
        assert names[:2] == ["webui.db", "vector_db/chroma.sqlite3"]
        assert set(names[2:]) == {
            *("a-first", "a-first/file", "cache", "cache/embedding", "empty"),
            *("uploads", "uploads/link", "vector_db", "vector_db/x"),
        }
        file = tar.getmember("a-first/file")
        assert (file.mode, file.size) == (0o640, 100_000)
        assert tar.getmember("uploads/link").linkname == "../a-first/file"


def test_a_damaged_database_makes_no_save(dataset: ModuleType) -> None:
    connection = database(dataset.DATA / "webui.db", chats=5000)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path = dataset.DATA / "webui.db"
    content = bytearray(path.read_bytes())
    content[-20_000:-12_000] = b"\xff" * 8000
    path.write_bytes(content)
    with pytest.raises((SystemExit, sqlite3.DatabaseError), match=r"expected a sound database|malformed"):
        dataset.save([])


@pytest.fixture
def good(dataset: ModuleType, capsysbinary: Any) -> Path:
    """A set as the verb `backup` makes it."""
    database(dataset.DATA / "webui.db", chats=2).close()
    (dataset.DATA / "uploads").mkdir()
    (dataset.DATA / "uploads" / "1_a.txt").write_text("a")
    folder = Path(dataset.SET)
    dataset.save([])
    (folder / "open-webui.tar").write_bytes(capsysbinary.readouterr().out)
    (folder / "valkey.rdb").write_bytes(b"VALKEY011")
    (folder / "images").write_text("open-webui r/open-webui:v1 sha256:1\nredis-valkey r/valkey:8 sha256:2\n")
    dataset.describe({"name": "20261126T033000Z", "valkey_keys": "7"})
    (folder / "manifest.json").write_bytes(capsysbinary.readouterr().out)
    return folder


def complaints(dataset: ModuleType, capsysbinary: Any) -> list[str]:
    dataset.check("sqlite")
    printed: bytes = capsysbinary.readouterr().out
    return printed.decode().splitlines()


def test_a_manifest_tells_what_is_in_the_set(dataset: ModuleType, good: Path, capsysbinary: Any) -> None:
    manifest = json.loads((good / "manifest.json").read_text())
    assert (manifest["name"], manifest["valkey_keys"]) == ("20261126T033000Z", "7")
    assert manifest["open_webui"] == {"schema": HEAD, "users": 0, "chats": 2, "files": 0, "uploads": 1}
    assert manifest["images"]["redis-valkey"] == {"reference": "r/valkey:8", "id": "sha256:2"}
    assert manifest["parts"].keys() == {"images", "open-webui.tar", "valkey.rdb"}
    assert manifest["parts"]["valkey.rdb"]["size"] == 9
    assert complaints(dataset, capsysbinary) == []


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _wrong_hash(path: Path) -> None:
    manifest = json.loads(path.read_text())
    manifest["parts"]["images"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a flipped bit": ("open-webui.tar", _flip, "open-webui.tar: expected SHA-256"),
    "a truncated part": ("valkey.rdb", lambda path: path.write_bytes(b"VALK"), "valkey.rdb: expected 9 bytes, got 4"),
    "a missing part": ("images", Path.unlink, "images: expected"),
    "one wrong hash": ("manifest.json", _wrong_hash, f"images: expected SHA-256 {'0' * 64}, got"),
    "no manifest": ("manifest.json", Path.unlink, "manifest.json: expected it to describe a backup set"),
    "half a manifest": ("manifest.json", lambda path: path.write_text("{"), "manifest.json: expected it to describe"),
    "another manifest": ("manifest.json", lambda path: path.write_text("[]"), "manifest.json: expected it to describe"),
    "a stranger": ("x", lambda path: path.write_text("x"), "x: expected only what manifest.json lists"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_set_is_told_from_a_whole_one(
    dataset: ModuleType, good: Path, capsysbinary: Any, damage: str
) -> None:
    name, damaging, line = DAMAGES[damage]
    damaging(good / name)
    (complaint,) = complaints(dataset, capsysbinary)
    assert complaint.startswith(line)


def test_a_set_of_a_newer_open_webui_is_told(dataset: ModuleType, good: Path, capsysbinary: Any) -> None:
    manifest = json.loads((good / "manifest.json").read_text())
    manifest["open_webui"]["schema"] = f"{HEAD},c0ffee"
    (good / "manifest.json").write_text(json.dumps(manifest))
    assert complaints(dataset, capsysbinary) == [
        "schema: expected one this Open WebUI knows, got c0ffee, a newer one; set a newer open_webui_image"
    ]


def test_an_archive_that_ends_early_makes_no_manifest(dataset: ModuleType, good: Path) -> None:
    archive = good / "open-webui.tar"
    archive.write_bytes(archive.read_bytes()[:-11_000])
    with pytest.raises(tarfile.TarError):
        dataset.describe({})


@pytest.fixture
def of_postgres(dataset: ModuleType, good: Path, capsysbinary: Any) -> Path:
    """The same of a stack on Postgres: no database in the archive, and the rows counted by the caller."""
    (dataset.DATA / "webui.db").unlink()
    dataset.save([])
    (good / "open-webui.tar").write_bytes(capsysbinary.readouterr().out)
    (good / "postgres.dump").write_bytes(b"PGDMP")
    dataset.describe({"name": "20261126T033000Z", "schema": HEAD, "users": "1", "chats": "2", "files": "0"})
    (good / "manifest.json").write_bytes(capsysbinary.readouterr().out)
    return good


def test_of_a_dump_the_caller_has_counted_the_rows(dataset: ModuleType, of_postgres: Path, capsysbinary: Any) -> None:
    manifest = json.loads((of_postgres / "manifest.json").read_text())
    assert manifest["open_webui"] == {"schema": HEAD, "users": 1, "chats": 2, "files": 0, "uploads": 1}
    assert not {"schema", "users"} & manifest.keys()
    assert "postgres.dump" in manifest["parts"]
    dataset.check("postgres")
    assert capsysbinary.readouterr().out == b""


def test_a_set_of_the_other_database_is_refused_by_name(
    dataset: ModuleType, of_postgres: Path, capsysbinary: Any
) -> None:
    assert complaints(dataset, capsysbinary) == [
        "database: expected a set of a stack on SQLite, got one on Postgres; take another set"
    ]


@pytest.mark.parametrize(("there", "word"), [("", "none"), (HEAD, "same"), ("1", "newer"), (f"{HEAD},c0ffee", "newer")])
def test_the_schema_of_a_database_elsewhere_is_compared(
    dataset: ModuleType, capsysbinary: Any, there: str, word: str
) -> None:
    dataset.schema(there)
    assert capsysbinary.readouterr().out.decode().split()[0] == word


# As it is run in a container: a process of its own, with the folder and the limit of the test's.
RUN = """
import importlib.util, pathlib, signal, sys
spec = importlib.util.spec_from_file_location("dataset", sys.argv[1])
dataset = importlib.util.module_from_spec(spec)
spec.loader.exec_module(dataset)
dataset.DATA = pathlib.Path(sys.argv[2])
dataset.STALLED_S = 1
for number in (signal.SIGALRM, signal.SIGTERM):
    signal.signal(number, dataset.stalled)
dataset.save([])
"""


def command(data: Path) -> list[str]:
    return [sys.executable, "-c", RUN, str(ROOT / "webui_stack/host/data/dataset.py"), str(data)]


def test_a_backup_skips_fifos_and_sockets_and_names_them(tmp_path: Path) -> None:
    database(tmp_path / "webui.db", chats=1).close()
    (tmp_path / "uploads").mkdir()
    os.mkfifo(tmp_path / "uploads" / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "listening"))
    (tmp_path / "uploads" / "file").write_text("kept")
    (tmp_path / "uploads" / "link").symlink_to("pipe")
    saved = subprocess.run(command(tmp_path), capture_output=True, timeout=30)
    assert saved.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(saved.stdout)) as tar:
        assert set(tar.getnames()) == {"webui.db", "uploads", "uploads/file", "uploads/link"}
    assert saved.stderr.decode().splitlines() == [
        "left out listening: no file, folder or symbolic link",
        "left out uploads/pipe: no file, folder or symbolic link",
    ]


def test_a_fifo_that_takes_the_place_of_a_file_does_not_stop_a_backup(
    dataset: ModuleType, capsysbinary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is a file when it is looked at, and none any more when it is opened."""
    os.mkfifo(dataset.DATA / "pipe")
    (dataset.DATA / "file").write_text("x")
    database(dataset.DATA / "webui.db").close()
    regular = (dataset.DATA / "file").lstat()
    lstat = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: regular if path.name == "pipe" else lstat(path))
    with saved(dataset, capsysbinary) as tar:
        assert set(tar.getnames()) == {"webui.db", "file"}


def test_a_backup_that_gets_no_further_ends(tmp_path: Path) -> None:
    database(tmp_path / "webui.db").close()
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    with subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as saving:
        assert saving.wait(timeout=30) == 1  # nobody reads what it writes
        assert saving.stderr
        assert b"got no further for 1 s" in saving.stderr.read()
