"""One survey tells all of a host; one that was cut off is no survey, and never taken for a bare host."""

from __future__ import annotations

import subprocess

import pytest

from tests.defaults import settings
from tests.surveys import DEPLOYED, FRESH, printed
from webui_stack import survey, templates
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
        with pytest.raises(survey.IncompleteError, match=f"expected the section '{name}'"):
            survey.parse(text.splitlines())


def test_a_refused_secret_ends_its_section() -> None:
    text = printed({**DEPLOYED, "project": "refused /opt/open-webui/secrets/x: expected y"}).replace(
        ": expected y\nend", ""
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
