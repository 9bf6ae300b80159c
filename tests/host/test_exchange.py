"""A set's data take the place of those in use, rows and files together, or leave it again, wherever that is cut off."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.host import cases, fake_volumes
from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles
from tests.host.fake_postgres import IMAGE, SERVER, VOLUME, Server, dump
from tests.host.fake_volumes import Killed, Steps
from tests.host.faults import Crash, Fault, Faults
from webui_stack.host.data import cluster, folders
from webui_stack.host.data.cluster import Cluster
from webui_stack.host.data.exchange import Exchange
from webui_stack.host.data.helper import Helper
from webui_stack.host.data.postgres import Postgres
from webui_stack.host.data.volumes import BOTH, OPEN_WEBUI, VALKEY, Volumes
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError

SET = "/var/backups/open-webui/20261129T030000Z"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk of the test's own need not be written."""
    for name in ("sync", "fsync"):
        monkeypatch.setattr(os, name, lambda *_: None)


class World:
    """A Docker with people's data, all of them "old", and a set with others, all of them "new"."""

    def __init__(self, path: Path, kind: str) -> None:
        self.kind = kind
        self.docker, self.clock, self.files = Docker(), FakeClock(), FakeFiles()
        tools = {"python3": fake_volumes.python3, "tar": fake_volumes.tar, "sh": fake_volumes.shell}
        self.docker.put_image("open-webui:1", Program(commands=tools))
        self.folders = {
            OPEN_WEBUI: fake_volumes.put(self.docker, "open-webui", path / "open-webui", {"webui.db": b"old"}),
            VALKEY: fake_volumes.put(self.docker, "redis-data", path / "redis-data", {"dump.rdb": b"old"}),
        }
        self.server = Server(self.docker)
        if kind == "postgres":
            self.docker.put_image(IMAGE, self.server.program())
            self.docker.put_volume(VOLUME, {"PG_VERSION": b"17\n"})
            known = {"owners": {"open-webui": "open-webui"}, "superusers": ["postgres"], "password": "secret"}
            self.server.put({"databases": {"open-webui": "old"}, "roles": ["open-webui", "postgres"], **known})
            self.docker.put_container(SERVER, NewContainer(IMAGE, volumes=[f"{VOLUME}:{cluster.DATA}"]))
        self.files.make_folder(SET)
        self.put_set("new")
        self.said: list[str] = []

    def put_set(self, word: str) -> None:
        self.files.write(f"{SET}/open-webui.tar", json.dumps({"webui.db": word}))
        self.files.write(f"{SET}/valkey.rdb", word)
        self.files.write(f"{SET}/postgres.dump", dump(word))

    def process(self, fault: Fault | None = None, which: Sequence[str] = BOTH) -> tuple[Exchange, FakeEngine]:
        """Another run of the program under test."""
        engine = FakeEngine(self.docker, faults=Faults(fault))
        helper = Helper(engine, self.clock)
        place = Volumes(helper, "open-webui:1", "open-webui", "redis-data")
        postgres = Postgres(engine, self.clock, Cluster(engine, helper, IMAGE, VOLUME), start_s=60)
        one = postgres if self.kind == "postgres" else None
        return Exchange(self.files, self.clock, place, one, lambda event: self.said.append(event.text), which), engine

    def in_use(self) -> list[str]:
        """Of which time rows, files and keys are."""
        found = [dict(self.folders[OPEN_WEBUI])["webui.db"], dict(self.folders[VALKEY])["dump.rdb"]]
        rows = [self.server.databases["open-webui"]] if self.kind == "postgres" else []
        return [*rows, *(content.decode() for content in found)]

    def parts(self, word: str) -> int:
        """How many parts of that time are there, in use or beside."""
        found = [content.decode() for folder in self.folders.values() for content in folder.values()]
        rows = list(self.server.databases.values()) if self.kind == "postgres" else []
        return (found + rows).count(word)

    def beside(self) -> list[str]:
        found = [name for folder in self.folders.values() for name in folders.places(folder.path)]
        rows = list(self.server.databases) if self.kind == "postgres" else []
        return [*found, *(name for name in rows if name != "open-webui")]

    @property
    def all(self) -> int:
        return 3 if self.kind == "postgres" else 2


KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgres"])


def fill(data: Exchange) -> None:
    data.fill(SET)


ACCEPT: list[Callable[[Exchange], None]] = [Exchange.set_aside, fill, Exchange.swap, Exchange.forget]
GO_BACK: list[Callable[[Exchange], None]] = [fill, Exchange.swap, Exchange.undo]


def whole(world: World, word: str) -> None:
    assert world.in_use() == [word] * world.all
    assert world.beside() == []


# --- The scenario


@KINDS
def test_a_set_waits_beside_takes_its_place_and_is_accepted(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, kind)
    data, _ = world.process()
    data.fill(SET)
    assert (world.in_use(), world.parts("new")) == (["old"] * world.all, world.all)
    data.swap()
    data.swap()  # nothing is left to do
    assert (world.in_use(), world.parts("old")) == (["new"] * world.all, world.all)
    data.forget()
    whole(world, "new")
    loading = ["loading postgres.dump"] if kind == "postgres" else []
    assert [line for line in world.said if "loading" in line] == loading


@KINDS
def test_data_that_are_put_back_are_those_of_before(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, kind)
    data, _ = world.process()
    for step in (*GO_BACK, Exchange.undo):
        step(data)
    whole(world, "old")


def test_without_open_webuis_folder_no_rows_are_exchanged(tmp_path: Path) -> None:
    world = World(tmp_path, "postgres")
    data, _ = world.process(which=[VALKEY])
    for step in ACCEPT:
        step(data)
    assert (world.in_use(), world.beside()) == (["old", "old", "new"], [])


@KINDS
def test_it_is_known_whether_people_have_data(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, kind)
    assert world.process()[0].holds()
    for folder in world.folders.values():
        folder.clear()
    assert world.process()[0].holds() == (kind == "postgres")
    if kind == "postgres":
        world.docker.drop(world.docker.named(SERVER))
        del world.docker.volumes[VOLUME]
        assert not world.process()[0].holds()


# --- Earlier data are never lost


@KINDS
def test_earlier_data_that_nobody_accepted_are_not_replaced(tmp_path: Path, kind: str) -> None:
    """L9: a second restore forgot the only copy."""
    world = World(tmp_path, kind)
    data, _ = world.process()
    data.fill(SET)
    data.swap()
    with pytest.raises(HostError, match="earlier d"):
        data.fill(SET)
    for word in ("newer", "newest"):
        data.set_aside()
        data.set_aside()
        world.put_set(word)
        data.fill(SET)
        data.swap()
    assert [world.parts(word) for word in ("old", "new", "newer", "newest")] == [world.all] * 4
    data.undo()
    assert world.in_use() == ["newer"] * world.all
    assert [world.parts(word) for word in ("old", "new", "newest")] == [world.all, world.all, 0]
    data.forget()
    whole(world, "newer")


@pytest.mark.parametrize("word", ["swap", "undo"])
def test_rows_of_one_set_and_files_of_another_are_never_accepted(tmp_path: Path, word: str) -> None:
    """Both change rows first. To forget what is beside them then would leave a mix for ever."""
    world = World(tmp_path, "postgres")
    data, _ = world.process()
    data.fill(SET)
    if word == "undo":
        data.swap()
    world.docker.images.pop(tools := world.docker.find_image("open-webui:1").id)
    with pytest.raises(HostError):
        getattr(data, word)()
    world.docker.put_image("open-webui:1", world.docker.programs[tools])
    with pytest.raises(HostError, match=r"expected rows and files of one set, got postgres\.dump "):
        data.forget()
    data.undo()
    whole(world, "old")


# --- Cut off, and failing


@pytest.mark.crash
@KINDS
def test_an_exchange_that_is_cut_off_anywhere_leaves_all_of_before_or_all_of_the_set(tmp_path: Path, kind: str) -> None:
    """What follows a fault goes round: to go on, to go back, and to accept what is there too early."""

    def begun(number: int) -> World:
        """A restore before this one was not accepted: "old" data wait beside those of "now"."""
        world = World(tmp_path / str(number), kind)
        for folder, name in ((world.folders[OPEN_WEBUI], "webui.db"), (world.folders[VALKEY], "dump.rdb")):
            folder.update({name: b"now", f"{folders.OLD}/{name}": b"old"})
        if kind == "postgres":
            state = world.server.state()
            world.server.put({**state, "databases": {"open-webui": "now", "open-webui.old": "old"}})
        return world

    def run(world: World, fault: Fault | None) -> tuple[int, FakeEngine]:
        data, engine = world.process(fault)
        at = 0
        with suppress(Crash, HostError):
            for at, step in enumerate(ACCEPT):  # noqa: B007
                step(data)
        return at, engine

    number = 0
    for fault in run(begun(0), None)[1].faults.points():
        number += 1
        world = begun(number)
        at, _ = run(world, fault)
        then = ("goes on", "is undone", "is accepted")[number % 3]
        if at < 3:  # what nobody has accepted yet waits
            assert world.parts("old") == world.all, fault
            assert world.parts("now") == world.all, fault
        data, _ = world.process()
        if then == "is accepted" and at > 0:
            with suppress(HostError):
                data.forget()
                assert world.in_use() in (["now"] * world.all, ["new"] * world.all), fault
        if then == "is undone" and at < 3:
            if at < 2:  # nothing was swapped yet: the data that wait are of the restore before
                data.set_aside()
            data.undo()
            assert world.in_use() == ["now"] * world.all, fault
            assert world.parts("old") == world.all, fault
            data.forget()
            whole(world, "now")
        elif then == "goes on":
            for step in ACCEPT[at:]:
                step(data)
            whole(world, "new")
    assert number > 100


@pytest.mark.crash
@KINDS
def test_a_way_back_that_is_cut_off_anywhere_brings_all_of_before(tmp_path: Path, kind: str) -> None:
    def run(world: World, fault: Fault | None) -> tuple[int, FakeEngine]:
        data, engine = world.process(fault)
        at = 0
        with suppress(Crash, HostError):
            for at, step in enumerate(GO_BACK):  # noqa: B007
                step(data)
        return at, engine

    for number, fault in enumerate(run(World(tmp_path / "0", kind), None)[1].faults.points(), 1):
        world = World(tmp_path / str(number), kind)
        at, _ = run(world, fault)
        data, _ = world.process()
        if number % 2:  # accepted too early
            with suppress(HostError):
                data.forget()
                whole(world, world.in_use()[0])
                continue
        if at < 1:
            data.set_aside()
        data.undo()
        whole(world, "old")


@pytest.mark.crash
@KINDS
@pytest.mark.parametrize("name", ["swap", "undo", "forget"])
def test_a_program_that_is_killed_within_the_folders_leaves_no_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    """Each step of folders.py, in each of the folders."""
    steps = Steps()
    steps.patch(monkeypatch)
    for number in range(100):
        world = World(tmp_path / str(number), kind)
        data, _ = world.process()
        data.fill(SET)
        if name != "swap":
            data.swap()
        steps.left = number
        cases.one_more()
        done = False
        try:
            getattr(data, name)()
            done = True
        except Killed:
            pass
        steps.left = None
        if done:
            break
        if name == "forget":
            data.forget()
            whole(world, "new")
            continue
        with suppress(HostError):
            data.forget()
            whole(world, world.in_use()[0])
            continue
        if name == "swap" and number % 2:
            data.swap()
            assert world.in_use() == ["new"] * world.all
        data.undo()
        whole(world, "old")
    assert 4 < number < 99
