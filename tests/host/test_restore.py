"""Restore: whatever fails, and wherever it is cut off, all of before serves or all of the set, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.host import fake_valkey, fake_volumes
from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Process, Program
from tests.host.fake_engine import REFUSED, UNAVAILABLE, FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.fake_postgres import IMAGE, SERVER, VOLUME, Server, dump
from tests.host.points import Points, every_crash, every_failure, is_change, outside
from tests.host.test_containers import one_by_one
from webui_stack.host import dockerd, journal, set_secrets
from webui_stack.host.assembly import Assembly, Stack
from webui_stack.host.backup_sets import MANIFEST
from webui_stack.host.containers import Containers
from webui_stack.host.data import cluster, folders
from webui_stack.host.data.postgres import ALONE
from webui_stack.host.data.sqlite import PROGRAM
from webui_stack.host.data.volumes import OPEN_WEBUI
from webui_stack.host.engine import NewContainer, Refused, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Holder, Processes, State
from webui_stack.host.journal import OLD_MARK, Entry, Journal
from webui_stack.host.kernel import LINUX
from webui_stack.host.locks import Held
from webui_stack.host.protocol import Event
from webui_stack.host.run_log import RunLog
from webui_stack.host.system import System
from webui_stack.host.verbs import backup, recover, restore
from webui_stack.host.verbs.restore import Request, Restore

FOLDER, SETS = "/opt/stack", "/var/backups/open-webui"
NAME = "20261128T030000Z"
ASKED = Request(
    restore_set="newest",
    image="webui:1",
    valkey_image="valkey:8",
    appendonly=False,
    containers=["redis-valkey", "open-webui", "open-webui-2", "open-webui-3"],
    followers=["open-webui-2", "open-webui-3"],
    may_replace=True,
    backup={},
    marks=["secrets/valkey-password"],
)
ON_POSTGRES = ["redis-valkey", SERVER, *ASKED.containers[1:]]


class DeadProcesses(Processes):
    def state(self, _: Holder) -> State:
        return "dead"


class World:
    """A stack that serves "old" data, and a set with "new" ones."""

    def __init__(self, kind: str = "sqlite", asked: Request = ASKED, *, runs: bool = True) -> None:
        self.kind = kind
        self.kernel = FakeKernel()
        self.files = FakeFiles(self.kernel)
        self.docker, self.clock = Docker(), FakeClock()
        self.said: list[str] = []
        self.saved: list[dict[str, str]] = []
        self.saved_files: set[str] = set()
        self.mixed = ""
        self.problems = b""
        self.points = Points(self.kernel)
        self.engine = FakeEngine(self.docker, faults=self.points)
        self.server = Server(self.docker)
        tools = {"python3": self.python3, "tar": fake_volumes.tar_in_memory, "sh": fake_volumes.shell_in_memory}
        self.docker.put_image("webui:1", Program(self.starts, commands=tools, health=self.health))
        self.docker.put_image("valkey:8", Program(self.starts, commands={"sh": fake_valkey.shell}, health=healthy))
        self.docker.put_image(IMAGE, replace(self.server.program(), health=healthy))
        self.asked = replace(asked, containers=ON_POSTGRES) if kind == "postgres" else asked
        if runs:
            self.put_data("old")
            self.deploy(asked)
        self.files.make_folder(f"{SETS}/{NAME}")
        self.put_set("new")

    def deploy(self, asked: Request) -> None:
        self.docker.put_volume("open-webui")
        self.docker.put_volume("redis-data")
        for name in asked.containers:
            at, volume = ("/data", "redis-data") if name == "redis-valkey" else (OPEN_WEBUI, "open-webui")
            image = "valkey:8" if name == "redis-valkey" else "webui:1"
            new = NewContainer(image, volumes=[f"{volume}:{at}"], restart_policy="unless-stopped")
            self.docker.put_container(name, new)
        if self.kind == "postgres":
            new = NewContainer(IMAGE, volumes=[f"{VOLUME}:{cluster.DATA}"], restart_policy="unless-stopped")
            self.docker.put_container(SERVER, new)

    def put_data(self, word: str) -> None:
        self.docker.put_volume("open-webui", {"webui.db": word.encode()})
        self.docker.put_volume("redis-data", {"dump.rdb": word.encode()})
        if self.kind == "postgres":
            self.docker.put_volume(VOLUME, {"PG_VERSION": b"17\n"})
            known = {"owners": {"open-webui": "open-webui"}, "superusers": ["postgres"], "password": "secret"}
            self.server.put({"databases": {"open-webui": word}, "roles": ["open-webui", "postgres"], **known})

    def put_set(self, word: str, name: str = NAME) -> None:
        self.files.make_folder(f"{SETS}/{name}")
        self.files.write(f"{SETS}/{name}/{MANIFEST}", "{}")
        self.files.write(f"{SETS}/{name}/open-webui.tar", json.dumps({"webui.db": word}))
        self.files.write(f"{SETS}/{name}/valkey.rdb", word)
        self.files.write(f"{SETS}/{name}/postgres.dump", dump(word))

    # --- Programs

    def python3(self, process: Process) -> bytes:
        if process.stdin == PROGRAM.read_bytes():
            assert process.command[2] == "check"
            return self.problems
        return fake_volumes.python3_in_memory(process)

    def starts(self, process: Process) -> None:
        """Who starts finds rows, files and keys of one set."""
        if process.container.auto_remove:
            return
        found = self.in_use()
        if len(set(found.values())) > 1:
            self.mixed = f"{process.container.name} started with {found}"
        there = process.files("/data") if process.container.name == "redis-valkey" else {}
        if self.asked.appendonly and there and not any(name.startswith("appendonlydir/") for name in there):
            self.mixed = "Valkey began empty"

    def health(self, process: Process) -> str:
        return "unhealthy" if process.files(OPEN_WEBUI).get("webui.db") == b"broken" else "healthy"

    # --- What is there

    def in_use(self) -> dict[str, str]:
        """Of which time rows, files and keys are."""
        contents = self.docker.contents
        found = {"files": contents.get("open-webui", {}).get("webui.db", b"").decode()}
        found["keys"] = contents.get("redis-data", {}).get("dump.rdb", b"").decode()
        if self.kind == "postgres":
            found["rows"] = self.rows().get("open-webui", "")
        return found

    def rows(self) -> dict[str, str]:
        """The databases of Postgres; {} where there is none yet."""
        has_some = self.kind == "postgres" and "state" in self.docker.contents.get(VOLUME, {})
        return self.server.databases if has_some else {}

    def has(self, word: str) -> bool:
        """Whether all parts of that time are in use, beside, or in a set that was made."""
        content = word.encode()
        everywhere = [
            self.kind == "sqlite" or word in self.rows().values(),
            content in self.docker.contents["open-webui"].values(),
            content in self.docker.contents["redis-data"].values(),
        ]
        return all(everywhere) or any(set(one.values()) == {word} for one in self.saved)

    def all(self, word: str) -> dict[str, str]:
        return dict.fromkeys(self.in_use(), word)

    def beside(self) -> list[str]:
        found = [name for volume in ("open-webui", "redis-data") for name in self.docker.contents.get(volume, {})]
        return [name for name in found if name.startswith(folders.PREFIX)] + [
            n for n in self.rows() if n != "open-webui"
        ]

    def serving(self) -> list[str]:
        names = self.asked.containers
        return [one.name for one in self.docker.held.values() if one.runs and one.name in names]

    def is_up(self) -> bool:
        return sorted(self.serving()) == sorted(one.name for one in self.docker.held.values() if not one.auto_remove)

    def marks(self) -> list[str]:
        return [name for name in self.files.listdir(FOLDER) or [] if name in (".restoring", "journal.json")]

    # --- The verb

    def save(self) -> None:
        errors = {
            UNAVAILABLE: lambda: Unavailable("a set", "no answer"),
            REFUSED: lambda: Refused("a set", "no", status=500),
        }
        with self.points.call("docker: save a set", changes=True, errors=errors, lost=UNAVAILABLE):
            self.saved.append(self.in_use())
            self.saved_files |= set(self.docker.contents["open-webui"])

    def verb(self, asked: Request | None = None) -> Restore:
        asked = asked or self.asked
        stack = Stack(
            *(FOLDER, self.kind, "open-webui", "redis-data", VOLUME, IMAGE),  # type: ignore[arg-type]
            wait_s=2,  # each look is a call that can fail
            releases_kept=10,
            backup_dir=SETS,
        )
        log = RunLog(self.files, "", lambda event: self.said.append(event.text))
        table = {restore.VERB: restore.STEPS}
        parts = {"files": self.files, "clock": self.clock, "engine": self.engine}
        made = Assembly(stack, log, table=table, system=Age(), **parts)  # type: ignore[arg-type]
        made.__dict__["containers"] = Containers(self.engine, self.clock, each=one_by_one)
        made.__dict__["journal"] = self.journal
        return Restore(made, asked, save=self.save)

    @property
    def journal(self) -> Journal:
        return Journal(self.files, FOLDER, {restore.VERB: restore.STEPS}, self.clock)

    def restore(self, asked: Request | None = None) -> str:
        return self.verb(asked).restore()

    def recover(self) -> Entry | None:
        entry = self.journal.open()
        if entry and entry.step:
            told = replace(Request(**entry.data["request"]), restore_set="newest")
            assert told == self.asked, "its journal alone tells"
            assert "stack" in entry.data
        me = Holder("recover", 4712, "4026531836", 100, "boot-1")
        return journal.recover(self.journal, {restore.VERB: self.verb()}, me, DeadProcesses())

    def boot(self) -> None:
        """A swap or an undo that was under way in a container has done a part of its work: one folder."""
        for one in list(self.docker.held.values()):
            if one.ending is not None and one.argv[:1] == ("python3",) and one.argv[2] in ("swap", "undo"):
                fake_volumes.act_in_memory(one.argv[2], self.docker.contents["open-webui"])
        self.docker.power_cut()


class Age(System):
    """age, which knows one identity."""

    def through(self, *command: str, stdin: bytes) -> bytes:
        assert command[:4] == ("age", "--decrypt", "--identity", "-")
        assert b"AGE" not in " ".join(command).encode()
        assert stdin == b"AGE-SECRET-KEY-1X\n"
        return b""


def healthy(_: Process) -> str:
    return "healthy"


# --- The story


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_sets_data_take_the_place_of_those_in_use_and_a_set_of_these_is_made_first(kind: str) -> None:
    world = World(kind)
    assert world.restore() == NAME
    assert (world.in_use(), world.saved) == (world.all("new"), [world.all("old")])
    assert world.has("old")
    assert (world.is_up(), world.marks(), world.mixed) == (True, [], "")
    told = [line for line in world.said if not line.startswith(("unpacking", "loading"))]
    assert told == [
        f"restore: reading {NAME}",
        "restore: stopping Open WebUI and Valkey",
        "restore: starting the stack",
        f"the data of {NAME} is in place",
        "the stack was away for 0 s",
    ]
    world.verb().settle()
    assert (world.in_use(), world.beside()) == (world.all("new"), [])


def test_the_first_process_migrates_alone_and_the_others_start_together_after_it() -> None:
    world = World()
    world.restore()
    started = [one.name for one in world.docker.events if one.action == "start" and one.name in world.asked.containers]
    assert started[-4:] == ["redis-valkey", "open-webui", "open-webui-2", "open-webui-3"]
    calls = "".join(world.said)
    assert "not healthy" not in calls


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_data_that_do_not_get_healthy_give_way_to_what_was_there(kind: str) -> None:
    world = World(kind)
    world.put_set("broken")
    world.docker.named("open-webui").logs = b"file is not a database\n"
    with pytest.raises(HostError, match=r"what was there before is in place again$"):
        world.restore()
    assert f"it does not get healthy with {NAME}; its last lines:" in world.said
    assert "  | file is not a database" in world.said
    assert (world.in_use(), world.beside(), world.is_up(), world.marks()) == (world.all("old"), [], True, [])


def test_what_the_first_process_took_is_in_a_set_where_another_one_does_not_get_healthy() -> None:
    """L11: it was dropped without one."""
    world = World()
    ill = world.docker.put_image("webui:ill", Program(health=lambda _: "unhealthy"))
    world.docker.named("open-webui-3").image_id = ill
    with pytest.raises(HostError, match=r"open-webui-3: expected it to get healthy within 2 s, got running unhealthy"):
        world.restore()
    assert world.saved == [world.all("old"), world.all("new")]
    assert world.in_use() == world.all("old")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_host_without_a_stack_gets_the_data_and_nothing_is_started(kind: str) -> None:
    world = World(kind, runs=False)
    world.restore(replace(world.asked, may_replace=False))
    assert world.in_use() == world.all("new")
    assert (world.docker.held, world.saved, world.marks()) == ({}, [], [])


def test_without_postgres_container_its_rows_are_put_in_place_and_the_deploy_starts_what_needs_it() -> None:
    world = World("postgres")
    world.docker.drop(world.docker.named(SERVER))
    world.restore()
    assert world.in_use() == world.all("new")
    assert world.serving() == []
    assert ALONE not in [one.name for one in world.docker.held.values()]
    assert any(f"{SERVER} not running" in line for line in world.said)


def test_a_stack_that_does_not_work_makes_no_set_and_keeps_what_is_replaced() -> None:
    world = World()
    world.docker.contents["open-webui"]["webui.db"] = b"broken"
    world.restore()
    assert world.saved == []
    assert "no set of what is replaced is made, with Open WebUI not healthy: it stays in the volumes" in "".join(
        world.said
    )
    assert b"broken" in world.docker.contents["open-webui"].values()


def test_earlier_data_that_nobody_accepted_outlive_a_second_restore() -> None:
    """L9: the proof failed, and the second restore forgot the only copy."""
    world = World()
    world.restore()
    world.put_set("newer")
    world.restore()
    world.saved.clear()
    assert world.in_use() == world.all("newer")
    assert world.has("old")
    assert world.has("new")
    world.verb().settle()
    assert world.beside() == []


# --- Refused


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_data_are_replaced_only_where_the_operator_says_so(kind: str) -> None:
    world = World(kind)
    refused = f"expected no data here, got a stack's; name the host in restore_over to put {NAME} in its place"
    with pytest.raises(HostError, match=refused):
        world.restore(replace(world.asked, may_replace=False))
    for one in list(world.docker.held.values()):
        world.docker.drop(one)
    with pytest.raises(HostError, match=refused):
        world.restore(replace(world.asked, may_replace=False))
    assert (world.in_use(), world.beside(), world.saved) == (world.all("old"), [], [])


def test_what_can_not_be_used_or_would_be_migrated_changes_nothing() -> None:
    world = World()
    with pytest.raises(
        HostError, match=rf"expected the set 20250101T000000Z in {SETS}, got {NAME}; runbooks/backup.py"
    ):
        world.restore(replace(ASKED, restore_set="20250101T000000Z"))
    world.problems = b"valkey.rdb: expected 3 bytes, got 2\n"
    with pytest.raises(HostError, match=rf"got valkey.rdb: expected 3 bytes, got 2; {NAME} can't be used; nothing was"):
        world.restore()
    world.problems = b""
    world.docker.named("open-webui").image_id = world.docker.put_image("webui:2")
    with pytest.raises(HostError, match=r"expected webui:1 to run here, got another image; nothing was changed; set"):
        world.restore()
    assert (world.beside(), world.saved, world.marks()) == ([], [], [])


def test_a_set_whose_data_are_elsewhere_is_refused() -> None:
    world = World()
    world.kind = "external"
    with pytest.raises(HostError, match="expected a database of the stack's own, got database_url; put its data back"):
        world.restore()


def test_another_verb_that_was_cut_off_is_named() -> None:
    world = World()
    world.files.make_folder(FOLDER)
    world.files.write(f"{FOLDER}/.restoring", "rollback\n")
    with pytest.raises(HostError, match=r"expected nothing that was cut off, got rollback, .*run runbooks/rollback.py"):
        world.restore()


def test_no_room_for_the_set_changes_nothing() -> None:
    world = World()
    world.files.write(f"{SETS}/{NAME}/open-webui.tar", "{")
    with pytest.raises(HostError, match=f"{NAME} was not put in place, and nothing was changed"):
        world.restore()
    assert (world.in_use(), world.beside(), world.is_up()) == (world.all("old"), [], True)


# --- What was cut off


def half(kind: str) -> World:
    """A restore by an earlier version was cut off: rows are swapped, files are not."""
    world = World(kind)
    world.files.make_folder(FOLDER)
    world.files.write(f"{FOLDER}/.restoring", "restore\n")
    for name in ("redis-valkey", "open-webui", "open-webui-2", "open-webui-3"):
        world.docker.stop(world.docker.named(name), graceful=True)
    files = world.docker.contents["open-webui"]
    fake_volumes.act_in_memory("make", files)
    files[f"{folders.NEW}/webui.db"] = b"half"
    fake_volumes.act_in_memory("swap", files)
    if kind == "postgres":
        state = world.server.state()
        world.server.put({**state, "databases": {"open-webui": "half", "open-webui.old": "old"}})
    return world


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_restore_by_an_earlier_version_is_ended_first(kind: str) -> None:
    world = half(kind)
    world.restore()
    assert world.said[0] == "what was there before is in place again"
    assert (world.in_use(), world.saved) == (world.all("new"), [world.all("old")])
    assert (world.mixed, world.marks()) == ("", [])


def test_nothing_is_accepted_while_data_are_in_two_places() -> None:
    world = half("sqlite")
    with pytest.raises(HostError, match="expected data in one place, got a restore that was cut off"):
        world.verb().settle()
    assert world.has("old")


def test_a_journal_has_no_identity_and_all_that_recovery_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    noted: list[Mapping[str, Any]] = []
    verb = world.verb(replace(world.asked, identity="AGE-SECRET-KEY-1X"))
    monkeypatch.setattr(set_secrets, "read", lambda *_: {})
    monkeypatch.setattr(verb, "_start", lambda *_, **__: noted.append(world.journal.open().data))  # type: ignore[union-attr]
    verb.restore()
    text = json.dumps(noted[0])
    assert "AGE" not in text
    assert f"the secrets of {NAME} are in place" in world.said
    assert set(noted[0]) == {"stack", "request", "there"}
    assert Request(**noted[0]["request"]).restore_set == NAME
    assert Stack.read(noted[0]["stack"]).backup_dir == SETS


def test_a_stack_that_serves_keeps_its_secrets_until_the_sets_data_are_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Valkey knows no other password, and a set of what is replaced needs that."""
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(set_secrets, "read", lambda *_: {})
    asked = replace(ASKED, identity="AGE-SECRET-KEY-1X")
    for world in (World(), World(runs=False)):
        monkeypatch.setattr(set_secrets, "put", lambda *_, world=world: seen.append(world.in_use()))
        world.restore(asked)
    world = broken()
    with pytest.raises(HostError, match="what was there before is in place again"):
        world.restore(asked)
    assert seen == [world.all("new"), world.all("")], "none where the data of before are back"


def test_a_mark_of_earlier_versions_does_not_tell_enough_for_recovery_alone() -> None:
    with pytest.raises(HostError, match=r"got restore, at the step 'old mark'; run runbooks/restore.py again"):
        restore.recovery(None, Entry(restore.VERB, OLD_MARK))  # type: ignore[arg-type]


# --- As the host runs it


def test_the_verb_makes_its_set_without_another_one_going(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    wanted: list[backup.Request] = []

    class FakeLocks:
        def __init__(self, *_: object) -> None:
            pass

        @contextlib.contextmanager
        def work(self, who: str, containers: Sequence[str]) -> Iterator[Held]:
            assert (who, containers) == ("restore", world.asked.containers)
            yield Held(LINUX)

    def make(_: object, asked: backup.Request, __: object) -> str:
        wanted.append(asked)
        return NAME

    monkeypatch.setattr(restore, "require_root", lambda: None)
    monkeypatch.setattr(restore, "Locks", FakeLocks)
    monkeypatch.setattr(restore, "Files", lambda: world.files)
    monkeypatch.setattr(restore, "Clock", lambda: world.clock)
    monkeypatch.setattr(dockerd, "engine", lambda _: world.engine)
    monkeypatch.setattr(backup.Backup, "run", make)
    names = ("stack_dir", "backup_dir", "swarm", "open_webui", "valkey", "postgres", "people", "age_recipient")
    lists = ("volumes", "folders", "files", "left_out", "in_clear")
    asked = {**dict.fromkeys(names, ""), **{name: [] for name in lists}, "keep": 7, "reserve_mb": 0}
    images = dict.fromkeys((*world.asked.containers, "open-webui-proxy"), "x")
    stack = dict(
        zip(
            ("folder", "database", "open_webui_volume", "valkey_volume", "postgres_volume", "postgres_image"),
            (FOLDER, "sqlite", "open-webui", "redis-data", VOLUME, IMAGE),
            strict=True,
        )
    )
    request = {
        **{name: getattr(world.asked, name) for name in Request.__dataclass_fields__},
        "backup": {**asked, "images": images},
    }
    arguments = {"stack": {**stack, "wait_s": 60, "releases_kept": 10, "backup_dir": SETS}, "request": request}
    said: list[Event] = []
    assert restore.run(arguments, said.append) == NAME
    (one,) = wanted
    assert (one.keep, one.holds_lock, one.repairs, one.made_for) == (0, True, True, "restore")
    assert list(one.images) == world.asked.containers
    assert world.in_use() == world.all("new")
    restore.settle(arguments, said.append)
    assert world.beside() == []
    assert recover.TABLE[restore.VERB] == restore.STEPS


# --- Killed, cut off, and failing, everywhere


def plain() -> World:
    return World()


def on_postgres() -> World:
    return World("postgres")


def with_log() -> World:
    world = World(asked=replace(ASKED, appendonly=True))
    world.docker.contents["redis-data"]["appendonlydir/1.base.rdb"] = b"old"
    world.mixed = ""
    return world


def broken() -> World:
    world = World()
    world.put_set("broken")
    return world


def broken_on_postgres() -> World:
    world = World("postgres")
    world.put_set("broken")
    return world


def again() -> World:
    """An earlier restore was not accepted: "eldest" data wait."""
    world = World("postgres")
    for volume, name in (("open-webui", "webui.db"), ("redis-data", "dump.rdb")):
        world.docker.contents[volume].update({f"{folders.OLD}/{name}": b"eldest", f"{folders.OLD}/.": b""})
    state = world.server.state()
    world.server.put({**state, "databases": {"open-webui": "old", "open-webui.old": "eldest"}})
    return world


def bare() -> World:
    world = World("postgres", runs=False)
    for volume in ("open-webui", "redis-data"):
        world.docker.put_volume(volume)
    return world


SCENARIOS: Mapping[str, Callable[[], World]] = {
    "SQLite": plain,
    "Postgres": on_postgres,
    "a log": with_log,
    "a set that does not get healthy": broken,
    "a set that does not get healthy on Postgres": broken_on_postgres,
    "a restore before was not accepted": again,
    "a bare host": bare,
    "one by an earlier version was cut off": lambda: half("postgres"),
}


def nothing_is_lost(world: World, name: str, where: str) -> None:
    assert not world.mixed, where
    if name != "a bare host":
        assert world.has("old"), where
    if name == "a restore before was not accepted":
        assert world.has("eldest"), where
    assert world.server.double == 0, where


def ends_well(world: World, name: str, where: str) -> None:
    """Recovery brings all of before, or all of the set where that is healthy. Then a restore works."""
    nothing_is_lost(world, name, where)
    files = world.docker.contents["open-webui"]
    if "open-webui" in world.serving() and files["webui.db"] == b"new":
        files["written-since"] = b""
    written = "written-since" in files
    entry = world.journal.open()
    if entry is None or restore.tells_enough(entry):  # else the next restore ends it
        world.recover()
        nothing_is_lost(world, name, where)
        if "written-since" in files:
            assert world.in_use() == world.all("new"), where
        elif written:
            assert "written-since" in world.saved_files, where
        found = world.in_use()
        bare = name == "a bare host"
        assert found in (world.all("" if bare else "old"), world.all("new")) or (bare and found["rows"] == ""), where
        assert world.is_up() or bare, where
        assert world.marks() == [], where
    world.put_set("newest", "20271129T030000Z")
    world.restore()
    nothing_is_lost(world, name, where)
    assert (world.in_use(), world.is_up()) == (world.all("newest"), True), where
    world.verb().settle()
    assert (world.in_use(), world.beside(), world.marks()) == (world.all("newest"), [], []), where
    assert world.kernel._open == {}, where


def run(world: World) -> None:
    world.restore()


def changes_outside(point: str) -> bool:
    """What is between two changes of the journal's files is in test_journal.py."""
    return is_change(point) and outside(point)


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_restore_that_is_cut_off_anywhere_ends_well(name: str) -> None:
    crashes = 0
    ends = (None, True) if name in ("SQLite", "Postgres", "a bare host") else (None,)
    for where, world in every_crash(SCENARIOS[name](), run, points=changes_outside, ends=ends):
        ends_well(world, name, where)
        crashes += 1
    assert crashes > 30


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_restore_in_which_a_call_fails_ends_well(name: str) -> None:
    for where, world, error in every_failure(SCENARIOS[name](), run, points=outside):
        if error is None:
            assert world.in_use() == world.all("new"), where
        ends_well(world, name, where)


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_recovery_that_is_cut_off_anywhere_ends_well(kind: str) -> None:
    """A sample: of the moments in which data are in two places."""

    def goes_on(world: World) -> None:
        world.recover()

    name = "SQLite" if kind == "sqlite" else "Postgres"
    starts = [
        world for where, world in every_crash(World(kind), run, points=changes_outside, ends=(True,)) if world.marks()
    ][::11]
    for start in starts:
        for where, world in every_crash(start, goes_on, points=changes_outside, ends=(None, True)):
            ends_well(world, name, where)
