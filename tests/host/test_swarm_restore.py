"""Restore in a swarm: whatever fails, and wherever it is cut off, all of before serves or all of the set."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.host import fake_valkey, fake_volumes
from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Exit, Process, Program
from tests.host.fake_engine import REFUSED, UNAVAILABLE, FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.fake_postgres import IMAGE, VOLUME, Server, dump
from tests.host.fake_swarm import FakeSwarm
from tests.host.points import Points, every_crash, every_failure, is_change, outside
from webui_stack.host import dockerd, journal, set_secrets
from webui_stack.host.assembly import Assembly, Stack
from webui_stack.host.backup_sets import MANIFEST
from webui_stack.host.data import cluster, folders, helper, migrator
from webui_stack.host.data.sqlite import PROGRAM
from webui_stack.host.data.volumes import OPEN_WEBUI
from webui_stack.host.engine import NewContainer, Refused, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Holder, Processes, State
from webui_stack.host.journal import Entry, Journal
from webui_stack.host.kernel import LINUX
from webui_stack.host.locks import Held
from webui_stack.host.protocol import Event
from webui_stack.host.run_log import RunLog
from webui_stack.host.stack import STACK_LABEL
from webui_stack.host.system import System
from webui_stack.host.verbs import backup, recover, swarm, swarm_restore
from webui_stack.host.verbs.swarm_restore import Request, SwarmRestore

FOLDER, SETS, PEOPLE = "/opt/stack", "/var/backups/open-webui", "/srv/people"
NAME = "20261128T030000Z"
WEB, VALKEY, POSTGRES = "open-webui_open-webui", "open-webui_redis", "open-webui_postgres"
OLDER = "older:"
ASKED = Request(
    restore_set="newest",
    image="webui:1",
    valkey_image="valkey:8",
    appendonly=False,
    swarm="open-webui",
    network="openwebui-network",
    people=PEOPLE,
    environment={"ENABLE_DB_MIGRATIONS": "true"},
    replicas=2,
    may_replace=True,
    backup={},
    marks=["secrets/valkey-password"],
)
DEFINITION = "services:\n  redis:\n  postgres:\n  open-webui:\n  proxy:\n"


class DeadProcesses(Processes):
    def state(self, _: Holder) -> State:
        return "dead"


class NoPrograms(System):
    """The restore itself runs none on the host."""

    def has_systemd(self) -> bool:
        return False


class World:
    """Two nodes, of which this one has the data. The stack serves "old" data, and there is a set with "new" ones."""

    def __init__(self, asked: Request = ASKED, *, runs: bool = True) -> None:
        self.asked = asked
        self.kernel = FakeKernel()
        self.files, self.clock, self.docker = FakeFiles(self.kernel), FakeClock(), Docker()
        self.people: dict[str, bytes] = {}
        self.docker.folder = self._mounted
        self.said: list[str] = []
        self.saved: list[dict[str, str]] = []
        self.saved_files: set[str] = set()
        self.mixed = ""
        self.problems = b""
        self.ill_migration = False
        self.points = Points(self.kernel)
        self.server = Server(self.docker)
        tools = {"python3": self.python3, "tar": fake_volumes.tar_in_memory, "sh": self.shell}
        self.docker.put_image("webui:1", Program(self.open_webui, commands=tools, health=healthy))
        self.docker.put_image("valkey:8", Program(self.valkey, commands={"sh": fake_valkey.shell}, health=healthy))
        self.docker.put_image(IMAGE, replace(self.server.program(), health=healthy))
        self.swarm = FakeSwarm(self.docker)
        self.swarm.put_node("node1")
        self.swarm.put_node("node2", role="worker")
        self.engine = FakeEngine(self.docker, self.swarm, self.points)
        self.engine.create_network(asked.network)
        for path in (FOLDER, PEOPLE, f"{SETS}/{NAME}"):
            self.files.make_folder(path)
        self.files.write(f"{FOLDER}/stack.yaml", DEFINITION)
        self.files.write(f"{FOLDER}/.env", "DATABASE_URL='x'\n")
        self.put_data("old" if runs else "")
        self.deploy(2 if runs else 0)
        self.put_set("new")
        self.clock.sleep(60)

    def deploy(self, replicas: int) -> None:
        parts = {
            POSTGRES: (IMAGE, f"{VOLUME}:{cluster.DATA}", 1),
            VALKEY: ("valkey:8", "redis-data:/data", 1),
            WEB: ("webui:1", f"{PEOPLE}:{OPEN_WEBUI}", replicas),
        }
        for name, (image, volume, count) in parts.items():
            new = NewContainer(self.docker.find_image(image).id, volumes=[volume], env={"POSTGRES_PASSWORD": "x"})
            self.swarm.put_service(name, new, replicas=count, labels={STACK_LABEL: "open-webui"})

    def put_data(self, word: str) -> None:
        """All data of a time; "" for what a stack has that nobody has ever used."""
        self.docker.put_volume("redis-data", {"dump.rdb": word.encode()} if word else {})
        self.docker.put_volume(VOLUME, {"PG_VERSION": b"17\n"})
        known = {"owners": {"open-webui": "open-webui"}, "superusers": ["postgres"], "password": "secret"}
        self.server.put({"databases": {"open-webui": word}, "roles": ["open-webui", "postgres"], **known})
        self.people.update({"webui.db": word.encode()} if word and self.asked.people else {})

    def put_set(self, word: str, name: str = NAME, *, rows: str = "") -> None:
        self.files.make_folder(f"{SETS}/{name}")
        self.files.write(f"{SETS}/{name}/{MANIFEST}", "{}")
        files = {"webui.db": word} if self.asked.people else {}
        self.files.write(f"{SETS}/{name}/open-webui.tar", json.dumps(files))
        self.files.write(f"{SETS}/{name}/valkey.rdb", word)
        self.files.write(f"{SETS}/{name}/postgres.dump", dump(rows or word))

    def _mounted(self, source: str) -> MutableMapping[str, bytes]:
        return self.people if source == PEOPLE else {}

    # --- Programs

    def python3(self, process: Process) -> bytes:
        action = process.command[2]
        if action not in ("check", "count", "schema"):
            return self.folders(process)
        if process.stdin != PROGRAM.read_bytes():
            raise Exit(1, b"SyntaxError: unexpected EOF while parsing")  # half of it
        if action == "check":
            return self.problems
        if action == "count":
            return f"uploads {len(process.files(OPEN_WEBUI))}\n".encode()
        there = process.command[3].removeprefix("head of ")
        return b"older s0 s1" if there.startswith(OLDER) else b"same s1 s1"

    def folders(self, process: Process) -> bytes:
        """Nobody may write while data are swapped, or swapped back."""
        action, asked = process.command[2], json.loads(process.command[3])
        there = {name for folder in asked for name in process.files(folder)}
        if action == "swap" or (action == "undo" and any(name.startswith(folders.OLD) for name in there)):
            self.nobody_writes(action)
        return fake_volumes.python3_in_memory(process)

    def nobody_writes(self, action: str) -> None:
        web = {service.id for name, service in self.swarm.services.items() if name in (WEB, VALKEY)}
        if any(task.service_id in web and not self.swarm.seen(task).ended for task in self.swarm.tasks):
            self.mixed = f"somebody writes during a {action}"

    def shell(self, process: Process) -> bytes:
        if process.command[:2] != ("sh", "-c"):
            return fake_volumes.shell_in_memory(process)
        assert process.command[2] == migrator._COMMAND
        if self.ill_migration:
            raise Exit(1, b"alembic: no such column\n")
        state = self.server.state()
        state["databases"]["open-webui"] = state["databases"]["open-webui"].removeprefix(OLDER)
        self.server.put(state)
        return b"migrated\n"

    def open_webui(self, process: Process) -> None:
        if process.container.auto_remove:
            return
        if self.rows().get("open-webui", "").startswith(OLDER):
            self.mixed = "Open WebUI started on rows of an older schema"
        self.starts("open-webui")
        if self.people.get("webui.db") == b"broken":
            raise Exit(1, b"file is not a database\n")

    def valkey(self, process: Process) -> None:
        if process.container.auto_remove:
            return
        self.starts("Valkey")
        there = process.files("/data")
        if self.asked.appendonly and there and not any(name.startswith("appendonlydir/") for name in there):
            self.mixed = "Valkey began empty"

    def starts(self, who: str) -> None:
        """Who starts finds rows, files and keys of one set."""
        found = self.in_use()
        if len(set(found.values())) > 1:
            self.mixed = f"{who} started with {found}"

    # --- What is there

    def in_use(self) -> dict[str, str]:
        """Of which time rows, files and keys are."""
        found = {"keys": self.docker.contents["redis-data"].get("dump.rdb", b"").decode()}
        found["rows"] = self.rows().get("open-webui", "").removeprefix(OLDER)
        if self.asked.people:
            found["files"] = self.people.get("webui.db", b"").decode()
        return found

    def rows(self) -> dict[str, str]:
        return self.server.databases

    def has(self, word: str) -> bool:
        """Whether all parts of that time are in use, beside, or in a set that was made."""
        content = word.encode()
        everywhere = [
            word in self.rows().values(),
            content in self.docker.contents["redis-data"].values(),
            not self.asked.people or content in self.people.values(),
        ]
        return all(everywhere) or any(set(one.values()) == {word} for one in self.saved)

    def all(self, word: str) -> dict[str, str]:
        return dict.fromkeys(self.in_use(), word)

    def beside(self) -> list[str]:
        found = [*self.people, *self.docker.contents["redis-data"]]
        return [name for name in found if name.startswith(folders.PREFIX)] + [
            name for name in self.rows() if name != "open-webui"
        ]

    def running(self, service: str) -> int:
        id_ = self.swarm.services[service].id
        mine = [self.swarm.seen(task) for task in self.swarm.tasks if task.service_id == id_]
        return sum((task.state, task.desired) == ("running", "running") for task in mine)

    def is_up(self, replicas: int = 2) -> bool:
        return [self.running(name) for name in (POSTGRES, VALKEY, WEB)] == [1, 1, replicas]

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
            self.saved_files |= {*self.people, *self.docker.contents["redis-data"]}

    def verb(self, asked: Request | None = None, **changes: Any) -> SwarmRestore:
        stack = Stack(
            *(FOLDER, "postgres", "", "redis-data", VOLUME, IMAGE),
            wait_s=2,  # each look is a call that can fail
            releases_kept=10,
            backup_dir=SETS,
        )
        log = RunLog(self.files, "", self.say)
        parts = {"files": self.files, "clock": self.clock, "engine": self.engine, "system": NoPrograms()}
        made = Assembly(replace(stack, **changes), log, table={swarm_restore.VERB: swarm_restore.STEPS}, **parts)  # type: ignore[arg-type]
        return swarm_restore.of(made, asked or self.asked, save=self.save)

    def say(self, event: Event) -> None:
        self.said.append(event.text)

    @property
    def journal(self) -> Journal:
        return Journal(self.files, FOLDER, {swarm_restore.VERB: swarm_restore.STEPS}, self.clock)

    def restore(self, asked: Request | None = None) -> str:
        return self.verb(asked).restore()

    def recover(self) -> Entry | None:
        """By the journal alone."""
        entry = self.journal.open()
        asked = None
        if entry and entry.step:
            asked = Request(**entry.data["request"])
            assert replace(asked, restore_set="newest") == self.asked
        me = Holder("recover", 4712, "4026531836", 100, "boot-1")
        return journal.recover(self.journal, {swarm_restore.VERB: self.verb(asked)}, me, DeadProcesses())

    def boot(self) -> None:
        """A swap or an undo that was under way in a container has done a part of its work: one folder."""
        for one in list(self.docker.held.values()):
            if one.ending is not None and one.argv[:1] == ("python3",) and one.argv[2] in ("swap", "undo"):
                fake_volumes.act_in_memory(one.argv[2], self.people)
        self.docker.power_cut()
        self.swarm.start_again()


def healthy(_: Process) -> str:
    return "healthy"


# --- The story


def test_a_sets_data_take_the_place_of_those_in_use_and_a_set_of_these_is_made_first() -> None:
    world = World()
    assert world.restore() == NAME
    assert (world.in_use(), world.saved) == (world.all("new"), [world.all("old")])
    assert world.has("old")
    assert (world.is_up(), world.marks(), world.mixed) == (True, [], "")
    told = [line for line in world.said if not line.startswith(("unpacking", "loading", "waiting"))]
    assert told == [
        f"restore: reading {NAME}",
        "restore: stopping Open WebUI and Valkey",
        "restore: starting the stack",
        f"the data of {NAME} is in place",
        "the stack was away for 0 s",
    ]
    world.verb().settle()
    assert (world.in_use(), world.beside()) == (world.all("new"), [])


def test_data_that_do_not_get_healthy_give_way_to_what_was_there() -> None:
    world = broken()
    with pytest.raises(HostError, match=r"what was there before is in place again$"):
        world.restore()
    assert f"it does not get healthy with {NAME}" in world.said
    assert any("file is not a database" in line for line in world.said)
    assert (world.in_use(), world.beside(), world.is_up(), world.marks()) == (world.all("old"), [], True, [])


def test_rows_of_an_older_schema_are_migrated_before_a_replica_starts() -> None:
    world = older()
    world.restore()
    assert "migrating the database" in world.said
    assert (world.rows()["open-webui"], world.in_use(), world.mixed) == ("new", world.all("new"), "")


def test_a_migration_that_fails_brings_back_what_was_there() -> None:
    world = older()
    world.ill_migration = True
    with pytest.raises(HostError, match=r"expected it to make its tables.*what was there before is in place again"):
        world.restore()
    assert "  | alembic: no such column" in world.said
    assert (world.in_use(), world.beside(), world.is_up()) == (world.all("old"), [], True)


def test_a_migration_that_a_killed_run_has_left_at_work_is_ended_before_data_change() -> None:
    world = World()
    world.docker.put_container(helper.NAME, NewContainer("webui:1", ["alembic"], labels={helper.LABEL: "yes"}))
    world.verb()._stop()
    assert helper.NAME not in [one.name for one in world.docker.held.values()]


def test_what_a_replica_took_is_in_a_set_where_another_one_does_not_get_healthy() -> None:
    """L11."""
    world = World()
    verb = world.verb()
    scale = verb._services.scale

    def one_is_missing(service: str, replicas: int) -> None:
        scale(service, replicas)
        if service == "open-webui" and replicas and world.in_use() == world.all("new"):
            world.people["written-since"] = b"x"
            raise HostError(WEB, expected="two replicas", got="one", do="look")

    verb._services.scale = one_is_missing  # type: ignore[method-assign]
    with pytest.raises(HostError, match="what was there before is in place again"):
        verb.restore()
    assert world.saved == [world.all("old"), world.all("new")]
    assert "written-since" in world.saved_files
    assert (world.in_use(), "written-since" in world.people) == (world.all("old"), False)


def test_where_people_have_files_in_a_bucket_rows_and_keys_are_of_the_set() -> None:
    world = in_a_bucket()
    world.restore()
    assert (world.in_use(), world.is_up()) == ({"keys": "new", "rows": "new"}, True)
    world.verb().settle()
    assert world.beside() == []


def test_a_new_host_gets_the_data_and_no_open_webui_is_started() -> None:
    world = bare()
    world.restore(replace(ASKED, may_replace=False))
    assert (world.in_use(), world.saved, world.marks()) == (world.all("new"), [], [])
    assert world.is_up(replicas=0)
    assert not any("away" in line or "starting" in line for line in world.said)


def test_a_valkey_that_does_not_run_makes_no_set_and_what_is_replaced_stays() -> None:
    world = World()
    for one in world.docker.held.values():
        if one.name.startswith(VALKEY):
            world.docker.stop(one, graceful=False)
    world.restore()
    assert world.saved == []
    assert "no set of what is replaced is made, with Valkey not healthy: it stays beside until the proof" in world.said
    assert (world.in_use(), world.has("old"), world.is_up()) == (world.all("new"), True, True)


def test_earlier_data_that_nobody_accepted_outlive_a_second_restore() -> None:
    """L9."""
    world = World()
    world.restore()
    world.put_set("newer")
    world.restore()
    world.saved.clear()
    assert world.in_use() == world.all("newer")
    assert world.has("old")
    assert world.has("new")


# --- Refused


def test_data_are_replaced_only_where_the_operator_says_so() -> None:
    asked = replace(ASKED, may_replace=False)
    refused = f"name the host in restore_over to put {NAME} in its place"
    world = World()
    with pytest.raises(HostError, match=f"expected no data here, got a stack's; {refused}"):
        world.restore(asked)
    assert (world.in_use(), world.beside(), world.saved) == (world.all("old"), [], [])
    world = bare()
    world.people["uploads/kept"] = b"x"
    with pytest.raises(HostError, match=f"got 1 of people's files in {PEOPLE}; {refused}"):
        world.restore(asked)
    assert (world.beside(), world.people) == ([], {"uploads/kept": b"x"})


def test_what_can_not_be_used_or_would_be_migrated_changes_nothing() -> None:
    world = World()
    with pytest.raises(HostError, match=rf"expected the set 20250101T000000Z in {SETS}, got {NAME}"):
        world.restore(replace(ASKED, restore_set="20250101T000000Z"))
    world.problems = b"valkey.rdb: expected 3 bytes, got 2\n"
    with pytest.raises(HostError, match=rf"got valkey.rdb: expected 3 bytes, got 2; {NAME} can't be used; nothing was"):
        world.restore()
    world.problems = b""
    world.docker.put_image("webui:1", world.docker.programs[world.docker.find_image("webui:1").id])
    with pytest.raises(HostError, match=r"expected webui:1 to run here, got another image; nothing was changed; set"):
        world.restore()
    with pytest.raises(HostError, match="got database_url; put its data back there, and its uploads into /srv/people"):
        world.verb(database="external").restore()
    assert (world.beside(), world.saved, world.marks(), world.is_up()) == ([], [], [], True)


def test_a_folder_that_is_not_mounted_here_is_none_to_fill() -> None:
    world = World()
    world.files.remove_tree(PEOPLE)
    with pytest.raises(HostError, match="open_webui_shared_dir: expected /srv/people here, got no folder; mount it"):
        world.restore()
    assert world.is_up()


def test_without_services_there_is_nothing_to_restore_into() -> None:
    world = World()
    world.swarm.drop_service(VALKEY)
    with pytest.raises(HostError, match=r"restore: expected the stack's services, got .*; run deploy.py, then this"):
        world.restore()


def test_another_verb_that_was_cut_off_is_named() -> None:
    world = World()
    world.files.write(f"{FOLDER}/.restoring", "rollback\n")
    with pytest.raises(HostError, match=r"expected nothing that was cut off, got rollback, .*run runbooks/rollback.py"):
        world.restore()


def test_nothing_is_swapped_while_somebody_is_at_work_on_valkeys_volume() -> None:
    world = World()
    new = NewContainer("valkey:8", ["sleep"], volumes=["redis-data:/data"])
    world.docker.put_container("somebodys", new)
    with pytest.raises(
        HostError, match=r"redis-data: expected nobody to work on it, got somebodys; .*is in place again"
    ):
        world.restore()
    assert (world.in_use(), world.beside(), world.is_up()) == (world.all("old"), [], True)


def test_nothing_counts_as_stopped_while_the_swarm_has_no_leader() -> None:
    world = World()
    verb = world.verb()
    halt = verb._services.halt

    def elects(service: str = "open-webui") -> None:
        world.swarm.leader = False
        halt(service)

    verb._services.halt = elects  # type: ignore[method-assign]
    with pytest.raises(HostError, match="what was there before is not in place yet; run this again"):
        verb.restore()
    assert world.in_use() == world.all("old")
    world.swarm.leader = True
    world.recover()
    assert (world.in_use(), world.is_up(), world.marks()) == (world.all("old"), True, [])


# --- What earlier versions and other verbs see of it


def test_an_earlier_version_sees_a_restore_and_refuses_all_but_its_runbook() -> None:
    world = cut_off()
    assert world.files.read_text(f"{FOLDER}/.restoring") == "restore\n"


def test_an_upgrade_leaves_a_restore_that_was_cut_off_to_its_runbook(monkeypatch: pytest.MonkeyPatch) -> None:
    world = cut_off()
    of_host(monkeypatch, world, swarm)
    asked = {"swarm": "open-webui", "images": {}, "secrets": {}, "variables": ["X"], "configs": {}, "volumes": []}
    request = {**asked, "web_label": "", "network": "", "replicas": 2}
    with pytest.raises(HostError, match=r"got swarm_restore, at the step 'swap'.*run runbooks/restore.py again"):
        swarm.recover({"stack": stack_of(world), "request": request}, world.say)


# --- As the host runs it


def of_host(monkeypatch: pytest.MonkeyPatch, world: World, module: Any) -> None:
    class FakeLocks:
        def __init__(self, *_: object) -> None:
            pass

        @contextlib.contextmanager
        def work(self, who: str) -> Iterator[Held]:
            assert who in ("restore", "deploy")
            yield Held(LINUX)

    monkeypatch.setattr(module, "require_root", lambda: None)
    monkeypatch.setattr(module, "Locks", FakeLocks)
    monkeypatch.setattr(module, "Files", lambda: world.files)
    monkeypatch.setattr(module, "Clock", lambda: world.clock)
    monkeypatch.setattr(dockerd, "engine", lambda _: world.engine)
    monkeypatch.setattr("webui_stack.host.assembly.System", NoPrograms)


def stack_of(world: World) -> dict[str, Any]:
    return {**asdict(world.verb()._stack), "wait_s": 60}


def arguments(world: World, **changes: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("stack_dir", "backup_dir", "swarm", "open_webui", "valkey", "postgres", "people"), "")
    lists: dict[str, Any] = {name: [] for name in ("volumes", "folders", "files", "left_out", "in_clear")}
    asked = {**empty, **lists, "images": {}, "age_recipient": "", "keep": 7, "reserve_mb": 0}
    return {"stack": stack_of(world), "request": {**asdict(world.asked), "backup": asked, **changes}}


def test_the_verb_ends_what_was_cut_off_and_makes_its_set_without_another_one_going(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = cut_off()
    wanted: list[backup.Request] = []
    of_host(monkeypatch, world, swarm_restore)
    monkeypatch.setattr(recover, "Processes", DeadProcesses)
    monkeypatch.setattr(backup.Backup, "run", lambda _, asked, __: wanted.append(asked))
    assert swarm_restore.run(arguments(world), world.say) == NAME
    (one,) = wanted
    assert (one.keep, one.holds_lock, one.repairs, one.made_for) == (0, True, True, "restore")
    assert any(line.startswith("ending what was cut off: swarm_restore") for line in world.said)
    assert world.in_use() == world.all("new")
    swarm_restore.settle(arguments(world), world.say)
    assert world.beside() == []
    assert recover.TABLE[swarm_restore.VERB] == swarm_restore.STEPS


def test_a_new_host_gets_the_secrets_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    world = bare()
    of_host(monkeypatch, world, swarm_restore)
    monkeypatch.setattr(set_secrets, "read", lambda *_: {"secrets/webui-secret-key": (0o600, b"sesame\n")})
    asked = arguments(world, identity="AGE-SECRET-KEY-1X")
    swarm_restore.secrets(asked, world.say)
    assert world.files.read_text(f"{FOLDER}/secrets/webui-secret-key") == "sesame\n"
    assert world.said == [f"the secrets of {NAME} are in place"]
    world.files.make_folder(f"{FOLDER}/.good")
    with pytest.raises(HostError, match="expected no stack here, got a good deploy"):
        swarm_restore.secrets(asked, world.say)


def test_a_journal_has_no_identity() -> None:
    world = World()
    assert "AGE" not in json.dumps(world.verb(replace(ASKED, identity="AGE-SECRET-KEY-1X"))._noted(NAME))


# --- Killed, cut off, and failing, everywhere


def plain() -> World:
    return World()


def in_a_bucket() -> World:
    return World(replace(ASKED, people=""))


def with_log() -> World:
    world = World()
    world.asked = replace(ASKED, appendonly=True)
    world.docker.contents["redis-data"]["appendonlydir/1.base.rdb"] = b"old"
    return world


def broken() -> World:
    world = World()
    world.put_set("broken")
    return world


def older() -> World:
    world = World()
    world.put_set("new", rows=f"{OLDER}new")
    return world


def again() -> World:
    """An earlier restore was not accepted: "eldest" data wait."""
    world = World()
    for files, name in ((world.people, "webui.db"), (world.docker.contents["redis-data"], "dump.rdb")):
        files.update({f"{folders.OLD}/{name}": b"eldest", f"{folders.OLD}/.": b""})
    state = world.server.state()
    world.server.put({**state, "databases": {"open-webui": "old", "open-webui.old": "eldest"}})
    return world


def bare() -> World:
    """What holds the data was started first; nobody has used it."""
    return World(runs=False)


def cut_off() -> World:
    """A restore was killed when all had stopped."""
    world = World()
    for _, left in every_crash(world, run, points=changes_outside, ends=(None,)):
        entry = left.journal.open()
        if entry and entry.step == "swap" and any(name.startswith(folders.OLD) for name in left.people):
            left.said.clear()
            left.saved.clear()
            return left
    raise AssertionError("no such moment")


SCENARIOS: Mapping[str, Callable[[], World]] = {
    "a swarm": plain,
    "files in a bucket": in_a_bucket,
    "a log": with_log,
    "a set that does not get healthy": broken,
    "a set of an older version": older,
    "a restore before was not accepted": again,
    "a new host": bare,
}


def run(world: World) -> None:
    world.restore()


def recovers(world: World) -> None:
    world.recover()


def changes_outside(point: str) -> bool:
    """What is between two changes of the journal's files is in test_journal.py."""
    return is_change(point) and outside(point)


def nothing_is_lost(world: World, name: str, where: str) -> None:
    assert not world.mixed, where
    if name != "a new host":
        assert world.has("old"), where
    if name == "a restore before was not accepted":
        assert world.has("eldest"), where
    assert world.server.double == 0, where


def ends_well(world: World, name: str, where: str) -> None:
    """Recovery brings all of before, or all of the set where that is healthy. Then a restore works."""
    nothing_is_lost(world, name, where)
    is_bare = name == "a new host"
    keys = world.docker.contents["redis-data"]
    if world.running(WEB) and keys["dump.rdb"] == b"new":
        keys["written-since"] = b""
    written = "written-since" in keys
    world.recover()
    nothing_is_lost(world, name, where)
    if "written-since" in keys:
        assert world.in_use() == world.all("new"), where
    elif written:
        assert "written-since" in world.saved_files, where
    assert world.in_use() in (world.all("" if is_bare else "old"), world.all("new")), where
    assert world.is_up(0 if is_bare else 2), where
    assert world.marks() == [], where
    world.put_set("newest", "20271129T030000Z")
    world.restore()
    nothing_is_lost(world, name, where)
    assert (world.in_use(), world.is_up(0 if is_bare else 2)) == (world.all("newest"), True), where
    world.verb().settle()
    assert (world.in_use(), world.beside(), world.marks()) == (world.all("newest"), [], []), where
    assert world.kernel._open == {}, where


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_restore_that_is_cut_off_anywhere_ends_well(name: str) -> None:
    crashes = 0
    ends = (None, True) if name in ("a swarm", "a new host") else (None,)
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
def test_a_recovery_that_is_cut_off_anywhere_ends_well() -> None:
    """A sample: of the moments in which data are in two places."""
    starts = [world for _, world in every_crash(plain(), run, points=changes_outside, ends=(True,)) if world.marks()][
        ::7
    ]
    assert len(starts) > 2
    for start in starts:
        for where, world in every_crash(start, recovers, points=changes_outside, ends=(None, True)):
            ends_well(world, "a swarm", where)
