"""What was measured, and whether it is good enough. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Measure = Literal["wall_s", "cpu_s", "peak_mb", "commands", "forwards", "connections", "core_percent"]


@dataclass(frozen=True)
class Series:
    """The runs of one side of a case on so many hosts: the values of each measure, in the order of the runs."""

    case: str
    side: str
    hosts: int
    values: Mapping[str, Sequence[float]]

    def spread(self, measure: Measure) -> Spread:
        return Spread.of(self.values[measure])


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some runs."""

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class Side:
    """Which series of a case."""

    name: str
    hosts: int = 1


@dataclass(frozen=True)
class Target:
    """What a case has to reach: a limit for the medians' ratio or difference to another side, or for the figure alone.

    `of` and `to` name the sides; without `to` the limit is in the unit of the measure.
    """

    title: str
    of: Side
    limit: float
    to: Side | None = None
    measure: Measure = "wall_s"
    relation: Literal["ratio", "difference"] = "ratio"


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured; `seen` is the ratio, the difference or the figure, None when not measured."""

    target: Target
    of: Spread | None
    to: Spread | None
    seen: float | None

    @property
    def reached(self) -> bool:
        return self.seen is not None and self.seen <= self.target.limit


def judge(target: Target, found: Sequence[Series]) -> Verdict:
    """Hold the series of one case against one of its targets."""

    def spread(side: Side | None) -> Spread | None:
        for series in found:
            if side and (series.side, series.hosts) == (side.name, side.hosts) and target.measure in series.values:
                return series.spread(target.measure)
        return None

    of, to = spread(target.of), spread(target.to)
    seen = None
    if of and target.to is None:
        seen = of.median
    elif of and to:
        seen = of.median / to.median if target.relation == "ratio" else of.median - to.median
    return Verdict(target, of, to, seen)
