"""The slowest tests of the last runs, by their results in reports/tests/: `make durations`."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

SHOWN = 40


def slowest(results: Iterable[Path]) -> list[tuple[float, str]]:
    """Seconds and name of each test with its fixtures, the slowest first. `results` are pytest's JUnit files."""
    cases = [case for path in results for case in ElementTree.parse(path).iter("testcase")]
    return sorted(((float(case.attrib["time"]), name(case)) for case in cases), reverse=True)


def name(case: ElementTree.Element) -> str:
    return f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name']}"


def main() -> int:
    results = sorted(Path("reports/tests").glob("*.xml"))
    if not results:
        print(
            "reports/tests: expected results of tests, got none; run `make check` or `make test` first", file=sys.stderr
        )
        return 2
    for seconds, test in slowest(results)[:SHOWN]:
        print(f"{seconds:8.1f} s  {test}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
