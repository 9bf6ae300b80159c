"""A run's report: every host is in its files, whenever the run stops."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.defaults import ROOT
from tests.unit.reports.some_rows import (
    DOWN,
    HOSTILE,
    MIXED,
    OK,
    STARTED,
    hostile_rows,
)
from webui_stack.model.check import Check
from webui_stack.reports import report
from webui_stack.reports.report import Report
from webui_stack.reports.rows import Row


def test_json_has_every_host_in_inventory_order() -> None:
    found = json.loads(report.as_json("verify", STARTED, MIXED))
    assert list(found) == ["title", "started", "hosts"]
    assert (found["title"], found["started"]) == ("verify", "2026-11-22T21:22:05Z")
    assert [host["host"] for host in found["hosts"]] == list(MIXED)
    assert [host["ok"] for host in found["hosts"]] == [True, False, True, False, True]
    assert found["hosts"][0] == {
        "host": "good",
        "address": "192.0.2.1",
        "ok": True,
        "note": "",
        "checks": [
            {
                "name": "container redis",
                "ok": True,
                "advice": False,
                "seen": "redis-valkey is running",
                "next_step": "",
                "elapsed_ms": None,
            },
            {
                "name": "ping",
                "ok": True,
                "advice": False,
                "seen": "PONG in 0.6 ms",
                "next_step": "",
                "elapsed_ms": 0.6,
            },
        ],
    }


def test_json_gives_back_what_a_host_said() -> None:
    found = json.loads(report.as_json("verify", STARTED, hostile_rows()))
    assert found["hosts"][0]["host"] == found["hosts"][0]["checks"][0]["seen"] == HOSTILE


# --- A run ------------------------------------------------------------------------------------------


def hosts_in(a_report: Report) -> dict[str, bool]:
    assert a_report.folder
    found = json.loads((a_report.folder / "report.json").read_text())
    return {host["host"]: host["ok"] for host in found["hosts"]}


def test_the_last_host_completes_a_run_once(tmp_path: Path) -> None:
    run = Report("verify", ["a", "b", "c"], tmp_path)
    assert [run.add(Row(name, "", [OK])) for name in ("b", "c", "c", "a", "a", "b")] == [
        *(False, False, False, True, False, False)
    ]


def test_each_row_rewrites_the_files_and_missing_hosts_are_in_them(tmp_path: Path) -> None:
    run = Report("verify", ["a", "b", "c"], tmp_path)
    run.add(Row("c", "", [OK]))
    assert hosts_in(run) == {"a": False, "b": False, "c": True}
    assert run.rows["a"].note == report.NO_RESULT
    run.add(Row("a", "", [OK]))
    assert hosts_in(run) == {"a": True, "b": False, "c": True}
    assert run.folder
    assert sorted(path.name for path in run.folder.iterdir()) == ["report.html", "report.json"]


def test_a_second_row_of_a_host_replaces_the_first(tmp_path: Path) -> None:
    run = Report("verify", ["a", "b"], tmp_path)
    run.add(Row("a", "", [OK]))
    run.add(Row("a", "", [DOWN]))
    assert hosts_in(run) == {"a": False, "b": False}
    assert run.rows["a"].checks == [DOWN]


def test_a_host_nobody_expected_comes_after_the_others(tmp_path: Path) -> None:
    run = Report("verify", ["a"], tmp_path)
    assert not run.add(Row("stranger", "", [OK]))
    assert list(hosts_in(run)) == ["a", "stranger"]


def test_no_folder_is_made_before_the_first_row(tmp_path: Path) -> None:
    run = Report("verify", ["a"], tmp_path / "reports")
    assert list(tmp_path.iterdir()) == []
    run.add(Row("a", "", [OK]))
    assert run.folder == tmp_path / "reports" / run.started.strftime("%Y%m%dT%H%M%SZ")


def test_runs_of_one_second_have_folders_of_their_own_and_latest_is_the_newest(tmp_path: Path) -> None:
    runs = [Report("verify", [name], tmp_path) for name in "abc"]
    for run, name in zip(runs, "abc", strict=True):
        run.started = STARTED
        run.add(Row(name, "", [OK]))
        assert hosts_in(run) == {name: True}
        assert (tmp_path / "latest").resolve() == run.folder
    stamp = "20261122T212205Z"
    assert {path.name for path in tmp_path.iterdir()} == {stamp, f"{stamp}-2", f"{stamp}-3", "latest"}
    assert not (tmp_path / "latest").readlink().is_absolute()


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Report("verify", ["a", "b"], tmp_path)
    run.add(Row("a", "", [OK]))

    def disk_full(path: Path, text: str, **_options: str) -> None:
        path.write_bytes(text[:100].encode())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", disk_full)
        assert run.add(Row("b", "", [OK]))
    assert "No space left on device" in run.problem
    assert run.folder
    assert hosts_in(run) == {"a": True, "b": False}
    assert (run.folder / "report.html").read_text().endswith("</html>\n")
    run.add(Row("b", "", [OK]))
    assert (hosts_in(run), run.problem) == ({"a": True, "b": True}, "")


def test_a_report_that_cannot_be_written_fails_nothing_and_is_told(tmp_path: Path) -> None:
    in_the_way = tmp_path / "reports"
    in_the_way.write_text("a file")
    run = Report("verify", ["a"], in_the_way)
    assert run.add(Row("a", "", [OK]))
    out = io.StringIO()
    run.show(out)
    assert "1 ok" in out.getvalue()
    assert f"report: can't write below {in_the_way}" in out.getvalue()


def test_a_folder_in_place_of_the_link_costs_the_link_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    run = Report("verify", ["a", "b"], tmp_path)
    run.add(Row("a", "", [OK]))
    run.add(Row("b", "", [OK]))
    assert hosts_in(run) == {"a": True, "b": True}
    assert "latest" in run.problem
    assert run.folder
    assert {path.name for path in tmp_path.iterdir()} == {"latest", run.folder.name}


def test_bytes_that_are_no_utf8_are_written_all_the_same(tmp_path: Path) -> None:
    run = Report("verify", ["a"], tmp_path)
    run.add(Row("a", "", [Check("log", False, "caf\udce9")]))
    assert run.problem == ""
    assert run.folder
    assert "caf?" in (run.folder / "report.html").read_text()


def test_show_prints_the_table_and_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Report("verify", ["a"], tmp_path)
    run.add(Row("a", "", [DOWN]))
    run.show()
    said = capsys.readouterr()
    assert said.out == ""
    assert "1 fault" in said.err
    assert said.err.splitlines()[-1] == f"report: {run.folder}/report.html"


def test_git_ignores_reports() -> None:
    assert "/reports/" in (ROOT / ".gitignore").read_text().splitlines()


def test_a_file_is_put_at_once_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "status.html"
    for text in ("one", "two \udcff"):
        report.put(file, text)
    assert file.read_text() == "two ?"
    with pytest.raises(IsADirectoryError):
        report.put(tmp_path.parent / tmp_path.name, "no")
    assert [path.name for path in tmp_path.iterdir()] == ["status.html"]
    assert [path.name for path in tmp_path.parent.glob("*.new")] == []
