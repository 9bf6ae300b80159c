"""Containers of the stack: none counts as absent or stopped unless Docker says so, and two versions never serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_compose import FakeCompose, definition
from tests.host.fake_docker import Docker, Process, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.points import Points, every_crash, every_failure
from webui_stack.host.containers import OURS, PROCESSES, Containers, at_once
from webui_stack.host.engine import NewContainer, Refused
from webui_stack.host.errors import HostError
from webui_stack.host.services import Services
from webui_stack.host.stack import FOLDER_LABEL

FOLDER = "/opt/stack"


def one_by_one(change: Callable[[str], None], names: Sequence[str]) -> None:
    for name in names:
        change(name)


def healthy(_: Process) -> str:
    return "healthy"


class World:
    """A host with a stack of several processes; each container is as compose has made it."""

    def __init__(self, *, processes: int = 3, more: str = "") -> None:
        self.kernel = FakeKernel()
        self.files = FakeFiles(self.kernel)
        self.faults = Points(self.kernel)
        self.docker = Docker()
        self.clock = FakeClock()
        for name in ("valkey:8", "webui:1", "webui:2", "postgres:17", "caddy:2"):
            self.docker.put_image(name, Program(health=healthy))
        self.engine = FakeEngine(self.docker, faults=self.faults)
        self.containers = Containers(self.engine, self.clock, each=one_by_one)
        self.project = FakeCompose(self.docker, self.kernel, self.faults, FOLDER)
        self.postgres = Postgres(self)
        self.services = Services(self.files, self.project, self.containers, self.postgres)
        self.files.make_folder(FOLDER)
        self.define(processes=processes, more=more)
        self.project.up()
        self.project.changes.clear()

    def define(self, *, processes: int = 3, webui: int = 1, more: str = "", postgres: bool = False) -> None:
        names = ["open-webui", *(f"open-webui-{number}" for number in range(2, processes + 1))]
        parts = [("redis", "valkey:8", "redis-valkey")]
        parts += [("postgres", "postgres:17", "open-webui-postgres")] if postgres else []
        parts += [(name, f"webui:{webui}", name) for name in reversed(names)]
        parts += [("proxy", "caddy:2", "open-webui-proxy")] if processes > 1 else []
        self.files.write(f"{FOLDER}/compose.yaml", definition(*parts, more=more))

    def boot(self) -> None:
        self.docker.power_cut()

    def runs(self) -> list[str]:
        return sorted(one.name for one in self.docker.held.values() if one.runs)

    def versions(self) -> set[str]:
        """The images of the processes that run."""
        return {one.image_id for one in self.docker.held.values() if one.runs and one.name.startswith("open-webui")}


class Postgres:
    """Somebody who cares for Postgres; what was done is among the changes of compose."""

    def __init__(self, world: World) -> None:
        self._changes = world.project.changes

    def put_away(self) -> None:
        self._changes.append("put away")

    def own_password(self) -> None:
        self._changes.append("own password")


ALL = ["open-webui", "open-webui-2", "open-webui-3", "open-webui-proxy", "redis-valkey"]


@pytest.fixture
def world() -> World:
    return World()


# --- Names and images


def test_names_are_whole_and_in_the_order_of_their_numbers(world: World) -> None:
    for name in ("open-webui-10", "open-webui-x", "my-open-webui", "open-webui-postgres"):
        world.docker.put_container(name, NewContainer("webui:1"), start=False)
    assert world.containers.names(PROCESSES) == ["open-webui", "open-webui-2", "open-webui-3", "open-webui-10"]
    assert world.containers.running(PROCESSES) == ["open-webui", "open-webui-2", "open-webui-3"]
    assert world.containers.names(OURS) == sorted(
        [*ALL[:3], "open-webui-10", "open-webui-postgres", *ALL[3:]], key=ours
    )


def ours(name: str) -> tuple[str, int]:
    head, _, number = name.rpartition("-")
    return (f"{head}-", int(number)) if number in ("2", "3", "10") else (name, 0)


def test_an_image_is_told_of_what_is_there_and_none_of_what_docker_says_is_not(world: World) -> None:
    world.docker.stop(world.docker.named("open-webui"), graceful=True)
    assert world.containers.image_of("open-webui") == world.docker.find_image("webui:1").id
    assert world.containers.image_of("none") == ""
    assert (world.containers.folder_of("open-webui"), world.containers.folder_of("none")) == (FOLDER, None)


@pytest.mark.parametrize(
    "ask",
    [
        lambda world: world.containers.names(PROCESSES),
        lambda world: world.containers.running(PROCESSES),
        lambda world: world.containers.image_of("open-webui"),
        lambda world: world.containers.folder_of("open-webui"),
        lambda world: world.containers.in_order("redis-valkey", ["open-webui"]),
        lambda world: world.containers.stop("open-webui-4"),
    ],
    ids=["names", "running", "image", "folder", "order", "stop"],
)
def test_what_docker_does_not_answer_is_an_error(world: World, ask: Callable[[World], object]) -> None:
    world.docker.down = True
    with pytest.raises(HostError, match="Docker does not run"):
        ask(world)


def test_who_started_first_is_told_to_the_fraction(world: World) -> None:
    world.docker.named("redis-valkey").started_at = "2026-11-29T10:00:00.5Z"
    world.docker.named("open-webui").started_at = "2026-11-29T10:00:00.51Z"
    assert world.containers.in_order("redis-valkey", ["open-webui"])
    assert not world.containers.in_order("open-webui", ["redis-valkey"])


# --- Stopping


def test_what_is_stopped_is_seen_to_be_stopped_and_nothing_else_is(world: World) -> None:
    world.containers.stop(PROCESSES)
    assert world.runs() == ["open-webui-proxy", "redis-valkey"]
    world.containers.stop("nobody")


def test_one_that_does_not_stop_is_named_and_the_others_are_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = world.engine.stop

    def refuse(name: str, *, timeout_s: int | None = None) -> None:
        if name == "open-webui-2":
            raise Refused("stop", "tried to kill container, but did not receive an exit event")
        stop(name, timeout_s=timeout_s)

    monkeypatch.setattr(world.engine, "stop", refuse)
    with pytest.raises(HostError) as caught:
        world.containers.stop(PROCESSES)
    assert str(caught.value) == (
        "docker: expected to stop open-webui-2, got it running still; look at 'docker ps', and run this again"
    )
    assert world.runs() == ["open-webui-2", "open-webui-proxy", "redis-valkey"]


def test_a_list_that_is_a_moment_behind_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    running, late = world.engine.running, [world.engine.running()]
    monkeypatch.setattr(
        world.engine, "running", lambda: late.pop() if late and "open-webui" not in world.runs() else running()
    )
    world.containers.stop(PROCESSES)
    assert world.clock.passed_s == 1


def test_several_are_changed_at_the_same_time_and_the_first_error_counts() -> None:
    done: list[str] = []

    def change(name: str) -> None:
        done.append(name)
        if name == "b":
            raise HostError("b", expected="x", got="y", do="z")

    with pytest.raises(HostError, match=r"^b: "):
        at_once(change, ["a", "b", "c"])
    assert sorted(done) == ["a", "b", "c"]
    at_once(change, [])


def test_where_the_image_changes_all_of_several_processes_stop_first(world: World) -> None:
    one, other = (world.docker.find_image(f"webui:{number}").id for number in (1, 2))
    world.containers.one_version(one)
    assert world.runs() == ALL
    world.containers.one_version(other)
    assert world.runs() == ["open-webui-proxy", "redis-valkey"]
    alone = World(processes=1)
    alone.containers.one_version(other)
    assert alone.runs() == ["open-webui", "redis-valkey"], "compose sees to that"
    alone.docker.named("open-webui").name = "open-webui-2"
    alone.containers.one_version(other)
    assert alone.runs() == ["redis-valkey"], "the first one would start beside it"


def test_one_of_another_image_stops_all_although_it_does_not_run(world: World) -> None:
    """A restart policy may start it."""
    world.docker.named("open-webui-3").image_id = "sha256:older"
    world.docker.programs["sha256:older"] = Program()
    world.containers.one_version(world.docker.find_image("webui:1").id)
    assert world.runs() == ["open-webui-proxy", "redis-valkey"]


# --- What does not belong there


def test_services_that_the_file_does_not_have_are_removed_and_nobody_elses(world: World) -> None:
    theirs = NewContainer("webui:1", labels={FOLDER_LABEL: "/srv/theirs"})
    world.docker.put_container("open-webui-7", theirs)
    world.docker.put_container("helper", NewContainer("webui:1", labels={FOLDER_LABEL: FOLDER}))
    world.define(processes=2)
    world.containers.drop_strays(world.project)
    assert world.runs() == ["helper", "open-webui", "open-webui-2", "open-webui-7", "open-webui-proxy", "redis-valkey"]


def test_a_container_is_retired_only_where_there_is_one(world: World) -> None:
    assert world.containers.retire("open-webui-3")
    assert not world.containers.retire("open-webui-3")
    assert "open-webui-3" not in world.runs()


def test_a_paused_container_runs_on_and_gets_time_for_its_next_check(world: World) -> None:
    world.docker.named("open-webui").status = "paused"
    world.containers.resume("open-webui", limit_s=5)
    assert world.docker.named("open-webui").status == "running"
    assert world.clock.passed_s == 1
    world.containers.resume("open-webui", limit_s=5)
    assert world.clock.passed_s == 1, "nothing happens where it is not paused"


def test_complaints_tell_states_and_last_lines_and_never_fail(world: World) -> None:
    ill = world.docker.named("open-webui")
    ill.logs = b"one\ntwo\n"
    world.docker.stop(ill, graceful=False)
    told = world.containers.complaints(["redis-valkey", "open-webui", "none"])
    assert told == ["open-webui is exited unhealthy; its last lines:", "  | one", "  | two", "none is missing"]
    world.docker.down = True
    assert len(world.containers.complaints(["open-webui"])) == 1


# --- Services


def test_several_processes_come_one_after_another_from_valkey_to_the_proxy(world: World) -> None:
    world.services.up()
    assert world.project.changes == ["up redis", "up open-webui", "up open-webui-2", "up open-webui-3", "up proxy"]


def test_a_single_process_comes_with_all_the_rest() -> None:
    world = World(processes=1)
    world.services.up()
    assert world.project.changes == ["up"]


@pytest.mark.parametrize("processes", [1, 2])
def test_postgres_comes_first_with_its_own_password(processes: int) -> None:
    world = World(processes=1)
    world.define(processes=processes, postgres=True)
    world.services.up()
    assert world.project.changes[:3] == ["put away", "up postgres", "own password"]
    with pytest.raises(HostError, match="postgres: expected somebody who cares for it"):
        Services(world.files, world.project, world.containers).up()


@pytest.mark.parametrize("text", [None, ""])
def test_nothing_comes_up_from_a_file_that_is_empty_or_missing(world: World, text: str | None) -> None:
    world.files.remove(f"{FOLDER}/compose.yaml")
    if text is not None:
        world.files.write(f"{FOLDER}/compose.yaml", text)
    with pytest.raises(HostError, match="expected the stack's definition"):
        world.services.up()
    assert world.project.changes == []


def test_processes_start_anew_where_valkey_started_after_one_of_them(world: World) -> None:
    world.services.restart_processes()
    assert world.project.changes == [], "it started first"
    world.docker.stop(world.docker.named("redis-valkey"), graceful=True)
    world.docker.start(world.docker.named("redis-valkey"))
    world.services.restart_processes()
    pairs = [[f"restart {name} alone", f"up {name}"] for name in ("open-webui", "open-webui-2", "open-webui-3")]
    assert world.project.changes == [change for pair in pairs for change in pair]
    alone = World(processes=1)
    alone.docker.named("redis-valkey").started_at = "3000-01-01T00:00:00Z"
    alone.services.restart_processes()
    assert alone.project.changes == ["restart open-webui", "up"]


# --- Killed, cut off, and failing, everywhere


def next_version() -> World:
    """Another image is wanted, and one process fewer."""
    world = World()
    world.define(processes=2, webui=2)
    return world


def replace_processes(world: World) -> None:
    world.containers.drop_strays(world.project)
    world.containers.one_version(world.engine.image("webui:2").id)
    world.services.up()


def serves_the_next_one(world: World, where: str) -> None:
    assert len(world.versions() - {world.docker.find_image("caddy:2").id}) < 2, where
    replace_processes(world)
    assert world.runs() == ["open-webui", "open-webui-2", "open-webui-proxy", "redis-valkey"], where
    assert world.versions() == {world.docker.find_image(name).id for name in ("webui:2", "caddy:2")}, where


@pytest.mark.crash
def test_two_versions_never_serve_wherever_a_change_is_cut_off() -> None:
    crashes = 0
    for where, world in every_crash(next_version(), replace_processes):
        serves_the_next_one(world, where)
        crashes += 1
    assert crashes > 15


@pytest.mark.crash
def test_two_versions_never_serve_whatever_fails() -> None:
    failures = 0
    for where, world, error in every_failure(next_version(), replace_processes):
        assert error or "stop" in where, f"{where}: an error that is not told"
        serves_the_next_one(world, where)
        failures += 1
    assert failures > 30
