"""A fetched set has its name only when each file is what its manifest says; what a host says of it is not believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from webui_stack.artifacts import backup_set
from webui_stack.artifacts.backup_set import SetError, Writer
from webui_stack.documents.backup_document import Folder
from webui_stack.host.retention import Retention
from webui_stack.ops.progress import Progress

NAME = "20261126T033000Z"
FILES = {"open-webui.tar": b"data" * 1000, "valkey.rdb": b"keys", "images": b"x\n"}


RECIPIENT = "age1" + "q" * 58


def silent(_: str) -> None:
    return


def manifest(name: str = NAME, **changed: Any) -> bytes:
    parts = {file: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for file, data in FILES.items()}
    return json.dumps({"name": name, "host": "chat-1", "parts": {**parts, **changed}}).encode()


def arrive(folder: Path, files: dict[str, bytes], name: str = NAME) -> None:
    writer = Writer(folder, name)
    for file, data in files.items():
        with writer.file(file, Progress("", 0, silent)) as target:
            target.write(data)
    writer.close(silent)


def arrive_encrypted(folder: Path, parts: dict[str, bytes], name: str = NAME, text: bytes = b"") -> None:
    """What each part arrives as is its text from behind: it is for others to decrypt it."""
    writer = Writer(folder, name, RECIPIENT)
    with writer.file("manifest.json", Progress("", 0, silent)) as target:
        target.write(text or manifest(name))
    for part, data in parts.items():
        with writer.encrypted(part, hashlib.sha256(data).hexdigest(), len(data), Progress("", 0, silent)) as target:
            target.write(b"head" + data[::-1])
    writer.close(silent)


def test_a_whole_set_gets_its_name_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "backups" / "chat-1"
    arrive(folder, {**FILES, "manifest.json": manifest()})
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert {path.name: path.read_bytes() for path in (folder / NAME).iterdir()} == {
        **FILES,
        "manifest.json": manifest(),
    }
    assert {path.stat().st_mode & 0o777 for path in (folder / NAME).iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder.parent, folder, folder / NAME)} == {0o700}


DAMAGES: dict[str, tuple[dict[str, bytes], str]] = {
    "truncated": ({"open-webui.tar": b"data" * 999}, "open-webui.tar: expected 4000 bytes, got 3996"),
    "one byte": ({"valkey.rdb": b"keyz"}, f"{NAME}/valkey.rdb: expected SHA-256 "),
    "one more file": ({"extra": b""}, f"{NAME}/extra: expected only what manifest.json lists, got another file"),
    "no manifest of a set": ({"manifest.json": b"{}"}, "expected it to describe a backup set"),
    "another set's manifest": ({"manifest.json": manifest("20200101T000000Z")}, "got 20200101T000000Z's"),
    "a path in the manifest": (
        {"manifest.json": manifest(NAME, **{"../x": {"size": 0, "sha256": "0" * 64}})},
        "expected it to describe a backup set",
    ),
    "a path for a name": ({"../x": b""}, "expected files of a backup set, got '../x'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_changed_on_its_way_is_no_set(tmp_path: Path, damage: str) -> None:
    changed, line = DAMAGES[damage]
    with pytest.raises(SetError) as caught:
        arrive(tmp_path, {**FILES, "manifest.json": manifest(), **changed})
    assert line in str(caught.value)
    assert backup_set.names(tmp_path) == []
    arrive(tmp_path, {**FILES, "manifest.json": manifest()})
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_part_that_is_missing_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"images: expected 2 bytes, got no file"):
        arrive(
            tmp_path, {"manifest.json": manifest(), "open-webui.tar": FILES["open-webui.tar"], "valkey.rdb": b"keys"}
        )


def test_an_encrypted_set_has_its_manifest_alone_in_clear(tmp_path: Path) -> None:
    arrive_encrypted(tmp_path, FILES)
    folder = tmp_path / NAME
    assert {path.name for path in folder.iterdir()} == {
        *("open-webui.tar.age", "valkey.rdb.age", "images.age", "manifest.json", "encrypted.json"),
    }
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    chosen = backup_set.choose(tmp_path, "newest")
    assert chosen.recipient == RECIPIENT
    assert {name: part.size for name, part in chosen.parts.items()} == {name: len(data) for name, data in FILES.items()}
    assert {name: (file.size, file.sha256) for name, file in chosen.files.items()} == {
        f"{name}.age": (len(data) + 4, hashlib.sha256(b"head" + data[::-1]).hexdigest()) for name, data in FILES.items()
    }


DAMAGES_ENCRYPTED: dict[str, tuple[dict[str, bytes], bytes, str]] = {
    "the host's file changed": ({"valkey.rdb": b"keyz"}, b"", f"{NAME}/valkey.rdb: expected SHA-256 "),
    "it is shorter": ({"valkey.rdb": b"key"}, b"", f"{NAME}/valkey.rdb: expected 4 bytes, got 3"),
    "one more file": ({"extra": b""}, b"", f"{NAME}/extra: expected only what manifest.json lists, got another file"),
    "another set's manifest": ({}, manifest("20200101T000000Z"), "got 20200101T000000Z's"),
    "one part more in the manifest": (
        {},
        manifest(NAME, missing={"size": 7, "sha256": "0" * 64}),
        f"{NAME}/missing: expected 7 bytes, got no file",
    ),
    "a path for a name": ({"../x": b""}, b"", "expected files of a backup set, got '../x.age'"),
}


@pytest.mark.parametrize("damage", DAMAGES_ENCRYPTED)
def test_what_a_host_encrypted_of_another_set_is_no_set(tmp_path: Path, damage: str) -> None:
    changed, text, line = DAMAGES_ENCRYPTED[damage]
    with pytest.raises(SetError) as caught:
        arrive_encrypted(tmp_path, {**FILES, **changed}, text=text)
    assert line in str(caught.value)
    assert backup_set.names(tmp_path) == []
    arrive_encrypted(tmp_path, FILES)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_host_does_not_say_to_whom_a_set_is_encrypted(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"expected files of a backup set, got 'encrypted\.json'"):
        arrive(tmp_path, {"encrypted.json": b"{}", "manifest.json": manifest()})


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def forget_a_part(path: Path) -> None:
    note = json.loads(path.read_text())
    del note["files"]["images.age"]
    path.write_text(json.dumps(note))


@pytest.mark.parametrize(
    ("name", "change", "line"),
    [
        ("open-webui.tar.age", shorten, f"{NAME}/open-webui.tar.age: expected 4004 bytes, got 4001; take another set"),
        ("images.age", Path.unlink, f"{NAME}/images.age: expected 6 bytes, got no file; take another set"),
        ("encrypted.json", Path.unlink, f"{NAME}/images: expected 2 bytes, got no file; take another set"),
        ("encrypted.json", shorten, "encrypted.json: expected it to describe a backup set, got "),
        ("encrypted.json", forget_a_part, "encrypted.json: expected it to list the parts of manifest.json, got others"),
    ],
)
def test_an_encrypted_set_that_changed_is_not_chosen(
    tmp_path: Path, name: str, change: Callable[[Path], None], line: str
) -> None:
    arrive_encrypted(tmp_path, FILES)
    change(tmp_path / NAME / name)
    with pytest.raises(SetError) as caught:
        backup_set.choose(tmp_path, "newest")
    assert line in str(caught.value)


def test_sets_in_clear_are_told_from_encrypted_ones(three: Path) -> None:
    arrive_encrypted(three, FILES, "20261127T033000Z")
    assert backup_set.in_clear(three) == ["20261124T033000Z", "20261125T033000Z", NAME]
    assert backup_set.choose(three, NAME).recipient is None
    assert backup_set.keep(three, Retention(1)) == ["20261124T033000Z", "20261125T033000Z", NAME]
    assert backup_set.in_clear(three) == []


@pytest.mark.parametrize("name", ["", "../../etc", "20261126T033000Z/.."])
def test_a_host_does_not_choose_where_on_this_machine(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetError, match="expected a set on the host"):
        Writer(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for name in ("20261124T033000Z", "20261125T033000Z", NAME):
        arrive(tmp_path, {**FILES, "manifest.json": manifest(name)}, name)
    (tmp_path / "20261127T033000Z.part").mkdir()
    return tmp_path


def test_the_newest_are_kept_and_nothing_else_is_touched(three: Path) -> None:
    (three / "notes.txt").write_text("mine")
    assert backup_set.keep(three, Retention(0)) == []
    assert backup_set.keep(three, Retention(1, daily=2)) == ["20261124T033000Z"]
    assert {path.name for path in three.iterdir()} == {
        *("20261125T033000Z", NAME, "20261127T033000Z.part", "notes.txt"),
    }


def test_a_set_is_chosen_by_its_name_or_its_age_or_its_own_folder(three: Path) -> None:
    assert backup_set.choose(three, "newest").name == NAME
    assert backup_set.choose(three, "20261124T033000Z").path == three / "20261124T033000Z"
    assert backup_set.choose(three / "20261124T033000Z", "newest").name == "20261124T033000Z"


def test_what_is_not_there_is_not_chosen(three: Path) -> None:
    for folder, wanted, line in [
        (three, "20200101T000000Z", "expected the set 20200101T000000Z in it, got 20261124T033000Z 20261125T033000Z"),
        (three / NAME, "20261124T033000Z", f"expected the set 20261124T033000Z, got {NAME}"),
        (three / "nowhere", "newest", "expected the set newest in it, got none"),
    ]:
        with pytest.raises(SetError) as caught:
            backup_set.choose(folder, wanted)
        assert line in str(caught.value)
    (three / NAME / "images").unlink()
    with pytest.raises(SetError, match="images: expected 2 bytes, got no file"):
        backup_set.choose(three, "newest")


# --- A look at all of them


def test_a_look_at_a_folder_lists_whole_sets_and_damaged_ones(tmp_path: Path) -> None:
    whole, short, without, other = (f"2026112{day}T033000Z" for day in range(1, 5))
    arrive(tmp_path, {**FILES, "manifest.json": manifest(whole)}, whole)
    arrive_encrypted(tmp_path, FILES, short)
    (tmp_path / short / "images.age").write_bytes(b"")
    (tmp_path / without).mkdir()
    (tmp_path / other).write_bytes(b"")
    (tmp_path / f"{whole}.part").mkdir()
    found = backup_set.look(tmp_path)
    assert (found["errors"], found["newest"]) == ([], without)
    assert [one["name"] for one in found["sets"]] == [whole, short, without, other]
    first, second, *others = found["sets"]
    assert (first["manifest"], first["problems"]) == ({"name": whole, "host": "chat-1"}, [])
    assert first["sha256"] == hashlib.sha256(manifest(whole)).hexdigest()
    assert first["size"] == sum(path.stat().st_size for path in (tmp_path / whole).iterdir())
    assert second["problems"] == [f"{short}/images.age: expected 6 bytes, got 0; take another set"]
    for one in others:
        assert one["manifest"] is None
        assert "expected a backup set, got " in one["problems"][0]


@pytest.mark.parametrize("text", ["{", "[]", '{"parts": 7}', "\xff"])
def test_a_manifest_that_can_not_be_read_is_a_problem_of_its_set(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "manifest.json").write_text(text, encoding="latin-1")
    (one,) = backup_set.look(tmp_path)["sets"]
    assert one["name"] == NAME
    assert "expected " in one["problems"][0]


def test_a_folder_that_is_missing_has_no_sets_and_one_that_can_not_be_listed_is_an_error(tmp_path: Path) -> None:
    nothing: Folder = {"errors": [], "newest": "", "newest_unknown": "", "sets": []}
    assert backup_set.look(tmp_path / "chat-1") == nothing
    (tmp_path / "file").write_bytes(b"")
    words = f"{tmp_path}/file: expected a folder of sets, got Not a directory; look at the path"
    assert backup_set.look(tmp_path / "file") == {**nothing, "errors": [words]}
