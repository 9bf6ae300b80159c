"""Migrate: people's rows get into Postgres whole, or Open WebUI runs on SQLite as before; no row of others is lost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.defaults import settings
from tests.host import fake_postgres, fake_valkey
from tests.host.fake_clock import FakeClock
from tests.host.fake_compose import FakeCompose, definition
from tests.host.fake_docker import Docker, Exit, Process, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.fake_system import FakeSystem
from tests.host.points import Points, every_crash, every_failure, is_change, outside
from tests.host.test_containers import one_by_one
from webui_stack.host import assembly, compose, dockerd
from webui_stack.host.assembly import Assembly, Stack
from webui_stack.host.containers import Containers
from webui_stack.host.data import move
from webui_stack.host.data.cluster import DATA
from webui_stack.host.data.compatibility import Compatibility
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Holder, Processes, State
from webui_stack.host.journal import Entry, Journal
from webui_stack.host.kernel import LINUX
from webui_stack.host.locks import Held, Locks
from webui_stack.host.protocol import Event
from webui_stack.host.run_log import RunLog
from webui_stack.host.verbs import backup, migrate, recover, up
from webui_stack.host.verbs.migrate import Migration, Request
from webui_stack.render import stack_requests

FOLDER, SETS = "/opt/stack", "/var/backups/open-webui"
MARK = f"{FOLDER}/.migrating"
WANTED = settings(
    stack_dir=FOLDER,
    open_webui_replicas=2,
    public_url="https://chat.example.org",
    postgres_volume=fake_postgres.VOLUME,
)
ASKED = json.loads(json.dumps(stack_requests.migrate_request(WANTED)))
ASKED["stack"]["postgres_image"], ASKED["request"]["image"] = fake_postgres.IMAGE, "webui:1"
STACK, REQUEST = Stack(**ASKED["stack"]), Request(**ASKED["request"])
SERVICES = [("redis", "valkey:8", "redis-valkey"), ("open-webui", "webui:1", "open-webui")]
ROWS = "user=3 chat=5 file=1"
COUNTS = {"users": 3, "chats": 5, "files": 1}


class DeadProcesses(Processes):
    def state(self, _: Holder) -> State:
        return "dead"


class World:
    """A stack on SQLite, and images for one on Postgres."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.files = FakeFiles(self.kernel)
        self.docker, self.clock = Docker(), FakeClock()
        self.said: list[str] = []
        self.fails: dict[str, Exit] = {}  # in Open WebUI's image, by the user of Postgres
        self.copied = ROWS
        self.made_sets = 0
        self.wrote_beside = 0
        self.docker.put_image("valkey:8", Program(commands={"sh": fake_valkey.shell}))
        tools = {"python3": self.python}
        self.docker.put_image("webui:1", Program(self.open_webui, commands=tools, health=lambda _: "healthy"))
        self.server = fake_postgres.Server(self.docker)
        self.docker.put_image(fake_postgres.IMAGE, self.server.program())
        points = Points(self.kernel)
        self.engine = FakeEngine(self.docker, faults=points)
        self.project = FakeCompose(self.docker, self.kernel, points, FOLDER)
        self.me = Holder("migrate", 4711, "4026531836", 99, "boot-1")
        for path, text in {
            "compose.yaml": definition(*SERVICES, more="    volumes:\n      - open-webui:/data\n"),
            ".env": "V='1'\n",
            "secrets/webui-secret-key": "sesame\n",
            "valkey/valkey.conf": "# conf\n",
            "valkey/users.acl": "user default on\n",
        }.items():
            self.files.make_folder(f"{FOLDER}/{path}".rpartition("/")[0])
            self.files.write(f"{FOLDER}/{path}", text)
        log = RunLog(self.files, "/run/open-webui-stack.migrate", self.say)
        self.made = Assembly(
            STACK,
            log,
            table=recover.TABLE,
            system=FakeSystem(Path("/nowhere")),
            files=self.files,
            clock=self.clock,
            engine=self.engine,
            project=self.project,
        )
        self.made.__dict__["containers"] = Containers(self.engine, self.clock, each=one_by_one)
        self.made.services.up = lambda: None  # type: ignore[method-assign]
        self.project.up()
        self.made.releases.remember(self.project)
        self.sqlite = dict(self.docker.contents["open-webui"])

    def say(self, event: Event) -> None:
        self.said.append(event.text)

    def save(self) -> str:
        """A set of what is there, with nobody at work on it."""
        assert not self.docker.named("open-webui").runs
        self.made_sets += 1
        name = f"20261129T03{self.made_sets:04}Z"
        self.files.make_folder(f"{SETS}/{name}")
        self.files.write(f"{SETS}/{name}/manifest.json", json.dumps({"open_webui": COUNTS}))
        return name

    # --- What the images do

    def open_webui(self, process: Process) -> None:
        """Nobody may add a row while they are copied."""
        if process.container.name == "open-webui":
            self.wrote_beside += sum(one.runs for one in self.docker.held.values() if "helper" in one.name)

    def python(self, process: Process) -> bytes:
        """What makes tables, or copies rows: by the loopback of the Postgres that serves."""
        url = process.env["DATABASE_URL"]
        user = url.partition("//")[2].partition("@")[0]
        server = self.docker.named(process.container.new.network.removeprefix("container:"))
        assert server.runs
        assert url == f"postgresql://{user}@127.0.0.1:5432/open-webui"
        wanted = {"open-webui": move.MAKE_TABLES, "postgres": move.PROGRAM.read_bytes()}[user]
        if process.stdin != wanted:
            raise Exit(1, b"SyntaxError: unexpected EOF while parsing\n")
        if user in self.fails:
            raise self.fails[user]
        inside = replace(process, container=server)
        state = self.server.state(inside)
        assert state["owners"]["open-webui"] == "open-webui"
        before, rows = state["databases"]["open-webui"], ""
        if user == "postgres":
            assert before == "user=0 chat=0 file=0"
            rows = self.copied
        else:
            assert before == "", "a new database has nothing in it"
            rows = "user=0 chat=0 file=0"
        state["databases"]["open-webui"] = rows
        self.server.put(state, inside)
        return b"Running upgrade a -> b\n" if user == "open-webui" else b"user: 3\nchat: 5\nfile: 1\n"

    # --- What is there

    def on_sqlite(self, where: str = "") -> None:
        """Open WebUI serves as before, and nobody but it."""
        running = sorted(one.name for one in self.docker.held.values() if one.runs)
        assert running == ["open-webui", "redis-valkey"], where
        assert self.docker.contents["open-webui"] == self.sqlite, where
        assert self.made.journal.open() is None, where

    def in_postgres(self, where: str = "") -> None:
        """All rows are there, and Open WebUI waits for the deploy."""
        running = sorted(one.name for one in self.docker.held.values() if one.runs)
        assert running == ["redis-valkey"], where
        assert self.server.databases == {"open-webui": ROWS}, where
        assert self.files.exists(MARK), where
        assert self.made.journal.open() is None, where

    def is_sound(self, where: str) -> None:
        """At this very moment: never two at work on one Postgres, nor Open WebUI beside a copy."""
        assert (self.server.double, self.wrote_beside) == (0, 0), where
        assert self.docker.contents["open-webui"] == self.sqlite, where

    # --- The program under test

    def migrate(self, asked: Request = REQUEST) -> None:
        self.recover()
        Migration(self.made, self.me, asked, self.save).migrate()

    def recover(self) -> None:
        recover.end_stack(self.made, DeadProcesses())

    def boot(self) -> None:
        self.docker.power_cut()


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the real host is asked."""
    monkeypatch.setattr(compose, "programs", lambda: "p  -")


def with_rows_of_others() -> World:
    world = World()
    world.docker.put_volume(fake_postgres.VOLUME, {"PG_VERSION": b"17\n"})
    return world


# --- The story


def test_rows_get_into_a_new_postgres_and_open_webui_waits_for_its_deploy() -> None:
    world = World()
    world.migrate()
    world.in_postgres()
    assert world.said == [
        *("user: 3", "chat: 5", "file: 1"),
        "its rows are in Postgres after 0 s; Open WebUI is away until it is deployed with it",
    ]
    assert world.server.state()["superusers"] == ["postgres"]


def test_the_deploy_that_follows_keeps_the_mark_until_it_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.migrate()
    world.made.journal.begin(up.VERB, world.me)
    world.made.journal.end()
    assert world.files.exists(MARK)
    monkeypatch.setattr(migrate, "require_root", lambda: None)
    monkeypatch.setattr(migrate, "Files", lambda: world.files)
    monkeypatch.setattr(migrate, "Locks", _FakeLocks)
    for _ in range(2):
        migrate.settle({"stack_dir": FOLDER}, world.say)
        assert not world.files.exists(MARK)


def test_after_a_copy_nothing_starts_open_webui_on_sqlite() -> None:
    """The deploy on Postgres follows: rows that somebody adds meanwhile would be lost."""
    world = World()
    world.migrate()
    world.recover()
    world.in_postgres()


def refused(world: World, told: str) -> None:
    before = len(world.docker.events)
    with pytest.raises(HostError) as caught:
        world.migrate()
    assert str(caught.value) == told
    helpers = ("create", "start", "die", "destroy")
    changed = [one for one in world.docker.events[before:] if "helper" not in one.name]
    assert changed == [], helpers
    assert not world.files.exists(MARK)
    assert world.made.journal.open() is None
    assert world.docker.named("open-webui").runs


ON_POSTGRES = definition(*SERVICES, ("postgres", fake_postgres.IMAGE, "open-webui-postgres"))


@pytest.mark.parametrize("text", [None, "", ON_POSTGRES], ids=["none", "empty", "on Postgres"])
def test_rows_are_taken_only_from_a_deploy_that_is_known_to_be_on_sqlite(text: str | None) -> None:
    """A file that a power cut left empty says nothing of where people are."""
    world = World()
    world.files.remove(f"{FOLDER}/.good/compose.yaml")
    if text is not None:
        world.files.write(f"{FOLDER}/.good/compose.yaml", text)
    refused(
        world,
        f"migrate: expected a good deploy on SQLite, got none in {FOLDER}/.good/compose.yaml; run deploy.py with the "
        "settings it was deployed with; nothing was changed",
    )


@pytest.mark.parametrize("there", [True, False])
def test_another_image_is_changed_before_or_afterwards(there: bool) -> None:
    world = World()
    if there:
        world.docker.put_image("webui:1")
    else:
        world.docker.images[world.docker.find_image("webui:1").id] = replace(
            world.docker.find_image("webui:1"), tags=("webui:0",)
        )
    refused(
        world,
        "migrate: expected webui:1 to run here, got another image: change the version before, or afterwards; nothing "
        "was changed",
    )


def test_rows_are_not_moved_to_a_postgres_that_keeps_none() -> None:
    world = World()
    image = world.docker.find_image(fake_postgres.IMAGE)
    world.docker.images[image.id] = replace(image, env={"PGDATA": "/var/lib/postgresql/18/docker"})
    with pytest.raises(HostError, match=f"expected an image with its data in {DATA}"):
        world.migrate()
    assert not world.files.exists(MARK)
    world.on_sqlite()


MAY_BE_IN_USE = (
    f"migrate: expected a volume {fake_postgres.VOLUME} that certainly has no data, got one with a database, or one "
    "that could not be looked into: it may be the one people use. Keep it, and set another postgres_volume to move the "
    "rows to; nothing was changed"
)


def test_a_volume_with_a_database_is_refused() -> None:
    refused(with_rows_of_others(), MAY_BE_IN_USE)


def test_a_volume_that_could_not_be_looked_into_is_not_empty() -> None:
    world = World()
    world.docker.put_volume(fake_postgres.VOLUME)
    world.server.broken = True

    def fails(_: Process) -> bytes:
        raise Exit(125, b"no such file\n")

    image = world.docker.find_image(fake_postgres.IMAGE).id
    world.docker.programs[image] = Program(commands={"sh": fails})
    refused(world, MAY_BE_IN_USE)


def test_an_empty_volume_is_taken() -> None:
    world = World()
    world.docker.put_volume(fake_postgres.VOLUME)
    world.migrate()
    world.in_postgres()


def test_a_row_that_can_not_be_copied_is_named_and_open_webui_runs_again() -> None:
    world = World()
    row = b"chat, id 7: expected JSON in chat, got Expecting value; fix that row in SQLite\n"
    world.fails["postgres"] = Exit(1, row, b"user: 3\n")
    with pytest.raises(HostError) as caught:
        world.migrate()
    assert str(caught.value) == (
        "Open WebUI: expected to copy all rows, got chat, id 7: expected JSON in chat, got Expecting value; fix that "
        "row in SQLite; see the lines above; open-webui runs again as it was, on SQLite"
    )
    assert world.said == ["user: 3", row.decode().strip()]
    world.on_sqlite()
    world.fails.clear()
    world.migrate()
    world.in_postgres()


def test_of_tables_that_can_not_be_made_the_last_lines_are_told() -> None:
    world = World()
    world.fails["open-webui"] = Exit(1, "".join(f"line {number}\n" for number in range(40)).encode())
    with pytest.raises(HostError, match="expected to make its tables, got line 39"):
        world.migrate()
    assert world.said == [f"line {number}" for number in range(25, 40)]
    world.on_sqlite()


def test_a_number_of_rows_that_differs_is_no_copy() -> None:
    world = World()
    world.copied = "user=3 chat=4 file=1"
    with pytest.raises(HostError, match="Postgres: expected 5 rows in chat, got 4"):
        world.migrate()
    world.on_sqlite()


def test_what_does_not_run_again_is_told_and_recovery_starts_it() -> None:
    world = World()
    world.fails["postgres"] = Exit(1, b"no\n")
    start = world.engine.start
    with pytest.MonkeyPatch.context() as patch:

        def fails(name: str) -> None:
            if name == "open-webui":
                raise HostError("docker", expected="a start", got="none", do="wait")
            start(name)

        patch.setattr(world.engine, "start", fails)
        with pytest.raises(HostError, match="open-webui does not run yet: run this again, or deploy"):
            world.migrate()
    assert world.made.journal.open() is not None
    world.recover()
    world.on_sqlite()


# --- As the host runs it


class _FakeLocks(Locks):
    def __init__(self, *_: object) -> None:
        pass

    @contextlib.contextmanager
    def work(self, *_: object, **__: object) -> Iterator[Held]:  # type: ignore[override]
        yield Held(LINUX)


def test_the_verb_makes_its_set_with_the_lock_held(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    asked: list[backup.Request] = []

    def make(_: object, request: backup.Request, locks: Locks) -> str:
        assert isinstance(locks, _FakeLocks)
        asked.append(request)
        return world.save()

    monkeypatch.setattr(migrate, "require_root", lambda: None)
    monkeypatch.setattr(migrate, "Locks", _FakeLocks)
    monkeypatch.setattr(migrate, "Files", lambda: world.files)
    monkeypatch.setattr(migrate, "Clock", lambda: world.clock)
    monkeypatch.setattr(backup.Backup, "run", make)
    monkeypatch.setattr(dockerd, "engine", lambda _: world.engine)
    monkeypatch.setattr(assembly, "Compose", lambda *_, **__: world.project)
    migrate.run(ASKED, world.say)
    world.in_postgres()
    assert [(one.holds_lock, one.postgres, list(one.images)) for one in asked] == [
        (True, "", ["redis-valkey", "open-webui"])
    ]
    assert (world.files.read_text("/run/open-webui-stack.migrate") or "").splitlines() == world.said
    world.files.remove(MARK)
    with pytest.raises(HostError, match="certainly has no data") as caught:
        migrate.run(ASKED, world.say)
    assert (world.files.read_text("/run/open-webui-stack.migrate") or "").splitlines()[-1] == str(caught.value)


# --- Killed, cut off, and failing, everywhere


def with_a_row_that_fails() -> World:
    world = World()
    world.fails["postgres"] = Exit(1, b"chat, id 7: no\n")
    return world


def after_one_that_failed() -> World:
    """Some rows of a run before are in Postgres, and its mark is there."""
    world = with_a_row_that_fails()
    with contextlib.suppress(HostError):
        world.migrate()
    world.fails.clear()
    return world


SCENARIOS: Mapping[str, Callable[[], World]] = {
    "a migration": World,
    "a row that fails": with_a_row_that_fails,
    "after one that failed": after_one_that_failed,
}


def changes_outside(point: str) -> bool:
    return is_change(point) and outside(point)


def ends_well(world: World, where: str) -> None:
    world.is_sound(where)
    world.recover()
    world.is_sound(where)
    if world.docker.named("open-webui").runs:
        world.on_sqlite(where)
    else:
        world.in_postgres(where)
    world.fails.clear()
    world.migrate()
    world.in_postgres(where)
    world.is_sound(where)


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_migration_that_is_cut_off_anywhere_ends_well(name: str) -> None:
    crashes = 0
    for where, world in every_crash(SCENARIOS[name](), World.migrate, points=changes_outside, ends=(None, True)):
        ends_well(world, where)
        crashes += 1
    assert crashes > 40


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_migration_in_which_a_call_fails_ends_well(name: str) -> None:
    for where, world, error in every_failure(SCENARIOS[name](), World.migrate, points=outside):
        assert error or world.server.databases == {"open-webui": ROWS}, where
        ends_well(world, where)


@pytest.mark.crash
def test_a_deploy_takes_over_a_migration_that_was_cut_off_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite again, as the release before is; the mark stays for the next migration."""
    monkeypatch.setattr(Compatibility, "check", lambda _: None)
    asked = up.Request(
        image="webui:1", valkey_image="valkey:8", containers=["redis-valkey", "open-webui"], volumes=["open-webui"]
    )
    for where, world in every_crash(World(), World.migrate, points=changes_outside, ends=(None,)):
        marked = world.files.exists(MARK)
        del world.made.services.up
        world.made.__dict__["of"] = replace(STACK, database="sqlite")
        up.of(world.made, asked).up(asked)
        assert world.docker.named("open-webui").runs, where
        assert (world.made.journal.open(), world.files.exists(MARK)) == (None, marked), where


def test_a_deploy_that_is_refused_after_a_migration_that_was_cut_off_brings_open_webui_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> None:
        raise HostError("open_webui_image", expected="the schema the data have", got="another", do="upgrade")

    monkeypatch.setattr(Compatibility, "check", refuse)
    world = World()
    world.made.journal.begin(migrate.VERB, world.me, {"stack": {}, "request": {}})
    world.made.journal.step(migrate.SAVE)
    world.engine.stop("open-webui")
    del world.made.services.up
    world.made.__dict__["of"] = replace(STACK, database="sqlite")
    asked = up.Request(
        image="webui:1", valkey_image="valkey:8", containers=["redis-valkey", "open-webui"], volumes=["open-webui"]
    )
    with pytest.raises(HostError, match="got another; upgrade; that one runs again"):
        up.of(world.made, asked).up(asked)
    world.on_sqlite()


@pytest.mark.crash
def test_a_recovery_that_is_cut_off_anywhere_is_recovered() -> None:
    for _, first in every_crash(World(), World.migrate, points=lambda point: "start" in point, ends=(None,)):
        for where, world in every_crash(first, World.recover, points=changes_outside, ends=(None, True)):
            ends_well(world, where)


def test_the_journal_names_the_stack_and_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.fails["open-webui"] = Exit(1)
    noted: list[Entry | None] = []
    step = Journal.step

    def keep(self: Journal, name: str) -> None:
        step(self, name)
        noted.append(self.open())

    monkeypatch.setattr(Journal, "step", keep)
    with pytest.raises(HostError):
        world.migrate()
    assert [entry and entry.step for entry in noted] == [migrate.STOP, migrate.SAVE, migrate.FILL]
    assert [entry and Stack.read(entry.data["stack"]) for entry in noted] == [STACK] * 3
