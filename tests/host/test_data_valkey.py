"""A snapshot is one of now or none, and Valkey never begins empty beside one, whatever fails."""

from __future__ import annotations

import io
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_docker import Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_valkey import CONTAINER, IMAGE, PASSWORD, SETS, VOLUME, World
from tests.host.faults import Crash, Fault
from webui_stack.host.data import valkey
from webui_stack.host.engine import NewContainer, Output, Refused
from webui_stack.host.errors import HostError

RUNC = b"OCI runtime exec failed: exec failed: read init-p: connection reset by peer"


# --- A snapshot of now


def save(world: World, fault: Fault | None = None) -> tuple[bytes, FakeEngine]:
    engine, out = world.engine(fault), io.BytesIO()
    one = world.snapshots(engine)
    one.save()
    one.copy(out)
    return out.getvalue(), engine


def test_a_snapshot_is_of_now() -> None:
    world = World()
    assert save(world)[0] == b"keys of now"
    assert world.clock.passed_s == 1.5


def test_one_that_valkey_had_begun_by_itself_is_not_of_now() -> None:
    world = World()
    world.saves, world.under_way = 7, 4
    assert save(world)[0] == b"keys of now"
    assert world.saves == 8


def test_one_that_comes_after_a_rewrite_of_the_log_is_waited_for() -> None:
    world = World()
    world.rewrites = True
    assert save(world)[0] == b"keys of now"


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([RUNC], 2),
        (["ERR Background save already in progress", RUNC], 3),
        (["LOADING Valkey is loading the dataset in memory"], 2),
    ],
    ids=["docker did not start it once", "busy, then not started", "it loads"],
)
def test_a_snapshot_is_asked_for_again_where_nobody_was_asked_or_valkey_is_busy(
    answers: list[str | bytes], asked: int
) -> None:
    world = World()
    world.answers = answers
    assert save(world)[0] == b"keys of now"
    assert world.asked.count(("bgsave", "schedule")) == asked


def test_a_program_that_docker_refuses_to_start_is_asked_for_again() -> None:
    world = World()
    engine = world.engine()
    real, refusals = engine.exec, [RUNC.decode()]

    def exec_(*arguments: Any, **options: Any) -> Output:
        if refusals:
            raise Refused("exec", refusals.pop(), status=400)
        return real(*arguments, **options)

    engine.exec = exec_  # type: ignore[method-assign]
    world.snapshots(engine).save()
    assert world.files["dump.rdb"] == b"keys of now"


@pytest.mark.parametrize("answer", ["NOPERM this user has no permissions", "", "ERR unknown"])
def test_a_refusal_is_no_snapshot(answer: str) -> None:
    world = World()
    world.answers = [answer]
    got = answer or "no answer"
    with pytest.raises(
        HostError, match=rf"^Valkey: expected it to save, got {got}; look at 'docker logs redis-valkey'"
    ):
        save(world)
    assert world.asked.count(("bgsave", "schedule")) == 1


def test_a_save_that_fails_is_no_snapshot() -> None:
    world = World()
    world.status = "err"
    with pytest.raises(HostError, match=r"^Valkey: expected a snapshot, got none; .*: is its disk full\?$"):
        save(world)


def test_a_save_that_never_ends_is_not_waited_for_for_ever() -> None:
    world = World()
    world.under_way = 10**6
    with pytest.raises(HostError, match=r"expected a snapshot, got none within 10 minutes"):
        save(world)
    assert world.clock.passed_s == valkey.SAVE_S


def test_a_restart_meanwhile_is_told() -> None:
    world = World()
    world.saves = 5

    def restart() -> None:
        world.saves, world.under_way = 0, 0

    world.clock.on_sleep = restart
    with pytest.raises(HostError, match=r"expected it to save, got a restart of it"):
        save(world)


@pytest.mark.parametrize("said", ["", "NOAUTH Authentication required.", "rdb_saves:x\nrdb_bgsave_in_progress:0"])
def test_another_answer_is_no_persistence(said: str) -> None:
    world = World()
    engine = world.engine()
    engine.exec = lambda *_, **__: Output(0, said.encode(), b"")  # type: ignore[method-assign]
    with pytest.raises(HostError, match=r"^Valkey: expected it to tell of its saves, got "):
        world.snapshots(engine).save()


@pytest.mark.crash
def test_nothing_that_goes_wrong_is_a_snapshot_and_the_next_run_makes_one() -> None:
    _, engine = save(World())
    for fault in engine.faults.points():
        world = World()
        with suppress(Crash, HostError):
            content, _ = save(world, fault)
            assert content == b"keys of now", fault
        assert save(world)[0] == b"keys of now", fault


def test_the_password_is_in_no_command() -> None:
    world = World()
    save(world)
    assert not any(PASSWORD in word for question in world.asked for word in question)


# --- Keys


def test_keys_are_counted_in_the_snapshot_itself() -> None:
    world = World()
    world.mounted["valkey.rdb"] = b"good"
    assert world.snapshots(world.engine()).count(SETS) == 12


def test_a_damaged_snapshot_is_no_set() -> None:
    world = World()
    world.mounted["valkey.rdb"] = b"bad"
    with pytest.raises(HostError, match=r"^Valkey: expected a sound snapshot, got \[offset 9\] RDB CRC error; "):
        world.snapshots(world.engine()).count(SETS)


def test_a_count_without_a_number_is_none() -> None:
    world = World()
    world.docker.put_image(IMAGE, Program(commands={"valkey-check-rdb": lambda _: b"[info] keys\n"}))
    world.docker.held.clear()
    world.docker.put_container(CONTAINER, NewContainer(IMAGE))
    with pytest.raises(HostError, match=r"expected a sound snapshot, got \[info\] keys"):
        world.snapshots(world.engine()).count(SETS)


@pytest.mark.crash
def test_nothing_that_goes_wrong_is_a_number() -> None:
    world = World()
    world.mounted["valkey.rdb"] = b"good"
    engine = world.engine()
    world.snapshots(engine).count(SETS)
    for fault in engine.faults.points():
        with pytest.raises((Crash, HostError)):
            world.snapshots(world.engine(fault)).count(SETS)
    assert world.snapshots(world.engine()).count(SETS) == 12


# --- Whether an image reads the data


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        (b"[info] 1 keys read\nread\n", ""),
        (b"--- RDB\n[offset 9] Can't handle RDB format version 80\n[info] x\nrefused\n", "Can't handle RDB"),
        (b"an error\nrefused\n", "an error"),
        (b"refused\n", "no reason"),
    ],
)
def test_an_image_reads_the_data_or_says_why_not(said: bytes, refusal: str) -> None:
    world = World()
    world.unreadable = said
    found = world.data(world.engine()).refusal()
    assert refusal in found
    assert bool(found) is bool(refusal)


@pytest.mark.parametrize("said", [b"", b"\n", b"valkey-check-rdb: not found\n", b"Killed\n", b"read or so\n"])
def test_where_nobody_could_look_the_data_are_neither(said: bytes) -> None:
    world = World()
    world.unreadable = said or b" "
    with pytest.raises(HostError, match=r"^Valkey: expected to look at the data in its volume, got "):
        world.data(world.engine()).refusal()


@pytest.mark.crash
def test_no_failure_is_an_unreadable_volume() -> None:
    world = World()
    engine = world.engine()
    world.data(engine).refusal()
    for fault in engine.faults.points():
        with pytest.raises((Crash, HostError)):
            world.data(world.engine(fault)).refusal()
    assert world.data(world.engine()).refusal() == ""


# --- The log


def test_a_log_is_written_from_a_snapshot_before_valkey_starts() -> None:
    world = World()
    assert world.data(world.engine()).keep_snapshot(CONTAINER)
    assert world.files["appendonlydir/1.base.rdb"] == b"old keys"
    assert not world.docker.named(CONTAINER).runs
    assert not world.data(world.engine()).keep_snapshot(CONTAINER)


@pytest.mark.parametrize("files", [{}, {"dump.rdb": b"x", "appendonlydir/1.aof": b"y"}, {"appendonlydir/1.aof": b"y"}])
def test_where_there_is_a_log_or_nothing_nobody_is_stopped(files: dict[str, bytes]) -> None:
    world = World(files)
    assert not world.data(world.engine()).keep_snapshot(CONTAINER)
    assert dict(world.files) == files
    assert world.docker.named(CONTAINER).runs


def test_a_log_that_the_host_sees_needs_no_container() -> None:
    world = World()
    world.host.make_folder(f"/var/lib/docker/volumes/{VOLUME}/_data/{valkey.LOG}")
    engine = world.engine()
    assert not world.data(engine).keep_snapshot(CONTAINER)
    assert [made.name for made in engine.faults.calls] == [f"docker: volume {VOLUME}"]


@pytest.mark.parametrize("answer", [b"", b"sh: not found\n", b"snapshot or so\n"])
def test_valkey_is_not_started_where_nobody_could_look_for_its_snapshot(answer: bytes) -> None:
    """L4: any failure of the helper was taken for "nothing to do"."""
    world = World()
    world.docker.put_image(IMAGE, Program(commands={"sh": lambda _: answer}))
    with pytest.raises(
        HostError, match=r"expected to see in its volume whether it has a snapshot only, got .*begin empty"
    ):
        world.data(world.engine()).keep_snapshot(CONTAINER)


def test_a_valkey_that_can_not_be_stopped_writes_on_and_no_log_is_written() -> None:
    world = World()
    engine = world.engine()
    engine.stop = lambda *_, **__: None  # type: ignore[method-assign]
    with pytest.raises(HostError, match=r"^docker: expected to stop redis-valkey, got it running still"):
        world.data(engine).keep_snapshot(CONTAINER)
    assert list(world.files) == ["dump.rdb"]


@pytest.mark.crash
def test_whatever_goes_wrong_the_keys_are_there_and_a_rerun_writes_the_log() -> None:
    world = World()
    engine = world.engine()
    world.data(engine).keep_snapshot(CONTAINER)
    for fault in engine.faults.points():
        world = World()
        with suppress(Crash, HostError):
            world.data(world.engine(fault)).keep_snapshot(CONTAINER)
        assert world.files["dump.rdb"] == b"old keys", fault
        world.data(world.engine()).keep_snapshot(CONTAINER)
        assert world.files["appendonlydir/1.base.rdb"] == b"old keys", fault
        world.started_empty = False
        world.engine().start(CONTAINER)
        assert not world.started_empty, fault
        assert [one.name for one in world.docker.held.values()] == [CONTAINER], fault


@pytest.mark.crash
def test_a_log_that_is_no_longer_written_is_set_aside_and_kept() -> None:
    world = World({"appendonlydir/1.aof": b"keys"})
    engine = world.engine()
    world.data(engine).set_log_aside()
    assert dict(world.files) == {"appendonlydir.off/1.aof": b"keys"}
    for fault in engine.faults.points():
        world = World({"appendonlydir/1.aof": b"keys"})
        with suppress(Crash, HostError):
            world.data(world.engine(fault)).set_log_aside()
        world.data(world.engine()).set_log_aside()
        assert dict(world.files) == {"appendonlydir.off/1.aof": b"keys"}, fault


def test_a_new_volume_is_first_mounted_by_valkey() -> None:
    world = World()
    world.docker.held.clear()
    del world.docker.volumes[VOLUME], world.docker.contents[VOLUME]
    world.data(world.engine()).own()
    assert VOLUME in world.docker.volumes
    assert not world.docker.held


@pytest.mark.parametrize("name", ["LOOK", "OWNER", "READ", "WRITE_LOG", "SET_LOG_ASIDE"])
def test_what_runs_in_the_container_is_good_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n"], input=getattr(valkey, name), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("status", "answer"), [(0, ["x", "read"]), (1, ["x", "refused"]), (127, ["x"]), (137, ["x"])])
def test_only_a_refusal_of_the_checker_is_one(tmp_path: Path, status: int, answer: list[str]) -> None:
    (tmp_path / "dump.rdb").write_text("")
    checker = tmp_path / "valkey-check-rdb"
    checker.write_text(f"#!/bin/sh\necho x\nexit {status}\n")
    checker.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", valkey.READ], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == answer


@pytest.mark.parametrize(
    ("there", "answer"), [([], "none"), (["dump.rdb"], "snapshot"), (["dump.rdb", "appendonlydir/"], "log")]
)
def test_the_look_for_a_snapshot_has_a_word_for_each_answer(tmp_path: Path, there: list[str], answer: str) -> None:
    for name in there:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("")
    done = subprocess.run(["sh", "-c", valkey.LOOK], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{answer}\n"
