"""Facts: observe a host in one remote command each. Parsing is in the pure modules.

Each answer comes in a frame (`webui_stack.transport.frame`): what a login shell prints is no part of it. pyinfra's own
facts, which its operations ask, have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from pydantic import TypeAdapter
from pyinfra import logger
from pyinfra.api import FactBase, FactProcessError, Host
from typing_extensions import override

from webui_stack.documents import document
from webui_stack.host import protocol
from webui_stack.model import doctor_observed, lock, survey
from webui_stack.plan import adoption, teardown
from webui_stack.transport import frame, program, remote
from webui_stack.transport.remote import RemoteError

_T = TypeVar("_T")

NOT_SENT: Any = "the program is not sent"
NO_PYTHON: Any = "there is no Python for the program"
"""The answers of a host that lacks the program, or a Python for it; known by being these very objects."""


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
        except (frame.FrameError, document.IncompleteError, protocol.ProtocolError, RemoteError) as error:
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


class _Verb(_Framed[_T]):
    """What a verb of the host's program answers. Its request is on stdin (`_stdin=`), with the token `protocol.FRAMED`.

    `NOT_SENT` and `NO_PYTHON` stand for what nobody could say yet.
    """

    verb: ClassVar[str]

    def command(self) -> str:
        return self.frame.command(program.command(self.verb))

    def parse(self, content: Any) -> _T:
        raise NotImplementedError

    @override
    def read(self, lines: list[str]) -> _T:
        try:
            return self.parse(program.answered(lines, protocol.FRAMED))
        except program.NotSentError:
            missing: _T = NOT_SENT
        except program.NoPythonError:
            missing = NO_PYTHON
        return missing


def ask_program(
    host: Host, verb: type[_Verb[_T]], bring_python: Callable[[Host], bool] = lambda _: False, **arguments: Any
) -> _T:
    """The answer of the host's program, which is sent first where the host does not have it.

    `bring_python` brings Python to a host without one; False where it did not. Raises `RemoteError` where the program
    can't run: `NoPythonError` on a host without a Python for it. `why` has the words for an operator.
    """
    found = ask(host, verb, **arguments)
    if found is NO_PYTHON and bring_python(host):
        found = ask(host, verb, **arguments)
    if found is NO_PYTHON:
        raise program.NoPythonError
    if found is NOT_SENT:
        program.send(host)
        found = ask(host, verb, **arguments)
    if found is NOT_SENT:
        raise program.NotSentError
    return found


def why(host: Host, error: RemoteError | document.IncompleteError) -> str:
    """Why the host's program gave no answer, or none that is whole, in one line."""
    return (isinstance(error, RemoteError) and remote.why_not_root(host)) or str(error)


class Survey(_Verb[survey.Survey]):
    """The host and all that is on it, from `survey_requests.survey_request`."""

    verb = "survey"
    unanswered = survey.Survey()

    @override
    def parse(self, content: Mapping[str, Any]) -> survey.Survey:
        return survey.parse(content)


class RunningImages(_Verb[dict[str, lock.LocalImage]]):
    """What the stack's containers were made of; see `running_images`."""

    verb = "running_images"
    unanswered: ClassVar[Any] = {}

    @override
    def parse(self, content: object) -> dict[str, lock.LocalImage]:
        return lock.parse_running(content)


def running_images(host: Host) -> dict[str, lock.LocalImage]:
    """What the stack's containers were made of. Where nobody could say, the host has failed, and this is {}."""
    request = protocol.Request(RunningImages.verb, protocol.FRAMED, lock.running_request())
    try:
        return ask_program(host, RunningImages, _stdin=request.line())
    except RemoteError as error:
        fail(host, why(host, error))
        return {}


class HeldImages(_Verb[dict[str, lock.Held]]):
    """Which of the locked images the host has, and what their references mean there; see `held_images`."""

    verb = "images"
    unanswered: ClassVar[Any] = {}

    @override
    def parse(self, content: object) -> dict[str, lock.Held]:
        return lock.parse_held(content)


def held_images(host: Host, images: Iterable[lock.Wanted]) -> dict[str, lock.Held]:
    """Which of the locked images the host has; {} while its Docker does not answer.

    Where the host's program can't run, the host has failed, and this is {} as well.
    """
    request = protocol.Request(HeldImages.verb, protocol.FRAMED, lock.request(images))
    try:
        return ask_program(host, HeldImages, _stdin=request.line())
    except RemoteError as error:
        fail(host, why(host, error))
        return {}


class MissingModels(_Verb[list[str]]):
    """Which models the stack's Ollama lacks; see `missing_models`."""

    verb = "models"
    unanswered: ClassVar[Any] = []

    @override
    def parse(self, content: object) -> list[str]:
        return document.checked("models", TypeAdapter(list[str]), content)


def missing_models(host: Host, arguments: Mapping[str, Any]) -> list[str]:
    """Which of the models of `stack_requests.models_request` the stack's Ollama lacks: all of them where none runs.

    Where the host's program can't run, the host has failed, and this is [].
    """
    request = protocol.Request(MissingModels.verb, protocol.FRAMED, dict(arguments))
    try:
        return ask_program(host, MissingModels, _stdin=request.line())
    except RemoteError as error:
        fail(host, why(host, error))
        return []


class HandMade(_Verb[adoption.HandMade]):
    """Names of what somebody gave the tutorial's containers, from `survey_requests.hand_made_request`."""

    verb = "hand_made"
    unanswered = replace(adoption.NONE)

    @override
    def parse(self, content: Mapping[str, Any]) -> adoption.HandMade:
        return adoption.parse(content)


class Teardown(_Verb[list[teardown.Found]]):
    """What goes and what stays, from `teardown.look_request`."""

    verb = "teardown_look"
    unanswered: ClassVar[Any] = []

    @override
    def parse(self, content: Mapping[str, Any]) -> list[teardown.Found]:
        return teardown.parse(content)


class Symptoms(_Verb[doctor_observed.Observed]):
    """What doctor looks at, from `survey_requests.doctor_request`."""

    verb = "doctor"
    unanswered = doctor_observed.Observed()

    @override
    def parse(self, content: Mapping[str, Any]) -> doctor_observed.Observed:
        return doctor_observed.parse(content)
