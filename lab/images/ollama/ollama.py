#!/usr/bin/env python3
"""Stands in for Ollama: the commands `serve`, `list` and `pull`, and the part of its API that clients use to chat.

Its models say one fixed text. Its registry has the models of REGISTRY; a pull makes a name and no file of weights.
As Ollama it reads OLLAMA_HOST and OLLAMA_MODELS. Forms of the answers: https://docs.ollama.com/api. Needs nothing but
Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

VERSION = "0.40.2"
ANSWER = "This answer comes from the stand-in for Ollama."
# Bytes of a model, and how many seconds its pull takes: the first takes long enough to tell how far it is.
REGISTRY = {
    "llama3.2:1b": (1_321_098_329, 8.0),
    "nomic-embed-text:latest": (274_302_450, 0.0),
    "lab-tiny:1b": (1_000_000, 0.0),
}
PIECES = 8
LIST = Path(os.environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models") / "list.json"
WRITES = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.reply("Ollama is running")

    def do_GET(self) -> None:
        if self.path == "/":
            self.reply("Ollama is running")
        elif self.path == "/api/version":
            self.reply({"version": VERSION})
        elif self.path == "/api/tags":
            self.reply({"models": [entry(model) for model in present()]})
        elif self.path == "/api/ps":
            self.reply({"models": []})
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = tagged(str(body.get("model") or body.get("name")))
        if self.path == "/api/pull":
            self.stream(pulled(model))
        elif self.path == "/api/chat" and model in present():
            if body.get("stream", True):
                self.stream(said(model, ANSWER.split(" ")))
            else:
                whole, end = said(model, [ANSWER])
                self.reply(end | {"message": whole["message"]})
        elif self.path == "/api/chat":
            self.reply({"error": f"model '{model}' not found"}, HTTPStatus.NOT_FOUND)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def stream(self, lines: Iterator[dict[str, Any]]) -> None:
        """Answer with one document a line; the end of the connection is the end of the answer."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        for line in lines:
            self.wfile.write(json.dumps(line).encode() + b"\n")
            self.wfile.flush()

    def reply(self, document: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        content = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(document, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def tagged(model: str) -> str:
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def present() -> list[str]:
    """The models that were pulled, the newest first, as Ollama lists them."""
    try:
        return [str(model) for model in json.loads(LIST.read_text())]
    except FileNotFoundError:
        return []


def pulled(model: str) -> Iterator[dict[str, Any]]:
    """The lines of a pull. An error comes within an answer of status 200, as Ollama's does."""
    yield {"status": "pulling manifest"}
    if model not in REGISTRY:
        yield {"error": "pull model manifest: file does not exist"}
        return
    size, takes_s = REGISTRY[model]
    layer = {"status": f"pulling {digest(model)[:12]}", "digest": f"sha256:{digest(model)}", "total": size}
    yield layer
    for piece in range(1, PIECES + 1):
        time.sleep(takes_s / PIECES)
        yield layer | {"completed": size * piece // PIECES}
    with WRITES:
        LIST.parent.mkdir(parents=True, exist_ok=True)
        new = LIST.with_suffix(".new")
        new.write_text(json.dumps([model, *(one for one in present() if one != model)]))
        new.replace(LIST)
    for status in ("verifying sha256 digest", "writing manifest", "success"):
        yield {"status": status}


def said(model: str, words: list[str]) -> Iterator[dict[str, Any]]:
    """The lines of a chat: the words, and then how long it took."""
    for number, word in enumerate(words):
        text = f" {word}" if number else word
        yield {"model": model, "created_at": now(), "message": {"role": "assistant", "content": text}, "done": False}
    end = {"model": model, "created_at": now(), "message": {"role": "assistant", "content": ""}, "done": True}
    durations = dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), 1_000_000)
    yield end | durations | {"done_reason": "stop", "prompt_eval_count": 1, "eval_count": len(words)}


def entry(model: str) -> dict[str, Any]:
    details = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"]}
    return {
        "name": model,
        "model": model,
        "modified_at": now(),
        "size": REGISTRY[model][0],
        "digest": digest(model),
        "details": details | {"parameter_size": "1.2B", "quantization_level": "Q8_0"},
    }


def digest(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def address() -> tuple[str, int]:
    host, _, port = os.environ.get("OLLAMA_HOST", "127.0.0.1:11434").rpartition(":")
    return host, int(port)


def ask(path: str, body: dict[str, Any] | None = None) -> list[Any]:
    """The documents that the server answers, asked past any proxy."""
    host, port = address()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}{path}", data)  # noqa: S104
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return [json.loads(line) for line in answer]


def main(command: str, *names: str) -> int:
    if command == "serve":
        # As the first process of a container it would not heed the signal otherwise.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        ThreadingHTTPServer(address(), Handler).serve_forever()
    elif command == "list":
        (found,) = ask("/api/tags")
        for one in [{"name": "NAME", "digest": "ID", "size": "SIZE"}, *found["models"]]:
            print(f"{one['name']:<30}{one['digest'][:12]:<16}{one['size']}")
    elif command == "pull":
        for name in names:
            last = ask("/api/pull", {"model": name})[-1]
            print(last.get("status") or f"Error: {last['error']}")
            if "error" in last:
                return 1
    else:
        print(f"ollama: expected serve, list or pull, got {command}; this is the lab's stand-in", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [""])))
