"""A model's short answer by the way that people's answers take: asked for by HTTP, its tokens at the websocket.

It is asked for as the front end does: POST /api/chat/completions with `session_id`, `chat_id` and `id`
(backend/open_webui/main.py, utils/middleware.py, 0.12.4). The chat is a temporary one, which Open WebUI does not save,
and without the background tasks that make a title, tags and further questions.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any
from urllib.parse import quote

from webui_stack.model.check import Check
from webui_stack.verify import websocket
from webui_stack.verify.websocket import Arrival, ProbeError, Session, Way

_QUESTION = "Say hello in one short sentence."
# A provider's error may have its key in it: a long word, in which most keys have digits.
_MAYBE_A_KEY = re.compile(r"(?=[\w*-]*[0-9])[\w*-]{20,}|[\w*-]{32,}")


class Fault(Enum):
    """What became of a question that was not answered to the end, in the words that a report begins with."""

    UNKNOWN = "model name is unknown"
    SILENT = "model does not answer"
    UNFINISHED = "answer has no end"
    UNHEARD = "events do not arrive"

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return _NEXT_STEPS[self]


_NEXT_STEPS = {
    Fault.UNKNOWN: "set verify_model to a name that is listed, or let an admin share the model with all users (Admin "
    "Panel, Settings, Models); a model whose server does not answer is not listed either",
    Fault.SILENT: "is its server up, and does Open WebUI reach it? See `docker logs open-webui`, and in the Admin "
    "Panel Settings, Connections",
    Fault.UNFINISHED: "look at the log of the model's server; a slow model needs a longer verify_timeout_s",
    Fault.UNHEARD: "people see no answer grow either: look at `docker logs open-webui`, and at the checks above",
}


@dataclass(frozen=True)
class Answer:
    """What arrived of an answer: milliseconds from the question to its first and last token, in how many pieces.

    `fault` is None for a whole answer; else `seen` says more of it. `is_over` says that Open WebUI is done with it.
    """

    first_ms: float | None = None
    last_ms: float | None = None
    pieces: int = 0
    fault: Fault | None = None
    seen: str = ""
    is_over: bool = True

    @property
    def size(self) -> str:
        """`1 piece`, `58 pieces`."""
        return f"{self.pieces} piece{'' if self.pieces == 1 else 's'}"

    def checks(self, model: str, next_step: str = "") -> Iterator[Check]:
        """A check for each of the two tokens, as far as it came. `next_step` stands for the fault's own."""
        first, last = f"first token of {model}", f"last token of {model}"
        if self.first_ms is not None:
            yield Check(first, True, f"arrived after {self.first_ms:.0f} ms", elapsed_ms=self.first_ms)
        if self.fault:
            name = first if self.first_ms is None else last
            yield Check(name, False, f"{self.fault.value}: {self.seen}", next_step or self.fault.next_step)
        elif self.last_ms is not None:
            seen = f"arrived after {self.last_ms:.0f} ms, in {self.size}"
            yield Check(last, True, seen, elapsed_ms=self.last_ms)


def ask(session: Session, way: Way, token: str, model: str, limit_s: float, heard_s: float) -> Answer:
    """Ask a model for a short answer, and listen to it at `session`; both are of the user that `token` is of.

    The question goes `way`, maybe to another process than the one `session` is connected to. From there to the last
    token may take `limit_s`; once the question is accepted, a first event has to arrive within `heard_s`. An answer
    that is not over by then is stopped. Nothing of it stays. Raises `ProbeError` when Open WebUI gives no answer.
    """
    if missing := _missing(way, token, model, limit_s):
        return missing
    # The front end's temporary chats are named like that (utils/chat_id.py, 0.12.4; 0.11.4 has it, too).
    chat, message = f"temporary:{session.sid}", str(uuid.uuid4())
    body = {
        "model": model,
        "messages": [{"role": "user", "content": _QUESTION}],
        "stream": True,
        "session_id": session.sid,
        "chat_id": chat,
        "id": message,
    }
    start = time.perf_counter()
    try:
        websocket.ask(way, "POST", "/api/chat/completions", limit_s, body, token)
    except ProbeError as error:
        if error.status is None:  # nobody knows whether it was asked
            _stop(way, chat, token, heard_s)
            raise
        return Answer(fault=Fault.SILENT, seen=_words(error))
    answer = _listen(session, chat, message, start, limit_s, heard_s)
    return answer if answer.is_over else replace(answer, seen=answer.seen + _stop(way, chat, token, heard_s))


def _missing(way: Way, token: str, model: str, limit_s: float) -> Answer | None:
    """Why the model can't be asked; None where it can.

    The list is what a page asks for before people choose a model: Open WebUI asks each server for its models then.
    """
    listed = [str(one["id"]) for one in websocket.ask(way, "GET", "/api/models", limit_s, token=token)["data"]]
    if model in listed:
        return None
    try:
        # Answers to people whom an admin shares it with, whether its server is up or not (routers/models.py, 0.12.4).
        websocket.ask(way, "GET", f"/api/v1/models/model?id={quote(model, safe='')}", limit_s, token=token)
    except ProbeError as error:
        if error.status not in (401, 404):
            raise
        offered = ", ".join(sorted(listed)[:10]) + (", ..." if len(listed) > 10 else "")
        return Answer(fault=Fault.UNKNOWN, seen=f"{model} is not among those of ordinary users: {offered or 'none'}")
    return Answer(fault=Fault.SILENT, seen=f"{model} is shared with all users, and no server offers it now")


def _listen(session: Session, chat: str, message: str, start: float, limit_s: float, heard_s: float) -> Answer:
    """What arrives of an answer. Open WebUI tells at once that it is at work on one (`chat:active`)."""
    answer = Answer(is_over=False)
    is_heard, deadline = False, time.perf_counter() + heard_s
    while (left_s := deadline - time.perf_counter()) > 0 and (arrival := session.next(left_s)):
        if not _is_of(arrival, chat, message):
            continue
        is_heard, deadline = True, start + limit_s
        what, data = arrival.data["data"].get("type"), arrival.data["data"].get("data")
        data = data if isinstance(data, dict) else {}
        if why := _failure(what, data):
            seen = f"after {answer.size}: {why}" if answer.pieces else why
            return replace(answer, fault=Fault.UNFINISHED if answer.pieces else Fault.SILENT, seen=seen, is_over=True)
        if _has_token(data) or (data.get("done") and not answer.pieces and _says_something(data)):
            at_ms = (arrival.at - start) * 1000
            first_ms = at_ms if answer.first_ms is None else answer.first_ms
            answer = replace(answer, first_ms=first_ms, last_ms=at_ms, pieces=answer.pieces + 1)
        if data.get("done"):
            answer = replace(answer, is_over=True)
            return answer if answer.pieces else replace(answer, fault=Fault.SILENT, seen="it ended without a word")
    if session.ended:
        return replace(answer, fault=Fault.UNHEARD, seen=f"the websocket ended after {answer.size}")
    if not is_heard:
        return replace(answer, fault=Fault.UNHEARD, seen=f"the question was accepted, and {heard_s:.0f} s were silent")
    if not answer.pieces:
        return replace(answer, fault=Fault.SILENT, seen=f"no token within {limit_s:.0f} s")
    so_far = f"{answer.size}, the last after {answer.last_ms:.0f} ms"
    return replace(answer, fault=Fault.UNFINISHED, seen=f"{so_far}, and no end within {limit_s:.0f} s")


def _is_of(arrival: Arrival, chat: str, message: str) -> bool:
    """Whether an event is of this answer: {"chat_id", "message_id", "data": {"type", "data"}}."""
    data = arrival.data
    return (
        arrival.event == "events"
        and isinstance(data, dict)
        and (data.get("chat_id"), data.get("message_id")) == (chat, message)
        and isinstance(data.get("data"), dict)
    )


def _failure(what: str, data: Mapping[str, Any]) -> str:
    """Why Open WebUI gave an answer up, "" where it did not."""
    if what == "chat:tasks:cancel":
        return "it was stopped"
    error = data.get("error")
    while isinstance(error, dict):
        error = error.get("content") or error.get("message") or error.get("detail") or "an error without words"
    return _words(error) if error else ""


def _words(error: Any) -> str:
    """An error of others in one line that a report may have."""
    return _MAYBE_A_KEY.sub("***", " ".join(str(error).split()))[:200]


def _has_token(data: Mapping[str, Any]) -> bool:
    """Whether an event brings a piece of the answer: its text, the model's thoughts before it, or a tool's name."""
    if str(data.get("type", "")).endswith(".delta"):  # since 0.11, whatever API the model's server speaks
        return bool(data.get("delta"))
    choices = data.get("choices") or [{}]
    return bool((choices[0].get("delta") or choices[0].get("message") or {}).get("content"))


def _says_something(data: Mapping[str, Any]) -> bool:
    """Whether the end of an answer brings the whole of it, as of a model that does not stream."""
    return any(part.get("text") for item in data.get("output") or () for part in item.get("content") or ())


def _stop(way: Way, chat: str, token: str, timeout_s: float) -> str:
    """Ensure nobody answers any more; what is to be said of that, "" where it worked."""
    try:
        websocket.ask(way, "POST", f"/api/tasks/chat/{chat}/stop", timeout_s, token=token)
    except ProbeError as error:
        return f"; it could not be stopped: {error}"
    return ""
