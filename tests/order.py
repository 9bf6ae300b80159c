"""The longest tests come first: a core that gets one of them last works on while the others are idle."""

from __future__ import annotations

import pytest

# What waits, or starts many processes, for seconds.
_LONG = {
    "test_a_pause_follows_a_batch_that_changed_something_and_no_other",
    "test_a_change_that_does_not_end_is_ended_with_all_that_it_has_started",
    "test_batches_start_exactly_as_long_as_few_enough_failed",
    "test_a_fork_says_what_a_run_of_its_own_says",
    "test_a_proxy_that_ends_quiet_websockets_is_found",
    "test_each_alert_fires_and_clears_in_prometheus",
}
# Files with the longest scenarios of failures and crashes, the longest first.
_SCENARIOS = (
    *("test_rollback", "test_upgrade", "test_swarm_restore", "test_restore", "test_up", "test_overlay"),
    *("test_releases", "test_exchange", "test_swarm_up", "test_swarm_overlay", "test_drill"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ensure the longest tests of `make check` and of `make crash` come first; all others stay in their order."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, int]:
    if getattr(item, "originalname", "") in _LONG:
        return 0, 0
    if item.path.stem not in _SCENARIOS or not item.get_closest_marker("crash"):
        return 3, 0
    # A scenario in which each call fails goes through more than one that is cut off at each change.
    return 1 if "fail" in item.name else 2, _SCENARIOS.index(item.path.stem)
