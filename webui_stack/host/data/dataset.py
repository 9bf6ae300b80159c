"""Open WebUI's data as a tar, taken while Open WebUI runs, and what is in a backup set.

Runs inside Open WebUI's own image and needs nothing but its Python:

    python3 - save [FOLDER ...]      the data folder to stdout, less these folders in it; the error output names what
                                     is neither file, folder nor symbolic link, and so left out
    python3 - describe KEY=VALUE ... the manifest of the set in /set to stdout
    python3 - check KIND             a line for each reason not to trust the set in /set, or not to run it here, where
                                     people's rows are in SQLite or in Postgres ("sqlite", "postgres")
    python3 - schema [HEADS]         whether this Open WebUI's migrations are those of the data folder's database, or
                                     of one that is at HEADS, revisions joined by commas
    python3 - count [KIND]           what is in the data folder, a line each
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import sqlite3
import stat
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

DATA = Path("/app/backend/data")
SET = Path("/set")
ARCHIVE = "open-webui.tar"
DATABASE = "webui.db"
DUMP = "postgres.dump"
KINDS = {"sqlite": "SQLite", "postgres": "Postgres"}
MANIFEST = "manifest.json"
# What people ask of a backup first (open_webui/models, 0.12).
COUNTED = {
    "users": 'SELECT count(*) FROM "user"',
    "chats": "SELECT count(*) FROM chat",
    "files": "SELECT count(*) FROM file",
}
HEADS = "SELECT group_concat(version_num) FROM alembic_version"
# A save ends when it gets no further for so long: whoever reads it, or the disk, hangs.
STALLED_S = 900


def save(left_out: Sequence[str]) -> None:
    """Write the data folder to stdout. Databases go first: a row's file is written before the row is."""
    try:
        save_all(left_out)
    finally:
        signal.alarm(0)


def save_all(left_out: Sequence[str]) -> None:
    """As `save`, which ends the limit that is set here."""
    with (
        tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        tempfile.TemporaryDirectory() as work,
    ):
        paths = [path for path in walk(DATA) if not any(path.is_relative_to(DATA / name) for name in left_out)]
        databases = [path for path in paths if is_database(path)]
        for number, path in enumerate(sorted(databases, key=lambda path: path.name != DATABASE)):
            copy = Path(work, str(number))
            copy_database(path, copy)
            add(tar, path, copy)
            copy.unlink()
        # They belong to the state of a database that is in the copy already.
        beside = {Path(f"{path}{suffix}") for path in databases for suffix in ("-wal", "-shm", "-journal")}
        for path in paths:
            if path not in databases and path not in beside:
                add(tar, path, path)


def walk(folder: Path) -> Iterator[Path]:
    """Everything below a folder, in order; what is taken back or put aside by a restore begins with .restore."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if folder == DATA and entry.name.startswith(".restore"):
            continue
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path))


def opened(path: Path) -> BinaryIO | None:
    """The regular file at `path`, opened; None for anything else, and for what is gone by now.

    Never waits: opening a FIFO would, until somebody writes to it (fifo(7)).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        if path.is_symlink() or not path.is_file():
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


def is_database(path: Path) -> bool:
    """Whether it is a database of SQLite (https://www.sqlite.org/fileformat.html, 1.3)."""
    try:
        file = opened(path)
    except OSError:
        return False
    if file is None:
        return False
    with file:
        return file.read(16) == b"SQLite format 3\0"


def copy_database(path: Path, copy: Path) -> None:
    """A consistent copy of a database that others write to (https://www.sqlite.org/backup.html), and a sound one."""
    signal.alarm(0)  # a large one takes its time in one step
    # All pages in one step: with several, each write of another process would start it anew.
    source, target = sqlite3.connect(f"file:{path}?mode=rw", timeout=60, uri=True), sqlite3.connect(copy)
    try:
        source.backup(target, pages=-1)
        # One file that needs no companions where it is put back.
        target.execute("PRAGMA journal_mode = DELETE")
        (answer,) = target.execute("PRAGMA quick_check(1)").fetchone()
    finally:
        source.close()
        target.close()
    if answer != "ok":
        sys.exit(f"{path.relative_to(DATA)}: expected a sound database, got {answer}; restore an earlier set")


def add(tar: tarfile.TarFile, path: Path, content: Path) -> None:
    """Add `path` with what `content` holds. A file that is gone by now is left out, a file that shrinks fails the save.

    A FIFO, a socket or a device holds nothing that could be kept: it is left out, and the error output names it.
    """
    try:
        kind = path.lstat().st_mode
        member = tar.gettarinfo(path, arcname=str(path.relative_to(DATA)))
    except FileNotFoundError:
        return
    if stat.S_ISDIR(kind) or stat.S_ISLNK(kind):
        tar.addfile(member)
        return
    file = opened(content) if stat.S_ISREG(kind) else None
    if file is None:
        if os.path.lexists(path):
            print(f"left out {path.relative_to(DATA)}: no file, folder or symbolic link", file=sys.stderr)
        return
    with file:
        member.type, member.linkname = tarfile.REGTYPE, ""
        member.size = os.fstat(file.fileno()).st_size
        tar.addfile(member, cast(BinaryIO, Watched(file)))


class Watched:
    """A file that is read; each part of it is progress."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int) -> bytes:
        signal.alarm(STALLED_S)
        return self.file.read(size)


def stalled(*_: object) -> None:
    """What a signal does: end the program. The first process of a container heeds no signal without a handler."""
    print(
        f"expected the data to be read and written, got no further for {STALLED_S} s, or was stopped", file=sys.stderr
    )
    os._exit(1)  # at once: to end in good order, what hangs would have to be written


def describe(facts: dict[str, str]) -> None:
    """Write the manifest: what the caller knows, what is in the database, size and SHA-256 of each part.

    The caller has counted the contents of a dump of Postgres.
    """
    counted = {what: facts.pop(what) for what in ("schema", *COUNTED) if what in facts}
    parts = {path.name: part(path) for path in sorted(SET.iterdir()) if path.name != MANIFEST}
    images = [line.split() for line in (SET / "images").read_text().splitlines()]
    manifest = {
        **facts,
        "images": {container: {"reference": reference, "id": id_} for container, reference, id_ in images},
        "open_webui": contents(counted),
        "parts": parts,
    }
    json.dump(manifest, sys.stdout, indent=1)
    print()


def part(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def contents(counted: Mapping[str, str]) -> dict[str, Any]:
    """What the archive has: read from the archive itself, all of it, so that a damaged one is no set."""
    uploads = 0
    with tempfile.TemporaryDirectory() as work, tarfile.open(SET / ARCHIVE) as tar:
        copy = Path(work, DATABASE)
        for member in tar:
            uploads += member.isreg() and member.name.startswith("uploads/")
            if member.name == DATABASE:
                with copy.open("wb") as file:
                    shutil.copyfileobj(cast(BinaryIO, tar.extractfile(member)), file)
        if (SET / DUMP).exists():
            return {"schema": counted["schema"], **{what: int(counted[what]) for what in COUNTED}, "uploads": uploads}
        if not copy.exists():
            sys.exit(f"{ARCHIVE}: expected {DATABASE} in it, got none; does Open WebUI use another database?")
        database = sqlite3.connect(copy)
        try:
            counts = {what: one(database, query) for what, query in COUNTED.items()}
            schema = one(database, HEADS)
        finally:
            database.close()
    return {"schema": schema, **counts, "uploads": uploads}


def one(database: sqlite3.Connection, query: str) -> Any:
    """The one value a query gives."""
    return database.execute(query).fetchone()[0]


def check(kind: str) -> None:
    """Print why the set is not to be trusted, or not to be run by this image; nothing when it is."""
    try:
        manifest = json.loads((SET / MANIFEST).read_text())
        parts, schema = manifest["parts"], manifest["open_webui"]["schema"]
        wanted = {name: (one["size"], one["sha256"]) for name, one in parts.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"{MANIFEST}: expected it to describe a backup set, got {type(error).__name__}: {error}")
        return
    if (made := "postgres" if DUMP in parts else "sqlite") != kind:
        print(f"database: expected a set of a stack on {KINDS[kind]}, got one on {KINDS[made]}; take another set")
    for path in sorted(SET.iterdir()):
        if path.name not in {*wanted, MANIFEST}:
            print(f"{path.name}: expected only what {MANIFEST} lists, got another file")
    for name, (size, sha256) in sorted(wanted.items()):
        path = SET / Path(name).name
        if not path.is_file():
            print(f"{name}: expected {size} bytes, got no file")
        elif path.stat().st_size != size:
            print(f"{name}: expected {size} bytes, got {path.stat().st_size}")
        elif (found := part(path)["sha256"]) != sha256:
            print(f"{name}: expected SHA-256 {sha256}, got {found}")
    known = migrations()
    for head in schema.split(","):
        if head not in known:
            print(f"schema: expected one this Open WebUI knows, got {head}, a newer one; set a newer open_webui_image")


def migrations() -> dict[str, set[str]]:
    """Alembic's revisions that this image's Open WebUI has, each with those it follows on."""
    package: Any = importlib.util.find_spec("open_webui")
    folder = Path(package.submodule_search_locations[0], "migrations", "versions")
    found = {}
    for path in folder.glob("*.py"):
        assigned: dict[str, Any] = {}
        line: Any
        for line in ast.parse(path.read_text()).body:
            targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
            if isinstance(targets[0], ast.Name) and targets[0].id in ("revision", "down_revision"):
                assigned[targets[0].id] = ast.literal_eval(line.value)
        if "revision" in assigned:
            before = assigned.get("down_revision") or ()
            found[assigned["revision"]] = {before} if isinstance(before, str) else set(before)
    return found


def schema(heads_there: str) -> None:
    """Print none, same, older or newer, then the revision the database is at and the one this Open WebUI wants."""
    if not heads_there:
        print("none")
        return
    known = migrations()
    wanted = known.keys() - {before for others in known.values() for before in others}
    there = set(heads_there.split(","))
    word = "same" if there == wanted else "older" if there <= known.keys() else "newer"
    print(word, *(",".join(sorted(revisions)) for revisions in (there, wanted)))


def heads(path: Path) -> str:
    """The revisions a database is at, joined by commas; "" where there is none."""
    if not path.exists():
        return ""
    database = sqlite3.connect(f"file:{path}?mode=rw", timeout=60, uri=True)
    try:
        return cast(str, one(database, HEADS))
    finally:
        database.close()


def count(kind: str) -> None:
    """Print what people ask of a backup first, as it is in the data folder."""
    if kind == "sqlite":
        count_rows()
    print("uploads", sum(path.is_file() and not path.is_symlink() for path in (DATA / "uploads").rglob("*")))


def count_rows() -> None:
    """Print how many of each there are."""
    database = sqlite3.connect(f"file:{DATA / DATABASE}?mode=rw", timeout=60, uri=True)
    try:
        for what, query in COUNTED.items():
            print(what, one(database, query))
    finally:
        database.close()


ACTIONS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "save": lambda arguments: save(arguments),
    "describe": lambda arguments: describe(dict(argument.split("=", 1) for argument in arguments)),
    "check": lambda arguments: check(*arguments),
    "schema": lambda arguments: schema(*arguments or [heads(DATA / DATABASE)]),
    "count": lambda arguments: count(*arguments or ["sqlite"]),
}

if __name__ == "__main__":
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, stalled)
    try:
        ACTIONS[sys.argv[1]](sys.argv[2:])
    except (OSError, sqlite3.Error, tarfile.TarError) as error:
        sys.exit(f"{sys.argv[1]}: {type(error).__name__}: {error}")
