"""Which backup sets stay: the newest ones, and for some days, weeks and months one each. Pure.

The words and their meaning are restic's (`restic forget --keep-daily`): a day without a set counts for nothing, so an
outage costs no old set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

FORM = "%Y%m%dT%H%M%SZ"
"""The name of a set: when it was made, in UTC."""


@dataclass(frozen=True)
class Retention:
    """How many sets stay: the newest `last`, and the newest one of each of so many days, weeks and months.

    A `last` of 0 keeps all. A week begins on Monday. Each time is in UTC.
    """

    last: int
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    @property
    def words(self) -> str:
        """Why a set goes: what is there instead of it."""
        ages = {"daily": self.daily, "weekly": self.weekly, "monthly": self.monthly}
        ages = {name: count for name, count in ages.items() if count}
        if not ages:
            return f"{self.last} newer ones are there"
        return ", ".join([f"the newest {self.last}", *(f"{count} {name}" for name, count in ages.items())]) + " stay"


def keep(names: Collection[str], rule: Retention, made: str = "") -> set[str]:
    """The names that stay.

    `made` is the set that was made last, and counts as the newest whatever its name: the clock may have been set back.
    """
    if not rule.last:
        return set(names)
    newest_first = sorted(set(names), key=lambda name: (name == made, name), reverse=True)
    kept = set(newest_first[: rule.last])
    for count, period in ((rule.daily, _day), (rule.weekly, _week), (rule.monthly, _month)):
        kept |= _newest_of_each(newest_first, count, period)
    return kept


def _newest_of_each(newest_first: Collection[str], count: int, period: Callable[[datetime], object]) -> set[str]:
    found: dict[object, str] = {}
    for name in newest_first:
        time = _time(name)
        if time and len(found) < count:
            found.setdefault(period(time), name)
    return set(found.values())


def _time(name: str) -> datetime | None:
    """None for a folder that somebody has named: its digits are no time."""
    try:
        return datetime.strptime(name, FORM)
    except ValueError:
        return None


def _day(time: datetime) -> object:
    return time.date()


def _week(time: datetime) -> object:
    return time.isocalendar()[:2]


def _month(time: datetime) -> object:
    return time.year, time.month
