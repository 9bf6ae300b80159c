"""One survey tells all of a host; one that was cut off is no survey, and never taken for a bare host."""

from __future__ import annotations

from typing import Any

import pytest

from tests.surveys import DEPLOYED, FRESH, changed, printed, replaced
from webui_stack.documents.document import IncompleteError
from webui_stack.host import protocol
from webui_stack.model import survey, swarm
from webui_stack.transport import program


def test_a_deployed_host_is_read_whole() -> None:
    found = survey.parse(DEPLOYED)
    assert found.machine.pretty_name == "Debian GNU/Linux 13 (trixie)"
    assert found.engine.server == "26.1.5+dfsg1"
    assert found.docker.runs
    assert set(found.services.containers) == {"redis-valkey", "open-webui"}
    assert found.units == {survey.DOCKER_UNIT, survey.WATCHDOG_UNIT, survey.MONITOR_UNIT}
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
    with pytest.raises(IncompleteError, match=f"^survey: expected the section '{name}', got nothing; run it"):
        survey.parse(without)
    for other in (5, "text"):
        with pytest.raises(IncompleteError, match=f"expected the section '{name}', got another form of it "):
            survey.parse({**DEPLOYED, name: other})


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
    document = {**DEPLOYED, "containers": [value]} if path == "containers/0" else replaced(DEPLOYED, path, value)
    with pytest.raises(IncompleteError) as caught:
        survey.parse(document)
    assert str(caught.value).startswith(f"survey: expected the section '{section}', got another form of it (")
    assert str(caught.value).endswith("); run it again")
    assert "yesterday" not in str(caught.value)


@pytest.mark.parametrize("answer", [None, [], "all is well", 5])
def test_an_answer_that_is_no_document_is_refused(answer: Any) -> None:
    with pytest.raises(IncompleteError, match=r"^survey: expected a JSON object, got something else; run it again$"):
        survey.parse(answer)


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
