"""Facts: observe a host in one remote command each. Parsing is in the pure modules.

Each answer comes in a frame (`webui_stack.frame`): what a login shell prints is no part of it. pyinfra's own facts,
which its operations ask, have none.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from pyinfra import logger
from pyinfra.api import FactBase, FactProcessError, Host
from typing_extensions import override

from webui_stack import adoption, frame, lock, survey, symptoms
from webui_stack.host import protocol
from webui_stack.ops import program
from webui_stack.remote import RemoteError

# A script on stdin; nothing the host exports (REDIS_URL, COMPOSE_FILE) gets into it.
_CLEAN_SHELL = 'env -i PATH="$PATH" HOME="${HOME:-/root}" sh -s'
_T = TypeVar("_T")

NOT_SENT, NO_PYTHON = survey.Survey(), survey.Survey()
"""What the survey of a host is that lacks the program, or a Python for it; known by being these very objects."""


class _Framed(FactBase[_T]):
    """A fact whose command prints its answer in a frame. `read` takes the answer's lines, which may be none.

    `unanswered` is what pyinfra returns when there is no answer; `ask` knows it by being that very object.
    """

    unanswered: ClassVar[Any]

    def __init__(self) -> None:
        self.frame = frame.Frame()

    def read(self, lines: list[str]) -> _T:
        raise NotImplementedError

    @override
    def process(self, output: list[str]) -> _T:
        try:
            return self.read(self.frame.lines(output))
        except (frame.FrameError, survey.IncompleteError, protocol.ProtocolError, RemoteError) as error:
            raise FactProcessError(str(error)) from None

    @override
    def default(self) -> _T:  # type: ignore[override] # pyinfra 3.10 calls it on an instance
        unanswered: _T = self.unanswered
        return unanswered


def ask(host: Host, fact: type[_Framed[_T]], **arguments: Any) -> _T:
    """The fact of the host; when no answer comes, the host has failed, and this is what a bare host would answer.

    pyinfra 3.10 takes a command that prints nothing for one whose fact is the default, without a word.
    """
    answer: _T = host.get_fact(fact, **arguments)
    if answer is fact.unanswered:
        fail(host, frame.NOTHING)
    return answer


def fail(host: Host, why: str) -> None:
    """Ensure the host has failed, and the run goes on with the others. Says why, unless it had failed before."""
    if host.name not in {failed.name for failed in host.state.failed_hosts}:
        host.log_styled(why, fg="red", log_func=logger.error)
        fail_hosts: Any = host.state.fail_hosts
        fail_hosts({host.state.inventory.get_host(host.name)})


class Survey(_Framed[survey.Survey]):
    """The host and all that is on it. The request is on stdin (`_stdin=`), with the token `protocol.FRAMED`.

    `NOT_SENT` and `NO_PYTHON` stand for what nobody could say yet.
    """

    unanswered = survey.Survey()

    def command(self) -> str:
        return self.frame.command(program.command("survey"))

    @override
    def read(self, lines: list[str]) -> survey.Survey:
        try:
            return survey.parse(program.answered(lines, protocol.FRAMED))
        except program.NotSentError:
            return NOT_SENT
        except program.NoPythonError:
            return NO_PYTHON


class RunningImages(_Framed[dict[str, lock.LocalImage]]):
    """What the stack's containers were made of."""

    unanswered: ClassVar[Any] = {}

    def command(self) -> str:
        return self.frame.command(lock.OBSERVE)

    @override
    def read(self, lines: list[str]) -> dict[str, lock.LocalImage]:
        return lock.parse_running(lines)


class HeldImages(_Framed[dict[str, lock.Held]]):
    """Which of the locked images the host has, and what their references mean there."""

    unanswered: ClassVar[Any] = {}

    def command(self, images: list[lock.Wanted]) -> str:
        return self.frame.command(lock.look_command(images))

    @override
    def read(self, lines: list[str]) -> dict[str, lock.Held]:
        return lock.parse_held(lines)


class HandMade(_Framed[adoption.HandMade]):
    """What somebody gave a container open-webui of their own: variables (names only), ports; and its version."""

    unanswered = adoption.parse([])

    def command(self) -> str:
        return self.frame.command(adoption.COMMAND)

    @override
    def read(self, lines: list[str]) -> adoption.HandMade:
        return adoption.parse(lines)


class Teardown(_Framed[list[str]]):
    """What goes and what stays, a line each, from `templates.teardown_script` on stdin (`_stdin=`)."""

    unanswered: ClassVar[Any] = []

    def command(self) -> str:
        return self.frame.command(f"{_CLEAN_SHELL} teardown")

    @override
    def read(self, lines: list[str]) -> list[str]:
        return lines


class Symptoms(_Framed[symptoms.Observed]):
    """What doctor looks at, from `templates.doctor_script` on stdin (`_stdin=`)."""

    unanswered = symptoms.Observed()

    def command(self) -> str:
        return self.frame.command(f"{_CLEAN_SHELL} doctor")

    @override
    def read(self, lines: list[str]) -> symptoms.Observed:
        return symptoms.parse(lines)
