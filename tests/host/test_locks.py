"""Locks between programs on a host: they free themselves, and every wait ends and names the holder."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.defaults import ROOT
from tests.host.fake_clock import FakeClock
from tests.host.fake_files import FakeKernel
from webui_stack.host.clock import Clock
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.kernel import LINUX
from webui_stack.host.locks import DATA, RUN_FOLDER, WAIT_S, WORK, Held, LockedError, Locks

Take = Callable[[Locks], Held]


def work(locks: Locks) -> Held:
    return locks.work("deploy", ["open-webui", "redis-valkey"], limit_s=0)


def other_work(locks: Locks) -> Held:
    return locks.work("rotate", ["open-webui"], limit_s=0)


def backup(locks: Locks) -> Held:
    return locks.data("backup", live=True, limit_s=0)


def drill(locks: Locks) -> Held:
    return locks.data("drill", live=False, limit_s=0)


def pull(locks: Locks) -> Held:
    return locks.images("pull", limit_s=0)


def watch(locks: Locks) -> Held:
    return locks.container("open-webui", "watch")


def other_watch(locks: Locks) -> Held:
    return locks.container("redis-valkey", "watch")


class Host:
    """A host in memory, with a process for each program on it."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.clock = FakeClock()
        self.told: list[str] = []
        self.locks = Locks(self.kernel, self.clock, self.told.append)


@pytest.fixture
def host() -> Host:
    return Host()


# --- Who excludes whom


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (work, other_work, False),
        (work, backup, False),
        (work, drill, True),
        (work, watch, False),
        (backup, backup, False),
        (backup, drill, False),
        (backup, watch, True),
        (drill, watch, True),
        (watch, watch, False),
        (watch, other_watch, True),
        (pull, pull, False),
        (pull, work, True),
        (pull, backup, True),
    ],
)
def test_only_those_work_side_by_side_that_do_not_disturb_each_other(
    host: Host, first: Take, second: Take, both: bool
) -> None:
    for one, other in ((first, second), (second, first)):
        with one(host.locks):
            if both:
                other(host.locks).release()
            else:
                with pytest.raises(LockedError):
                    other(host.locks)
        other(host.locks).release()


def test_a_verb_that_has_the_stack_alone_makes_its_backup_under_the_data_lock(host: Host) -> None:
    with work(host.locks), host.locks.data("backup", live=False), pytest.raises(LockedError):
        drill(host.locks)


def test_a_verb_has_the_lock_of_each_container_it_changes(host: Host) -> None:
    """Not only the one for all, which is there for earlier versions alone."""
    with work(host.locks):
        for name in ("open-webui", "redis-valkey"):
            assert host.locks.holder(f"container-{name}") == f"deploy, process {os.getpid()}, since 03:00:00 UTC"
        assert host.locks.holder("container-open-webui-2") is None


def test_a_lock_that_could_not_be_had_leaves_none_of_the_others_held(host: Host) -> None:
    with watch(host.locks), pytest.raises(LockedError):
        work(host.locks)
    with drill(host.locks), pytest.raises(LockedError):
        backup(host.locks)
    with work(host.locks), drill(host.locks):
        pass


# --- Waits


def test_a_wait_ends_and_names_the_holder(host: Host) -> None:
    with backup(host.locks), pytest.raises(LockedError) as failed:
        host.locks.work("deploy")
    assert host.clock.passed_s == WAIT_S
    assert str(failed.value) == (
        f"deploy: expected nobody else at work here, got {RUN_FOLDER}/work held for 600 s by backup, process "
        f"{os.getpid()}, since 03:00:00 UTC; run this again when that has ended"
    )


def test_who_is_waited_for_is_told_at_once_and_once_in_a_while(host: Host) -> None:
    with backup(host.locks), pytest.raises(LockedError):
        host.locks.work("deploy", limit_s=100)
    told = f"still at work here: backup, process {os.getpid()}, since 03:00:00 UTC; waiting for it to end"
    assert host.told == [told] * 4  # after 0, 30, 60 and 90 s


def test_the_wait_ends_when_the_holder_does(host: Host) -> None:
    held = backup(host.locks)
    host.clock.on_sleep = lambda: held.release() if host.clock.passed_s >= 5 else None
    with host.locks.work("deploy"):
        assert 5 <= host.clock.passed_s < 6
        assert host.locks.holder(WORK) == f"deploy, process {os.getpid()}, since 03:00:05 UTC"


def test_both_waits_of_a_backup_together_have_one_limit(host: Host) -> None:
    held, other = work(host.locks), drill(host.locks)
    host.clock.on_sleep = lambda: held.release() if host.clock.passed_s >= 400 else None
    with pytest.raises(LockedError, match="data held for"):
        host.locks.data("backup", live=True)
    assert host.clock.passed_s == WAIT_S
    other.release()


def test_who_has_a_lock_is_known_without_waiting(host: Host) -> None:
    assert host.locks.holder(WORK) is None
    with backup(host.locks):
        for name in (WORK, DATA):
            assert host.locks.holder(name) == f"backup, process {os.getpid()}, since 03:00:00 UTC"
    assert (host.locks.holder(WORK), host.locks.holder(DATA)) == (None, None)


def test_a_holder_that_could_not_write_its_name_has_the_lock_all_the_same(host: Host) -> None:
    host.kernel.room_bytes = 0
    with backup(host.locks), pytest.raises(LockedError, match="by an unknown process, see lslocks"):
        other_work(host.locks)


# --- Files that are not as they should be


def test_the_folder_is_for_root_alone_also_where_it_was_open_before(host: Host) -> None:
    files = Files(host.kernel)
    files.make_folder(RUN_FOLDER, mode=0o755)
    work(host.locks).release()
    found = files.stat(RUN_FOLDER)
    assert found
    assert found.mode == 0o700
    found = files.stat(f"{RUN_FOLDER}/work")
    assert found
    assert found.mode == 0o600


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock(host: Host) -> None:
    """Otherwise two runs could have the same lock: one on the removed file, one on its successor."""
    files = Files(host.kernel)
    host.locks.moment("lease.lock", "lease").release()
    removed: list[bool] = []
    path = f"{RUN_FOLDER}/lease.lock"

    def remove(point: str) -> None:
        if point == "before flock" and not removed:
            removed.append(True)
            files.remove_tree(RUN_FOLDER)

    host.kernel.on_point = remove
    with host.locks.moment("lease.lock", "lease"), pytest.raises(LockedError, match=path):
        host.locks.moment("lease.lock", "lease")
    assert removed


def test_a_link_in_the_place_of_a_lock_is_not_followed(host: Host) -> None:
    Files(host.kernel).make_folder(RUN_FOLDER)
    Files(host.kernel).write("/etc/passwd", "root")
    host.kernel.add(f"{RUN_FOLDER}/work", 0o120777, "/etc/passwd")
    with pytest.raises(HostError, match="got a link"):
        work(host.locks)
    assert Files(host.kernel).read_text("/etc/passwd") == "root"


# --- Earlier versions, whose scripts take these with flock(1)


@pytest.mark.parametrize(
    ("name", "stopped", "free"),
    [
        ("open-webui-stack/work", [work, backup], [drill, watch]),
        ("open-webui-stack/containers", [work, watch], [backup, drill]),
        ("open-webui-stack.work", [work], [backup, drill, watch]),
        ("open-webui-stack.drill.lock", [backup, drill], [work, watch]),
    ],
)
def test_what_an_earlier_version_holds_is_heeded(host: Host, name: str, stopped: list[Take], free: list[Take]) -> None:
    files = Files(host.kernel)
    files.make_folder(RUN_FOLDER)
    path = f"/run/{name}"
    files.write(path, "deploy, process 17, since 02:00:00 UTC\n", mode=0o644)
    fd = files.open_shared(path)
    host.kernel.flock(fd, fcntl.LOCK_EX)
    for take in stopped:
        with pytest.raises(LockedError, match="by deploy, process 17, since 02:00:00 UTC; run this again"):
            take(host.locks)
    for take in free:
        take(host.locks).release()


@pytest.mark.parametrize(
    ("take", "name", "is_free"),
    [
        (work, "work", False),  # their deploys and backups
        (work, "containers", False),  # their watchdog
        (backup, "work", False),
        (backup, "containers", True),
        (watch, "containers", False),
        (drill, "work", True),
    ],
)
def test_earlier_versions_heed_what_is_held(tmp_path: Path, take: Take, name: str, is_free: bool) -> None:
    locks = Locks(LINUX, Clock(), print, f"{tmp_path}/run")
    with take(locks):
        got = subprocess.run(["sh", "-c", f"exec 9>>{tmp_path}/run/{name}; flock --nonblock 9"]).returncode
    assert (got == 0) is is_free


# --- Real processes

PROGRAM = """
import subprocess, sys
sys.path.insert(0, {package!r})
from host.clock import Clock
from host.errors import HostError
from host.kernel import LINUX
from host.locks import Locks
locks = Locks(LINUX, Clock(), lambda line: print(line, flush=True), {folder!r})
try:
    held = {take}
except HostError as error:
    sys.exit(str(error))
print("held", flush=True)
{then}
"""


@contextmanager
def process(folder: Path, take: str, then: str = "sys.stdin.read()") -> Iterator[subprocess.Popen[str]]:
    program = PROGRAM.format(package=str(ROOT / "webui_stack"), folder=f"{folder}/run", take=take, then=then)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-ISc", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def said(started: subprocess.Popen[str]) -> str:
    assert started.stdout
    return started.stdout.readline().strip()


def test_a_process_waits_for_another_names_it_and_goes_on_when_it_is_killed(tmp_path: Path) -> None:
    with process(tmp_path, "locks.data('backup', live=True)") as first:
        assert said(first) == "held"
        with process(tmp_path, "locks.work('deploy')") as second:
            line = said(second)
            assert line.startswith(f"still at work here: backup, process {first.pid}, since ")
            assert second.poll() is None
            first.kill()
            assert said(second) == "held"


def test_a_process_that_waits_past_its_limit_fails_visibly(tmp_path: Path) -> None:
    with process(tmp_path, "locks.work('restore')") as first:
        assert said(first) == "held"
        with process(tmp_path, "locks.data('backup', live=True, limit_s=0.2)") as second:
            _, err = second.communicate()
    assert second.returncode == 1
    assert err.startswith(f"backup: expected nobody else at work here, got {tmp_path}/run/work held for 0 s by restore")


@pytest.mark.parametrize("descriptors", ["held.descriptors", "()"], ids=["with the locks", "without"])
def test_a_child_that_got_the_locks_keeps_them_when_its_parent_is_killed(tmp_path: Path, descriptors: str) -> None:
    """As `docker compose up` that is still at work; a child that did not get them keeps nobody waiting."""
    child = f"subprocess.run(['sh', '-c', 'echo $$; exec sleep 60'], pass_fds={descriptors})"
    with process(tmp_path, "locks.work('deploy')", child) as first:
        assert said(first) == "held"
        child_pid = int(said(first))
        first.kill()
        first.wait()
        locks = Locks(LINUX, Clock(), lambda _: None, f"{tmp_path}/run")
        try:
            assert (locks.holder(WORK) is not None) is (descriptors == "held.descriptors")
        finally:
            os.kill(child_pid, 9)


def test_another_user_can_not_open_a_lock() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    with tempfile.TemporaryDirectory() as folder:
        Files().make_folder(folder, mode=0o755)
        Locks(LINUX, Clock(), print, f"{folder}/run").work("deploy").release()
        (Path(folder) / "run.work").touch(mode=0o644)

        def nobody_locks(path: str) -> int:
            ask = ["flock", "--nonblock", path, "true"]
            return subprocess.run(ask, user=65534, cwd="/", capture_output=True).returncode

        assert nobody_locks(f"{folder}/run.work") == 0, "this is how it was before there was a folder"
        assert nobody_locks(f"{folder}/run/work") != 0
