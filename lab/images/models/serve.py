"""An OpenAI-compatible API that answers with a text of its own, word by word, as slowly as a person reads.

It remembers whose answers were cut off: `GET /cancelled` counts them by model, so that a test of a Stop
button can tell a model that stopped from a page that stopped listening. Needs nothing but Python.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = (
    "This answer comes from the lab's own model, word by word. Open WebUI reads it as a stream, publishes each "
    "piece to Valkey, and a websocket brings it to this page. Nobody asks twice, nobody polls. When you press "
    "Stop, the same road is taken in the other direction, and the model falls silent in the middle of its sentence. "
)
# how often the text is said: about 6 s, and a minute, which nobody waits for
MODELS = {"lab-short": 1, "lab-long": 10}
PAUSE_S = 0.1
# Open WebUI asks its model for a title, tags, follow-up questions and more, each as JSON with a key of its own
TASK_PREFIX = "### Task:"
TASK_ANSWER = json.dumps({"title": "A chat in the lab", "tags": ["lab"], "follow_ups": [], "queries": []})

cancelled: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            entries = [{"id": name, "object": "model", "created": 0, "owned_by": "lab"} for name in MODELS]
            self.reply({"object": "list", "data": entries})
        elif self.path == "/cancelled":
            self.reply(cancelled)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = body.get("model")
        if self.path != "/v1/chat/completions" or model not in MODELS:
            self.send_error(HTTPStatus.NOT_FOUND, f"model: expected one of {', '.join(MODELS)}, got {model!r}")
            return
        text = answer(model, body["messages"])
        if body.get("stream"):
            self.stream(model, text)
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self.reply(envelope(model, "chat.completion", choice))

    def stream(self, model: str, text: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for choice in pieces(text):
                self.send_chunk(event(json.dumps(envelope(model, "chat.completion.chunk", choice))))
                time.sleep(PAUSE_S)
            self.send_chunk(event("[DONE]"))
            self.send_chunk(b"")
        except ConnectionError:
            cancelled[model] += 1
            self.close_connection = True

    def send_chunk(self, content: bytes) -> None:
        """One chunk (RFC 9112, 7.1); the empty one is the last."""
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def reply(self, document: Any) -> None:
        content = json.dumps(document).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def answer(model: str, messages: list[dict[str, Any]]) -> str:
    """What the model says to the last message: its text, or JSON to one of Open WebUI's own questions."""
    if str(messages[-1]["content"]).startswith(TASK_PREFIX):
        return TASK_ANSWER
    return (ANSWER * MODELS[model]).rstrip()


def pieces(text: str) -> Iterator[dict[str, Any]]:
    """The text's words as the choices of a streamed answer, and its end."""
    for word in text.split(" "):
        yield {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
    yield {"index": 0, "delta": {}, "finish_reason": "stop"}


def envelope(model: str, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-lab", "object": kind, "created": int(time.time()), "model": model, "choices": [choice]}


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


if __name__ == "__main__":
    # containers and hosts reach it by its address on the lab's network
    ThreadingHTTPServer(("", 80), Handler).serve_forever()
