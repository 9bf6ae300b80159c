"""Data take the place of others whole or not at all, and can leave it again, wherever that is cut off."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.host import fake_volumes
from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_volumes import Folder, Killed, Steps
from tests.host.faults import Crash, Fault, Faults
from webui_stack.host.data import folders
from webui_stack.host.data.helper import LABEL, NAME, Helper
from webui_stack.host.data.volumes import BOTH, FILL_VALKEY, OPEN_WEBUI, VALKEY, State, Volumes
from webui_stack.host.engine import NewContainer, Unavailable
from webui_stack.host.errors import HostError

MODELS = "cache/embedding/models"
OLD = {
    OPEN_WEBUI: {
        "webui.db": b"old rows",
        "uploads/1_a": b"a",
        ".hidden": b"h",
        "..odd": b"o",
        f"{MODELS}/large": b"model",
    },
    VALKEY: {"dump.rdb": b"old keys", "appendonlydir/1.aof": b"log"},
}
NEW = {OPEN_WEBUI: {"webui.db": b"new rows", "uploads/2_b": b"b"}, VALKEY: {"dump.rdb": b"new keys"}}
PLACED = {**NEW, OPEN_WEBUI: {**NEW[OPEN_WEBUI], f"{MODELS}/large": b"model"}}
TAR = json.dumps({name: content.decode() for name, content in NEW[OPEN_WEBUI].items()}).encode()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk of the test's own need not be written."""
    for name in ("sync", "fsync"):
        monkeypatch.setattr(os, name, lambda *_: None)


class World:
    """A Docker with people's data in two volumes."""

    def __init__(self, path: Path) -> None:
        self.docker = Docker()
        tools = {"python3": fake_volumes.python3, "tar": fake_volumes.tar, "sh": fake_volumes.shell}
        self.docker.put_image("open-webui:1", Program(commands=tools))
        self.folders = {
            OPEN_WEBUI: fake_volumes.put(self.docker, "open-webui", path / "open-webui", OLD[OPEN_WEBUI]),
            VALKEY: fake_volumes.put(self.docker, "redis-data", path / "redis-data", OLD[VALKEY]),
        }

    def process(self, fault: Fault | None = None) -> tuple[Volumes, FakeEngine]:
        """Another run of the program under test."""
        engine = FakeEngine(self.docker, faults=Faults(fault))
        helper = Helper(engine, FakeClock())
        return Volumes(helper, "open-webui:1", "open-webui", "redis-data", [MODELS]), engine

    def data(self) -> dict[str, dict[str, bytes]]:
        """What is in place, all of it."""
        return {
            name: {path: content for path, content in folder.items() if not path.startswith(folders.PREFIX)}
            for name, folder in self.folders.items()
        }

    def beside(self) -> dict[str, list[str]]:
        return {name: sorted(folders.places(folder.path)) for name, folder in self.folders.items()}

    def everything(self) -> set[bytes]:
        return {content for folder in self.folders.values() for content in folder.values()}


NOTHING: dict[str, list[str]] = {OPEN_WEBUI: [], VALKEY: []}


def place(volumes: Volumes) -> None:
    volumes.make(BOTH)
    volumes.fill(OPEN_WEBUI, io.BytesIO(TAR))
    volumes.fill(VALKEY, io.BytesIO(NEW[VALKEY]["dump.rdb"]))


def swap(volumes: Volumes) -> None:
    place(volumes)
    volumes.swap(BOTH)


def accept(volumes: Volumes) -> None:
    swap(volumes)
    volumes.forget(BOTH)


def put_back(volumes: Volumes) -> None:
    swap(volumes)
    volumes.undo(BOTH)


# --- The scenario


def test_data_wait_beside_those_in_use_take_their_place_and_are_accepted(tmp_path: Path) -> None:
    world = World(tmp_path)
    volumes, _ = world.process()
    marks = {OPEN_WEBUI: ("webui.db",), VALKEY: ("dump.rdb", "appendonlydir")}
    assert volumes.look() == {name: State("whole", marks[name]) for name in BOTH}
    place(volumes)
    assert world.data() == OLD
    assert {state.where for state in volumes.look().values()} == {"beside"}
    volumes.swap(BOTH)
    assert world.data() == PLACED
    assert volumes.look()[VALKEY] == State("swapped", ("dump.rdb",))
    volumes.forget(BOTH)
    assert (world.data(), world.beside()) == (PLACED, NOTHING)


def test_an_undo_brings_all_of_before_back_and_nothing_else(tmp_path: Path) -> None:
    world = World(tmp_path)
    volumes, _ = world.process()
    swap(volumes)
    world.folders[OPEN_WEBUI]["written-since"] = b"x"
    volumes.undo(BOTH)
    assert (world.data(), world.beside()) == (OLD, NOTHING)


def test_one_folder_can_be_swapped_and_the_other_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    volumes, _ = world.process()
    volumes.make([VALKEY])
    volumes.fill(VALKEY, io.BytesIO(b"new keys"))
    volumes.swap([VALKEY])
    assert world.data() == {**OLD, VALKEY: NEW[VALKEY]}


def test_new_data_belong_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """Valkey does not start beside a file of somebody else."""
    world = World(tmp_path)
    volumes, _ = world.process()
    place(volumes)
    folder = world.folders[VALKEY].path
    assert (folder / folders.NEW).stat().st_uid == folder.stat().st_uid


def test_folders_that_no_set_has_are_the_same_files_and_not_copies(tmp_path: Path) -> None:
    world = World(tmp_path)
    volumes, _ = world.process()
    swap(volumes)
    path = world.folders[OPEN_WEBUI].path
    assert (path / MODELS / "large").samefile(path / folders.OLD / MODELS / "large")


# --- Earlier data are never lost


def test_earlier_data_that_wait_are_not_replaced_by_a_second_restore(tmp_path: Path) -> None:
    """L9: the only copy of the old data was forgotten."""
    world = World(tmp_path)
    volumes, _ = world.process()
    swap(volumes)
    with pytest.raises(HostError, match=r"expected no earlier data beside those in use, got some; put them back"):
        volumes.make(BOTH)
    volumes.undo(BOTH)
    assert world.data() == OLD


def test_a_swap_needs_new_data(tmp_path: Path) -> None:
    world = World(tmp_path)
    volumes, _ = world.process()
    with pytest.raises(HostError, match=r"swap: expected new data beside those in use, got none"):
        volumes.swap(BOTH)
    assert (world.data(), world.beside()) == (OLD, NOTHING)


def test_a_full_disk_is_told_and_costs_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    volumes, _ = world.process()
    volumes.make(BOTH)
    with pytest.raises(
        HostError, match=r"^the volumes of the data: expected `tar` to change them, got tar: Unexpected"
    ):
        volumes.fill(OPEN_WEBUI, io.BytesIO(TAR[:-3]))
    volumes.make(BOTH)  # what was filled in is gone
    assert world.beside() == {OPEN_WEBUI: [folders.NEW], VALKEY: [folders.NEW]}
    assert world.data() == OLD
    volumes.forget(BOTH)
    assert (world.data(), world.beside()) == (OLD, NOTHING)


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b'{"/valkey": {}}', b'{"/valkey": {"beside": 1, "data": []}}'])
def test_an_answer_of_another_form_is_no_state(tmp_path: Path, answer: bytes) -> None:
    world = World(tmp_path)
    world.docker.put_image("open-webui:1", Program(commands={"python3": lambda _: answer}))
    with pytest.raises(HostError, match=r"expected what is there after `forget`, got another answer"):
        world.process()[0].forget([VALKEY])


# --- Cut off within the container


def prepared(path: Path) -> Folder:
    """A folder with new data beside the old ones."""
    made = Folder(path)
    made.update(OLD[OPEN_WEBUI])
    folders.make(path)
    made.update({f"{folders.NEW}/{name}": content for name, content in NEW[OPEN_WEBUI].items()})
    return made


def in_place(folder: Folder) -> dict[str, bytes]:
    return {name: content for name, content in folder.items() if not name.startswith(folders.PREFIX)}


def killed_everywhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[[Path], None],
    doing: Callable[[Path], None],
    check: Callable[[Folder], None],
) -> int:
    """Kill `doing` before each change that it makes; `check` gets the folder as it is then."""
    steps = Steps()
    steps.patch(monkeypatch)
    number = 0
    while True:
        folder = prepared(tmp_path / str(number))
        before(folder.path)
        steps.left = number
        done = False
        try:
            doing(folder.path)
            done = True
        except Killed:
            pass
        steps.left = None
        check(folder)
        if done:
            return number
        number += 1


def swapped(path: Path) -> None:
    folders.swap(path, [MODELS])


def nothing(path: Path) -> None:
    del path


def test_a_swap_that_was_cut_off_anywhere_loses_nothing_and_can_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(folder: Folder) -> None:
        assert set(folder.values()) >= {*OLD[OPEN_WEBUI].values(), *NEW[OPEN_WEBUI].values()}
        folders.undo(folder.path)
        assert dict(folder) == OLD[OPEN_WEBUI]

    assert killed_everywhere(tmp_path, monkeypatch, nothing, swapped, check) > 10


def test_a_swap_that_was_cut_off_anywhere_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(folder: Folder) -> None:
        swapped(folder.path)
        assert in_place(folder) == PLACED[OPEN_WEBUI]
        folders.forget(folder.path)
        assert dict(folder) == PLACED[OPEN_WEBUI]

    killed_everywhere(tmp_path, monkeypatch, nothing, swapped, check)


def test_half_swapped_data_are_never_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(folder: Folder) -> None:
        with suppress(folders.Refusal):
            folders.forget(folder.path)
        whole = in_place(folder)
        if whole not in (OLD[OPEN_WEBUI], PLACED[OPEN_WEBUI]):
            folders.undo(folder.path)
            assert dict(folder) == OLD[OPEN_WEBUI]

    killed_everywhere(tmp_path, monkeypatch, nothing, swapped, check)
    killed_everywhere(tmp_path / "undo", monkeypatch, swapped, folders.undo, check)


def test_an_undo_that_was_cut_off_anywhere_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(folder: Folder) -> None:
        assert set(folder.values()) >= set(OLD[OPEN_WEBUI].values())
        with suppress(folders.Refusal):
            swapped(folder.path)  # nobody may go on with new data that an undo has begun to remove
            assert in_place(folder) == PLACED[OPEN_WEBUI]
        folders.undo(folder.path)
        assert dict(folder) == OLD[OPEN_WEBUI]

    assert killed_everywhere(tmp_path, monkeypatch, swapped, folders.undo, check) > 10
    killed_everywhere(tmp_path / "before", monkeypatch, nothing, folders.undo, check)


def test_data_that_are_forgotten_are_never_put_back_in_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(folder: Folder) -> None:
        assert in_place(folder) == PLACED[OPEN_WEBUI]
        folders.undo(folder.path)
        assert dict(folder) in (OLD[OPEN_WEBUI], PLACED[OPEN_WEBUI])

    killed_everywhere(tmp_path, monkeypatch, swapped, folders.forget, check)


def test_a_new_place_that_was_cut_off_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(folder: Folder) -> None:
        assert in_place(folder) == OLD[OPEN_WEBUI]
        folders.make(folder.path)
        assert dict(folder) == OLD[OPEN_WEBUI]
        assert folders.places(folder.path) == {folders.NEW}

    killed_everywhere(tmp_path, monkeypatch, nothing, folders.make, check)


@pytest.mark.parametrize("cut", ["shift .restore-old", "trash and old"])
def test_what_the_shell_left_half_way_is_undone(tmp_path: Path, cut: str) -> None:
    """Earlier versions had the same names, in the same order."""
    folder = prepared(tmp_path / "data")
    if cut == "shift .restore-old":
        (folder.path / folders.PART).mkdir()
        (folder.path / "webui.db").rename(folder.path / folders.PART / "webui.db")
    else:
        swapped(folder.path)
        (folder.path / folders.TRASH).mkdir()
        (folder.path / "webui.db").rename(folder.path / folders.TRASH / "webui.db")
    folders.undo(folder.path)
    assert dict(folder) == OLD[OPEN_WEBUI]


# --- Every call to Docker fails, and is the last one


@pytest.mark.crash
@pytest.mark.parametrize("scenario", [swap, accept, put_back])
def test_whatever_goes_wrong_all_data_are_there_and_an_undo_or_a_rerun_ends_it(
    tmp_path: Path, scenario: Callable[[Volumes], None]
) -> None:
    volumes, engine = World(tmp_path / "good").process()
    scenario(volumes)
    old, new = set(OLD[OPEN_WEBUI].values()), set(NEW[OPEN_WEBUI].values())
    for number, fault in enumerate(engine.faults.points()):
        world = World(tmp_path / str(number))
        with suppress(Crash, HostError):
            scenario(world.process(fault)[0])
        assert world.everything() >= (old if scenario is not accept else {b"model"}), fault
        assert world.everything() >= old or world.everything() >= new, fault
        again, _ = world.process()
        states = {state.where for state in again.look().values()}
        if scenario is accept and states == {"whole", "swapped"}:  # in the middle of its last step
            again.forget(BOTH)
        else:
            again.undo(BOTH)
        assert world.beside() == NOTHING, fault
        assert world.data() in ((OLD, PLACED) if scenario is accept else (OLD,)), fault
        assert not world.docker.held, fault


def test_a_helper_that_a_killed_run_left_is_ended_before_another_works(tmp_path: Path) -> None:
    world = World(tmp_path)
    volumes, _ = world.process()
    place(volumes)
    left = NewContainer("open-webui:1", ["sleep"], labels={LABEL: "yes"})
    world.docker.put_container(NAME, left)
    volumes.swap(BOTH)
    assert not world.docker.held
    assert world.data() == PLACED


def test_somebody_elses_container_of_that_name_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.docker.put_container(NAME, NewContainer("open-webui:1", ["sleep"]))
    with pytest.raises(HostError, match=r"expected one that this project made, got one of somebody else"):
        world.process()[0].make(BOTH)
    assert [one.name for one in world.docker.held.values()] == [NAME]
    assert world.data() == OLD


def test_no_answer_is_no_state(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.docker.down = True
    with pytest.raises(Unavailable):
        world.process()[0].look()


def test_the_program_in_the_container_prints_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepared(tmp_path / "data")
    monkeypatch.setattr("sys.argv", ["-", "swap", json.dumps({str(folder.path): []})])
    folders.main()
    assert json.loads(capsys.readouterr().out) == {str(folder.path): {"beside": [folders.OLD], "data": ["webui.db"]}}
    monkeypatch.setattr("sys.argv", ["-", "make", json.dumps({str(folder.path): []})])
    with pytest.raises(SystemExit, match=r"make: expected no earlier data"):
        folders.main()


def test_the_shell_that_fills_valkeys_place_writes_it_with_the_folders_owner(tmp_path: Path) -> None:
    (tmp_path / folders.NEW).mkdir()
    *command, text = FILL_VALKEY
    text = text.replace(f"cd {VALKEY}\n", f"cd {tmp_path}\n")
    subprocess.run([*command, text], input=b"keys", check=True)
    assert (tmp_path / folders.NEW / "dump.rdb").read_bytes() == b"keys"
