"""Containers made by hand: they wait, come back as they were, and never run beside their successors."""

from __future__ import annotations

import copy

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.points import Points, every_crash, every_failure
from webui_stack.host.by_hand import ByHand
from webui_stack.host.containers import Containers
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.stack import FOLDER_LABEL

FOLDER = "/opt/stack"
NAMES = ("open-webui", "redis-valkey")
POLICIES = {"open-webui": ("always", 0), "redis-valkey": ("on-failure", 3)}


class World:
    """A host with both containers made by hand; each writes to its own volume, as its successor will."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.files = FakeFiles(self.kernel)
        points = Points(self.kernel)
        self.docker = Docker()
        self.docker.put_image("x")
        self.files.make_folder(FOLDER)
        self.said: list[str] = []
        engine = FakeEngine(self.docker, faults=points)
        self.by_hand = ByHand(self.files, engine, Containers(engine, FakeClock()), FOLDER, self.said.append)
        for name in NAMES:
            made = self.docker.put_container(name, NewContainer("x", volumes=[f"{name}:/data"]))
            made.restart_policy, made.restart_retries = POLICIES[name]
        self.kernel.root.sync()

    def boot(self) -> None:
        self.docker.power_cut()

    def step_aside(self) -> None:
        for name in NAMES:
            self.by_hand.step_aside(name)

    def succeed(self) -> None:
        """The stack's own containers come under the names that are free."""
        taken = {one.name for one in self.docker.held.values()}
        for name in set(NAMES) - taken:
            labels = {FOLDER_LABEL: FOLDER}
            new = NewContainer("x", labels=labels, volumes=[f"{name}:/data"], restart_policy="unless-stopped")
            self.docker.put_container(name, new)

    def give_back(self) -> bool:
        self.by_hand.remove_successors()
        return self.by_hand.come_back()

    def runs(self) -> list[str]:
        return sorted(one.name for one in self.docker.held.values() if one.runs)

    def writers(self) -> list[str]:
        """The volume of each container that runs: none may be there twice."""
        return sorted(volume for one in self.docker.held.values() if one.runs for volume in one.volumes)

    def is_as_before(self) -> bool:
        held = {one.name: one for one in self.docker.held.values()}
        policies = {name: (one.restart_policy, one.restart_retries) for name, one in held.items()}
        ours = [one for one in held.values() if FOLDER_LABEL in one.new.labels]
        return (policies, ours, self.runs(), self.notes()) == (POLICIES, [], sorted(NAMES), [])

    def notes(self) -> list[str]:
        return [name for name in self.files.listdir(FOLDER) or [] if name.endswith(".restart")]


def test_what_steps_aside_waits_stopped_and_no_reboot_starts_it() -> None:
    world = World()
    world.step_aside()
    assert world.runs() == []
    assert world.by_hand.waiting() == ["redis-valkey", "open-webui"]
    assert world.said[0] == "stopping open-webui, made by hand; it waits as open-webui.by-hand"
    assert world.files.read_text(f"{FOLDER}/.open-webui.restart") == "always:0\n"
    assert world.files.read_text(f"{FOLDER}/.redis-valkey.restart") == "on-failure:3\n"
    world.boot()
    assert world.runs() == []


def test_what_waits_comes_back_as_it_was_and_its_successors_are_removed() -> None:
    world = World()
    world.step_aside()
    world.succeed()
    world.said.clear()
    assert world.give_back()
    assert world.is_as_before()
    assert world.said == [f"{name} runs again as it was; nothing was taken over" for name in reversed(NAMES)]


def test_no_other_process_runs_on_the_data_of_the_one_that_comes_back() -> None:
    world = World()
    world.step_aside()
    world.succeed()
    for name, folder in (("open-webui-2", FOLDER), ("open-webui-3", "/srv/theirs")):
        world.docker.put_container(name, NewContainer("x", labels={FOLDER_LABEL: folder}))
    world.give_back()
    assert world.runs() == ["open-webui", "open-webui-3", "redis-valkey"]


def test_where_nothing_waits_nothing_comes_back_and_nothing_is_removed() -> None:
    world = World()
    assert not world.give_back()
    assert (world.is_as_before(), world.said) == (True, [])
    world.docker.held.clear()
    world.succeed()
    assert not world.give_back()
    assert world.runs() == sorted(NAMES)


def test_our_own_container_does_not_step_aside() -> None:
    world = World()
    world.docker.held.clear()
    world.succeed()
    world.step_aside()
    assert (world.runs(), world.said, world.notes()) == (sorted(NAMES), [], [])


def test_a_container_of_its_name_that_nobody_here_made_is_not_removed() -> None:
    world = World()
    world.step_aside()
    world.docker.put_container("open-webui", NewContainer("x", labels={FOLDER_LABEL: "/srv/theirs"}))
    with pytest.raises(HostError, match="already in use"):
        world.give_back()
    assert "open-webui" in world.runs()


def test_what_the_template_noted_without_a_policy_comes_back_with_none() -> None:
    """Docker has an empty name for none where an API client made the container."""
    world = World()
    world.step_aside()
    world.files.write(f"{FOLDER}/.open-webui.restart", ":0\n")
    world.give_back()
    assert world.docker.named("open-webui").restart_policy == "no"


def test_what_waits_is_let_go_with_its_notes_and_keeps_its_volumes() -> None:
    world = World()
    world.step_aside()
    world.succeed()
    world.by_hand.let_go()
    assert [one.name for one in world.docker.held.values() if FOLDER_LABEL not in one.new.labels] == []
    assert (world.notes(), set(world.docker.volumes)) == ([], set(NAMES))
    assert not world.give_back()


def test_one_that_can_not_be_removed_is_named() -> None:
    world = World()
    world.step_aside()
    world.docker.start(world.docker.named("open-webui.by-hand"))
    with pytest.raises(HostError) as caught:
        world.by_hand.let_go()
    assert (caught.value.where, caught.value.do) == ("open-webui.by-hand", "docker rm it")
    assert world.notes() != []


# --- Killed, cut off, and failing, everywhere


def take_over(world: World) -> None:
    world.step_aside()
    world.succeed()


def waiting() -> World:
    world = World()
    take_over(world)
    return world


def give_back(world: World) -> None:
    world.give_back()


def no_two_write(world: World, where: str) -> None:
    assert len(world.writers()) == len(set(world.writers())), where


@pytest.mark.crash
def test_a_take_over_that_is_cut_off_anywhere_can_be_undone_and_gone_on_with() -> None:
    crashes = 0
    for where, world in every_crash(World(), take_over):
        no_two_write(world, where)
        world.give_back()
        assert world.is_as_before(), where
        crashes += 1
    assert crashes > 30
    for where, world in every_crash(World(), take_over):
        take_over(world)
        no_two_write(world, where)
        another = copy.deepcopy(world)
        another.give_back()
        assert another.is_as_before(), where
        world.by_hand.let_go()
        world.boot()
        assert (world.runs(), world.notes()) == (sorted(NAMES), []), where


@pytest.mark.crash
def test_a_take_over_in_which_a_call_fails_can_be_undone() -> None:
    for where, world, _ in every_failure(World(), take_over):
        no_two_write(world, where)
        world.give_back()
        assert world.is_as_before(), where


@pytest.mark.crash
def test_a_way_back_that_is_cut_off_anywhere_is_ended_by_the_next_one() -> None:
    for where, world in every_crash(waiting(), give_back):
        no_two_write(world, where)
        world.give_back()
        assert world.is_as_before(), where


@pytest.mark.crash
def test_a_way_back_in_which_a_call_fails_is_ended_by_the_next_one() -> None:
    for where, world, error in every_failure(waiting(), give_back):
        no_two_write(world, where)
        assert error, where
        world.give_back()
        assert world.is_as_before(), where


@pytest.mark.crash
def test_letting_go_that_is_cut_off_or_fails_is_ended_by_the_next_one() -> None:
    ends = [(where, world) for where, world in every_crash(waiting(), lambda world: world.by_hand.let_go())]
    ends += [(where, world) for where, world, _ in every_failure(waiting(), lambda world: world.by_hand.let_go())]
    for where, world in ends:
        world.by_hand.let_go()
        assert (world.runs(), world.notes()) == (sorted(NAMES), []), where
