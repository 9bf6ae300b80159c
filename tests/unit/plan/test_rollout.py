"""Batches: every host is in one, in order; the next starts only while few enough failed; the settings are one run's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.defaults import settings
from webui_stack.plan import rollout
from webui_stack.plan.rollout import Batch, Fate
from webui_stack.settings.model import Settings

HOSTS = [f"web-{number}" for number in range(1, 11)]
GENTLE = settings(rollout_canary=["web-4"], rollout_batch=3)


def policies() -> st.SearchStrategy[Settings]:
    return st.builds(
        lambda canary, batch, most: settings(rollout_canary=canary, rollout_batch=batch, rollout_max_failures=most),
        st.integers(0, 12) | st.lists(st.sampled_from(HOSTS), unique=True),
        st.none() | st.integers(1, 12) | st.integers(1, 100).map("{}%".format),
        st.integers(0, 12),
    )


def targets() -> st.SearchStrategy[list[str]]:
    """What `--limit` may leave, in the inventory's order."""
    return st.sets(st.sampled_from(HOSTS), min_size=1).map(lambda some: sorted(some, key=HOSTS.index))


def sizes(plan: Sequence[Batch]) -> list[int]:
    return [len(batch) for batch in plan]


# --- Who goes with whom -----------------------------------------------------------------------------


def test_by_default_there_is_one_batch() -> None:
    assert rollout.batches(settings(), HOSTS) == [tuple(HOSTS)]


def test_the_canary_comes_first_and_the_others_keep_their_order() -> None:
    assert rollout.batches(GENTLE, HOSTS) == [
        ("web-4",),
        ("web-1", "web-2", "web-3"),
        ("web-5", "web-6", "web-7"),
        ("web-8", "web-9", "web-10"),
    ]


@pytest.mark.parametrize(
    ("batch", "expected"),
    [("25%", [2] * 5), ("50%", [5, 5]), ("34%", [3, 3, 3, 1]), ("1%", [1] * 10), ("100%", [10]), (4, [4, 4, 2])],
)
def test_a_percentage_is_never_exceeded_except_by_a_single_host(batch: int | str, expected: list[int]) -> None:
    assert sizes(rollout.batches(settings(rollout_batch=batch), HOSTS)) == expected


def test_a_percentage_is_one_of_all_hosts_the_canary_among_them() -> None:
    assert sizes(rollout.batches(settings(rollout_batch="50%", rollout_canary=2), HOSTS)) == [2, 5, 3]


def test_a_canary_that_is_not_targeted_is_left_out() -> None:
    assert rollout.batches(GENTLE, ["web-1", "web-2"]) == [("web-1", "web-2")]
    assert rollout.batches(GENTLE, ["web-1", "web-4"]) == [("web-4",), ("web-1",)]


@given(policies(), targets())
def test_every_host_is_in_exactly_one_batch_and_none_is_empty(policy: Settings, hosts: list[str]) -> None:
    plan = rollout.batches(policy, hosts)
    assert sorted(name for batch in plan for name in batch) == sorted(hosts)
    assert all(plan)


@given(policies(), targets())
def test_the_order_is_the_inventorys_in_the_canary_and_after_it(policy: Settings, hosts: list[str]) -> None:
    first, *rest = rollout.batches(policy, hosts)
    after = [HOSTS.index(name) for batch in rest for name in batch]
    assert after == sorted(after)
    assert [HOSTS.index(name) for name in first] == sorted(HOSTS.index(name) for name in first)


# --- May the next one start -------------------------------------------------------------------------


@given(policies(), targets(), st.sets(st.sampled_from(HOSTS)))
def test_a_batch_starts_exactly_if_few_enough_failed_before_it(
    policy: Settings, hosts: list[str], failed: set[str]
) -> None:
    plan = rollout.batches(policy, hosts)
    closed = rollout.first_closed(policy, plan, failed)
    for number in range(len(plan)):
        failures = failed & {name for batch in plan[:number] for name in batch}
        assert (closed is None or number < closed) == (len(failures) <= policy.rollout_max_failures)


def test_a_failure_stops_the_next_batch_and_not_its_own() -> None:
    plan = rollout.batches(GENTLE, HOSTS)
    assert rollout.first_closed(GENTLE, plan, set()) is None
    assert rollout.first_closed(GENTLE, plan, {"web-4"}) == 1
    assert rollout.first_closed(GENTLE, plan, {"web-2", "web-9"}) == 2
    assert rollout.first_closed(GENTLE, plan, {"web-10"}) is None, "nothing comes after it"


def test_as_many_failures_as_allowed_stop_nothing() -> None:
    lenient = settings(rollout_batch=1, rollout_max_failures=2)
    plan = rollout.batches(lenient, HOSTS)
    assert rollout.first_closed(lenient, plan, {"web-1", "web-2"}) is None
    assert rollout.first_closed(lenient, plan, {"web-1", "web-2", "web-5"}) == 5


@given(st.integers(0, 86400))
def test_a_pause_is_waited_in_full_and_not_in_silence(pause_s: int) -> None:
    steps = list(rollout.reminders(pause_s))
    assert sum(slept for slept, _ in steps) == pause_s
    assert [left for _, left in steps] == [pause_s - sum(s for s, _ in steps[: n + 1]) for n in range(len(steps))]
    assert len(steps) <= 10
    assert all(slept <= max(10, pause_s / 10 + 1) for slept, _ in steps)


# --- Settings of one run ----------------------------------------------------------------------------


def test_hosts_that_agree_have_no_problem() -> None:
    assert rollout.problems({"web-1": GENTLE, "web-2": GENTLE}, HOSTS) == []


def test_hosts_that_disagree_are_named_with_their_values() -> None:
    other = settings(rollout_canary=["web-4"], rollout_batch="25%", rollout_max_failures=1)
    assert rollout.problems({"web-1": GENTLE, "web-2": GENTLE, "web-3": other}, HOSTS) == [
        "rollout_batch: expected the same for all targeted hosts, since it is about the run, got 3 (web-1, web-2) and "
        "'25%' (web-3); set it in group_data/all.py beside your inventory, or with --data",
        "rollout_max_failures: expected the same for all targeted hosts, since it is about the run, got 0 (web-1, "
        "web-2) and 1 (web-3); set it in group_data/all.py beside your inventory, or with --data",
    ]


def test_a_canary_nobody_knows_is_refused_once_naming_the_hosts_there_are() -> None:
    policy = settings(rollout_canary=["web-11", "nonsense"])
    listed = ", ".join(HOSTS)
    assert rollout.problems({"web-1": policy, "web-2": policy}, HOSTS) == [
        f"rollout_canary: expected hosts of the inventory, got 'nonsense'; there are {listed}",
        f"rollout_canary: expected hosts of the inventory, got 'web-11'; did you mean web-1? There are {listed}",
    ]


def test_a_large_inventory_is_not_listed_to_its_end() -> None:
    many = [f"host-{number}" for number in range(500)]
    (problem,) = rollout.problems({"host-0": settings(rollout_canary=["x"])}, many)
    assert problem.endswith("host-18, host-19 and 480 more")


# --- What people read -------------------------------------------------------------------------------


def test_the_plan_says_who_goes_when() -> None:
    assert rollout.told_plan(GENTLE, rollout.batches(GENTLE, HOSTS[:5])) == [
        "Batch 1 of 3, the canary: web-4",
        "Batch 2 of 3: web-1, web-2, web-3",
        "Batch 3 of 3: web-5",
    ]


@pytest.mark.parametrize("policy", [settings(rollout_batch=2), settings(rollout_batch=2, rollout_canary=["web-9"])])
def test_the_plan_names_no_canary_where_there_is_none(policy: Settings) -> None:
    assert rollout.told_plan(policy, rollout.batches(policy, HOSTS[:3]))[0] == "Batch 1 of 2: web-1, web-2"


def test_the_end_says_what_became_of_whom_and_what_to_do() -> None:
    plan = [("web-1",), ("web-2", "web-3"), ("web-4",)]
    fates = {"web-1": Fate.DONE, "web-2": Fate.DONE, "web-3": Fate.FAILED, "web-4": Fate.UNTOUCHED}
    assert rollout.told_stop(settings(), plan, {"web-3"}, 2) == (
        "stopped before batch 3 of 3: 1 host failed, rollout_max_failures is 0"
    )
    assert rollout.told_end(plan, fates) == [
        "done       2: web-1, web-2",
        "failed     1: web-3",
        "untouched  1: web-4",
        "fix what failed and run the same command again: it goes on with what is left",
    ]


def test_what_was_cut_off_needs_no_repair() -> None:
    fates = {"web-1": Fate.DONE, "web-2": Fate.CUT_OFF}
    assert rollout.told_end([("web-1",), ("web-2",)], fates)[1:] == [
        "cut off    1: web-2",
        "run the same command again: it goes on with what is left",
    ]


def test_when_all_are_done_there_is_nothing_to_do() -> None:
    assert rollout.told_end([("web-1",), ("web-2",)], dict.fromkeys(["web-1", "web-2"], Fate.DONE)) == [
        "done       2: web-1, web-2"
    ]
