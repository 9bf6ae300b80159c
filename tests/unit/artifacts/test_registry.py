"""A registry that answers tells all its tags; one that does not says why, in time, and holds up nobody."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from webui_stack.artifacts import registry
from webui_stack.artifacts.registry import Registries, RegistryError, tags

REPOSITORY, TOKEN = "open-webui/open-webui", "a-token-for-anybody"


@dataclass
class Server:
    """A registry like ghcr.io: a token for anybody, and a list in pages. `says` has other answers, by path."""

    pages: list[list[str]] = field(default_factory=lambda: [["v0.12.4"]])
    wants_token: bool = True
    says: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    wait_s: float = 0.0
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, path: str, token: str) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(path)
        if url.path in self.says:
            return self.says[url.path]
        if url.path == "/token":
            question = parse_qs(url.query)
            assert question == {"service": ["here"], "scope": [f"repository:{REPOSITORY}:pull"]}
            return 200, {}, json.dumps({"token": TOKEN}).encode()
        if self.wants_token and token != f"Bearer {TOKEN}":
            challenge = f'Bearer realm="http://{self.name}/token",service="here",scope="whatever"'
            return 401, {"WWW-Authenticate": challenge}, b"{}"
        if url.path != f"/v2/{REPOSITORY}/tags/list":
            return 404, {}, b"{}"
        at = int(parse_qs(url.query).get("at", ["0"])[0])
        more = {"Link": f'<{url.path}?at={at + 1}>; rel="next"'} if at + 1 < len(self.pages) else {}
        return 200, more, json.dumps({"name": REPOSITORY, "tags": self.pages[at]}).encode()


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.headers.get("Authorization", "")
            server.asked.append((self.path, token))
            time.sleep(server.wait_s)
            status, headers, content = server.answer(self.path, token)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        listening.block_on_close = False
        server.port = listening.server_port
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        listening.shutdown()


@pytest.mark.parametrize("wants_token", [True, False])
def test_all_pages_of_a_list_are_read(wants_token: bool) -> None:
    with serving(Server([["v0.12.4", "main"], ["v0.12.5"], ["v0.12.6"]], wants_token)) as server:
        assert tags(server.name, REPOSITORY) == ["v0.12.4", "main", "v0.12.5", "v0.12.6"]
    tokens = [token for path, token in server.asked if path.startswith("/v2/")]
    assert tokens == (["", *3 * [f"Bearer {TOKEN}"]] if wants_token else 3 * [""])


def test_a_token_is_given_to_the_service_of_tokens_by_nobody() -> None:
    with serving(Server()) as server:
        tags(server.name, REPOSITORY)
    assert [token for path, token in server.asked if path.startswith("/token")] == [""]


LIST = f"/v2/{REPOSITORY}/tags/list"
REFUSALS: dict[str, tuple[dict[str, tuple[int, dict[str, str], bytes]], str]] = {
    "no such repository": ({LIST: (404, {}, b"{}")}, "HTTP 404"),
    "too many questions": ({LIST: (429, {}, b"")}, "HTTP 429"),
    "elsewhere": ({LIST: (302, {"Location": "http://127.0.0.1:1/"}, b"")}, "HTTP 302"),
    "a login": ({LIST: (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")}, "a login is wanted"),
    "a login without a word": ({LIST: (401, {}, b"")}, "a login is wanted"),
    "no token": ({"/token": (403, {}, b"")}, r"no token (HTTP 403)"),
    "a token that is none": ({"/token": (200, {}, b'{"token": "a\\nb"}')}, "no token"),
    "no JSON": ({LIST: (200, {}, b"<html>")}, "an answer of another form"),
    "no list": ({LIST: (200, {}, b'{"tags": {"a": 1}}')}, "an answer of another form"),
    "no texts": ({LIST: (200, {}, b'{"tags": [1]}')}, "an answer of another form"),
    "too deep": ({LIST: (200, {}, b"[" * 100_000)}, "an answer of another form"),
    "on another server": (
        {LIST: (200, {"Link": '<http://127.0.0.1:1/v2/x>; rel="next"'}, b'{"tags": []}')},
        "a list that goes on elsewhere",
    ),
    "without an end": ({LIST: (200, {"Link": f'<{LIST}>; rel="next"'}, b'{"tags": []}')}, "a list without an end"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_is_no_list_is_told_and_is_never_an_empty_list(refusal: str) -> None:
    says, words = REFUSALS[refusal]
    with serving(Server(says=says)) as server, pytest.raises(RegistryError) as caught:
        tags(server.name, REPOSITORY)
    assert str(caught.value) == words


def test_a_list_that_is_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MOST_BYTES", 10)
    with serving(Server()) as server, pytest.raises(RegistryError, match="a list without an end"):
        tags(server.name, REPOSITORY)


def test_a_repository_without_tags_has_none() -> None:
    with serving(Server(says={LIST: (200, {}, b'{"name": "x", "tags": null}')})) as server:
        assert tags(server.name, REPOSITORY) == []


def test_a_registry_that_nobody_reaches_says_why() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(RegistryError, match="connection refused"):
            tags(f"127.0.0.1:{closed.getsockname()[1]}", REPOSITORY)


def test_other_registries_than_this_machines_are_asked_by_tls() -> None:
    assert registry._origin("127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert registry._origin("localhost") == "http://localhost"
    assert registry._origin("ghcr.io") == "https://ghcr.io"
    assert registry._origin("registry.example.org:5000") == "https://registry.example.org:5000"
    assert registry._origin("docker.io") == "https://registry-1.docker.io"


def test_registries_are_asked_side_by_side_and_each_once() -> None:
    slow, quick = Server(wait_s=0.4, wants_token=False), Server([["1.2.3"]], wants_token=False)
    with serving(slow), serving(quick):
        asked = Registries()
        began_s = time.monotonic()
        for _ in range(3):
            asked.ask(slow.name, REPOSITORY)
            asked.ask(quick.name, REPOSITORY)
        assert time.monotonic() - began_s < 0.3, "it waited"
        assert (asked.answer(quick.name, REPOSITORY), asked.answer(slow.name, REPOSITORY)) == (["1.2.3"], ["v0.12.4"])
        assert asked.answer("ghcr.io", REPOSITORY) is None, "nobody has asked"
    assert (len(slow.asked), len(quick.asked)) == (1, 1)


def test_nobody_waits_longer_than_the_limit() -> None:
    with serving(Server(wait_s=5, wants_token=False)) as server:
        asked = Registries(limit_s=0.3)
        began_s = time.monotonic()
        asked.ask(server.name, REPOSITORY)
        assert asked.answer(server.name, REPOSITORY) == "no answer in time"
        assert time.monotonic() - began_s < 2


def test_a_fault_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> list[str]:
        raise KeyError("x")

    monkeypatch.setattr(registry, "tags", fail)
    asked = Registries()
    asked.ask("ghcr.io", REPOSITORY)
    assert asked.answer("ghcr.io", REPOSITORY) == "an answer of another form (KeyError)"
