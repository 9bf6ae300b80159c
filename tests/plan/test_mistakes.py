"""A mistake in the command or the inventory ends in one line and a status that scripts can tell from success."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.defaults import ROOT
from tests.plan.conftest import Pyinfra, fresh, machine
from tests.plan.conftest import answering as answer

PYINFRA = str(Path(sys.executable).with_name("pyinfra"))


def run(*arguments: str, folder: Path = ROOT) -> tuple[int, str]:
    """Status and output of `pyinfra ARGUMENTS` with no terminal to answer on."""
    done = subprocess.run(
        [PYINFRA, *arguments],
        cwd=folder,
        env={**os.environ, "PYINFRA_PROGRESS": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


INVENTORIES = {
    "hosts = []\n": "expected at least one host, got none",
    "hosts = [('a', {'_sudo': true})]\n": "line 1: expected True, got true",
    "hosts = [('a', {'_sudo': True}\nx = 1\n": "line 1: expected Python, got a mistake ('(' was never closed)",
    "hosts = [('', {})]\n": "expected a name for each host, got an empty one",
    "import no_such_module\nhosts = ['a']\n": "line 1: ModuleNotFoundError: No module named 'no_such_module'",
}


@pytest.mark.parametrize("text", INVENTORIES)
def test_a_mistake_in_the_inventory_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    status, output = run("-y", str(tmp_path / "mine.py"), "deploy.py")
    assert INVENTORIES[text] in output.splitlines()[-1]
    assert str(tmp_path / "mine.py") in output.splitlines()[-1]
    assert "Traceback" not in output
    assert status == 2


def test_a_mistyped_inventory_names_the_likely_one() -> None:
    status, output = run("-y", "inventories/singel.example.py", "deploy.py")
    assert "did you mean inventories/single.example.py?" in output.splitlines()[-1]
    assert status == 2


def test_a_limit_that_matches_nobody_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("hosts = ['@fake/one', '@fake/two']\n")
    status, output = run("-y", str(tmp_path / "mine.py"), "deploy.py", "--limit", "nobody")
    assert "expected a host of" in output.splitlines()[-1]
    assert "it has @fake/one, @fake/two" in output.splitlines()[-1]
    assert status == 2


def test_data_without_a_value_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("hosts = ['@fake/one']\n")
    status, output = run(str(tmp_path / "mine.py"), "deploy.py", "--data", "x")
    assert "--data: expected NAME=VALUE, got no =" in output.splitlines()[-1]
    assert status == 2


def test_a_question_without_a_terminal_says_what_to_add(tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text("from pyinfra.operations import server\nserver.shell(commands=['true'])\n")
    status, output = run("@fake/one", str(tmp_path / "nothing.py"))
    assert "add -y" in output.splitlines()[-1]
    assert status == 2


def test_a_run_from_another_folder_finds_the_project(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("hosts = [('@fake/one', {'open_webui_port': 0})]\n")
    status, output = run("-y", str(tmp_path / "mine.py"), str(ROOT / "deploy.py"), folder=tmp_path)
    assert "@fake/one / open_webui_port: expected a TCP port" in output, "`make setup` puts this clone on Python's path"
    assert "Traceback" not in output
    assert status == 2


def test_the_traceback_is_there_with_debug(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("hosts = [('a', {'_sudo': true})]\n")
    _, output = run("-y", "--debug", str(tmp_path / "mine.py"), "deploy.py")
    assert "NameError: name 'true' is not defined" in output


def test_a_dry_run_of_a_host_that_would_be_refused_fails(pyinfra: Pyinfra) -> None:
    small = answer(fresh(), machine=machine(memory_kb="100000"))
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
    assert "interrupted; run the same command again" in process.stderr.read()
    assert process.wait(timeout=20) == 130
