"""Alarms: a test message to each receiver, and what is open."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..alarms import Alarms, receivers
from ..clock import Clock
from ..files import Files
from ..protocol import Event
from ..system import require_root


@dataclass(frozen=True)
class Request:
    """The file of the receivers (`receivers.read`), and the name that messages have for this host: "" for its own."""

    receivers: str
    host: str = ""


def test(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> list[dict[str, str]]:
    """Send a test message to each receiver, within 10 s; `arguments` are those of `Request`. The stack stays as it is.

    Returns each receiver's name with its `error`, "" where it took the message. Fails where the file can't be read.
    """
    require_root()
    asked, files = Request(**arguments), Files()
    host = asked.host or os.uname().nodename
    alarms = Alarms(
        receivers.read(files, asked.receivers), files, Clock(), host=host, say=lambda line: emit(Event(line))
    )
    return [asdict(one) for one in alarms.test()]


def look(_arguments: Mapping[str, Any], _emit: Callable[[Event], None]) -> list[dict[str, Any]]:
    """What people were told of and is not well yet, by name; `alarms.OpenAlarm` has the keys of each.

    Fails where that can't be read: it is unknown then, and not "nothing".
    """
    require_root()
    alarms = Alarms(receivers.Receivers(), Files(), Clock(), host="", say=lambda _: None)
    return [asdict(one) for one in alarms.open()]
