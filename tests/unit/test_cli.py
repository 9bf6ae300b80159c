"""The command `webui-stack`: a verb is the pyinfra command that it prints; `new` and `check` need no clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

import webui_stack
from tests.defaults import ROOT
from tests.forks import Ended, Forks
from webui_stack import cli
from webui_stack.settings.model import Settings


def asked(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[list[str], str]:
    """The program that a command becomes, and what it printed before."""
    became: list[list[str]] = []

    def execv(path: str, arguments: list[str]) -> None:
        assert path == sys.executable
        became.append(arguments)

    monkeypatch.setattr(os, "execv", execv)
    result = CliRunner().invoke(cli.main, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (arguments,) = became
    assert arguments[:2] == [sys.executable, "-m"]
    return arguments[2:], result.output


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's repository, with this process in it."""
    folder = tmp_path / "chat"
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli.main, ["new", str(folder)]).exit_code == 0
    monkeypatch.chdir(folder)
    return folder


def test_every_verb_is_a_deploy_file_and_every_option_a_setting() -> None:
    for verb in cli.VERBS.values():
        assert (ROOT / verb.file).is_file()
        assert {one.setting for one in verb.options} <= Settings.model_fields.keys()


def test_every_deploy_file_has_a_verb() -> None:
    files = {"deploy.py", *(f"runbooks/{path.name}" for path in (ROOT / "runbooks").glob("*.py"))}
    assert {verb.file for verb in cli.VERBS.values()} == files


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["deploy"], ["deploy.py"]),
        (["deploy", "-y"], ["-y", "deploy.py"]),
        (["deploy", "--dry", "--diff"], ["--dry", "--diff", "deploy.py"]),
        (["deploy", "--adopt"], ["deploy.py", "--data", "stack_adopt=true"]),
        (["verify"], ["-y", "runbooks/verify.py"]),
        (
            ["restore", "--host", "a", "--set", "20261126T033000Z", "--over", "a", "--over", "b"],
            [
                *("runbooks/restore.py", "--data", "restore_set=20261126T033000Z"),
                *("--data", 'restore_over=["a", "b"]', "--limit", "a"),
            ],
        ),
        (["upgrade", "--no-rehearsal"], ["runbooks/upgrade.py", "--data", "upgrade_rehearse=false"]),
        (["deploy", "--data", "open_webui_port=3001"], ["deploy.py", "--data", "open_webui_port=3001"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_verb_becomes_the_pyinfra_command_that_it_prints(
    repository: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], command: list[str]
) -> None:
    verb, *options = words
    became, printed = asked(monkeypatch, verb, "inventories/servers.py", *options)
    flags = [word for word in command if word in ("-y", "--dry", "--diff")]
    file, *rest = command[len(flags) :]
    expected = file if (repository / file).is_file() else str(ROOT / file)
    assert became == ["pyinfra", *flags, "inventories/servers.py", expected, *rest]
    assert printed.startswith("$ pyinfra ")
    for word in rest:
        assert word.split("=")[0] in printed


def test_from_another_folder_a_run_begins_in_the_inventorys_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.parent)
    became, printed = asked(monkeypatch, "deploy", "chat/inventories/servers.py")
    assert became == ["pyinfra", "inventories/servers.py", "deploy.py"]
    assert printed == f"$ cd {repository} && pyinfra inventories/servers.py deploy.py\n"
    assert Path.cwd() == repository


def test_hosts_in_place_of_a_file_are_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    became, _ = asked(monkeypatch, "status", "chat.example.org")
    assert became == ["pyinfra", "-y", "chat.example.org", str(ROOT / "runbooks/status.py")]


# --- new


def test_a_new_repository_has_all_it_takes(repository: Path) -> None:
    files = {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()}
    assert files == {
        *(".gitignore", "README.md", "config.py", "deploy.py", "requirements.txt"),
        *("inventories/servers.py", "inventories/group_data/all.py"),
    }
    assert (repository / "requirements.txt").read_text() == f"open-webui-stack=={webui_stack.__version__}\n"
    assert "/reports/" in (repository / ".gitignore").read_text()


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "deploy.py").write_text("mine")
    result = CliRunner().invoke(cli.main, ["new", str(tmp_path)])
    assert result.exit_code == 1
    assert "deploy.py: expected no such file, got one; choose a new folder" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["deploy.py"]


# --- check


@pytest.fixture
def check(forks: Forks, repository: Path) -> Callable[..., Ended]:
    """`webui-stack check` on the repository's inventory, with more words."""
    return partial(forks.run, "check", "inventories/servers.py", command="webui-stack", folder=repository)


def check_alone(repository: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: pyinfra's command line changes the threads of the one that loads it."""
    return subprocess.run(
        [sys.executable, "-c", "from webui_stack.cli import main; main()", "check", "inventories/servers.py"],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_sound_settings_are_told_without_a_host_in_reach(repository: Path) -> None:
    done = check_alone(repository)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1 host: all settings are sound (open-webui-stack {webui_stack.__version__})\n"


def test_every_problem_of_every_host_is_told(check: Callable[..., Ended], repository: Path) -> None:
    (repository / "inventories/servers.py").write_text(
        'hosts = [("a", {"open_webui_prot": 1}), ("b", {"open_webui_port": 0}), ("c", {})]\n'
    )
    done = check()
    assert done.status == 1
    assert "a / open_webui_prot: expected a setting of this project, got an unknown name; did you mean" in done.stderr
    assert "b / open_webui_port: expected" in done.stderr
    assert "Error: 2 problems in the settings" in done.stderr
    assert check("--host", "c").status == 0
    assert "--host: expected a host or group of the inventory, got d; it has a, b, c" in check("--host", "d").stderr


def test_settings_under_one_key_are_merged_from_the_outermost_place_in(
    check: Callable[..., Ended], repository: Path
) -> None:
    (repository / "inventories/group_data/all.py").write_text(
        'open_webui_stack = {"open_webui_port": 3001, "open_webui_image": "x:latest"}\nport = 22\n'
    )
    (repository / "inventories/group_data/web.py").write_text('open_webui_stack = {"open_webui_port": 0}\n')
    servers = repository / "inventories/servers.py"
    servers.write_text(
        'web = [("a", {"open_webui_stack": {"open_webui_image": "ghcr.io/x/y:v1.0.0"}}), "b"]\nother = ["c"]\n'
    )
    done = check()
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        *("a / open_webui_port", "b / open_webui_image", "b / open_webui_port", "c / open_webui_image"),
        "Error",
    ], "`port` is somebody else's"
    servers.write_text('web = [("a", {"open_webui_stack": [1]})]\n')
    assert "a / open_webui_stack: expected a dictionary of settings, got list (host a); write" in check().stderr
    assert json.dumps(check("--data", "x").stderr).count("expected NAME=VALUE") == 1
