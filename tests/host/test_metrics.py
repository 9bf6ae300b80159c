"""Samples as Prometheus reads them: checked by a reader of the format's own rules, which shares no code with it."""

from __future__ import annotations

import math
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as any_

from tests.host.fake_files import FakeKernel
from webui_stack.host import metrics
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.finding import Sample
from webui_stack.host.metrics import Server

_LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\["\\n])*",?)*)\})? (\S+)')
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)')
Series = tuple[str, tuple[tuple[str, str], ...]]


def parsed(text: str) -> tuple[dict[Series, float], dict[str, str], dict[str, str]]:
    """The series, the types and the help texts of a text, which has to be as the format's page says."""
    series: dict[Series, float] = {}
    types: dict[str, str] = {}
    helps: dict[str, str] = {}
    done: set[str] = set()
    last = ""
    assert not text or text.endswith("\n")
    for line in text.split("\n")[:-1]:
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            into = {"HELP": helps, "TYPE": types}[word]
            assert name not in into, f"{word} of {name} comes twice"
            assert name not in done
            into[name] = _plain(rest, quotes=False)
            continue
        found = _LINE.fullmatch(line)
        assert found, f"no line of the format: {line!r}"
        name, labels, value = found.groups()
        assert name in types, f"{name} has no type before its first series"
        assert name == last or name not in done, f"the series of {name} are not together"
        done.add(name)
        last = name
        pairs = tuple((label, _plain(words, quotes=True)) for label, words in _PAIR.findall(labels or ""))
        assert len(dict(pairs)) == len(pairs)
        assert (name, pairs) not in series
        series[name, pairs] = float(value.replace("Inf", "inf"))
    assert set(types.values()) <= {"gauge", "counter"}
    return series, types, helps


def _plain(words: str, *, quotes: bool) -> str:
    known = {"\\\\": "\\", "\\n": "\n", **({'\\"': '"'} if quotes else {})}
    return re.sub(r'\\[\\n"]' if quotes else r"\\[\\n]", lambda found: known[found[0]], words)


def test_a_text_is_as_the_format_says() -> None:
    samples = [
        Sample("a_bytes", 1.5, {"place": "x"}, "About a.\nTwo lines, a \\."),
        Sample("b_total", 3, help="About b.", type="counter"),
        Sample("a_bytes", 2, {"place": 'y"\\\n'}),
    ]
    assert metrics.text(samples) == (
        "# HELP a_bytes About a.\\nTwo lines, a \\\\.\n"
        "# TYPE a_bytes gauge\n"
        'a_bytes{place="x"} 1.5\n'
        'a_bytes{place="y\\"\\\\\\n"} 2\n'
        "# HELP b_total About b.\n"
        "# TYPE b_total counter\n"
        "b_total 3\n"
    )
    assert parsed(metrics.text(samples))[0] == {
        ("a_bytes", (("place", "x"),)): 1.5,
        ("a_bytes", (("place", 'y"\\\n'),)): 2,
        ("b_total", ()): 3,
    }


_WORDS = any_.text(any_.characters(blacklist_categories=["Cs"]))


@given(any_.dictionaries(_WORDS, any_.floats()), _WORDS)
def test_whatever_a_label_or_a_number_is_it_is_read_back(values: dict[str, float], about: str) -> None:
    samples = [Sample("x", value, {"a": label, "b": "\\"}, about) for label, value in values.items()]
    series, _, helps = parsed(metrics.text(samples))
    assert {labels[0][1]: repr(value) for (_, labels), value in series.items()} == {
        label: repr(float(value)) if value else repr(0.0) for label, value in values.items()
    }
    assert set(helps.values()) <= {about}


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "1"), (1e300, "1e+300"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (1 << 60, None)],
)
def test_numbers_are_as_go_reads_them(value: float, text: str | None) -> None:
    written = metrics.text([Sample("x", value)]).split()[-1]
    assert written == (text or repr(float(value)))


def test_bytes_that_are_no_text_do_not_spoil_it() -> None:
    assert 'a="?"' in metrics.text([Sample("x", 1, {"a": b"\xff".decode("utf-8", "surrogateescape")})])


@pytest.mark.parametrize(
    "samples",
    [
        [Sample("a-b", 1)],
        [Sample("a", 1, {"b-c": "x"})],
        [Sample("a", 1, {"__b": "x"})],
        [Sample("a", 1), Sample("a", 2)],
        [Sample("a", 1, {"b": "c", "d": "e"}), Sample("a", 2, {"d": "e", "b": "c"})],
        [Sample("a", 1, {"x": "y"}), Sample("a", 2, type="counter")],
    ],
)
def test_what_prometheus_would_refuse_is_not_written(samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match=r"is (no name|there twice)|has two types"):
        metrics.text(samples)


# --- A file


def test_the_file_is_replaced_whole_and_everybody_may_read_it() -> None:
    files = Files(FakeKernel())
    files.make_folder("/var/textfile", mode=0o755)
    for content in ("a 1\n", "a 2\n"):
        metrics.write(files, "/var/textfile", content)
        assert (files.read_text("/var/textfile/open-webui-stack.prom"), files.listdir("/var/textfile")) == (
            content,
            ["open-webui-stack.prom"],
        )
    found = files.stat("/var/textfile/open-webui-stack.prom")
    assert found
    assert found.mode == 0o644


def test_without_the_folder_nothing_is_written() -> None:
    with pytest.raises(HostError, match=r"^/var/textfile: expected the folder of node-exporter's .*, got none; make"):
        metrics.write(Files(FakeKernel()), "/var/textfile", "a 1\n")


# --- HTTP


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server("127.0.0.1:0")
    made.show("a 1\n")
    yield made
    made.close()
    assert made.port == 0


def get(server: Server, path: str, method: str = "GET") -> Any:
    asked = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    return urllib.request.urlopen(asked, timeout=5)


def test_a_scrape_gets_the_last_text(server: Server) -> None:
    with get(server, "/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.read() == b"a 1\n"
    server.show("a 2\n")
    with get(server, "/metrics?x=y") as answer:
        assert answer.read() == b"a 2\n"
    with get(server, "/metrics", "HEAD") as answer:
        assert (answer.read(), answer.headers["Content-Length"]) == (b"", "4")


@pytest.mark.parametrize(("path", "method", "status"), [("/", "GET", 404), ("/metrics", "POST", 501)])
def test_nothing_else_is_served(server: Server, path: str, method: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught, get(server, path, method):
        raise AssertionError(path)
    with caught.value:
        assert caught.value.code == status
        assert "Python" not in str(caught.value.headers)


def test_slow_clients_get_eight_threads_at_most(server: Server) -> None:
    before = threading.active_count()
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
    for one in slow[8:]:
        one.settimeout(5)
        try:
            ended = one.recv(1) == b""
        except ConnectionResetError:
            ended = True
        assert ended
    assert threading.active_count() - before <= 8
    for one in slow:
        one.close()


@pytest.mark.parametrize(
    ("bind", "got"),
    [("9469", "another form"), ("127.0.0.1:99999", "no such port"), ("192.0.2.1:9469", "Cannot assign requested")],
)
def test_an_address_that_cannot_be_had_is_told(bind: str, got: str) -> None:
    with pytest.raises(HostError, match=rf"^metrics_bind {re.escape(bind)}: expected .*, got {got}"):
        Server(bind).show("")


def test_an_address_that_is_taken_is_tried_again(server: Server) -> None:
    other = Server(f"127.0.0.1:{server.port}")
    with pytest.raises(HostError, match="got Address already in use"):
        other.show("b 1\n")
    server.close()
    other.show("b 1\n")
    with get(other, "/metrics") as answer:
        assert answer.read() == b"b 1\n"
    other.close()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
def test_it_listens_at_an_address_of_ipv6() -> None:
    made = Server("[::1]:0")
    made.show("a 1\n")
    assert made.port
    made.close()
