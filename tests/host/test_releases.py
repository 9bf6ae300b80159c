"""Releases: a good one is never lost, and never half put back, whenever the program is killed or a call fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_compose import FakeCompose, definition
from tests.host.fake_docker import Docker
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.points import Points, every_crash, every_failure
from webui_stack.host import compose
from webui_stack.host.clock import Clock
from webui_stack.host.errors import HostError
from webui_stack.host.releases import DamagedError, Releases
from webui_stack.host.secrets import RECEIVERS

FOLDER = "/opt/stack"
GOOD, KEPT = f"{FOLDER}/.good", f"{FOLDER}/.deploys"
AT = "20261129T030000Z"  # what the fake clock begins at
FILES = {
    ".env": ("A='1'\n", 0o600),
    "secrets/webui-secret-key": ("sesame\n", 0o600),
    "secrets/valkey-password": ("open\n", 0o600),
    "valkey/valkey.conf": ("port 6379\n", 0o644),
    "valkey/users.acl": ("user default on\n", 0o644),
}
NEXT = {
    ".env": ("A='2'\n", 0o600),
    "valkey/valkey.conf": ("port 6379\nappendonly yes\n", 0o644),
    "valkey/more.conf": ("of the next one\n", 0o644),
}


def stack(version: int) -> str:
    return definition(("redis", "valkey:8", "redis-valkey"), ("open-webui", f"webui:{version}", "open-webui"))


# Each file costs some forty points.
FEW = {path: FILES[path] for path in (".env", "secrets/webui-secret-key", "valkey/valkey.conf")}


class World:
    """A host whose stack serves, by files that nobody has remembered yet."""

    def __init__(self, clock: Clock | None = None, files: Mapping[str, tuple[str, int]] = FILES) -> None:
        self.kernel = FakeKernel()
        self.files = FakeFiles(self.kernel)
        points = Points(self.kernel)
        self.docker = Docker()
        self.clock = clock or FakeClock()
        self.images = {name: self.docker.put_image(name) for name in ("valkey:8", "webui:1", "webui:2")}
        self.project = FakeCompose(self.docker, self.kernel, points, FOLDER)
        engine = FakeEngine(self.docker, faults=points)
        self.releases = Releases(self.files, engine, self.clock, FOLDER, kept=2)
        self.files.make_folder(f"{FOLDER}/secrets")
        self.files.make_folder(f"{FOLDER}/valkey", mode=0o755)
        self.put({**files, "compose.yaml": (stack(1), 0o644)})
        self.project.up()

    def put(self, files: Mapping[str, tuple[str, int]]) -> None:
        for path, (text, mode) in files.items():
            self.files.write(f"{FOLDER}/{path}", text, mode=mode)

    def deploy(self, version: int = 2, files: Mapping[str, tuple[str, int]] = NEXT) -> None:
        """The next deploy gets healthy; nobody has remembered it yet."""
        self.put({**files, "compose.yaml": (stack(version), 0o644)})
        self.project.up()

    def remember(self) -> str:
        return self.releases.remember(self.project)

    def boot(self) -> None:
        self.docker.power_cut()

    def live(self) -> dict[str, str | None]:
        """What the services would start with, and compose."""
        paths = [path for path in self.files.tree(FOLDER) or [] if not path.startswith(".") or path == ".env"]
        return {path: self.files.read_text(f"{FOLDER}/{path}") for path in paths}

    def secrets(self) -> dict[str, str | None]:
        """Without what a killed write has left, which the next one replaces."""
        live = self.live().items()
        return {path: text for path, text in live if path.startswith("secrets/") and not path.endswith(".new")}


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the real host is asked."""
    monkeypatch.setattr(compose, "programs", lambda: "p  -")


def remembered(files: Mapping[str, tuple[str, int]] = FILES) -> World:
    """One release is in force; the next deploy is healthy over it."""
    world = World(files=files)
    world.remember()
    world.clock.sleep(60)
    world.deploy()
    return world


# --- What a release is


def test_receivers_of_alarms_are_no_part_of_a_release() -> None:
    world = World()
    world.put({RECEIVERS: ("before", 0o600)})
    world.remember()
    assert not world.files.exists(f"{GOOD}/{RECEIVERS}")
    world.put({RECEIVERS: ("now", 0o600)})
    world.releases.recall()
    assert world.live()[RECEIVERS] == "now"


def test_a_release_is_the_files_the_images_and_what_compose_says_of_them() -> None:
    world = World()
    assert world.remember() == AT
    names = [*FILES, "compose.yaml", "at", "images", "known", "sums"]
    assert world.files.tree(GOOD) == sorted(names)
    valkey, webui = world.images["valkey:8"], world.images["webui:1"]
    assert world.files.read_text(f"{GOOD}/images") == f"{valkey} valkey:8 /redis-valkey\n{webui} webui:1 /open-webui\n"
    assert (world.files.read_text(f"{GOOD}/known") or "").splitlines()[1:] == [
        "compose 2.26.1",
        f"key {compose.key(stack(1), FILES['.env'][0].rstrip())}",
        *(f"hash {name} {sha256}" for name, sha256 in world.project.hashes().items()),
    ]
    for path, (_, mode) in FILES.items():
        found = world.files.stat(f"{GOOD}/{path}")
        assert found
        assert found.mode == mode
    world.releases.in_force.check()
    assert world.releases.in_force.image_of("open-webui") == webui
    assert world.files.listdir(FOLDER) == [".env", ".good", "compose.yaml", "secrets", "valkey"]


def test_a_file_keeps_its_time_of_change_so_that_no_container_seems_older_than_it() -> None:
    world = World()
    world.kernel.now_s += 1000
    world.remember()
    world.deploy()
    world.kernel.now_s += 1000
    world.releases.recall()
    found = world.files.stat(f"{FOLDER}/valkey/valkey.conf")
    assert found
    assert found.changed_s == 1_800_000_000


def test_what_a_killed_write_left_is_no_part_of_a_release() -> None:
    world = World()
    world.put({"secrets/webui-secret-key.new": ("", 0o600)})
    world.remember()
    world.releases.recall()
    assert not world.files.exists(f"{GOOD}/secrets/webui-secret-key.new")


def test_a_stack_with_an_empty_file_does_not_take_the_place_of_a_sound_release() -> None:
    world = remembered()
    world.put({"secrets/valkey-password": ("", 0o600)})
    with pytest.raises(HostError, match=r"got empty or missing ones: secrets/valkey-password"):
        world.remember()
    world.releases.recall()
    assert world.live()["compose.yaml"] == stack(1)


def test_without_a_container_there_is_no_release() -> None:
    world = World()
    world.docker.held.clear()
    with pytest.raises(HostError, match="expected containers of /opt/stack, got none"):
        world.remember()
    assert not world.releases.in_force.is_there()


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ("", "sqlite"),
        ("      DATABASE_URL: x\n", "external"),
        ("    container_name: open-webui-postgres\n", "postgres"),
    ],
)
def test_a_release_says_where_its_data_are(more: str, kind: str) -> None:
    world = World()
    world.remember()
    world.files.write(f"{GOOD}/compose.yaml", stack(1) + more)
    assert world.releases.in_force.database() == kind
    world.files.write(f"{GOOD}/compose.yaml", "")
    with pytest.raises(HostError, match="expected the stack's definition, got an empty file"):
        world.releases.in_force.database()


def test_the_proxys_files_belong_to_a_release_that_mounts_them() -> None:
    world = World()
    world.files.make_folder(f"{FOLDER}/proxy", mode=0o755)
    world.put({"proxy/Caddyfile": ("x\n", 0o644)})
    world.remember()
    assert world.releases.in_force.mounted() == ["valkey"]
    world.put({"compose.yaml": (stack(1) + "      - ./proxy:/etc/caddy:ro\n", 0o644)})
    world.remember()
    assert world.releases.in_force.mounted() == ["valkey", "proxy"]
    assert world.files.read_text(f"{GOOD}/proxy/Caddyfile") == "x\n"


# --- One after another


def test_the_release_before_is_kept_without_secrets() -> None:
    world = remembered()
    assert world.remember() == "20261129T030100Z"
    assert world.releases.names() == [AT]
    kept = f"{KEPT}/{AT}"
    assert world.files.tree(kept) == ["compose.yaml", "images", "sums", "valkey/users.acl", "valkey/valkey.conf"]
    world.releases.earlier(AT).check()


def test_the_same_deploy_again_is_the_same_release_with_the_secrets_of_now() -> None:
    world = World()
    world.remember()
    world.releases.note_left("20261128T000000Z")
    world.clock.sleep(60)
    world.put({"secrets/valkey-password": ("new\n", 0o600), "valkey/users.acl": ("user default off\n", 0o644)})
    assert world.remember() == AT
    assert world.releases.names() == []
    assert world.releases.left() == "20261128T000000Z"
    assert world.files.read_text(f"{GOOD}/secrets/valkey-password") == "new\n"


@pytest.mark.parametrize("change", ["valkey/valkey.conf", "valkey/more.conf", "compose.yaml", "the image"])
def test_another_file_or_image_is_another_release(change: str) -> None:
    world = World()
    world.remember()
    if change == "the image":
        world.docker.put_image("webui:1")
        world.project.up()
    elif change == "compose.yaml":
        world.deploy(files={})
    else:
        world.put({change: ("other\n", 0o644)})
    world.remember()
    assert world.releases.names() == [AT]


def test_the_earliest_go_and_never_the_one_that_was_kept_last() -> None:
    world = World()
    world.remember()
    for number in range(3):
        world.clock.sleep(60)
        world.put({"valkey/valkey.conf": (f"{number}\n", 0o644)})
        world.remember()
    assert world.releases.names() == ["20261129T030200Z", "20261129T030100Z"]


def test_a_clock_that_was_set_back_does_not_put_a_release_before_an_earlier_one() -> None:
    clock = FakeClock()
    world = World(clock)
    world.remember()
    clock.set_s -= 3600
    world.deploy()
    assert world.remember() == "20261129T030001Z"
    assert world.releases.before("20261129T030001Z") == AT


def test_a_damaged_release_costs_none_of_the_earlier_ones() -> None:
    """All files of the one in force are empty; its name, too."""
    world = remembered()
    world.files.make_folder(f"{KEPT}/20261101T000000Z")
    world.files.write(f"{KEPT}/20261101T000000Z/compose.yaml", "x\n")
    for path in world.files.tree(GOOD) or []:
        world.files.write(f"{GOOD}/{path}", "")
    world.remember()
    assert world.releases.names() == ["20261101T000000Z"]
    world.releases.recall()


def test_releases_are_listed_as_operators_know_them() -> None:
    world = World()
    assert world.releases.listed() == []
    world.remember()
    world.releases.note_data("20261129T020000Z")
    world.clock.sleep(60)
    world.deploy()
    world.remember()
    world.releases.abandon(AT)
    assert [str(one) for one in world.releases.listed()] == [
        "20261129T030100Z  valkey:8 webui:2  in force",
        f"{AT}  valkey:8 webui:1  was gone back from  its last data are in 20261129T020000Z",
    ]
    assert world.releases.before("20261129T030100Z") == ""
    world.releases.earlier(AT).check()
    world.files.write(f"{KEPT}/{AT}/images", "")
    assert str(world.releases.listed()[1]).startswith(f"{AT}    was gone back from")
    world.releases.drop(AT)
    assert world.releases.names() == []


def test_a_rollback_gives_a_release_its_own_name_back() -> None:
    world = remembered()
    world.remember()
    world.deploy(1, FILES)
    assert world.releases.remember(world.project, AT) == AT
    assert [one.name for one in world.releases.listed()] == [AT, "20261129T030100Z"]


@pytest.mark.parametrize("name", ["", "..", ".new", "../../etc"])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(HostError, match="expected the name of a release"):
        World().releases.earlier(name)


# --- Back


def test_the_last_good_release_comes_back_with_its_files_and_no_others() -> None:
    world = remembered()
    world.put({"secrets/newer": ("x\n", 0o600)})
    world.docker.tag(world.images["webui:2"], "webui:1")
    world.releases.recall()
    expected = {path: text for path, (text, _) in FILES.items()}
    assert world.live() == {**expected, "compose.yaml": stack(1), "secrets/newer": "x\n"}, "a secret is never removed"
    assert world.docker.find_image("webui:1").id == world.images["webui:1"]


@pytest.mark.parametrize(
    "name", ["compose.yaml", ".env", "secrets/webui-secret-key", "secrets/valkey-password", "images", "sums"]
)
@pytest.mark.parametrize("left", ["", "ser", None], ids=["empty", "short", "missing"])
def test_nothing_comes_back_from_a_damaged_release(name: str, left: str | None) -> None:
    world = remembered()
    if left is None:
        world.files.remove(f"{GOOD}/{name}")
    else:
        world.files.write(f"{GOOD}/{name}", left)
    before = world.live()
    if left is None and name in ("sums", "secrets/valkey-password"):  # of earlier versions; of another one
        world.releases.recall()
        return
    with pytest.raises(DamagedError) as caught:
        world.releases.recall()
    assert str(caught.value) == (
        f"{GOOD}: expected the files of a good deploy, got them damaged, as by a power cut: {name}; nothing of it was "
        "put back; deploy.py with settings that get healthy makes it again"
    )
    assert world.live() == before


def test_a_pruned_image_is_told_before_a_file_is_changed() -> None:
    world = remembered()
    before = world.live()
    gone = world.images["webui:1"]
    del world.docker.images[gone]
    with pytest.raises(HostError) as caught:
        world.releases.recall()
    assert str(caught.value) == (
        f"webui:1: expected it on the host as it was then ({gone}), got none; docker load or pull it, and run this "
        "again"
    )
    assert world.live() == before


def test_a_digest_needs_no_tag_and_a_release_without_names_has_valkey_first() -> None:
    world = remembered()
    valkey, webui = world.images["valkey:8"], world.images["webui:1"]
    world.files.remove(f"{GOOD}/sums")
    world.files.write(f"{GOOD}/images", f"{valkey} valkey@sha256:1\n{webui} webui:1\n")
    world.releases.recall()
    release = world.releases.in_force
    assert (release.image_of("redis-valkey"), release.image_of("open-webui")) == (valkey, webui)


# --- The shell's releases and ours


def test_what_an_earlier_version_remembered_is_known_here() -> None:
    """As its shell wrote it: a mark without a word, sums of sha256sum, and a folder without a file for each note."""
    world = remembered()
    world.remember()
    earlier = f"{KEPT}/{AT}"
    world.files.write(f"{earlier}/abandoned", "")
    world.files.write(f"{earlier}/data", "20261101T120000Z\n")
    sums = (world.files.read_text(f"{earlier}/sums") or "").replace("  ", " *")
    world.files.write(f"{earlier}/sums", sums)
    world.releases.earlier(AT).check()
    assert world.releases.is_abandoned(AT)
    assert world.releases.before(world.releases.in_force.name()) == ""
    assert str(world.releases.listed()[1]).endswith("  was gone back from  its last data are in 20261101T120000Z")


# --- Killed, cut off, and failing, everywhere


def comes_back(world: World, where: str, *, to: set[str]) -> None:
    """The last good release can be recalled, whole, and secrets are what they were."""
    world.releases.recover()
    release = world.releases.in_force
    assert release.name() in to, where
    version = {AT: 1}.get(release.name(), 2)
    world.releases.recall()
    live = world.live()
    assert live["compose.yaml"] == stack(version), where
    assert live[".env"] == (FILES if version == 1 else NEXT)[".env"][0], where
    assert ("valkey/more.conf" in live) == (version == 2), where
    assert world.secrets() == {"secrets/webui-secret-key": "sesame\n"}, where


def remembers_again(world: World, where: str) -> None:
    world.deploy()
    world.remember()
    assert world.releases.in_force.name() != AT, where
    world.releases.earlier(AT).check()
    left = [name for name in world.files.listdir(FOLDER) or [] if name.startswith(".good")]
    assert left == [".good"], where
    assert world.kernel._open == {}, where


def of_an_image(files: Mapping[str, tuple[str, int]] = FILES) -> World:
    """The same in a container of an image that was made of the host: the folders that there are can't be renamed."""
    world = remembered(files)
    world.kernel.become_an_image()
    return world


def test_a_release_that_can_not_be_renamed_is_followed_by_the_next_one() -> None:
    """Seen on a lab host that was restored from an image: overlayfs renames no folder of a lower layer."""
    world = of_an_image()
    world.remember()
    assert world.releases.in_force.name() != AT
    world.releases.in_force.check()
    world.releases.earlier(AT).check()
    remembers_again(world, "as an image")


@pytest.mark.crash
@pytest.mark.parametrize("start", [remembered, of_an_image], ids=["a disk", "an overlay"])
def test_a_remember_that_is_cut_off_anywhere_leaves_one_of_both_releases_whole(start: Callable[..., World]) -> None:
    crashes = 0
    for where, world in every_crash(start(FEW), World.remember):
        comes_back(world, where, to={AT, "20261129T030100Z"})
        remembers_again(world, where)
        crashes += 1
    assert crashes > 200


@pytest.mark.crash
@pytest.mark.parametrize("start", [remembered, of_an_image], ids=["a disk", "an overlay"])
def test_a_remember_that_fails_anywhere_leaves_one_of_both_releases_whole(start: Callable[..., World]) -> None:
    failures = 0
    for where, world, error in every_failure(start(FEW), World.remember):
        assert error or world.releases.in_force.name() != AT, where
        comes_back(world, where, to={AT, "20261129T030100Z"})
        remembers_again(world, where)
        failures += 1
    assert failures > 200


def recall(world: World) -> None:
    world.releases.recall()


@pytest.mark.crash
def test_a_recall_that_is_cut_off_anywhere_is_ended_by_the_next_one() -> None:
    for where, world in every_crash(remembered(FEW), recall):
        assert world.secrets() == {"secrets/webui-secret-key": "sesame\n"}
        comes_back(world, where, to={AT})


@pytest.mark.crash
def test_a_recall_that_fails_anywhere_is_ended_by_the_next_one() -> None:
    for where, world, error in every_failure(remembered(FEW), recall):
        assert error, where
        comes_back(world, where, to={AT})


@pytest.mark.crash
@pytest.mark.parametrize(
    "note",
    [
        lambda world: world.releases.note_left("20261128T000000Z"),
        lambda world: world.releases.note_data("20261128T000000Z"),
        lambda world: world.releases.forget_data(),
        lambda world: world.releases.abandon("20261128T000000Z"),
    ],
    ids=["left", "data", "no data", "abandoned"],
)
def test_a_note_that_is_cut_off_costs_nothing(note: Callable[[World], None]) -> None:
    start = remembered(FEW)
    start.files.make_folder(f"{KEPT}/20261128T000000Z")
    start.releases.note_data("20261127T000000Z")
    for where, world in every_crash(start, note):
        assert world.releases.in_force.data() in ("", "20261127T000000Z", "20261128T000000Z"), where
        assert world.releases.left() in ("", "20261128T000000Z"), where
        comes_back(world, where, to={AT})
