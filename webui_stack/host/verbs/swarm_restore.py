"""Restore in a swarm: a set's data take the place of the stack's, on the host that has the data.

Open WebUI stops on all hosts, and Valkey on this one, by a number of replicas of 0: no node starts them again, also
after a power cut. Postgres runs on, as its rows are exchanged in one transaction. What is replaced stays beside the
data until `settle`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from ..assembly import Assembly, Stack
from ..clock import Clock
from ..data.exchange import Exchange
from ..data.migrator import Migrator
from ..data.swarm_postgres import TaskPostgres, healthy
from ..data.volumes import Volumes
from ..engine import NotFound
from ..errors import HostError
from ..files import Files
from ..holder import Processes
from ..journal import OLD_MARK, Entry, Step
from ..kernel import LINUX
from ..locks import Locks
from ..patience import Patience
from ..protocol import Event
from ..run_log import RunLog
from ..stack_file import StackFile
from ..swarm_services import OPEN_WEBUI, SwarmServices
from ..system import require_root
from . import backup, recover, restoring
from .restoring import Restoring

VERB = "swarm_restore"
STEPS: Sequence[Step] = restoring.STEPS
"""The steps of this verb for the journal's table."""
_VALKEY, _POSTGRES = "redis", "postgres"
_LOOKS, _LOOK_S = 30, 1.0


@dataclass(frozen=True)
class Request:
    """The set and the stack that gets its data, as the settings have it.

    `swarm` is the stack's name there, and `network` the one of its services. `people` is the folder of people's files
    that all hosts share, "" where these are in a bucket. `environment` is what Open WebUI has to migrate, without
    secrets, and `replicas` how many are wanted of it. All else is as in `restore.Request`.
    """

    restore_set: str
    image: str
    valkey_image: str
    appendonly: bool
    swarm: str
    network: str
    people: str
    environment: Mapping[str, str]
    replicas: int
    may_replace: bool
    backup: Mapping[str, Any]
    marks: Sequence[str] = ()
    identity: str = field(default="", repr=False)


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> str:
    """Ensure the stack's data are those of a set; `arguments` are those of `Stack` and of `Request`, by these names.

    Returns the set's name. A set of what is replaced is made first. Where no replica of Open WebUI is wanted, none is
    started: the deploy that follows does that. Raises `HostError`, and has changed nothing, for a set that can't be
    used, and for data that may not be replaced; where the stack does not get healthy, once what was there is in place
    again.
    """
    require_root()
    with _assembled(arguments, emit) as one:
        return one.restore()


def settle(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure nothing is left of data that restores have replaced; `arguments` as `run` has them.

    Fails where data are in two places. A crash leaves some of them, for the next call.
    """
    require_root()
    with _assembled(arguments, emit) as one:
        one.settle()


def secrets(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure a host whose stack was never deployed has the secrets of the set; `arguments` as `run` has them.

    A deploy would make new ones. Nothing happens without an identity. Fails where a deploy was good here.
    """
    require_root()
    with _assembled(arguments, emit) as one:
        one.place_secrets()


def recovery(made: Assembly, entry: Entry) -> SwarmRestore:
    """What ends a restore that was cut off (`verbs/recover.py`)."""
    return of(made, Request(**restoring.noted(entry, [one.name for one in fields(Request)])))


def of(made: Assembly, asked: Request, *, save: Callable[[], None] | None = None) -> SwarmRestore:
    """The restore of a stack in a swarm. `save` makes a set of what is in use; tests give their own."""
    return SwarmRestore(made, asked, save=save or (lambda: restoring.save(made, backup.Request(**asked.backup))))


@contextmanager
def _assembled(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> Iterator[SwarmRestore]:
    """The restore of the stack that a request names, under the work lock. What was cut off there is ended first."""
    stack, asked = Stack(**arguments["stack"]), Request(**arguments["request"])
    files, clock = Files(), Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work("restore") as held:
        log = RunLog(files, "", emit)
        made = Assembly(stack, log, held.descriptors, table=recover.TABLE, files=files, clock=clock)
        entry = made.journal.open()
        if entry and entry.step != OLD_MARK:
            recover.end_stack(made)
        yield of(made, asked)


class SwarmRestore(Restoring):
    """The restore of one stack in a swarm, as it is `asked`, on the host that has the data.

    What was there (`there`) is the number of Open WebUI's replicas. `save` makes a set of what is in use, or fails.
    """

    verb = VERB
    _asked: Request

    def __init__(self, made: Assembly, asked: Request, *, save: Callable[[], None]) -> None:
        of, tell = made.of, made.log.say
        self._patience = Patience(made.clock)
        self._services = SwarmServices(
            made.engine,
            made.clock,
            self._patience,
            StackFile(made.files, of.folder),
            asked.swarm,
            start_s=of.wait_s,
            wait_s=of.wait_s * max(asked.replicas, 1) + 60,
            tell=tell,
        )
        self._postgres = TaskPostgres(
            made.engine,
            made.clock,
            self._patience,
            made.cluster,
            self._services.name(_POSTGRES),
            start_s=of.wait_s,
            tell=tell,
        )
        folders = Volumes(made.helper, asked.image, asked.people, of.valkey_volume, of.left_out)
        exchange = Exchange(made.files, made.clock, folders, self._postgres, made.log.emit)
        super().__init__(made, asked, dataset=made.dataset(asked.image), exchange=exchange, me=Processes().me(VERB))
        self._log = made.valkey(asked.valkey_image)
        self._migrator = Migrator(made.helper, made.files, of.folder, asked.network, tell)
        self._save = save
        self._rows = False  # whether there are any to be replaced

    def place_secrets(self) -> None:
        """Ensure the set's secrets are in the stack's folder, where no deploy was good yet."""
        self._end_mark()
        name, folder = self._chosen()
        if self._files.exists(f"{self._stack.folder}/.good"):
            raise HostError("restore", expected="no stack here", got="a good deploy", do="run deploy.py, then this")
        self._put_secrets(name, self._secrets(folder))

    # --- Before anything is changed

    @property
    def _people(self) -> str:
        return self._asked.people or "their bucket"

    def _replaceable(self, name: str) -> int:
        try:
            there = self._services.replicas(OPEN_WEBUI)
            self._services.replicas(_VALKEY)
        except NotFound as error:
            raise HostError(
                "restore", expected="the stack's services", got=str(error), do="run deploy.py, then this"
            ) from error
        self._check_people()
        self._rows = bool(self._postgres.heads())
        if not self._asked.may_replace and (there or self._rows):
            raise self._must_replace(name, "a stack's")
        if not self._asked.may_replace and (uploads := self._uploads()):
            raise self._must_replace(name, f"{uploads} of people's files in {self._asked.people}")
        return there

    def _check_people(self) -> None:
        """Fail where the folder that all hosts share is not here: Docker would make another one."""
        people = self._asked.people
        found = self._files.stat(people) if people else None
        if people and (found is None or found.kind != "folder"):
            raise HostError("open_webui_shared_dir", expected=f"{people} here", got="no folder", do="mount it")

    def _uploads(self) -> int:
        """How many files people have there. Without a database they are what is left of a host that was lost."""
        people = self._asked.people
        return self._made.dataset(self._asked.image).count(people, "postgres")["uploads"] if people else 0

    def _check_version(self) -> None:
        image = self._patience.ask(lambda: self._engine.image(self._asked.image))
        if self._services.image_of(OPEN_WEBUI) != image.id:
            raise self._another_image()

    def _prepare(self) -> None:
        self._log.own()

    def _save_replaced(self, there: int) -> None:
        del there
        if not self._rows:
            return
        if not self._runs(_VALKEY):
            self._say("no set of what is replaced is made, with Valkey not healthy: it stays beside until the proof")
            return
        self._save()

    def _save_what_served(self) -> None:
        try:
            served = self._services.state(OPEN_WEBUI, self._clock.now()).running
        except NotFound:
            served = 0
        if served:
            self._save()

    # --- Services

    def _stop(self) -> None:
        # One that a killed run has left would go on with the data that come next.
        self._migrator.end()
        self._services.halt(OPEN_WEBUI)
        self._services.halt(_VALKEY)
        self._await_released()

    def _await_released(self) -> None:
        """Return once no container works on Valkey's volume, by this host's own word."""
        volume = self._stack.valkey_volume
        for _ in range(_LOOKS):
            left = [one.name for one in self._engine.containers(volume=volume) if one.running]
            if not left:
                return
            self._clock.sleep(_LOOK_S)
        raise HostError(
            f"volume {volume}",
            expected="nobody to work on it",
            got=" ".join(left),
            do="see what that is, stop it, and run this again",
        )

    def _start(self, there: int, *, of_set: bool) -> None:
        """All replicas start together: a container of its own migrates (`data/migrator.py`)."""
        if self._asked.appendonly and self._log.lacks_log():
            self._say("writing Valkey's snapshot to an append-only file")
            self._log.keep_snapshot("redis-valkey")
        self._scale(_VALKEY, 1)
        if of_set:
            self._migrate()
        self._scale(OPEN_WEBUI, there)

    def _scale(self, service: str, replicas: int) -> None:
        since_s = float(int(self._clock.now()))
        self._services.scale(service, replicas)
        self._services.await_all(since_s, [service])

    def _migrate(self) -> None:
        """Ensure the set's rows have the schema of the Open WebUI that starts on them."""
        asked = self._asked
        if self._made.dataset(asked.image).schema_of(self._postgres.heads()).word == "same":
            return
        self._say("migrating the database")
        self._migrator.run(asked.image, asked.environment, asked.people)

    def _runs(self, service: str) -> bool:
        return bool(healthy(self._engine, self._patience, self._services.name(service)))
