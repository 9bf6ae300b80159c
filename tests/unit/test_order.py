"""What comes first is there, and nothing else changes its place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests import order
from tests.defaults import ROOT


def test_each_long_test_and_each_file_of_scenarios_is_there() -> None:
    texts = [path.read_text() for path in (ROOT / "tests").glob("*/**/test_*.py")]
    assert [name for name in order._LONG if not any(f"\ndef {name}(" in text for text in texts)] == []
    assert [name for name in order._SCENARIOS if not (ROOT / f"tests/host/{name}.py").is_file()] == []


def item(file: str, name: str, *, crash: bool = True) -> Any:
    return SimpleNamespace(
        path=Path(file), name=f"{name}[x]", originalname=name, get_closest_marker=lambda _: object() if crash else None
    )


def test_the_longest_come_first_and_the_others_stay_in_their_order() -> None:
    (waits, *_) = order._LONG
    given = [
        item("host/test_up.py", "test_a_good_one", crash=False),
        item("host/test_rollback.py", "test_it_is_cut_off"),
        item("host/test_files.py", "test_it_fails"),
        item("host/test_upgrade.py", "test_it_fails"),
        item("host/test_rollback.py", "test_it_fails"),
        item("plan/test_rollout.py", waits, crash=False),
        item("plan/test_backup.py", "test_a", crash=False),
    ]
    items = list(given)
    order.pytest_collection_modifyitems(items)
    assert items == [given[place] for place in (5, 4, 3, 1, 0, 2, 6)]
