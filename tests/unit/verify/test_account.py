"""A soak's tables: a row says what was refused and why, and a bar in a reason breaks no table."""

from __future__ import annotations

from tests.lab.tally import Event, Link, tally
from tests.soak.account import (
    FAULTS,
    STOPS,
    THROUGHPUT,
    Seen,
    Stopped,
    fault_rows,
    markdown,
    stop_rows,
    throughput_rows,
)

SOCKETS = {0: (0, 1)}


def seen(*events: Event, seconds: float = 1.0) -> Seen:
    links = [Link(client, -1.0, True) for client in (0, 1)]
    return Seen(tally(events, links, [], SOCKETS, 0.0, seconds), load=2.6)


def arrived(number: int) -> Event:
    return Event(number, 0, 0.01 * number, accepted=True, arrivals={0: [0.1], 1: [0.1]})


def test_a_row_says_what_was_refused_and_why() -> None:
    refused = [Event(number, 0, 0.01 * number, error="502 bad | gateway") for number in (0, 1)]
    (row,) = fault_rows({"kill": seen(*refused, arrived(2), Event(3, 0, 0.03, accepted=True, arrivals={0: [0.1]}))})
    assert dict(zip(FAULTS, row, strict=True)) == {
        "fault": "kill",
        "sent": "2",
        "refused": "2 502 bad | gateway",
        "due": "4",
        "lost": "1",
        "twice": "0",
        "came back": "0",
        "well after": "never",
        "load": "3",
    }


def test_markdown_keeps_its_columns() -> None:
    refused = fault_rows({"kill": seen(Event(0, 0, 0.0, error="502 bad | gateway"))})
    lines = markdown("Faults", FAULTS, refused).splitlines()
    assert lines[0] == "## Faults"
    assert {line.replace("\\|", "").count("|") for line in lines[2:]} == {len(FAULTS) + 1}


def test_throughput_is_the_median_of_the_rounds() -> None:
    rounds = [seen(*(arrived(number) for number in range(count)), seconds=1.0) for count in (30, 10, 20)]
    (row,) = throughput_rows({2: rounds})
    assert dict(zip(THROUGHPUT, row, strict=True)) == {
        "processes": "2",
        "events a second": "30, 10, 20",
        "median": "20",
        "p99": "100 ms",
        "load": "3, 3, 3",
    }


def test_a_stop_that_was_not_survived_is_told_with_how_far_it_came() -> None:
    survived = Stopped("restore", 34.21, 60.4, "restore: swap", "21 s", 40.2, 58.0, well=True)
    lost = Stopped("upgrade", 5.0, 80.0, "upgrade: save")
    first, second = (dict(zip(STOPS, row, strict=True)) for row in stop_rows([survived, lost]))
    assert first == {
        "stop": "1",
        "of": "restore",
        "after": "34.2 of 60 s",
        "host was at": "restore: swap",
        "at rest after": "21 s",
        "serves after": "40 s",
        "next run": "58 s",
    }
    assert (second["stop"], second["at rest after"], second["next run"]) == ("2", "-", "-, not well")
