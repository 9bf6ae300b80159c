"""Doctor as the operator sees it: order, colours' words, exit code; on hosts with and without a stack."""

from __future__ import annotations

from typing import Any

import pytest

from tests import surveys
from tests.doctor_documents import BARE, DEPLOYED, TUTORIAL, Document, changed, having
from tests.plan.conftest import Pyinfra, Run
from webui_stack.render import host_program
from webui_stack.transport import program

CLAIMED = changed(DEPLOYED, '"onboarding":true,', "")  # somebody has signed up
URL = "https://chat.example.org"
ASKED = "for python in "


def answering(document: Document, **data: Any) -> dict[str, Any]:
    """A host of which the program reports this."""
    return {"fake_responses": {ASKED: surveys.printed(document)}, **data}


@pytest.fixture(scope="module")
def examined(pyinfra: Pyinfra) -> Run:
    """One run over all kinds of hosts."""
    other_key = changed(DEPLOYED, "46b77dde87a5", "0123456789ab")
    listed = {"open_webui_public_url": URL}
    hosts = {
        "deployed": answering(CLAIMED),
        "tutorial": answering(TUTORIAL),
        "no-docker": answering(BARE),
        "no-stack": answering(having(BARE, host={"engine": "26.1.5"})),
        "first": answering(DEPLOYED, **listed),
        "second": answering(other_key, **listed),
    }
    return pyinfra(hosts, "-y", deploy="runbooks/doctor.py")


def test_faults_come_first_then_advice_then_the_count(examined: Run) -> None:
    found = [
        line.split()[0] for line in examined.said("tutorial") if line.startswith(("fault ", "advice ", "7 faults"))
    ]
    assert found == ["fault"] * 7 + ["advice"] * 12 + ["7"]
    assert "7 faults, 12 advice, 27 fine" in examined.said("tutorial")


def test_a_fault_says_what_was_seen_and_what_to_do(examined: Run) -> None:
    assert (
        "fault   open-webui: WEBSOCKET_REDIS_URL: redis://127.0.0.1:6379/1, which is the container itself; "
        "name Valkey's container: redis://redis:6379/1"
    ) in examined.said("tutorial")


def test_advice_alone_is_no_failure(pyinfra: Pyinfra) -> None:
    result = pyinfra({"deployed": answering(CLAIMED)}, "-y", deploy="runbooks/doctor.py")
    assert result.status == 0
    assert "0 faults, 4 advice, 42 fine" in result.said("deployed")


def test_one_fault_on_one_host_is_a_failure(examined: Run) -> None:
    assert examined.status == 1
    assert "0 faults, 4 advice, 42 fine" in examined.said("deployed")


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("no-docker", "fault   docker: no Docker that runs, so no stack; `pyinfra INVENTORY deploy.py` installs it"),
        (
            "no-stack",
            "fault   stack: no container redis-valkey or open-webui; `pyinfra INVENTORY deploy.py` makes them",
        ),
    ],
)
def test_a_host_with_nothing_on_it_is_told_so(examined: Run, host: str, line: str) -> None:
    assert [said for said in examined.said(host) if said.startswith("fault ")] == [line]
    assert "1 fault, 0 advice, 0 fine" in examined.said(host)


def test_hosts_behind_one_url_are_compared(examined: Run) -> None:
    for host, other in (("first", "second"), ("second", "first")):
        line = f"fault   one WEBUI_SECRET_KEY: another than @fake/{other} behind {URL}"
        assert [said for said in examined.said(host) if said.startswith(line)]


def test_doctor_runs_one_command_on_a_host_and_nothing_that_changes_it(pyinfra: Pyinfra) -> None:
    result = pyinfra({"tutorial": answering(TUTORIAL)}, "-y", "-vvv", deploy="runbooks/doctor.py")
    assert len(result.executed("tutorial")) == 1
    assert f"/{host_program.digest()} doctor" in result.output


def test_a_host_without_python_fails_in_one_line_and_the_others_are_judged(pyinfra: Pyinfra) -> None:
    hosts = {"bare": {"fake_responses": {ASKED: f"{program.NO_PYTHON}\n"}}, "deployed": answering(CLAIMED)}
    result = pyinfra(hosts, "-y", deploy="runbooks/doctor.py")
    assert result.status == 1
    words = "python3: expected 3.9 or newer on the host, got none; run deploy.py, which installs it, or install it from"
    assert any(words in line for line in result.said("bare"))
    assert "0 faults, 4 advice, 42 fine" in result.said("deployed")


@pytest.mark.parametrize("section", ["host", "containers"])
def test_an_answer_that_is_not_whole_is_named_by_its_section(pyinfra: Pyinfra, section: str) -> None:
    document = {name: value for name, value in CLAIMED.items() if name != section}
    result = pyinfra({"cut-off": answering(document)}, "-y", deploy="runbooks/doctor.py")
    assert result.status == 1
    assert f"doctor: expected the section '{section}', got nothing; run it again" in result.output


def test_wrong_settings_are_refused_first(pyinfra: Pyinfra) -> None:
    result = pyinfra({"one": answering(DEPLOYED, valkey_timeout_s=1)}, "-y", deploy="runbooks/doctor.py")
    assert result.status == 2
    assert "valkey_timeout_s: expected 0, or seconds from 120 to 86400, got 1" in result.output
    assert result.executed("one") == []
