"""Who waits for whom on a host: only root may lock, nobody waits for ever, and who holds a lock is told."""

from __future__ import annotations

import fcntl
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import ROOT, settings
from webui_stack import compose, lease, templates


def moved(script: str, root: Path) -> str:
    """The script with its files in /run in another folder, where it waits for a second."""
    return script.replace("/run/open-webui-stack", f"{root}/run").replace(
        f"--timeout {compose.LOCK_WAIT_S} ", "--timeout 1 "
    )


def run(root: Path, then: str) -> subprocess.CompletedProcess[str]:
    """The locks are taken as by a deploy, then something is done with them held."""
    script = templates.upgrade_script(settings(), [])
    functions = script[script.index("\nalone() {") :].removesuffix("main\n").removesuffix("main")
    return subprocess.run(["sh", "-euc", moved(functions, root) + then], capture_output=True, text=True)


def is_free(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.parametrize("path", sorted((ROOT / "templates").glob("*.sh.j2")), ids=lambda path: path.name)
def test_nobody_waits_for_a_lock_for_ever(path: Path) -> None:
    code = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    waits = [line for line in code if re.search(r"\bflock ", line)]
    assert [line for line in waits if "--timeout" not in line and "--nonblock" not in line] == []


def test_both_locks_are_held_until_the_end_in_a_folder_that_is_roots_alone(tmp_path: Path) -> None:
    others = f"for file in {tmp_path}/run/*; do ! flock --nonblock $file true || echo $file; done"
    ran = run(tmp_path, f"alone deploy; {others}; stat -c %a {tmp_path}/run")
    assert (ran.stdout, ran.stderr) == ("700\n", "")
    assert is_free(tmp_path / "run/work")
    assert is_free(tmp_path / "run/containers")


@pytest.mark.parametrize(
    ("lock", "held_by", "told"),
    [
        ("run/work", "backup, process 17, since 03:00:00 UTC\n", "by backup, process 17, since 03:00:00 UTC"),
        ("run/containers", "watchdog, process 18\n", "by watchdog, process 18"),
        ("run.work", "", "by an unknown process, see lslocks"),  # of the version of before
    ],
)
def test_who_holds_a_lock_for_too_long_is_told(tmp_path: Path, lock: str, held_by: str, told: str) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / lock
    path.write_text(held_by)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ran = run(tmp_path, "alone deploy; echo went on")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"deploy: expected nobody else at work here, got {path} held for")
    assert told in ran.stderr


class Machine:
    """A host for the lease: its commands run here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []

    def log(self, line: str) -> None:
        self.said.append(line)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run_here(host: Machine, script: str) -> list[str]:
        return subprocess.check_output(["sh", "-c", moved(script, host.root)], text=True).splitlines()

    monkeypatch.setattr("webui_stack.remote.run", run_here)
    return Machine(tmp_path)


def test_the_lease_is_in_a_folder_that_is_roots_alone(machine: Any) -> None:
    problems, held = lease.take(machine)
    assert problems == []
    assert held
    assert (machine.root / "run").stat().st_mode & 0o777 == 0o700
    assert (machine.root / "run/lease").read_text().startswith(f"{lease.operator()}:")
    held.leave()
    assert [path.name for path in machine.root.iterdir()] == []


@pytest.mark.parametrize("path", ["run/lease", "run.lease"], ids=["of this version", "of the version of before"])
def test_somebody_elses_lease_is_heeded_wherever_it_is(machine: Any, path: str) -> None:
    (machine.root / "run").mkdir()
    (machine.root / path).write_text(f"mallory@elsewhere:4711 {time.time():.0f} {time.time() + 60:.0f}\n")
    problems, held = lease.take(machine)
    assert held is None
    assert "got mallory@elsewhere:4711 since" in problems[0]


def test_what_the_version_of_before_has_left_is_taken_away(machine: Any) -> None:
    for name in ("run.lease", "run.lease.lock", "run.work"):
        (machine.root / name).write_text("mallory@elsewhere:4711 0 1\n" if name == "run.lease" else "")
    problems, held = lease.take(machine)
    assert problems == []
    assert held
    held.release()
    assert [path.name for path in machine.root.iterdir()] == ["run"]


@pytest.mark.parametrize("lock", ["run/work", "run.work"])
def test_whose_work_is_waited_for_is_told(machine: Any, lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.root / "run").mkdir()
    path = machine.root / lock
    path.write_text("backup, process 17, since 03:00:00 UTC\n")
    file = path.open("a")
    fcntl.flock(file, fcntl.LOCK_EX)
    monkeypatch.setattr("gevent.sleep", lambda _: file.close())
    problems, held = lease.take(machine)
    assert problems == []
    assert held
    assert machine.said == ["still at work here: backup, process 17, since 03:00:00 UTC; waiting for it to end"]
