"""What happened to a host's stack before, and where people's data are: no answer is never "nowhere"."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.host.asking import silent
from tests.host.fake_engine import FakeEngine
from tests.host.fake_system import FakeSystem
from webui_stack.host import history
from webui_stack.host.clock import Clock
from webui_stack.host.engine import Engine, Refused
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.holder import Holder
from webui_stack.host.journal import Journal, Step
from webui_stack.host.system import System

STACK, ROOT = "/opt/stack", "/var/lib/docker"


def database_of(host: FakeSystem, engine: Engine) -> str:
    return history.database(
        *(host, engine),
        stack_dir=STACK,
        docker_root=ROOT,
        sqlite_volume="open-webui",
        postgres_volume="open-webui-postgres",
    )


def with_volumes(host: FakeSystem, *files: str) -> FakeEngine:
    """A Docker whose volumes have these files, as VOLUME/FILE."""
    engine = FakeEngine()
    for file in files:
        volume, _, name = file.partition("/")
        engine.docker.put_volume(volume)
        host.put(f"{ROOT}/volumes/{volume}/_data/{name}")
    return engine


@pytest.mark.parametrize(
    ("env", "found"),
    [
        pytest.param("WEBUI_SECRET_KEY='x'\n", "sqlite", id="of a deploy before there were others"),
        pytest.param("DATABASE_URL='postgresql://open-webui:x@postgres:5432/open-webui'\n", "postgres", id="ours"),
        pytest.param("DATABASE_URL='postgresql://u:x@db.example.org/chat'\n", "external", id="elsewhere"),
        pytest.param("DATABASE_URL='postgres://u:x@postgres.example.org:5432/chat'\n", "external", id="like ours"),
        pytest.param("DATABASE_URL='sqlite:////app/backend/data/postgres.db'\n", "", id="the operator's own"),
        pytest.param("PGVECTOR_DB_URL='postgresql://u:x@postgres:5432/x'\n", "sqlite", id="vectors alone"),
    ],
)
def test_what_the_last_good_deploy_uses_is_where_people_are(tmp_path: Path, env: str, found: str) -> None:
    """Whatever is in the volumes, and whatever a deploy that failed has written since."""
    host = FakeSystem(tmp_path)
    host.put(f"{STACK}/.good/.env", env)
    host.put(f"{STACK}/.env", "DATABASE_URL='postgresql://open-webui:x@postgres:5432/open-webui'\n")
    assert database_of(host, with_volumes(host, "open-webui-postgres/PG_VERSION")) == found


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param(["open-webui/webui.db"], "sqlite", id="of SQLite"),
        pytest.param(["open-webui-postgres/PG_VERSION"], "postgres", id="of Postgres"),
        pytest.param(["open-webui/webui.db", "open-webui-postgres/PG_VERSION"], "postgres", id="of both"),
        pytest.param(["open-webui/uploads", "open-webui-postgres/lost+found"], "", id="volumes without a database"),
        pytest.param(["somebodys/webui.db"], "", id="somebody else's"),
    ],
)
def test_where_no_deploy_is_remembered_the_volumes_say_where_people_are(
    tmp_path: Path, files: list[str], found: str
) -> None:
    host = FakeSystem(tmp_path)
    assert database_of(host, with_volumes(host, *files)) == found


@pytest.mark.parametrize(
    ("file", "found"),
    [
        pytest.param(None, "", id="no Docker runs, and none has left a volume"),
        pytest.param("open-webui/_data/webui.db", "sqlite", id="of SQLite"),
        pytest.param("open-webui-postgres/_data/PG_VERSION", "postgres", id="of Postgres"),
        pytest.param("open-webui-postgres/_data/lost+found", "unknown", id="a volume without a database"),
        pytest.param("open-webui/opts.json", "unknown", id="a volume from elsewhere: its folder here is empty"),
        pytest.param("somebodys/_data/webui.db", "", id="somebody else's"),
    ],
)
def test_a_docker_that_does_not_answer_has_not_no_data(tmp_path: Path, file: str | None, found: str) -> None:
    """Then a deploy would begin with an empty database beside people's own."""
    host = FakeSystem(tmp_path)
    if file:
        host.put(f"{ROOT}/volumes/{file}")
    assert database_of(host, silent()) == found


def test_a_docker_that_says_no_to_the_question_for_a_volume_is_no_docker_without_it(tmp_path: Path) -> None:
    class Refuses(FakeEngine):
        def volume(self, name: str) -> Any:
            raise Refused(f"volume {name}", "input/output error", status=500)

    with pytest.raises(HostError, match="input/output error"):
        database_of(FakeSystem(tmp_path), Refuses())


def sums_of(folder: Path) -> str:
    return subprocess.check_output(["sha256sum", ".env"], cwd=folder, text=True)


@pytest.mark.parametrize(
    ("text", "sums", "found"),
    [
        ("A='1'\n", True, "sqlite"),
        ("A='1'\nDATABASE_URL='postgresql://x@postgres:5432/x'\n", True, "postgres"),
        ("A='1'\n", False, "sqlite"),
        ("", True, "unknown"),
        ("", False, "unknown"),
    ],
    ids=["sqlite", "postgres", "of an earlier version", "empty", "empty, of an earlier version"],
)
def test_an_empty_record_of_the_database_is_not_sqlite(tmp_path: Path, text: str, sums: bool, found: str) -> None:
    host = FakeSystem(tmp_path)
    env = host.put(f"{STACK}/.good/.env", text or "whole")
    if sums:
        host.put(f"{STACK}/.good/sums", sums_of(env.parent))
    env.write_text(text)
    assert database_of(host, FakeEngine()) == found


def test_a_short_record_of_the_database_is_not_sqlite(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    env = host.put(f"{STACK}/.good/.env", "A='1'\nDATABASE_URL='postgresql://x@postgres:5432/x'\n")
    host.put(f"{STACK}/.good/sums", sums_of(env.parent))
    env.write_text("A='1'\n")
    assert database_of(host, FakeEngine()) == "unknown"


# --- Leases, deploys, and what was cut off


def look(host: FakeSystem) -> dict[str, Any]:
    return history.look(host, STACK, lease_files=["/run/lease", "/run/old"], deploy_log="/var/log/deploys.jsonl")


def test_a_host_without_a_past_has_none(tmp_path: Path) -> None:
    assert look(FakeSystem(tmp_path)) == {"leases": [], "deploy": "", "cut_off": "", "migrating": False}


def test_leases_of_all_files_and_the_last_deploy_are_told(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    host.put("/run/lease", "me 1 2\n")
    host.put("/run/old", "\nyou 3 4")
    host.put("/var/log/deploys.jsonl", '{"n": 1}\n' * 10_000 + '{"n": 2}\n')
    found = look(host)
    assert (found["leases"], found["deploy"]) == (["me 1 2", "you 3 4"], '{"n": 2}')


@pytest.mark.parametrize(
    ("files", "cut_off", "migrating"),
    [
        ({".upgrading": ""}, "upgrade", False),
        ({".restoring": ""}, "restore", False),
        ({".restoring": "rollback\n"}, "rollback", False),
        ({".upgrading": "", ".restoring": "rollback"}, "upgrade", False),
        ({".migrating": ""}, "", True),
    ],
    ids=str,
)
def test_a_verb_that_was_cut_off_is_named(tmp_path: Path, files: dict[str, str], cut_off: str, migrating: bool) -> None:
    host = FakeSystem(tmp_path)
    for name, text in files.items():
        host.put(f"{STACK}/{name}", text)
    assert (look(host)["cut_off"], look(host)["migrating"]) == (cut_off, migrating)


@pytest.mark.parametrize(("verb", "cut_off"), [("up", ""), ("restore", "restore")])
def test_of_verbs_that_were_cut_off_a_deploy_is_the_one_that_needs_no_runbook(
    tmp_path: Path, verb: str, cut_off: str
) -> None:
    """The survey looks for the marks alone, and so do the scripts that put data back."""
    files = Files()
    files.make_folder(f"{tmp_path}{STACK}", mode=0o755)
    journal = Journal(files, f"{tmp_path}{STACK}", {verb: [Step("start", "go back")]}, Clock())
    journal.begin(verb, Holder(verb, 4711, "4026531836", 99, "boot-1"))
    journal.step("start")
    found = history.look(System(str(tmp_path)), STACK, lease_files=[], deploy_log="/nothing")
    assert found["cut_off"] == cut_off
