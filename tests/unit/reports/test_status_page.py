"""The page of all hosts: each is in it, the worst first; nothing is loaded, and nothing a host says is markup."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.unit.reports.some_hosts import BAD, DIGEST, GOOD, HOSTS, NOW, hostile, tame
from tests.unit.reports.some_rows import HOSTILE
from tests.unit.reports.test_page import Page
from webui_stack.reports import page, status_page
from webui_stack.reports.status import Status


def read(hosts: Mapping[str, Status]) -> Page:
    return Page(status_page.html(hosts, NOW))


def words(hosts: Mapping[str, Status]) -> str:
    return " ".join(" ".join(read(hosts).words).split())


def test_it_has_a_row_for_each_host_worst_first() -> None:
    head, *rows = read(HOSTS).table
    assert [cell.strip() for cell in head[1:]] == [
        *("host", "Open WebUI", "Valkey", "works", "backup", "drill", "certificate", "alarms", "drift", "deployed"),
        "what to look at",
    ]
    assert [row[1].strip() for row in rows[: len(HOSTS)]] == ["bad", "gone", "drifted", "good", "fine"]
    rows = rows[: len(HOSTS)]
    assert [row[0].strip()[0] for row in rows] == ["✗", "·", "!", "✓", "✓"]
    assert [cell.strip() for cell in rows[0][2:11]] == ["0.12.4", "8.1.1", "no", "3 d", "-", "ended", "1", "0", "-"]
    assert [cell.strip() for cell in rows[3][2:11]] == ["0.12.4", "8.1.1", "yes", "5 h", "3 d", "61 d", "0", "0", "3 d"]


def test_it_counts_hosts_and_versions() -> None:
    found = words(HOSTS)
    for part in (
        "ok, 1 with advice 3",
        "with faults 1",
        "not checked 1",
        "looked at 2026-11-30 12:00:00 UTC · 5 hosts",
        "Open WebUI 0.12.4 on 3 hosts, 0.12.3 on 1 host · Valkey 8.1.1 on 4 hosts",
    ):
        assert part in found, part


def test_it_says_what_there_is_to_look_at_and_what_to_do() -> None:
    found = words(HOSTS)
    for part in (
        "3 faults",
        "broken since 2026-11-30 11:00:00 UTC: Valkey gave no PONG",
        "look at `docker logs redis-valkey`",
        "run runbooks/backup.py",
        "/opt/open-webui/compose.yaml: differs",
        "could not be looked at; its reason is above",
        f"good open-webui {DIGEST}",
    ):
        assert part in found, part


@pytest.mark.parametrize(
    ("column", "state"), [("works", "fault"), ("backup", "fault"), ("certificate", "fault"), ("drift", "ok")]
)
def test_a_cell_is_marked_where_there_is_something_to_look_at(column: str, state: str) -> None:
    marks = re.findall(r'<td class="value (\w+)"', status_page.html({"bad": BAD}, NOW))
    assert marks[status_page.COLUMNS.index(column)] == state
    assert set(re.findall(r'<td class="value (\w+)"', status_page.html({"good": GOOD}, NOW))) == {"ok"}


def test_no_text_of_a_host_becomes_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(hostile()).elements == read(tame()).elements
    assert HOSTILE in " ".join(read(hostile()).words)
    monkeypatch.setattr(page, "_environment", page._environment.overlay(autoescape=False, bytecode_cache=None))
    assert ("script",) in read(hostile()).elements


def test_it_needs_no_network_and_runs_nothing() -> None:
    text = status_page.html(HOSTS, NOW)
    assert re.findall(r"https?:|//|src=|href=|url\(|@import|<script|<link|\son\w+=", text) == []
    assert "default-src 'none'" in text


@pytest.mark.parametrize(("hosts", "faults", "unfolded"), [(3, 0, 0), (3, 1, 1), (9, 3, 3), (9, 4, 0)])
def test_few_faults_are_shown_unfolded(hosts: int, faults: int, unfolded: int) -> None:
    some = {f"h{number}": BAD if number < faults else GOOD for number in range(hosts)}
    assert len(re.findall("<details[^>]* open>", status_page.html(some, NOW))) == unfolded


def test_a_page_of_no_hosts_says_so() -> None:
    assert "No hosts." in status_page.html({}, NOW)


def test_a_page_of_a_hundred_hosts_has_them_all() -> None:
    assert len(read({f"web-{number}": BAD for number in range(100)}).table) == 101
