"""A drill tells what can be restored of a set, leaves nothing of its own, and never touches the live stack."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.host import fake_postgres
from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Exit, Process, Program
from tests.host.fake_engine import FAILED, FakeEngine
from tests.host.fake_files import FakeFiles
from tests.host.fake_system import FakeSystem
from tests.host.faults import Crash, Fault, Faults
from webui_stack.host import open_webui, throw_away
from webui_stack.host.data import folders, volumes
from webui_stack.host.data.cluster import DATA
from webui_stack.host.data.helper import LABEL as HELPS
from webui_stack.host.data.sqlite import PROGRAM
from webui_stack.host.engine import NewContainer, Refused, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.images import Registry
from webui_stack.host.locks import LockedError, Locks
from webui_stack.host.outcomes import Outcome, Outcomes
from webui_stack.host.progress import Progress, Read
from webui_stack.host.protocol import Event
from webui_stack.host.verbs import drill
from webui_stack.host.verbs.drill import Drill, Finding, Request, bring, remembered
from webui_stack.render import backup_requests

SETS, NAME, OLDER = "/var/backups/open-webui", "20261129T030000Z", "20261128T030000Z"
SECRET = "of-the-live-stack"
ASKED = Request(
    backup_dir=SETS,
    restore_set="newest",
    open_webui_image="open-webui:2",
    valkey_image="valkey:8",
    postgres_image="",
    environment={"REDIS_URL": "redis://redis:6379/0", "OFFLINE_MODE": "true"},
    cap_add=["CHOWN"],
    read_only=True,
    start_s=60,
)
ON_POSTGRES = replace(ASKED, postgres_image=fake_postgres.IMAGE)
COUNTS = {"users": 3, "chats": 5, "files": 1, "uploads": 1}
DATABASE = b"3 5 1"
FOUND = [
    Finding("set", "ok", f"{NAME}, 0 MB, every SHA-256 as in its manifest"),
    Finding("start", "ok", "Open WebUI serves after 1000 ms, 2 migrations"),
    *(Finding(name, "ok", f"{number}, as in the manifest") for name, number in COUNTS.items()),
    Finding("keys", "ok", "12, as in the manifest"),
    Finding("websockets", "ok", "Open WebUI listens on Valkey"),
]
INFO = "# Persistence\r\nloading:{}\r\nrdb_last_load_keys_expired:2\r\nrdb_last_load_keys_loaded:10\r\n"


class World:
    """A host with a live stack, which has people's data, and two sets."""

    def __init__(self, root: Path) -> None:
        self.docker, self.clock, self.files, self.system = Docker(), FakeClock(), FakeFiles(), FakeSystem(root)
        self.docker.folder = self._folder
        self.starts, self.loading, self.listens = 2, 1, False  # so many questions until it serves, or has loaded
        self.problems, self.fails = b"", b""
        self.said: list[str] = []
        self.server = fake_postgres.Server(self.docker)
        self.docker.put_image(fake_postgres.IMAGE, self.server.program())
        tools: Mapping[str, Callable[[Process], bytes]] = {
            "python3": self._python3,
            "tar": _tar,
            "sh": _fill_valkey,
            "curl": self._curl,
        }
        self.docker.put_image("open-webui:2", Program(main=self._open_webui, commands=tools))
        asks = {"timeout": self._valkey_cli, "sh": _own}
        self.docker.put_image("valkey:8", Program(main=self._valkey, commands=asks))
        self._put_live()
        for name in (OLDER, NAME):
            manifest = {"open_webui": {"schema": "a", **COUNTS}, "valkey_keys": "12"}
            self.files.make_folder(f"{SETS}/{name}")
            self.files.write(f"{SETS}/{name}/manifest.json", json.dumps(manifest))
            self.files.write(f"{SETS}/{name}/valkey.rdb", "12 keys")
            content = json.dumps({"webui.db": DATABASE.decode(), "uploads/a": "a"})
            self.files.write(f"{SETS}/{name}/open-webui.tar", content)
            self.files.write(f"{SETS}/{name}/postgres.dump", fake_postgres.dump("user=3 chat=5 file=1"))
        self.before = self.live()

    def _put_live(self) -> None:
        engine = FakeEngine(self.docker)
        engine.create_network("openwebui-network")
        for name, image, mount in (
            ("redis-valkey", "valkey:8", "redis-data:/data"),
            ("open-webui-postgres", fake_postgres.IMAGE, f"postgres-data:{DATA}"),
            ("open-webui", "open-webui:2", f"open-webui:{volumes.OPEN_WEBUI}"),
        ):
            volume = mount.partition(":")[0]
            self.docker.put_volume(volume, {"live": b"people's"})
            env = {"WEBUI_SECRET_KEY": SECRET, "POSTGRES_PASSWORD": SECRET}
            new = NewContainer(image, env=env, volumes=[mount], network="openwebui-network")
            self.docker.put_container(name, new)
        # Of a restore that is at work.
        alone = NewContainer(fake_postgres.IMAGE, env={"POSTGRES_PASSWORD": SECRET})
        self.docker.put_container("open-webui-postgres-alone", alone)

    def live(self) -> object:
        """All that there is but a drill's, with the contents of the volumes."""
        mine = (*throw_away.CONTAINERS, *throw_away.VOLUMES, throw_away.NETWORK)
        return (
            [
                (one.id, one.name, one.status, one.started_at)
                for one in self.docker.held.values()
                if one.name not in mine
            ],
            {name: dict(found) for name, found in self.docker.contents.items() if name not in mine},
            sorted(set(self.docker.networks) - {*mine}),
        )

    def of_drills(self) -> list[str]:
        names = {one.name for one in self.docker.held.values()} | {*self.docker.volumes, *self.docker.networks}
        return sorted(name for name in names if "drill" in name)

    def _folder(self, source: str) -> dict[str, bytes]:
        """A folder of the host, as a container has it."""
        return {name: self.files.read(f"{source}/{name}") or b"" for name in self.files.listdir(source) or []}

    # --- What the images do

    def _open_webui(self, process: Process) -> None:
        """It migrates its database."""
        if process.container.name != throw_away.OPEN_WEBUI:
            return
        process.container.logs += b"Running upgrade a -> b\nRunning upgrade b -> c\nready\n"
        assert process.env["OFFLINE_MODE"] == "true"
        assert SECRET not in process.env.values()
        assert process.read(f"{volumes.OPEN_WEBUI}/webui.db") == DATABASE
        if self.fails:
            raise Exit(1, self.fails)

    def _curl(self, process: Process) -> bytes:
        assert process.container.name == throw_away.OPEN_WEBUI
        url = process.command[-1]
        if url.endswith("/health"):
            self.starts -= 1
            return b"000" if self.starts >= 0 else b"200"
        assert url.endswith(open_webui.WEBSOCKET)
        self.listens = True
        return b"101"

    def _python3(self, process: Process) -> bytes:
        if process.stdin == Path(folders.__file__).read_bytes():
            return _folders(process)
        if process.stdin != PROGRAM.read_bytes():
            raise Exit(1, b"SyntaxError: unexpected EOF while parsing")
        action, kind = process.command[2:]
        if action == "check":
            assert not process.place("/set/manifest.json")[2], "the set can't be written"
            process.read("/set/open-webui.tar")
            return self.problems
        files = process.files(volumes.OPEN_WEBUI)
        if files["webui.db"] == b"newer":
            raise Exit(1, b"count: OperationalError: no such table: chat\n")
        numbers = files["webui.db"].decode().split()
        rows = "".join(f"{name} {number}\n" for name, number in zip(COUNTS, numbers, strict=False))
        uploads = sum(name.startswith("uploads/") for name in files)
        return f"{rows if kind == 'sqlite' else ''}uploads {uploads}\n".encode()

    def _valkey(self, process: Process) -> None:
        if process.container.name == throw_away.VALKEY:
            assert process.read("/data/dump.rdb") == b"12 keys"
            self.loading = 1

    def _valkey_cli(self, process: Process) -> bytes:
        assert process.container.name == throw_away.VALKEY
        if process.command[3:] == ("info", "persistence"):
            self.loading -= 1
            return INFO.format(int(self.loading >= 0)).encode()
        assert process.command[3:] == ("pubsub", "numsub", "socketio")
        return f"socketio\r\n{int(self.listens)}\r\n".encode()

    # --- The program under test

    def drill(self, asked: Request = ASKED, fault: Fault | None = None) -> list[Finding]:
        self.starts, self.listens = 2, False
        self.engine = FakeEngine(self.docker, faults=Faults(fault))
        one = Drill(self.system, self.engine, self.files, self.clock, lambda event: self.said.append(event.text))
        return one.hold(asked)

    def check(self, *, clear: bool = True) -> None:
        assert self.live() == self.before
        if clear:
            assert self.of_drills() == []


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _own(process: Process) -> bytes:
    assert process.command == ("sh", "-c", "cd /data || exit 2\ntrue")
    return b""


def _tar(process: Process) -> bytes:
    """Unpacks what is JSON here: the contents of files by their names."""
    assert process.command == volumes.FILL_OPEN_WEBUI
    try:
        found = json.loads(process.stdin)
    except ValueError:
        raise Exit(2, b"tar: Unexpected EOF in archive\n") from None
    process.files(volumes.OPEN_WEBUI).update({f"{folders.NEW}/{name}": one.encode() for name, one in found.items()})
    return b""


def _fill_valkey(process: Process) -> bytes:
    assert process.command == volumes.FILL_VALKEY
    mounted = [one.attributes["image"] for one in process.docker.events if one.name == throw_away.HELPER]
    assert "valkey:8" in mounted, "a new volume gets the owner that it has in Valkey's image"
    process.files(volumes.VALKEY)[f"{folders.NEW}/dump.rdb"] = process.stdin
    return b""


def _folders(process: Process) -> bytes:
    """folders.py, whose own tests are in test_data_volumes.py, in short."""
    action, asked = process.command[2], json.loads(process.command[3])
    for folder in asked if action == "swap" else ():
        files = process.files(folder)
        new = {name.partition("/")[2]: files[name] for name in files if name.startswith(folders.NEW)}
        files.clear()
        files.update(new)
    beside = [folders.OLD] if action == "swap" else []
    return json.dumps({folder: {"beside": beside, "data": []} for folder in asked}).encode()


# --- The scenario


@pytest.mark.parametrize("asked", [ASKED, ON_POSTGRES], ids=["sqlite", "postgres"])
def test_all_of_a_set_is_found_and_nothing_is_left(world: World, asked: Request) -> None:
    assert world.drill(asked) == FOUND
    world.check()
    assert [line for line in world.said if "Postgres" not in line] == [
        f"drill: reading {NAME}",
        "drill: filling the throw-away stack's volumes",
        "drill: starting Open WebUI",
        "drill: counting what is there",
    ]


def test_the_throw_away_stack_is_alone_with_few_rights_and_its_label(world: World) -> None:
    seen: dict[str, NewContainer] = {}

    def note() -> None:
        seen.update({one.name: one.new for one in world.docker.held.values() if one.name in throw_away.CONTAINERS})
        network = world.docker.networks[throw_away.NETWORK]
        assert network.internal
        assert throw_away.LABEL in network.labels
        for name in (throw_away.OPEN_WEBUI_DATA, throw_away.VALKEY_DATA, throw_away.POSTGRES_DATA):
            assert throw_away.LABEL in world.docker.volumes[name].labels

    world.clock.on_sleep = note
    world.drill(ON_POSTGRES)
    assert {name: new.aliases for name, new in seen.items()} == {
        throw_away.OPEN_WEBUI: ["open-webui"],
        throw_away.VALKEY: ["redis"],
        throw_away.POSTGRES: ["postgres"],
    }
    for new in seen.values():
        assert (new.network, new.cap_drop, new.security_opt) == (
            throw_away.NETWORK,
            ["ALL"],
            ["no-new-privileges:true"],
        )
        assert (new.oom_score_adj, new.restart_policy) == (1000, "no")
        assert throw_away.LABEL in new.labels
    webui = seen[throw_away.OPEN_WEBUI]
    assert (webui.cap_add, webui.read_only, webui.tmpfs) == (["CHOWN"], True, ["/tmp"])
    assert seen[throw_away.POSTGRES].shm_bytes == 256 << 20
    password = seen[throw_away.POSTGRES].env["POSTGRES_PASSWORD"]
    assert webui.env["DATABASE_URL"] == f"postgresql://open-webui:{password}@postgres:5432/open-webui"
    assert len({password, webui.env["WEBUI_SECRET_KEY"], SECRET}) == 3


def test_a_dump_is_loaded_with_open_webuis_rights(world: World) -> None:
    world.drill(ON_POSTGRES)
    assert [user for user, _ in world.server.loaded] == ["open-webui", "postgres", "open-webui"]


def test_what_is_missing_is_a_fault_with_both_numbers(world: World) -> None:
    manifest = {"open_webui": {"schema": "a", **COUNTS, "chats": 99}, "valkey_keys": "13"}
    world.files.write(f"{SETS}/{NAME}/manifest.json", json.dumps(manifest))
    found = world.drill()
    assert [one for one in found if one.word == "fault"] == [
        Finding("chats", "fault", "expected 99, got 5"),
        Finding("keys", "fault", "expected 13, got 12"),
    ]
    world.check()


def test_a_set_is_taken_by_its_name(world: World) -> None:
    assert world.drill(replace(ASKED, restore_set=OLDER))[0].seen.startswith(OLDER)


@pytest.mark.parametrize(("wanted", "is_there"), [("newest", False), ("20250101T000000Z", True)])
def test_a_set_that_is_not_there_is_a_fault(world: World, wanted: str, is_there: bool) -> None:
    if not is_there:
        world.files.remove_tree(SETS)
    seen = f"expected {wanted} in {SETS}, got none; runbooks/backup.py makes one"
    assert world.drill(replace(ASKED, restore_set=wanted)) == [Finding("set", "fault", seen)]
    world.check()


def test_a_set_that_is_damaged_is_not_restored(world: World) -> None:
    world.problems = b"images: expected 5 bytes, got no file\nschema: expected one this Open WebUI knows\n"
    seen = f"{NAME} can't be used: images: expected 5 bytes, got no file;schema: expected one this Open WebUI knows"
    assert world.drill() == [Finding("set", "fault", seen)]
    assert not [call for call in world.engine.faults.calls if "create_volume" in call.name]


def test_a_set_that_can_not_be_read_is_a_fault_of_it(world: World) -> None:
    world.files.remove(f"{SETS}/{NAME}/open-webui.tar")
    (found,) = world.drill()
    assert found.seen.startswith(f"{NAME} can't be used: /set/open-webui.tar: No such file")


def test_an_open_webui_that_ends_is_a_fault_with_its_last_lines(world: World) -> None:
    world.fails = b"line\n" * 20 + b"RuntimeError: half-way there\n"
    found = world.drill()
    assert [one.name for one in found] == ["set", "start"]
    assert found[1] == Finding("start", "fault", "line|" * 14 + "RuntimeError: half-way there")
    world.check()


def test_an_open_webui_that_does_not_serve_in_time_is_a_fault_and_the_wait_is_told(world: World) -> None:
    real = world._curl

    def never(process: Process) -> bytes:
        world.starts = 9
        return real(process)

    world._curl = never  # type: ignore[method-assign]
    world.docker.programs[world.docker.find_image("open-webui:2").id].commands["curl"] = never  # type: ignore[index]
    assert world.drill()[1] == Finding("start", "fault", "Running upgrade a -> b|Running upgrade b -> c|ready")
    assert world.clock.passed_s == 60
    assert "drill: Open WebUI starts since 30 s, 60 s at most" in world.said
    world.check()


def test_a_dump_that_can_not_be_loaded_is_a_fault(world: World) -> None:
    world.files.write(f"{SETS}/{NAME}/postgres.dump", "half")
    found = world.drill(ON_POSTGRES)[1]
    assert (found.name, found.word) == ("start", "fault")
    assert found.seen.startswith("Postgres: exit code 1: pg_restore: error: could not read from input file")
    world.check()


def test_a_postgres_that_ends_is_a_fault(world: World) -> None:
    world.server.broken = True
    assert world.drill(ON_POSTGRES)[1].seen == (
        "Postgres: FATAL:  database files are incompatible|FATAL:  database files are incompatible"
    )
    world.check()


def test_a_postgres_that_is_ended_while_it_loads_is_a_fault_with_its_last_lines(world: World) -> None:
    """As by the kernel, where memory runs out."""

    def ends(process: Process) -> bytes:
        process.container.logs += b"server process was terminated by signal 9\n"
        world.docker.stop(process.container, graceful=False)
        raise Exit(137)

    image = world.docker.find_image(fake_postgres.IMAGE).id
    program = world.docker.programs[image]
    world.docker.programs[image] = replace(program, commands={**program.commands, "pg_restore": ends})
    seen = "Postgres: exit code 137|server process was terminated by signal 9"
    assert world.drill(ON_POSTGRES)[1] == Finding("start", "fault", seen)
    world.check()


def test_a_log_driver_that_keeps_nothing_hides_no_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> bytes:
        raise Refused("logs", "configured logging driver does not support reading", status=501)

    monkeypatch.setattr(FakeEngine, "logs", refused)
    assert world.drill()[1].seen == "Open WebUI serves after 1000 ms, unknown migrations"
    world.fails = b"RuntimeError\n"
    assert world.drill()[1] == Finding("start", "fault", "no logs of open-webui-drill")


def test_how_far_a_long_fill_is_gets_told(world: World) -> None:
    told: list[Event] = []
    progress = Progress("drill: open-webui.tar", told.append, world.clock)
    file = Read(io.BytesIO(b"12345678"), 8, progress)
    assert file.read(4) == b"1234"
    world.clock.sleep(6)
    assert file.read(4) == b"5678"
    assert told == [Event("drill: open-webui.tar", done=8, total=8)]


def test_rows_that_can_not_be_counted_are_faults_and_the_reason_is_told(world: World) -> None:
    world.clock.on_sleep = lambda: world.docker.contents[throw_away.OPEN_WEBUI_DATA].update({"webui.db": b"newer"})
    found = {one.name: one.seen for one in world.drill()}
    assert "no such table: chat" in found["drill"]
    assert found["users"] == "expected 3, got none"
    assert found["keys"] == "12, as in the manifest"
    world.check()


def test_nobody_on_valkey_is_a_fault(world: World) -> None:
    def ends() -> None:
        with suppress(Exception):
            world.docker.stop(world.docker.named(throw_away.VALKEY), graceful=False)

    world.clock.on_sleep = ends
    found = {one.name: one.seen for one in world.drill()}
    assert found["keys"] == "expected 12, got none"
    assert found["websockets"] == "nobody listens on Valkey"


@pytest.mark.parametrize("changes", [{}, {"database": "postgres"}], ids=str)
def test_the_operators_side_asks_with_the_settings_and_without_a_secret(changes: dict[str, Any]) -> None:
    wanted = settings(
        open_webui_env={"A": "b"},
        open_webui_secret_env={"OPENAI_API_KEY": "env:KEY"},
        open_webui_read_only=True,
        **changes,
    )
    asked = Request(**json.loads(json.dumps(backup_requests.drill_request(wanted, remembers=True))))
    assert (asked.kind, asked.read_only, asked.environment["A"]) == (changes.get("database", "sqlite"), True, "b")
    assert asked.environment["REDIS_URL"] == "redis://redis:6379/0"
    assert not asked.environment.keys() & {"WEBUI_SECRET_KEY", "DATABASE_URL", "OPENAI_API_KEY"}
    assert len(asked.images) == 2 + len(changes)


def test_only_an_image_that_is_missing_is_pulled_and_only_then_others_are_waited_for(world: World) -> None:
    world.docker.put_image("valkey:9", local=False)
    engine = FakeEngine(world.docker)
    locks = Locks(world.files.kernel, world.clock, world.said.append)
    registry = Registry(world.system, engine, {}, world.clock, lambda event: world.said.append(event.text))
    with locks.images("pull"):
        bring(ASKED.images, engine, registry, locks)
        with pytest.raises(LockedError):
            bring(["valkey:9"], engine, registry, locks)
    bring(["valkey:9"], engine, registry, locks)
    assert engine.has_image("valkey:9")
    assert world.said[-1] == "pulling valkey:9"


# --- What is cleared away


def test_what_a_drill_left_that_was_killed_is_cleared_away_also_one_of_the_shell(world: World) -> None:
    FakeEngine(world.docker).create_network(throw_away.NETWORK)
    for name in (throw_away.OPEN_WEBUI, throw_away.POSTGRES, throw_away.VALKEY):
        new = NewContainer("open-webui:2", volumes=["redis-data-drill:/x"], network=throw_away.NETWORK)
        world.docker.put_container(name, new, start=False)
    helper = NewContainer("open-webui:2", labels={HELPS: "yes"}, volumes=["redis-data-drill:/x"])
    world.docker.put_container(throw_away.HELPER, helper, start=False)
    assert world.drill() == FOUND
    world.check()


def test_what_docker_does_not_remove_is_told_beside_what_was_found(world: World) -> None:
    def uses() -> None:
        with suppress(Refused):
            new = NewContainer("open-webui:2", volumes=[f"{throw_away.VALKEY_DATA}:/x"])
            world.docker.put_container("somebodys", new, start=False)

    world.clock.on_sleep = uses
    found = world.drill()
    assert found[:-1] == FOUND
    assert found[-1].name == "leftovers"
    assert f"got volume {throw_away.VALKEY_DATA} (remove redis-data-drill: volume is in use" in found[-1].seen
    assert world.of_drills() == [throw_away.VALKEY_DATA]
    with pytest.raises(HostError, match=r"^drill: expected nothing left of a drill, got volume redis-data-drill"):
        world.drill()
    assert "somebodys" in [one.name for one in world.docker.held.values()]


def test_a_docker_that_stops_to_answer_is_an_error_and_what_it_left_is_told(world: World) -> None:
    world.clock.on_sleep = lambda: setattr(world.docker, "down", True)
    with pytest.raises(Unavailable):
        world.drill()
    assert world.said[-1].startswith("drill: not all is cleared away; the next drill does that: docker: expected an")
    world.docker.down, world.clock.on_sleep = False, lambda: None
    assert world.drill() == FOUND
    world.check()


# --- With nobody there


def test_a_set_that_would_fill_dockers_disk_is_not_restored(world: World) -> None:
    world.files.kernel.room_bytes = 1 << 30
    with pytest.raises(
        HostError, match=r"^room: expected 1024 MB free in /var/lib/docker \(1024 of them .*, got 1024 MB; free some$"
    ):
        world.drill(replace(ASKED, reserve_mb=1024))
    world.check()
    assert world.drill(replace(ASKED, reserve_mb=1023)) == FOUND


def remember(world: World, hold: Callable[[], list[Finding]]) -> Outcome | None:
    asked = replace(ASKED, stack_dir="/opt/open-webui")
    world.files.make_folder(asked.stack_dir)
    with suppress(HostError):
        remembered(asked, world.files, world.clock, lambda event: world.said.append(event.text), hold)
    return Outcomes(world.files, world.clock, asked.stack_dir).read("drill")


def test_what_a_drill_found_is_remembered_with_its_counts(world: World) -> None:
    found = remember(world, world.drill)
    assert found
    assert (found["set"], found["ok"], found["said"]) == (NAME, True, "")
    assert found["counts"] == {"findings": len(FOUND), "faults": 0}
    assert found["good_s"] == found["ended_s"] == int(world.clock.now())
    world.problems = b"valkey.rdb: expected 9 bytes, got 8\n"
    found = remember(world, world.drill)
    assert found
    assert (found["ok"], found["counts"]) == (False, {"findings": 1, "faults": 1})
    assert f"set: {NAME} can't be used: valkey.rdb" in found["said"]
    assert found["good_s"]


def test_a_drill_that_could_not_be_held_is_remembered_as_well(world: World) -> None:
    def fails() -> list[Finding]:
        raise HostError("docker", expected="an answer", got="none", do="look")

    found = remember(world, fails)
    assert found
    assert (found["ok"], found["said"], found["good_s"]) == (False, "docker: expected an answer, got none; look", 0)


def test_a_drill_of_images_that_nobody_runs_says_nothing_of_backups(world: World) -> None:
    remembered(ASKED, world.files, world.clock, lambda _: None, world.drill)
    assert not world.files.exists("/opt/open-webui")


def test_a_drill_by_the_timer_tells_each_finding_and_fails_with_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [{"name": "set", "word": "ok", "seen": "x"}, {"name": "users", "word": "ok", "seen": "3"}]
    monkeypatch.setattr(drill, "run", lambda *_: found)
    said: list[str] = []
    drill.scheduled({}, lambda event: said.append(event.text))
    assert said == ["ok    set: x", "ok    users: 3"]
    found[1]["word"] = "fault"
    with pytest.raises(HostError, match=r"^drill: expected all of the set restored, got users: 3; run runbooks/drill"):
        drill.scheduled({}, lambda _: None)


# --- Every call goes wrong once


@pytest.mark.crash
def test_whatever_goes_wrong_the_live_stack_is_untouched_and_the_next_drill_leaves_nothing(tmp_path: Path) -> None:
    """With Postgres, which has all the calls of a drill without it."""
    world = World(tmp_path)
    world.drill(ON_POSTGRES)
    seen = set()
    for fault in world.engine.faults.points():
        world = World(tmp_path)
        found: list[Finding] | None = None
        with suppress(Crash, HostError):
            found = world.drill(ON_POSTGRES, fault)
        world.check(clear=False)
        if found is not None and "leftovers" not in [one.name for one in found]:
            assert world.of_drills() == [], fault
        if fault.kind != FAILED:
            faults = [one for one in found or () if one.word == "fault"]
            assert {one.name for one in faults} <= {"leftovers"}, f"{fault} is no fault of the set"
        left = repr([(one.name, one.status, one.ending) for one in world.docker.held.values()] + world.of_drills())
        if left not in seen:  # else the next drill has been held on the same
            seen.add(left)
            assert world.drill(ON_POSTGRES) == FOUND, fault
            world.check()
    assert len(seen) > 10
