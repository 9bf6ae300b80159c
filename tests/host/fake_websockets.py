"""An Open WebUI as far as its websockets go: python-socketio's own server, whose channel is a queue in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import socketio
from aiohttp import web
from socketio.async_pubsub_manager import AsyncPubSubManager

PATH = "/ws/socket.io"


class _Channel(AsyncPubSubManager):  # type: ignore[misc]
    """What others publish is in the queue; what this server publishes goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    async def _publish(self, data: Any) -> None:
        del data

    async def _listen(self) -> AsyncIterator[str]:
        while True:
            yield await self.queue.get()


class Websockets:
    """Listens at `port` of this machine until `end`; `sids` are those of the sessions that are open."""

    def __init__(self, *, origins: Any = None, refuses: bool = False) -> None:
        self.port = 0
        self.sids: list[str] = []
        self._refuses, self._origins = refuses, origins
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)

    def publish(self, message: str) -> None:
        """What Valkey hands on to a listener."""
        asyncio.run_coroutine_threadsafe(self._channel.queue.put(message), self._loop).result(5)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop)
        self._thread.join(5)

    async def _start(self) -> None:
        self._channel = _Channel()
        talk = socketio.AsyncServer(
            async_mode="aiohttp",
            cors_allowed_origins=self._origins or [],
            client_manager=self._channel,
            ping_interval=1,
        )
        talk.on("connect", self._connect)
        talk.on("disconnect", lambda sid, *_: self.sids.remove(sid))
        app = web.Application()
        talk.attach(app, socketio_path=PATH)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]

    async def _connect(self, sid: str, _environ: Any, auth: Any = None) -> bool:
        """As Open WebUI's: somebody without a token is let in."""
        assert not auth
        if self._refuses:
            return False
        self.sids.append(sid)
        return True

    async def _stop(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.1)  # they end when they are resumed
        self._loop.stop()
