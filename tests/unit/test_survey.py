"""One survey tells all of a host; one that was cut off is no survey, and never taken for a bare host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.defaults import settings
from tests.surveys import DEPLOYED, FRESH, printed
from webui_stack import docker_config, survey, templates
from webui_stack.secrets import Supplied

NOTHING = Supplied(None, None, {})


def test_a_deployed_host_is_read_whole() -> None:
    found = survey.parse(printed(DEPLOYED).splitlines())
    assert found.machine.pretty_name == "Debian GNU/Linux 13 (trixie)"
    assert found.engine.server == "26.1.5+dfsg1"
    assert set(found.services.containers) == {"redis-valkey", "open-webui"}
    assert found.services.unread == ()
    assert found.units == {survey.DOCKER_UNIT, survey.TIMER_UNIT}
    assert found.secrets == ()


def test_a_fresh_host_has_nothing() -> None:
    found = survey.parse(printed(FRESH).splitlines())
    assert found.services.containers == {}
    assert found.services.network is None
    assert found.units == frozenset()
    assert found.files == {}
    assert found.secrets == ("content /opt/open-webui/.env",)


@pytest.mark.parametrize("name", survey.SECTIONS)
def test_a_section_that_was_cut_off_or_is_missing_is_said(name: str) -> None:
    whole = printed(DEPLOYED)
    start = f"section {name}\n"
    without = whole.replace(start + whole.partition(start)[2].partition("\nend\n")[0] + "\nend\n", "")
    cut = whole.replace(start, start + "section other\n")
    for text in (without, cut):
        with pytest.raises(survey.IncompleteError, match=f"expected the section '{name}'.*; run it again"):
            survey.parse(text.splitlines())


def test_a_full_disk_is_named_where_one_is_full_and_nowhere_else() -> None:
    cut = printed(DEPLOYED).replace("\nend\n", "\n", 1)
    with pytest.raises(survey.IncompleteError, match="the disk with /run is full: free some"):
        survey.parse([*cut.splitlines(), "", "full /run"])


@pytest.mark.parametrize("name", survey.SECTIONS)
def test_a_section_without_a_final_line_break_spoils_neither_itself_nor_the_next(name: str) -> None:
    """daemon.json may end without one, and whoever prints it may leave it so."""
    whole = printed(DEPLOYED)
    start = whole.index(f"section {name}\n")
    without = whole[:start] + whole[start:].replace("\n\nend\n", "\nend\n", 1)
    assert survey.parse(without.splitlines()) == survey.parse(whole.splitlines())


def test_the_script_reads_a_daemon_json_without_a_final_line_break(tmp_path: Path) -> None:
    daemon_json = tmp_path / "daemon.json"
    daemon_json.write_text('{"debug": true}')
    script = "\n".join(templates.survey_script(settings(stack_dir="/nonexistent/stack"), NOTHING))
    assert "/etc/docker/daemon.json" in script
    script = script.replace("/etc/docker/daemon.json", str(daemon_json))
    done = subprocess.run(["sh", "-s", "survey"], input=script, capture_output=True, text=True, check=True)
    assert survey.parse(done.stdout.splitlines()).docker.sha256 == docker_config.sha256(daemon_json.read_text())


def test_a_refused_secret_ends_its_section() -> None:
    text = printed({**DEPLOYED, "project": "refused /opt/open-webui/secrets/x: expected y"}).replace(
        ": expected y\n\nend", ""
    )
    assert survey.parse(text.splitlines()).secrets == ("refused /opt/open-webui/secrets/x",)


def test_a_unit_counts_when_it_is_active_and_enabled() -> None:
    states = {("active", "enabled"): True, ("inactive", "enabled"): False, ("active", "disabled"): False}
    for (active, enabled), counts in states.items():
        block = f"Id={survey.DOCKER_UNIT}\nActiveState={active}\nUnitFileState={enabled}"
        found = survey.parse(printed({**DEPLOYED, "units": block}).splitlines())
        assert (survey.DOCKER_UNIT in found.units) is counts


def test_files_are_told_with_their_lines_whatever_they_are() -> None:
    text = "file /a\n|section machine\n|end\n|\nfile /b\n|file /c"
    found = survey.parse(printed({**DEPLOYED, "files": text}).splitlines())
    assert found.files == {"/a": "section machine\nend\n\n", "/b": "file /c\n"}


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "external"])
def test_the_database_of_a_hosts_people_is_a_line_of_its_history(kind: str) -> None:
    history = f'lease x\ndeploy {{"at":"database external"}}\ndatabase {kind}'
    assert survey.parse(printed({**DEPLOYED, "history": history}).splitlines()).database == kind
    assert survey.parse(printed(DEPLOYED).splitlines()).database == ""


def database_of(stack: Path, volumes: Path, *, silent: str = "", root: str = "") -> str:
    """What the script finds on this machine, whose Docker has only the `volumes`, and is `silent` to a question."""
    docker = volumes / "bin" / "docker"
    docker.parent.mkdir(exist_ok=True)
    docker.write_text(
        f"""#!/bin/sh
[ "$2" != {silent or "none"} ] || exit 1
case $* in
"volume ls "*) ls {volumes} ;;
"volume inspect --format "*) [ -d "{volumes}/$5" ] && echo "{volumes}/$5" ;;
*) exit 1 ;;
esac
"""
    )
    docker.chmod(0o755)
    daemon = {**settings().docker_daemon, "data-root": root} if root else settings().docker_daemon
    script = templates.survey_script(settings(stack_dir=str(stack), docker_daemon=daemon), NOTHING)
    environment = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    text = "\n".join(script)
    done = subprocess.run(["sh", "-s", "survey"], input=text, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return survey.parse(done.stdout.splitlines()).database


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
    stack = tmp_path / "opt" / "stack"
    (stack / ".good").mkdir(parents=True)
    (stack / ".good/.env").write_text(env)
    (stack / ".env").write_text("DATABASE_URL='postgresql://open-webui:x@postgres:5432/open-webui'\n")
    (tmp_path / "open-webui-postgres").mkdir()
    (tmp_path / "open-webui-postgres/PG_VERSION").write_text("17\n")
    assert database_of(stack, tmp_path) == found


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param(["open-webui/webui.db"], "sqlite", id="of SQLite"),
        pytest.param(["open-webui-postgres/PG_VERSION"], "postgres", id="of Postgres"),
        pytest.param(["open-webui/webui.db", "open-webui-postgres/PG_VERSION"], "postgres", id="of both"),
        pytest.param(["open-webui/uploads", "open-webui-postgres/lost+found"], "", id="volumes without a database"),
    ],
)
def test_where_no_deploy_is_remembered_the_volumes_say_where_people_are(
    tmp_path: Path, files: list[str], found: str
) -> None:
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert database_of(tmp_path / "opt" / "stack", tmp_path) == found


@pytest.mark.parametrize(
    ("silent", "file", "found"),
    [
        ("ls", None, ""),  # no Docker runs, and none has left a volume
        ("ls", "volumes/open-webui/_data/webui.db", "sqlite"),
        ("ls", "volumes/open-webui-postgres/_data/PG_VERSION", "postgres"),
        ("ls", "volumes/open-webui-postgres/_data/lost+found", "unknown"),
        ("ls", "volumes/open-webui/opts.json", "unknown"),  # a volume from elsewhere: its folder here is empty
        ("ls", "volumes/somebodys/_data/webui.db", ""),
        ("inspect", "open-webui/webui.db", "unknown"),
        ("inspect", "somebodys/webui.db", ""),
    ],
)
def test_a_docker_that_does_not_answer_has_not_no_data(
    tmp_path: Path, silent: str, file: str | None, found: str
) -> None:
    """Then a deploy would begin with an empty database beside people's own."""
    if file:
        path = tmp_path / file
        path.parent.mkdir(parents=True)
        path.touch()
    assert database_of(tmp_path / "opt" / "stack", tmp_path, silent=silent, root=str(tmp_path)) == found


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_the_script_runs_on_a_machine_without_a_stack(shell: str) -> None:
    """On this one, as it is: whatever is on it, the survey is whole and says so."""
    script = templates.survey_script(settings(stack_dir="/nonexistent/stack"), NOTHING)
    done = subprocess.run([shell, "-s", "survey"], input="\n".join(script), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = survey.parse(done.stdout.splitlines())
    assert found.machine.epoch_s > 0
    assert "content /nonexistent/stack/.env" in found.secrets


def test_the_script_shows_no_secret_when_printed() -> None:
    script = templates.survey_script(settings(), NOTHING)
    assert "compose" not in f"{script} {script!r}"
