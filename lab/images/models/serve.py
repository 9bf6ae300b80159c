"""An OpenAI-compatible API that answers with a text of its own, word by word, as slowly as a person reads.

It remembers whose answers were cut off: `GET /cancelled` counts them by model, so that a test of a Stop
button can tell a model that stopped from a page that stopped listening.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from aiohttp import web

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
routes = web.RouteTableDef()


@routes.get("/v1/models")
async def models(_: web.Request) -> web.Response:
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "lab"} for name in MODELS]
    return web.json_response({"object": "list", "data": entries})


@routes.post("/v1/chat/completions")
async def complete(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    model = body["model"]
    if model not in MODELS:
        raise web.HTTPNotFound(text=f"model: expected one of {', '.join(MODELS)}, got {model!r}")
    text = answer(model, body["messages"])
    if not body.get("stream"):
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(envelope(model, "chat.completion", choice))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    try:
        for choice in pieces(text):
            await response.write(event(json.dumps(envelope(model, "chat.completion.chunk", choice))))
            await asyncio.sleep(PAUSE_S)
        await response.write(event("[DONE]"))
    except ConnectionResetError:
        cancelled[model] += 1
    return response


@routes.get("/cancelled")
async def count_cancelled(_: web.Request) -> web.Response:
    return web.json_response(cancelled)


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
    app = web.Application()
    app.add_routes(routes)
    web.run_app(app, port=80)
