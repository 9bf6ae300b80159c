"""What was cut off in a stack is ended from its journal alone, at boot or by the watchdog."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host import test_swarm_up
from tests.host.fake_files import FakeFiles
from tests.host.fake_system import FakeSystem
from tests.host.test_up import FOLDER, DeadProcesses, World, deployed, serves
from webui_stack.host import assembly, dockerd
from webui_stack.host.errors import HostError
from webui_stack.host.journal import Journal
from webui_stack.host.kernel import LINUX
from webui_stack.host.locks import Held, Locks
from webui_stack.host.recovery import FOLDER as UNITS
from webui_stack.host.recovery import STACK, Recovery
from webui_stack.host.verbs import recover, up

UNIT, LINK = f"{UNITS}/{STACK.name}", f"{UNITS}/multi-user.target.wants/{STACK.name}"


class NoLocks(Locks):
    def __init__(self) -> None:
        pass

    @contextlib.contextmanager
    def work(self, *_: object, **__: object) -> Iterator[Held]:  # type: ignore[override]
        yield Held(LINUX)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A host on which a release serves, and a deploy of another one was cut off when its services began to start."""
    world = deployed()
    world.files.make_folder(UNITS)
    monkeypatch.setattr(dockerd, "engine", lambda _: world.engine)
    monkeypatch.setattr(assembly, "Compose", lambda *_, **__: world.project)
    monkeypatch.setattr(recover, "Processes", DeadProcesses)
    world.put("ill")
    world.journal.begin(up.VERB, world.me, world.verb._noted(up.Request("webui:ill", ["open-webui"], [])))
    world.journal.step(up.START)
    return world


@pytest.fixture
def system(tmp_path: Path) -> FakeSystem:
    made = FakeSystem(tmp_path)
    made.path("/run/systemd/system").mkdir(parents=True)
    return made


def ended(world: World, system: FakeSystem) -> object:
    return recover.stack(FOLDER, system, world.files, world.clock, NoLocks(), world.say)


def test_a_deploy_that_was_cut_off_goes_back_to_the_release_before(world: World, system: FakeSystem) -> None:
    world.docker.named("open-webui").status = "exited"
    ended(world, system)
    assert world.serving() == serves(1)
    assert (world.journal.open(), world.left()) == (None, ["recover.log"])
    assert world.said[0].startswith("ending what was cut off: up, at the step 'start', begun 2026")
    assert world.said[-1] == "that one runs again; the change is not in force"


def test_nothing_happens_where_nothing_was_cut_off(system: FakeSystem) -> None:
    world = deployed()
    world.files.make_folder(UNITS)
    Recovery(system, world.files, STACK).arm()
    assert ended(world, system) is None
    assert not world.files.exists(UNIT)


def test_an_end_that_fails_is_told_and_tried_again(world: World, system: FakeSystem) -> None:
    del world.docker.images[world.docker.named("open-webui").image_id]
    with pytest.raises(HostError):
        ended(world, system)
    assert world.journal.open() is not None
    assert "expected" in (world.files.read_text(f"{FOLDER}/recover.log") or "")


def test_a_mark_of_an_earlier_version_waits_for_its_runbook(system: FakeSystem) -> None:
    """It does not say where the data are."""
    world = deployed()
    world.files.write(f"{FOLDER}/.restoring", "restore\n")
    with pytest.raises(HostError, match=r"a mark of an earlier version: restore.*; run runbooks/restore.py again$"):
        ended(world, system)


def test_while_a_verb_is_under_way_a_unit_is_there_that_ends_it_at_boot_once_docker_runs(system: FakeSystem) -> None:
    files, world = FakeFiles(), World()
    files.make_folder(UNITS)
    at_boot = Recovery(system, files, STACK, {"stack_dir": "/srv/50% chat"})
    noted = Journal(files, "/srv/chat", {"up": up.STEPS}, world.clock, at_boot)
    noted.begin("up", world.me)
    lines = (files.read_text(UNIT) or "").splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    assert (told["After"], told["Wants"]) == ("docker.service", "docker.service")
    assert "/srv/50%% chat" in told["StandardInputText"]
    assert files.exists(LINK)
    noted.end()
    assert not files.exists(UNIT)
    assert not files.exists(LINK)


def test_an_upgrade_of_a_swarm_that_was_cut_off_is_ended_from_its_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    there = test_swarm_up.deployed()
    test_swarm_up.killed(there, "deploy")
    there.write("since")
    monkeypatch.setattr(dockerd, "engine", lambda _: there.engine)
    monkeypatch.setattr(recover, "Processes", DeadProcesses)
    recover.stack(test_swarm_up.FOLDER, there.system, there.files, there.clock, NoLocks(), there.say)
    assert (there.serving(), there.rows) == (test_swarm_up.runs("2"), "v2+hello+since")
    assert there.said[0].startswith("ending what was cut off: swarm_upgrade, at the step 'deploy', begun 2026")
    assert (there.journal.open(), there.left()) == (None, ["recover.log"])
