"""The page: every host is in it, the worst first, and nothing a host says is taken for markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.unit.reports.some_rows import (
    DOWN,
    HOSTILE,
    MIXED,
    OK,
    PING,
    STARTED,
    hostile_rows,
    many,
    rows,
    tame_rows,
)
from webui_stack.model.check import Check
from webui_stack.reports import page
from webui_stack.reports.rows import Row


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


def read(of: dict[str, Row]) -> Page:
    return Page(page.html("verify", STARTED, of))


def test_the_page_has_a_row_per_host_and_a_column_per_check_worst_first() -> None:
    head, *body = read(MIXED).table
    assert [word.strip() for word in head] == [
        *("host", "address", "container redis", "container open-webui", "subscribers", "disk", "ping", "what was seen")
    ]
    assert [row[0].strip() for row in body] == ["bad", "gone", "fair", "good", "fine"]
    cells = {row[0].strip(): [cell.strip()[0] for cell in row[2:7]] for row in body}
    assert cells["bad"] == ["✓", "✗", "✗", "!", "·"]
    assert cells["gone"] == ["·"] * 5
    assert cells["good"] == ["✓", "·", "·", "·", "✓"]


def test_the_page_counts_hosts_and_says_the_next_step() -> None:
    words = " ".join(" ".join(read(MIXED).words).split())
    for part in ("ok, 1 with advice 3", "with faults 1", "not checked 1", "2026-11-22 21:22:05 UTC", "look at its log"):
        assert part in words
    assert "could not connect: timed out" in words


def test_a_check_that_came_twice_shows_the_worse() -> None:
    text = page.html("doctor", STARTED, rows(Row("h", "a", [OK, Check(OK.name, False, "gone")])))
    assert '<td class="check fault" title="container redis: gone">' in text


def test_no_text_of_a_host_becomes_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(hostile_rows()).elements == read(tame_rows()).elements
    assert HOSTILE in " ".join(read(hostile_rows()).words)
    monkeypatch.setattr(page, "_environment", page._environment.overlay(autoescape=False, bytecode_cache=None))
    assert ("script",) in read(hostile_rows()).elements


def test_the_page_needs_no_network_and_runs_nothing() -> None:
    text = page.html("verify", STARTED, MIXED)
    assert re.findall(r"https?:|//|src=|href=|url\(|@import|<script|<link|\son\w+=", text) == []
    assert "default-src 'none'" in text


@pytest.mark.parametrize(("hosts", "faults", "unfolded"), [(3, 0, 3), (4, 0, 0), (9, 3, 3), (9, 4, 0)])
def test_few_faults_are_shown_unfolded(hosts: int, faults: int, unfolded: int) -> None:
    some = rows(*(Row(f"h{number}", "", [DOWN if number < faults else OK]) for number in range(hosts)))
    assert page.html("verify", STARTED, some).count("<details open>") == unfolded


def test_a_page_of_no_hosts_says_so() -> None:
    assert "No hosts." in page.html("verify", STARTED, {})


def test_a_page_of_a_hundred_hosts_has_them_all() -> None:
    found = read(many(100, OK, PING, DOWN))
    assert len(found.table) == 101
