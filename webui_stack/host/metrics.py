"""Samples in Prometheus' text format 0.0.4: in a file for node-exporter, and by HTTP.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import HostError
from .files import Files
from .finding import Sample
from .system import why

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FILE = "open-webui-stack.prom"
_NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile("(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.%]+)\]|([^\[\]:]+)):([0-9]{1,5})")
# A scrape takes milliseconds. A client that is slower gets no thread for longer, and no more threads than these.
_CLIENT_S = 5.0
_CLIENTS = 8


def text(samples: Iterable[Sample]) -> str:
    """The samples as text: those of one name together, after its one HELP and its one TYPE.

    Raises `ValueError` for what Prometheus would refuse: a wrong name, two types of one name, a series that is there
    twice.
    """
    families: dict[str, list[Sample]] = {}
    for one in samples:
        families.setdefault(one.name, []).append(one)
    return "".join(line for name, family in families.items() for line in _family(name, family))


def _family(name: str, family: list[Sample]) -> Iterable[str]:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a metric")
    types = {one.type for one in family}
    if len(types) > 1:
        raise ValueError(f"{name} has two types")
    about = next((one.help for one in family if one.help), "")
    if about:
        yield f"# HELP {name} {_escaped(about)}\n"
    yield f"# TYPE {name} {types.pop()}\n"
    series = set()
    for one in family:
        labels = _labels(one.labels)
        if labels in series:
            raise ValueError(f"{name}{labels} is there twice")
        series.add(labels)
        yield f"{name}{labels} {_number(one.value)}\n"


def _labels(labels: Mapping[str, str]) -> str:
    if wrong := [name for name in labels if not _LABEL.fullmatch(name)]:
        raise ValueError(f"{wrong[0]!r} is no name of a label")
    pairs = []
    for name, value in sorted(labels.items()):
        quoted = _escaped(value).replace('"', r"\"")
        pairs.append(f'{name}="{quoted}"')
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(words: str) -> str:
    # What is no UTF-8, such as a file's name, would have the whole text refused.
    return words.encode("utf-8", "replace").decode().replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))


def write(files: Files, folder: str, content: str) -> None:
    """Ensure node-exporter finds this text in its folder, whole: everybody may read it. Raises `HostError`."""
    found = files.stat(folder)
    if found is None or found.kind != "folder":
        raise HostError(
            folder,
            expected="the folder of node-exporter's textfile collector",
            got=f"a {found.kind}" if found else "none",
            do="make it, or set metrics_textfile_dir to the one that node-exporter reads",
        )
    files.write(f"{folder}/{FILE}", content, mode=0o644)


class Server:
    """Serves the last text at GET /metrics, from a thread of its own. A scrape asks nobody anything."""

    def __init__(self, bind: str) -> None:
        self._bind, self._text = bind, b""
        self._server: Any = None

    @property
    def port(self) -> int:
        """The port it listens at; 0 where it does not listen."""
        return int(self._server.server_address[1]) if self._server else 0

    def show(self, content: str) -> None:
        """Ensure it listens, and serves this text. Raises `HostError` where the address can't be had."""
        self._text = content.encode()
        if self._server is None:
            self._server = self._listening()
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Ensure it does not listen."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _listening(self) -> Any:
        # They cost as much at each start of the program as Python itself, and most hosts have no such address.
        import http.server
        import socket

        found = _ADDRESS.fullmatch(self._bind)
        if found is None:
            raise self._refused("an address with a port, such as 127.0.0.1:9469", "another form")
        host, port = found[1] or found[2], int(found[3])
        owner, places = self, threading.BoundedSemaphore(_CLIENTS)

        class Answer(http.server.BaseHTTPRequestHandler):
            timeout = _CLIENT_S
            server_version, sys_version = "open-webui-stack", ""

            def do_GET(self) -> None:
                is_known = self.path.partition("?")[0] == "/metrics"
                body = owner._text if is_known else b"see /metrics\n"
                self.send_response(200 if is_known else 404)
                self.send_header("Content-Type", CONTENT_TYPE if is_known else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 the name that http.server calls

            def log_message(self, *_: Any) -> None:
                """A scrape is no event."""

        class Listening(http.server.ThreadingHTTPServer):
            request_queue_size = 32
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def process_request(self, request: Any, client_address: Any) -> None:
                if places.acquire(blocking=False):
                    super().process_request(request, client_address)
                else:
                    self.shutdown_request(request)

            def process_request_thread(self, request: Any, client_address: Any) -> None:
                try:
                    super().process_request_thread(request, client_address)
                finally:
                    places.release()

            def handle_error(self, *_: Any) -> None:
                """A client that went away."""

        try:
            return Listening((host, port), Answer)
        except (OSError, OverflowError) as error:
            got = why(error) if isinstance(error, OSError) else "no such port"
            raise self._refused("to listen there", got) from None

    def _refused(self, expected: str, got: str) -> HostError:
        do = "set metrics_bind to an address and a free port of this host"
        return HostError(f"metrics_bind {self._bind}", expected=expected, got=got, do=do)
