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


@pytest.mark.parametrize("file", sorted({row[1].partition("::")[0] for row in ROWS}))
def test_the_covering_tests_of_a_file_are_there(file: str) -> None:
    """A test a file: an id for each row took a second of `make check`."""
    covering = {row[1] for row in ROWS if row[1].startswith(f"{file}::")}
    assert [test for test in sorted(covering) if not is_there(test)] == []


def test_what_went_is_not_there() -> None:
    assert [row[0] for row in ROWS if "[" not in "".join(row) and is_there(row[0])] == []
