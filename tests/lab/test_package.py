"""Where no clone is: the wheel in a fresh environment, a new repository, and a repository of somebody's own."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import ROOT
from tests.lab.session import FRESH, NAME, Lab, changed, containers, report_in

pytestmark = pytest.mark.lab

PAGE = (ROOT / "docs/how-to/own-repository.md").read_text()
(DEPLOY,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "deploys.provision()" in code]


def run(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command typed there; nothing of this clone is on its Python's path."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LAB_NAME")}
    done = subprocess.run(
        [*map(str, words)], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout)
    return done


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and its locked runtime dependencies."""
    folder = tmp_path_factory.mktemp("package")
    uv = Path(sys.executable).with_name("uv")
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder / "dist", ROOT)
    assert run(folder, *build).returncode == 0
    assert run(folder, uv, "venv", "--quiet", "--python", sys.executable, folder / "venv").returncode == 0
    (wheel,) = (folder / "dist").iterdir()
    into: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", folder / "venv/bin/python"]
    for words in ([*into, "--require-hashes", "-r", ROOT / "requirements.txt"], [*into, "--no-deps", wheel]):
        done = run(folder, *words)
        assert done.returncode == 0
    return folder / "venv/bin"


@pytest.fixture(scope="module")
def data(lab: Lab, deployed: dict[str, Any]) -> dict[str, Any]:
    """What the lab's inventory has of the deployed host."""
    before = os.environ.get("LAB_NAME")
    os.environ["LAB_NAME"] = NAME
    try:
        hosts = dict(runpy.run_path(str(ROOT / "tests/lab/inventory.py"))["lab"])
    finally:
        os.environ.pop("LAB_NAME") if before is None else os.environ.update(LAB_NAME=before)
    found: dict[str, Any] = hosts[FRESH]
    return found


def test_a_new_repository_finds_the_stack_of_a_clone_as_its_own(
    lab: Lab, bin_folder: Path, data: dict[str, Any], tmp_path: Path
) -> None:
    before = containers(lab.host(FRESH))
    assert run(tmp_path, bin_folder / "webui-stack", "new", "chat").returncode == 0
    chat, servers = tmp_path / "chat", tmp_path / "chat/inventories/servers.py"
    servers.write_text(f"hosts = [({FRESH!r}, {data | {'open_webui_prot': 1}!r})]\n")
    refused = run(chat, bin_folder / "webui-stack", "check", "inventories/servers.py")
    assert refused.returncode == 1
    assert "open_webui_prot: expected a setting of this project, got an unknown name; did you mean" in refused.stdout

    servers.write_text(f"hosts = [({FRESH!r}, {data!r})]\n")
    assert run(chat, bin_folder / "webui-stack", "check", "inventories/servers.py").returncode == 0
    result = run(chat, bin_folder / "pyinfra", "-y", "--json", "inventories/servers.py", "deploy.py")
    assert result.returncode == 0
    assert changed(report_in(result.stdout)) == []
    assert containers(lab.host(FRESH)) == before
    # From another folder; the report is in the repository.
    assert run(tmp_path, bin_folder / "webui-stack", "backup", "chat/inventories/servers.py").returncode == 0
    listed = run(tmp_path, bin_folder / "webui-stack", "backups", "chat/inventories/servers.py")
    assert listed.returncode == 0
    newest = lab.host(FRESH).check_output("ls /var/backups/open-webui").split()[-1]
    assert newest in listed.stdout
    assert list((chat / "reports").glob("*/backups.json"))


def test_in_somebodys_repository_the_deploy_comes_between_their_own_operations(
    lab: Lab, bin_folder: Path, data: dict[str, Any], tmp_path: Path
) -> None:
    connection = {name: value for name, value in data.items() if name.startswith(("ssh_", "_"))}
    ours = {name: value for name, value in data.items() if name not in connection}
    (tmp_path / "inventory.py").write_text(
        f"hosts = [({FRESH!r}, {connection | {'port': 22, 'open_webui_stack': ours}!r})]\n"
    )
    (tmp_path / "deploy.py").write_text(DEPLOY)
    before = containers(lab.host(FRESH))
    result = run(tmp_path, bin_folder / "pyinfra", "-y", "inventory.py", "deploy.py")
    assert result.returncode == 0
    started = re.findall(r"--> Starting operation: (.*?) *\n", result.stdout)
    assert (started[0], started[-1]) == ("Before", "After")
    assert "Verify | Prove that websockets work" in started
    assert "PONG" in result.stdout
    assert containers(lab.host(FRESH)) == before
    assert json.dumps(started).count("Before") == 1
