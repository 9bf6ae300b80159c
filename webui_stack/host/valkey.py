"""Valkey as its own container answers: what it says of itself, its limits, and its package."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import programs, stack
from .engine import Container, Engine, ProgramFailed
from .system import System
from .unread import Unread

# In seconds. The container's own `timeout` ends what Docker can't end.
_ANSWER_S = 10
_ASK = f"""\
cli=valkey-cli
command -v $cli >/dev/null || cli=redis-cli
exec timeout {_ANSWER_S} $cli --json "$@"
"""
# Exit status of timeout(1) for a command that it ended.
_TIMED_OUT = 124
_OPEN_FILES = re.compile(r"(?m)^Max open files +([^ ]+)")
_DEFAULT_USER = "user default "
NOTHING: Mapping[str, Any] = {"open_files": "", "default_user": None, "package": "", "answers": []}
"""What is known where no Valkey is."""


def look(
    system: System,
    engine: Engine,
    unread: Unread,
    one: Container | None,
    *,
    stack_dir: str,
    in_swarm: bool,
    questions: Sequence[str],
) -> dict[str, Any]:
    """What Valkey answers to the questions, line by line, asked as our user where it is ours.

    `default_user` is the rule of our own file, None without it: with our users, nobody may ask Valkey for that, and
    nobody may change it there.
    """
    if one is None:
        return dict(NOTHING)
    default_user = None
    silence: list[str] = []
    password = unread.answer(lambda: monitor_password(system, one, stack_dir=stack_dir, in_swarm=in_swarm), "")
    if password:
        default_user = unread.answer(lambda: _rule(system.text(f"{stack_dir}/valkey/users.acl")), None)
    return {
        "open_files": unread.answer(lambda: _open_files(system, one), ""),
        "default_user": default_user,
        "package": unread.answer(lambda: programs.package(engine, one, "valkey-server"), ""),
        "answers": unread.answer(lambda: _answers(engine, one, password, questions), silence),
    }


def monitor_password(system: System, one: Container, *, stack_dir: str, in_swarm: bool) -> str:
    """The password of our user `monitor`; "" where this Valkey is not ours, or there is none yet."""
    if in_swarm or one.labels.get(stack.FOLDER_LABEL) == stack_dir:
        return system.text(f"{stack_dir}/secrets/valkey-monitor-password").rstrip("\n")
    return ""


def ask(engine: Engine, one: Container, password: str, questions: Sequence[str]) -> list[str] | None:
    """What valkey-cli writes in a container that runs, its errors at the end; None without an answer in 10 s.

    It asks as `monitor` where there is a password. It fails where Valkey refuses, and says so: that is an answer.
    Raises `HostError` where valkey-cli could not be run.
    """
    try:
        done = engine.exec(
            one.name,
            ["sh", "-c", _ASK, "sh", *(["--user", "monitor"] if password else [])],
            # Never an argument: only root can read a process's environment.
            env={"REDISCLI_AUTH": password} if password else {},
            stdin="".join(f"{question}\n" for question in questions).encode(),
            accept=set(range(256)).difference(programs.NOT_RUN),
            timeout_s=_ANSWER_S + 5,
        )
    except ProgramFailed as error:
        raise programs.unanswered("valkey-cli", one, f"exit code {error.exit_code}") from None
    if done.exit_code == _TIMED_OUT:
        return None
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    # Not `splitlines`, which also ends a line at what a client's name may hold, such as U+2028.
    return [line.rstrip("\r") for line in text.rstrip("\n").split("\n")] if text else []


def _rule(acl: str) -> str:
    rules = [line for line in acl.splitlines() if line.startswith(_DEFAULT_USER)]
    return rules[0][len(_DEFAULT_USER) :] if rules else ""


def _open_files(system: System, one: Container) -> str:
    """How many files its process may open, or "unlimited"; "" where it does not run."""
    found = _OPEN_FILES.search(system.text(f"/proc/{one.pid}/limits")) if one.pid else None
    return found[1] if found else ""


def _answers(engine: Engine, one: Container, password: str, questions: Sequence[str]) -> list[str]:
    if one.status != "running":
        return []
    answers = ask(engine, one, password, questions)
    if answers is None:
        raise programs.unanswered("valkey-cli", one, f"none in {_ANSWER_S} s")
    return answers
