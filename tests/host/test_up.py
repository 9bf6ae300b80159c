"""Up: whatever fails, and wherever it is cut off, the new release serves or what ran before does, and none is lost."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_compose import FakeCompose, definition
from tests.host.fake_docker import Docker, Process, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.fake_valkey import shell
from tests.host.points import Points, every_crash, every_failure, is_change, outside
from tests.host.test_containers import one_by_one
from webui_stack.host import assembly, compose, dockerd, journal
from webui_stack.host.by_hand import ByHand
from webui_stack.host.containers import PROCESSES, Containers
from webui_stack.host.data.helper import NAME, Helper
from webui_stack.host.data.valkey import ValkeyData
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Holder, Processes, State
from webui_stack.host.journal import Journal
from webui_stack.host.kernel import LINUX
from webui_stack.host.locks import Held
from webui_stack.host.protocol import Event
from webui_stack.host.releases import Releases
from webui_stack.host.services import Services
from webui_stack.host.verbs import up
from webui_stack.host.verbs.up import Request, Up

FOLDER = "/opt/stack"
FIRST = "20261129T030000Z"
SECRETS = {"secrets/webui-secret-key": "sesame\n"}
VOLUMES = ("open-webui", "redis-data")
ASKED = Request(
    image="webui:2",
    valkey_image="valkey:8",
    containers=["redis-valkey", "open-webui", "open-webui-2"],
    volumes=VOLUMES,
)
STACK = assembly.Stack(
    folder=FOLDER,
    database="sqlite",
    open_webui_volume="open-webui",
    valkey_volume="redis-data",
    postgres_volume="open-webui-postgres",
    postgres_image="pgvector:pg17",
    wait_s=120,
    releases_kept=10,
)
ADOPTION = replace(ASKED, image="webui:1", replace=["redis-valkey", "open-webui"])


class DeadProcesses(Processes):
    def state(self, _: Holder) -> State:
        return "dead"


class Data:
    """People's data: `refused` is why the deploy may not run on them."""

    refused = ""

    def check(self) -> None:
        if self.refused:
            raise HostError("open_webui_image", expected="the schema the data have", got=self.refused, do="upgrade")


def healthy(_: Process) -> str:
    return "healthy"


def ill(_: Process) -> str:
    return "unhealthy"


def alone(process: Process) -> None:
    """Two versions never have one database, not for a moment: neither of Open WebUI nor of Valkey."""
    mine = process.container
    if mine.name == NAME:
        return
    for other in process.docker.held.values():
        if other.runs and set(other.volumes) & set(mine.volumes):
            assert other.image_id == mine.image_id, f"{mine.name} starts beside {other.name}"


class World:
    """A host on which nothing runs yet; `deploy` puts the files of a version and brings it up."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.files = FakeFiles(self.kernel)
        self.docker = Docker()
        self.clock = FakeClock()
        self.data = Data()
        self.said: list[str] = []
        self.began_empty = False
        self.docker.put_image("valkey:8", Program(self.valkey, commands={"sh": shell}, health=healthy))
        python = {"python3": lambda _: b"same a1 a1\n"}
        for name in ("by-hand:1", "webui:1", "webui:2", "webui:3"):
            self.docker.put_image(name, Program(alone, commands=python, health=healthy))
        self.docker.put_image("webui:ill", Program(alone, commands=python, health=ill))
        points = Points(self.kernel)
        self.engine = FakeEngine(self.docker, faults=points)
        self.project = FakeCompose(self.docker, self.kernel, points, FOLDER)
        containers = Containers(self.engine, self.clock, each=one_by_one)
        self.releases = Releases(self.files, self.engine, self.clock, FOLDER, kept=10)
        self.me = Holder("deploy", 4711, "4026531836", 99, "boot-1")
        self.journal = Journal(self.files, FOLDER, {up.VERB: up.STEPS}, self.clock)
        self.files.make_folder(f"{FOLDER}/secrets")
        self.files.make_folder(f"{FOLDER}/valkey", mode=0o755)
        self.verb = Up(
            stack=STACK,
            files=self.files,
            engine=self.engine,
            journal=self.journal,
            releases=self.releases,
            project=self.project,
            containers=containers,
            services=Services(self.files, self.project, containers),
            by_hand=ByHand(self.files, self.engine, containers, FOLDER, self.said.append),
            data=self.data,
            log=self.log,
            me=self.me,
            emit=self.say,
        )
        self.put(1)

    def say(self, event: Event) -> None:
        self.said.append(event.text)

    def log(self, image: str) -> ValkeyData:
        return ValkeyData(self.engine, self.files, self.clock, Helper(self.engine, self.clock), image, "redis-data")

    def valkey(self, process: Process) -> None:
        """As its configuration says, it loads the append-only file and nothing else."""
        alone(process)
        there = process.files("/data")
        conf = self.kernel.find(f"{FOLDER}/valkey/valkey.conf").data
        if conf.startswith(b"appendonly yes") and not any(name.startswith("appendonlydir/") for name in there):
            self.began_empty = bool(there)

    @property
    def kept(self) -> list[str]:
        """What Valkey has in its volume."""
        return sorted(self.docker.contents.get("redis-data", {}))

    def put(self, version: object, *, appendonly: bool = False) -> None:
        """The files of a version. Its secrets are those of before."""
        volume = "    volumes:\n      - {}:/data\n" + ("    labels: log\n" if appendonly else "")
        services = [("redis", "valkey:8", "redis-valkey", "redis-data")]
        services += [(name, f"webui:{version}", name, "open-webui") for name in ("open-webui", "open-webui-2")]
        text = "services:\n" + "\n".join(
            definition((name, image, container), more=volume.format(data)).partition("\n")[2]
            for name, image, container, data in services
        )
        users = "user default on\n"
        files = {**SECRETS, "compose.yaml": text, ".env": f"V='{version}'\n"}
        files["valkey/valkey.conf"] = f"{'appendonly yes' if appendonly else '#'} {version}\n"
        for path, content in {**files, "valkey/users.acl": users}.items():
            self.files.write(f"{FOLDER}/{path}", content)

    def deploy(self, version: object, asked: Request = ASKED) -> str:
        self.put(version)
        return self.up(replace(asked, image=f"webui:{version}"))

    def up(self, asked: Request = ASKED) -> str:
        return self.verb.up(asked)

    def recover(self) -> None:
        me = replace(self.me, pid=4712)
        journal.recover(self.journal, {up.VERB: self.verb}, me, DeadProcesses())

    def boot(self) -> None:
        self.docker.power_cut()

    def by_hand(self) -> None:
        """What somebody has made by hand serves."""
        for name, volume in (("redis-valkey", "redis-data"), ("open-webui", "open-webui")):
            made = self.docker.put_container(name, NewContainer("by-hand:1", volumes=[f"{volume}:/data"]))
            made.restart_policy = "always"

    def serving(self) -> dict[str, str]:
        """The image of each container that runs, by name; less the one that looks into volumes."""
        running = [one for one in self.docker.held.values() if one.runs and one.name != NAME]
        return {one.name: self.docker.images[one.image_id].tags[-1] for one in running}

    def left(self) -> list[str]:
        """What only a run that is under way has in the folder; a write that was killed is replaced by the next one."""
        known = {".good", ".deploys", ".env", "compose.yaml", "secrets", "valkey"}
        return [name for name in self.files.listdir(FOLDER) or [] if name not in known and not name.endswith(".new")]


def serves(version: object) -> dict[str, str]:
    found = dict.fromkeys(("open-webui", "open-webui-2"), f"webui:{version}")
    return {"redis-valkey": "valkey:8", **found}


BY_HAND = dict.fromkeys(("redis-valkey", "open-webui"), "by-hand:1")


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the real host is asked."""
    monkeypatch.setattr(compose, "programs", lambda: "p  -")


def fresh() -> World:
    return World()


def deployed() -> World:
    """The first version is in force; the files of the second one are there."""
    world = World()
    world.deploy(1)
    world.clock.sleep(60)
    world.put(2)
    world.said.clear()
    return world


def ill_one() -> World:
    """The first version is in force; the files of another one are there, which does not get healthy."""
    world = deployed()
    world.put("ill")
    return world


def made_by_hand() -> World:
    world = World()
    world.by_hand()
    return world


def made_by_hand_and_ill() -> World:
    world = made_by_hand()
    world.put("ill")
    return world


# --- The story


def test_a_fresh_host_gets_the_stack_and_remembers_it() -> None:
    world = World()
    assert world.deploy(1) == FIRST
    assert (world.serving(), world.left(), world.journal.open()) == (serves(1), [], None)
    assert set(world.docker.volumes) == set(VOLUMES)
    assert world.said == []


def test_the_next_version_takes_its_place_and_the_one_before_is_kept() -> None:
    world = deployed()
    world.docker.put_container("open-webui-3", NewContainer("webui:1"))
    assert world.up(replace(ASKED, remove=["open-webui-3", "open-webui-4"])) == "20261129T030100Z"
    assert (world.serving(), world.releases.names()) == (serves(2), [FIRST])
    assert world.said == ["removed open-webui-3"]


def test_what_does_not_get_healthy_gives_way_to_the_last_good_release() -> None:
    world = ill_one()
    with pytest.raises(HostError) as caught:
        world.up(replace(ASKED, image="webui:ill"))
    assert str(caught.value) == (
        "compose: expected `docker compose up open-webui` to succeed, got exit status 1; that one runs again; the "
        "change is not in force"
    )
    assert world.said == [
        "not healthy within 120 s, or not started:",
        "open-webui is running unhealthy; its last lines:",
        "open-webui-2 is exited unhealthy; its last lines:",
        "going back to the deploy of 2026-11-29 03:00:00 UTC",
    ]
    assert (world.serving(), world.left(), world.journal.open()) == (serves(1), [], None)
    assert world.files.read_text(f"{FOLDER}/.env") == "V='1'\n"


def test_a_first_deploy_that_does_not_get_healthy_says_that_there_is_nothing_to_go_back_to() -> None:
    world = World()
    with pytest.raises(HostError, match="there is no earlier good deploy to go back to"):
        world.deploy("ill")
    assert world.left() == []
    world.deploy(1)
    assert world.serving() == serves(1)


def test_a_release_that_can_not_come_back_is_told_and_the_next_deploy_repairs_it() -> None:
    world = ill_one()
    gone = world.docker.find_image("webui:1").id
    image = world.docker.images.pop(gone)
    with pytest.raises(HostError, match="what ran before does not run yet"):
        world.up(replace(ASKED, image="webui:ill"))
    assert any("docker load or pull it, and run this again" in line for line in world.said)
    assert world.journal.open() is not None
    world.deploy(3)
    assert (world.serving(), world.left()) == (serves(3), [])
    world.docker.images[gone] = image


def test_data_that_need_more_stop_nothing_and_the_files_of_what_runs_come_back() -> None:
    world = deployed()
    world.data.refused = "one that changes it"
    before = len(world.docker.events)
    with pytest.raises(HostError, match="expected the schema the data have, got one that changes it; upgrade"):
        world.up()
    assert (world.serving(), world.left(), len(world.docker.events)) == (serves(1), [], before)
    assert world.files.read_text(f"{FOLDER}/.env") == "V='1'\n"


def test_a_damaged_release_does_not_hide_why_a_deploy_was_refused() -> None:
    world = deployed()
    world.data.refused = "one that changes it"
    world.files.write(f"{FOLDER}/.good/.env", "")
    with pytest.raises(HostError, match="got one that changes it"):
        world.up()
    assert "got them damaged" in world.said[-1]
    assert world.journal.open() is None


def test_what_was_made_by_hand_is_taken_over() -> None:
    world = made_by_hand()
    world.up(ADOPTION)
    assert (world.serving(), world.left()) == (serves(1), [])
    world.boot()
    assert world.serving() == serves(1)


def test_what_was_made_by_hand_comes_back_where_its_successor_is_not_healthy() -> None:
    world = made_by_hand_and_ill()
    with pytest.raises(HostError, match="nothing was taken over"):
        world.up(replace(ADOPTION, image="webui:ill"))
    assert (world.serving(), world.left()) == (BY_HAND, [])
    assert {one.restart_policy for one in world.docker.held.values() if one.runs} == {"always"}


def test_a_valkey_that_has_read_other_users_starts_anew_on_the_way_back() -> None:
    world = ill_one()
    world.files.write(f"{FOLDER}/valkey/users.acl", "user default off\n")
    started = world.docker.named("redis-valkey").started_at
    with pytest.raises(HostError):
        world.up(replace(ASKED, image="webui:ill"))
    assert world.docker.named("redis-valkey").started_at > started


def test_what_is_paused_runs_on_and_what_is_to_be_made_anew_is_removed_first() -> None:
    world = deployed()
    world.docker.named("redis-valkey").status = "paused"
    world.project.changes.clear()
    world.up(replace(ASKED, unpause=["redis-valkey"], recreate=["open-webui"]))
    assert world.project.changes[0] == "remove open-webui"
    assert world.serving() == serves(2)


def test_another_verb_that_is_under_way_is_left_alone() -> None:
    world = deployed()
    other = Journal(world.files, FOLDER, {"restore": []}, world.clock)
    other.begin("restore", world.me)
    with pytest.raises(HostError, match="expected nothing under way, got restore"):
        world.up()
    assert world.serving() == serves(1)


def test_the_journal_holds_the_request_and_no_secret() -> None:
    world = deployed()
    noted: list[Mapping[str, object]] = []
    world.data.check = lambda: noted.append(found.data) if (found := world.journal.open()) else None  # type: ignore[method-assign]
    world.up()
    assert noted == [json.loads(json.dumps({"stack": asdict(STACK), "request": asdict(ASKED)}))]
    assert up._date("before there were names") == "before there were names"


# --- Valkey's append-only file


def with_snapshot() -> World:
    """The first version is in force, without a log; the files of the next one want one."""
    world = deployed()
    world.docker.contents["redis-data"]["dump.rdb"] = b"keys"
    world.put(2, appendonly=True)
    return world


def with_snapshot_and_ill() -> World:
    world = with_snapshot()
    world.put("ill", appendonly=True)
    return world


def made_by_hand_with_snapshot_and_ill() -> World:
    world = made_by_hand()
    world.docker.contents["redis-data"]["dump.rdb"] = b"keys"
    world.put("ill", appendonly=True)
    return world


LOGGED = ["appendonlydir/1.base.rdb", "dump.rdb"]
ASIDE = ["appendonlydir.off/1.base.rdb", "dump.rdb"]


def test_a_log_is_written_from_the_snapshot_before_valkey_looks_for_one() -> None:
    world = with_snapshot()
    world.up(replace(ASKED, appendonly=True))
    assert (world.kept, world.began_empty, world.serving()) == (LOGGED, False, serves(2))
    assert world.said == ["writing Valkey's snapshot to an append-only file"]
    world.put(3, appendonly=True)
    world.up(replace(ASKED, image="webui:3", appendonly=True))
    assert (world.kept, world.said) == (LOGGED, world.said[:1])


def test_a_log_that_is_not_written_any_more_is_put_aside_once_all_is_healthy() -> None:
    world = with_snapshot()
    world.up(replace(ASKED, appendonly=True))
    world.deploy(3)
    assert (world.kept, world.serving()) == (ASIDE, serves(3))


def test_on_the_way_back_to_a_release_without_a_log_the_one_that_was_made_is_put_aside() -> None:
    world = with_snapshot_and_ill()
    with pytest.raises(HostError, match="that one runs again"):
        world.up(replace(ASKED, image="webui:ill", appendonly=True))
    assert (world.kept, world.serving(), world.began_empty) == (ASIDE, serves(1), False)


def test_a_valkey_made_by_hand_keeps_the_log_it_had() -> None:
    world = made_by_hand_with_snapshot_and_ill()
    world.docker.contents["redis-data"]["appendonlydir/1.base.rdb"] = b"keys"
    with pytest.raises(HostError, match="nothing was taken over"):
        world.up(replace(ADOPTION, image="webui:ill", appendonly=True))
    assert (world.kept, world.serving()) == (LOGGED, BY_HAND)


def test_a_valkey_made_by_hand_that_had_no_log_finds_none() -> None:
    world = made_by_hand_with_snapshot_and_ill()
    with pytest.raises(HostError, match="nothing was taken over"):
        world.up(replace(ADOPTION, image="webui:ill", appendonly=True))
    assert (world.kept, world.serving()) == (ASIDE, BY_HAND)


def test_a_release_with_a_log_never_begins_empty_on_the_way_back() -> None:
    world = with_snapshot()
    world.up(replace(ASKED, appendonly=True))
    world.put("ill", appendonly=True)
    world.docker.contents["redis-data"] = {"dump.rdb": b"keys"}  # somebody took its log away
    with pytest.raises(HostError, match="that one runs again"):
        world.up(replace(ASKED, image="webui:ill", appendonly=True))
    assert (world.kept, world.began_empty, world.serving()) == (LOGGED, False, serves(2))


# --- A deploy and what was cut off before it


def test_a_refused_deploy_after_one_that_was_cut_off_tells_both_what_to_do_and_what_runs() -> None:
    world = deployed()
    world.journal.begin(up.VERB, world.me)
    world.journal.step(up.START)
    world.data.refused = "one that changes it"
    with pytest.raises(HostError, match="got one that changes it; upgrade; that one runs again"):
        world.up()
    assert (world.serving(), world.journal.open()) == (serves(1), None)


def test_what_an_earlier_request_wanted_removed_is_not_removed_by_the_next_one() -> None:
    world = deployed()
    world.journal.begin(up.VERB, world.me, asdict(replace(ASKED, remove=["open-webui-3"])))  # as up to 2026-11-30
    world.journal.step(up.LET_GO)
    world.docker.put_container("open-webui-3", NewContainer("webui:1"))
    world.docker.named("open-webui-3")
    world.deploy(1)
    assert "open-webui-3" in world.serving()


# --- As the host runs it


def test_the_verb_runs_the_stack_and_keeps_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    world = with_snapshot()
    world.docker.contents["open-webui"]["webui.db"] = b"rows"
    held: list[tuple[str, Sequence[str]]] = []

    class FakeLocks:
        def __init__(self, *_: object) -> None:
            pass

        @contextlib.contextmanager
        def work(self, who: str, containers: Sequence[str]) -> Iterator[Held]:
            held.append((who, containers))
            yield Held(LINUX)

    project = world.project

    def compose_of(*_: object, tell: Callable[[str], None], **__: object) -> FakeCompose:
        tell(" Container redis-valkey  Recreated")
        tell("a warning")
        return project

    monkeypatch.setattr(up, "require_root", lambda: None)
    monkeypatch.setattr(up, "Locks", FakeLocks)
    monkeypatch.setattr(up, "Files", lambda: world.files)
    monkeypatch.setattr(up, "Clock", lambda: world.clock)
    monkeypatch.setattr(dockerd, "engine", lambda _: world.engine)
    monkeypatch.setattr(assembly, "Compose", compose_of)
    arguments = {"stack": asdict(STACK), "request": asdict(replace(ASKED, appendonly=True))}
    assert up.run(arguments, world.say) == "20261129T030100Z"
    assert (world.serving(), world.kept) == (serves(2), LOGGED)
    assert held == [("deploy", ASKED.containers)]
    told = ["a warning", "writing Valkey's snapshot to an append-only file"]
    assert world.said == told
    lines = [" Container redis-valkey  Recreated", *told]
    assert (world.files.read_text(f"{FOLDER}/up.log") or "").splitlines() == lines
    world.put("ill")
    with pytest.raises(HostError, match="that one runs again") as caught:
        up.run({**arguments, "request": asdict(replace(ASKED, image="webui:ill"))}, world.say)
    assert (world.files.read_text(f"{FOLDER}/up.log") or "").splitlines()[-1] == str(caught.value)


# --- Killed, cut off, and failing, everywhere


def deploy_2(world: World) -> None:
    world.up()


def deploy_ill(world: World) -> None:
    world.up(replace(ASKED, image="webui:ill"))


def adopt(world: World) -> None:
    world.up(ADOPTION)


def adopt_ill(world: World) -> None:
    world.up(replace(ADOPTION, image="webui:ill"))


def deploy_with_log(world: World) -> None:
    world.up(replace(ASKED, appendonly=True))


def deploy_ill_with_log(world: World) -> None:
    world.up(replace(ASKED, image="webui:ill", appendonly=True))


def adopt_ill_with_log(world: World) -> None:
    world.up(replace(ADOPTION, image="webui:ill", appendonly=True))


SCENARIOS: Mapping[str, tuple[Callable[[], World], Callable[[World], None], list[dict[str, str]]]] = {
    "a fresh host": (fresh, lambda world: adopt(world), [serves(1)]),
    "the next version": (deployed, deploy_2, [serves(1), serves(2)]),
    "one that is ill": (ill_one, deploy_ill, [serves(1)]),
    "a take over": (made_by_hand, adopt, [BY_HAND, serves(1)]),
    "a take over by one that is ill": (made_by_hand_and_ill, adopt_ill, [BY_HAND]),
    "a first log": (with_snapshot, deploy_with_log, [serves(1), serves(2)]),
    "a first log, and ill": (with_snapshot_and_ill, deploy_ill_with_log, [serves(1)]),
    "a take over with a first log, and ill": (made_by_hand_with_snapshot_and_ill, adopt_ill_with_log, [BY_HAND]),
}


def nothing_is_lost(world: World, where: str) -> None:
    """At this very moment: no two versions on one database, no secret changed, a sound release, Valkey with data."""
    assert not world.began_empty, where
    images = {image for name, image in world.serving().items() if re.fullmatch(PROCESSES, name)}
    assert len(images) <= 1, where
    assert {path: world.files.read_text(f"{FOLDER}/{path}") for path in SECRETS} == SECRETS, where
    old = f"{FOLDER}/.good.old"
    if world.releases.in_force.is_there() or world.files.exists(old):
        world.releases.recover()
        world.releases.in_force.check()


def ends_well(world: World, where: str, served: list[dict[str, str]]) -> None:
    """Recovery brings what was before, or the new one; a deploy afterwards works."""
    nothing_is_lost(world, where)
    world.recover()
    recovered = world.serving()
    assert not world.began_empty, where
    if recovered in (BY_HAND, serves(1)):  # they write snapshots only
        assert not any(name.startswith("appendonlydir/") for name in world.kept), where
    if served != [serves(1)] or world.releases.in_force.is_there():
        assert recovered in served, where
    assert (world.journal.open(), world.left()) == (None, []), where
    world.deploy(3, replace(ASKED, replace=ADOPTION.replace))
    assert (world.serving(), world.left(), world.journal.open()) == (serves(3), [], None), where
    assert world.kernel._open == {}, where


def changes_outside(point: str) -> bool:
    """What `remember` and `recall` do between their renames is in test_releases.py."""
    return is_change(point) and outside(point)


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_deploy_that_is_cut_off_anywhere_ends_well(name: str) -> None:
    start, change, served = SCENARIOS[name]
    crashes = 0
    # With other files in place, and before this program runs, only Valkey itself could keep its data after a power cut.
    ends = (None,) if "log" in name else (None, True)
    for where, world in every_crash(start(), change, points=changes_outside, ends=ends):
        ends_well(world, where, served)
        crashes += 1
    assert crashes > 30


@pytest.mark.crash
@pytest.mark.parametrize("name", ["the next version", "a take over"])
def test_a_deploy_after_one_that_was_cut_off_needs_no_recovery(name: str) -> None:
    start, change, _ = SCENARIOS[name]
    for where, world in every_crash(start(), change, points=changes_outside, ends=(None,)):
        world.deploy(3, replace(ASKED, replace=ADOPTION.replace))
        assert (world.serving(), world.left(), world.journal.open()) == (serves(3), [], None), where


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_deploy_in_which_a_call_fails_ends_well(name: str) -> None:
    start, change, served = SCENARIOS[name]
    for where, world, error in every_failure(start(), change, points=outside):
        if error is None:
            assert world.serving() == served[-1], where
        ends_well(world, where, served)
