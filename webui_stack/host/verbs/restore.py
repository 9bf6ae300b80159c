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
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol

from .. import backup_sets, set_secrets
from ..assembly import Assembly, Stack
from ..backup_sets import BackupSets
from ..clock import Clock
from ..containers import OURS, PROCESSES, Containers
from ..data.exchange import Exchange
from ..data.postgres import Postgres
from ..data.sqlite import Dataset
from ..data.volumes import BOTH
from ..engine import Engine, EngineError
from ..errors import HostError
from ..files import Files
from ..holder import Holder, Processes
from ..journal import OLD_MARK, Entry, Journal, Step
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..run_log import RunLog
from ..system import System, require_root
from . import backup, recover

VERB = "restore"
STOP, SWAP, START, START_AGAIN, HEALTHY = "stop", "swap", "start", "start again", "healthy"
STEPS: Sequence[Step] = (
    # Until the stack is healthy with the set's data, what was there before comes back.
    Step(STOP, "go back"),
    Step(SWAP, "go back"),
    Step(START, "go back"),
    Step(OLD_MARK, "go back"),
    # The data of before are in use again.
    Step(START_AGAIN, "go on"),
    Step(HEALTHY, "go on"),
)
"""The steps of this verb for the journal's table."""
_WRITERS = f"{PROCESSES}|redis-valkey"
_OPEN_WEBUI, _VALKEY, _POSTGRES = "open-webui", "redis-valkey", "open-webui-postgres"
# What an entry of the journal has.
_STACK, _REQUEST, _THERE = "stack", "request", "there"
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
    noted = entry.data.get(_REQUEST)
    if not noted:
        raise HostError(
            "restore", expected="a journal that tells of it", got=str(entry), do="run runbooks/restore.py again"
        )
    # Another version may have noted more.
    known: Mapping[str, Any] = {one.name: noted[one.name] for one in fields(Request) if one.name in noted}
    return of(made, Request(**known))


def tells_enough(entry: Entry) -> bool:
    """Whether what was cut off can be ended by its entry alone. A mark of earlier versions needs a request as well."""
    return entry.step != OLD_MARK or _REQUEST in entry.data


def of(made: Assembly, asked: Request) -> Restore:
    """The restore of a stack."""
    stack = made.of

    def save() -> None:
        wanted = backup.Request(**asked.backup)
        there = made.containers.names(OURS)  # the settings may have more, which a deploy makes
        wanted = replace(
            wanted,
            images={name: reference for name, reference in wanted.images.items() if name in there},
            keep=0,  # the set that is restored may be the oldest; the next backup sees to `backup_keep`
            holds_lock=True,
            mends=True,
            made_for=backup_sets.RESTORE,
        )
        locks = Locks(LINUX, made.clock, made.log.say)
        backup.Backup(made.system, made.engine, made.files, made.clock, made.log.emit).run(wanted, locks)

    return Restore(
        stack=stack,
        asked=asked,
        system=made.system,
        files=made.files,
        engine=made.engine,
        clock=made.clock,
        journal=made.journal,
        containers=made.containers,
        dataset=made.dataset(asked.image),
        exchange=made.exchange(asked.image, BOTH),
        log=made.valkey(asked.valkey_image),
        postgres=made.postgres if stack.database == "postgres" else None,
        save=save,
        me=Processes().me(VERB),
        emit=made.log.emit,
    )


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


class Log(Protocol):
    """Valkey's append-only file in its volume (`data.valkey.ValkeyData`)."""

    def own(self) -> None: ...
    def lacks_log(self) -> bool: ...
    def keep_snapshot(self, containers: str) -> bool: ...


class Restore:
    """The restore of one stack, as it is `asked`. The caller of each public method holds the work lock.

    `save` makes a set of what is in use; it fails where it can't.
    """

    def __init__(
        self,
        *,
        stack: Stack,
        asked: Request,
        system: System,
        files: Files,
        engine: Engine,
        clock: Clock,
        journal: Journal,
        containers: Containers,
        dataset: Dataset,
        exchange: Exchange,
        log: Log,
        postgres: Postgres | None,
        save: Callable[[], None],
        me: Holder,
        emit: Callable[[Event], None],
    ) -> None:
        self._stack, self._asked = stack, asked
        self._system, self._files, self._engine, self._clock = system, files, engine, clock
        self._journal, self._containers, self._dataset, self._exchange = journal, containers, dataset, exchange
        self._log, self._postgres, self._save, self._me, self._emit = log, postgres, save, me, emit

    def restore(self) -> str:
        """Ensure the data in use are the set's, and the stack is healthy with them. Returns the set's name.

        Raises as `run` does. Where what was there is not in place again, the journal stays open.
        """
        with self._own_postgres():
            self._end_mark()
            name, folder = self._usable()
            there = self._replaceable(name)
            self._check_version()
            if self._asked.identity:
                identity, marks = self._asked.identity, self._asked.marks
                set_secrets.place(self._files, self._system, folder, self._stack.folder, identity, marks)
                self._say(f"the secrets of {name} are in place")
            self._fill(name, folder, there)
            self._exchange_data(name, there)
        return name

    def settle(self) -> None:
        """Ensure nothing is left of data that were replaced. Fails where data are in two places."""
        with self._own_postgres():
            entry = self._journal.open()
            if entry and entry.in_two_places:
                raise HostError(
                    "restore", expected="data in one place", got=f"a {entry.verb} that was cut off", do="run it again"
                )
            self._exchange.forget()

    # --- After a crash (`journal.Verb`)

    def go_back(self, entry: Entry) -> None:
        """Ensure the data of before are in use, and run. What served meanwhile is in a set."""
        with self._own_postgres():
            self._back(entry)

    def go_on(self, entry: Entry) -> None:
        """Ensure nothing is cut off where one place has all data: those of the set, healthy, or those of before."""
        with self._own_postgres():
            if entry.step == HEALTHY:
                self._journal.end()
            else:
                self._start_again(entry.data.get(_THERE, ()))

    # --- Before anything is changed

    def _end_mark(self) -> None:
        """Ensure a restore by an earlier version that was cut off is ended. Fails where another verb was."""
        entry = self._journal.open()
        if entry and (entry.verb, entry.step) == (VERB, OLD_MARK):
            entry = self._journal.resume(self._me)
            self._journal.step(OLD_MARK, self._noted())  # from here on recovery can end it
            self._back(entry)
        elif entry:
            do = f"run runbooks/{entry.verb}.py again"
            raise HostError("restore", expected="nothing that was cut off", got=str(entry), do=do)

    def _usable(self) -> tuple[str, str]:
        """Name and folder of the set, whole, and nothing newer than what is to run on it."""
        asked, stack = self._asked, self._stack
        if stack.database == "external":
            raise HostError(
                "restore",
                expected="a database of the stack's own",
                got="database_url",
                do=f"put its data back there, and its uploads into {stack.open_webui_volume}",
            )
        sets = BackupSets(self._files, self._clock, stack.backup_dir)
        name = sets.choose(asked.restore_set)
        if not name:
            raise HostError(
                "restore",
                expected=f"the set {asked.restore_set} in {stack.backup_dir}",
                got=" ".join(sets.names()) or "none",
                do="runbooks/backup.py makes one",
            )
        folder = f"{stack.backup_dir}/{name}"
        self._say(f"restore: reading {name}")
        if problems := self._problems(folder):
            raise HostError(
                "restore",
                expected=f"a whole set that {asked.image} knows",
                got="; ".join(problems),
                do=f"{name} can't be used; nothing was changed",
            )
        return name, folder

    def _problems(self, folder: str) -> list[str]:
        try:
            return self._dataset.check(folder, "postgres" if self._postgres else "sqlite")
        except EngineError:
            raise
        except HostError as error:  # of a disk that can't be read, say
            return [error.got]

    def _replaceable(self, name: str) -> list[str]:
        """The stack's containers that are there. Fails where there are some, or data, that may not be replaced."""
        there = self._containers.names("|".join(map(re.escape, self._asked.containers)))
        if not self._asked.may_replace and (there or self._exchange.holds()):
            raise HostError(
                "restore",
                expected="no data here",
                got="a stack's",
                do=f"name the host in restore_over to put {name} in its place",
            )
        return there

    def _check_version(self) -> None:
        """Fail where another version runs: it is started on the set's data, and would migrate or not know them."""
        runs = self._containers.image_of(_OPEN_WEBUI)
        if runs and runs != self._engine.image(self._asked.image).id:
            raise HostError(
                "restore",
                expected=f"{self._asked.image} to run here",
                got="another image",
                do="nothing was changed; set the one that runs, or change it first: deploy.py, runbooks/upgrade.py, or "
                "runbooks/rollback.py, which brings its data back",
            )

    # --- While the stack serves

    def _fill(self, name: str, folder: str, there: Sequence[str]) -> None:
        """Ensure the set's data are beside those in use, and these in a set as well.

        A crash leaves data beside those in use that nobody looks at, and that the next restore replaces.
        """
        self._log.own()
        self._exchange.set_aside()
        try:
            self._exchange.fill(folder)
            self._save_replaced(there)
        except HostError as error:
            with suppress(HostError):
                self._exchange.undo()  # nothing is swapped, and nothing waits, so it removes what was filled
            do = f"{error.do}; {name} was not put in place, and nothing was changed"
            raise HostError(error.where, expected=error.expected, got=error.got, do=do) from error

    def _save_replaced(self, there: Sequence[str]) -> None:
        """Ensure what is replaced is in a set. A stack that does not work can make none."""
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

    # --- The exchange

    def _exchange_data(self, name: str, there: Sequence[str]) -> None:
        began_s = self._clock.monotonic()
        self._journal.begin(VERB, self._me, {**self._noted(name), _THERE: list(there)})
        try:
            self._journal.step(STOP)
            self._say("restore: stopping Open WebUI and Valkey")
            self._containers.stop(_WRITERS)
            self._journal.step(SWAP)
            self._exchange.swap()
            self._journal.step(START)
            if there:
                self._say("restore: starting the stack")
            self._start(there)
            self._journal.step(HEALTHY)
            self._journal.end()
        except HostError as error:
            raise self._undone(name, error) from error
        self._say(f"the data of {name} is in place")
        if there:
            self._say(f"the stack was away for {self._clock.monotonic() - began_s:.0f} s")

    def _noted(self, name: str = "") -> dict[str, Any]:
        """What recovery needs: all that was asked, but the identity."""
        request = {**asdict(self._asked), "restore_set": name or self._asked.restore_set}
        del request["identity"]
        return {_STACK: asdict(self._stack), _REQUEST: request}

    def _undone(self, name: str, error: HostError) -> HostError:
        """The error to raise once what was there before is in place again, or is not."""
        became = "what was there before is in place again"
        try:
            entry = self._journal.open()
            if entry is None or entry.step == HEALTHY:  # only the end of the journal failed: recovery ends it
                return error
            if entry.step == START:
                self._say(f"it does not get healthy with {name}; its last lines:")
                for line in self._last_lines():
                    self._say(f"  | {line}")
            self._back(entry)
        except HostError as another:
            self._say(str(another))
            became = "what was there before is not in place yet; run this again"
        return HostError(error.where, expected=error.expected, got=error.got, do=f"{error.do}; {became}")

    def _back(self, entry: Entry) -> None:
        there = entry.data.get(_THERE)
        if there is None:  # a mark of earlier versions
            there = self._containers.names(OURS)
        if entry.step not in ("", STOP):  # before, nothing was swapped, and what runs may run on
            self._save_what_served()
            self._containers.stop(_WRITERS)
        self._exchange.undo()
        self._journal.step(START_AGAIN, {_THERE: list(there)})
        self._start_again(there)

    def _start_again(self, there: Sequence[str]) -> None:
        self._start(there)
        self._journal.end()
        self._say("what was there before is in place again")

    def _save_what_served(self) -> None:
        """Ensure what was written since data were swapped is in a set: it leaves the stack as they are swapped back."""
        if self._containers.running(_OPEN_WEBUI) and self._is_healthy(_OPEN_WEBUI):
            self._save()

    # --- Containers

    def _start(self, there: Sequence[str]) -> None:
        """Ensure the containers that were there run and are healthy. The first process migrates, the others follow."""
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

    def _say(self, text: str) -> None:
        self._emit(Event(text))
