"""The sets that stay are the newest ones, and one of each day, week and month, as restic counts them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from webui_stack.host.retention import FORM, Retention, keep


def days(first: str, count: int, *, hours: int = 24) -> list[str]:
    begin = datetime.strptime(first, FORM)
    return [(begin + timedelta(hours=hours * number)).strftime(FORM) for number in range(count)]


YEAR = days("20260101T033000Z", 365)


def test_without_ages_the_newest_stay_and_0_keeps_all() -> None:
    assert keep(YEAR, Retention(7)) == set(YEAR[-7:])
    assert keep(YEAR, Retention(0, daily=1)) == set(YEAR)
    assert keep([], Retention(7, 7, 7, 7)) == set()


def test_one_set_of_each_day_week_and_month_stays_the_newest_of_it() -> None:
    kept = keep(YEAR, Retention(1, daily=3, weekly=3, monthly=3))
    # 2026-12-31 is a Thursday: the two weeks before it end on Sundays, the 27th and the 20th.
    assert sorted(kept) == [
        f"2026{day}T033000Z" for day in ("1031", "1130", "1220", "1227", "1229", "1230", "1231")
    ]  # fmt: skip


def test_several_sets_of_a_day_count_as_one() -> None:
    hourly = days("20261129T000000Z", 48, hours=1)
    assert keep(hourly, Retention(2, daily=5)) == {"20261129T230000Z", "20261130T220000Z", "20261130T230000Z"}


def test_an_outage_costs_no_old_set() -> None:
    """Days without a set count for nothing."""
    there = [*days("20260101T033000Z", 5), "20261231T033000Z"]
    assert keep(there, Retention(1, daily=4)) == {*there[2:5], there[5]}


def test_a_week_that_two_years_share_is_one_week() -> None:
    assert keep(["20261231T033000Z", "20270101T033000Z"], Retention(1, weekly=9)) == {"20270101T033000Z"}


def test_the_set_that_was_made_last_is_the_newest_whatever_its_name_says() -> None:
    """The clock was set back."""
    assert keep(["20270101T000000Z", "20261129T030000Z"], Retention(1), "20261129T030000Z") == {"20261129T030000Z"}
    assert keep(["20261129T040000Z", "20261129T030000Z"], Retention(1, 1), "20261129T030000Z") == {"20261129T030000Z"}


def test_what_is_no_time_stays_by_its_place_alone() -> None:
    assert keep(["20269999T999999Z", *YEAR], Retention(1, daily=1)) == {"20269999T999999Z", YEAR[-1]}


@pytest.mark.parametrize(("last", "daily", "weekly", "monthly"), [(1, 0, 0, 0), (3, 7, 4, 12), (2, 0, 5, 0)])
def test_what_stays_of_those_that_stay_is_all_of_them(last: int, daily: int, weekly: int, monthly: int) -> None:
    """Else a set would be copied and forgotten, again and again."""
    rule = Retention(last, daily, weekly, monthly)
    kept = keep(YEAR, rule)
    assert keep(kept, rule) == kept
    assert keep({*kept, *YEAR[::3]}, rule) == kept


def test_why_a_set_goes_is_told() -> None:
    assert Retention(7).words == "7 newer ones are there"
    assert Retention(7, monthly=12, daily=14).words == "the newest 7, 14 daily, 12 monthly stay"
