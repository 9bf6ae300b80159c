"""Tests of failures and crashes: what each has gone through, for `tests/crashes.py`, and which come first."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.host import cases

# Files with the longest scenarios, the longest first: nobody helps a core that gets one of them last.
LONGEST = (
    *("test_rollback", "test_upgrade", "test_swarm_restore", "test_restore", "test_up", "test_overlay"),
    *("test_releases", "test_exchange", "test_swarm_up", "test_swarm_overlay", "test_drill"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ensure the longest tests of failures and crashes come first; all others stay in their order."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, int]:
    if item.path.stem not in LONGEST or not item.get_closest_marker("crash"):
        return len(LONGEST), 0
    # A scenario in which each call fails goes through more than one that is cut off at each change.
    return int("fail" not in item.name), LONGEST.index(item.path.stem)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Count the cases of a test of failures and crashes. A fixture would cost all other tests their time as well."""
    before = cases.made
    result = yield
    if item.get_closest_marker("crash"):
        assert cases.made > before, "it let nothing fail, and cut nothing off"
        item.user_properties.append(("cases", cases.made - before))
    return result
