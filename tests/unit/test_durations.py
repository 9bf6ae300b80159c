"""`make durations` lists the slowest tests of all results that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import durations

RESULTS = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest">
<testcase classname="tests.unit.test_a" name="test_quick" time="0.1" />
<testcase classname="tests.unit.test_a" name="test_slow[x.y]" time="12.5"><failure message="m">f</failure></testcase>
</testsuite></testsuites>"""
OTHER = RESULTS.replace("unit.test_a", "lab.test_b").replace("12.5", "90")


def test_the_slowest_of_all_results_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "reports/tests"
    folder.mkdir(parents=True)
    (folder / "check.xml").write_text(RESULTS)
    (folder / "first.xml").write_text(OTHER)
    monkeypatch.chdir(tmp_path)
    assert durations.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["90.0", "s", "tests/lab/test_b.py::test_slow[x.y]"]
    assert lines[1].split() == ["12.5", "s", "tests/unit/test_a.py::test_slow[x.y]"]
    assert len(lines) == 4


def test_without_results_it_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert durations.main() == 2
    assert "run `make check` or `make test` first" in capsys.readouterr().err
