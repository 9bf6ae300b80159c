"""What the watchdog restarts and starts, what it leaves alone, and when it looks again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Exit, Process, Program
from tests.host.fake_engine import REFUSED, UNAVAILABLE, FakeEngine
from tests.host.fake_files import FakeKernel
from tests.host.fake_system import FakeSystem
from tests.host.faults import CRASH_AFTER, Crash, Fault, Faults
from webui_stack.host.engine import Event, NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.holder import Processes
from webui_stack.host.journal import Journal
from webui_stack.host.locks import Held, LockedError, Locks
from webui_stack.host.stack import FOLDER_LABEL
from webui_stack.host.verbs import up
from webui_stack.host.verbs.watch import Request, Watch

PAUSE_S = 120.0
FINE = "running healthy"
NO_ADDRESS = "driver failed programming external connectivity: cannot assign requested address"
NAMES = ("redis-valkey", "open-webui")


class World:
    """A host with a stack whose containers run for long, and are healthy."""

    def __init__(self, root: Path, *names: str) -> None:
        self.clock, self.kernel, self.system = FakeClock(), FakeKernel(), FakeSystem(root)
        self.system.put("/srv/chat/secrets/valkey-monitor-password", "monitors\n")
        docker = Docker(clock=self.clock.now)
        self.health: dict[str, str] = {}
        self.persistence: str | None = "loading:0"
        self.asked: list[Process] = []
        docker.put_image(
            "image:1", Program(health=lambda one: self.health[one.container.name], commands={"sh": self._sh})
        )
        self.engine = FakeEngine(docker)
        self.said: list[str] = []
        self.names = names or NAMES
        for name in self.names:
            docker.put_container(
                name, NewContainer(image="image:1", restart_policy="unless-stopped", labels={FOLDER_LABEL: "/srv/chat"})
            )
            self.health[name] = "healthy"
        self.clock.passed_s += 1000
        self.journal = Journal(Files(self.kernel), "/srv/chat", {"up": up.STEPS, "restore": []}, self.clock)
        self.ended: list[str] = []
        self.watch = self.anew()

    def end(self) -> None:
        """What ends a verb that was cut off."""
        self.ended.append("ended")
        self.journal.end()

    def anew(self) -> Watch:
        """The watchdog's process, begun now; it has another engine's faults no more."""
        asked = Request("/srv/chat", list(self.names), ["open-webui"], PAUSE_S)
        locks = Locks(self.kernel, self.clock, self.said.append)
        return Watch(
            asked, self.system, self.engine, locks, self.clock, self.said.append, self.journal, lambda: self.end()
        )

    def put(
        self, name: str, state: str = FINE, *, age_s: float = 1000, policy: str = "unless-stopped", error: str = ""
    ) -> None:
        """A container in a status, with a health, started so long ago."""
        status, _, self.health[name] = state.partition(" ")
        one = self.engine.docker.named(name)
        one.status, one.restart_policy, one.error = status, policy, error
        at = self.clock.now() - age_s
        one.started_at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f"{at % 1:.9f}Z"[1:]

    def look(self) -> list[str]:
        """What one look says."""
        self.said.clear()
        self.watch.look()
        return list(self.said)

    def done(self) -> list[str]:
        """Which containers were ended or started since, by anybody."""
        docker = self.engine.docker
        told = [f"{one.action} {one.name}" for one in docker.events if one.time_s > self.clock.now() - 900]
        docker.events.clear()
        return told

    def calls(self) -> list[str]:
        made = [one.name for one in self.engine.faults.calls]
        self.engine.faults = Faults()
        return made

    def fail(self, name: str, kind: str) -> None:
        """Let the next look's first call of this name go wrong."""
        self.calls()
        self.watch.look()
        made = next(one for one in self.engine.faults.calls if one.name == name)
        self.engine.faults = Faults(Fault(made.index, kind))

    def _sh(self, process: Process) -> bytes:
        self.asked.append(process)
        if self.persistence == "no valkey-cli":
            raise Exit(127)
        if self.persistence is None:
            raise Exit(124)  # timeout(1) has ended it
        return f"# Persistence\r\n{self.persistence}\r\n".encode()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def restarted(name: str) -> list[str]:
    return [f"die {name}", f"start {name}"]


def test_where_all_is_well_each_container_is_asked_for_once_and_nothing_is_said(world: World) -> None:
    assert (world.look(), world.done()) == ([], [])
    assert world.calls() == ["docker: container redis-valkey", "docker: container open-webui"]


def test_what_hangs_is_restarted_with_the_time_it_has_to_stop(tmp_path: Path) -> None:
    world = World(tmp_path, *NAMES, "open-webui-postgres")
    world.put("open-webui-postgres", "running unhealthy")
    assert world.look() == ["restarting open-webui-postgres: it stopped answering"]
    assert world.done() == restarted("open-webui-postgres")


def test_an_open_webui_that_listens_again_by_itself_is_left_alone_after_valkey(world: World) -> None:
    world.put("redis-valkey", age_s=200)
    assert (world.look(), world.done()) == ([], [])


@pytest.mark.parametrize(
    ("valkey", "open_webui", "is_restarted"),
    [(FINE, FINE, True), ("running starting", FINE, False), (FINE, "exited healthy", False)],
)
def test_a_release_that_does_not_is_restarted_after_valkey_once_both_are_well(
    valkey: str, open_webui: str, is_restarted: bool, world: World
) -> None:
    new = world.engine.docker.named("open-webui").new
    world.engine.docker.named("open-webui").new = NewContainer(
        **{**new.__dict__, "labels": {"open-webui-stack.restart-after-valkey": "true"}}
    )
    world.put("open-webui", open_webui)
    world.put("redis-valkey", valkey, age_s=110)
    assert world.look() == ["restarting open-webui: Valkey was restarted after it"] * is_restarted
    assert world.done() == restarted("open-webui") * is_restarted
    assert world.look() == []


@pytest.mark.parametrize(
    ("take", "is_restarted"),
    [
        pytest.param(lambda locks: locks.work("deploy", ["open-webui"]), False, id="a deploy"),
        pytest.param(lambda locks: locks.work("rotate"), False, id="a verb that names no container"),
        pytest.param(lambda locks: locks.container("open-webui", "another"), False, id="another watchdog"),
        pytest.param(lambda locks: locks.data("backup", live=True), True, id="a backup"),
        pytest.param(lambda locks: locks.data("drill", live=False), True, id="a drill"),
    ],
)
def test_it_goes_on_beside_what_only_reads(take: Callable[[Locks], Held], is_restarted: bool, world: World) -> None:
    world.put("open-webui", "running unhealthy")
    with take(Locks(world.kernel, world.clock, world.said.append)):
        said = world.look()
        assert (said, world.done()) == (
            (["restarting open-webui: it stopped answering"], restarted("open-webui")) if is_restarted else ([], [])
        )
    if not is_restarted:
        assert world.look() == ["restarting open-webui: it stopped answering"]


def test_what_was_repaired_while_it_took_the_lock_is_left_alone(world: World) -> None:
    """A deploy has ended between the first look and the lock."""
    world.put("open-webui", "running unhealthy")
    answers = iter(["unhealthy", "healthy"])
    world.engine.docker.programs[world.engine.docker.named("open-webui").image_id] = Program(
        health=lambda one: next(answers) if one.container.name == "open-webui" else "healthy"
    )
    assert (world.look(), world.done()) == ([], [])


@pytest.mark.parametrize(
    ("status", "policy"), [("exited", "unless-stopped"), ("created", "unless-stopped"), ("exited", "always")]
)
def test_what_docker_could_not_start_is_started_once_a_pause(world: World, status: str, policy: str) -> None:
    world.put("open-webui", status, policy=policy, error=NO_ADDRESS)
    world.fail("docker: start open-webui", REFUSED)
    said = [f"starting open-webui: {NO_ADDRESS}", "open-webui: not started; tried again in 120 s (input/output error)"]
    world.watch = world.anew()
    world.put("open-webui", status, policy=policy, error=NO_ADDRESS)
    world.done()
    assert [world.look(), world.look()] == [said, []]
    world.clock.passed_s += PAUSE_S + 1
    assert world.look() == said[:1]
    assert world.done() == ["start open-webui"]


@pytest.mark.parametrize(
    ("state", "policy", "error"),
    [
        pytest.param("exited", "unless-stopped", "", id="stopped by somebody"),
        pytest.param("exited", "no", NO_ADDRESS, id="not to be restarted"),
        pytest.param("created", "unless-stopped", "", id="of a deploy that was cut off"),
        pytest.param("paused", "unless-stopped", "", id="paused by somebody"),
        pytest.param("restarting", "unless-stopped", "", id="Docker is at it"),
    ],
)
def test_what_somebody_stopped_stays_stopped(world: World, state: str, policy: str, error: str) -> None:
    world.put("open-webui", state, policy=policy, error=error)
    assert (world.look(), world.done()) == ([], [])


def test_a_missing_container_is_told_once_a_pause_and_not_made(world: World) -> None:
    world.engine.docker.drop(world.engine.docker.named("redis-valkey"))
    said = ["redis-valkey: there is no such container; deploy.py makes it again"]
    world.done()
    assert [world.look(), world.look()] == [said, []]
    assert world.done() == []
    world.clock.passed_s += PAUSE_S + 1
    assert world.look() == said


def test_no_answer_of_docker_is_no_missing_container(world: World) -> None:
    world.engine.docker.down = True
    (said,) = world.look()
    assert said.startswith("docker: expected an answer to container redis-valkey, got nobody at /var/run/docker.sock")
    assert world.look() == [], "once a pause"
    world.engine.docker.down = False
    assert world.done() == []


def test_a_container_that_docker_says_nothing_of_is_no_reason_to_leave_the_others(world: World) -> None:
    world.put("open-webui", "running unhealthy")
    world.engine.faults = Faults(Fault(0, UNAVAILABLE))
    assert world.look()[1:] == ["restarting open-webui: it stopped answering"]


@pytest.mark.parametrize("kind", [REFUSED, UNAVAILABLE])
def test_a_restart_that_fails_is_tried_again_after_the_pause(world: World, kind: str) -> None:
    world.put("open-webui", "running unhealthy")
    world.fail("docker: restart open-webui", kind)
    world.watch = world.anew()
    world.put("open-webui", "running unhealthy")
    got = {REFUSED: "input/output error", UNAVAILABLE: "none in time"}[kind]
    told = ["restarting open-webui: it stopped answering", f"open-webui: not restarted; tried again in 120 s ({got})"]
    assert [world.look(), world.look()] == [told, []]
    world.clock.passed_s += PAUSE_S + 1
    assert world.look() == told[:1]


def test_what_began_a_moment_ago_has_its_pause(world: World) -> None:
    world.put("open-webui", "running unhealthy", age_s=60)
    assert (world.look(), world.done()) == ([], [])


def test_a_clock_that_was_set_back_hides_no_container_that_hangs(world: World) -> None:
    world.put("open-webui", "running unhealthy", age_s=-86400)
    assert [world.look(), world.look()] == [["restarting open-webui: it stopped answering"], []]


@pytest.mark.parametrize(
    ("persistence", "age_s", "expected"),
    [
        pytest.param("loading:1", 3000, [], id="it loads"),
        pytest.param("loading:0", 60, [], id="it began a moment ago"),
        pytest.param("loading:0", 3000, restarted("redis-valkey"), id="it has loaded and does not answer"),
        pytest.param(None, 3000, restarted("redis-valkey"), id="it answers nobody"),
        pytest.param("no valkey-cli", 3000, restarted("redis-valkey"), id="it has nothing to ask with"),
    ],
)
def test_a_valkey_that_loads_is_left_alone(
    world: World, persistence: str | None, age_s: float, expected: list[str]
) -> None:
    world.put("redis-valkey", "running starting", age_s=age_s)
    world.persistence = persistence
    world.look()
    assert world.done() == expected
    # Its password is in no argument.
    assert {"monitors" in " ".join(one.command) for one in world.asked} <= {False}
    assert {one.env["REDISCLI_AUTH"] for one in world.asked} <= {"monitors"}
    assert bool(world.asked) == (age_s > PAUSE_S)


@pytest.mark.parametrize("kind", [REFUSED, UNAVAILABLE])
def test_a_valkey_that_nobody_could_ask_may_load(world: World, kind: str) -> None:
    world.put("redis-valkey", "running starting", age_s=3000)
    world.persistence = "loading:1"
    world.fail("docker: exec redis-valkey: sh", kind)
    world.persistence = "loading:0"
    assert (world.look(), world.done()) == ([], [])
    assert world.look() == ["restarting redis-valkey: it has not answered since its start"]


def test_an_open_webui_that_starts_for_long_is_no_business_of_it(world: World) -> None:
    world.put("open-webui", "running starting", age_s=3000)
    assert (world.look(), world.done()) == ([], [])


@pytest.mark.crash
def test_wherever_it_is_ended_the_next_one_finds_the_rest(tmp_path: Path) -> None:
    """As by a deploy, which puts another version of it on the host: no lock stays, and no container stays down."""

    def hanging(folder: Path) -> World:
        world = World(folder)
        world.put("open-webui", "running unhealthy")
        world.put("redis-valkey", "exited", error=NO_ADDRESS)
        return world

    first = hanging(tmp_path / "first")
    first.watch.look()
    points = first.engine.faults.points()
    assert Fault(first.engine.faults.points()[-1].index, CRASH_AFTER) in points
    for number, fault in enumerate(points):
        world = hanging(tmp_path / str(number))
        world.engine.faults = Faults(fault)
        with suppress(Crash):
            world.watch.look()
        world.engine.faults = Faults()
        world.kernel.restart()  # what it held is free
        world.watch = world.anew()
        world.clock.passed_s += PAUSE_S + 1
        world.watch.look()
        assert {one.status for one in world.engine.docker.held.values()} == {"running"}, fault
        assert {
            name for name in NAMES if "start" in [one.action for one in world.engine.docker.events if one.name == name]
        } == {*NAMES}, fault
        Locks(world.kernel, world.clock, world.said.append).work("deploy", NAMES, limit_s=0).release()


# --- When it looks


def event(world: World, action: str, name: str, *, after_s: float) -> Event:
    return Event("container", action, "1", name, {}, world.clock.now() + after_s)


@pytest.mark.parametrize(
    ("action", "name", "is_over"),
    [
        ("health_status: unhealthy", "open-webui", True),
        ("die", "redis-valkey", True),
        ("exec_start: sh -c valkey-cli ping", "redis-valkey", False),
        ("die", "somebodys", False),
    ],
)
def test_it_waits_until_something_happens_to_a_container_of_the_stack(
    world: World, action: str, name: str, is_over: bool
) -> None:
    world.engine.docker.events[:] = [event(world, action, name, after_s=7)]
    since_s, slept_s = world.clock.now(), world.clock.passed_s
    world.watch.wait(since_s, 60)
    assert world.clock.passed_s - slept_s == (1 if is_over else 0), "events of one cause come together"


def test_what_happened_during_the_look_is_not_missed(world: World) -> None:
    since_s = world.clock.now()
    world.engine.docker.events[:] = [event(world, "die", "open-webui", after_s=2)]
    world.clock.passed_s += 20  # the look
    world.watch.wait(since_s, 60)
    assert world.clock.passed_s == 1021


def test_without_docker_it_does_not_spin(world: World) -> None:
    world.engine.docker.down = True
    world.watch.wait(world.clock.now(), 60)
    assert world.clock.passed_s == 1005


def test_it_looks_again_soon_while_something_is_to_be_done(world: World) -> None:
    waited: list[float] = []

    class EnoughError(Exception):
        pass

    def wait(_: float, limit_s: float) -> None:
        waited.append(limit_s)
        world.put("open-webui", "running unhealthy", age_s=60)
        if len(waited) == 2:
            raise EnoughError

    world.watch.wait = wait  # type: ignore[method-assign, assignment]
    with suppress(EnoughError):
        world.watch.stay()
    assert waited == [60, 5]


# --- A verb that was cut off


def cut_off(world: World, verb: str) -> None:
    world.journal.begin(verb, Processes().me(verb))


def test_what_was_cut_off_is_ended_and_then_the_containers_are_looked_at(world: World) -> None:
    cut_off(world, "restore")
    world.put("redis-valkey", "running unhealthy")
    assert world.look() == ["restarting redis-valkey: it stopped answering"]
    assert world.ended == ["ended"]


def test_a_verb_that_is_at_work_is_left_to_its_work(world: World) -> None:
    def end() -> None:
        raise LockedError("recover", "work", 0, "restore, process 7")

    world.end = end  # type: ignore[method-assign]
    cut_off(world, "restore")
    world.put("redis-valkey", "running unhealthy")
    assert (world.look(), world.done()) == ([], [])
    assert not world.watch.look()


@pytest.mark.parametrize(("verb", "said"), [("restore", []), ("up", ["restarting redis-valkey: it stopped answering"])])
def test_while_data_may_be_in_two_places_no_container_is_touched(world: World, verb: str, said: list[str]) -> None:
    def end() -> None:
        raise HostError("docker", expected="an answer", got="none", do="run it again")

    world.end = end  # type: ignore[method-assign]
    cut_off(world, verb)
    world.put("redis-valkey", "running unhealthy")
    assert world.look() == ["docker: expected an answer, got none; run it again", *said]
    assert world.look() == []  # told once in a pause
    world.clock.passed_s += PAUSE_S + 1
    world.end = World.end.__get__(world)  # type: ignore[method-assign]
    world.look()
    assert world.ended == ["ended"]


def test_a_journal_that_nobody_can_read_may_be_that_of_a_restore(world: World) -> None:
    files = Files(world.kernel)
    files.make_folder("/srv/chat")
    files.write("/srv/chat/journal.json", "{")
    world.put("redis-valkey", "running unhealthy")
    (said,) = world.look()
    assert said.startswith("/srv/chat/journal.json: expected one JSON document")
    assert world.done() == []
