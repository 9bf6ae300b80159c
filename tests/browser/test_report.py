"""The pages of reports and of status in a real browser, opened from a file: what they show, and what they ask for."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.unit.reports import some_hosts
from webui_stack.model.check import Check
from webui_stack.reports import page as report_page
from webui_stack.reports import status_page
from webui_stack.reports.rows import Row
from webui_stack.reports.status import Status

ARGUMENTS = ["--disable-gpu", "--disable-background-networking", "--no-first-run"]
STARTED = datetime(2026, 11, 22, 21, 22, 5, tzinfo=UTC)
HOSTILE = "<script>document.title='owned'</script><img src='http://192.0.2.9/x' onerror=\"document.title='owned'\">&lt;"

OK = Check("container redis", True, "redis-valkey is running")
DOWN = Check("container open-webui", False, "open-webui is exited", "look at `docker logs open-webui`")
DISK = Check("disk", False, "6 GB free", "prune old images", advice=True)
MIXED = [
    *(Row(f"web-{n}", f"192.0.2.{n}", [OK, Check("ping", True, "PONG", elapsed_ms=n)]) for n in range(1, 8)),
    *(Row(f"bad-{n}", f"192.0.2.{n}", [OK, DOWN, DISK]) for n in range(11, 16)),
    Row("gone", "192.0.2.20", note="could not connect"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The distribution's Chromium: Playwright's own is a download that not every network lets through."""
    program = shutil.which("chromium")
    assert program, "chromium: expected it in PATH, got none; install it"
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=ARGUMENTS) as browser,
    ):
        yield browser


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Open a page from a file; at the end nothing was complained about and nothing else was asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    path = tmp_path / "report.html"
    complaints: list[str] = []
    requests: list[str] = []

    def shown(text: str, scheme: str = "light") -> Page:
        path.write_text(text)
        page = context.new_page()
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield shown
    context.close()
    assert set(requests) == {path.as_uri()}
    assert complaints == []


@pytest.fixture
def opened(shown: Callable[..., Page]) -> Callable[..., Page]:
    """Open the report of some rows."""

    def opened(rows: list[Row], scheme: str = "light") -> Page:
        return shown(report_page.html("doctor", STARTED, {row.host: row for row in rows}), scheme)

    return opened


def row(page: Page, host: str) -> list[str]:
    """A host's cells, as seen."""
    cells = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=host, exact=True)).locator("td.check")
    return cells.locator(".mark").all_inner_texts()


def light(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(page: Page, selector: str) -> float:
    """Between an element's text and the first background behind it."""
    text, back = page.locator(selector).first.evaluate(
        """element => {
            let behind = element;
            while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
        }"""
    )
    dark, bright = sorted([light(text), light(back)])
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_measured_as_wcag_does(opened: Callable[..., Page]) -> None:
    page = opened([])
    page.locator("h1").evaluate("e => { e.style.color = '#777'; e.style.background = '#fff' }")
    assert contrast(page, "h1") == pytest.approx(4.48, abs=0.01)


def test_hosts_are_rows_with_a_symbol_per_check_worst_first(opened: Callable[..., Page]) -> None:
    page = opened(MIXED)
    assert page.get_by_role("rowheader").all_inner_texts() == [
        *(f"bad-{n}" for n in range(11, 16)),
        "gone",
        *(f"web-{n}" for n in range(1, 8)),
    ]
    assert row(page, "bad-11") == ["✓", "✗", "!", "·"]
    assert row(page, "gone") == ["·"] * 4
    assert row(page, "web-1") == ["✓", "·", "·", "✓"]
    expect(page.locator("header dl")).to_have_text(re.compile(r"ok\s*7\s*with faults\s*5\s*not checked\s*1"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_states_differ_in_colour_and_can_be_read(opened: Callable[..., Page], scheme: str) -> None:
    page = opened(MIXED, scheme)
    marks = {state: f"td.check.{state} .mark" for state in ("ok", "advice", "fault", "unchecked")}
    shown = {state: page.locator(mark).first for state, mark in marks.items()}
    backs = {state: mark.evaluate("e => getComputedStyle(e).backgroundColor") for state, mark in shown.items()}
    assert len(set(backs.values())) == 4, backs
    red, green, blue = (int(part) for part in re.findall(r"\d+", backs["fault"])[:3])
    assert red > 2 * max(green, blue)
    read = [
        *marks.values(),
        ".fault summary b",
        ".ok summary b",
        "summary .quiet",
        "td.address",
        "thead th",
        "li .next",
    ]
    page.locator("summary").first.click()
    assert {selector: value for selector in read if (value := contrast(page, selector)) < 4.5} == {}


def test_the_page_is_dark_where_people_want_dark(opened: Callable[..., Page]) -> None:
    back = {
        scheme: light(opened(MIXED, scheme).locator("body").evaluate("e => getComputedStyle(e).backgroundColor"))
        for scheme in ("light", "dark")
    }
    assert back["light"] > 0.8
    assert back["dark"] < 0.05


def test_a_click_unfolds_every_check_and_the_next_step(opened: Callable[..., Page]) -> None:
    page = opened(MIXED)
    step = page.get_by_text(DOWN.next_step).first
    expect(step).not_to_be_visible()
    page.get_by_text("2 faults").or_(page.get_by_text("1 fault")).first.click()
    expect(step).to_be_visible()
    expect(page.locator("details[open] li")).to_have_count(3)
    assert page.locator("td.fault").first.get_attribute("title") == str(DOWN)


def test_the_keyboard_unfolds_too(opened: Callable[..., Page]) -> None:
    page = opened(MIXED)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text(DOWN.next_step).first).to_be_visible()


def test_each_latency_is_a_chart_with_a_dot_per_host(opened: Callable[..., Page]) -> None:
    page = opened(MIXED)
    expect(page.locator("svg")).to_have_count(1)
    expect(page.locator("figcaption")).to_contain_text("min 1.0 ms · median 4.0 ms · max 7.0 ms (web-7)")
    dots = page.locator("svg circle")
    expect(dots).to_have_count(7)
    places = [box["x"] for dot in dots.all() if (box := dot.bounding_box())]
    assert places == sorted(places)
    steps = [after - before for before, after in itertools.pairwise(places)]
    assert max(steps) - min(steps) < 1  # 1 to 7 ms, evenly


def test_what_a_host_says_is_shown_as_it_is(opened: Callable[..., Page]) -> None:
    page = opened([Row(HOSTILE, HOSTILE, [Check(HOSTILE, False, HOSTILE, HOSTILE, elapsed_ms=1)], HOSTILE)])
    assert page.locator("tbody th").inner_text() == HOSTILE
    assert page.locator("li .next").inner_text() == HOSTILE
    assert page.title().startswith("doctor: 0 of 1 ok")
    expect(page.locator("script, img")).to_have_count(0)


def test_a_script_would_not_run_even_if_escaping_failed(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    text = report_page.html("doctor", STARTED, {})
    script = "<script>document.title = 'owned'</script>"
    titles = []
    for changed in (text, re.sub(r"<meta http-equiv=.*", "", text)):
        path.write_text(changed.replace("</main>", f"{script}</main>"))
        page = browser.new_page()
        page.goto(path.as_uri())
        titles.append(page.title())
        page.close()
    assert titles == ["doctor: 0 of 0 ok, 2026-11-22 21:22:05 UTC", "owned"]


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_no_wider_than_the_window(opened: Callable[..., Page], width: int) -> None:
    long = Row("h" * 80, "2001:db8:1111:2222:3333:4444:5555:6666", [Check("c" * 80, False, "word" * 200, "step" * 200)])
    page = opened([long, *MIXED])
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_print_unfolds_what_is_not_well(opened: Callable[..., Page]) -> None:
    page = opened(MIXED)
    page.emulate_media(media="print")
    expect(page.get_by_text(DOWN.next_step).first).to_be_visible()
    expect(page.locator("tr.ok li").first).not_to_be_visible()


# --- Status


@pytest.fixture
def status(shown: Callable[..., Page]) -> Callable[..., Page]:
    """Open the status of some hosts."""

    def status(hosts: dict[str, Status], scheme: str = "light") -> Page:
        return shown(status_page.html(hosts, some_hosts.NOW), scheme)

    return status


def test_status_has_a_row_for_each_host_worst_first(status: Callable[..., Page]) -> None:
    page = status(some_hosts.HOSTS)
    table = page.locator(".hosts")
    assert table.get_by_role("rowheader").all_inner_texts() == ["bad", "gone", "drifted", "good", "fine"]
    assert table.locator("td.state .mark").all_inner_texts() == ["✗", "·", "!", "✓", "✓"]
    assert table.locator("tr.fault td.value").all_inner_texts() == [
        *("0.12.4", "8.1.1", "no", "3 d", "-", "ended", "1", "0", "-")
    ]
    expect(page.locator("header dl")).to_have_text(re.compile(r"with advice\s*3\s*with faults\s*1\s*not checked\s*1"))
    expect(page.locator(".versions")).to_have_text(re.compile(r"0\.12\.4 on 3 hosts, 0\.12\.3 on 1 host"))


def test_status_unfolds_faults_and_a_click_unfolds_the_others(status: Callable[..., Page]) -> None:
    page = status(some_hosts.HOSTS)
    expect(page.locator("li .next").first).to_be_visible()
    differs = page.locator("li").get_by_text("redis: its definition changed")
    expect(differs).not_to_be_visible()
    page.locator("details.advice summary").click()
    expect(differs).to_be_visible()
    digest = page.get_by_role("cell", name=some_hosts.DIGEST).first
    expect(digest).not_to_be_visible()
    page.get_by_text("what each container was made of").click()
    expect(digest).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_status_can_be_read(status: Callable[..., Page], scheme: str) -> None:
    page = status(some_hosts.HOSTS, scheme)
    read = [
        *(f"td.value.{state} span" for state in ("fault", "advice", "unchecked")),
        *(f"tr.{state} td.line b" for state in ("ok", "fault", "advice")),
        *(".versions", ".versions b", "thead th", "li .next", "td.state.fault .mark", "td.state.ok .mark"),
    ]
    assert {selector: value for selector in read if (value := contrast(page, selector)) < 4.5} == {}


@pytest.mark.parametrize("width", [1280, 400])
def test_status_is_no_wider_than_the_window_and_on_a_screen_hosts_fit_in(
    status: Callable[..., Page], width: int
) -> None:
    page = status({**some_hosts.HOSTS, "h" * 80: some_hosts.BAD})
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    table = page.locator(".hosts table").bounding_box()
    assert table
    assert width < 1280 or table["x"] + table["width"] <= width


def test_status_shows_what_a_host_says_as_it_is(status: Callable[..., Page]) -> None:
    page = status({HOSTILE: Status(open_webui=HOSTILE, note=HOSTILE, drift=[HOSTILE])})
    assert page.locator("tbody th").first.inner_text() == HOSTILE
    assert page.locator("li p").first.inner_text() == HOSTILE
    assert page.title().startswith("status: 0 of 1 ok")
    expect(page.locator("script, img")).to_have_count(0)
