"""Docker's rules in a host's packet filter: missing ones are told apart from those that nobody wanted or could see."""

from __future__ import annotations

from typing import Any

import pytest

from webui_stack.model import firewall


@pytest.mark.parametrize(
    ("seen", "gone"),
    [
        (None, []),
        ({"managed": False, "nat": 0, "filter": 0}, []),
        ({"managed": True, "nat": None, "filter": None}, []),
        ({"managed": True, "nat": 0, "filter": 2}, ["nat"]),
        ({"managed": True, "nat": 1, "filter": 2}, []),
        ({"managed": True, "nat": None, "filter": 0}, ["filter"]),
        ({"managed": True, "nat": 0, "filter": 0}, ["nat", "filter"]),
    ],
)
def test_what_nobody_knows_is_no_fault(seen: dict[str, Any] | None, gone: list[str]) -> None:
    assert firewall.gone(seen) == gone
