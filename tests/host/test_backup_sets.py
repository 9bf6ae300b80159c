"""A set has its name when it is whole and on the disk; no set is lost to a clock, a crash or a count."""

from __future__ import annotations

import errno
import json
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_files import FakeFiles, crashed_everywhere
from tests.host.fake_system import FakeSystem
from webui_stack.host.backup_sets import MADE_FOR, MANIFEST, RESTORE, BackupSets, needed
from webui_stack.host.errors import HostError
from webui_stack.host.retention import Retention

FOLDER = "/var/backups/open-webui"
NOW = "20261129T030000Z"


def sets(files: FakeFiles | None = None, clock: FakeClock | None = None) -> BackupSets:
    made = BackupSets(files or FakeFiles(), clock or FakeClock(), FOLDER)
    made.prepare()
    return made


def make(one: BackupSets) -> str:
    with one.new() as new:
        with one.part(new, "valkey.rdb") as target:
            target.write(b"keys" * 2000)
        return one.finish(new, b"{}\n")


def put(files: FakeFiles, *names: str) -> None:
    for name in names:
        files.make_folder(f"{FOLDER}/{name}")
        files.write(f"{FOLDER}/{name}/{MANIFEST}", "{}")


def test_a_set_is_named_by_the_step_that_makes_it() -> None:
    """L7: where the clock was set back, the highest name is another set's."""
    files = FakeFiles()
    one = sets(files)
    put(files, "20270101T000000Z")
    assert make(one) == NOW
    assert one.names() == [NOW, "20270101T000000Z"]
    assert files.read(f"{FOLDER}/{NOW}/valkey.rdb") == b"keys" * 2000


def test_the_newest_set_is_the_one_that_was_made_last_whatever_the_clock_says() -> None:
    """L7: "newest" was the highest name."""
    files, clock = FakeFiles(), FakeClock()
    one = sets(files, clock)
    assert one.choose("newest") == ""
    put(files, "20270101T000000Z", "20270102T000000Z")  # written at one moment
    assert one.choose("newest") == "20270102T000000Z"
    assert make(one) == NOW
    assert one.choose("newest") == NOW
    clock.set_s -= 3600
    assert one.choose("newest") != make(one) == one.choose("newest")
    assert (one.choose(NOW), one.choose("20250101T000000Z")) == (NOW, "")


def test_what_a_restore_has_put_out_of_the_way_is_no_newest_set() -> None:
    """The next restore would bring back what the one before was to replace."""
    files = FakeFiles()
    one = sets(files)
    put(files, "20261127T000000Z", "20261128T000000Z", "20261129T000000Z")
    for name in ("20261128T000000Z", "20261129T000000Z"):
        files.write(f"{FOLDER}/{name}/{MANIFEST}", json.dumps({MADE_FOR: RESTORE}))
    assert one.choose("newest") == "20261127T000000Z"
    files.write(f"{FOLDER}/20261127T000000Z/{MANIFEST}", "damaged")
    assert one.choose("newest") == "20261127T000000Z"
    files.remove_tree(f"{FOLDER}/20261127T000000Z")
    assert one.choose("newest") == "20261129T000000Z"
    files.make_folder(f"{FOLDER}/20261130T000000Z")  # without a manifest
    assert one.choose("newest") == "20261130T000000Z"


@pytest.mark.crash
def test_a_set_has_its_name_when_all_of_it_is_on_the_disk_and_never_before() -> None:
    def prepare(files: FakeFiles) -> None:
        sets(files)
        put(files, "20261128T030000Z")

    def change(files: FakeFiles) -> None:
        make(BackupSets(files, FakeClock(), FOLDER))

    def check(files: FakeFiles, done: bool) -> None:
        again = sets(files)
        assert files.read(f"{FOLDER}/20261128T030000Z/{MANIFEST}") == b"{}"
        if done or NOW in again.names():
            assert files.read(f"{FOLDER}/{NOW}/valkey.rdb") == b"keys" * 2000
            assert files.read(f"{FOLDER}/{NOW}/{MANIFEST}") == b"{}\n"
        else:
            assert make(again) == NOW
        assert set(files.listdir(FOLDER) or []) == {"20261128T030000Z", NOW}

    assert crashed_everywhere(prepare, change, check) > 50


def test_a_failed_set_leaves_nothing() -> None:
    files = FakeFiles()
    one = sets(files)
    with suppress(HostError), one.new() as new:
        files.kernel.room_bytes = 10
        with one.part(new, "valkey.rdb") as target:
            target.write(b"keys" * 2000)
    assert files.listdir(FOLDER) == []


def test_a_full_disk_is_told() -> None:
    files = FakeFiles()
    one = sets(files)
    files.kernel.room_bytes = 10
    with pytest.raises(HostError, match=r"expected to write it, got a full disk"):
        make(one)


def test_a_name_is_never_given_twice() -> None:
    one = sets()
    make(one)
    with pytest.raises(HostError, match=rf"^backup: expected a new name, got {NOW} a second time; try again$"):
        make(one)
    assert one.names() == [NOW]


def test_what_a_killed_run_left_is_removed_and_nothing_else() -> None:
    files = FakeFiles()
    put(files, ".20261128T030000Z.new", "20261128T030000Z", ".others.new")
    files.make_folder(FOLDER)
    sets(files)
    assert files.listdir(FOLDER) == [".others.new", "20261128T030000Z"]


@pytest.mark.parametrize("names", [["photos"], ["notes.txt", "x"], [".bash_history"]])
def test_backups_go_to_no_folder_of_others(names: list[str]) -> None:
    files = FakeFiles()
    files.make_folder(FOLDER, mode=0o755)
    for name in names:
        files.write(f"{FOLDER}/{name}", "x")
    with pytest.raises(
        HostError, match=r"^backup_dir: expected an empty folder or one with backup sets, got /var/backup"
    ):
        sets(files)
    found = files.stat(FOLDER)
    assert found
    assert found.mode == 0o755


@pytest.mark.parametrize("leads", ["to sets", "to a folder", "nowhere"])
def test_a_link_is_no_folder_of_sets(leads: str) -> None:
    """A link that somebody made since the last run, before the timer's backup."""
    files = FakeFiles()
    files.make_folder("/var/backups", mode=0o755)
    if leads != "nowhere":
        files.make_folder("/srv/backups", mode=0o755)
        files.make_folder(f"/srv/backups/{NOW if leads == 'to sets' else 'photos'}")
    files.kernel.add(FOLDER, stat.S_IFLNK | 0o777, "/srv/backups")
    words = r"expected a folder, got a link at /var/backups/open-webui; set backup_dir = '/srv/backups', where it leads"
    with pytest.raises(HostError, match=words):
        sets(files)
    target = files.stat("/srv/backups")
    assert target is None or target.mode == 0o755


@pytest.mark.parametrize("names", [[], [NOW, "notes"]], ids=["empty", "with a set"])
def test_the_folder_of_sets_is_roots_alone(names: list[str]) -> None:
    files = FakeFiles()
    files.make_folder(FOLDER, mode=0o755)
    for name in names:
        files.make_folder(f"{FOLDER}/{name}")
    sets(files)
    found = files.stat(FOLDER)
    assert found
    assert found.mode == 0o700


def refusing(point: str) -> None:
    """A file system without owners, or one of NFS that squashes root."""
    if point in ("before fchown", "before fchmod"):
        raise PermissionError(errno.EPERM, "not permitted")


def test_a_file_system_without_owners_is_good_where_it_shows_root() -> None:
    files = FakeFiles()
    files.make_folder(FOLDER)
    files.kernel.on_point = refusing
    sets(files)


def test_a_folder_of_sets_that_can_not_be_roots_says_what_to_do() -> None:
    files = FakeFiles()
    files.make_folder(FOLDER, mode=0o755)
    files.kernel.on_point = refusing
    words = (
        rf"^{FOLDER}: expected to make the folder, got it not permitted, even to root; .*SMB, FAT: uid=0.*NFS: no_root"
    )
    with pytest.raises(HostError, match=words):
        sets(files)


# --- Room


@pytest.mark.parametrize(("free_mb", "fine"), [(103, True), (102, False)])
def test_a_set_is_made_where_it_leaves_a_reserve(tmp_path: Path, free_mb: int, fine: bool) -> None:
    files = FakeFiles()
    one = sets(files)
    system = FakeSystem(tmp_path)
    system.put("/data/webui.db", b"x" * (2 << 20))
    (tmp_path / "data" / "link").symlink_to("/")
    files.kernel.room_bytes = free_mb << 20
    if fine:
        one.check_room(system, ["/data", "/nowhere"], 100)
        return
    with pytest.raises(
        HostError, match=r"^room: expected 102 MB free in .* \(100 of them as a reserve, .*, got 102 MB"
    ):
        one.check_room(system, ["/data", "/nowhere"], 100)


# --- Old ones

NAMES = [f"2026112{day}T030000Z" for day in range(1, 6)]


def test_the_newest_sets_stay_and_those_that_a_release_needs() -> None:
    files = FakeFiles()
    put(files, *NAMES)
    one = sets(files)
    made = make(one)
    assert one.prune(Retention(3), made, {NAMES[1]}) == [
        f"removed {NAMES[2]}: 3 newer ones are there",
        f"kept {NAMES[1]}: an earlier deploy needs it to come back",
        f"removed {NAMES[0]}: 3 newer ones are there",
    ]
    assert one.names() == [NAMES[1], *NAMES[3:], made]
    assert one.prune(Retention(0), made, set()) == []


def test_the_set_that_was_just_made_stays_whatever_the_clock_says() -> None:
    files = FakeFiles()
    one = sets(files)
    put(files, "20270101T000000Z", "20270102T000000Z")
    made = make(one)
    assert one.prune(Retention(1), made, set()) == [
        "removed 20270102T000000Z: 1 newer ones are there",
        "removed 20270101T000000Z: 1 newer ones are there",
    ]
    assert one.names() == [made]


def test_the_newest_set_of_each_day_stays_and_the_others_are_told_by_what_stays() -> None:
    files = FakeFiles()
    put(files, NAMES[3], "20261125T010000Z", NAMES[4])
    one = sets(files)
    made = make(one)
    assert one.prune(Retention(1, daily=2), made, set()) == [
        "removed 20261125T010000Z: the newest 1, 2 daily stay",
        f"removed {NAMES[3]}: the newest 1, 2 daily stay",
    ]
    assert one.names() == [NAMES[4], made]


@pytest.mark.crash
def test_a_set_is_removed_whole_or_not_at_all() -> None:
    def prepare(files: FakeFiles) -> None:
        put(files, *NAMES)
        sets(files)

    def change(files: FakeFiles) -> None:
        BackupSets(files, FakeClock(), FOLDER).prune(Retention(2), NAMES[4], set())

    def check(files: FakeFiles, _: bool) -> None:
        one = sets(files)
        for name in one.names():
            assert files.read(f"{FOLDER}/{name}/{MANIFEST}") == b"{}", name
        one.prune(Retention(2), NAMES[4], set())
        assert one.names() == NAMES[3:]
        assert files.listdir(FOLDER) == NAMES[3:]

    assert crashed_everywhere(prepare, change, check) > 20


def test_the_sets_that_releases_note_are_needed() -> None:
    files = FakeFiles()
    assert needed(files, "/opt/x") == set()
    for release, name in ((".good", NAMES[0]), (".deploys/20261101T000000Z", NAMES[1]), (".deploys/b", "")):
        files.make_folder(f"/opt/x/{release}")
        if name:
            files.write(f"/opt/x/{release}/data", f"{name}\n")
    assert needed(files, "/opt/x") == {NAMES[0], NAMES[1]}


def test_the_newest_set_is_the_one_that_was_made_last_whatever_its_name_says() -> None:
    files = FakeFiles()
    one = sets(files)
    assert one.newest() == ""
    for name, made_s in ((NAMES[4], 1.0), (NAMES[0], 3.0), (NAMES[2], 2.0)):
        files.kernel.now_s = made_s
        put(files, name)
    assert one.newest() == NAMES[0]
