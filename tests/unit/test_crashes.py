"""The table that `make crash` prints, of pytest's own results."""

from __future__ import annotations

from pathlib import Path

from tests import crashes

RESULTS = """\
<testsuites><testsuite name="pytest">
<testcase classname="tests.host.test_up" name="a">
<properties><property name="cases" value="1200"/></properties></testcase>
<testcase classname="tests.host.test_up" name="b">
<properties><property name="cases" value="34"/></properties></testcase>
<testcase classname="tests.host.test_data_valkey" name="c">
<properties><property name="cases" value="7"/></properties>
</testcase></testsuite></testsuites>
"""


def test_each_file_of_tests_has_a_row_and_all_have_a_sum(tmp_path: Path) -> None:
    results = tmp_path / "crash.xml"
    results.write_text(RESULTS)
    assert crashes.table(results)[2:] == ["| data_valkey | 1 | 7 |", "| up | 2 | 1,234 |", "| all | 3 | 1,241 |"]
