"""Rollback: an earlier release runs again, on data that it can read, or today's runs on; nothing written is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.fake_deployment import FIRST, FOLDER, USERS, World, is_whole, no_programs
from tests.host.points import every_crash, every_failure, is_change, outside
from tests.host.test_recover import NoLocks
from webui_stack.host import assembly, dockerd
from webui_stack.host.engine import Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Processes
from webui_stack.host.journal import Journal
from webui_stack.host.protocol import Event
from webui_stack.host.verbs import backup, releases, rollback, up, upgrade


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    no_programs(monkeypatch)


def upgraded(world: World, image: str = "webui:2", valkey_image: str = "valkey:8") -> World:
    """Version 1 was in force, then another one, in which people have written."""
    world.upgrade(image, valkey_image)
    world.clock.sleep(60)
    world.write("later")
    world.said.clear()
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return upgraded(World(tmp_path))


def second(world: World) -> str:
    return world.release.name()


# --- The story


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("processes", [1, 3])
def test_the_earlier_release_comes_back_with_its_data_and_todays_are_in_a_set(
    tmp_path: Path, kind: str, processes: int
) -> None:
    world = upgraded(World(tmp_path, kind, processes))
    left, (its,) = second(world), world.sets()
    world.roll_back()
    is_whole(world, "")
    assert (world.serving(), world.rows, "later" in world.saved()) == (world.serves("webui:1"), ["before"], True)
    loading = ["loading postgres.dump"] if kind == "postgres" else []
    assert world.said == [
        *loading,
        f"going back to {FIRST}, with its data of {its}",
        f"{FIRST} runs again; the change took 0 s",
    ]
    made = world.made().releases
    assert (made.in_force.name(), made.left(), made.names(), made.is_abandoned(left)) == (FIRST, left, [left], True)


def test_data_that_the_earlier_release_can_read_stay_where_they_are(tmp_path: Path) -> None:
    world = upgraded(World(tmp_path), "webui:same")
    world.roll_back(may_replace=False)
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:1"), ["before", "later"])
    assert world.said[0] == f"going back to {FIRST}"
    assert len(world.sets()) == 1, "a set is made first, all the same"


def test_without_room_for_a_set_data_that_stay_need_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = upgraded(World(tmp_path), "webui:same")
    monkeypatch.setattr(world, "save", full)
    world.roll_back()
    assert "no set was made; the data stay where they are" in world.said
    assert world.serving() == world.serves("webui:1")


def test_keys_that_the_earlier_valkey_can_not_read_come_out_of_the_set(tmp_path: Path) -> None:
    world = upgraded(World(tmp_path), "webui:1", "valkey:9")
    with pytest.raises(HostError, match="its Valkey does not read today's data"):
        world.roll_back(may_replace=False)
    world.roll_back()
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:1"), ["before", "later"])
    assert world.docker.contents["redis-data"]["dump.rdb"] == b"8:keys"


def test_a_second_rollback_changes_nothing_and_lists_what_there_is(world: World) -> None:
    left = second(world)
    world.roll_back()
    world.said.clear()
    world.roll_back()
    assert (
        world.said[0]
        == f"{FIRST} is in force, gone back to from {left} already; to go further, name one in rollback_to:"
    )
    assert [line.partition("  ")[0] for line in world.said[1:]] == [FIRST, left]
    world.said.clear()
    world.roll_back(FIRST)
    assert world.said == [f"{FIRST} is in force"]


def test_passwords_stay_those_of_now_and_users_are_those_of_then(world: World) -> None:
    now = USERS.replace("#aa", "#bb") + "user new on #cc +@all\n"
    world.files.write(f"{FOLDER}/valkey/users.acl", now)
    world.roll_back()
    users = (world.files.read_text(f"{FOLDER}/valkey/users.acl") or "").rstrip("\n")
    assert users == USERS.replace("#aa", "#bb").rstrip("\n")
    label = f"VALKEY_ACL_SHA256='{hashlib.sha256(users.encode()).hexdigest()}'"
    assert label in (world.files.read_text(f"{FOLDER}/.env") or "")
    assert world.files.read_text(f"{FOLDER}/valkey/start.sh") == "# webui:1\n"


# --- Refused, with nothing changed


def full() -> str:
    raise HostError("room", expected="5 MB free", got="1 MB", do="free some")


def refused(world: World, words: str, to: str = "previous", *, may_replace: bool = True) -> None:
    with pytest.raises(HostError) as caught:
        world.roll_back(to, may_replace=may_replace)
    assert str(caught.value) == words
    assert (world.serving(), world.left()) == (world.serves("webui:2"), [])
    assert world.rows == ["before", "since", "later"]


def test_what_is_no_earlier_release_is_refused_with_the_list(world: World) -> None:
    listed = ",".join(str(one) for one in world.made().releases.listed())
    refused(world, f"rollback: expected an earlier good deploy, got {listed}; nothing was changed", "20200101T000000Z")


def test_data_are_replaced_only_where_that_is_allowed(world: World) -> None:
    (name,) = world.sets()
    refused(
        world,
        f"rollback: expected this host in restore_over, got it not: {FIRST} takes the data of {name} (its Open WebUI "
        "does not know the schema of today's data), and what was written since leaves the stack, though not the set "
        "that is made of it first; nothing was changed",
        may_replace=False,
    )


def test_a_set_that_is_gone_or_damaged_is_refused(world: World) -> None:
    (name,) = world.sets()
    world.unsound = b"webui.db: expected 9 bytes, got 8\n"
    refused(
        world, f"rollback: expected the whole set {name}, got webui.db: expected 9 bytes, got 8; nothing was changed"
    )
    world.files.remove_tree(f"/var/backups/open-webui/{name}")
    why = "its Open WebUI does not know the schema of today's data"
    words = f"rollback: expected a set with the data of {FIRST}, got {name}; {why}; nothing was changed"
    refused(world, words)
    world.files.remove(f"{FOLDER}/.deploys/{FIRST}/data")
    refused(world, words.replace(name, "none"))


def test_a_release_that_would_migrate_todays_data_is_refused(world: World) -> None:
    first = second(world)
    world.roll_back()
    with pytest.raises(HostError) as caught:
        world.roll_back(first)
    assert str(caught.value) == (
        f"rollback: expected an earlier version, got {first}, which would change the schema of today's data; "
        "runbooks/upgrade.py goes forward; nothing was changed"
    )


def test_a_damaged_release_and_one_without_its_images_are_refused(world: World) -> None:
    gone = world.docker.images.pop(world.docker.find_image("webui:1").id)
    with pytest.raises(HostError, match=f"rollback: expected all that {FIRST} needs, got none; nothing was changed"):
        world.roll_back()
    assert "docker load or pull it" in world.said[-1]
    world.docker.images[gone.id] = gone
    world.files.write(f"{FOLDER}/.deploys/{FIRST}/compose.yaml", "")
    with pytest.raises(HostError, match=f"rollback: expected all that {FIRST} needs, got them damaged"):
        world.roll_back()
    assert (world.serving(), world.left()) == (world.serves("webui:2"), [])


def test_a_release_on_another_database_is_refused(world: World) -> None:
    path = f"{FOLDER}/.deploys/{FIRST}/compose.yaml"
    world.files.write(path, (world.files.read_text(path) or "") + "      DATABASE_URL: x\n")
    world.files.remove(f"{FOLDER}/.deploys/{FIRST}/sums")
    refused(
        world,
        f"rollback: expected a deploy with the database of now, sqlite, got {FIRST} with external: people would find "
        "none of their chats since; nothing was changed",
    )


def test_where_the_schema_can_not_be_compared_nothing_is_replaced(world: World) -> None:
    commands = world.docker.programs[world.docker.find_image("webui:1").id].commands
    commands["python3"] = lambda _: b"Killed\n"  # type: ignore[index]
    refused(world, "rollback: expected to compare the schema, got Killed; nothing was changed")


def test_without_a_set_of_todays_data_they_are_not_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "save", full)
    refused(world, "rollback: expected a set of today's data, got none; nothing was changed")
    assert world.said[0].startswith("room: expected 5 MB free")


def test_without_room_for_the_sets_data_nothing_is_stopped(world: World) -> None:
    (name,) = world.sets()
    world.files.remove(f"/var/backups/open-webui/{name}/open-webui.tar")
    before = [one.started_at for one in world.docker.held.values()]
    refused(world, f"rollback: expected room for the data of {name}, got an error; nothing was changed")
    assert [one.started_at for one in world.docker.held.values()] == before


def test_a_host_without_a_stack_has_nothing_to_go_back_to(world: World) -> None:
    world.files.remove_tree(f"{FOLDER}/.good")
    with pytest.raises(HostError, match=r"rollback: expected a deployed stack, got none; run deploy.py first"):
        world.roll_back()


# --- What does not get healthy


def with_ill_release(world: World) -> World:
    """The images of the first release do not get healthy any more."""
    id_ = world.docker.find_image("webui:1").id
    program = world.docker.programs[id_]
    object.__setattr__(program, "health", lambda _: "unhealthy")
    return world


def test_what_runs_on_where_the_earlier_release_does_not_get_healthy_has_all_its_data(world: World) -> None:
    with pytest.raises(HostError, match=f"{second(world)} runs on; nothing was rolled back"):
        with_ill_release(world).roll_back()
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:2"), ["before", "since", "later"])
    assert world.made().releases.names() == [FIRST]


def test_what_people_wrote_in_the_earlier_release_is_in_a_set_where_that_is_left_again(tmp_path: Path) -> None:
    world = upgraded(World(tmp_path, "sqlite", 3))
    cut_off_at(world, rollback.START)
    service = "open-webui"
    world.made().releases.take(world.made().releases.earlier(FIRST))
    world.made().containers.stop("open-webui(-[0-9]+)?")
    world.project.up("redis")
    world.project.up(service)
    world.write("in the first")
    world.recover()
    is_whole(world, "")
    assert (world.rows, "in the first" in world.saved()) == (["before", "since", "later"], True)
    assert world.said[-1] == "what was there before runs again"


# --- What was cut off before


def cut_off_at(world: World, step: str) -> None:
    """The rollback is killed right after it has written a step down."""
    with pytest.MonkeyPatch.context() as patch:
        write = Journal._write

        def killed(self: Journal, entry: object) -> None:
            write(self, entry)  # type: ignore[arg-type]
            if entry.step == step:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        patch.setattr(Journal, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            world.roll_back()


def test_one_that_was_cut_off_is_put_back_first_and_then_done(world: World) -> None:
    cut_off_at(world, rollback.START)
    world.roll_back()
    is_whole(world, "")
    assert {"a rollback was cut off", "what was there before runs again"} <= set(world.said)
    assert (world.serving(), world.rows, "later" in world.saved()) == (world.serves("webui:1"), ["before"], True)


def test_one_that_was_healthy_goes_on(world: World) -> None:
    cut_off_at(world, rollback.REMEMBER)
    world.write("in the first")
    world.recover()
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:1"), ["before", "in the first"])
    assert world.said[-1] == f"a rollback was cut off; {FIRST} runs"


def test_a_mark_of_an_earlier_version_puts_the_data_of_before_back(world: World) -> None:
    cut_off_at(world, rollback.START)
    world.files.remove(f"{FOLDER}/journal.json")
    assert world.files.read_text(f"{FOLDER}/.restoring") == "rollback\n"
    world.recover()
    is_whole(world, "")
    assert (world.serving(), world.rows) == (world.serves("webui:2"), ["before", "since", "later"])


def test_an_upgrade_that_was_cut_off_and_goes_back_is_all_that_is_gone_back(world: World) -> None:
    name = second(world)
    world.made().journal.begin(up.VERB, Processes().me("x"))
    noted = {"request": {"up": vars(world.deploy("webui:3")), "backup": {}}, "moves": ["open-webui"]}
    world.made().journal.become(upgrade.VERB, upgrade.SECURE, noted)
    world.put("webui:3")
    world.roll_back()
    is_whole(world, "")
    assert (world.serving(), world.release.name()) == (world.serves("webui:2"), name)
    assert world.said[-1] == "what was there before runs again"


# --- What an operator asks


def test_the_list_has_a_line_for_each_release(world: World) -> None:
    lines = releases.lines(world.made())
    assert [line.partition("  ")[0] for line in lines] == [second(world), FIRST]
    assert lines[0].endswith("  in force")
    assert lines[1].endswith(f"  its last data are in {world.sets()[0]}")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_images_are_compared_with_what_runs_and_with_the_data(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, kind)
    same = {"schema": "same", "there": "s1", "wanted": "s1", "valkey": False, "postgres": False}
    assert releases.compared(world.made(), "webui:1", "valkey:8") == same
    found = releases.compared(world.made(), "webui:2", "valkey:9")
    assert found == {"schema": "older", "there": "s1", "wanted": "s2", "valkey": True, "postgres": False}
    world.files.write(f"{FOLDER}/.env", "DATABASE_URL='postgresql://u:p@db.example.org/x'\n")
    assert releases.compared(world.made(), "webui:2", "valkey:9")["schema"] == "unknown"


def test_a_comparison_without_an_answer_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(name: str) -> None:
        raise Unavailable(f"GET /images/{name}", "none in time")

    monkeypatch.setattr(world.engine, "image", silent)
    with pytest.raises(HostError, match="none in time"):
        releases.compared(world.made(), "webui:2", "valkey:8")


def test_the_verbs_ask_with_the_stack_to_themselves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    for module in (releases, rollback, upgrade):
        monkeypatch.setattr(module, "require_root", lambda: None)
        monkeypatch.setattr(module, "Locks", lambda *_: NoLocks())
    for module in (rollback, upgrade):
        monkeypatch.setattr(module, "Files", lambda: world.files)
    monkeypatch.setattr(assembly, "Files", lambda: world.files)
    monkeypatch.setattr(assembly, "Compose", lambda *_, **__: world.project)
    monkeypatch.setattr(dockerd, "engine", lambda _: world.engine)
    monkeypatch.setattr(backup, "within", lambda *_: world.save())
    stack = vars(world.of)

    def say(event: Event) -> None:
        said.append(event.text)

    assert len(releases.look({"stack": stack}, say)) == 2
    asked = {"stack": stack, "image": "webui:3", "valkey_image": "valkey:8"}
    assert releases.compare(asked, say)["schema"] == "older"
    request = {"to": "previous", "backup": {}, "may_replace": True, "containers": ["redis-valkey", "open-webui"]}
    rollback.run({"stack": stack, "request": request}, say)
    is_whole(world, "")
    assert said[-1] == f"{FIRST} runs again; the change took 0 s"
    assert (world.files.read_text("/run/open-webui-stack.rollback") or "").splitlines()[-1] == said[-1]
    with pytest.raises(HostError, match="expected an earlier good deploy"):
        rollback.run({"stack": stack, "request": {**request, "to": "20200101T000000Z"}}, say)
    world.put("webui:3")
    world.clock.sleep(60)
    deploy = {"up": vars(world.deploy("webui:3")), "backup": {}}
    upgrade.run({"stack": stack, "request": deploy}, say)
    is_whole(world, "")
    assert world.serving() == world.serves("webui:3")
    world.put("webui:1")
    with pytest.raises(HostError, match="set a newer one, or go back"):
        upgrade.run({"stack": stack, "request": {**deploy, "up": vars(world.deploy("webui:1"))}}, say)


# --- Killed, cut off, and failing, everywhere


def data_back(tmp_path: Path) -> World:
    return upgraded(World(tmp_path))


def data_back_of_three(tmp_path: Path) -> World:
    return upgraded(World(tmp_path, "sqlite", 3), "webui:2", "valkey:9")


def data_back_on_postgres(tmp_path: Path) -> World:
    return upgraded(World(tmp_path, "postgres"))


def data_stay(tmp_path: Path) -> World:
    return upgraded(World(tmp_path, "sqlite", 3), "webui:same")


def ill(tmp_path: Path) -> World:
    return with_ill_release(upgraded(World(tmp_path)))


SCENARIOS: dict[str, Callable[[Path], World]] = {
    "the data come back": data_back,
    "the data come back to three": data_back_of_three,
    "the data come back on Postgres": data_back_on_postgres,
    "the data stay": data_stay,
    "the earlier one is ill": ill,
}


def ends_well(world: World, where: str) -> None:
    """One release runs, on data that are its own, and all that was written is there or in a set."""
    world.recover()
    is_whole(world, where)
    there = world.serving()
    assert set(there) == set(world.serves("x")), where
    assert "later" in world.rows or "later" in world.saved(), where
    if there["open-webui"] in ("webui:2", "webui:same"):
        assert "later" in world.rows, where
    if world.docker.programs[world.docker.find_image("webui:1").id].health(None) == "healthy":  # type: ignore[misc, arg-type]
        if there["open-webui"] != "webui:1":
            world.roll_back()
        is_whole(world, where)
        assert world.serving() == world.serves("webui:1"), where
        assert world.release.name() == FIRST, where


HEAVY = {"the data come back to three", "the data come back on Postgres", "the earlier one is ill"}


def changes_outside(point: str) -> bool:
    return is_change(point) and outside(point)


def of_others(point: str) -> bool:
    """Whether a point is one of Docker or compose. What failing files do, the other scenarios know."""
    return ": " in point


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_rollback_that_is_cut_off_anywhere_ends_well(tmp_path: Path, name: str) -> None:
    ends = (None,) if "Postgres" in name else (None, True)
    crashes = 0
    for where, world in every_crash(SCENARIOS[name](tmp_path), World.roll_back, points=changes_outside, ends=ends):
        ends_well(world, where)
        crashes += 1
    assert crashes > 60


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_rollback_in_which_a_call_fails_ends_well(tmp_path: Path, name: str) -> None:
    for where, world, error in every_failure(
        SCENARIOS[name](tmp_path), World.roll_back, points=of_others if name in HEAVY else outside
    ):
        if error is None:
            assert world.serving()["open-webui"] == "webui:1", where
        ends_well(world, where)


@pytest.mark.crash
@pytest.mark.parametrize("step", [rollback.FILL, rollback.SWAP, rollback.START, rollback.REMEMBER])
def test_a_recovery_that_is_cut_off_anywhere_is_ended_by_the_next_one(tmp_path: Path, step: str) -> None:
    start = data_back(tmp_path)
    cut_off_at(start, step)
    for where, world in every_crash(start, World.recover, points=changes_outside, ends=(None,)):
        ends_well(world, where)
