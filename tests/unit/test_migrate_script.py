"""What moves rows to Postgres never takes a volume that it could not look into for an empty one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.defaults import settings
from webui_stack import templates

COMPOSE = "services:\n  open-webui:\n    container_name: open-webui\n"
ON_POSTGRES = f"{COMPOSE}  postgres:\n    container_name: open-webui-postgres\n"


def call(path: Path, function: str, *, volumes: str, looked_into: str) -> subprocess.CompletedProcess[str]:
    """Call a function of the script; its Docker lists `volumes`, and answers `looked_into` what is in one."""
    docker = path / "docker"
    docker.write_text(
        '#!/bin/sh\ncase $* in\n"volume inspect"*) ' + f"{volumes} >/dev/null ;;\n"
        f'"volume ls"*) {volumes} ;;\n"run "*PG_VERSION*) {looked_into} ;;\n'
        '"ps --all --format {{.Names}}") echo open-webui ;;\n'
        '"inspect --type container --format {{.Image}}"* | "image inspect"*) echo sha256:1 ;;\n'
        f'*) echo "$*" >>{path}/acted; exit 1 ;;\nesac\n'
    )
    docker.chmod(0o755)
    some = settings(
        open_webui_replicas=2,
        public_url="https://chat.example.org",
        stack_dir=str(path / "stack"),
        postgres_volume="pg",
    )
    script = "\n".join(templates.migrate_script(some, "copy")).rpartition("main")[0]
    head = f"dir={path}/stack good=$dir/.good tools=image postgres=image postgres_volume=pg"
    return subprocess.run(
        ["sh"],
        input=f"{script}\n{head}\n{function}; echo status $?\n",
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"},
    )


@pytest.mark.parametrize(
    ("volumes", "looked_into", "status"),
    [
        pytest.param("echo other", "exit 1", 1, id="no such volume"),
        pytest.param("echo pg", ":", 1, id="an empty volume"),
        pytest.param("echo pg", "echo 17", 0, id="a database's"),
        pytest.param("echo pg", "exit 125", 0, id="not looked into"),
        pytest.param("exit 1", "echo 17", 0, id="no answer"),
    ],
)
def test_only_a_volume_that_was_looked_into_has_no_data(
    tmp_path: Path, volumes: str, looked_into: str, status: int
) -> None:
    done = call(tmp_path, "has_cluster", volumes=volumes, looked_into=looked_into)
    assert done.stdout.splitlines()[-1] == f"status {status}"


@pytest.mark.parametrize("looked_into", ["echo 17", "exit 125"])
def test_a_volume_that_may_have_data_is_refused_and_nobody_is_told_to_remove_it(
    tmp_path: Path, looked_into: str
) -> None:
    good = tmp_path / "stack/.good"
    good.mkdir(parents=True)
    (good / "compose.yaml").write_text(COMPOSE)
    done = call(tmp_path, "copy", volumes="echo pg", looked_into=looked_into)
    assert "it may be the one people use. Keep it, and set another postgres_volume" in done.stdout
    assert "volume rm" not in done.stdout
    assert done.stdout.splitlines()[-1] == "status 1"
    assert not (tmp_path / "acted").exists()


@pytest.mark.parametrize("remembered", [None, "", ON_POSTGRES])
def test_rows_are_taken_only_from_a_deploy_that_is_known_to_be_on_sqlite(
    tmp_path: Path, remembered: str | None
) -> None:
    """A file that a power cut left empty says nothing of where people are."""
    good = tmp_path / "stack/.good"
    good.mkdir(parents=True)
    if remembered is not None:
        (good / "compose.yaml").write_text(remembered)
    done = call(tmp_path, "copy", volumes="echo other", looked_into="exit 1")
    assert "migrate: expected a good deploy on SQLite, got none" in done.stdout
    assert not (tmp_path / "acted").exists()


def test_no_script_advises_to_remove_a_volume() -> None:
    for template in (Path(templates.__file__).parents[1] / "templates").glob("*.sh.j2"):
        assert "volume rm" not in template.read_text(), template.name
