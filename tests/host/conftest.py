"""What each test of failures and crashes has gone through is in the results, for `tests/crashes.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.host import cases


@pytest.fixture(autouse=True)
def count_cases(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[None]:
    before = cases.made
    yield
    if request.node.get_closest_marker("crash"):
        assert cases.made > before, "it let nothing fail, and cut nothing off"
        record_property("cases", cases.made - before)
