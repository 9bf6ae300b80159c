"""Doctor's document is read whole, or refused by its section; what Valkey answers is read line by line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.defaults import settings
from tests.doctor_documents import BARE, DEPLOYED, NEWER, TUTORIAL, Document, having
from tests.surveys import replaced
from webui_stack.doctor import rules
from webui_stack.documents.document import IncompleteError
from webui_stack.model import doctor_observed


def answered(*lines: str) -> doctor_observed.Observed:
    """A host whose Valkey answers this."""
    return doctor_observed.parse(having(BARE, valkey={"answers": list(lines)}))


def test_what_the_schedule_names_is_read() -> None:
    found = doctor_observed.parse(having(BARE, due=["2026-11-30 03:30:00", "2026-12-01 03:30:00"]))
    assert [str(at) for at in found.due] == ["2026-11-30 03:30:00+00:00", "2026-12-01 03:30:00+00:00"]
    assert found.unread == ()


@pytest.mark.parametrize("document", [TUTORIAL, DEPLOYED, NEWER], ids=["tutorial", "deployed", "newer"])
def test_the_captures_are_read_to_the_last_line(document: Document) -> None:
    found = doctor_observed.parse(document)
    assert found.unread == ()
    assert found.errors == ()
    assert found.info["valkey_version"] == "8.1.1"


@pytest.mark.parametrize(
    "answer",
    [
        '[{"count":1,"reason":"key","context":"toplevel","object":"a:b","username":"bob"}]',  # RESP3
        '[["count",1,"reason","key","context","toplevel","object","a:b","username","bob"]]',  # RESP2
    ],
)
def test_the_acl_log_is_read_in_both_protocols(answer: str) -> None:
    assert answered(answer).denied == (doctor_observed.Denied("bob", "key", "a:b"),)


@pytest.mark.parametrize("answer", ['[["count"]]', "{", '["socketio"]', '["socketio","x"]', "[3]", '{"a":1}]'])
def test_an_answer_of_another_form_is_an_error_and_no_crash(answer: str) -> None:
    found = answered(answer)
    assert found.errors == (answer,)
    assert rules.checks(found, settings())


def test_what_it_cannot_read_is_kept() -> None:
    lines = ["psql in open-webui-postgres: expected an answer, got exit code 2; look at its log", "another"]
    found = doctor_observed.parse(having(DEPLOYED, unread=lines))
    assert found.unread == tuple(lines)
    told = [check for check in rules.checks(found, settings()) if check.name == "unread"]
    assert [(check.seen, check.is_fault) for check in told] == [(line, False) for line in lines]


def test_several_tasks_of_a_service_are_all_kept() -> None:
    (one,) = [one for one in DEPLOYED["containers"] if one["name"] == "open-webui"]
    tasks = [{**one, "name": f"open-webui_open-webui.{slot}.x", "task": "open-webui_open-webui"} for slot in (1, 2)]
    found = doctor_observed.parse(having(DEPLOYED, containers=tasks)).containers
    assert list(found) == ["open-webui", "open-webui_open-webui.2.x"]
    assert {one.maker for one in found.values()} == {"the swarm"}


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_section_that_was_cut_off_or_is_missing_is_said(name: str) -> None:
    without = {key: value for key, value in DEPLOYED.items() if key != name}
    with pytest.raises(IncompleteError, match=f"^doctor: expected the section '{name}', got nothing; run it again$"):
        doctor_observed.parse(without)
    with pytest.raises(IncompleteError, match=f"expected the section '{name}', got another form of it "):
        doctor_observed.parse({**DEPLOYED, name: 5})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("host/memory_kb", "24683656", id="a number as text"),
        pytest.param("host/disk_kb", "\u00b2", id="a digit of another script"),
        pytest.param("host/engine", ..., id="no word of Docker"),
        pytest.param("backup/newest", None, id="a set that is null"),
        pytest.param("due", ["sesame"], id="a time that is none"),
        pytest.param("firewall", {"nat": 1}, id="half of the packet filter"),
        pytest.param("containers/0/ports", [{"address": "::"}], id="half a port"),
        pytest.param("containers/0/status", ..., id="half a container"),
        pytest.param("valkey/answers", "sesame", id="answers that are no lines"),
        pytest.param("open_webui/key", "sesame", id="a key itself"),
        pytest.param("open_webui/vectors", {"method": "hnsw"}, id="half an index"),
        pytest.param("postgres", {"used": "1", "limit": 2}, id="connections as text"),
        pytest.param("unread", [None], id="a line that is null"),
    ],
)
def test_a_document_of_another_form_is_refused_by_its_section_and_shows_no_value(path: str, value: Any) -> None:
    document = replaced(DEPLOYED, path, value)
    with pytest.raises(IncompleteError) as caught:
        doctor_observed.parse(document)
    section, *_ = path.split("/")
    assert str(caught.value).startswith(f"doctor: expected the section '{section}', got another form of it (")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("answer", [None, [], "all is well", 5])
def test_an_answer_that_is_no_document_is_refused(answer: Any) -> None:
    with pytest.raises(IncompleteError, match=r"^doctor: expected a JSON object, got something else; run it again$"):
        doctor_observed.parse(answer)
