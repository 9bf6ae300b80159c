"""A verb that changes the host goes on when its caller is gone, and a later run is told what became of it."""

from __future__ import annotations

import compileall
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from webui_stack.host import protocol
from webui_stack.host.protocol import Event, Failure, Request, Result
from webui_stack.render import host_program

# Verbs that a test can follow and hold up: they wait until a file is there.
VERBS = """
import os, time
from ..errors import HostError
from ..protocol import Event

def waits(arguments, emit):
    emit(Event("begun"))
    for _ in range(3000):  # a minute: a test that failed must leave nothing at work
        if os.path.exists(arguments["until"]):
            break
        time.sleep(0.02)
    with open(arguments["done"], "w") as done:
        done.write("%d %d %s" % (os.getpid(), os.getsid(0), os.getcwd()))
    return {"of": arguments["of"]}

def refuses(arguments, emit):
    raise HostError("disk", expected="room", got="none", do="free some")

def dies(arguments, emit):
    emit(Event("begun"))
    os.kill(os.getpid(), 9)

VERBS = {"waits": waits, "refuses": refuses, "dies": dies}
DETACHED = frozenset(VERBS)
"""


class Caller:
    """The program in a folder of its own, with these verbs; what its workers leave is in `records`."""

    def __init__(self, folder: Path) -> None:
        self.place, self.records, self.systemd = folder / "program", folder / "run/records", folder / "systemd"
        with tarfile.open(fileobj=io.BytesIO(host_program.archive())) as archive:
            archive.extractall(self.place, filter="data")
        (self.place / "host/verbs/__init__.py").write_text(VERBS)
        self._change("worker", 'FOLDER = f"{RUN_FOLDER}/workers"', f"FOLDER = {str(self.records)!r}")
        self._change("system", 'SYSTEMD = "/run/systemd/system"', f"SYSTEMD = {str(self.systemd)!r}")
        compileall.compile_dir(self.place, quiet=1)

    def _change(self, module: str, before: str, after: str) -> None:
        path = self.place / f"host/{module}.py"
        text = path.read_text()
        assert text.count(before) == 1
        path.write_text(text.replace(before, after))

    def begin(self, verb: str, **arguments: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(self.place), verb],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        process.stdin.write(Request(verb, "token", arguments).line() + "\n")
        process.stdin.close()
        process.stdin = None
        return process

    def ask(self, verb: str, **arguments: Any) -> list[protocol.Answer]:
        said, errors = self.begin(verb, **arguments).communicate(timeout=30)
        assert errors == ""
        return answers(said)

    @property
    def left(self) -> list[str]:
        return sorted(path.name for path in self.records.iterdir()) if self.records.exists() else []


def answers(said: str) -> list[protocol.Answer]:
    found = [protocol.read("token", line) for line in said.splitlines()]
    return [answer for answer in found if answer is not None]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    return Caller(tmp_path_factory.mktemp("host"))


@pytest.fixture
def caller(sent: Caller) -> Iterator[Caller]:
    yield sent
    shutil.rmtree(sent.records, ignore_errors=True)
    shutil.rmtree(sent.systemd, ignore_errors=True)


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError("it was not so in ten seconds")


def test_its_events_and_its_result_are_passed_on_and_nothing_is_left(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    found = caller.ask("waits", until=str(tmp_path / "go"), done=str(tmp_path / "done"), of=3)
    assert found == [Event("begun"), Result({"of": 3})]
    assert caller.left == []
    for folder in (caller.records, caller.records.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_its_error_is_passed_on(caller: Caller) -> None:
    assert caller.ask("refuses") == [Failure("disk", "room", "none", "free some")]
    assert caller.left == []


def test_it_is_in_a_session_of_its_own_and_keeps_no_folder_busy(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    caller.ask("waits", until=str(tmp_path / "go"), done=str(tmp_path / "done"), of=3)
    pid, session, folder = (tmp_path / "done").read_text().split()
    assert pid == session
    assert folder == "/"


# Not SIGINT and SIGHUP: these tests may run where both are ignored, as in the background of a script.
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_it_goes_on_when_its_caller_is_gone_and_a_later_run_is_told(
    caller: Caller, tmp_path: Path, how: signal.Signals
) -> None:
    first = caller.begin("waits", until=str(tmp_path / "go"), done=str(tmp_path / "done"), of=3)
    assert first.stdout
    assert answers(first.stdout.readline() + first.stdout.readline()) == [Event("begun")]
    first.send_signal(how)
    first.communicate(timeout=30)
    assert first.returncode
    beside = caller.ask("refuses")
    assert beside == [Failure("disk", "room", "none", "free some")], "it still runs: nothing is known of it"
    assert len(caller.left) == 1
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists)
    until(lambda: "result" in (caller.records / caller.left[0]).read_text())
    told, failure = told_and_rest(caller)
    assert told == Event("an earlier run of waits went on by itself: it ended well")
    assert isinstance(failure, Failure)
    assert caller.left == []


def told_and_rest(caller: Caller) -> list[protocol.Answer]:
    """A later run, as soon as the worker of before has left its lock."""
    for _ in range(100):
        found = caller.ask("refuses")
        if len(found) > 1:
            return found
        time.sleep(0.05)
    raise AssertionError("nothing was told")


def test_a_caller_whose_reader_is_gone_ends_and_leaves_the_worker_at_work(caller: Caller, tmp_path: Path) -> None:
    first = caller.begin("waits", until=str(tmp_path / "go"), done=str(tmp_path / "done"), of=3)
    assert first.stdout
    first.stdout.readline()
    first.stdout.close()
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists)
    assert first.wait(timeout=30) != 0


def test_a_worker_that_was_killed_is_an_error_and_its_record_says_so_later(caller: Caller) -> None:
    begun, failure = caller.ask("dies")
    assert begun == Event("begun")
    assert str(failure) == (
        "verb dies: expected an answer, got an end of its process (exit status -9); run it again: that finishes what "
        "was begun, or puts it back"
    )
    told, _ = caller.ask("refuses")
    assert told == Event("an earlier run of dies went on by itself: it was cut off")
    assert caller.left == []


def test_a_record_that_is_new_and_not_begun_is_left_alone(caller: Caller) -> None:
    caller.records.mkdir(mode=0o700, parents=True)
    (caller.records / "waits-1-1.jsonl").touch()
    assert len(caller.ask("refuses")) == 1
    os.utime(caller.records / "waits-1-1.jsonl", (1, 1))
    told, _ = caller.ask("refuses")
    assert told == Event("an earlier run of waits went on by itself: it was cut off")


@pytest.mark.parametrize("answer", ["no bus", "a scope"])
def test_with_systemd_it_is_in_a_scope_or_where_systemd_can_not_be_asked_without(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    caller.systemd.mkdir()
    (tmp_path / "go").touch()
    run = tmp_path / "bin/systemd-run"
    run.parent.mkdir()
    then = (
        'while [ "$1" != -- ]; do shift; done; shift; exec "$@"' if answer == "a scope" else "echo no bus >&2; exit 1"
    )
    run.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n{then}\n')
    run.chmod(0o755)
    monkeypatch.setenv("PATH", f"{run.parent}:{os.environ['PATH']}")
    found = caller.ask("waits", until=str(tmp_path / "go"), done=str(tmp_path / "done"), of=3)
    assert found == [Event("begun"), Result({"of": 3})]
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("--scope --quiet --collect --unit=open-webui-stack-waits-")
    assert asked.count("\n") == 1


def test_the_request_is_on_no_command_line_and_in_no_file(caller: Caller, tmp_path: Path) -> None:
    first = caller.begin(
        "waits", until=str(tmp_path / "go"), done=str(tmp_path / "done"), of=3, password="hunter2secret"
    )
    assert first.stdout
    first.stdout.readline()
    first.stdout.readline()
    for path in [*Path("/proc").glob("[0-9]*/cmdline"), *caller.records.iterdir()]:
        try:
            assert b"hunter2secret" not in path.read_bytes(), path
        except OSError:
            continue  # a process that has ended
    (tmp_path / "go").touch()
    first.communicate(timeout=30)
