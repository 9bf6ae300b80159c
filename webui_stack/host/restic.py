"""Copies of backup sets in a repository of restic, and what opens it."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .backup_sets import NAME
from .clock import Clock
from .errors import HostError
from .files import Files
from .progress import Progress
from .protocol import Event
from .system import Ended, System

TAG = "open-webui-stack"
"""What tells our snapshots from those of others in the repository."""
# Others may be at work in the repository, and forgetting wants it for itself; restic waits since 0.16 only.
WAIT_S = 600.0
PAUSE_S = 10.0
# A first copy over a slow line takes long.
LIMIT_S = 24 * 3600.0
LOOK_S = 120.0
"""How long a mere look may take: a storage that is away can keep restic for hours."""
# "Repository does not exist", since restic 0.17.
_NO_REPOSITORY = 10
# Before, its words after any failed look for the configuration, and before them why it failed. Each kind of storage
# has words of its own for what is not there.
_NO_CONFIG = re.compile(r"(?is)(exist|no such file|not ?found|404).*is there a repository at")
_LOCKED = "already locked"
# A damaged repository has a line for each file that is missing.
_WORDS = 1000
_TIME = re.compile(r"([0-9-]+T[0-9:]+)(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")
# Shorter values, as of a region, are no secret, and may be words of restic.
_SECRET_LENGTH = 8


@dataclass(frozen=True)
class Snapshot:
    """One snapshot of ours: its id, the host whose set it has, the set's name, and when that was made, since 1970."""

    id: str
    host: str
    name: str
    made_s: float


@dataclass(frozen=True)
class Place:
    """A repository that gets copies: its `address`, and the file below the stack's folder that has what opens it.

    From one that is `append_only` this host removes nothing: a thief of the host's key must not be able to.
    """

    address: str
    key: str = "restic.env"
    append_only: bool = False


class Key:
    """What opens a repository, kept for root alone below the stack's folder.

    It is not with the stack's secrets: those go into each set, and a repository's own key in it opens nothing that is
    not open already. The file is for shells, too: an operator reads it by `. restic.env`.
    """

    def __init__(self, files: Files, stack_dir: str, name: str = "restic.env") -> None:
        self._files, self._path = files, f"{stack_dir}/{name}"

    def keep(self, environment: Mapping[str, str]) -> None:
        """Ensure the file has these variables."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items())]
        self._files.write(self._path, "".join(lines))

    def read(self) -> dict[str, str]:
        """The variables. Raises `HostError` where they are missing, or can't be read; none of it is in its text."""
        do = "run runbooks/backup.py"
        text = self._files.read_text(self._path)
        if text is None:
            raise HostError(self._path, expected="what opens the restic repository", got="no file", do=do)
        try:
            words = shlex.split(text)
        except ValueError:
            words = [""]
        found = dict(word.partition("=")[::2] for word in words[1::2])
        if set(words[::2]) != {"export"} or len(words) % 2 or "" in found:
            raise HostError(self._path, expected="a line `export NAME='VALUE'` for each variable", got="others", do=do)
        return found


class Repository:
    """The repository at `address`. `environment` opens it: it may hold secrets, and is in no error."""

    def __init__(
        self, system: System, clock: Clock, emit: Callable[[Event], None], address: str, environment: Mapping[str, str]
    ) -> None:
        self._system, self._clock, self._emit = system, clock, emit
        self._secrets = sorted(filter(_is_secret, environment.values()), key=len, reverse=True)
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            # There restic has its cache.
            "HOME": os.environ.get("HOME", "/root"),
            "RESTIC_PROGRESS_FPS": "0.2",
            **environment,
            "RESTIC_REPOSITORY": address,
            # restic reads and prints times in this zone.
            "TZ": "UTC",
        }

    def ensure(self) -> None:
        """Ensure there is a repository and it opens. It is made only where restic says that none is there."""
        ended = self._run("cat", "config", "--no-lock")
        if not ended.status:
            return
        words = self._words(ended)
        if ended.status != _NO_REPOSITORY and not _NO_CONFIG.search(words):
            raise _refused("to open the repository", words)
        self._checked("to make a repository", "init", "--quiet")

    def expect(self) -> None:
        """Fail where the repository does not open. Nothing is made."""
        self._checked("to open the restic repository", "cat", "config", "--no-lock", where="restore")

    def copy(self, folder: str, name: str, host: str, made_s: float) -> None:
        """Ensure the repository has the set `name` of `folder`, as one that the host made at `made_s`, since 1970."""
        self._checked("to end what was cut off in the repository", "unlock", "--quiet")
        said = _Said(Progress(f"copying {name}", self._emit, self._clock))
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(made_s))
        marks = ("--time", made, "--tag", TAG, "--tag", name)
        self._patiently("to copy the set", "backup", "--json", "--host", host, *marks, f"{folder}/{name}", tell=said)

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Ensure these snapshots are gone, and what only they need. Nothing happens without one."""
        if snapshots:
            ids = [one.id for one in snapshots]
            self._patiently("to forget older sets", "forget", "--quiet", "--prune", *ids)

    def check(self) -> None:
        """Fail where the repository's structure is not whole: it lacks something, or what it has does not fit."""
        self._checked("to end what was cut off in the repository", "unlock", "--quiet")
        self._patiently("a whole repository", "check", "--quiet")

    def snapshots(self, where: str = "restore", *, limit_s: float = LIMIT_S) -> list[Snapshot]:
        """Our snapshots, the oldest first. `where` begins an error's text."""
        wish = "to list snapshots"
        command = ("snapshots", "--no-lock", "--json", "--tag", TAG)
        ended = self._checked(wish, *command, where=where, limit_s=limit_s)
        try:
            return [one for each in json.loads(ended.output) or () for one in _snapshots(each)]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _refused(wish, f"another form of its JSON ({type(error).__name__})", where) from None

    def restore(self, one: Snapshot, target: str) -> None:
        """Ensure the snapshot's set is below the folder `target`, at its path on the host that made it."""
        said = _Said(Progress(f"bringing {one.name}", self._emit, self._clock))
        command = ("restore", "--no-lock", "--json", "--target", target, one.id)
        self._checked(f"to bring {one.name}", *command, where="restore", tell=said)

    # --- Below

    def _patiently(self, wish: str, *arguments: str, tell: Callable[[str], object] | None = None) -> None:
        """Run restic, and wait while others have the repository to themselves."""
        deadline = self._clock.monotonic() + WAIT_S
        told = False
        while (ended := self._run(*arguments, tell=tell)).status:
            words = self._words(ended)
            if _LOCKED not in words:
                raise _refused(wish, words)
            if self._clock.monotonic() >= deadline:
                raise _refused(wish, f"the repository in others' use for {WAIT_S / 60:.0f} minutes: {words}")
            if not told:
                self._emit(Event("others have the restic repository to themselves; waiting for them"))
                told = True
            self._clock.sleep(PAUSE_S)

    def _checked(
        self,
        wish: str,
        *arguments: str,
        where: str = "restic",
        tell: Callable[[str], object] | None = None,
        limit_s: float = LIMIT_S,
    ) -> Ended:
        ended = self._run(*arguments, tell=tell, limit_s=limit_s)
        if ended.status:
            raise _refused(wish, self._words(ended), where)
        return ended

    def _run(self, *arguments: str, tell: Callable[[str], object] | None = None, limit_s: float = LIMIT_S) -> Ended:
        return self._system.carry_out("restic", *arguments, environment=self._environment, limit_s=limit_s, tell=tell)

    def _words(self, ended: Ended) -> str:
        """What restic says of its failure, in one line."""
        lines = (*ended.errors.splitlines(), *ended.output.splitlines())
        words = " ".join(filter(None, map(_word, lines))) or f"exit status {ended.status}"
        for secret in self._secrets:
            words = words.replace(secret, "(hidden)")
        return words if len(words) <= _WORDS else f"{words[:_WORDS]} ..."


class _Said:
    """Reads how far restic is from what it prints with --json (restic, doc/075_scripting.rst)."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, line: str) -> None:
        content = _document(line)
        done, total = content.get("bytes_done", content.get("bytes_restored", 0)), content.get("total_bytes", 0)
        if content.get("message_type") == "status" and isinstance(done, int) and isinstance(total, int):
            self._progress.at(done, total)


def _word(line: str) -> str:
    """A line as text: with --json an error may be a document, and what is no error says nothing here."""
    content = _document(line)
    error = content.get("error")
    if not content:
        return line.strip()
    return str(content.get("message") or (error.get("message") if isinstance(error, dict) else "") or "").strip()


def _document(line: str) -> Mapping[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _snapshots(content: Mapping[str, Any]) -> list[Snapshot]:
    """The snapshot of a document; none for one without a set's name, which somebody made by hand."""
    names = [tag for tag in content["tags"] if NAME.fullmatch(tag)]
    made_s = _seconds(content["time"])
    return [Snapshot(str(content["id"]), str(content["hostname"]), name, made_s) for name in names[:1]]


def _seconds(text: str) -> float:
    """A time of restic's: RFC 3339, with up to nine decimals, in whatever zone the copying host had."""
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(text)
    zone = "+00:00" if found[3] == "Z" else found[3]
    return datetime.fromisoformat(f"{found[1]}{zone}").timestamp() + float(found[2] or 0)


def _is_secret(value: str) -> bool:
    return len(value) >= _SECRET_LENGTH


def _refused(wish: str, got: str, where: str = "restic") -> HostError:
    return HostError(where, expected=wish, got=got, do="fix that, and run it again")
