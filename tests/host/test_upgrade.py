"""Upgrade: new versions run on people's data, or those of before do on the data of before; nothing written is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.fake_deployment import FIRST, FOLDER, LATER_SET, World, ends_well, is_whole, no_programs
from tests.host.points import every_crash, every_failure, is_change, outside
from webui_stack.host import disk
from webui_stack.host.engine import Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.journal import OLD_MARK, Journal
from webui_stack.host.verbs import up, upgrade

STEP_BACK = "that one runs again; the change is not in force"


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    no_programs(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def old(world: World, mark: str) -> None:
    """As an earlier version leaves an upgrade that was killed: a mark with the set's name, and no journal."""
    world.files.write(f"{FOLDER}/.upgrading", f"{mark}\n")
    world.files.write(f"{FOLDER}/.good/data", f"{mark}\n")


# --- The story


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("processes", [1, 3])
def test_a_newer_version_takes_everything_along_and_its_set_is_noted(tmp_path: Path, kind: str, processes: int) -> None:
    world = World(tmp_path, kind, processes)
    world.upgrade()
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:2"), ["before", "since"])
    (made,) = world.sets()
    assert made < LATER_SET, "the set is not the one of the highest name"
    assert world.made().releases.earlier(FIRST).data() == made
    assert world.said == []


def test_an_upgrade_that_changes_no_data_is_a_plain_deploy(world: World) -> None:
    world.upgrade("webui:same")
    assert (world.serving(), world.sets(), world.left()) == (world.serves("webui:same"), [], [])


def test_what_does_not_get_healthy_gives_way_to_the_version_of_before_with_its_data(world: World) -> None:
    with pytest.raises(HostError) as caught:
        world.upgrade("webui:ill")
    assert str(caught.value).endswith(f"; {STEP_BACK}")
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:1"), ["before"])
    name = world.sets()[-1]
    assert [line for line in world.said if not line.startswith("open-webui is")] == [
        "not healthy within 120 s, or not started:",
        "going back to the deploy of 2026-11-29 03:00:00 UTC",
        f"with its data, of {name}",
    ]
    assert world.release.data() == ""


def test_a_migration_that_fails_half_way_is_undone_and_needs_no_further_set(world: World) -> None:
    with pytest.raises(HostError, match=STEP_BACK):
        world.upgrade("webui:broken")
    is_whole(world, "")
    assert len(world.sets()) == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_the_first_process_took_is_in_a_set_where_the_second_one_fails(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, kind, 3)
    with pytest.raises(HostError, match=STEP_BACK):
        world.upgrade("webui:late")
    is_whole(world, "")
    assert (world.rows, world.saved().count("since")) == (["before"], 1)


def test_data_that_a_newer_valkey_wrote_come_back_for_the_one_of_before(world: World) -> None:
    with pytest.raises(HostError, match=STEP_BACK):
        world.upgrade("webui:ill", "valkey:9")
    is_whole(world, "")
    assert world.serving() == world.serves("webui:1")
    assert world.docker.contents["redis-data"]["dump.rdb"] == b"8:keys"
    world.upgrade("webui:1", "valkey:9")
    assert world.docker.contents["redis-data"]["dump.rdb"] == b"9:keys"
    assert world.serving() == world.serves("webui:1", "valkey:9")


def test_what_another_version_did_not_touch_stays_on_the_way_back(world: World) -> None:
    """Open WebUI is the same: only Valkey's data can't be read by the one of before."""
    world.upgrade("webui:2")
    world.clock.sleep(60)
    uploads = world.docker.contents["open-webui"].path / "uploads"  # type: ignore[attr-defined]
    before = uploads.stat().st_ino
    with pytest.raises(HostError, match=STEP_BACK):
        world.upgrade("webui:ill", "valkey:9")
    assert (world.rows, uploads.stat().st_ino) == (["before", "since"], before)
    is_whole(world, "")


# --- Refused, with nothing stopped


def unchanged(world: World, match: str, change: Callable[[], object]) -> None:
    before = len(world.docker.events)
    with pytest.raises(HostError, match=match):
        change()
    started = [one.name for one in world.docker.events[before:] if one.action == "start"]
    assert set(started) <= {"open-webui-stack-helper"}
    assert (world.serving(), world.left()) == (world.serves("webui:1"), [])
    assert "webui:1" in (world.files.read_text(f"{FOLDER}/.env") or "")


def test_without_room_for_the_data_twice_nothing_is_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = "/var/lib/docker/volumes/open-webui/_data"
    world.system.put(f"{folder}/webui.db", b"x" * 5000)
    monkeypatch.setattr(disk, "room", lambda *_: {"disk_free_kb": 1024})
    words = f"room: expected 1 MB free for the way back, got 1 in {folder}; free some; nothing was changed"
    unchanged(world, words, world.upgrade)
    monkeypatch.setattr(disk, "room", lambda *_: {"disk_free_kb": 2048})
    world.upgrade()
    assert world.serving() == world.serves("webui:2")


def test_there_is_not_room_because_docker_does_not_say_where_the_data_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compatibility has asked for the volume before."""
    looked = upgrade.Upgrade._moves

    def then_silent(self: upgrade.Upgrade) -> list[str]:
        found = looked(self)
        monkeypatch.setattr(world.engine, "volume", silent)
        return found

    monkeypatch.setattr(upgrade.Upgrade, "_moves", then_silent)
    unchanged(world, "room: expected Docker to say where the volume open-webui is, got none in time", world.upgrade)


def silent(_: str) -> None:
    raise Unavailable("GET /volumes/open-webui", "none in time")


@pytest.mark.parametrize("silent", ["stop", "running"])
def test_no_set_is_made_while_somebody_may_write(world: World, monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    """Docker does not stop the processes, or does not tell that they run on."""
    monkeypatch.setattr(world.engine, silent, lambda *_, **__: fails(silent))
    with pytest.raises(HostError):
        world.upgrade()
    assert (world.sets(), world.harm) == ([], [])
    monkeypatch.undo()
    no_programs(monkeypatch)
    ends_well(world, "", [world.serves("webui:1")])


def fails(what: str) -> None:
    raise Unavailable(what, "none in time")


def test_without_the_images_of_the_last_good_release_nothing_is_stopped(world: World) -> None:
    gone = world.docker.images.pop(world.docker.find_image("webui:1").id)
    with pytest.raises(HostError, match="expected it on the host as it was then"):
        world.upgrade()
    world.docker.images[gone.id] = gone
    assert (world.serving(), world.left()) == (world.serves("webui:1"), [])


def test_without_a_sound_release_to_go_back_to_nothing_is_stopped(world: World) -> None:
    world.files.write(f"{FOLDER}/.good/.env", "")
    with pytest.raises(HostError, match="got them damaged"):
        world.upgrade()
    world.files.remove_tree(f"{FOLDER}/.good")
    with pytest.raises(HostError, match="expected a good deploy to go back to, got none"):
        world.upgrade()
    assert (world.serving(), world.left()) == (world.serves("webui:1"), [])


def test_an_older_version_is_refused(world: World) -> None:
    world.upgrade()
    with pytest.raises(HostError, match="expected an Open WebUI that knows the data's schema, got an older one"):
        world.upgrade("webui:1")
    assert world.serving() == world.serves("webui:2")


def test_without_a_set_nothing_is_upgraded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise HostError("room", expected="5 MB free", got="1 MB", do="free some")

    monkeypatch.setattr(world, "save", fail)
    words = "no set could be made, so nothing was upgraded; open-webui runs again as it was"
    with pytest.raises(HostError, match=words):
        world.upgrade()
    is_whole(world, "")
    assert world.serving() == world.serves("webui:1")
    assert world.said[0].startswith("room: expected 5 MB free, got 1 MB")


def test_containers_made_by_hand_are_taken_over_on_data_that_stay_as_they_are(world: World) -> None:
    asked = upgrade.Request({**vars(world.deploy("webui:2")), "replace": ["open-webui"]}, {})
    world.put("webui:2")
    with pytest.raises(HostError, match="rehearses that, and can go back"):
        upgrade.Upgrade(world.made(), asked, world.save).upgrade()
    assert world.serving() == world.serves("webui:1")


def test_an_upgrade_takes_over_from_a_deploy_that_was_cut_off(world: World) -> None:
    world.put("webui:same")
    one = up.of(world.made(), world.deploy("webui:same"))
    one.begin(world.deploy("webui:same"))
    one.make_room(world.deploy("webui:same"))
    world.upgrade("webui:2")
    is_whole(world, "")
    assert world.serving() == world.serves("webui:2")


# --- After a crash


def cut_off_at(world: World, step: str, image: str = "webui:2") -> None:
    """The upgrade is killed right after it has written a step down."""
    with pytest.MonkeyPatch.context() as patch:
        write = Journal._write

        def killed(self: Journal, entry: object) -> None:
            write(self, entry)  # type: ignore[arg-type]
            if entry.step == step:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        patch.setattr(Journal, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            world.upgrade(image)


@pytest.mark.parametrize("step", [up.START, up.LET_GO, up.REMEMBER])
def test_people_who_worked_with_the_new_version_keep_it_and_all_they_wrote(world: World, step: str) -> None:
    cut_off_at(world, up.LET_GO)
    world.made().journal.step(step)
    world.write("later")
    world.recover()
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:2"), ["before", "since", "later"])
    assert world.said[-1] == "an upgrade was cut off after it had migrated the data; the new version runs"


def test_a_new_version_that_was_healthy_and_is_not_any_more_leaves_a_set(tmp_path: Path) -> None:
    world = World(tmp_path, "sqlite", 3)
    cut_off_at(world, upgrade.SAVE, "webui:late")
    world.write("later")
    world.recover()
    is_whole(world, "")
    assert (world.rows, "later" in world.saved()) == (["before"], True)
    assert world.said[-1] == "what was there before runs again"


def test_before_any_data_were_changed_what_ran_runs_again_on_them(world: World) -> None:
    cut_off_at(world, upgrade.SECURE)
    world.recover()
    is_whole(world, "")
    assert world.serving() == world.serves("webui:1")
    assert world.said[-3::2] == [
        "an upgrade was cut off before it changed any data",
        "what was there before runs again",
    ]


def test_a_way_back_that_fails_keeps_its_note_and_the_next_one_ends_it(world: World) -> None:
    cut_off_at(world, upgrade.PUT_BACK, "webui:ill")
    gone = world.docker.find_image("webui:1").id
    image = world.docker.images.pop(gone)
    with pytest.raises(HostError):
        world.recover()
    assert world.said[-1] == "what was there before does not run yet; run this again"
    assert world.left() == [".restoring", ".upgrading", "journal.json"]
    world.docker.images[gone] = image
    world.recover()
    is_whole(world, "")
    assert world.serving() == world.serves("webui:1")


def test_an_upgrade_whose_way_back_fails_keeps_its_note(world: World) -> None:
    """An image of the last good deploy is pruned while the new version starts."""
    start = up.Up.start
    gone = world.docker.find_image("webui:1")

    def then_pruned(self: up.Up, asked: up.Request) -> None:
        try:
            start(self, asked)
        finally:
            del world.docker.images[gone.id]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(up.Up, "start", then_pruned)
        with pytest.raises(HostError, match="that one does not run yet; its data are kept: run this again"):
            world.upgrade("webui:ill")
    assert world.left() == [".restoring", ".upgrading", "journal.json"]
    world.docker.images[gone.id] = gone
    world.recover()
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:1"), ["before"])


def test_no_answer_about_the_schema_is_no_reason_to_drop_what_was_written(world: World) -> None:
    cut_off_at(world, up.LET_GO)
    world.made().journal.step(up.START)
    commands = world.docker.programs[world.docker.find_image("webui:2").id].commands
    kept = dict(commands)
    commands["python3"] = lambda _: b"Killed\n"  # type: ignore[index]
    with pytest.raises(HostError, match="expected an answer of Open WebUI's image"):
        world.recover()
    assert (world.rows, world.serving()) == (["before", "since"], world.serves("webui:2"))
    commands.update(kept)  # type: ignore[attr-defined]
    world.recover()
    assert (world.rows, world.serving()) == (["before", "since"], world.serves("webui:2"))


# --- A mark of earlier versions


def test_a_mark_of_an_earlier_version_goes_forward_where_the_new_one_is_healthy(world: World) -> None:
    cut_off_at(world, up.LET_GO)
    (made,) = world.sets()
    world.made().journal.end()
    old(world, made)
    world.recover()
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:2"), ["before", "since"])
    assert upgrade.STEPS[3].name == OLD_MARK


@pytest.mark.parametrize("recalled", [False, True], ids=["its files are there", "the files of before are back"])
def test_a_mark_of_an_earlier_version_goes_back_where_it_is_not(world: World, recalled: bool) -> None:
    cut_off_at(world, upgrade.SAVE, "webui:ill")
    (made,) = world.sets()
    world.made().journal.end()
    old(world, made)
    if recalled:
        world.made().releases.recall()
    world.recover()
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:1"), ["before"])
    assert f"an upgrade was cut off; the data of {made} come back" in world.said


# --- Killed, cut off, and failing, everywhere

SCENARIOS: dict[str, tuple[str, int, str, str]] = {
    "a good one": ("sqlite", 1, "webui:2", "valkey:8"),
    "a good one of three": ("sqlite", 3, "webui:2", "valkey:9"),
    "one that is ill": ("sqlite", 1, "webui:ill", "valkey:9"),
    "a migration that fails": ("sqlite", 1, "webui:broken", "valkey:8"),
    "a second process that fails": ("sqlite", 3, "webui:late", "valkey:8"),
    "a good one on Postgres": ("postgres", 1, "webui:2", "valkey:8"),
    "a second process that fails on Postgres": ("postgres", 3, "webui:late", "valkey:8"),
}


def scenario(tmp_path: Path, name: str) -> tuple[World, Callable[[World], object], list[dict[str, str]]]:
    kind, processes, image, valkey_image = SCENARIOS[name]
    start = World(tmp_path, kind, processes)
    start.put(image, valkey_image)
    served = [start.serves("webui:1")]
    if image == "webui:2":
        served.append(start.serves(image, valkey_image))
    return start, lambda world: world.upgrade_to(image, valkey_image), served


HEAVY = {"a good one of three", "a good one on Postgres"}


def changes_outside(point: str) -> bool:
    return is_change(point) and outside(point)


def of_others(point: str) -> bool:
    """Whether a point is one of Docker or compose. What failing files do, the other scenarios know."""
    return ": " in point


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_an_upgrade_that_is_cut_off_anywhere_ends_well(tmp_path: Path, name: str) -> None:
    start, change, served = scenario(tmp_path, name)
    crashes = 0
    ends = (None,) if "Postgres" in name else (None, True)
    for where, world in every_crash(start, change, points=changes_outside, ends=ends):
        ends_well(world, where, served)
        crashes += 1
    assert crashes > 60


@pytest.mark.crash
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "a second process that fails on Postgres"])
def test_an_upgrade_in_which_a_call_fails_ends_well(tmp_path: Path, name: str) -> None:
    start, change, served = scenario(tmp_path, name)
    for where, world, error in every_failure(start, change, points=of_others if name in HEAVY else outside):
        if error is None:
            assert world.serving() == served[-1], where
        ends_well(world, where, served)


@pytest.mark.crash
@pytest.mark.parametrize("step", [up.START, upgrade.SAVE, upgrade.PUT_BACK])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_recovery_that_is_cut_off_anywhere_is_ended_by_the_next_one(tmp_path: Path, kind: str, step: str) -> None:
    start = World(tmp_path, kind, 3)
    cut_off_at(start, step, "webui:late")
    for where, world in every_crash(start, World.recover, points=changes_outside, ends=(None,)):
        ends_well(world, where, [start.serves("webui:1")])
