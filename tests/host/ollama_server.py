"""An Ollama as far as its models go: the part of its API that a host asks, over real HTTP on this machine."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What its registry has: a model's layers, with their sizes in bytes.
REGISTRY = {"llama3.2:1b": {"sha256:weights": 1000, "sha256:template": 10}, "nomic-embed-text:latest": {"sha256:n": 5}}


class OllamaServer:
    """Listens at `port` of this machine until `end`. `models` are those it has, `asked` the requests it got.

    It cuts its next pull off after so many lines as `cut` says, and answers with `lines` in place of its own.
    """

    def __init__(self, *models: str) -> None:
        self.models, self.asked = list(models), list[str]()
        self.cut: int | None = None
        self.lines: list[bytes] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """It has no log."""

            def do_GET(self) -> None:
                outer.asked.append(f"GET {self.path}")
                listed = {"models": [{"name": one, "model": one} for one in outer.models]}
                self._begin()
                self.wfile.write(b"".join(outer.lines) if outer.lines is not None else json.dumps(listed).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(f"POST {self.path} {body['model']}")
                self._begin()
                for line in outer.pulled(body["model"]):
                    self.wfile.write(line)

            def _begin(self) -> None:
                self.send_response(HTTPStatus.OK)
                self.end_headers()

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that went away is no error here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def pulled(self, model: str) -> list[bytes]:
        """The lines of a pull, as Ollama 0.35 writes them; an error comes within an answer of status 200."""
        if self.lines is not None:
            return self.lines
        model = model if ":" in model else f"{model}:latest"
        if model not in REGISTRY:
            return [_line({"error": "pull model manifest: file does not exist"})]
        lines = [_line({"status": "pulling manifest"})]
        for digest, size in REGISTRY[model].items():
            part = {"status": f"pulling {digest}", "digest": digest, "total": size}
            lines += [_line(part), _line({**part, "completed": size // 2}), _line({**part, "completed": size})]
        lines += [_line({"status": "verifying sha256 digest"}), _line({"status": "success"})]
        if self.cut is not None:
            return lines[: self.cut]
        self.models.append(model)
        return lines


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"
