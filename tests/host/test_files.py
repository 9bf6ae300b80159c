"""The host's files: the same on a disk and in memory, whole after a power cut, and never behind somebody's link."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.defaults import ROOT
from tests.host.fake_files import FakeFiles, crashed_everywhere, on_nothing
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files, Owner
from webui_stack.host.kernel import LINUX


class Place:
    """A folder to try files in, on the disk or in memory; and what others may have put there."""

    def __init__(self, files: Files, folder: str) -> None:
        self.files, self.folder = files, folder

    def __call__(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def link(self, name: str, target: str) -> None:
        if isinstance(self.files, FakeFiles):
            self.files.kernel.add(self(name), stat.S_IFLNK | 0o777, target)
        else:
            Path(self(name)).symlink_to(target)

    def fifo(self, name: str) -> None:
        if isinstance(self.files, FakeFiles):
            self.files.kernel.add(self(name), stat.S_IFIFO | 0o600)
        else:
            os.mkfifo(self(name))


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return Place(FakeFiles(), "/opt")
    return Place(Files(), str(tmp_path))


# --- The contract, on a disk and in memory


def test_a_file_is_read_as_it_was_written(place: Place) -> None:
    content = bytes(range(256)) * 1000  # more than one write takes
    place.files.write(place("a"), content, mode=0o640)
    assert place.files.read(place("a")) == content
    found = place.files.stat(place("a"))
    assert found
    assert (found.kind, found.mode, found.size, found.owner) == ("file", 0o640, len(content), Owner(*LINUX.ids()))


def test_a_file_is_closed_to_others_unless_it_says_otherwise(place: Place) -> None:
    place.files.write(place("a"), "x")
    found = place.files.stat(place("a"))
    assert found
    assert found.mode == 0o600


def test_a_file_is_replaced_and_nothing_is_left_beside_it(place: Place) -> None:
    place.files.write(place("a"), "before")
    place.files.write(place("a"), "after", mode=0o644)
    assert (place.files.read_text(place("a")), place.files.listdir(place.folder)) == ("after", ["a"])


def test_what_a_killed_write_left_is_replaced(place: Place) -> None:
    place.files.write(place("a.new"), "half")
    place.files.write(place("a"), "whole")
    assert (place.files.read_text(place("a")), place.files.listdir(place.folder)) == ("whole", ["a"])


def test_absent_is_none_for_a_file_and_for_a_folder_above_it(place: Place) -> None:
    for path in (place("a"), place("no/such/folder")):
        assert place.files.read(path) is None
        assert place.files.read_text(path) is None
        assert place.files.stat(path) is None
        assert place.files.listdir(path) is None
        assert not place.files.exists(path)
        assert not place.files.remove(path)
        assert not place.files.remove_tree(path)


def test_a_copy_has_the_contents_mode_owner_and_time_of_the_other_file(place: Place) -> None:
    content = bytes(range(256)) * 1000
    sha256 = hashlib.sha256(content).hexdigest()
    place.files.write(place("a"), content, mode=0o640)
    before = place.files.stat(place("a"))
    place.files.write(place("b"), "before")
    if isinstance(place.files, FakeFiles):
        place.files.kernel.now_s += 1000
    else:
        os.utime(place("a"), (1000, 1000))
        before = place.files.stat(place("a"))
    assert place.files.copy(place("a"), place("b")) == sha256
    assert place.files.stat(place("b")) == before
    assert place.files.read(place("b")) == content
    assert (place.files.sha256(place("b")), place.files.sha256(place("c"))) == (sha256, None)
    assert place.files.listdir(place.folder) == ["a", "b"]


def test_what_is_not_there_is_not_copied(place: Place) -> None:
    place.files.write(place("b"), "before")
    with pytest.raises(HostError, match="a: expected to copy it, got no such file"):
        place.files.copy(place("a"), place("b"))
    assert place.files.read_text(place("b")) == "before"


def test_a_tree_is_all_files_below_a_folder(place: Place) -> None:
    assert place.files.tree(place("no/such/folder")) is None
    place.files.make_folder(place("a/b/empty"))
    assert place.files.tree(place("a")) == []
    for name in ("a/z", "a/b/c", "a/.hidden"):
        place.files.write(place(name), "x")
    assert place.files.tree(place("a")) == [".hidden", "b/c", "z"]


@pytest.mark.parametrize("kind", ["a link", "a device, a socket or a FIFO"])
def test_a_tree_has_files_and_folders_only(place: Place, kind: str) -> None:
    place.files.make_folder(place("a/b"))
    if kind == "a link":
        place.link("a/b/odd", "/etc/passwd")
    else:
        place.fifo("a/b/odd")
    with pytest.raises(HostError, match=f"a/b/odd: expected a file, got {kind}"):
        place.files.tree(place("a"))


@pytest.mark.parametrize("ask", ["read", "listdir", "stat", "exists"])
def test_a_file_where_a_folder_should_be_is_not_taken_for_absent(place: Place, ask: str) -> None:
    place.files.write(place("a"), "x")
    with pytest.raises(HostError, match="not a directory"):
        getattr(place.files, ask)(place("a/b"))


def test_only_a_regular_file_is_read(place: Place) -> None:
    place.files.make_folder(place("folder"))
    place.fifo("fifo")
    with pytest.raises(HostError, match="expected a file, got a folder"):
        place.files.read(place("folder"))
    with pytest.raises(HostError, match="expected a file, got a device, a socket or a FIFO"):
        place.files.read(place("fifo"))


def test_bytes_that_are_no_text_are_told(place: Place) -> None:
    place.files.write(place("a"), b"\xff")
    with pytest.raises(HostError, match="expected UTF-8"):
        place.files.read_text(place("a"))


def test_a_folder_is_made_once_with_those_above_it(place: Place) -> None:
    assert place.files.make_folder(place("a/b/c"), mode=0o755)
    assert not place.files.make_folder(place("a/b/c"), mode=0o755)
    modes = [found.mode for name in ("a", "a/b", "a/b/c") if (found := place.files.stat(place(name)))]
    assert modes == [0o700, 0o700, 0o755]


def test_a_folder_gets_the_mode_that_is_wanted_and_keeps_what_is_in_it(place: Place) -> None:
    place.files.make_folder(place("a"), mode=0o755)
    place.files.write(place("a/b"), "x")
    assert place.files.make_folder(place("a"), mode=0o700)
    found = place.files.stat(place("a"))
    assert found
    assert (found.kind, found.mode) == ("folder", 0o700)
    assert place.files.listdir(place("a")) == ["b"]


def test_remove_takes_a_file_and_no_folder(place: Place) -> None:
    place.files.make_folder(place("folder"))
    place.files.write(place("a"), "x")
    assert place.files.remove(place("a"))
    with pytest.raises(HostError, match="is a directory"):
        place.files.remove(place("folder"))
    assert place.files.listdir(place.folder) == ["folder"]


def test_remove_tree_takes_links_and_not_what_they_lead_to(place: Place) -> None:
    place.files.make_folder(place("theirs"))
    place.files.write(place("theirs/file"), "x")
    place.files.make_folder(place("ours/deep"))
    place.files.write(place("ours/deep/file"), "x")
    place.link("ours/deep/link", place("theirs"))
    place.link("to-ours", place("ours"))
    assert place.files.remove_tree(place("to-ours"))
    assert place.files.exists(place("ours/deep/file"))
    assert place.files.remove_tree(place("ours"))
    assert place.files.listdir(place.folder) == ["theirs"]
    assert place.files.listdir(place("theirs")) == ["file"]


def test_remove_folder_takes_an_empty_folder_and_nothing_else(place: Place) -> None:
    place.files.make_folder(place("empty"))
    place.files.write(place("file"), "x")
    place.files.make_folder(place("full"))
    place.files.write(place("full/a"), "x")
    assert place.files.remove_folder(place("empty"))
    assert not place.files.remove_folder(place("empty"))
    for name, got in (("file", "not a directory"), ("full", "directory not empty")):
        with pytest.raises(HostError, match=got):
            place.files.remove_folder(place(name))
    assert place.files.listdir(place.folder) == ["file", "full"]


def test_rename_replaces_a_file(place: Place) -> None:
    place.files.make_folder(place("folder"))
    place.files.write(place("folder/a"), "new")
    place.files.write(place("b"), "old")
    place.files.rename(place("folder/a"), place("b"))
    assert (place.files.read_text(place("b")), place.files.listdir(place("folder"))) == ("new", [])


def test_rename_moves_a_folder_and_replaces_none_that_has_files(place: Place) -> None:
    place.files.make_folder(place("a"))
    place.files.write(place("a/file"), "x")
    place.files.make_folder(place("b"))
    place.files.write(place("b/file"), "y")
    with pytest.raises(HostError, match="not empty"):
        place.files.rename(place("a"), place("b"))
    place.files.remove(place("b/file"))
    place.files.rename(place("a"), place("b"))
    assert place.files.read_text(place("b/file")) == "x"


@pytest.mark.parametrize("change", ["write", "rename"])
def test_what_needs_a_folder_that_is_missing_says_so(place: Place, change: str) -> None:
    place.files.write(place("a"), "x")
    with pytest.raises(HostError, match="or no such folder; run deploy"):
        getattr(place.files, change)(*((place("no/b"), "x") if change == "write" else (place("a"), place("no/b"))))
    assert place.files.listdir(place.folder) == ["a"]


def test_the_room_left_is_that_of_where_a_path_will_be(place: Place) -> None:
    room = place.files.space_left(place("not/there/yet"))
    assert room > 1 << 20
    assert abs(room - place.files.space_left(place.folder)) < 1 << 30
    assert place.files.space_left("/") > 0


@pytest.mark.parametrize("path", ["relative", "", "/a/../b", "/a/./b", "/a/"])
def test_a_path_is_absolute_and_plain(place: Place, path: str) -> None:
    with pytest.raises(ValueError, match="no absolute path"):
        place.files.write(path, "x")


def test_the_difference_a_write_makes(place: Place) -> None:
    assert place.files.difference(place("a"), "x") == "content"
    place.files.write(place("a"), "x", mode=0o644)
    assert place.files.difference(place("a"), "x", mode=0o644) == ""
    assert place.files.difference(place("a"), "x", mode=0o600) == "mode"
    assert place.files.difference(place("a"), "x", mode=0o644, owner=Owner(4711, 4711)) == "mode"
    assert place.files.difference(place("a"), "y", mode=0o644) == "content"
    place.link("b", place("a"))
    assert place.files.difference(place("b"), "x", mode=0o644) == "content"


# --- Links


def test_a_link_at_the_end_is_not_followed(place: Place) -> None:
    place.files.write(place("theirs"), "theirs")
    place.link("link", place("theirs"))
    with pytest.raises(HostError, match="got a link"):
        place.files.read(place("link"))
    place.files.write(place("link"), "ours")
    assert place.files.read_text(place("theirs")) == "theirs"
    assert place.files.read_text(place("link")) == "ours"


def test_a_temporary_name_that_is_a_link_is_not_followed(place: Place) -> None:
    place.files.write(place("theirs"), "theirs")
    place.link("a.new", place("theirs"))
    place.files.write(place("a"), "ours")
    assert place.files.read_text(place("theirs")) == "theirs"
    assert place.files.listdir(place.folder) == ["a", "theirs"]


@pytest.mark.parametrize("ask", ["make_folder", "listdir"])
def test_a_link_is_no_folder_and_where_it_leads_is_told(place: Place, ask: str) -> None:
    place.files.make_folder(place("theirs"), mode=0o755)
    place.link("link", place("theirs"))
    with pytest.raises(HostError, match=f"expected a folder, got a link; use {place('theirs')}, where it leads"):
        getattr(place.files, ask)(place("link"))
    found = place.files.stat(place("theirs"))
    assert found
    assert found.mode == 0o755


@pytest.mark.parametrize("target", ["{}/theirs", "../theirs", ".//./../theirs/"])
def test_a_link_that_root_put_on_the_way_is_followed(place: Place, target: str) -> None:
    place.files.make_folder(place("theirs"))
    place.files.make_folder(place("srv"), mode=0o755)
    place.link("srv/link", target.format(place.folder))
    place.files.write(place("srv/link/new"), "x")
    assert place.files.listdir(place("theirs")) == ["new"]


@pytest.mark.parametrize(("mode", "owner"), [(0o777, None), (0o1777, None), (0o775, None), (0o755, Owner(4711, 4711))])
def test_a_link_on_the_way_that_others_could_have_put_is_refused(place: Place, mode: int, owner: Owner | None) -> None:
    if owner and not isinstance(place.files, FakeFiles) and os.geteuid() != 0:
        pytest.skip("only root can give folders away")
    place.files.make_folder(place("etc"))
    place.files.write(place("etc/shadow"), "root")
    place.files.make_folder(place("shared"), mode=mode, owner=owner)
    place.link("shared/link", place("etc"))
    for attempt in (
        lambda: place.files.write(place("shared/link/shadow"), "theirs"),
        lambda: place.files.read(place("shared/link/shadow")),
        lambda: place.files.remove(place("shared/link/shadow")),
        lambda: place.files.make_folder(place("shared/link/folder")),
        lambda: place.files.rename(place("etc/shadow"), place("shared/link/other")),
    ):
        with pytest.raises(HostError, match="the link link, in a folder that other users can write to"):
            attempt()
    assert place.files.listdir(place("etc")) == ["shadow"]
    assert place.files.read_text(place("etc/shadow")) == "root"


def test_links_in_a_circle_end(place: Place) -> None:
    place.link("a", "b")
    place.link("b", "a")
    with pytest.raises(HostError, match="got a link"):
        place.files.read(place("a/file"))


# --- Whose folder it is


@pytest.mark.parametrize(
    ("mode", "inside", "may"),
    [
        (None, [], True),
        (0o755, [], True),
        (0o755, ["lost+found/"], True),
        (0o700, ["anything"], True),
        (0o755, ["anything"], False),
        (0o755, [".hidden"], False),
        (0o755, ["lost+found/", "anything"], False),
        (0o755, ["anything", "watchdog.sh"], True),
        (0o755, ["anything", "secrets/", "secrets/valkey-password"], True),
        (0o755, ["secrets/", "secrets/other"], False),
        (0o755, ["anything", "20261129T030000Z"], True),
        (0o755, ["20261129"], False),
    ],
)
def test_only_a_folder_of_nobody_else_may_be_closed(
    place: Place, mode: int | None, inside: list[str], may: bool
) -> None:
    if mode is not None:
        place.files.make_folder(place("a"), mode=mode)
    for name in inside:
        if name.endswith("/"):
            place.files.make_folder(place(f"a/{name[:-1]}"))
        else:
            place.files.write(place(f"a/{name}"), "x")
    assert place.files.may_own(place("a"), ["secrets/valkey-password", "watchdog.sh", "20*T*Z"]) is may


# --- What the kernel refuses


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "got a full disk, the one with /opt; free some space on it (see `df -h /opt`"),
        (errno.EDQUOT, "got a full disk, the one with /opt"),
        (errno.EROFS, "got a file system that is mounted read-only"),
        (errno.EIO, "got an input/output error of the disk"),
        (errno.EPERM, "got it not permitted, even to root"),
        (errno.EBUSY, "got device or resource busy; see `ls -ld /opt/a`"),
    ],
)
@pytest.mark.parametrize("call", ["open", "fchmod", "pwrite", "fsync", "rename"])
def test_a_write_that_fails_says_why_and_leaves_the_file_as_it_was(call: str, number: int, told: str) -> None:
    files = FakeFiles()
    files.write("/opt/a", "before", mode=0o644)

    def fail(point: str) -> None:
        if point == f"before {call}" and files.kernel.find("/opt").entries.get("a"):
            raise OSError(number, os.strerror(number))

    files.kernel.on_point = fail
    with pytest.raises(HostError) as failed:
        files.write("/opt/a", "after", mode=0o755)
    assert str(failed.value).startswith("/opt/a: expected to write it, ")
    assert told in str(failed.value)
    files.kernel.on_point = on_nothing
    assert files.read_text("/opt/a") == "before"
    assert files.listdir("/opt") == ["a"]


def test_a_disk_that_gets_full_is_named() -> None:
    files = FakeFiles()
    files.kernel.room_bytes = 10
    with pytest.raises(HostError, match="got a full disk, the one with /opt; free some space on it"):
        files.write("/opt/a", "x" * 11)
    assert files.listdir("/opt") == []


@pytest.mark.parametrize("ask", ["read", "stat", "exists", "listdir", "sha256", "tree"])
def test_a_question_that_fails_is_not_taken_for_absent(ask: str) -> None:
    files = FakeFiles()

    def fail(point: str) -> None:
        if point == "before open":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    files.kernel.on_point = fail
    with pytest.raises(HostError, match="got an input/output error of the disk"):
        getattr(files, ask)("/opt/a")


# --- Power cuts


def old(files: Files) -> None:
    files.write("/opt/a", "old", mode=0o644)


def is_old_or_new(files: FakeFiles, done: bool) -> None:
    found = files.stat("/opt/a")
    assert found
    both = (files.read_text("/opt/a"), found.mode)
    assert both in [("new", 0o600), *([] if done else [("old", 0o644)])]


@pytest.mark.crash
def test_after_a_power_cut_a_file_is_the_old_one_or_the_new_one_and_new_once_the_write_returned() -> None:
    assert crashed_everywhere(old, lambda files: files.write("/opt/a", "new"), is_old_or_new) > 20


@pytest.mark.crash
def test_after_a_power_cut_a_copy_is_whole_or_was_not_made() -> None:
    def prepare(files: Files) -> None:
        old(files)
        files.write("/opt/b", "new")

    assert crashed_everywhere(prepare, lambda files: files.copy("/opt/b", "/opt/a"), is_old_or_new) > 20


class Careless(Files):
    """A write as shell does it: `printf >file.new; mv file.new file`."""

    def __init__(self, files: Files, leave_out: int) -> None:
        assert isinstance(files, FakeFiles)
        kernel, calls = files.kernel, 0

        class Kernel:
            def __getattr__(self, name: str) -> object:
                nonlocal calls
                if name == "fsync":
                    calls += 1
                    if calls == leave_out:
                        return lambda _: None
                return getattr(kernel, name)

        super().__init__(Kernel())  # type: ignore[arg-type]


@pytest.mark.crash
@pytest.mark.parametrize("leave_out", [1, 2], ids=["of the file", "of the folder"])
def test_the_power_cut_finds_each_sync_that_is_left_out(leave_out: int) -> None:
    with pytest.raises(AssertionError):
        crashed_everywhere(old, lambda files: Careless(files, leave_out).write("/opt/a", "new"), is_old_or_new)


@pytest.mark.crash
def test_after_a_power_cut_what_was_renamed_has_at_least_one_of_its_names() -> None:
    def prepare(files: Files) -> None:
        files.make_folder("/opt/one")
        files.make_folder("/opt/two")
        files.write("/opt/one/a", "x")

    def check(files: FakeFiles, done: bool) -> None:
        found = [files.read_text("/opt/one/a"), files.read_text("/opt/two/a")]
        assert "x" in found
        assert not done or found == [None, "x"]

    assert crashed_everywhere(prepare, lambda files: files.rename("/opt/one/a", "/opt/two/a"), check) > 10


@pytest.mark.parametrize("synced", [True, False])
def test_a_folder_that_is_renamed_has_its_contents_when_it_was_synced(synced: bool) -> None:
    files = FakeFiles()
    files.make_folder("/opt/a.new")
    files.kernel.add("/opt/a.new/file", stat.S_IFREG | 0o600).data = b"x"
    if synced:
        files.sync_tree("/opt/a.new")
    files.rename("/opt/a.new", "/opt/a")
    files.kernel.cut_power(names=True)
    assert files.read("/opt/a/file") == (b"x" if synced else b"")


@pytest.mark.crash
def test_what_was_made_or_removed_stays_so_after_a_power_cut() -> None:
    def prepare(files: Files) -> None:
        files.make_folder("/opt/empty")
        files.make_folder("/opt/gone")
        files.write("/opt/gone/a", "x")
        files.write("/opt/b", "x")

    def change(files: Files) -> None:
        files.make_folder("/opt/one/two", mode=0o755)
        files.remove("/opt/b")
        files.remove_tree("/opt/gone")
        files.remove_folder("/opt/empty")

    def check(files: FakeFiles, done: bool) -> None:
        if done:
            assert files.listdir("/opt") == ["one"]
            found = files.stat("/opt/one/two")
            assert found
            assert found.mode == 0o755

    crashed_everywhere(prepare, change, check)


def test_run_is_empty_after_a_power_cut_and_full_after_a_kill() -> None:
    files = FakeFiles()
    files.make_folder("/run/open-webui-stack")
    files.kernel.restart()
    assert files.listdir("/run") == ["open-webui-stack"]
    files.kernel.cut_power(names=True)
    assert files.listdir("/run") == []


def test_a_link_is_made_once_and_takes_nobodys_place(place: Place) -> None:
    for _ in range(2):
        place.files.link(place("link"), "/opt/there")
        found = place.files.stat(place("link"))
        assert found
        assert (found.kind, place.files.resolved(place("link"))) == ("link", "/opt/there")
    place.files.write(place("file"), "x")
    for name in ("link", "file"):
        with pytest.raises(HostError, match="expected to make it a link to /opt/elsewhere, got file exists"):
            place.files.link(place(name), "/opt/elsewhere")
    assert place.files.read(place("file")) == b"x"


# --- Extended attributes

LABEL, OF_CONTENT = {"security.selinux": b"system_u:object_r:container_config_t:s0"}, {"security.ima": b"hash"}


def labelled(files: FakeFiles) -> None:
    files.write("/opt/a", "old")
    file = files.kernel.find("/opt/a")
    file.attributes = {**LABEL, **OF_CONTENT}
    file.sync()


def test_attributes_are_read_but_for_those_that_belong_to_the_contents() -> None:
    files = FakeFiles()
    labelled(files)
    assert files.attributes("/opt/a") == LABEL
    assert files.attributes("/opt/none") == {}


def test_a_file_has_its_attributes_before_it_counts() -> None:
    def check(files: FakeFiles, done: bool) -> None:
        found = files.kernel.find("/opt/a")
        assert (found.data, found.attributes) in [(b"old", {**LABEL, **OF_CONTENT}), (b"new", LABEL)]
        assert not done or found.data == b"new"

    crashes = crashed_everywhere(
        labelled, lambda files: files.write("/opt/a", "new", attributes=files.attributes("/opt/a")), check
    )
    assert crashes > 50


@pytest.mark.parametrize("call", ["listxattr", "getxattr", "setxattr"])
@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.ENOSPC], ids=errno.errorcode.get)
def test_a_disk_without_attributes_is_fine_and_other_errors_change_nothing(call: str, number: int) -> None:
    files = FakeFiles()
    labelled(files)

    def refuse(name: str) -> None:
        if name == f"before {call}":
            raise OSError(number, os.strerror(number))

    files.kernel.on_point = refuse
    is_fine = number == errno.ENOTSUP or (call, number) == ("getxattr", errno.ENODATA)  # removed meanwhile
    try:
        files.write("/opt/a", "new", attributes=files.attributes("/opt/a"))
        assert is_fine
    except HostError:
        assert not is_fine
    files.kernel.on_point = on_nothing
    assert files.read("/opt/a") == (b"new" if is_fine else b"old")
    assert files.listdir("/opt") == ["a"]


# --- The real disk


def test_an_acl_of_the_disk_is_read_and_given_to_another_file(tmp_path: Path) -> None:
    # Version 2; the owner rw, the user 1 r, the group and the mask r, others nothing (posix_acl_xattr.h).
    acl = bytes.fromhex("02000000 01000600ffffffff 0200040001000000 04000400ffffffff 10000400ffffffff 20000000ffffffff")
    (tmp_path / "a").write_text("x")
    try:
        os.setxattr(tmp_path / "a", "system.posix_acl_access", acl)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no ACLs")
    files = Files()
    files.write(f"{tmp_path}/b", "y", mode=0o640, attributes=files.attributes(f"{tmp_path}/a"))
    assert os.getxattr(tmp_path / "b", "system.posix_acl_access") == acl
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o640


def test_another_user_of_the_host_can_not_read_what_was_written() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    with tempfile.TemporaryDirectory() as folder:
        files = Files()
        files.make_folder(f"{folder}/open", mode=0o755)
        files.make_folder(folder, mode=0o755)
        files.write(f"{folder}/open/secret", "x")
        files.write(f"{folder}/open/told", "x", mode=0o644)

        def as_nobody(name: str) -> int:
            return subprocess.run(["cat", f"{folder}/open/{name}"], user=65534, cwd="/", capture_output=True).returncode

        assert (as_nobody("told"), as_nobody("secret")) == (0, 1)


def test_files_are_given_to_the_owner_that_is_wanted(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    Files().write(f"{tmp_path}/a", "x", owner=Owner(999, 998), mode=0o640)
    found = (tmp_path / "a").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (999, 998, 0o640)


def test_the_fake_replaces_the_kernel_and_nothing_of_files() -> None:
    assert {name for name in vars(FakeFiles) if not name.startswith("__")} == set()
    asked = set(re.findall(r"\bos\.(?!O_)(\w+)", (ROOT / "webui_stack" / "host" / "files.py").read_text()))
    assert asked == {"strerror", "stat_result"}, "files ask the system of their kernel only"
