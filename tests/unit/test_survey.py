"""One survey tells all of a host; one that was cut off is no survey, and never taken for a bare host."""

from __future__ import annotations

import os
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.surveys import DEPLOYED, FRESH, Document, changed, printed
from webui_stack import docker_config, survey, swarm, templates
from webui_stack.host import protocol
from webui_stack.ops import program
from webui_stack.secrets import Supplied

NOTHING = Supplied(None, None, {})


def test_a_deployed_host_is_read_whole() -> None:
    found = survey.parse(DEPLOYED)
    assert found.machine.pretty_name == "Debian GNU/Linux 13 (trixie)"
    assert found.engine.server == "26.1.5+dfsg1"
    assert found.docker.runs
    assert set(found.services.containers) == {"redis-valkey", "open-webui"}
    assert found.units == {survey.DOCKER_UNIT, survey.TIMER_UNIT}
    assert (found.stale, found.refused) == ({}, "")
    assert found.swarm == swarm.Observed()


def test_a_fresh_host_has_nothing() -> None:
    found = survey.parse(FRESH)
    assert found.services.containers == {}
    assert found.services.network is None
    assert found.units == frozenset()
    assert found.files == {}
    assert found.stale == {"/opt/open-webui/.env": "content"}


def test_what_a_host_prints_is_read_as_it_was_said() -> None:
    """Through the lines of the protocol, with the framed fact's token."""
    answered = program.answered(printed(DEPLOYED).splitlines(), protocol.FRAMED)
    assert survey.parse(answered) == survey.parse(DEPLOYED)


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_section_that_was_cut_off_or_is_missing_is_said(name: str) -> None:
    without = {key: value for key, value in DEPLOYED.items() if key != name}
    with pytest.raises(survey.IncompleteError, match=f"^survey: expected the section '{name}', got nothing; run it"):
        survey.parse(without)
    for other in (5, "text"):
        with pytest.raises(survey.IncompleteError, match=f"expected the section '{name}', got another form of it "):
            survey.parse({**DEPLOYED, name: other})


def replaced(path: str, value: Any) -> Document:
    """The document with one value replaced, or taken out where it is `...`; `path` as in `machine/disk/free_kb`."""
    document = deepcopy(DEPLOYED)
    *folders, last = path.split("/")
    inner: Any = document
    for name in folders:
        inner = inner[int(name)] if isinstance(inner, list) else inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("machine/epoch_s", "1795370754", id="a number as text"),
        pytest.param("machine/epoch_s", True, id="a number that is a truth value"),
        pytest.param("machine/memory_kb", "\u00b2", id="a digit of another script"),
        pytest.param("machine/disk", None, id="no free space"),
        pytest.param("machine/disk/free_kb", ..., id="half of the free space"),
        pytest.param("machine/listening", [{"port": 80}], id="half a listener"),
        pytest.param("engine/packages", ["bash"], id="packages without versions"),
        pytest.param("engine/cli", "yes", id="a truth value as text"),
        pytest.param("docker_config/containers", [{"name": "x"}], id="half a running container"),
        pytest.param("images", {"docker.io/valkey/valkey:8": {"digests": []}}, id="an image without an id"),
        pytest.param("network/subnets", None, id="no list of subnets"),
        pytest.param("containers/0/labels", ["a"], id="labels that are a list"),
        pytest.param("containers/0/status", ..., id="half a container"),
        pytest.param("containers/0", 5, id="a container that is a number"),
        pytest.param("containers/0/started_at", "yesterday", id="a time that is none"),
        pytest.param("project/hashes", {"redis": None}, id="a service without its hash"),
        pytest.param("project/mounted", {"redis": "-"}, id="a time that is text"),
        pytest.param("history/migrating", "no", id="a word for a truth value"),
        pytest.param("files", {"/a": None}, id="a file without its text"),
        pytest.param("swarm", {"member": {}}, id="half a swarm"),
    ],
)
def test_a_document_of_another_form_is_refused_by_its_section_and_shows_no_value(path: str, value: Any) -> None:
    section, *_ = path.split("/")
    document = {**DEPLOYED, "containers": [value]} if path == "containers/0" else replaced(path, value)
    with pytest.raises(survey.IncompleteError) as caught:
        survey.parse(document)
    assert str(caught.value).startswith(f"survey: expected the section '{section}', got another form of it (")
    assert str(caught.value).endswith("); run it again")
    assert "yesterday" not in str(caught.value)


@pytest.mark.parametrize("answer", [None, [], "all is well", 5])
def test_an_answer_that_is_no_document_is_refused(answer: Any) -> None:
    with pytest.raises(
        survey.IncompleteError, match=r"^survey: expected a JSON object, got something else; run it again$"
    ):
        survey.parse(answer)


def test_the_script_reads_a_daemon_json_without_a_final_line_break(tmp_path: Path) -> None:
    daemon_json = tmp_path / "daemon.json"
    daemon_json.write_text('{"debug": true}')
    script = "\n".join(templates.survey_script(settings(stack_dir="/nonexistent/stack"), NOTHING))
    assert "/etc/docker/daemon.json" in script
    script = script.replace("/etc/docker/daemon.json", str(daemon_json))
    done = subprocess.run(["sh", "-s", "survey"], input=script, capture_output=True, text=True, check=True)
    assert survey.parse(done.stdout.splitlines()).docker.sha256 == docker_config.sha256(daemon_json.read_text())


def test_a_refused_secret_is_told_with_its_reason() -> None:
    document = changed(DEPLOYED, project={"refused": "/opt/open-webui/secrets/x: expected y, got z; do it"})
    assert survey.parse(document).refused == "/opt/open-webui/secrets/x: expected y, got z; do it"


def test_a_host_of_a_swarm_without_the_data_has_no_secrets_to_make() -> None:
    found = survey.parse(changed(DEPLOYED, project=None))
    assert (found.stale, found.refused, found.swarm.inputs) == ({}, "", "")


def test_files_are_told_with_their_lines_whatever_they_are() -> None:
    files = {"/a": "section machine\nend\n\n", "/b": "- no line break at the end \u2028", "/c": "no UTF-8: \udcff\n"}
    answered = program.answered(printed({**DEPLOYED, "files": files}).splitlines(), protocol.FRAMED)
    assert survey.parse(answered).files == files


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "external"])
def test_the_database_of_a_hosts_people_is_a_line_of_its_history(kind: str) -> None:
    history = {"leases": ["x 1 2", "old 1 2"], "deploy": '{"at":"database external"}', "database": kind}
    found = survey.parse(changed(DEPLOYED, history=history))
    assert (found.lease, found.last_deploy, found.database) == ("x 1 2", '{"at":"database external"}', kind)
    assert survey.parse(DEPLOYED).database == ""


def test_a_runbook_that_was_cut_off_and_a_move_that_has_not_ended_are_read() -> None:
    found = survey.parse(changed(DEPLOYED, history={"cut_off": "restore", "migrating": True}))
    assert (found.cut_off, found.migrating) == ("restore", True)
    assert (survey.parse(DEPLOYED).cut_off, survey.parse(DEPLOYED).migrating) == ("", False)


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
