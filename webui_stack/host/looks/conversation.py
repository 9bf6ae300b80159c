"""One conversation with Valkey a look: all of its questions, and an event to each Open WebUI of this host.

A whole event needs no login. Open WebUI takes a websocket without one (backend/open_webui/socket/main.py, `connect`),
and Socket.IO puts each session into a room of its own. What is published for that room, as another replica would do it,
has to arrive at the websocket. Left out is what a login adds: chats, and rooms of people. A browser's Origin is left
out, too, and so are the proxy and the network before this host: `verify` looks at them.

The cost: a websocket and some 600 bytes for each Open WebUI, and one program in Valkey's container.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import valkey
from ..certificate import Dial
from ..engine import Container, Engine
from ..open_webui import WEBSOCKET
from ..socketio import NoSessionError, Session
from ..system import why

# Of templates/users.acl.j2: the user that publishes, as Open WebUI does. `monitor` may not.
_USER = "open-webui"
CHANNEL = "socketio"
_EVENT = "open-webui-stack:monitor"
_QUESTIONS = ("PING", "INFO clients memory stats", "ACL LOG 16")
_PORT = 8080
# All websockets together have so long to open, and all events together to arrive.
_OPEN_S, _ARRIVE_S = 10.0, 5.0
# As valkey-cli --json shows an error of Valkey's.
_ERROR = re.compile('error:"(.*)"')


@dataclass(frozen=True)
class Answers:
    """What Valkey answered, each as its own form tells it; `errors` are its refusals, and what is no answer."""

    pong: bool = False
    info: Mapping[str, str] = field(default_factory=dict)
    listeners: Mapping[str, int] = field(default_factory=dict)
    denied: Sequence[Mapping[str, Any]] = ()
    errors: Sequence[str] = ()


@dataclass
class Ear:
    """An Open WebUI that waits for an event, and the marks of what is published for it: by its own channel, by all's.

    Without a `session`, `why` says what came in place of one.
    """

    container: str
    session: Session | None = None
    why: str = ""
    own: str = field(default_factory=lambda: secrets.token_hex(8))
    common: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def channel(self) -> str:
        """The channel of its own room, where Open WebUI listens on such (since 0.11.5)."""
        return f"{CHANNEL}#/#{self.session.sid}" if self.session else ""


@dataclass(frozen=True)
class Conversation:
    """Valkey's answers, None for none in 10 s; and who waits for an event."""

    answers: Answers | None
    ears: Sequence[Ear]

    def heard(self) -> dict[str, set[str]]:
        """Which marks have arrived at each Open WebUI that has a session."""
        arrived: dict[str, set[str]] = {}
        left_s = _ARRIVE_S
        for ear in self.ears:
            if ear.session is not None:
                listened = self.answers is not None and self.answers.listeners.get(ear.channel, 0) > 0
                arrived[ear.container] = _marks(ear.session, ear.own if listened else ear.common, left_s)
                if not arrived[ear.container]:  # the next ones had this time as well
                    left_s = 1.0
        return arrived

    def end(self) -> None:
        """Ensure no websocket is open."""
        for ear in self.ears:
            if ear.session is not None:
                ear.session.close()


def hold(
    engine: Engine,
    one: Container,
    passwords: tuple[str, str],
    listening: Mapping[str, str],
    dial: Dial,
) -> Conversation:
    """Open a websocket at each address, and ask Valkey all at once; `passwords` are `monitor`'s and Open WebUI's.

    `listening` has an address by the name of its container. Raises `HostError` where Valkey could not be asked.
    """
    ears = []
    left_s = _OPEN_S
    for name, address in listening.items():
        ears.append(_open(name, address, dial, left_s))
        left_s = left_s if ears[-1].session else max(left_s / 2, 1.0)
    held = Conversation(None, ears)
    try:
        monitor, publisher = passwords
        lines = valkey.ask(engine, one, monitor, _questions(ears, publisher))
    except BaseException:
        held.end()
        raise
    return Conversation(None if lines is None else read(lines), ears)


def _open(name: str, address: str, dial: Dial, limit_s: float) -> Ear:
    if not address:
        return Ear(name, why="no address in a network")
    try:
        return Ear(name, Session(dial(address, _PORT, limit_s), f"{address}:{_PORT}", WEBSOCKET, limit_s))
    except NoSessionError as error:
        return Ear(name, why=str(error))
    except socket.timeout:  # noqa: UP041 Python 3.9 has two kinds
        return Ear(name, why="no answer in time")
    except OSError as error:
        return Ear(name, why=why(error).lower())


def _questions(ears: Sequence[Ear], publisher: str) -> list[str]:
    """Lines for valkey-cli's stdin, which only root can read, unlike arguments."""
    open_ones = [ear for ear in ears if ear.session]
    channels = " ".join([CHANNEL, *(_quoted(ear.channel) for ear in open_ones)])
    lines = [*_QUESTIONS, f"PUBSUB NUMSUB {channels}"]
    if open_ones and publisher:
        lines.append(f"AUTH {_USER} {_quoted(publisher)}")
    for ear in open_ones:
        assert ear.session
        for channel, mark in ((ear.channel, ear.own), (CHANNEL, ear.common)):
            lines.append(f"PUBLISH {_quoted(channel)} {_quoted(_message(ear.session.sid, mark))}")
    return lines


def _message(sid: str, mark: str) -> str:
    """An event for one session, as python-socketio writes it (AsyncPubSubManager.emit, 5.16)."""
    return json.dumps(
        {
            "method": "emit",
            "event": _EVENT,
            "data": [{"mark": mark}],
            "binary": False,
            "namespace": "/",
            "room": sid,
            "skip_sid": None,
            "callback": None,
            "host_id": "open-webui-stack",  # not the receiver's, which drops what it sent itself
        }
    )


def _quoted(word: str) -> str:
    """A word as valkey-cli reads it (sds.c, sdssplitargs): ASCII, so that JSON's escapes are its own."""
    return json.dumps(word)


def _marks(session: Session, wanted: str, limit_s: float) -> set[str]:
    """The marks that arrive until the wanted one does."""
    found: set[str] = set()
    for event in session.events(limit_s):
        if event.name == _EVENT and isinstance(event.data, dict):
            found.add(str(event.data.get("mark")))
            if wanted in found:
                break
    return found


def read(lines: Sequence[str]) -> Answers:
    """What valkey-cli wrote. The answers tell themselves apart by their form."""
    pong, info, listeners = False, dict[str, str](), dict[str, int]()
    denied: list[Mapping[str, Any]] = []
    errors: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        error = _ERROR.fullmatch(line)
        try:
            answer = None if error else json.loads(line)
        except ValueError:
            answer = None
        if answer == "PONG":
            pong = True
        elif isinstance(answer, str) and answer.startswith("#"):
            info = {name: value for name, _, value in (row.partition(":") for row in answer.splitlines())}
        elif isinstance(answer, list) and answer[:1] == [CHANNEL]:
            listeners = dict(zip(answer[::2], answer[1::2]))  # noqa: B905 Python 3.9 has no `strict`
        elif isinstance(answer, list):
            denied = [one for one in answer if isinstance(one, dict)]
        elif answer is None:
            errors.append(error[1] if error else line)
    return Answers(pong, info, listeners, denied, errors)
