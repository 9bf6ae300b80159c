"""Packages go into one tar and are installed from it alone; the host's own lists and cache stay as they are."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.host.fake_system import Asked, FakeSystem
from tests.host.faults import Crash, Faults
from webui_stack.host.deb_repository import FOLDER, DebRepository
from webui_stack.host.errors import HostError
from webui_stack.host.system import Ended, System

SENT = "/var/lib/transfer/part"


class World(FakeSystem):
    """A Debian whose apt has two packages, and writes down what it was told and what was there then."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, dpkg_deb=lambda arguments: f"Package: {Path(arguments[1]).name.split('_')[0]}\n")
        self.put(SENT)
        self.said: list[str] = []
        self.ends: dict[str, Ended] = {}
        self.there: list[str] = []
        self.faults = Faults()

    @property
    def repository(self) -> DebRepository:
        return DebRepository(self, lambda event: self.said.append(event.text))

    def _carry_out(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        limit_s: float,
        descriptors: Sequence[int],
        tell: Callable[[str], object] | None,
    ) -> Ended:
        del descriptors, tell
        assert command[0] == "apt-get"
        assert environment["DEBIAN_FRONTEND"] == "noninteractive"
        assert limit_s >= 1800, "packages come over slow lines"
        place = self.path(FOLDER)
        assert place.stat().st_mode & 0o777 == 0o700
        with self.faults.call(" ".join(command), changes=True, errors={"late": _late}, lost="late"):
            return self._apt(command, place)

    def _apt(self, command: Sequence[str], place: Path) -> Ended:
        word = next(one for one in command if one in ("update", "install"))
        self.there = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
        self.asked.append(Asked(tuple(command)))
        if word in self.ends:
            return self.ends[word]
        if "--download-only" in command:
            for name in ("docker.io_26.1%3a5_amd64.deb", "runc_1_amd64.deb"):
                (place / "debs" / name).write_bytes(name.encode() * 50)
        return Ended(0, "", "")

    @property
    def of_apt(self) -> list[tuple[str, ...]]:
        return [one.command for one in self.asked if one.command[0] == "apt-get"]


def _late() -> Exception:
    return HostError("apt-get", expected="an end", got="no end in 3600 s", do="run it on the host")


def packed(world: World) -> dict[str, bytes]:
    with tarfile.open(world.path(SENT)) as archive:
        return {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive}


def test_packages_are_packed_with_an_index_of_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.repository.save(["docker.io=26.1"], SENT)
    found = packed(world)
    assert list(found) == ["Packages", "docker.io_26.1%3a5_amd64.deb", "runc_1_amd64.deb"]
    digest = hashlib.sha256(found["runc_1_amd64.deb"]).hexdigest()
    assert (
        found["Packages"]
        .decode()
        .endswith(f"\n\nPackage: runc\nFilename: ./runc_1_amd64.deb\nSize: 800\nSHA256: {digest}\n\n")
    )
    assert world.said == ["reading the lists of packages", "fetching packages", "packing 2 packages"]
    assert not world.path(FOLDER).exists()


def test_a_host_with_nothing_installed_is_what_packages_are_fetched_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.repository.save(["docker.io=26.1"], SENT)
    last = world.of_apt[-1]
    assert f"Dir::State::status={world.path(FOLDER)}/status" in last
    assert last[-4:] == ("install", "--no-install-recommends", "--download-only", "docker.io=26.1")
    assert "status" in world.there


def test_lists_that_can_not_all_be_read_are_told_and_do(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ends["update"] = Ended(100, "", "E: no such host\n")
    world.repository.save(["docker.io=26.1"], SENT)
    assert world.said[1] == "apt-get update failed; what it could read has to do"
    assert len(packed(world)) == 3


def test_packages_that_can_not_be_had_make_no_tar(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ends["install"] = Ended(100, "Reading\n", "W: x\nE: Version '1' for 'runc' was not found\n")
    with pytest.raises(
        HostError, match=r"^apt: expected to fetch runc=1, got E: Version '1' for 'runc' was not found;"
    ):
        world.repository.save(["runc=1"], SENT)
    assert world.path(SENT).read_bytes() == b""
    assert not world.path(FOLDER).exists()


def test_packages_are_installed_from_the_tar_alone_and_none_is_removed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.repository.save(["docker.io=26.1"], SENT)
    world.repository.install(["docker.io=26.1"], SENT)
    update, install = world.of_apt[-2:]
    place = world.path(FOLDER)
    for command in (update, install):
        assert f"Dir::Etc::sourcelist={place}/sources.list" in command
        assert "Dir::Etc::sourceparts=-" in command
        assert f"Dir::State::lists={place}/lists" in command
        assert f"Dir::Cache::archives={place}/archives" in command
        assert not [word for word in command if "status" in word]
    assert install[-4:] == ("install", "--no-install-recommends", "--no-remove", "docker.io=26.1")
    assert world.there == [
        *("repository/Packages", "repository/docker.io_26.1%3a5_amd64.deb", "repository/runc_1_amd64.deb"),
        "sources.list",
    ]
    assert not place.exists()


@pytest.mark.parametrize(
    ("word", "wish"), [("update", "to read the bundle's packages"), ("install", "to install runc")]
)
def test_an_apt_that_fails_is_told_in_its_words(tmp_path: Path, word: str, wish: str) -> None:
    world = World(tmp_path)
    world.repository.save(["runc"], SENT)
    world.ends[word] = Ended(100, "dpkg: error\n", "")
    with pytest.raises(HostError, match=rf"^apt: expected {wish}, got dpkg: error; fix that, and run it again$"):
        world.repository.install(["runc"], SENT)
    assert not world.path(FOLDER).exists()


@pytest.mark.parametrize("name", ["../evil.deb", "a/b.deb", "/etc/x"])
def test_a_tar_with_other_files_is_refused(tmp_path: Path, name: str) -> None:
    world = World(tmp_path)
    with tarfile.open(world.path(SENT), "w") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(HostError, match=r"^bundle: expected packages in one tar, got .* make the bundle with"):
        world.repository.install(["runc"], SENT)
    assert world.asked == []


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(SENT, "x" * 2000)
    with pytest.raises(HostError, match=r"^bundle: expected packages in one tar"):
        world.repository.install(["runc"], SENT)


def test_what_a_run_that_was_killed_has_left_is_in_no_ones_way_and_a_link_is_not_followed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put(f"{FOLDER}/debs/old.deb", "old")
    world.repository.save(["runc"], SENT)
    assert len(packed(world)) == 3
    precious = world.put("/srv/precious", "mine")
    world.path(FOLDER).symlink_to(precious.parent)
    world.repository.install(["runc"], SENT)
    assert precious.read_text() == "mine"
    assert not world.path(FOLDER).exists()


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DebRepository, "_pack", full)
    with pytest.raises(HostError, match=rf"^{FOLDER}: expected to work with packages there, got No space left on dev"):
        world.repository.save(["runc"], SENT)


@pytest.mark.crash
def test_a_run_after_one_that_failed_or_was_killed_at_any_call_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(world: World) -> None:
        world.repository.save(["runc"], SENT)
        world.repository.install(["runc"], SENT)

    remove = DebRepository._remove
    whole = World(tmp_path / "whole")
    run(whole)
    for number, point in enumerate(whole.faults.points()):
        world = World(tmp_path / str(number))
        world.faults = Faults(point)
        with monkeypatch.context() as patched:
            # A process that was killed removes nothing at its end.
            patched.setattr(DebRepository, "_remove", lambda one, w=world: None if w.faults.dead else remove(one))
            with pytest.raises((Crash, HostError)):
                run(world)
        assert world.path(FOLDER).exists() == world.faults.dead
        world.faults = Faults()
        run(world)
        assert next(iter(packed(world))) == "Packages"
        assert not world.path(FOLDER).exists()


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="it needs dpkg")
def test_the_fields_of_a_real_package_are_in_the_index(tmp_path: Path) -> None:
    control = tmp_path / "package/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.parent.chmod(0o755)
    control.write_text("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: me\nDescription: x\n")
    deb = tmp_path / "x_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(control.parent.parent), str(deb)], check=True, capture_output=True)
    entry = DebRepository(System(), print)._entry(deb)
    assert entry.startswith("Package: x\nVersion: 1\nArchitecture: all\n")
    assert f"\nFilename: ./x_1_all.deb\nSize: {deb.stat().st_size}\n" in entry
