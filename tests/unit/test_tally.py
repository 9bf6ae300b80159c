"""A crowd's events are counted right: lost, duplicated, refused, and the time until all was well."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.lab.tally import Event, Link, Pulse, Result, percentile_ms, recovery_s, spans, table, tally

SOCKETS = {0: (0, 2), 1: (1, 3)}  # two people with two clients each
UP = [Link(client, 0.0, True) for client in range(4)]


def event(at: float, person: int = 0, missed: Iterable[int] = (), after: float = 0.01) -> Event:
    """Accepted, and `after` seconds later at every client of its person but those it missed."""
    arrivals = {client: [at + after] for client in SOCKETS[person] if client not in missed}
    return Event(0, person, at, accepted=True, arrivals=arrivals)


def refused(at: float, why: str = "502") -> Event:
    return Event(0, 0, at, error=why)


def count(events: list[Event], links: list[Link] = UP, since: float = 10.0, until: float = 20.0) -> Result:
    return tally(events, links, [], SOCKETS, since, until)


def test_what_arrived_everywhere_is_neither_lost_nor_doubled() -> None:
    result = count([event(11), event(12, person=1)])
    assert (result.sent, result.expected, result.received, result.complete) == (2, 4, 4, 2)
    assert (result.lost, result.duplicated, result.strays, dict(result.failed)) == (0, 0, 0, {})
    assert result.recovery_s == 0
    assert result.p99_ms == pytest.approx(10)
    assert (result.events_per_s, result.deliveries_per_s) == (0.2, 0.4)


def test_a_client_an_event_did_not_reach_is_one_loss_in_the_second_it_was_sent() -> None:
    result = count([event(11), event(13.9, missed=[2]), event(14.1, 1, missed=[1, 3])])
    assert (result.lost, result.complete, result.losses) == (3, 1, {3: 1, 4: 2})


def test_an_event_that_came_twice_is_received_once() -> None:
    twice = event(11)
    twice.arrivals[0].append(11.5)
    result = count([twice])
    assert (result.received, result.duplicated, result.lost) == (2, 1, 0)
    assert result.p99_ms == pytest.approx(10)


def test_an_event_at_somebody_elses_client_is_a_stray_and_replaces_none() -> None:
    astray = event(11, missed=[0])
    astray.arrivals[1] = [11.1]
    assert (count([astray]).strays, count([astray]).lost) == (1, 1)


def test_what_was_not_accepted_is_waited_for_by_nobody() -> None:
    unanswered = Event(0, 0, 12)
    result = count([event(11), refused(11.5), refused(11.6), unanswered])
    assert (result.sent, result.expected, result.lost) == (1, 2, 0)
    assert result.failed == {"502": 2, "no answer yet": 1}


def test_what_was_sent_before_or_after_is_not_counted() -> None:
    result = count([event(9.9, missed=[0]), event(10), event(20, missed=[0])])
    assert (result.sent, result.lost) == (1, 0)


def test_clients_are_counted_and_not_the_times_they_went() -> None:
    flapping = [Link(1, at, at % 2 == 0) for at in (11, 12, 13, 14)]
    result = count([event(15)], [*UP, *flapping])
    assert (result.disconnected, result.reconnected) == (1, 1)


def test_recovery_ends_with_the_first_event_after_the_last_loss() -> None:
    events = [event(10.1), event(11, missed=[0]), event(12), event(13, 1, missed=[3]), event(14, 1), event(15)]
    assert recovery_s(events, UP, SOCKETS, 10) == pytest.approx(4.01)


def test_recovery_ends_no_earlier_than_a_refusal() -> None:
    assert recovery_s([refused(12), event(13), event(14, 1)], UP, SOCKETS, 10) == pytest.approx(3.01)


def test_a_request_that_timed_out_is_bad_although_its_event_arrived() -> None:
    late = event(12)
    late.accepted, late.error = False, "TimeoutError"
    assert recovery_s([late, event(13), event(14, 1)], UP, SOCKETS, 10) == pytest.approx(3.01)
    assert (count([late]).received, count([late]).expected) == (0, 0)


def test_recovery_waits_for_the_last_client_to_be_back() -> None:
    links = [*UP, Link(3, 10.5, False), Link(3, 16, True)]
    assert recovery_s([event(17), event(18, 1)], links, SOCKETS, 10) == 6
    assert recovery_s([event(17), event(18, 1)], links[:-1], SOCKETS, 10) is None


def test_a_client_that_never_came_is_no_recovery() -> None:
    assert recovery_s([event(17), event(18, 1)], UP[:-1], SOCKETS, 10) is None


def test_nothing_is_well_before_everybody_had_an_event() -> None:
    assert recovery_s([event(11, 1, missed=[1]), event(12)], UP, SOCKETS, 10) is None
    assert recovery_s([], UP, SOCKETS, 10) is None


def test_losses_to_the_end_are_no_recovery() -> None:
    assert recovery_s([event(12), event(13, 1), event(19, missed=[2])], UP, SOCKETS, 10) is None


def test_an_event_is_in_the_order_of_its_sending() -> None:
    events = [event(14), event(15, 1), event(12, missed=[0])]
    assert recovery_s(events, UP, SOCKETS, 10) == pytest.approx(4.01)


@given(st.lists(st.sets(st.sampled_from([0, 2])), max_size=20))
def test_every_delivery_is_either_received_or_lost(missed: list[set[int]]) -> None:
    result = count([event(10 + n / 4, missed=who) for n, who in enumerate(missed)])
    assert result.expected == 2 * len(missed)
    assert result.lost == sum(map(len, missed)) == sum(result.losses.values())


def test_percentiles_are_values_that_were_seen() -> None:
    hundred = [n / 1000 for n in range(1, 101)]
    assert (percentile_ms(hundred, 50), percentile_ms(hundred, 99), percentile_ms([0.007], 99)) == (50, 99, 7)
    assert percentile_ms([], 50) is None


def test_the_crowds_own_work_is_of_the_time_counted() -> None:
    pulses = [Pulse(9, 0, 9.0), Pulse(11, 1, 0.002), Pulse(15, 3, 0.03)]
    result = tally([event(11)], UP, pulses, SOCKETS, 10, 20)
    assert (result.cpu_share, result.late_ms) == (0.5, 30)


def test_seconds_read_as_spans() -> None:
    assert (spans([]), spans([4]), spans({0: 9, 1: 8, 2: 1, 9: 1})) == ("-", "4 s", "0-2, 9 s")


def test_the_table_fits_a_terminal() -> None:
    results = {"Valkey": count([event(11), refused(12), event(13, missed=[0])])}
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table(results))
    row = next(line for line in console.export_text().splitlines() if "Valkey" in line)
    assert row.split() == ["Valkey", "2", "1", "4", "1", "0", "10", "10", "0", "never", "3", "s"]
