"""How many failures and crashes of the host's program `make crash` has gone through, by what was tested."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

RESULTS = Path("reports/tests/crash.xml")


def table(results: Path) -> list[str]:
    """A table in Markdown: the scenarios of each file of tests, and their cases. `results` is pytest's JUnit file."""
    scenarios: Counter[str] = Counter()
    cases: Counter[str] = Counter()
    for case in ElementTree.parse(results).iter("testcase"):
        name = case.attrib["classname"].rpartition("test_")[2]
        scenarios[name] += 1
        cases[name] += sum(int(one.attrib["value"]) for one in case.iter("property") if one.attrib["name"] == "cases")
    rows = [f"| {name} | {scenarios[name]} | {cases[name]:,} |" for name in sorted(scenarios)]
    total = f"| all | {scenarios.total()} | {cases.total():,} |"
    return ["| tests/host/test_... | scenarios | failures and crashes |", "|---|---|---|", *rows, total]


def main() -> None:
    print("\n".join(table(RESULTS)))


if __name__ == "__main__":
    main()
