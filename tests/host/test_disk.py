"""The room in a folder is what df(1) says of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.host.fake_system import FakeSystem
from webui_stack.host import disk
from webui_stack.host.errors import HostError
from webui_stack.host.system import System


@pytest.mark.parametrize("folder", ["/", "/proc", "/dev/shm"])
def test_sizes_inodes_and_the_mount_are_those_of_df(folder: str) -> None:
    found = disk.room(System(), folder)

    def df(option: str) -> list[str]:
        done = subprocess.run(["df", option, folder], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[1].split()

    blocks, inodes = df("-Pk"), df("-Pi")
    assert (found["disk_kb"], found["mount"]) == (int(blocks[1]), blocks[5])
    assert found["inodes"] == int(inodes[1].replace("-", "0"))
    assert found["disk_free_kb"] == pytest.approx(int(blocks[3]), rel=0.05)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"expected a folder with a size, got No such file or directory; run `df`"):
        disk.room(System(), str(tmp_path / "gone"))


def test_a_folder_where_a_file_system_is_mounted_is_told_from_others(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    assert not disk.is_mount(host, "/srv/a b"), "nothing is known of mounts"
    host.put("/proc/self/mountinfo", "36 35 98:0 / /srv/a\\040b rw,noatime shared:1 - ext4 /dev/sda rw\n")
    assert disk.is_mount(host, "/srv/a b")
    assert not disk.is_mount(host, "/srv/a")
    assert disk.is_mount(System(), "/proc")
