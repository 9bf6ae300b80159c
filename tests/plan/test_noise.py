"""What a host's login shell prints is no part of any answer; a host that gives none is refused, and only that one."""

from __future__ import annotations

from typing import Any

import pytest

from tests import surveys
from tests.plan.conftest import LAB_SETTINGS, SURVEY, Pyinfra, Run, converged, fresh
from tests.plan.fake_shell import MUTE, NOISE
from webui_stack.host import protocol
from webui_stack.transport import frame

# As if it were an answer of ours, and as banners are.
BANNER = 'Welcome!\npython\n- {"format":1,"result":{"value":{}}}\nno python\nheld somebody@else:1 1 99\n'


def saying(text: str) -> dict[str, Any]:
    """A deployed host that prints this for its survey."""
    host = converged()
    return {**host, "fake_responses": {**host["fake_responses"], SURVEY: text}}


@pytest.fixture(scope="module")
def refused(pyinfra: Pyinfra) -> Run:
    return pyinfra({"mute": saying(MUTE), "converged": converged()}, "--json")


@pytest.mark.parametrize("host", ["converged", "fresh"])
def test_a_plan_is_the_same_whatever_the_login_shell_prints(pyinfra: Pyinfra, host: str) -> None:
    hosts = {host: converged() if host == "converged" else fresh(**LAB_SETTINGS)}
    quiet, noisy = (pyinfra(hosts, "--json", **{NOISE: noise}) for noise in ("", BANNER))
    assert (noisy.status, noisy.changes(host)) == (quiet.status, quiet.changes(host)), noisy.output
    assert bool(quiet.changes(host)) is (host == "fresh")


def test_a_host_that_gives_no_answer_is_refused_and_not_taken_for_a_bare_one(refused: Run) -> None:
    said = refused.said("mute")
    assert [line for line in said if "expected" in line] == [frame.NOTHING]
    assert "is a disk full" not in refused.output
    assert refused.changes("mute") == []


def test_the_other_hosts_go_on(refused: Run) -> None:
    assert refused.changes("converged") == []


@pytest.fixture(scope="module")
def broken(pyinfra: Pyinfra) -> Run:
    """One dry run over hosts whose program ended in each of the ways it should not."""
    host = converged()
    lacking = {name: section for name, section in host["survey"].items() if name != "units"}
    answers = {
        "lacking": surveys.printed(lacking),
        "cut": surveys.printed(host["survey"])[:-100],
        "ended": "python\n",
        "refusing": f"python\n{protocol.written(protocol.FRAMED, REFUSED)}\n",
    }
    hosts = {
        name: {**host, "fake_responses": {**host["fake_responses"], SURVEY: text}} for name, text in answers.items()
    }
    return pyinfra({**hosts, "converged": host}, "--json")


REFUSED = protocol.Failure("swarm", "Docker to name its nodes", "no leader", "run again once it answers")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("lacking", "survey: expected the section 'units', got nothing; run it again"),
        ("cut", "answer of the host: expected one JSON object on a line, got "),
        ("ended", "answer of the host: expected a result, got the end of the output; run it again"),
        ("refusing", str(REFUSED)),
    ],
)
def test_a_survey_that_was_cut_off_is_named(broken: Run, name: str, line: str) -> None:
    said = "\n".join(broken.said(name))
    assert line in said
    assert "is a disk full" not in said
    assert broken.changes(name) == []
    assert "expected" not in "\n".join(broken.said("converged"))
