"""What can go wrong with a call to Docker. No answer is never "nothing there"."""

from __future__ import annotations

import re

from ..errors import HostError
from ..records import dataclass

_LOOK = "look at `systemctl status docker` on the host, and run this again"


class EngineError(HostError):
    """A call to Docker did not succeed."""


class NotFound(EngineError):  # noqa: N818 - Docker's own words
    """Docker answered that there is no such object: the one that the call names first, and no other."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name}", expected="it to be there", got="none of that name", do="run deploy.py")
        self.kind, self.name = kind, name


class Unavailable(EngineError):  # noqa: N818
    """Docker gave no whole answer: whether the object is there, or the change was made, is unknown."""

    def __init__(self, call: str, got: str, *, do: str = _LOOK) -> None:
        super().__init__("docker", expected=f"an answer to {call}", got=got, do=do)


class Refused(EngineError):  # noqa: N818
    """Docker answered no, in the words of `message`. To ask the same again does not help."""

    def __init__(self, call: str, message: str, *, status: int = 0, do: str = "fix that, and run this again") -> None:
        super().__init__("docker", expected=f"it to do {call}", got=message, do=do)
        self.message, self.status = message, status


class TooOld(Refused):
    """The engine's newest API is older than the oldest that this program speaks."""


class TooNew(Refused):
    """The engine's oldest API is newer than the newest that this program speaks."""


class ProgramFailed(HostError):  # noqa: N818
    """A program in a container ended with another exit code than those its caller accepts.

    `exit_code`, `output` and `errors` are what it left: 126 and 127 mean that Docker could not start it.
    """

    def __init__(self, program: str, container: str, exit_code: int, output: bytes, errors: bytes) -> None:
        # Docker's own words on a program that it could not start are on stdout.
        said = (errors or output).decode("utf-8", "replace").strip().rpartition("\n")[2]
        got = f"exit code {exit_code}" + (f": {said}" if said else "")
        super().__init__(f"{program} in {container}", expected="it to succeed", got=got, do="see the lines above")
        self.exit_code, self.output, self.errors = exit_code, output, errors


@dataclass(frozen=True)
class Asked:
    """The object that a call is about. Only a 404 on this one becomes NotFound."""

    kind: str
    name: str


# Patterns are compiled when an answer is an error: most starts of this program see none.
# How the engine says that the object asked for is missing (moby: daemon/errors.go, daemon/images/image.go,
# daemon/volume/service/errors.go, daemon/libnetwork/error.go, daemon/cluster/helpers.go; 20.10 to 29). An image is
# told by its full reference, which may be spelled otherwise than it was asked for. A manager of a swarm looks for
# the swarm's own volumes as well, and says it in their words (daemon/cluster/volumes.go, since 23; seen with 26.1).
_MISSING = {
    "container": ("no such container: {name}",),
    "image": ("no such image: ",),
    "volume": ("{name}: no such volume", "volume {name} not found"),
    "network": ("network {name} not found",),
    "node": ("node {name} not found",),
    "service": ("service {name} not found",),
    "secret": ("secret {name} not found",),
    "config": ("config {name} not found",),
}
# A node that is no manager, or whose swarm is locked, answers 503 as well, but will not answer otherwise a moment later
# (moby: daemon/cluster/errors.go; the first words are those of 20.10).
_FOR_GOOD = "not a swarm manager|not part of a swarm|needs to be unlocked|certificates have expired"
# Without a leader the swarm's own error comes through, with the status of an internal one
# (moby: daemon/server/httpstatus, statusCodeFromGRPCError).
_NO_LEADER = "^rpc error: |does not have a leader|^context deadline exceeded$"
# To send the same version of a service again never helps: it has to be read anew.
_OUT_OF_SEQUENCE = "update out of sequence"
# moby: daemon/server/middleware/version.go.
_CLIENT_TOO_OLD = r"^client version [0-9.]+ is too old\."
_CLIENT_TOO_NEW = r"^client version [0-9.]+ is too new\."


def from_answer(call: str, status: int, message: str, asked: Asked | None) -> EngineError:
    """The exception for an answer of 400 and above. `asked` is the object which the call is about, if there is one."""
    message = message or f"status {status}"
    if status == 404 and asked and _says_missing(message, asked):
        return NotFound(asked.kind, asked.name)
    if status == 400 and re.search(_CLIENT_TOO_OLD, message):
        return TooNew(call, message, status=status, do="use a newer release of this project")
    if status == 400 and re.search(_CLIENT_TOO_NEW, message):
        return TooOld(call, message, status=status, do="update Docker to 20.10 or newer")
    if status in (502, 503, 504) and not re.search(_FOR_GOOD, message):
        return Unavailable(call, message)
    if status == 500 and re.search(_NO_LEADER, message) and _OUT_OF_SEQUENCE not in message:
        return Unavailable(call, message, do="look at `docker node ls` on a manager, and run this again")
    return Refused(call, message, status=status)


def _says_missing(message: str, asked: Asked) -> bool:
    # The whole name: "No such container: web2" says nothing of web.
    end = "" if asked.kind == "image" else r"(?![\w.-])"
    said = [re.escape(words.format(name=asked.name).lower()) + end for words in _MISSING[asked.kind]]
    return any(re.search(words, message.lower()) for words in said)
