"""An event on its way to a client's websocket: what makes an answer appear live, and what breaks silently."""

from __future__ import annotations

import secrets
import time
from typing import Any

import redis

from webui_stack.verify import valkey, websocket
from webui_stack.verify.websocket import ProbeError, Session, Way

_NAME = "open-webui-stack:probe"


def through_valkey_ms(session: Session, client: redis.Redis, kilobytes: int, timeout_s: float) -> float:
    """Milliseconds from publishing an event in Valkey to its arrival at `session`.

    It is published as another replica would, and goes to that one connection only. Raises
    `ProbeError` when it does not arrive, and `redis.RedisError`.
    """
    mark = secrets.token_hex(8)
    start = time.perf_counter()
    listeners = valkey.emit(client, session.sid, _NAME, {"mark": mark, "filling": "x" * (kilobytes * 1024)})
    arrived = session.wait(lambda event, data: event == _NAME and data.get("mark") == mark, timeout_s)
    if arrived is None:
        heard = "nobody listens there" if listeners == 0 else f"{listeners} listening"
        raise ProbeError(f"published in Valkey, {heard}, and not at the websocket after {timeout_s:.0f} s")
    return (arrived - start) * 1000


def by_request_ms(session: Session, way: Way, token: str, timeout_s: float) -> float:
    """Milliseconds from an HTTP request to the event it causes at `session`, both the same user's.

    The request goes `way`, maybe to another process than the one `session` is connected to. It is an event of
    a chat (POST /api/v1/chats/ID/messages/ID/event, backend/open_webui/routers/chats.py, 0.12.4) that is
    made for it and deleted again. Raises `ProbeError`.
    """
    chat = websocket.ask(way, "POST", "/api/v1/chats/new", timeout_s, {"chat": {"title": _NAME}}, token)["id"]
    try:
        mark = secrets.token_hex(8)
        start = time.perf_counter()
        body = {"type": _NAME, "data": {"mark": mark}}
        websocket.ask(way, "POST", f"/api/v1/chats/{chat}/messages/{mark}/event", timeout_s, body, token)
        arrived = session.wait(lambda event, data: event == "events" and _mark(data) == mark, timeout_s)
    finally:
        websocket.ask(way, "DELETE", f"/api/v1/chats/{chat}", timeout_s, token=token)
    if arrived is None:
        raise ProbeError(f"caused by {way.url}, and not at the websocket after {timeout_s:.0f} s")
    return (arrived - start) * 1000


def _mark(data: Any) -> str:
    """The mark in what Open WebUI makes of our event: {"chat_id", "message_id", "data": {"type", "data"}}."""
    inner = data.get("data", {}).get("data") if isinstance(data, dict) else None
    return str(inner.get("mark", "")) if isinstance(inner, dict) else ""
