"""The wheel has all of the project that a run needs, and nothing that only its makers need."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import webui_stack
from tests.defaults import ROOT
from webui_stack import shipped


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_its_name_has_the_version(wheel: Path) -> None:
    assert wheel.name == f"open_webui_stack-{webui_stack.__version__}-py3-none-any.whl"


@pytest.mark.parametrize("folder", ["monitoring", "tasks", "runbooks", "templates"])
def test_every_file_that_lies_beside_the_library_is_within_it(names: set[str], folder: str) -> None:
    tracked = subprocess.run(["git", "ls-files", folder], cwd=ROOT, check=True, capture_output=True, text=True)
    files = {f"webui_stack/{name}" for name in tracked.stdout.split()}
    assert files
    assert files - names == set()


def test_it_has_the_deploy_the_defaults_the_hosts_program_and_a_starter(names: set[str]) -> None:
    assert {
        "webui_stack/deploy.py",
        "webui_stack/inventories/group_data/all.py",
        "webui_stack/host/__main__.py",
        "webui_stack/host/data/roles.sql",
        "webui_stack/reports/report.html.j2",
        "webui_stack/starter/files/gitignore",
        f"open_webui_stack-{webui_stack.__version__}.dist-info/licenses/LICENSE",
    } <= names


def test_everything_is_below_one_package(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names} == {
        "webui_stack",
        f"open_webui_stack-{webui_stack.__version__}.dist-info",
    }
    assert [name for name in names if name.endswith(".pyc") or "/tests/" in name] == []


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put on Python's path, as if the wheel were installed."""
    folder = tmp_path_factory.mktemp("site-packages")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def by_the_wheel(unpacked: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`webui-stack WORDS` in a folder."""
    code = "import sys; from webui_stack.cli import main; sys.argv[0] = 'webui-stack'; main()"
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_message_that_names_a_runbook_names_the_command_that_the_wheel_has(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "deploy.py").write_text("from webui_stack import deploys\ndeploys.provision()\n")
    (tmp_path / "mine.py").write_text("hosts = [('@local', {'lock_file': 'gone.toml'})]\n")
    ran = by_the_wheel(unpacked, tmp_path, "deploy", "mine.py", "--dry")
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (2, "$ pyinfra --dry mine.py deploy.py")
    assert "lock_file: expected gone.toml, got no such file; run webui-stack lock mine.py\n" in ran.stderr
    (tmp_path / "mine.py").write_text("hosts = [('chat', {'restore_set': 'old'})]\n")
    checked = by_the_wheel(unpacked, tmp_path, "check", "mine.py")
    assert "; e.g. '20261126T033000Z'; webui-stack backups mine.py lists them\n" in checked.stderr


def test_a_runbook_that_the_operator_has_keeps_its_name(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "from webui_stack import shipped; "
        "print(shipped.as_typed('`pyinfra INVENTORY runbooks/backup.py` makes one; runbooks/alarm_test.py', 'my file'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}

    def said() -> str:
        return subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, env=environment, text=True)

    assert said() == "`webui-stack backup 'my file'` makes one; webui-stack alarm-test 'my file'\n"
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks/backup.py").touch()
    assert said() == "`pyinfra INVENTORY runbooks/backup.py` makes one; webui-stack alarm-test 'my file'\n"


def test_a_clone_keeps_the_names_of_its_runbooks() -> None:
    assert shipped.as_typed("run runbooks/backup.py", "mine.py") == "run runbooks/backup.py"


def test_unpacked_elsewhere_it_finds_its_own_files(unpacked: Path) -> None:
    code = (
        "import pathlib, webui_stack; from webui_stack import deploys; "
        "from webui_stack.settings.model import defaults; from webui_stack.render import host_program; "
        "import webui_stack.tasks.preflight; "
        "print(pathlib.Path(webui_stack.__file__).parents[1]); print(deploys.file('deploy.py')); "
        "print(deploys.file('runbooks/status.py').is_file(), len(defaults()) > 100, host_program.digest())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=unpacked, check=True, capture_output=True, text=True)
    folder, deploy, sound = done.stdout.splitlines()
    assert folder == str(unpacked)
    assert deploy == str(unpacked / "webui_stack/deploy.py")
    from webui_stack.render import host_program

    assert sound == f"True True {host_program.digest()}", "the same program as a clone sends"
