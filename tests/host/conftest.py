"""What each test of failures and crashes has gone through is in the results, for `tests/crashes.py`."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.host import cases


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Count the cases of a test of failures and crashes. A fixture would cost all other tests their time as well."""
    before = cases.made
    result = yield
    if item.get_closest_marker("crash"):
        assert cases.made > before, "it let nothing fail, and cut nothing off"
        item.user_properties.append(("cases", cases.made - before))
    return result
