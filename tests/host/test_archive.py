"""An archive gives its image to one reference and no name to anything, and is whole or an error."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_engine import FakeEngine
from tests.host.fake_system import FakeSystem
from tests.host.faults import Crash, Faults
from webui_stack.host.archive import Archive, names
from webui_stack.host.errors import HostError

REFERENCE, PATH = "valkey/valkey:8.1", "/var/lib/transfer/part"
ID, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
# As `docker save` writes them by an id, in Docker's own store and in containerd's.
MANIFEST = [{"Config": "blobs/sha256/1", "RepoTags": None, "Layers": ["blobs/sha256/2"]}]
INDEX = {"schemaVersion": 2, "manifests": [{"digest": ID, "size": 1, "annotations": {}}, {"digest": ID}]}
TAGGED = [{**MANIFEST[0], "RepoTags": ["somebody/else:1"]}]
SAVED = {"blobs/sha256/2": "layer", "index.json": INDEX, "manifest.json": MANIFEST}
CONTAINERD = {"manifests": [{"annotations": {"io.containerd.image.name": "somebody/else:1"}}]}
OCI = {"manifests": [{"annotations": {"org.opencontainers.image.ref.name": "somebody/else:1"}}]}


def tar(content: Mapping[str, Any], *more: tuple[str, Any]) -> bytes:
    """A tar of these documents; `more` are further members, which may have a name that is there."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, document in [*content.items(), *more]:
            member = tarfile.TarInfo(name)
            data = json.dumps(document).encode()
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def linked(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, "blobs/sha256/2"
        archive.addfile(member)
    return out.getvalue()


class World(FakeSystem):
    """A host with an archive of one image, and somebody's image. Orders and calls to Docker can each fail."""

    def __init__(self, folder: Path, archive: bytes | None = None, faults: Faults | None = None) -> None:
        super().__init__(folder)
        self.engine = FakeEngine(faults=faults)
        self.docker = self.engine.docker
        self.old = self.docker.put_image(REFERENCE)
        self.docker.put_image("somebody/else:1")
        self.loads = self.docker.put_image("loaded:1", local=False)
        self.archive = Archive(self, self.engine, PATH)
        self.put(PATH, gzip.compress(tar(SAVED)) if archive is None else archive)

    @property
    def means(self) -> dict[str, str]:
        return {tag: one.id for one in self.docker.images.values() for tag in one.tags}

    def _order(self, command: Sequence[str], limit_s: float) -> tuple[int, str]:
        assert limit_s >= 3600

        def late() -> Exception:
            return HostError("docker", expected="an end", got="no end in 21600 s", do="run it on the host")

        with self.engine.faults.call(command[1], changes=True, errors={"late": late}, lost="late"):
            if command == ("docker", "load", "--quiet", "--input", PATH):
                self.docker.images[self.loads] = self.docker.registry["loaded:1"]
            elif command == ("docker", "save", "--output", f"{PATH}.tar", self.old):
                self.put(f"{PATH}.tar", tar(SAVED))
            else:
                return 1, "no such order\n"
        return 0, ""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refusal(world: World, id_: str) -> str:
    before = world.means
    with pytest.raises(HostError) as caught:
        world.archive.load(id_, REFERENCE)
    assert world.means == before
    return str(caught.value)


def test_the_reference_means_the_image_of_the_archive(world: World) -> None:
    before = world.means
    world.archive.load(world.loads, REFERENCE)
    assert world.means == {**before, REFERENCE: world.loads}


def test_an_image_that_has_another_id_here_is_told_from_another_store(world: World) -> None:
    assert refusal(world, ID) == (
        f"{REFERENCE}: expected {ID} after loading it, got another id; this host keeps images in another store than "
        "the one the bundle was made on (docker info, Storage Driver): make the bundle on a host like it"
    )


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(tar({**SAVED, "manifest.json": TAGGED}), id="Docker's own store"),
        pytest.param(tar({**SAVED, "./manifest.json": TAGGED}), id="by another path"),
        pytest.param(tar({**SAVED, "here/manifest.json": TAGGED}), id="through a link to the folder"),
        pytest.param(tar(SAVED, ("manifest.json", TAGGED)), id="the last of two"),
        pytest.param(tar({"manifest.json": TAGGED}, ("manifest.json", MANIFEST)), id="the first of two"),
        pytest.param(tar({"repositories": {"somebody/else:1": {"1": "x"}}}), id="before Docker 1.10"),
        pytest.param(tar({**SAVED, "index.json": CONTAINERD}), id="containerd"),
        pytest.param(tar({**SAVED, "index.json": OCI}), id="OCI"),
    ],
)
def test_an_archive_that_names_its_images_is_refused_before_docker_reads_it(tmp_path: Path, archive: bytes) -> None:
    world = World(tmp_path, gzip.compress(archive))
    assert refusal(world, world.loads) == (
        f"{REFERENCE}: expected an archive without tags, got somebody/else:1; make the bundle with runbooks/bundle.py"
    )
    assert world.loads not in world.docker.images


def test_a_name_in_a_second_part_of_gzip_is_seen(tmp_path: Path) -> None:
    """Docker reads all parts as one file (Go, compress/gzip: Reader.Multistream)."""
    whole = tar({**SAVED, "manifest.json": TAGGED})
    world = World(tmp_path, gzip.compress(whole[:1024]) + gzip.compress(whole[1024:]))
    assert "got somebody/else:1" in refusal(world, world.loads)


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"no archive", id="no gzip"),
        pytest.param(gzip.compress(b"no tar" * 1000), id="no tar"),
        pytest.param(gzip.compress(tar(SAVED))[:-20], id="cut off"),
        pytest.param(gzip.compress(tar({"manifest.json": 1})), id="another form"),
        pytest.param(gzip.compress(tar({"manifest.json": [1]})), id="another form within"),
        pytest.param(gzip.compress(linked("manifest.json")), id="a link"),
    ],
)
def test_what_can_not_be_read_is_not_given_to_docker(tmp_path: Path, archive: bytes) -> None:
    world = World(tmp_path, archive)
    assert "expected an archive of docker save, got one that can't be read (" in refusal(world, world.loads)
    assert world.loads not in world.docker.images


def test_an_archive_of_docker_save_by_an_id_names_nothing(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(gzip.compress(tar({**SAVED, "repositories": {}})))
    assert names(path) == []


def test_a_saved_image_is_one_that_can_be_loaded(world: World) -> None:
    world.put(PATH, "left by an earlier one")
    world.archive.save(world.old)
    packed = world.path(PATH).read_bytes()
    assert gzip.decompress(packed) == tar(SAVED)
    assert world.path(f"{PATH}.tar").exists() is False
    world.archive.save(world.old)
    assert world.path(PATH).read_bytes() == packed, "no time is in it"
    world.archive.load(world.loads, REFERENCE)


def test_a_disk_without_room_is_told(world: World) -> None:
    world.path(PATH).unlink()
    world.path(PATH).mkdir()
    with pytest.raises(
        HostError, match=r"part: expected to pack sha256:\w+, got Is a directory; make room on the host"
    ):
        world.archive.save(world.old)


@pytest.mark.crash
@pytest.mark.parametrize("verb", ["load", "save"])
def test_wherever_it_is_cut_off_and_whatever_fails_the_next_one_succeeds(tmp_path: Path, verb: str) -> None:
    def do(world: World) -> None:
        if verb == "load":
            world.archive.load(world.loads, REFERENCE)
        else:
            world.archive.save(world.old)

    whole = World(tmp_path, faults=Faults())
    do(whole)
    assert whole.engine.faults.points()
    for point in whole.engine.faults.points():
        world = World(tmp_path, faults=Faults(point))
        before = world.means
        with pytest.raises((HostError, Crash)):
            do(world)
        assert world.means in (before, {**before, REFERENCE: world.loads})
        world.engine.faults = Faults()
        with suppress(FileNotFoundError):
            world.path(f"{PATH}.tar").unlink()  # the folder is made anew
        do(world)
        assert world.means == {**before, REFERENCE: world.loads if verb == "load" else world.old}
