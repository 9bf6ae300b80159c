"""The release of a stack in a swarm: whole on the disk at every moment, and nothing of a damaged one is used."""

from __future__ import annotations

import hashlib

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.points import Points, every_crash, every_failure
from webui_stack.host.engine import EngineError
from webui_stack.host.errors import HostError
from webui_stack.host.releases import RememberedImage
from webui_stack.host.swarm_releases import SwarmReleases

FOLDER = "/s"
PATHS = ("stack.yaml", ".env", "secrets/webui-secret-key", "valkey/valkey.conf", "proxy/Caddyfile")


class World:
    """The deploy `first` is remembered, and the files of `second` are over it."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.files = FakeFiles(self.kernel)
        self.docker = Docker()
        self.id = self.docker.put_image("webui:1")
        engine = FakeEngine(self.docker, faults=Points(self.kernel))
        self.clock = FakeClock()
        self.releases = SwarmReleases(self.files, engine, self.clock, FOLDER, kept=0)
        self.put("first")
        self.remember()
        self.put("second")
        self.files.write(f"{FOLDER}/valkey/stale.conf", "second\n")
        self.files.write(f"{FOLDER}/secrets/kept", "newer\n")
        self.clock.sleep(60)

    def boot(self) -> None:
        self.docker.power_cut()

    def put(self, text: str) -> None:
        for path in PATHS:
            folder = f"{FOLDER}/{path}".rpartition("/")[0]
            if not self.files.exists(folder):
                self.files.make_folder(folder, mode=0o755)
            self.files.write(f"{FOLDER}/{path}", f"{text} {path}\n")

    def remember(self, upgrade: str = "") -> str:
        return self.releases.put_in_force(
            [RememberedImage(self.id, "webui:1", "open-webui")], {"open-webui_redis": "abc"}, upgrade
        )

    def read(self, path: str) -> str:
        return self.files.read_text(f"{FOLDER}/{path}") or ""

    def texts(self, folder: str = "") -> set[str]:
        return {self.read(f"{folder}{path}").partition(" ")[0] for path in PATHS}


def test_what_is_remembered_is_as_the_survey_and_earlier_versions_read_it() -> None:
    world = World()
    inputs = hashlib.sha256(b"first stack.yaml\nfirst .env\n").hexdigest()
    assert world.read(".good/known") == f"inputs {inputs}\nopen-webui_redis abc\n"
    assert world.read(".good/images") == f"{world.id} webui:1 /open-webui\n"
    assert (world.read(".good/at"), world.releases.upgraded()) == ("20261129T030000Z\n", "")
    assert world.remember("20261129T025900Z") == "20261129T030100Z"
    assert world.releases.upgraded() == "20261129T025900Z"


def test_the_last_good_deploy_comes_back_with_its_files_and_no_others() -> None:
    world = World()
    other = world.docker.put_image("webui:1")
    world.releases.recall()
    assert world.texts() == {"first"}
    assert world.files.listdir(f"{FOLDER}/valkey") == ["valkey.conf"]
    assert world.read("secrets/kept") == "newer\n", "a secret is never removed"
    assert world.docker.find_image("webui:1").id == world.id != other


@pytest.mark.parametrize("name", [*PATHS, "images", "sums"])
@pytest.mark.parametrize("left", [0, 3, None], ids=["empty", "short", "missing"])
def test_nothing_comes_back_from_a_damaged_deploy(name: str, left: int | None) -> None:
    world = World()
    path = f"{FOLDER}/.good/{name}"
    if left is None:
        world.files.remove(path)
    else:
        world.files.write(path, (world.files.read(path) or b"")[:left])
    if left is None and name in ("sums", "proxy/Caddyfile"):  # what there need not be
        world.releases.recall()
        return
    with pytest.raises(HostError, match="expected the files of a good deploy, got them damaged, as by a power cut"):
        world.releases.recall()
    assert world.texts() == {"second"}


def test_a_deploy_of_an_earlier_version_without_sums_and_date_comes_back() -> None:
    world = World()
    for name in ("sums", "at"):
        world.files.remove(f"{FOLDER}/.good/{name}")
    assert world.releases.require().name().startswith("2027")  # of its file
    world.releases.recall()
    assert world.texts() == {"first"}


def test_without_a_release_or_an_image_there_is_nothing_to_go_back_to() -> None:
    world = World()
    del world.docker.images[world.id]
    with pytest.raises(
        HostError, match=r"webui:1: expected it on the host as it was then \(sha256:.*got none; docker load"
    ):
        world.releases.require()
    world.files.remove_tree(f"{FOLDER}/.good")
    with pytest.raises(HostError, match="expected an earlier good deploy to go back to, got none"):
        world.releases.require()


def test_an_image_that_docker_says_nothing_of_is_not_missing() -> None:
    world = World()
    world.docker.down = True
    with pytest.raises(EngineError) as caught:
        world.releases.require()
    assert "docker load" not in str(caught.value)
    assert world.texts() == {"second"}


@pytest.mark.parametrize("path", ["stack.yaml", ".env"])
def test_an_empty_file_is_not_remembered(path: str) -> None:
    world = World()
    world.files.write(f"{FOLDER}/{path}", "")
    with pytest.raises(HostError, match="expected files with contents, to remember the deploy by"):
        world.remember()
    assert world.texts(".good/") == {"first"}


@pytest.mark.crash
def test_a_remember_that_is_cut_off_leaves_one_whole_release() -> None:
    crashes = 0
    for where, world in every_crash(World(), World.remember):
        crashes += 1
        world.releases.recover()
        world.releases.in_force.check()
        assert world.texts(".good/") in ({"first"}, {"second"}), where
        world.remember()
        assert world.texts(".good/") == {"second"}, where
        assert not {".good.old", ".good.new"} & set(world.files.listdir(FOLDER) or []), where
    assert crashes > 50


@pytest.mark.crash
def test_a_remember_or_recall_in_which_a_call_fails_leaves_one_whole_release() -> None:
    for change in (World.remember, lambda world: world.releases.recall()):
        for where, world, _ in every_failure(World(), change):
            world.releases.recover()
            world.releases.in_force.check()
            assert world.texts(".good/") in ({"first"}, {"second"}), where


@pytest.mark.crash
def test_a_recall_that_is_cut_off_is_ended_by_the_next_one() -> None:
    for where, world in every_crash(World(), lambda world: world.releases.recall()):
        world.releases.recall()
        assert (world.texts(), world.texts(".good/")) == ({"first"}, {"first"}), where
