"""The age of the last backup and drill, for a person: what is too old is so by the monitor's own look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_monitored import DAILY, FOLDER, SETS, Monitored
from webui_stack.documents import backup_document
from webui_stack.documents.backup_document import Ages
from webui_stack.host.outcomes import Outcomes
from webui_stack.host.verbs import VERBS, backup_ages
from webui_stack.host.verbs.backup_ages import Request

HOUR_S, DAY_S = 3600.0, 86400.0


@pytest.fixture
def world(tmp_path: Path) -> Monitored:
    return Monitored(tmp_path)


def look(world: Monitored, **asked: Any) -> Ages:
    answer = backup_ages.found(Request(FOLDER, SETS, **asked), world.host())
    return backup_document.parse_ages(json.loads(json.dumps(answer)))


def test_the_last_set_and_the_last_good_drill_have_their_moments(world: Monitored) -> None:
    Outcomes(world.files, world.clock, FOLDER).note("drill", began_s=0, said="", counts={})
    world.clock.passed_s += HOUR_S
    found = look(world, backup_schedule=DAILY)
    assert found["now_s"] - (found["backup_at_s"] or 0) == pytest.approx(2 * HOUR_S)
    assert found["now_s"] - (found["drill_at_s"] or 0) == pytest.approx(HOUR_S, abs=1)
    assert (found["late"], found["errors"]) == ([], [])


def test_what_is_too_old_by_its_schedule_is_late(world: Monitored) -> None:
    world.clock.passed_s += 3 * DAY_S
    assert [one["name"] for one in look(world, backup_schedule=DAILY)["late"]] == ["backup_age"]
    found = look(world, backup_schedule=DAILY)["late"][0]
    assert found["seen"] == "the last good backup was 3 days ago; one is due every 24 hours"
    assert found["next_step"].startswith("run runbooks/backup.py")
    assert look(world)["late"] == [], "without a schedule nothing is due"


def test_a_host_without_sets_and_drills_has_no_moments(world: Monitored) -> None:
    world.files.remove_tree(SETS)
    found = look(world)
    assert (found["backup_at_s"], found["drill_at_s"]) == (None, None)


def test_what_could_not_be_read_is_an_error_and_the_rest_is_known(world: Monitored) -> None:
    world.files.make_folder(f"{FOLDER}/outcomes")
    world.files.write(f"{FOLDER}/outcomes/drill.json", "{}")
    found = look(world)
    assert found["backup_at_s"] is not None
    assert [one.partition(":")[0] for one in found["errors"]] == [f"{FOLDER}/outcomes/drill.json"]
    assert look(world, backup_schedule="nonsense")["errors"][0].startswith("backup_schedule: expected")


def test_it_is_a_verb() -> None:
    assert VERBS["backup_ages"] is backup_ages.look
