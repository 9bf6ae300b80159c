"""A stand-in for Open WebUI: a real Socket.IO server, and the paths of its API that level "user" asks.

What it answers and emits has the form that Open WebUI 0.12.4 gives it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import socketio
from aiohttp import web

from webui_stack.verify import websocket

ACTIVE = {"type": "chat:active", "data": {"active": True, "folder_id": None}}
# The other side closes the websocket.
HANG_UP = {"type": "hang up"}


def delta(text: str, kind: str = "output_text") -> dict[str, Any]:
    """A piece of an answer, or with another `kind` of what the model thinks before it."""
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return {"type": "response:completion", "data": {"type": f"response.{kind}.delta", **place, "delta": text}}


def done(text: str) -> dict[str, Any]:
    """The end of an answer, which brings all of it again."""
    parts = [{"type": "output_text", "text": text}] if text else []
    output = [{"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": parts}]
    return {"type": "chat:completion", "data": {"done": True, "output": output if text else [], "title": ""}}


def failed(content: Any) -> dict[str, Any]:
    return {"type": "chat:message:error", "data": {"error": {"content": content}, "done": True}}


@contextmanager
def serving(app: web.Application) -> Iterator[int]:
    """The port of a server in a thread of its own."""
    loop = asyncio.new_event_loop()
    port: list[int] = []

    async def start() -> None:
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.append(runner.addresses[0][1])

    async def stop() -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.1)  # they end when they are resumed
        loop.stop()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    yield port[0]
    asyncio.run_coroutine_threadsafe(stop(), loop)
    thread.join(5)


class OpenWebUi:
    """It lists `models`, lets users read what it knows of those in `shared`, and emits `script` for each question.

    A number in the script is a pause in seconds. `status` is its answer to a question. `chats`, `asked` and `stopped`
    are the requests that it had.
    """

    def __init__(self) -> None:
        self.models: Sequence[str] = ("lab-long", "lab-short")
        self.shared: Sequence[str] = ()
        self.script: Sequence[dict[str, Any] | float] = ()
        self.status = 200
        self.stops = True
        self.events_arrive = True
        self.of_another = False
        self.asked: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.chats: set[str] = set()
        self._talk = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")
        self._talk.on("user-join", lambda *_: {"id": "probe"})
        self._tasks: set[asyncio.Task[None]] = set()
        self.app = web.Application()
        self._talk.attach(self.app, socketio_path=websocket.SOCKETIO_PATH)
        self.app.add_routes(
            [
                web.get("/api/models", self._list),
                web.get("/api/v1/models/model", self._model),
                web.post("/api/chat/completions", self._complete),
                web.post("/api/tasks/chat/{chat}/stop", self._stop),
                web.post("/api/v1/chats/new", self._new),
                web.delete("/api/v1/chats/{chat}", self._delete),
                web.post("/api/v1/chats/{chat}/messages/{message}/event", self._event),
            ]
        )

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name, "name": name} for name in self.models]})

    async def _model(self, request: web.Request) -> web.Response:
        is_shared = request.query["id"] in self.shared
        return web.json_response({"id": request.query["id"]} if is_shared else {}, status=200 if is_shared else 404)

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        if self.status != 200:
            return web.json_response({"detail": "Model not found"}, status=self.status)
        task = asyncio.create_task(self._say(body))
        self._tasks.add(task)
        return web.json_response({"status": True, "task_ids": ["1"], "chat_id": body["chat_id"]})

    async def _say(self, body: dict[str, Any]) -> None:
        for step in self.script:
            if isinstance(step, float):
                await asyncio.sleep(step)
            elif step is HANG_UP:
                await self._talk.disconnect(body["session_id"])
            else:
                message = "another" if self.of_another else body["id"]
                await self._emit(body["chat_id"], message, step)

    async def _emit(self, chat: str, message: str, data: dict[str, Any]) -> None:
        if self.events_arrive:
            await self._talk.emit("events", {"chat_id": chat, "message_id": message, "data": data})

    async def _stop(self, request: web.Request) -> web.Response:
        self.stopped.append(request.match_info["chat"])
        return web.json_response({"status": self.stops}, status=200 if self.stops else 404)

    async def _new(self, _: web.Request) -> web.Response:
        self.chats.add("chat-1")
        return web.json_response({"id": "chat-1"})

    async def _delete(self, request: web.Request) -> web.Response:
        self.chats.remove(request.match_info["chat"])
        return web.json_response(True)

    async def _event(self, request: web.Request) -> web.Response:
        await self._emit(request.match_info["chat"], request.match_info["message"], await request.json())
        return web.json_response(True)
