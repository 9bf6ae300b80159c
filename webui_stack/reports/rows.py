"""What was seen of each host, row by row: how bad it is, in words, and what took how long."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from webui_stack.model.check import Check


class State(IntEnum):
    """How a check or a host is: the greater, the worse."""

    OK = 0
    ADVICE = 1
    UNCHECKED = 2
    FAULT = 3

    @property
    def symbol(self) -> str:
        return "✓!·✗"[self]

    @property
    def word(self) -> str:
        return ("ok", "advice", "not checked", "fault")[self]


def state_of(check: Check) -> State:
    return State.OK if check.ok else State.FAULT if check.is_fault else State.ADVICE


@dataclass(frozen=True)
class Row:
    """One host's checks. A host that could not be reached, or failed before, has none and a note that says why."""

    host: str
    address: str
    checks: Sequence[Check] = ()
    note: str = ""

    @property
    def state(self) -> State:
        return max(map(state_of, self.checks), default=State.UNCHECKED)

    @property
    def ok(self) -> bool:
        return self.state <= State.ADVICE

    @property
    def result(self) -> str:
        """`ok`, `2 faults`, `1 advice` or `not checked`: in words, since not everybody tells red from green."""
        count = sum(state_of(check) is self.state for check in self.checks)
        match self.state:
            case State.FAULT:
                return f"{count} fault{'' if count == 1 else 's'}"
            case State.ADVICE:
                return f"{count} advice"
            case _:
                return self.state.word

    @property
    def worst_first(self) -> list[Check]:
        return sorted(self.checks, key=state_of, reverse=True)

    @property
    def words(self) -> str:
        """What to read first: the first fault, else the first advice, else the note."""
        first = next((check for check in self.worst_first if not check.ok), None)
        return f"{first.name}: {first.seen}" if first else self.note

    @property
    def timings(self) -> str:
        """What a host that is well has to tell: `ping 0.6 ms · websocket handshake 41 ms`."""
        timed = [(check.name, check.elapsed_ms) for check in self.checks if check.elapsed_ms is not None]
        return " · ".join(f"{name} {milliseconds(elapsed_ms)}" for name, elapsed_ms in timed)


@dataclass(frozen=True)
class Latency:
    """What one check took on each host, in milliseconds."""

    name: str
    elapsed_ms: Mapping[str, float]

    @property
    def summary(self) -> str:
        """`min 24 ms · median 36 ms · max 145 ms (web-21)`; of a single host just its value."""
        slowest, most = max(self.elapsed_ms.items(), key=lambda item: item[1])
        if len(self.elapsed_ms) == 1:
            return milliseconds(most)
        least = milliseconds(min(self.elapsed_ms.values()))
        return f"min {least} · median {milliseconds(self.median_ms)} · max {milliseconds(most)} ({slowest})"

    @property
    def median_ms(self) -> float:
        return statistics.median(self.elapsed_ms.values())

    @property
    def scale_ms(self) -> float:
        """The end of a chart's axis: a round number not much above the maximum."""
        most = max(*self.elapsed_ms.values(), 0.1)
        power = 10.0 ** math.floor(math.log10(most))
        return next(step * power for step in (1, 1.5, 2, 3, 5, 7, 10) if step * power >= most)


def milliseconds(value: float) -> str:
    """`0.6 ms`, `41 ms`: no more digits than mean something."""
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def check_names(rows: Mapping[str, Row]) -> list[str]:
    """Each check's name once, in the order of the host that got furthest; others may have stopped half-way."""
    furthest = sorted(rows.values(), key=lambda row: len(row.checks), reverse=True)
    return list(dict.fromkeys(check.name for row in furthest for check in row.checks))


def latencies(rows: Mapping[str, Row]) -> list[Latency]:
    """Every check that measured time on at least one host."""
    found = {
        name: {
            row.host: check.elapsed_ms
            for row in rows.values()
            for check in row.checks
            if check.name == name and check.elapsed_ms is not None
        }
        for name in check_names(rows)
    }
    return [Latency(name, elapsed_ms) for name, elapsed_ms in found.items() if elapsed_ms]


def counts(rows: Mapping[str, Row]) -> dict[str, int]:
    """How many hosts are ok (advice is no fault), have faults, were not checked."""
    states = Counter(row.state for row in rows.values())
    return {
        "ok": states[State.OK] + states[State.ADVICE],
        "with faults": states[State.FAULT],
        "not checked": states[State.UNCHECKED],
    }
