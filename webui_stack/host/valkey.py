"""Valkey as its own container answers: what it says of itself, its limits, and its package."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import programs, stack
from .engine import Container, Engine
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
    password, default_user = "", None
    silence: list[str] = []
    if in_swarm or one.labels.get(stack.FOLDER_LABEL) == stack_dir:
        path = f"{stack_dir}/secrets/valkey-monitor-password"
        password = unread.answer(lambda: system.text(path).rstrip("\n"), "")
    if password:
        default_user = unread.answer(lambda: _rule(system.text(f"{stack_dir}/valkey/users.acl")), None)
    return {
        "open_files": unread.answer(lambda: _open_files(system, one), ""),
        "default_user": default_user,
        "package": unread.answer(lambda: programs.package(engine, one, "valkey-server"), ""),
        "answers": unread.answer(lambda: answers(engine, one, password, questions), silence),
    }


def _rule(acl: str) -> str:
    rules = [line for line in acl.splitlines() if line.startswith(_DEFAULT_USER)]
    return rules[0][len(_DEFAULT_USER) :] if rules else ""


def _open_files(system: System, one: Container) -> str:
    """How many files its process may open, or "unlimited"; "" where it does not run."""
    found = _OPEN_FILES.search(system.text(f"/proc/{one.pid}/limits")) if one.pid else None
    return found[1] if found else ""


def answers(engine: Engine, one: Container, password: str, questions: Sequence[str]) -> list[str]:
    """What valkey-cli wrote, its errors at the end; [] in a container that does not run.

    valkey-cli fails where Valkey refuses, and says so: that is an answer. Without a password it asks as the default
    user. Raises `HostError` where Valkey gives no answer in time, and `EngineError` where Docker does not.
    """
    if one.status != "running":
        return []
    done = engine.exec(
        one.name,
        ["sh", "-c", _ASK, "sh", *(["--user", "monitor"] if password else [])],
        # Never an argument: only root can read a process's environment.
        env={"REDISCLI_AUTH": password} if password else {},
        stdin="".join(f"{question}\n" for question in questions).encode(),
        accept=range(256),
        timeout_s=_ANSWER_S + 5,
    )
    if done.exit_code == _TIMED_OUT:
        raise programs.unanswered("valkey-cli", one, f"none in {_ANSWER_S} s")
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    # Not `splitlines`, which also ends a line at what a client's name may hold, such as U+2028.
    return [line.rstrip("\r") for line in text.rstrip("\n").split("\n")] if text else []
