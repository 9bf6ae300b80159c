"""Programs inside the stack's containers that are asked one thing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from .engine import Container, Engine, NotFound, ProgramFailed, Unavailable
from .errors import HostError

_Answer = TypeVar("_Answer")
LIMIT_S = 30.0
"""How long anything of a look may take that has no limit of its own."""
# Exit codes of a program that the image does not have, or that can't be started.
ABSENT = (126, 127)
# The same, and Docker's own for any other reason (moby: daemon/exec.go): the program has not run.
NOT_RUN = (*ABSENT, 128)


def said(
    engine: Engine,
    one: Container,
    command: Sequence[str],
    *,
    name: str = "",
    stdin: bytes | None = None,
    absent: Collection[int] = (),
    limit_s: float = LIMIT_S,
) -> str:
    """What a program writes to its stdout; "" in a container that does not run, and for an exit code in `absent`.

    Raises `HostError` for any other failure, which calls the program by `name`, or by its first word. The program's
    stderr is in no error: it may hold a secret.
    """
    if one.status != "running":
        return ""
    try:
        done = engine.exec(one.name, command, stdin=stdin, accept=(0, *absent), timeout_s=limit_s)
    except ProgramFailed as error:
        raise unanswered(name or command[0], one, f"exit code {error.exit_code}") from None
    except Unavailable as error:
        raise unanswered(name or command[0], one, error.got) from None
    return "" if done.exit_code else done.stdout.decode("utf-8", "replace")


def unanswered(name: str, one: Container, got: str) -> HostError:
    """That a program in a container gave no answer."""
    return HostError(f"{name} in {one.name}", expected="an answer", got=got, do=f"look at `docker logs {one.name}`")


def answer(engine: Engine, one: Container | None, ask: Callable[[Container], _Answer], otherwise: _Answer) -> _Answer:
    """The answer from within a container; `otherwise` where that does not run, or has ended meanwhile."""
    if one is None or one.status != "running":
        return otherwise
    try:
        return ask(one)
    except HostError:  # such as Docker's no to a program in a container that has ended
        if not has_ended(engine, one):
            raise
        return otherwise


def has_ended(engine: Engine, one: Container) -> bool:
    """Whether a container has ended since it was looked at. Docker refuses to run a program in it then."""
    try:
        now = engine.container(one.name)
    except NotFound:
        return True
    return (now.id, now.started_at, now.status) != (one.id, one.started_at, "running")


def package(engine: Engine, one: Container, name: str) -> str:
    """The version of a distribution's package; "" where it has none of that name, or has no dpkg.

    A distribution fixes under an old number.
    """
    command = ["dpkg-query", "--show", "--showformat", "${Version}", name]
    return said(engine, one, command, absent=(1, *ABSENT)).strip()
