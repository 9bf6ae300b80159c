"""What a host's login shell prints is no part of any answer; a host that gives none is refused, and only that one."""

from __future__ import annotations

import pytest

from tests.plan.conftest import LAB_SETTINGS, Pyinfra, Run, answering, converged, fresh
from tests.plan.fake_shell import MUTE, NOISE
from webui_stack import frame

# As if it were an answer of ours, and as banners are.
BANNER = "Welcome!\nsection machine\nend\nheld somebody@else:1 1 99\nrefused /x\n"


def mute() -> dict[str, object]:
    host = converged()
    return {**host, "fake_responses": {**host["fake_responses"], "sh -s survey": MUTE}}


@pytest.fixture(scope="module")
def refused(pyinfra: Pyinfra) -> Run:
    return pyinfra({"mute": mute(), "converged": converged()}, "--json")


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


def test_a_survey_that_was_cut_off_is_named(pyinfra: Pyinfra) -> None:
    host = converged()
    whole = host["fake_responses"]["sh -s survey"]
    cut = {**host, "fake_responses": {**host["fake_responses"], "sh -s survey": whole[: whole.index("section units")]}}
    result = pyinfra({"cut": cut, "converged": answering(converged())}, "--json")
    said = "\n".join(result.said("cut"))
    assert "survey: expected the section 'units', got nothing; run it again" in said
    assert "is a disk full" not in said
