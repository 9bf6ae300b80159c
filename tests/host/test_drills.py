"""The last drill without a fault is noted, with the set that it has tried."""

from __future__ import annotations

import pytest

from tests.host.fake_clock import START_S, FakeClock
from tests.host.fake_files import FakeKernel
from webui_stack.host import drills
from webui_stack.host.drills import Drill
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.verbs import drill
from webui_stack.host.verbs.drill import Finding

SET = "20261129T030000Z"
GOOD = [Finding("set", "ok", f"{SET}, 12 MB, every SHA-256 as in its manifest"), Finding("start", "ok", "it serves")]


def test_a_good_drill_is_noted_and_one_with_a_fault_leaves_the_one_before() -> None:
    files, clock = Files(FakeKernel()), FakeClock()
    assert drills.last(files) is None
    drill.note(files, clock, GOOD)
    clock.passed_s += 60
    drill.note(files, clock, [*GOOD, Finding("leftovers", "fault", "not all is cleared away")])
    assert drills.last(files) == Drill(SET, START_S)
    drill.note(files, clock, GOOD)
    assert drills.last(files) == Drill(SET, START_S + 60)


def test_a_note_that_cannot_be_written_is_no_bad_drill() -> None:
    kernel = FakeKernel()
    kernel.room_bytes = 0
    drill.note(Files(kernel), FakeClock(), GOOD)
    with pytest.raises(HostError, match="a full disk"):
        drills.note(Files(kernel), FakeClock(), SET)
