"""The table of all hosts fits 80 columns whatever hosts say, has the worst last, and steers no terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from tests.unit.reports.some_hosts import BAD, DRIFTED, GONE, GOOD, HOSTS, NOW, RECORD, hostile
from webui_stack.reports import status_table
from webui_stack.reports.status import Status


def shown(hosts: Mapping[str, Status], width: int = 200) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(status_table.of(hosts, NOW))
    return out.getvalue().rstrip("\n").split("\n")


def test_each_host_is_a_line_the_worst_last() -> None:
    *_, fine, good, drifted, gone, bad = shown(HOSTS)
    assert fine.split() == ["fine", "0.12.4", "8.1.1", "yes", "5", "h", "3", "d", "61", "d", "0", "0", "3", "d"]
    assert good.split()[1:] == fine.split()[1:]
    assert drifted.split() == ["drifted", "0.12.3", "8.1.1", "yes", *"---", "-", "2", "failed"]
    assert gone.split() == ["gone", "-", "-", "?", *"------"]
    assert bad.split() == ["bad", "0.12.4", "8.1.1", "no", "3", "d", "-", "ended", "1", "0", "-"]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_it_fits_80_columns(width: int) -> None:
    long = replace(GOOD, open_webui="0.12.4-rc1+build.77", valkey="8.1.1-long-word", backup_age_s=10**12)
    hosts = {f"{'very-' * 12}long-{number}.example.org": long for number in range(2)} | HOSTS | hostile()
    assert max(map(len, shown(hosts, width))) <= 80


def test_a_long_name_is_there_in_full() -> None:
    name = "chat-in-a-very-long-zone.example.org"
    lines = shown({name: GOOD}, 80)
    cut = [line[: line.index("0.12.4")] if "0.12.4" in line else line for line in lines[3:]]
    assert "".join(part.strip() for part in cut) == name


def test_what_is_unknown_is_not_none() -> None:
    host = replace(GOOD, backup_age_s=None, drill_age_s=None, backups_unknown="x", alarms_unknown="y")
    assert shown({"chat": host})[-1].split()[3:8] == ["yes", "?", "?", "61", "d"]
    assert status_table.alarms(host) == "?"
    assert (status_table.alarms(Status()), status_table.alarms(GOOD)) == ("-", "0"), "nobody looks; nothing is open"


@pytest.mark.parametrize(
    ("at", "result", "words"),
    [
        ("2026-11-30T11:59:30Z", "changed", "30 s"),
        ("2026-11-30T11:59:30", "changed", "30 s"),
        ("2026-11-30T11:59:30Z", "unchanged", "30 s"),
        ("2026-11-30T11:59:30Z", "failed", "failed"),
        ("2026-11-30T11:59:30Z", "started", "started"),
        ("yesterday", "changed", "?"),
    ],
)
def test_a_deploy_was_so_long_ago(at: str, result: str, words: str) -> None:
    assert status_table.deployed(replace(RECORD, at=at, result=result), NOW) == words  # type: ignore[arg-type]
    assert status_table.deployed(None, NOW) == "-"


def test_a_certificate_lasts_so_long_still() -> None:
    def left(**time: int) -> str:
        return status_table.certificate_left(replace(GOOD, certificate_ends=(NOW + timedelta(**time)).isoformat()), NOW)

    assert (left(days=61), left(hours=11), left(seconds=0)) == ("61 d", "11 h", "ended")
    assert status_table.certificate_left(Status(), NOW) == "-"


def test_lines_say_what_is_behind_the_words_the_worst_host_last() -> None:
    lines = status_table.lines({"bad": BAD, "drifted": DRIFTED, "gone": GONE, "good": GOOD})
    assert [line.partition(": ")[0] for line in lines] == ["drifted"] * 3 + ["gone"] + ["bad"] * 4
    assert lines[0] == "drifted: redis: its definition changed"
    assert lines[3] == "gone: could not be looked at; its reason is above"


def test_what_a_host_says_is_no_markup_and_steers_no_terminal() -> None:
    assert "[red]" in shown({"chat": replace(GOOD, open_webui="[red]")})[-1]
    for line in (*shown(hostile()), *status_table.lines(hostile())):
        assert line.isprintable()
