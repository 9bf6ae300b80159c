"""What a host says of its alarms: those that are open, and how a test message fared with each receiver. Pure."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from webui_stack.documents import document


class OpenAlarm(TypedDict):
    """What people were told of and is not well yet; `since_s` is when that began, in seconds since 1970."""

    name: str
    state: Literal["broken", "unknown", "flapping"]
    since_s: float
    seen: str
    next_step: str


class Outcome(TypedDict):
    """What became of a test message; `error` is "" where the receiver took it."""

    receiver: str
    error: str


def parse_open(content: object) -> list[OpenAlarm]:
    """The open alarms of a host. Raises `document.IncompleteError` where the answer is not whole."""
    return document.checked("alarms", _open(), content)


def parse_test(content: object) -> list[Outcome]:
    """The outcomes of a test. Raises `document.IncompleteError` where the answer is not whole."""
    return document.checked("alarm_test", _test(), content)


@cache
def _open() -> TypeAdapter[list[OpenAlarm]]:
    return TypeAdapter(list[OpenAlarm])


@cache
def _test() -> TypeAdapter[list[Outcome]]:
    return TypeAdapter(list[Outcome])
