"""Reports: every host is in them, the worst is easy to find, and nothing a host says is taken for markup."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from tests.defaults import ROOT
from webui_stack.model.check import Check
from webui_stack.reports import report
from webui_stack.reports.report import Latency, Report, Row, State

STARTED = datetime(2026, 11, 22, 21, 22, 5, tzinfo=UTC)
OK = Check("container redis", True, "redis-valkey is running")
PING = Check("ping", True, "PONG in 0.6 ms", elapsed_ms=0.6)
DOWN = Check("container open-webui", False, "open-webui is exited", "look at its log")
SILENT = Check("subscribers", False, "0 connections", "Open WebUI is not connected")
DISK = Check("disk", False, "6 GB free", "prune", advice=True)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}[red]\x1b[2J\x07\u202egnp.exe"


def rows(*some: Row) -> dict[str, Row]:
    return {row.host: row for row in some}


MIXED = rows(
    Row("good", "192.0.2.1", [OK, PING]),
    Row("bad", "192.0.2.2", [OK, DOWN, SILENT, DISK]),
    Row("fair", "192.0.2.3", [OK, PING, DISK]),
    Row("gone", "192.0.2.4", note="could not connect: timed out"),
    Row("fine", "192.0.2.5", [OK, PING]),
)


def hostile_rows() -> dict[str, Row]:
    check = Check(HOSTILE, False, HOSTILE, HOSTILE, elapsed_ms=1)
    return rows(Row(HOSTILE, HOSTILE, [check], HOSTILE), Row("gone", HOSTILE, note=HOSTILE))


def tame_rows() -> dict[str, Row]:
    """The shape of `hostile_rows`, in plain words."""
    return rows(Row("a", "b", [Check("c", False, "d", "e", elapsed_ms=1)], "f"), Row("gone", "b", note="f"))


def many(number: int, *checks: Check) -> dict[str, Row]:
    return rows(*(Row(f"web-{n:03}.example.org", f"192.0.2.{n}", checks) for n in range(number)))


class Page(HTMLParser):
    """A page's elements with their attributes' names, its text, and each table row's cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[tuple[str, ...]] = set()
        self.words: list[str] = []
        self.table: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add((tag, *(name for name, _ in attrs)))
        if tag == "tr":
            self.table.append([])
        if tag in ("td", "th"):
            self.table[-1].append("")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.table and self.table[-1]:
            self.table[-1][-1] += data


def page(of: dict[str, Row]) -> Page:
    return Page(report.html("verify", STARTED, of))


def printed(of: dict[str, Row], width: int = 100, terminal: bool = False) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=terminal, highlight=False).print(report.table("verify", STARTED, of))
    return out.getvalue().splitlines()


# --- A host in a word -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checks", "note", "result", "words", "ok"),
    [
        ([OK, PING], "", "ok", "", True),
        ([OK], "taken over by hand", "ok", "taken over by hand", True),
        ([OK, DISK], "", "1 advice", "disk: 6 GB free", True),
        ([DISK, DOWN], "", "1 fault", "container open-webui: open-webui is exited", False),
        ([OK, DOWN, DISK, SILENT], "", "2 faults", "container open-webui: open-webui is exited", False),
        ([], "could not connect", "not checked", "could not connect", False),
    ],
)
def test_a_host_is_as_its_worst_check(checks: list[Check], note: str, result: str, words: str, ok: bool) -> None:
    row = Row("h", "a", checks, note)
    assert (row.result, row.words, row.ok) == (result, words, ok)


def test_advice_on_what_is_well_is_no_advice() -> None:
    assert report.state_of(Check("disk", True, "80 GB free", advice=True)) is State.OK


def test_columns_are_in_the_order_of_the_host_that_got_furthest() -> None:
    stopped_early = Row("first", "", [OK, SILENT])
    assert report.check_names(rows(stopped_early, Row("second", "", [OK, PING, SILENT]))) == [
        "container redis",
        "ping",
        "subscribers",
    ]


@pytest.mark.parametrize(
    ("values", "summary", "scale_ms"),
    [
        ([0.6], "0.6 ms", 0.7),
        ([3, 1, 2], "min 1.0 ms · median 2.0 ms · max 3.0 ms (host-0)", 3),
        ([24, 36, 48, 145], "min 24 ms · median 42 ms · max 145 ms (host-3)", 150),
        ([0.0, 0.0], "min 0.0 ms · median 0.0 ms · max 0.0 ms (host-0)", 0.1),
    ],
)
def test_a_latency_is_told_in_a_line(values: list[float], summary: str, scale_ms: float) -> None:
    latency = Latency("ping", {f"host-{number}": value for number, value in enumerate(values)})
    assert latency.summary == summary
    assert latency.scale_ms == pytest.approx(scale_ms)


# --- The terminal -----------------------------------------------------------------------------------


def test_the_table_has_the_worst_last_and_says_so_in_words() -> None:
    lines = printed(MIXED)
    assert [host for line in lines if (host := line.split(" ")[0] or line.split(" ")[1]) in MIXED] == [
        *("good", "fine", "fair", "gone", "bad")
    ]
    text = "\n".join(lines)
    for words in ("2 faults", "1 advice", "not checked", "3 ok, 1 with faults, 1 not checked", "0.6", "6 GB free"):
        assert words in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_hundred_hosts_are_a_hundred_lines(width: int) -> None:
    slow = Check("websocket handshake", True, "connected", elapsed_ms=1234)
    lines = printed(many(100, OK, PING, slow), width)
    assert sum("web-" in line for line in lines) == 100
    assert len(lines) < 110
    assert max(map(len, lines)) <= width
    assert ("1234 ms" in "\n".join(lines)) is (width >= 100)


def test_what_there_is_to_look_at_wraps_between_words() -> None:
    lines = printed(many(1, DOWN, Check("c", False, "")), 60)
    words = " ".join(line[42:].strip() for line in lines)
    assert "container open-webui: open-webui is exited" in words


def test_long_names_and_words_stay_in_their_columns() -> None:
    long = Row("h" * 60, "2001:db8:1111:2222:3333:4444:5555:6666", [Check("c" * 50, False, "word " * 200, "")])
    lines = printed(rows(long), 100)
    assert max(map(len, lines)) <= 100
    assert len(lines) < 20
    assert sum("hhh" in line for line in lines) == sum("2001:db8" in line for line in lines) == 1


def test_what_a_host_says_does_not_steer_the_terminal() -> None:
    text = "\n".join(printed(hostile_rows(), 200, terminal=True))
    assert "\x1b[" in text  # colours of our own
    assert not re.search("\x1b\\[2J|\x07|\u202e", text)
    assert "[red]" in text


def test_a_table_of_no_hosts_is_no_error() -> None:
    assert "0 ok, 0 with faults, 0 not checked" in "\n".join(printed({}))


# --- The page ---------------------------------------------------------------------------------------


def test_the_page_has_a_row_per_host_and_a_column_per_check_worst_first() -> None:
    head, *body = page(MIXED).table
    assert [word.strip() for word in head] == [
        *("host", "address", "container redis", "container open-webui", "subscribers", "disk", "ping", "what was seen")
    ]
    assert [row[0].strip() for row in body] == ["bad", "gone", "fair", "good", "fine"]
    cells = {row[0].strip(): [cell.strip()[0] for cell in row[2:7]] for row in body}
    assert cells["bad"] == ["✓", "✗", "✗", "!", "·"]
    assert cells["gone"] == ["·"] * 5
    assert cells["good"] == ["✓", "·", "·", "·", "✓"]


def test_the_page_counts_hosts_and_says_the_next_step() -> None:
    words = " ".join(" ".join(page(MIXED).words).split())
    for part in ("ok, 1 with advice 3", "with faults 1", "not checked 1", "2026-11-22 21:22:05 UTC", "look at its log"):
        assert part in words
    assert "could not connect: timed out" in words


def test_a_check_that_came_twice_shows_the_worse() -> None:
    text = report.html("doctor", STARTED, rows(Row("h", "a", [OK, Check(OK.name, False, "gone")])))
    assert '<td class="check fault" title="container redis: gone">' in text


def test_no_text_of_a_host_becomes_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert page(hostile_rows()).elements == page(tame_rows()).elements
    assert HOSTILE in " ".join(page(hostile_rows()).words)
    monkeypatch.setattr(report, "_environment", report._environment.overlay(autoescape=False, bytecode_cache=None))
    assert ("script",) in page(hostile_rows()).elements


def test_the_page_needs_no_network_and_runs_nothing() -> None:
    text = report.html("verify", STARTED, MIXED)
    assert re.findall(r"https?:|//|src=|href=|url\(|@import|<script|<link|\son\w+=", text) == []
    assert "default-src 'none'" in text


@pytest.mark.parametrize(("hosts", "faults", "unfolded"), [(3, 0, 3), (4, 0, 0), (9, 3, 3), (9, 4, 0)])
def test_few_faults_are_shown_unfolded(hosts: int, faults: int, unfolded: int) -> None:
    some = rows(*(Row(f"h{number}", "", [DOWN if number < faults else OK]) for number in range(hosts)))
    assert report.html("verify", STARTED, some).count("<details open>") == unfolded


def test_a_page_of_no_hosts_says_so() -> None:
    assert "No hosts." in report.html("verify", STARTED, {})


def test_a_page_of_a_hundred_hosts_has_them_all() -> None:
    found = page(many(100, OK, PING, DOWN))
    assert len(found.table) == 101


# --- For programs -----------------------------------------------------------------------------------


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


def test_the_width_is_the_terminals_or_120(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "93")
    assert report.console(Terminal()).width == 93
    assert report.console(io.StringIO()).width == 120


def test_git_ignores_reports() -> None:
    assert "/reports/" in (ROOT / ".gitignore").read_text().splitlines()
