"""The benchmarks' own arithmetic and words: medians, verdicts, what is read from others' output, the page."""

from __future__ import annotations

import hashlib
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from benchmarks import delay, ours, peer, report
from benchmarks.measure import BenchmarkError, run
from benchmarks.series import Series, Side, Spread, Target, judge
from benchmarks.sessions import Count

FOUND = [
    Series("no-change", "ours", 1, {"wall_s": [1.5, 9.0, 1.4], "cpu_s": [1.0, 1.0, 1.0], "peak_mb": [90, 91, 92]}),
    Series("no-change", "Ansible", 1, {"wall_s": [20.0, 10.0, 15.0], "cpu_s": [8, 8, 8], "peak_mb": [56, 57, 58]}),
    Series("no-change", "ours", 8, {"wall_s": [2.0], "cpu_s": [2.0], "peak_mb": [95]}),
]


def test_a_spread_is_the_median_and_the_ends_not_the_mean() -> None:
    assert FOUND[0].spread("wall_s") == Spread(1.5, 1.4, 9.0, 3)


@pytest.mark.parametrize(("limit", "reached"), [(0.1, True), (0.0999, False)])
def test_a_ratio_is_held_against_its_limit_and_the_limit_itself_is_reached(limit: float, reached: bool) -> None:
    verdict = judge(Target("no change", Side("ours"), limit, Side("Ansible")), FOUND)
    assert verdict.seen == pytest.approx(0.1)
    assert verdict.reached is reached


def test_a_difference_is_in_seconds_and_may_be_negative() -> None:
    target = Target("by hand", Side("ours"), 2.0, Side("Ansible"), relation="difference")
    assert judge(target, FOUND).seen == -13.5


def test_a_figure_alone_is_held_against_its_limit() -> None:
    assert judge(Target("memory", Side("ours"), 90, measure="peak_mb"), FOUND).reached is False


@pytest.mark.parametrize(
    "target",
    [
        Target("not run", Side("ours", 4), 100),
        Target("nothing beside it", Side("ours"), 100, Side("Ansible", 8)),
        Target("not measured", Side("ours"), 100, measure="commands"),
    ],
    ids=lambda target: target.title,
)
def test_what_was_not_measured_is_not_reached(target: Target) -> None:
    assert judge(target, FOUND).reached is False


def page(**replaced: Any) -> str:
    targets = (Target("no change, 1 host", Side("ours"), 1 / 10, Side("Ansible")),)
    section = {"name": "no-change", "method": "How.", "targets": targets, "series": FOUND, "machine": {"cores": "2"}}
    return report.render([report.Section(**{**section, **replaced})], "scaling.svg")


def test_the_page_has_the_verdict_with_both_sides_and_the_limit() -> None:
    row = "| no change, 1 host | 1.50 s [1.40-9.00] | Ansible 15.00 s [10.00-20.00] | 0.1x | <= 0.1x | yes |"
    assert row in page().splitlines()
    assert "1 of 1 targets are reached." in page()


def test_the_page_says_what_was_not_reached_and_what_was_not_measured() -> None:
    slow = [Series("no-change", "ours", 1, {**FOUND[0].values, "wall_s": [3.0]}), FOUND[1]]
    assert "| 0.2x | <= 0.1x | **no** |" in page(series=slow)
    assert "| not measured | <= 0.1x | **no** |" in page(series=[])


def test_cases_from_different_machines_are_told_apart() -> None:
    sections = [
        report.Section(name, "How.", (), FOUND, {"cores": cores}) for name, cores in (("one", "2"), ("other", "64"))
    ]
    text = report.render(sections, "scaling.svg")
    assert "one:\n\n| | |\n|---|---|\n| cores | 2 |" in text
    assert "other:\n\n| | |\n|---|---|\n| cores | 64 |" in text


def test_changes_are_read_from_pyinfras_table() -> None:
    table = (
        "    Operation      Hosts   Success   Error   No Change   \n    Grand total    18      {}        -       7\n"
    )
    assert ours.changes(table.format("11")) == 11
    assert ours.changes(table.format("-")) == 0
    with pytest.raises(BenchmarkError, match="closing table"):
        ours.changes("--> Connecting to hosts...\n")


def test_changes_are_summed_over_ansibles_recap() -> None:
    line = "{}   : ok=19   changed={}    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0\n"
    assert peer.changes("PLAY RECAP ***\n" + line.format("bench-1", 2) + line.format("bench-2", 1)) == 3
    with pytest.raises(BenchmarkError, match="recap"):
        peer.changes("PLAY [all] ***\n")


def test_a_template_of_the_peer_holds_no_secret_of_the_host_it_is_from() -> None:
    secrets = {"valkey-password": "v" * 48, "webui-secret-key": "w" * 48}
    acl = f"user open-webui on #{hashlib.sha256(b'v' * 48).hexdigest()}\n"
    environment = f"ACL='{hashlib.sha256(acl.rstrip().encode()).hexdigest()}'\nKEY='{'w' * 48}'\nURL='x:{'v' * 48}@y'\n"
    text = peer.as_template(environment, secrets, acl)
    assert "vvv" not in text
    assert "www" not in text
    assert "KEY='{{ secret['webui-secret-key'] }}'" in text
    assert "| trim) | hash('sha256') }}'" in text
    assert (
        peer.as_template(acl, secrets, acl) == "user open-webui on #{{ secret['valkey-password'] | hash('sha256') }}\n"
    )
    assert peer.as_template('JWT_EXPIRES_IN: "24h"', secrets, acl) == 'JWT_EXPIRES_IN: "{{ jwt_expires_in }}"'


def test_sshd_counts_commands_and_forwards_apart() -> None:
    count = Count()
    count.read(
        'Connection from 198.18.1.1 port 51380 on 198.18.1.11 port 22 rdomain ""\n'
        "Starting session: command for ops from 198.18.1.1 port 51380 id 0\n"
        "Starting session: subsystem 'sftp' for ops from 198.18.1.1 port 51380 id 1\n"
        "debug1: server_request_direct_tcpip: originator 127.0.0.1 port 0, target 198.19.1.2 port 6379\n"
        "Close session: user ops from 198.18.1.1 port 51380 id 0\n"
    )
    assert (count.connections, count.commands, count.forwards) == (1, 2, 1)


def test_a_run_is_measured_with_its_children() -> None:
    busy = "n=0; while [ $n -lt 200000 ]; do n=$((n+1)); done"
    sample, output = run(["sh", "-c", f"echo started; sh -c '{busy}'; sleep 0.2"])
    assert output == "started\n"
    assert sample.cpu_s > 0.02
    assert sample.wall_s > 0.2 + sample.cpu_s / 2
    assert 0.5 < sample.peak_mb < 500


def test_a_run_that_fails_is_no_measure() -> None:
    with pytest.raises(BenchmarkError, match="got status 3:\n    why"):
        run(["sh", "-c", "echo why; exit 3"])


@pytest.fixture
def server() -> Iterator[int]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 300_000)

        def log_message(self, *_: object) -> None:
            """Nothing: pytest's output is not the place."""

    http = HTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=http.serve_forever, daemon=True).start()
    yield http.server_port
    http.shutdown()
    http.server_close()


def test_a_slow_link_adds_two_round_trips_to_a_request_and_loses_nothing(server: int) -> None:
    with delay.forwarded([server], 0.2) as (port,):
        took_s = []
        for _ in range(5):
            start = time.perf_counter()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
                assert len(response.read()) == 300_000
            took_s.append(time.perf_counter() - start)
    # One for the connection, one for question and answer; the answer's rest comes right behind its beginning.
    # The quickest of five: a busy machine delays some requests, and never makes one quicker than its link.
    assert 0.4 <= min(took_s) < 0.6
