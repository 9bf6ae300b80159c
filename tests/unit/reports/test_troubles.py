"""What there is to look at on a host: the worst first, nothing twice, and never "well" for what nobody knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.reports.some_hosts import ALARM, BAD, DRIFTED, GONE, GOOD, HOSTS, LATE
from webui_stack.model.deploy_log import Record
from webui_stack.reports import troubles
from webui_stack.reports.rows import State
from webui_stack.reports.status import Status


def test_hosts_come_worst_first_and_else_in_their_order() -> None:
    assert list(troubles.worst_first(HOSTS)) == ["bad", "gone", "drifted", "good", "fine"]


def test_of_two_faulty_hosts_the_one_with_more_to_look_at_comes_first() -> None:
    more = replace(BAD, drift=["a", "b"])
    assert list(troubles.worst_first({"bad": BAD, "more": more})) == ["more", "bad"]


@pytest.mark.parametrize(
    ("host", "state"),
    [
        (GOOD, State.OK),
        (DRIFTED, State.ADVICE),
        (GONE, State.UNCHECKED),
        (BAD, State.FAULT),
        (replace(GOOD, alarms=[ALARM]), State.FAULT),
        (replace(GOOD, late=[LATE]), State.FAULT),
        (replace(GOOD, alarms_unknown="no answer"), State.ADVICE),
        (replace(GOOD, backups_unknown="no answer"), State.ADVICE),
        (replace(GONE, alarms=[ALARM]), State.FAULT),
    ],
)
def test_a_host_is_as_bad_as_the_worst_of_it(host: Status, state: State) -> None:
    assert troubles.state(host) is state


def test_each_thing_says_what_was_seen_and_what_to_do() -> None:
    assert [str(one) for one in troubles.of(BAD)] == [
        "alarm valkey_pong: broken since 2026-11-30 11:00:00 UTC: Valkey gave no PONG; "
        "look at `docker logs redis-valkey`",
        "ping: no answer; look at its log",
        "backup_age: the last good backup was 3 days ago; run runbooks/backup.py",
        "disk: 6 GB free",
    ]


def test_an_alarm_of_the_same_name_takes_the_place_of_what_is_late() -> None:
    found = troubles.of(replace(GOOD, late=[LATE], alarms=[{**ALARM, "name": "backup_age"}]))
    assert [one.about for one in found] == ["alarm backup_age"]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("failed", "last deploy: failed 2026-11-30 11:50 by me: Verify; run deploy.py again"),
        ("started", "last deploy: started 2026-11-30 11:50 by me, with no end: it is at work, or was cut off"),
        ("changed", ""),
    ],
)
def test_a_deploy_that_did_not_end_well_is_worth_a_look(result: str, words: str) -> None:
    failed = "Verify" if result == "failed" else ""
    last = Record("2026-11-30T11:50:00Z", "me", "x", result, failed=failed)  # type: ignore[arg-type]
    assert "".join(str(one) for one in troubles.of(replace(GOOD, last_deploy=last))) == words


def test_what_differs_stands_for_itself() -> None:
    assert [str(one) for one in troubles.of(replace(GOOD, drift=["redis: is exited"]))] == ["redis: is exited"]
