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

from .. import programs
from ..certificate import Dial
from ..engine import Container, Engine, ProgramFailed
from ..open_webui import WEBSOCKET
from ..socketio import NoSessionError, Session
from ..system import why

# Of templates/users.acl.j2: the user that publishes, as Open WebUI does. `monitor` may not.
_USER = "open-webui"
CHANNEL = "socketio"
_EVENT = "open-webui-stack:monitor"
# In seconds, for each question. The container's own `timeout` ends what Docker can't end.
_ANSWER_S = 5
# A question each, and not all on one stdin: with that, valkey-cli asks for COMMAND DOCS, which `monitor` may not, so
# that each look would be in ACL LOG. No argument is a secret. Without passwords, the default user asks.
_ASK = f"""\
cli=valkey-cli
command -v $cli >/dev/null || cli=redis-cli
ask() {{
  timeout {_ANSWER_S} $cli --json "$@"
  [ $? != 124 ] || exit 124
}}
as() {{
  user=$1 REDISCLI_AUTH=$2
  shift 2
  if [ "$REDISCLI_AUTH" ]; then
    export REDISCLI_AUTH
    ask --user "$user" "$@"
  else
    unset REDISCLI_AUTH
    ask "$@"
  fi
}}
channels=$1
shift
as monitor "$MONITOR" PING
as monitor "$MONITOR" INFO clients memory stats
as monitor "$MONITOR" ACL LOG 16
# shellcheck disable=SC2086 # no channel has a blank
as monitor "$MONITOR" PUBSUB NUMSUB $channels
while [ $# -ge 2 ]; do
  as {_USER} "$PUBLISHER" PUBLISH "$1" "$2"
  shift 2
done
"""
# Exit status of timeout(1) for a command that it ended.
_TIMED_OUT = 124
_LIMIT_S = 30.0
_PORT = 8080
# All websockets together have so long to open, and all events together to arrive.
_OPEN_S, _ARRIVE_S = 10.0, 5.0
# As valkey-cli --json shows an error of Valkey's, and a line of INFO, which is no JSON.
_ERROR = re.compile('error:"(.*)"')
_INFO = re.compile("([a-z][a-z0-9_]*):(.*)")


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
        lines = _ask(engine, one, ears, monitor, publisher)
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


def _ask(engine: Engine, one: Container, ears: Sequence[Ear], monitor: str, publisher: str) -> list[str] | None:
    """What valkey-cli writes, its errors at the end; None where a question had no answer in time."""
    arguments = [" ".join([CHANNEL, *(ear.channel for ear in ears if ear.session)])]
    for ear in ears:
        if ear.session:
            arguments += [ear.channel, _message(ear.session.sid, ear.own)]
            arguments += [CHANNEL, _message(ear.session.sid, ear.common)]
    try:
        done = engine.exec(
            one.name,
            ["sh", "-c", _ASK, "sh", *arguments],
            # Never an argument: only root can read a process's environment.
            env={"MONITOR": monitor, "PUBLISHER": publisher},
            accept=set(range(256)).difference(programs.NOT_RUN),
            timeout_s=_LIMIT_S,
        )
    except ProgramFailed as error:
        raise programs.unanswered("valkey-cli", one, f"exit code {error.exit_code}") from None
    if done.exit_code == _TIMED_OUT:
        return None
    return (done.stdout + done.stderr).decode("utf-8", "replace").split("\n")


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


def read(lines: Sequence[str]) -> Answers:
    """What valkey-cli wrote. The answers tell themselves apart by their form."""
    pong, info, listeners = False, dict[str, str](), dict[str, int]()
    denied: list[Mapping[str, Any]] = []
    errors: list[str] = []
    for line in filter(None, map(str.strip, lines)):
        error, row = _ERROR.fullmatch(line), _INFO.fullmatch(line)
        answer = None if error or row else _json(line)
        if error:
            errors.append(error[1])
        elif row:
            info[row[1]] = row[2]
        elif answer == "PONG":
            pong = True
        elif isinstance(answer, list) and answer[:1] == [CHANNEL]:
            listeners = dict(zip(answer[::2], answer[1::2]))  # noqa: B905 Python 3.9 has no `strict`
        elif isinstance(answer, list):
            denied = [one for one in answer if isinstance(one, dict)]
        elif answer is None and not line.startswith("#"):
            errors.append(line)
    return Answers(pong, info, listeners, denied, errors)


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
