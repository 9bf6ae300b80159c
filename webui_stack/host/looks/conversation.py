"""One conversation with Valkey a look: all of its questions, and an event to each Open WebUI of this host.

A whole event needs no login. Open WebUI takes a websocket without one (backend/open_webui/socket/main.py, `connect`),
and Socket.IO puts each session into a room of its own. What is published for that room, as another replica would do it,
has to arrive at the websocket. Left out is what a login adds: chats, and rooms of people. A browser's Origin is left
out, too, and so are the proxy and the network before this host: `verify` looks at them.

The cost: a websocket and some 600 bytes for each Open WebUI, and a connection to Valkey. A program in its container
would cost a host more than all other looks together.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import resp
from ..certificate import Dial
from ..engine import Container
from ..errors import HostError
from ..open_webui import WEBSOCKET
from ..socketio import NoSessionError, Session
from ..system import why

# Of templates/users.acl.j2: the user that asks, and the user that publishes, as Open WebUI does. `monitor` may not.
_MONITOR, _USER = "monitor", "open-webui"
CHANNEL = "socketio"
_EVENT = "open-webui-stack:monitor"
# In seconds, for each question.
_ANSWER_S = 5.0
_PORT, _VALKEY_PORT = 8080, 6379
# All websockets together have so long to open, and all events together to arrive.
_OPEN_S, _ARRIVE_S = 10.0, 5.0
# Open WebUI begins to listen with its first websocket, which may be the monitor's (python-socketio 5.16,
# async_server.py, `_handle_eio_connect`). It has so long for that.
_LISTEN_S, _LISTEN_EVERY_S = 3.0, 0.1


@dataclass(frozen=True)
class Answers:
    """What Valkey answered; `errors` are its refusals, and the reason why a question has no answer."""

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
    """Valkey's answers, None where one did not come in time; and who waits for an event."""

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

    @property
    def sessions(self) -> int:
        """How many have opened a websocket, so that they listen."""
        return sum(ear.session is not None for ear in self.ears)

    def end(self) -> None:
        """Ensure no websocket is open."""
        for ear in self.ears:
            if ear.session is not None:
                ear.session.close()


def hold(
    one: Container,
    at: str,
    passwords: tuple[str, str],
    listening: Mapping[str, str],
    dial: Dial,
) -> Conversation:
    """Open a websocket at each address, and ask Valkey all; `passwords` are `monitor`'s and Open WebUI's.

    `one` is Valkey's container, and `at` its address. `listening` has the address of each Open WebUI by the name of its
    container. Without passwords, the default user asks. Raises `HostError` where Valkey could not be asked.
    """
    ears = []
    left_s = _OPEN_S
    for name, address in listening.items():
        ears.append(_open(name, address, dial, left_s))
        left_s = left_s if ears[-1].session else max(left_s / 2, 1.0)
    try:
        return Conversation(_ask(one, at, passwords, ears, dial), ears)
    except BaseException:
        Conversation(None, ears).end()
        raise


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


def _ask(one: Container, address: str, passwords: tuple[str, str], ears: Sequence[Ear], dial: Dial) -> Answers | None:
    """What Valkey answers; None where a question had no answer in time. After that one, none is asked."""
    where = f"Valkey in {one.name}"
    if not address:
        raise HostError(where, expected="an address in a network", got="none", do="run deploy.py")
    try:
        client = resp.Client(dial(address, _VALKEY_PORT, _ANSWER_S), _ANSWER_S)
        try:
            return _answers(client, passwords, ears)
        finally:
            client.close()
    except socket.timeout:  # noqa: UP041 Python 3.9 has two kinds
        return None
    except (ConnectionError, ValueError) as error:  # nothing listens, or something else does
        return Answers(errors=[why(error).lower() if isinstance(error, OSError) else str(error)])
    except OSError as error:
        step = f"see whether a firewall of this host lets it reach {address}:{_VALKEY_PORT}"
        raise HostError(where, expected="an answer", got=why(error).lower(), do=step) from None


def _answers(client: resp.Client, passwords: tuple[str, str], ears: Sequence[Ear]) -> Answers:
    errors: list[str] = []

    def ask(*words: str) -> Any:
        try:
            return client.ask(*words)
        except resp.RefusedError as refusal:
            errors.append(str(refusal))
            return None

    monitor, publisher = passwords
    if monitor:
        ask("AUTH", _MONITOR, monitor)
    pong = ask("PING") == "PONG"
    info = dict(
        line.split(":", 1) for line in (ask("INFO", "clients", "memory", "stats") or "").splitlines() if ":" in line
    )
    denied = [_pairs(entry) for entry in ask("ACL", "LOG", "16") or ()]
    listeners = _listeners(ask, [ear.channel for ear in ears if ear.session])
    if not publisher or ask("AUTH", _USER, publisher) == "OK":
        for ear in ears:
            if ear.session:
                ask("PUBLISH", ear.channel, _message(ear.session.sid, ear.own))
                ask("PUBLISH", CHANNEL, _message(ear.session.sid, ear.common))
    return Answers(pong, info, listeners, denied, errors)


def _listeners(ask: Callable[..., Any], rooms: Sequence[str]) -> dict[str, int]:
    """How many listen by channel, once each Open WebUI with a session has begun to; `rooms` are their own channels."""
    until_s = time.monotonic() + _LISTEN_S
    while True:
        answer = ask("PUBSUB", "NUMSUB", CHANNEL, *rooms)
        found = _pairs(answer or ())
        if answer is None or found.get(CHANNEL, 0) >= len(rooms) or time.monotonic() >= until_s:
            return found
        time.sleep(_LISTEN_EVERY_S)


def _pairs(flat: Sequence[Any]) -> dict[str, Any]:
    """RESP2 has no maps: a name and its value follow each other."""
    return dict(zip(flat[::2], flat[1::2]))  # noqa: B905 Python 3.9 has no `strict`


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


def _marks(session: Session, wanted: str, limit_s: float) -> set[str]:
    """The marks that arrive until the wanted one does."""
    found: set[str] = set()
    for event in session.events(limit_s):
        if event.name == _EVENT and isinstance(event.data, dict):
            found.add(str(event.data.get("mark")))
            if wanted in found:
                break
    return found
