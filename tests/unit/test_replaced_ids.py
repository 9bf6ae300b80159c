"""tests/replaced-ids.tsv: for each test id that went, the id of the test that has its case now."""

from __future__ import annotations

import ast
import csv
from functools import cache

import pytest

from tests.defaults import ROOT

HEADER, *ROWS = csv.reader((ROOT / "tests/replaced-ids.tsv").read_text().splitlines(), delimiter="\t")


@cache
def functions(file: str) -> set[str]:
    """The names of a file's functions; of a file that is not there, none."""
    path = ROOT / file
    tree = ast.parse(path.read_text() if path.is_file() else "")
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def is_there(test: str) -> bool:
    """Whether there is such a test. Which parameters it has, only pytest knows."""
    file, _, name = test.partition("::")
    return name.partition("[")[0] in functions(file)


def test_each_row_has_an_id_that_went_and_one_that_covers_it() -> None:
    assert HEADER == ["gone", "covered by"]
    assert [row for row in ROWS if len(row) != 2 or row[0] == row[1]] == []
    gone = [row[0] for row in ROWS]
    assert len(gone) == len(set(gone))


def test_the_covering_tests_are_there() -> None:
    """All in one test: an id for each row, or for each file, took seconds of `make check`."""
    assert [test for test in sorted({row[1] for row in ROWS}) if not is_there(test)] == []


@pytest.mark.parametrize("test", ["tests/unit/gone.py::test_a", "tests/unit/test_parts.py::test_that_nobody_wrote[a]"])
def test_a_covering_test_that_is_gone_is_found(test: str) -> None:
    assert not is_there(test)


def test_what_went_is_not_there() -> None:
    assert [row[0] for row in ROWS if "[" not in "".join(row) and is_there(row[0])] == []
