"""`make test` runs each test that needs hosts or a browser, and each once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lab import state

ROOT = Path(__file__).resolve().parents[2]


def parts() -> dict[str, list[str]]:
    """The files of each part, as make itself expands them."""
    printed = subprocess.run(
        ["make", "--print-data-base", "--question", "--file", "Makefile", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,  # 1: there is something to make
    ).stdout
    (names,) = re.findall(r"^PARTS := (.*)$", printed, re.MULTILINE)
    found = dict(re.findall(r"^PART_(\w+) := (.*)$", printed, re.MULTILINE))
    assert sorted(found) == sorted(names.split())
    return {name: _expanded(found[name]) for name in names.split()}


def _expanded(files: str) -> list[str]:
    assert "$(" not in files, files
    return files.split()


def test_each_file_of_tests_is_in_one_part() -> None:
    listed = sorted(file for files in parts().values() for file in files)
    there = [
        str(path.relative_to(ROOT))
        for folder in ("lab", "browser")
        for path in (ROOT / "tests" / folder).glob("test_*.py")
    ]
    assert listed == sorted(there)


@pytest.mark.parametrize("part", parts())
def test_the_labs_of_a_part_have_names_that_a_lab_can_have(part: str) -> None:
    """With ten letters of one's own in TEST_LAB_NAME."""
    assert state.check_name(f"{'x' * 10}-{part}")
