"""Restore: a backup set's data take the place of those that are here, and what was there comes back if need be.

While data are half swapped, no container comes up with them: Open WebUI and Valkey are stopped by `docker stop`, and
dockerd leaves such a container alone at its start where it has `unless-stopped`, which compose.yaml gives it (moby,
daemon/daemon.go, restore; 26.1). Postgres runs on, as its rows are exchanged in one transaction. What is replaced stays
in the volumes until `settle`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..assembly import Assembly, Stack
from ..clock import Clock
from ..containers import OURS, PROCESSES
from ..data.volumes import BOTH
from ..engine import EngineError
from ..errors import HostError
from ..files import Files
from ..holder import Processes
from ..journal import OLD_MARK, Entry, Step
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..run_log import RunLog
from ..system import require_root
from . import backup, recover, restoring
from .restoring import Restoring

VERB = "restore"
STEPS: Sequence[Step] = (*restoring.STEPS, Step(OLD_MARK, "go back"))
"""The steps of this verb for the journal's table."""
_WRITERS = f"{PROCESSES}|redis-valkey"
_OPEN_WEBUI, _VALKEY, _POSTGRES = "open-webui", "redis-valkey", "open-webui-postgres"
_LINES = 15
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Request:
    """The set and the stack that gets its data, as the settings have it.

    `restore_set` is a set's name, or "newest". `image` is Open WebUI's reference and `valkey_image` Valkey's, which
    looks for an append-only file where `appendonly` is set. `containers` are all that the stack has, in the order they
    start; `followers` among them start together, last. `may_replace` lets the set take the place of data. `backup` is
    the request for a set of what is replaced (`verbs/backup.py`). `marks` tell a folder of this project.

    An age `identity` brings the set's secrets into force, "" leaves them alone. It is in no journal.
    """

    restore_set: str
    image: str
    valkey_image: str
    appendonly: bool
    containers: Sequence[str]
    followers: Sequence[str]
    may_replace: bool
    backup: Mapping[str, Any]
    marks: Sequence[str] = ()
    identity: str = field(default="", repr=False)


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> str:
    """Ensure the stack's data are those of a set; `arguments` are those of `Stack` and of `Request`, by these names.

    Returns the set's name. A set of what is replaced is made first. Raises `HostError`, and has changed nothing, for a
    set that can't be used, and for data that may not be replaced; where the stack does not get healthy, once what was
    there is in place again.
    """
    require_root()
    with _assembled(arguments, emit) as one:
        return one.restore()


def settle(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure nothing is left of data that restores have replaced; `arguments` as `run` has them.

    Fails where data are in two places. A crash leaves some of them, for the next call; no step needs to be written
    down, as the data in use stay as they are.
    """
    require_root()
    with _assembled(arguments, emit) as one:
        one.settle()


def recovery(made: Assembly, entry: Entry) -> Restore:
    """What ends a restore that was cut off (`verbs/recover.py`). A mark of earlier versions does not tell enough."""
    return of(made, Request(**restoring.noted(entry, [one.name for one in fields(Request)])))


def tells_enough(entry: Entry) -> bool:
    """Whether what was cut off can be ended by its entry alone. A mark of earlier versions needs a request as well."""
    return entry.step != OLD_MARK or restoring.REQUEST in entry.data


def of(made: Assembly, asked: Request) -> Restore:
    """The restore of a stack."""

    def save() -> None:
        wanted = backup.Request(**asked.backup)
        there = made.containers.names(OURS)  # the settings may have more, which a deploy makes
        images = {name: reference for name, reference in wanted.images.items() if name in there}
        restoring.save(made, replace(wanted, images=images))

    return Restore(made, asked, save=save)


@contextmanager
def _assembled(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> Iterator[Restore]:
    """The restore of the stack that a request names, under the work lock. What was cut off there is ended first."""
    stack, asked = Stack(**arguments["stack"]), Request(**arguments["request"])
    files, clock = Files(), Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work("restore", asked.containers) as held:
        # An operator gets every line; a file would lie in a folder that may be somebody else's.
        log = RunLog(files, "", emit)
        made = Assembly(stack, log, held.descriptors, table=recover.TABLE, files=files, clock=clock)
        entry = made.journal.open()
        if entry and tells_enough(entry):
            recover.end_stack(made)
        yield of(made, asked)


class Restore(Restoring):
    """The restore of one stack of this host, as it is `asked`. `save` makes a set of what is in use, or fails."""

    verb = VERB
    _asked: Request

    def __init__(self, made: Assembly, asked: Request, *, save: Callable[[], None]) -> None:
        super().__init__(
            made,
            asked,
            dataset=made.dataset(asked.image),
            exchange=made.exchange(asked.image, BOTH),
            me=Processes().me(VERB),
        )
        self._containers, self._log, self._save = made.containers, made.valkey(asked.valkey_image), save
        self._postgres = made.postgres if made.of.database == "postgres" else None

    # --- Before anything is changed

    def _end_mark(self) -> None:
        """Ensure a restore by an earlier version that was cut off is ended. Fails where another verb was."""
        entry = self._journal.open()
        if entry and (entry.verb, entry.step) == (VERB, OLD_MARK):
            entry = self._journal.resume(self._me)
            self._journal.step(OLD_MARK, self._noted())  # from here on recovery can end it
            self._back(entry)
        else:
            super()._end_mark()

    def _there_at_mark(self) -> list[str]:
        return self._containers.names(OURS)

    def _replaceable(self, name: str) -> list[str]:
        there = self._containers.names("|".join(map(re.escape, self._asked.containers)))
        if not self._asked.may_replace and (there or self._exchange.holds()):
            raise self._must_replace(name, "a stack's")
        return there

    def _check_version(self) -> None:
        runs = self._containers.image_of(_OPEN_WEBUI)
        if runs and runs != self._engine.image(self._asked.image).id:
            raise self._another_image()

    def _prepare(self) -> None:
        self._log.own()

    def _save_replaced(self, there: Sequence[str]) -> None:
        if not there:
            return
        wanted = [_VALKEY, *([_POSTGRES] if self._postgres else []), _OPEN_WEBUI]
        running = self._containers.running(OURS)
        missing = [name for name in wanted if name not in running]
        if missing or not self._is_healthy(_OPEN_WEBUI):
            state = f"{' and '.join(missing)} not running" if missing else "Open WebUI not healthy"
            self._say(f"no set of what is replaced is made, with {state}: it stays in the volumes until the proof")
            return
        self._save()

    def _save_what_served(self) -> None:
        if self._containers.running(_OPEN_WEBUI) and self._is_healthy(_OPEN_WEBUI):
            self._save()

    # --- Containers

    def _stop(self) -> None:
        self._containers.stop(_WRITERS)

    def _start(self, there: Sequence[str], *, of_set: bool) -> None:
        """The first process migrates, the others follow."""
        del of_set
        if self._asked.appendonly and self._log.lacks_log():
            self._say("writing Valkey's snapshot to an append-only file")
            self._log.keep_snapshot(_VALKEY)
        if self._postgres:
            self._postgres.put_away()
            # Where its container is missing, the deploy that follows makes it, and starts what needs it.
            if _POSTGRES not in there:
                return
        for name in self._asked.containers:
            if name in there and name not in self._asked.followers:
                self._engine.start(name)
                self._await_health(name)
        followers = [name for name in self._asked.followers if name in there]
        for name in followers:
            self._engine.start(name)
        for name in followers:
            self._await_health(name)

    def _await_health(self, name: str) -> None:
        limit_s = self._clock.monotonic() + self._stack.wait_s
        while not self._is_healthy(name):
            if self._clock.monotonic() >= limit_s:
                one = self._engine.container(name)
                raise HostError(
                    name,
                    expected=f"it to get healthy within {self._stack.wait_s} s",
                    got=f"{one.status} {one.health}".strip(),
                    do=f"look at 'docker logs {name}'",
                )
            self._clock.sleep(_PAUSE_S)

    def _is_healthy(self, name: str) -> bool:
        return self._engine.container(name).health == "healthy"

    def _last_lines(self) -> list[str]:
        try:
            return self._engine.logs(_OPEN_WEBUI, tail=_LINES).decode("utf-8", "replace").splitlines()
        except EngineError as error:
            return [str(error)]

    @contextmanager
    def _own_postgres(self) -> Iterator[None]:
        """No Postgres of this program's own serves the volume once the block has ended."""
        try:
            yield
        except HostError:
            with suppress(HostError):
                self._put_away()
            raise
        self._put_away()

    def _put_away(self) -> None:
        if self._postgres:
            self._postgres.put_away()
