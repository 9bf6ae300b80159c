"""The survey as pyinfra asks for it: what a host lacks for it is told from a bare host, and from a host that failed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import FactProcessError, Host

from tests import surveys
from tests.local import local_host
from webui_stack.host import protocol
from webui_stack.model import doctor_observed, survey
from webui_stack.ops import facts
from webui_stack.transport import program


def asked(fact: facts.Survey, command: str, path: str = "/usr/local/bin:/usr/bin:/bin") -> list[str]:
    """What a host prints for a command of the host's program, in the frame of the fact."""
    line = protocol.Request("", protocol.FRAMED).line()
    done = subprocess.run(
        ["/bin/sh", "-c", fact.frame.command(command)],
        input=f"{line}\n",
        capture_output=True,
        text=True,
        env={"PATH": path},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")


def framed(fact: facts.Survey, text: str) -> list[str]:
    return ["", f"{fact.frame.token} {len(text.encode())}", *text.split("\n"), fact.frame.token]


def test_the_fact_runs_the_programs_survey_in_its_frame() -> None:
    fact = facts.Survey()
    assert fact.command() == fact.frame.command(program.command("survey"))


def test_an_answer_is_the_survey() -> None:
    fact = facts.Survey()
    assert fact.process(framed(fact, surveys.printed(surveys.DEPLOYED))) == survey.parse(surveys.DEPLOYED)


def test_a_host_that_lacks_the_program_is_no_bare_host(tmp_path: Path) -> None:
    fact = facts.Survey()
    found = fact.process(asked(fact, program.command("survey", str(tmp_path))))
    assert found is facts.NOT_SENT
    assert found is not facts.NO_PYTHON
    assert found is not fact.default()


def test_a_host_without_a_python_for_the_program_is_no_bare_host(tmp_path: Path) -> None:
    fact = facts.Survey()
    found = fact.process(asked(fact, program.command("survey", str(tmp_path)), path=str(tmp_path)))
    assert found is facts.NO_PYTHON
    assert found is not facts.NOT_SENT
    assert found is not fact.default()


class Answers:
    """A host that gives these answers in turn, and what was done to it meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
        self.done: list[str] = []
        self._answers = iter(answers)
        monkeypatch.setattr(facts, "ask", lambda *_, **__: self._ask())
        monkeypatch.setattr(program, "send", lambda _: self.done.append("sent"))

    def _ask(self) -> Any:
        self.done.append("asked")
        return next(self._answers)

    def bring(self, _: Host) -> bool:
        self.done.append("brought")
        return True


ANSWER = doctor_observed.Observed(key_fingerprint="x")


@pytest.mark.parametrize(
    ("answers", "done"),
    [
        pytest.param([ANSWER], ["asked"], id="it is there"),
        pytest.param([facts.NOT_SENT, ANSWER], ["asked", "sent", "asked"], id="it is sent"),
        pytest.param([facts.NO_PYTHON, ANSWER], ["asked", "brought", "asked"], id="Python is brought"),
        pytest.param(
            [facts.NO_PYTHON, facts.NOT_SENT, ANSWER],
            ["asked", "brought", "asked", "sent", "asked"],
            id="Python is brought, and it is sent",
        ),
    ],
)
def test_a_host_that_lacks_something_gets_it_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, answers: list[Any], done: list[str]
) -> None:
    host = Answers(monkeypatch, *answers)
    assert facts.ask_program(local_host(), facts.Symptoms, host.bring) is ANSWER
    assert host.done == done


def test_a_host_without_python_is_an_error_where_nobody_brings_one(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Answers(monkeypatch, facts.NO_PYTHON)
    with pytest.raises(program.NoPythonError):
        facts.ask_program(local_host(), facts.Symptoms)
    assert host.done == ["asked"]


def test_a_host_that_loses_the_program_at_once_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Answers(monkeypatch, facts.NOT_SENT, facts.NOT_SENT)
    with pytest.raises(program.NotSentError):
        facts.ask_program(local_host(), facts.Symptoms)


def test_an_error_of_the_program_is_the_facts_with_its_text(programs: str) -> None:
    fact = facts.Survey()
    lines = asked(fact, program.command("explode", programs))
    with pytest.raises(FactProcessError, match=r"^verb: expected one of .*, got explode; deploy again$"):
        fact.process(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "answer of the host: expected a result, got the end of the output"),
        ("python\n", "answer of the host: expected a result, got the end of the output"),
        ("python\n- {}\n", "answer of the host: expected format 1, got format None"),
        ("python\n- {\n", "answer of the host: expected one JSON object on a line, got 1 characters"),
        (surveys.printed({}), "survey: expected the section 'images', got nothing"),
    ],
    ids=["nothing", "no result", "another format", "half a line", "no document"],
)
def test_an_answer_that_is_not_whole_is_no_survey(text: str, message: str) -> None:
    fact = facts.Survey()
    with pytest.raises(FactProcessError) as caught:
        fact.process(framed(fact, text))
    assert str(caught.value).startswith(message)


def test_no_frame_is_no_survey() -> None:
    with pytest.raises(FactProcessError, match="expected its mark"):
        facts.Survey().process(surveys.printed(surveys.DEPLOYED).splitlines())
