"""The story of a restore, of a stack on this host (`restore.py`) or in a swarm (`swarm_restore.py`).

A set's data are filled in beside those in use. Then whoever writes stops, the data change places, and all start again.
What was there before comes back if need be: it stays beside the data in use until `settle`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import Any, Protocol

from .. import set_secrets
from ..assembly import Assembly, Stack
from ..backup_sets import RESTORE, BackupSets
from ..data.exchange import Exchange
from ..engine import EngineError
from ..errors import HostError
from ..holder import Holder
from ..journal import Entry, Step
from ..protocol import Event
from . import backup

STOP, SWAP, START, START_AGAIN, HEALTHY = "stop", "swap", "start", "start again", "healthy"
STEPS: Sequence[Step] = (
    # Until the stack is healthy with the set's data, what was there before comes back.
    Step(STOP, "go back"),
    Step(SWAP, "go back"),
    Step(START, "go back"),
    # The data of before are in use again.
    Step(START_AGAIN, "go on"),
    Step(HEALTHY, "go on"),
)
"""The steps of a restore, for the journal's table."""
# What an entry of the journal has.
STACK, REQUEST, THERE = "stack", "request", "there"


class Asked(Protocol):
    """What is common to all requests for a restore; each is a dataclass (`restore.Request` says what these are)."""

    @property
    def restore_set(self) -> str: ...
    @property
    def image(self) -> str: ...
    @property
    def may_replace(self) -> bool: ...
    @property
    def marks(self) -> Sequence[str]: ...
    @property
    def identity(self) -> str: ...


class Looks(Protocol):
    """Open WebUI's image, asked about a set (`data.sqlite.Dataset`)."""

    def check(self, folder: str, kind: Any) -> list[str]: ...


class Restoring(ABC):
    """The restore of one stack, as it is `asked`. The caller of each public method holds the work lock.

    What was there before, as the journal notes it (`there`), is what starts again; it is false for nothing.
    """

    verb: str
    """The verb's name in the journal."""

    def __init__(self, made: Assembly, asked: Any, *, dataset: Looks, exchange: Exchange, me: Holder) -> None:
        self._made, self._asked = made, asked
        self._stack: Stack = made.of
        self._files, self._engine, self._clock = made.files, made.engine, made.clock
        self._journal, self._dataset, self._exchange, self._me = made.journal, dataset, exchange, me

    def restore(self) -> str:
        """Ensure the data in use are the set's, and the stack is healthy with them. Returns the set's name.

        Raises as the verb does. Where what was there is not in place again, the journal stays open.
        """
        with self._own_postgres():
            self._end_mark()
            name, folder = self._usable()
            there = self._replaceable(name)
            self._check_version()
            secrets = self._secrets(folder)
            self._fill(name, folder, there)
            # A stack that serves has to do so with its own, also where its data come back.
            if not there:
                self._put_secrets(name, secrets)
            self._exchange_data(name, there)
            if there:
                self._put_secrets(name, secrets)
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
        """Ensure the earlier data are in use, and run. The data that served meanwhile are in a set."""
        with self._own_postgres():
            self._back(entry)

    def go_on(self, entry: Entry) -> None:
        """Ensure nothing is cut off where one place has all data: those of the set, healthy, or the earlier ones."""
        with self._own_postgres():
            if entry.step == HEALTHY:
                self._journal.end()
            else:
                self._start_again(entry.data.get(THERE, ()))

    # --- What differs

    def _end_mark(self) -> None:
        """Ensure nothing is cut off that recovery alone can't end. Fails where that is another verb's."""
        if entry := self._journal.open():
            do = f"run runbooks/{entry.verb}.py again"
            raise HostError("restore", expected="nothing that was cut off", got=str(entry), do=do)

    @abstractmethod
    def _replaceable(self, name: str) -> Any:
        """What is there of the stack. Fails where there is something that may not be replaced."""

    @abstractmethod
    def _check_version(self) -> None:
        """Fail where another version runs: it is started on the set's data, and would migrate or not know them."""

    @abstractmethod
    def _prepare(self) -> None:
        """Ensure there is a place for the set's data."""

    @abstractmethod
    def _save_replaced(self, there: Any) -> None:
        """Ensure what is replaced is in a set. A stack that does not work can make none, and that is told."""

    @abstractmethod
    def _save_what_served(self) -> None:
        """Ensure what was written since data were swapped is in a set: it leaves the stack as they are swapped back."""

    @abstractmethod
    def _stop(self) -> None:
        """Ensure nobody writes people's data."""

    @abstractmethod
    def _start(self, there: Any, *, of_set: bool) -> None:
        """Ensure all that was there runs and is healthy, on data `of_set`, or on those of before."""

    def _last_lines(self) -> Sequence[str]:
        """Why the stack does not get healthy, as far as nobody has told that yet. It never raises."""
        return ()

    def _there_at_mark(self) -> Any:
        """What is there, for a mark of earlier versions, which notes nothing."""
        return ()

    @contextmanager
    def _own_postgres(self) -> Iterator[None]:
        """No Postgres of this program's own serves once the block has ended."""
        yield

    # --- Before anything is changed

    def _usable(self) -> tuple[str, str]:
        """Name and folder of the set, whole, and nothing newer than what is to run on it."""
        name, folder = self._chosen()
        self._say(f"restore: reading {name}")
        if problems := self._problems(folder):
            raise HostError(
                "restore",
                expected=f"a whole set that {self._asked.image} knows",
                got="; ".join(problems),
                do=f"{name} can't be used; nothing was changed",
            )
        return name, folder

    def _chosen(self) -> tuple[str, str]:
        """Name and folder of the set that is asked for."""
        asked, stack = self._asked, self._stack
        if stack.database == "external":
            raise HostError(
                "restore",
                expected="a database of the stack's own",
                got="database_url",
                do=f"put its data back there, and its uploads into {self._people}",
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
        return name, f"{stack.backup_dir}/{name}"

    @property
    def _people(self) -> str:
        """Where people's files are."""
        return self._stack.open_webui_volume

    def _problems(self, folder: str) -> list[str]:
        try:
            return self._dataset.check(folder, self._stack.database)
        except EngineError:
            raise
        except HostError as error:  # of a disk that can't be read, say
            return [error.got]

    def _must_replace(self, name: str, got: str) -> HostError:
        """What to raise where data may not be replaced."""
        return HostError(
            "restore",
            expected="no data here",
            got=got,
            do=f"name the host in restore_over to put {name} in its place",
        )

    def _another_image(self) -> HostError:
        return HostError(
            "restore",
            expected=f"{self._asked.image} to run here",
            got="another image",
            do="nothing was changed; set the one that runs, or change it first: deploy.py, runbooks/upgrade.py, or "
            "runbooks/rollback.py, which brings its data back",
        )

    # --- Secrets

    def _secrets(self, folder: str) -> set_secrets.Found | None:
        """The set's secrets; None where they are to stay as they are. Fails where they can't be used."""
        asked = self._asked
        if not asked.identity:
            return None
        return set_secrets.read(self._files, self._made.system, folder, self._stack.folder, asked.identity, asked.marks)

    def _put_secrets(self, name: str, found: set_secrets.Found | None) -> None:
        if found is not None:
            set_secrets.put(self._files, self._stack.folder, found)
            self._say(f"the secrets of {name} are in place")

    # --- While the stack serves

    def _fill(self, name: str, folder: str, there: Any) -> None:
        """Ensure the set's data are beside those in use, and these in a set as well.

        A crash leaves data beside those in use that nobody looks at, and that the next restore replaces.
        """
        self._prepare()
        self._exchange.set_aside()
        try:
            self._exchange.fill(folder)
            self._save_replaced(there)
        except HostError as error:
            with suppress(HostError):
                self._exchange.undo()  # nothing is swapped, and nothing waits, so it removes what was filled
            do = f"{error.do}; {name} was not put in place, and nothing was changed"
            raise HostError(error.where, expected=error.expected, got=error.got, do=do) from error

    # --- The exchange

    def _exchange_data(self, name: str, there: Any) -> None:
        began_s = self._clock.monotonic()
        self._journal.begin(self.verb, self._me, {**self._noted(name), THERE: there})
        try:
            self._journal.step(STOP)
            self._say("restore: stopping Open WebUI and Valkey")
            self._stop()
            self._journal.step(SWAP)
            self._exchange.swap()
            self._journal.step(START)
            if there:
                self._say("restore: starting the stack")
            self._start(there, of_set=True)
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
        return {STACK: asdict(self._stack), REQUEST: request}

    def _undone(self, name: str, error: HostError) -> HostError:
        """The error to raise once what was there before is in place again, or is not."""
        became = "what was there before is in place again"
        try:
            entry = self._journal.open()
            if entry is None or entry.step == HEALTHY:  # only the end of the journal failed: recovery ends it
                return error
            if entry.step == START:
                lines = self._last_lines()
                self._say(f"it does not get healthy with {name}{'; its last lines:' if lines else ''}")
                for line in lines:
                    self._say(f"  | {line}")
            self._back(entry)
        except HostError as another:
            self._say(str(another))
            became = "what was there before is not in place yet; run this again"
        return HostError(error.where, expected=error.expected, got=error.got, do=f"{error.do}; {became}")

    def _back(self, entry: Entry) -> None:
        there = entry.data.get(THERE)
        if there is None:  # a mark of earlier versions
            there = self._there_at_mark()
        if entry.step not in ("", STOP):  # before, nothing was swapped, and what runs may run on
            self._save_what_served()
            self._stop()
        self._exchange.undo()
        self._journal.step(START_AGAIN, {THERE: there})
        self._start_again(there)

    def _start_again(self, there: Any) -> None:
        self._start(there, of_set=False)
        self._journal.end()
        self._say("what was there before is in place again")

    def _say(self, text: str) -> None:
        self._made.log.emit(Event(text))


def save(made: Assembly, wanted: backup.Request) -> None:
    """Ensure there is a set of what a restore replaces, or of what served until its data leave again, as `wanted`."""
    backup.carry_out(
        made,
        replace(
            wanted,
            keep=0,  # the set that is restored may be the oldest; the next backup sees to `backup_keep`
            holds_lock=True,
            repairs=True,
            made_for=RESTORE,
        ),
    )


def noted(entry: Entry, names: Sequence[str]) -> Mapping[str, Any]:
    """What an entry of the journal has of these fields of a request. Another version may have noted more.

    Fails for a mark of an earlier version, which has nothing.
    """
    found = entry.data.get(REQUEST)
    if not found:
        raise HostError(
            "restore", expected="a journal that tells of it", got=str(entry), do="run runbooks/restore.py again"
        )
    return {name: found[name] for name in names if name in found}
