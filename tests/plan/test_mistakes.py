"""A mistake in the command or the inventory ends in one line and a status that scripts can tell from success."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.defaults import ROOT
from tests.forks import Ended, Forks
from tests.plan.conftest import Pyinfra, fresh, machine
from tests.plan.conftest import answering as answer

PYINFRA = str(Path(sys.executable).with_name("pyinfra"))


def alone(*arguments: str, folder: Path = ROOT) -> Ended:
    """`pyinfra ARGUMENTS` as a shell starts it, with no terminal to answer on."""
    done = subprocess.run(
        [PYINFRA, *arguments],
        cwd=folder,
        env={**os.environ, "PYINFRA_PROGRESS": "off"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def lasting(text: str) -> str:
    """Output less what is another in each run: times of day and durations."""
    return re.sub(r"\d+(\.\d+)? ?s\b|\d{4}-?\d\d-?\d\dT?[\d:Z]*", "", text)


INVENTORIES = {
    "hosts = []\n": "expected at least one host, got none",
    "hosts = [('a', {'_sudo': true})]\n": "line 1: expected True, got true",
    "hosts = [('a', {'_sudo': True}\nx = 1\n": "line 1: expected Python, got a mistake ('(' was never closed)",
    "hosts = [('', {})]\n": "expected a name for each host, got an empty one",
    "import no_such_module\nhosts = ['a']\n": "line 1: ModuleNotFoundError: No module named 'no_such_module'",
}


@pytest.mark.parametrize("text", INVENTORIES)
def test_a_mistake_in_the_inventory_is_one_line(forks: Forks, tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    ended = forks.run("-y", str(tmp_path / "mine.py"), "deploy.py")
    assert INVENTORIES[text] in ended.output.splitlines()[-1]
    assert str(tmp_path / "mine.py") in ended.output.splitlines()[-1]
    assert "Traceback" not in ended.output
    assert ended.status == 2


def test_a_mistyped_inventory_names_the_likely_one(forks: Forks) -> None:
    ended = forks.run("-y", "inventories/singel.example.py", "deploy.py")
    assert "did you mean inventories/single.example.py?" in ended.output.splitlines()[-1]
    assert ended.status == 2


def test_a_limit_that_matches_nobody_is_no_success(forks: Forks, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("hosts = ['@fake/one', '@fake/two']\n")
    ended = forks.run("-y", str(tmp_path / "mine.py"), "deploy.py", "--limit", "nobody")
    assert "expected a host of" in ended.output.splitlines()[-1]
    assert "it has @fake/one, @fake/two" in ended.output.splitlines()[-1]
    assert ended.status == 2


def test_data_without_a_value_is_one_line(forks: Forks, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("hosts = ['@fake/one']\n")
    ended = forks.run(str(tmp_path / "mine.py"), "deploy.py", "--data", "x")
    assert "--data: expected NAME=VALUE, got no =" in ended.output.splitlines()[-1]
    assert ended.status == 2


def test_a_question_without_a_terminal_says_what_to_add(forks: Forks, tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text("from pyinfra.operations import server\nserver.shell(commands=['true'])\n")
    ended = forks.run("@fake/one", str(tmp_path / "nothing.py"))
    assert "add -y" in ended.output.splitlines()[-1]
    assert ended.status == 2


def test_a_run_from_another_folder_finds_the_project(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("hosts = [('@fake/one', {'open_webui_port': 0})]\n")
    ended = alone("-y", str(tmp_path / "mine.py"), str(ROOT / "deploy.py"), folder=tmp_path)
    assert "@fake/one / open_webui_port: expected a TCP port" in ended.output, (
        "`make setup` puts this clone on Python's path"
    )
    assert "Traceback" not in ended.output
    assert ended.status == 2


@pytest.mark.parametrize("arguments", [["deploy.py", "--dry"], ["runbooks/verify.py", "-y"]])
def test_a_fork_says_what_a_run_of_its_own_says(forks: Forks, tmp_path: Path, arguments: list[str]) -> None:
    """Most tests here run forks of one loaded pyinfra in its place."""
    inventory = str(tmp_path / "mine.py")
    (tmp_path / "mine.py").write_text("hosts = ['@fake/one']\n")
    fork, own = forks.run(inventory, *arguments), alone(inventory, *arguments)
    assert fork.status == own.status
    assert (lasting(fork.stdout), lasting(fork.stderr)) == (lasting(own.stdout), lasting(own.stderr))


def test_the_traceback_is_there_with_debug(forks: Forks, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("hosts = [('a', {'_sudo': true})]\n")
    ended = forks.run("-y", "--debug", str(tmp_path / "mine.py"), "deploy.py")
    assert "NameError: name 'true' is not defined" in ended.output


def test_a_dry_run_of_a_host_that_would_be_refused_fails(pyinfra: Pyinfra) -> None:
    small = answer(fresh(), machine=machine(memory_kb=100_000))
    refused = pyinfra({"small": small, "good": fresh()}, "--dry")
    assert "would stop here: " in refused.output
    assert refused.status == 1
    assert pyinfra({"good": fresh()}, "--dry").status == 0


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    slow = "import time\nfrom pyinfra.operations import python\npython.call(function=lambda: time.sleep(30))\n"
    (tmp_path / "slow.py").write_text(slow)
    command = [PYINFRA, "-y", "@fake/one", str(tmp_path / "slow.py")]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYINFRA_PROGRESS": "off"}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:  # it sleeps once the operation has started
        if "Starting operation" in line:
            break
    time.sleep(0.5)  # between that line and the sleep there is nothing to look for
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert "interrupted; run the same command again" in said
    assert "A host goes on to the end of the step that it is busy with" in said
    assert process.wait(timeout=20) == 130
