"""The wheel has all of the project that a run needs, and nothing that only its makers need."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import webui_stack
from tests.defaults import ROOT


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


def test_unpacked_elsewhere_it_finds_its_own_files(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import pathlib, webui_stack; from webui_stack import deploys; "
        "from webui_stack.settings.model import defaults; from webui_stack.render import host_program; "
        "import webui_stack.tasks.preflight; "
        "print(pathlib.Path(webui_stack.__file__).parents[1]); print(deploys.file('deploy.py')); "
        "print(deploys.file('runbooks/status.py').is_file(), len(defaults()) > 100, host_program.digest())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    folder, deploy, sound = done.stdout.splitlines()
    assert folder == str(tmp_path)
    assert deploy == str(tmp_path / "webui_stack/deploy.py")
    from webui_stack.render import host_program

    assert sound == f"True True {host_program.digest()}", "the same program as a clone sends"
