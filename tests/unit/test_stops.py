"""Which runs a soak stops: all verbs alike, over the whole of each run, and the same ones for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.defaults import ROOT
from tests.host.fake_files import FakeFiles
from tests.soak.stops import RUNBOOKS, step_in, turns
from webui_stack.host.clock import Clock
from webui_stack.host.holder import Holder
from webui_stack.host.journal import Journal, Step

COUNTS, SEEDS = st.integers(0, 60), st.integers(0, 10_000)
FOLDER = "/opt/open-webui"
ME = Holder("restore", 4711, "4026531836", 99, "boot-1")


@given(COUNTS, SEEDS)
def test_each_verb_has_its_share_of_the_stops(count: int, seed: int) -> None:
    found = turns(count, seed)
    assert [turn.number for turn in found] == list(range(1, count + 1))
    each = Counter(turn.verb for turn in found)
    assert all(each[verb] in (count // len(RUNBOOKS), -(-count // len(RUNBOOKS))) for verb in RUNBOOKS)


@given(COUNTS, SEEDS)
def test_the_stops_of_a_verb_are_spread_over_its_run(count: int, seed: int) -> None:
    for verb in RUNBOOKS:
        parts = sorted(turn.part for turn in turns(count, seed) if turn.verb == verb)
        assert [int(part * len(parts)) for part in parts] == list(range(len(parts)))


def test_a_seed_chooses_the_moments() -> None:
    assert turns(20, 1) == turns(20, 1)
    assert turns(20, 1) != turns(20, 2)
    assert [turn.verb for turn in turns(20, 1)] != [turn.verb for turn in turns(20, 2)]


@pytest.mark.parametrize("runbook", RUNBOOKS.values())
def test_the_runbook_is_there(runbook: str) -> None:
    assert (ROOT / runbook).is_file()


def test_a_turn_is_named_by_what_it_stops_and_where() -> None:
    assert str(turns(20, 1)[0]) == "1: restore at 89%"


def test_the_step_is_the_one_that_the_journal_has() -> None:
    files = FakeFiles()
    journal = Journal(files, FOLDER, {"restore": [Step("swap", "go back")]}, Clock())
    assert step_in(b"") == "-"
    journal.begin("restore", ME)
    assert step_in(files.read(journal.path) or b"") == "restore: not begun"
    journal.step("swap")
    assert step_in(files.read(journal.path) or b"") == "restore: swap"
