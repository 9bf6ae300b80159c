"""What people are told after a look: once when it breaks, once when it is well, and nothing that contradicts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.host.alarmed import HOST, broken, short, unknown, well
from tests.host.fake_clock import START_S
from webui_stack.host.alarms import state
from webui_stack.host.alarms.message import Message
from webui_stack.host.alarms.state import State, Thing
from webui_stack.host.finding import Finding

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
Look = Finding | Sequence[Finding]


class People:
    """They are told after each look, and remember it."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.state: State = {}
        self.messages: list[Message] = []
        self.reminder_s = DAY

    def look(self, *findings: Finding, after_s: float = MINUTE) -> list[str]:
        self.now_s += after_s
        self.state, new = state.after(self.state, findings, now_s=self.now_s, host=HOST, reminder_s=self.reminder_s)
        self.messages += new
        return short(new)

    def looks(self, *findings: Finding, every_s: float = MINUTE) -> list[str]:
        """One look for each finding."""
        return [line for one in findings for line in self.look(one, after_s=every_s)]


@pytest.fixture
def people() -> People:
    return People()


BROKE, WELL = "problem: valkey_pong broken", "well: valkey_pong well"
UNKNOWN, FLAPS = "problem: valkey_pong unknown", "flapping: valkey_pong flapping"
RESTARTED, REMINDER = "repaired: valkey_pong repaired", "reminder: valkey_pong broken"


def test_a_break_is_told_when_it_was_seen_twice_and_its_end_at_once(people: People) -> None:
    assert people.looks(well(), broken()) == []
    assert people.looks(broken()) == [BROKE]
    assert people.messages[0].items[0].since_s == people.now_s - MINUTE, "the first look that saw it"
    assert people.looks(broken(), broken(), broken()) == []
    assert people.looks(well()) == [WELL]
    assert people.looks(well(), well()) == []


def test_what_breaks_for_one_look_is_not_told(people: People) -> None:
    assert people.looks(broken(), well(), well(), broken(), well()) == []


def test_a_failed_unit_is_told_at_once(people: People) -> None:
    unit = "unit_open_webui_backup"
    assert people.look(broken(unit)) == [f"problem: {unit} broken"]


def test_what_is_unknown_is_told_after_three_looks(people: People) -> None:
    assert people.looks(well(), unknown(), unknown()) == []
    assert people.looks(unknown()) == [UNKNOWN]
    assert people.looks(unknown(), unknown()) == []
    assert people.looks(well()) == [WELL]


def test_questions_that_fail_in_between_hide_no_break(people: People) -> None:
    assert people.looks(broken(), unknown(), broken()) == [BROKE]
    assert people.looks(unknown(), unknown(), unknown(), unknown()) == [], "people know of the trouble"
    assert people.looks(well()) == [WELL]


def test_what_was_unknown_may_turn_out_to_be_broken(people: People) -> None:
    assert people.looks(unknown(), unknown(), unknown(), broken(), broken(), well()) == [UNKNOWN, BROKE, WELL]


def test_what_breaks_together_is_one_message(people: People) -> None:
    three = [broken("a"), broken("b"), unknown("c")]
    people.look(*three)
    assert people.look(*three) == ["problem: a broken, b broken"]
    assert people.look(*three) == ["problem: c unknown"]
    assert people.look(well("a"), well("b"), well("c"), broken("d")) == ["well: a well, b well, c well"]


def test_a_reminder_comes_each_day_with_all_that_is_open(people: People) -> None:
    told = people.looks(*[broken()] * int(3 * DAY / MINUTE))
    assert told == [BROKE, REMINDER, REMINDER]
    late = people.look(broken(), broken("b"))
    assert late == []
    assert people.look(broken(), broken("b"), after_s=DAY) == [
        "problem: b broken",
        REMINDER,
    ], "what was told just now is no reminder"
    assert people.look(broken(), broken("b"), after_s=DAY) == ["reminder: b broken, valkey_pong broken"]


def test_24_hours_are_one_break_one_reminder_and_one_all_clear(people: People) -> None:
    assert people.looks(*[broken()] * (24 * 60 + 2), well()) == [BROKE, REMINDER, WELL]


def test_nobody_is_reminded_who_does_not_want_it(people: People) -> None:
    people.reminder_s = 0
    assert people.looks(broken(), broken(), broken(), every_s=3 * DAY) == [BROKE]


def test_flapping_is_one_message_and_then_silence_until_an_hour_is_stable(people: People) -> None:
    shaken = [broken(), broken(), well()]
    assert people.looks(well(), *shaken * 2) == [BROKE, WELL, BROKE, WELL]
    assert people.looks(*shaken * 30) == [FLAPS]
    quiet = [well()] * 59
    assert people.looks(*quiet) == []
    assert people.looks(well()) == [WELL]
    assert people.looks(broken(), broken()) == [BROKE], "what was before is forgotten"


def test_flapping_may_end_broken(people: People) -> None:
    people.looks(*[well(), broken()] * 10)
    assert short(people.messages) == [FLAPS]
    assert people.looks(*[broken()] * 70) == [BROKE]


def test_a_day_of_flapping_is_one_message(people: People) -> None:
    assert people.looks(*[well(), broken()] * 720) == [FLAPS]


def test_four_changes_in_an_hour_are_no_flapping(people: People) -> None:
    assert people.looks(well(), broken(), well(), broken(), well()) == []
    assert people.look(broken(), after_s=HOUR + 1) == []


def test_flapping_things_are_in_a_reminder_of_others_alone(people: People) -> None:
    for _ in range(10):
        people.look(well(), broken("b"))
        people.look(broken(), broken("b"))
    assert people.look(well(), broken("b"), after_s=HOUR / 2) == []
    people.now_s += DAY
    state_of_both = {name: thing.told for name, thing in people.state.items()}
    assert state_of_both == {"b": "broken", "valkey_pong": "flapping"}
    assert people.look(broken(), broken("b")) == ["reminder: b broken, valkey_pong flapping"]


def test_what_the_watchdog_repaired_is_one_message_and_no_alarm(people: People) -> None:
    assert people.looks(well(), well(repaired="restarted"), well()) == [RESTARTED]
    assert people.messages[0].items[0].repaired == "restarted"


def test_what_is_repaired_between_two_looks_is_told_when_it_is_well(people: People) -> None:
    assert people.looks(well(), broken(repaired="restarted")) == []
    assert people.looks(well()) == [RESTARTED]


def test_an_all_clear_says_what_the_watchdog_did(people: People) -> None:
    assert people.looks(broken(), broken(), well(repaired="restarted")) == [BROKE, WELL]
    assert people.messages[-1].items[0].repaired == "restarted"


def test_restarts_again_and_again_are_flapping(people: People) -> None:
    restarts = [well(repaired="restarted"), *[well()] * 9]
    assert people.looks(well(), *restarts * 12) == [RESTARTED, RESTARTED, FLAPS]


def test_restarts_that_do_not_help_are_one_break(people: People) -> None:
    assert people.looks(well(), *[broken(repaired="restarted"), *[broken()] * 9] * 12) == [BROKE]


def test_a_verb_at_work_silences_what_it_stops(people: People) -> None:
    explained = [broken(silenced_by="upgrade")] * 20 + [unknown(silenced_by="upgrade")] * 20
    assert people.looks(well(), *explained, well()) == []
    assert people.looks(broken(), broken(silenced_by="upgrade"), broken()) == [], "it has to be seen twice after it"
    assert people.looks(broken()) == [BROKE]


def test_a_verb_at_work_hides_no_break_of_before_and_no_end_of_it(people: People) -> None:
    assert people.looks(broken(), broken()) == [BROKE]
    assert people.looks(*[broken(silenced_by="upgrade")] * 3, every_s=DAY) == [], "no reminder either"
    assert people.looks(well()) == [WELL]


def test_a_verb_beyond_its_time_is_no_excuse(people: People) -> None:
    assert people.looks(*[broken(silenced_by="upgrade")] * 5, broken(), broken()) == [BROKE]


def test_a_thing_that_nobody_names_any_more_is_told_after_an_hour(people: People) -> None:
    people.looks(broken("replica_3"), broken("replica_3"))
    assert people.looks(*[well()] * 60) == []
    assert people.looks(well()) == ["unwatched: replica_3 unwatched"]
    assert "replica_3" not in people.state


def test_a_thing_without_an_alarm_is_forgotten_in_silence(people: People) -> None:
    people.look(well("replica_3"))
    assert people.looks(*[well()] * 61) == []
    assert list(people.state) == ["valkey_pong"]


def test_a_look_that_failed_forgets_nothing(people: People) -> None:
    people.looks(broken(), broken())
    assert people.looks(*[unknown("look_valkey")] * 120) == ["problem: look_valkey unknown"]
    assert people.look(well(), well("look_valkey")) == ["well: look_valkey well, valkey_pong well"]


def test_without_docker_nothing_is_forgotten(people: People) -> None:
    people.looks(broken(), broken())
    assert people.looks(*[broken("docker")] * 120) == ["problem: docker broken"]
    assert people.look(well(), well("docker")) == ["well: docker well, valkey_pong well"]


def test_of_two_findings_of_one_name_the_worse_counts(people: People) -> None:
    people.look(broken(), well())
    assert people.look(broken(), unknown(), well()) == [BROKE]


def test_a_clock_that_was_set_back_delays_no_reminder_by_as_much(people: People) -> None:
    people.looks(broken(), broken())
    assert people.look(broken(), after_s=-365 * DAY) == []
    assert people.look(broken(), after_s=DAY) == [REMINDER]
    assert people.look(well()) == [WELL]


def test_looks_before_a_reboot_are_not_in_a_row_with_those_after_it(people: People) -> None:
    people.looks(broken(), broken("b"))
    people.state = state.begun_anew(people.state)
    assert people.look(broken()) == []
    assert people.look(broken()) == [BROKE]


def test_a_state_that_stays_is_not_written_again(people: People) -> None:
    people.look(well(), broken("b"), unknown("c"))
    for _ in range(3):
        people.look(well(), broken("b"), unknown("c"))
    before = people.state
    people.look(Finding("valkey_pong", True, "PONG after 3 ms"), broken("b"), unknown("c"))
    assert people.state == before


# --- Whatever is found, the messages tell one story

OF_A_NAME = st.builds(
    Finding,
    name=st.sampled_from(["a", "b", "unit_c"]),
    ok=st.sampled_from([True, False, False, None]),
    seen=st.just("seen"),
    silenced_by=st.sampled_from(["", "", "", "upgrade"]),
    repaired=st.sampled_from(["", "", "", "restarted"]),
)
LOOKS = st.lists(
    st.tuples(
        st.sampled_from([1.0, MINUTE, MINUTE, 20 * MINUTE, HOUR, DAY]),
        st.lists(OF_A_NAME, max_size=3, unique_by=lambda one: one.name),
    ),
    max_size=40,
)


@settings(derandomize=True, deadline=None, database=None, max_examples=100)
@given(LOOKS)
def test_messages_never_contradict_and_every_break_that_lasts_is_told(
    looks: list[tuple[float, list[Finding]]],
) -> None:
    people = People()
    told: dict[str, str] = {}  # what people believe
    broken_looks: dict[str, int] = {}  # in a row, as they would count
    heard_s: dict[str, float] = {}
    for after_s, findings in looks:
        people.look(*findings, after_s=after_s)
        new = [one for one in people.messages if one.at_s == people.now_s]
        assert len({one.kind for one in new}) == len(new), "one message of a kind"
        items = [(one.kind, item) for one in new for item in one.items]
        changes = [item.name for kind, item in items if kind != "reminder"]
        assert len(set(changes)) == len(changes), "a thing has one change in a look"
        by_name = {one.name: one for one in findings}
        for kind, item in items:
            believed = told.get(item.name, "")
            assert item.since_s <= people.now_s
            if kind == "reminder":
                assert believed == item.state
            elif item.state in ("well", "unwatched"):
                assert believed, "an all-clear without an alarm"
                told.pop(item.name)
            elif item.state == "repaired":
                assert not believed
                assert item.repaired
            else:
                assert believed != item.state, "told twice"
                assert (believed, item.state) != ("broken", "unknown")
                told[item.name] = item.state
            if item.state == "well":
                assert by_name[item.name].ok, "an all-clear for what is not well"
            if kind == "problem":
                assert not by_name[item.name].ok
                assert not by_name[item.name].silenced_by
        reminded = [item.name for kind, item in items if kind == "reminder"]
        assert not reminded or max(people.now_s - heard_s[name] for name in reminded) >= DAY, "a reminder too early"
        heard_s.update({item.name: people.now_s for _, item in items})
        broken_looks = {name: count for name, count in broken_looks.items() if name in people.state}
        for name, one in by_name.items():
            if one.ok:
                assert told.get(name) in (None, "flapping"), "what is well was not told"
            if one.ok or one.silenced_by:
                broken_looks[name] = 0
            elif one.ok is False:
                broken_looks[name] = broken_looks.get(name, 0) + 1
            if broken_looks.get(name, 0) >= (1 if name.startswith("unit_") else 2):
                assert told.get(name) in ("broken", "flapping"), "a break that lasts was not told"
        assert told == {name: thing.told for name, thing in people.state.items() if thing.told}
    kept = json.loads(json.dumps({name: thing.as_json() for name, thing in people.state.items()}))
    assert {name: Thing.from_json(thing) for name, thing in kept.items()} == people.state
