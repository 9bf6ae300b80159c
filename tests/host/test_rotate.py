"""Rotate: whatever fails, and wherever it is cut off, what runs has passwords that work; in the end one alone does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.host import fake_postgres, fake_valkey
from tests.host.fake_clock import FakeClock
from tests.host.fake_compose import FakeCompose
from tests.host.fake_docker import Docker, Exit, Process, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import Crash, FakeFiles, FakeKernel
from tests.host.fake_system import FakeSystem
from tests.host.points import Points, every_crash, every_failure, is_change, outside
from tests.host.test_containers import one_by_one
from webui_stack.host import assembly, compose, dockerd, secrets
from webui_stack.host.assembly import Assembly, Stack
from webui_stack.host.containers import Containers
from webui_stack.host.data.compatibility import Compatibility
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Holder, Processes, State
from webui_stack.host.journal import Journal
from webui_stack.host.kernel import LINUX
from webui_stack.host.locks import Held
from webui_stack.host.protocol import Event
from webui_stack.host.run_log import RunLog
from webui_stack.host.secrets import Secret, Wish
from webui_stack.host.verbs import recover, rotate, up
from webui_stack.host.verbs.rotate import Request, Rotation

FOLDER = "/opt/stack"
OLD = "old-" * 12
SUPPLIED = "SuppliedByTheOperatorSuppliedByTheOperator"
STACK = Stack(
    folder=FOLDER,
    database="sqlite",
    open_webui_volume="open-webui",
    valkey_volume="redis-data",
    postgres_volume=fake_postgres.VOLUME,
    postgres_image=fake_postgres.IMAGE,
    wait_s=120,
    releases_kept=10,
)
CONTAINERS = ["redis-valkey", "open-webui"]
VALKEY = Request(["valkey_password"], ["secrets/valkey-password", "secrets/valkey-monitor-password"], CONTAINERS)
KEY = Request(["open_webui_secret_key"], ["secrets/webui-secret-key"], CONTAINERS)
PROBE = Request(["probe_password"], ["secrets/probe-password"], CONTAINERS)
POSTGRES = Request(["postgres_password"], ["secrets/postgres-password"], CONTAINERS)
ALL = Request(
    ["valkey_password", "open_webui_secret_key", "probe_password"],
    [*VALKEY.files, *KEY.files, *PROBE.files],
    CONTAINERS,
)
ACL = """\
user default on nopass resetkeys resetchannels -@all +ping
user open-webui on #${valkey_password_sha256} ~open-webui:* &socketio +@all -@admin
user monitor on #${monitor_password_sha256} resetkeys resetchannels -@all +ping +acl|load"""
ENV = """\
KEY='${webui_secret_key}'
PASSWORD='${valkey_password}'
VALKEY_ACL_SHA256='${acl_sha256}'"""
SERVICES = """\
services:
  redis:
    image: valkey:8
    container_name: redis-valkey
    labels:
      open-webui-stack.users-acl: ${VALKEY_ACL_SHA256}
    volumes:
      - redis-data:/data
  open-webui:
    image: webui:1
    container_name: open-webui
    environment:
      KEY: ${KEY}
      PASSWORD: ${PASSWORD}
    volumes:
      - open-webui:/data
"""
WITH_POSTGRES = f"""\
{SERVICES}  postgres:
    image: {fake_postgres.IMAGE}
    container_name: open-webui-postgres
    environment:
      POSTGRES_PASSWORD: first
    volumes:
      - {fake_postgres.VOLUME}:/var/lib/postgresql/data
"""


class DeadProcesses(Processes):
    def state(self, _: Holder) -> State:
        return "dead"


class World:
    """A stack that is deployed; its secrets are all `OLD`, a letter for each before it."""

    def __init__(self, definition: str = SERVICES, *, supplied: str = "") -> None:
        self.kernel = FakeKernel()
        self.files = FakeFiles(self.kernel)
        self.docker, self.clock = Docker(), FakeClock()
        self.said: list[str] = []
        self.ill = ""  # which Open WebUI does not get healthy: the "new" one, or "all"
        self.environment: Mapping[str, str] = {}  # that of Open WebUI before
        self.numbers = 0
        self.docker.put_image("valkey:8", Program(self.valkey, commands={"sh": _sh, "timeout": fake_valkey.load_users}))
        self.docker.put_image("webui:1", Program(health=self.health))
        self.server = fake_postgres.Server(self.docker)
        self.docker.put_image(fake_postgres.IMAGE, self.server.program())
        points = Points(self.kernel)
        self.engine = FakeEngine(self.docker, faults=points)
        self.project = FakeCompose(self.docker, self.kernel, points, FOLDER)
        self.me = Holder("rotate", 4711, "4026531836", 99, "boot-1")
        self.wish = Wish(
            FOLDER,
            [
                Secret("valkey_password", "valkey-password"),
                Secret("monitor_password", "valkey-monitor-password"),
                Secret("webui_secret_key", "webui-secret-key"),
                Secret("postgres_password", "postgres-password", mode=0o644),
                Secret("probe_password", "probe-password"),
            ],
            ACL,
            ENV,
            marks=["secrets/valkey-password"],
        )
        for secret in self.wish.secrets:
            self.files.make_folder(f"{FOLDER}/secrets")
            self.files.write(f"{FOLDER}/secrets/{secret.file}", f"{OLD}{secret.name[0]}\n".replace("-", ""))
        self.write_secrets()
        self.files.write(f"{FOLDER}/compose.yaml", definition)
        self.files.write(f"{FOLDER}/valkey/valkey.conf", "# conf\n")
        self.made = self.assemble()
        self.made.services.up()
        self.made.releases.remember(self.project)
        self.kernel.now_s += 1000  # what is written from now on is newer than Valkey's process
        first, *rest = self.wish.secrets
        self.wish = replace(self.wish, secrets=[replace(first, supplied=supplied), *rest])
        self.before = self.secrets()
        self.started = self.docker.named("redis-valkey").started_at
        self.environment = dict(self.docker.named("open-webui").new.env)

    def assemble(self) -> Assembly:
        log = RunLog(self.files, "/run/open-webui-stack.rotate", self.say)
        made = Assembly(
            STACK,
            log,
            table=recover.TABLE,
            system=FakeSystem(Path("/nowhere")),
            files=self.files,
            clock=self.clock,
            engine=self.engine,
            project=self.project,
        )
        made.__dict__["containers"] = Containers(self.engine, self.clock, each=one_by_one)
        return made

    def say(self, event: Event) -> None:
        self.said.append(event.text)

    def make(self) -> str:
        self.numbers += 1
        return f"new{self.numbers}".ljust(48, "x")

    def write_secrets(self) -> None:
        secrets.write(self.files, self.engine, FakeSystem(Path("/nowhere")), self.wish, self.make)

    # --- What the images do

    def valkey(self, process: Process) -> None:
        fake_valkey.read_users(process, self.kernel.find(f"{FOLDER}/valkey/users.acl").data.decode())

    def health(self, process: Process) -> str:
        valkey = next((one for one in self.docker.held.values() if one.name == "redis-valkey"), None)
        is_new = process.env != self.environment
        if self.ill == "all" or (self.ill and is_new) or not valkey or not valkey.runs:
            return "unhealthy"
        return "healthy" if fake_valkey.knows(valkey, "open-webui", process.env["PASSWORD"]) else "unhealthy"

    # --- What is there

    @property
    def journal(self) -> Journal:
        return self.made.journal

    def secrets(self) -> dict[str, str]:
        folder = f"{FOLDER}/secrets"
        return {name: self.files.read_text(f"{folder}/{name}") or "" for name in self.files.listdir(folder) or []}

    def renewed(self) -> list[str]:
        found = self.secrets()
        return sorted(name for name, text in self.before.items() if found[name] != text)

    def left(self) -> list[str]:
        known = {".good", ".good.old", ".deploys", ".env", "compose.yaml", "secrets", "valkey"}
        return [name for name in self.files.listdir(FOLDER) or [] if name not in known and not name.endswith(".new")]

    def works(self, where: str) -> None:
        """At this very moment: what runs has passwords that work."""
        valkey = self.docker.named("redis-valkey")
        for one in self.docker.held.values():
            if one.runs and one.name == "open-webui":
                assert fake_valkey.knows(valkey, "open-webui", one.new.env["PASSWORD"]), where

    def is_settled(self, where: str = "") -> None:
        """One password alone works, Open WebUI has it, and it is remembered; a deploy would find nothing to do."""
        found, valkey = self.secrets(), self.docker.named("redis-valkey")
        password = found["valkey-password"].strip()
        open_webui = self.docker.named("open-webui")
        assert (open_webui.status, open_webui.new.env["PASSWORD"]) == ("running", password), where
        assert open_webui.new.env["KEY"] == found["webui-secret-key"].strip(), where
        assert fake_valkey.passwords(valkey, "open-webui") == [secrets.sha256(password)], where
        monitor = secrets.sha256(found["valkey-monitor-password"].strip())
        assert fake_valkey.passwords(valkey, "monitor") == [monitor], where
        assert secrets.look(self.files, self.engine, replace(self.wish, secrets=self.kept())).stale == {}, where
        self.made.releases.recover()
        assert self.made.releases.in_force.is_sound(), where
        assert {
            name: self.files.read_text(f"{FOLDER}/.good/secrets/{name}") for name in found if not name.endswith(".new")
        } == {name: text for name, text in found.items() if not name.endswith(".new")}, where
        assert (self.journal.open(), self.left()) == (None, []), where
        assert not self.is_newer() or valkey.started_at > self.started, where

    def kept(self) -> Sequence[Secret]:
        return [replace(one, supplied="") for one in self.wish.secrets]

    def is_newer(self) -> bool:
        """Whether the next deploy recreates Valkey, because its users are newer than its process."""
        users, conf = (self.files.stat(f"{FOLDER}/valkey/{name}") for name in ("users.acl", "valkey.conf"))
        assert users
        assert conf
        return users.changed_s > conf.changed_s

    # --- The program under test

    def rotate(self, asked: Request = VALKEY) -> None:
        self.recover()
        Rotation(self.made, asked, self.me, make=self.make).rotate(self.wish)

    def recover(self) -> None:
        recover.end_stack(self.made, DeadProcesses())

    def deploy(self) -> None:
        """The next run of deploy.py, as far as it concerns the secrets."""
        self.made.releases.recover()  # as the survey does
        self.write_secrets()
        asked = up.Request(
            image="webui:1",
            valkey_image="valkey:8",
            containers=CONTAINERS,
            volumes=["open-webui", "redis-data"],
            recreate=["redis"] if self.is_newer() else [],
        )
        up.of(self.made, asked).up(asked)

    def boot(self) -> None:
        self.docker.power_cut()


def _sh(process: Process) -> bytes:
    """The shell of Valkey's image: it puts users in place, or looks after data."""
    return fake_valkey.shell(process) if "cd /data" in process.command[2] else fake_valkey.write_users(process)


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the real host is asked."""
    monkeypatch.setattr(compose, "programs", lambda: "p  -")
    monkeypatch.setattr(Compatibility, "check", lambda _: None)


# --- The story


def test_valkey_runs_on_with_another_password_and_the_old_one_is_good_for_nothing() -> None:
    world = World()
    old = world.docker.named("open-webui").id
    world.rotate()
    assert world.renewed() == ["valkey-monitor-password", "valkey-password"]
    assert world.docker.named("redis-valkey").started_at == world.started
    assert world.docker.named("open-webui").id != old
    assert not world.is_newer()
    world.is_settled()
    assert world.said == [
        "open-webui was away for at most 0 s",
        "valkey_password is renewed, the old one good for nothing; Valkey was not restarted",
    ]


def test_all_of_them_are_renewed_with_one_start() -> None:
    world = World(supplied=SUPPLIED)
    world.project.changes.clear()
    world.rotate(ALL)
    assert (len(world.renewed()), world.project.changes) == (4, ["up"])
    assert world.secrets()["valkey-password"] == f"{SUPPLIED}\n"
    world.is_settled()
    assert [line.partition(" ")[0] for line in world.said] == ["open-webui", *ALL.rotated]


def test_a_password_of_the_probe_restarts_nothing() -> None:
    world = World()
    before = len(world.docker.events)
    world.rotate(PROBE)
    assert (world.renewed(), len(world.docker.events)) == (["probe-password"], before)
    world.is_settled()
    assert world.said == ["probe_password is renewed; the next verify gives it to the account"]


def test_postgres_gets_its_password_and_is_not_restarted() -> None:
    world = World(WITH_POSTGRES)
    started = world.docker.named("open-webui-postgres").started_at
    world.rotate(POSTGRES)
    assert world.renewed() == ["postgres-password"]
    assert world.server.state()["password"] == world.secrets()["postgres-password"].strip()
    assert world.docker.named("open-webui-postgres").started_at == started
    assert world.said[-1] == "postgres_password is renewed; Postgres was not restarted"
    world.ill = "all"
    with pytest.raises(HostError, match="not in force yet"):
        world.rotate(replace(KEY, rotated=["postgres_password", *KEY.rotated], files=[*POSTGRES.files, *KEY.files]))


def test_a_start_that_fails_brings_the_old_secrets_back() -> None:
    world = World()
    world.ill = "new"
    with pytest.raises(HostError) as caught:
        world.rotate(ALL)
    assert str(caught.value) == (
        "rotate: expected valkey_password, open_webui_secret_key, probe_password to be renewed, got the above; "
        "the old ones are in place again"
    )
    assert "open-webui is running unhealthy; its last lines:" in world.said
    assert (world.renewed(), world.docker.named("redis-valkey").started_at) == ([], world.started)
    world.is_settled()


def test_what_does_not_come_back_is_told_and_the_next_run_ends_it() -> None:
    world = World()
    world.ill = "all"
    with pytest.raises(HostError, match="the old ones are not in force yet: run this again"):
        world.rotate()
    assert world.journal.open() is not None
    world.ill = ""
    world.rotate()
    assert world.renewed() == ["valkey-monitor-password", "valkey-password"]
    world.is_settled()


def test_a_valkey_that_takes_no_users_keeps_those_it_has_and_the_old_secrets_come_back() -> None:
    world = World()
    wish = world.wish
    world.wish = replace(wish, acl=f"{wish.acl}\nnobody")
    with pytest.raises(HostError, match="the old ones are in place again"):
        world.rotate()
    assert any("expected it to load its users, got ERR /run/users.acl:4: Syntax error" in line for line in world.said)
    world.wish = wish
    assert (world.renewed(), world.docker.named("redis-valkey").started_at) == ([], world.started)
    world.is_settled()


def test_another_verb_that_is_under_way_is_left_alone() -> None:
    world = World()
    Journal(world.files, FOLDER, {"restore": []}, world.clock).begin("restore", world.me)
    with pytest.raises(HostError, match="expected nothing under way, got restore"):
        Rotation(world.made, VALKEY, world.me).rotate(world.wish)
    assert world.renewed() == []


def test_half_of_the_users_are_never_loaded() -> None:
    """A crash while they are written: Valkey does not load them, and its next start writes them again."""
    world = World()

    def half(process: Process) -> bytes:
        process.write("/run/users.acl", process.stdin[: len(process.stdin) // 2])
        raise Exit(1, b"killed")

    image = world.docker.named("redis-valkey").image_id
    program = world.docker.programs[image]
    world.docker.programs[image] = replace(program, commands={**program.commands, "sh": half})
    with pytest.raises(HostError, match="the old ones are in place again"):
        world.rotate()
    assert world.renewed() == []
    world.is_settled()


def test_no_secret_is_told_noted_or_an_argument() -> None:
    world = World(supplied=SUPPLIED)
    world.ill = "new"
    noted: list[str] = []
    commands: list[Sequence[str]] = []
    step, execute = Journal.step, FakeEngine.exec

    def keep(self: Journal, name: str, data: Mapping[str, object] | None = None) -> None:
        step(self, name, data)
        noted.append(world.files.read_text(f"{FOLDER}/journal.json") or "")

    def run(self: FakeEngine, name: str, command: Sequence[str], **more: object) -> object:
        commands.append(command)
        return execute(self, name, command, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "step", keep)
        patch.setattr(FakeEngine, "exec", run)
        with pytest.raises(HostError) as caught:
            world.rotate(ALL)
        world.ill = ""
        world.rotate(ALL)
    values = {text.strip() for text in (*world.before.values(), *world.secrets().values())} | {SUPPLIED, "new1x"}
    assert len(noted) > 5
    assert len(commands) > 5
    shown = f"{caught.value} {world.said} {noted} {commands}"
    assert not [value for value in values if value in shown]
    assert [set(json.loads(one)["data"]) for one in noted] == [{"stack", "request"}] * len(noted)


# --- As the host runs it


def test_the_verb_renews_and_holds_the_work_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    held: list[tuple[str, Sequence[str]]] = []

    class FakeLocks:
        def __init__(self, *_: object) -> None:
            pass

        @contextlib.contextmanager
        def work(self, who: str, containers: Sequence[str]) -> Iterator[Held]:
            held.append((who, containers))
            yield Held(LINUX)

    monkeypatch.setattr(rotate, "require_root", lambda: None)
    monkeypatch.setattr(rotate, "Locks", FakeLocks)
    monkeypatch.setattr(rotate, "Files", lambda: world.files)
    monkeypatch.setattr(rotate, "Clock", lambda: world.clock)
    monkeypatch.setattr(dockerd, "engine", lambda _: world.engine)
    monkeypatch.setattr(assembly, "Compose", lambda *_, **__: world.project)
    arguments = json.loads(json.dumps({"stack": asdict(STACK), "request": asdict(VALKEY), "wish": asdict(world.wish)}))
    rotate.run(arguments, world.say)
    world.is_settled()
    assert held == [("rotate", CONTAINERS)]
    assert (world.files.read_text("/run/open-webui-stack.rotate") or "").splitlines() == world.said
    world.environment, world.ill = dict(world.docker.named("open-webui").new.env), "new"
    with pytest.raises(HostError, match="in place again") as caught:
        rotate.run(arguments, world.say)
    assert (world.files.read_text("/run/open-webui-stack.rotate") or "").splitlines()[-1] == str(caught.value)


# --- Killed, cut off, and failing, everywhere


def with_a_start_that_fails() -> World:
    world = World()
    world.ill = "new"
    return world


SCENARIOS: Mapping[str, tuple[Callable[[], World], Request]] = {
    "valkey": (World, VALKEY),
    "all": (World, ALL),
    "a start that fails": (with_a_start_that_fails, VALKEY),
    "key": (World, KEY),
    "probe": (World, PROBE),
}


def all_or_none(world: World, asked: Request, where: str) -> None:
    renewed = [path.rpartition("/")[2] for path in sorted(asked.files)]
    assert world.renewed() in ([], renewed), where


def changes_outside(point: str) -> bool:
    """What `remember` and `recall` do between their renames is in test_releases.py."""
    return is_change(point) and (outside(point) or point == "before unlink")


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_rotation_that_is_cut_off_anywhere_is_ended_by_its_recovery(name: str) -> None:
    start, asked = SCENARIOS[name]
    ways = set()
    for where, world in every_crash(
        start(), lambda world: world.rotate(asked), points=changes_outside, ends=(None, True)
    ):
        if where.startswith("killed"):
            world.works(where)
        entry = world.journal.open()
        world.recover()
        all_or_none(world, asked, where)
        world.is_settled(where)
        if entry:  # once Open WebUI was healthy with the new ones, they stay
            assert bool(world.renewed()) == (entry.step in (rotate.REVOKE, rotate.REMEMBER)), where
        if where.startswith("killed"):
            assert world.docker.named("redis-valkey").started_at == world.started, where
        ways.add(bool(world.renewed()))
        world.ill = ""
        world.rotate(asked)
        world.is_settled(where)
    assert ways == ({False} if "fails" in name else {False, True})


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_rotation_that_is_cut_off_anywhere_is_ended_by_the_next_deploy(name: str) -> None:
    start, asked = SCENARIOS[name]
    for where, world in every_crash(
        start(), lambda world: world.rotate(asked), points=changes_outside, ends=(None, True)
    ):
        world.ill = ""
        world.deploy()
        world.works(where)
        assert world.docker.named("open-webui").new.env["PASSWORD"] == world.secrets()["valkey-password"].strip(), where
        assert (world.journal.open(), world.left()) == (None, []), where


@pytest.mark.crash
@pytest.mark.parametrize("name", ["valkey", "a start that fails"])
def test_a_recovery_that_is_cut_off_anywhere_is_recovered(name: str) -> None:
    start, asked = SCENARIOS[name]
    crashed: list[World] = []
    for _, world in every_crash(
        start(),
        lambda world: world.rotate(asked),
        points=lambda point: is_change(point) and ": " in point,
        ends=(None,),
    ):
        crashed.append(world)
    for first in crashed[::2]:
        for where, world in every_crash(first, World.recover, points=changes_outside, ends=(None, True)):
            world.recover()
            all_or_none(world, asked, where)
            world.is_settled(where)


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_rotation_in_which_a_call_fails_ends_well(name: str) -> None:
    start, asked = SCENARIOS[name]
    for where, world, error in every_failure(start(), lambda world: world.rotate(asked), points=outside):
        world.works(where)
        if error is None:
            assert world.renewed(), where
        elif "in place again" in str(error):
            assert world.renewed() == [], where
        world.recover()
        all_or_none(world, asked, where)
        world.is_settled(where)


def test_a_crash_is_no_error_that_the_way_back_would_follow() -> None:
    assert not issubclass(Crash, Exception)
