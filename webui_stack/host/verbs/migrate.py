"""Migrate: people's rows are in the stack's own Postgres, which was not there before; or Open WebUI runs on SQLite.

Nothing of SQLite is changed. The deploy that follows starts Open WebUI on Postgres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..assembly import Assembly, Stack
from ..clock import Clock
from ..containers import PROCESSES
from ..data.move import Move
from ..engine import NotFound
from ..errors import HostError
from ..files import Files
from ..holder import Holder, Processes
from ..journal import MIGRATING, Entry, Step
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..run_log import RunLog
from ..system import require_root
from . import backup, recover
from .backup import Backup

VERB = "migrate"
STOP, SAVE, FILL = "stop", "save", "fill"
STEPS: Sequence[Step] = (Step(STOP, "go back"), Step(SAVE, "go back"), Step(FILL, "go back"))
"""The steps of this verb for the journal's table."""
_LOG = "/run/open-webui-stack.migrate"
_OPEN_WEBUI = "open-webui"


@dataclass(frozen=True)
class Request:
    """The Open WebUI that runs, by its `image`, and the set that is made first: a `backup.Request` by its names.

    `containers` are all that the stack has.
    """

    image: str
    backup: Mapping[str, Any]
    containers: Sequence[str]


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure people's rows are in the stack's own Postgres; `arguments` are those of `Stack` and of `Request`.

    Open WebUI is stopped then, until it is deployed with it. Raises `HostError` where it could not be done, and Open
    WebUI runs as before then.
    """
    require_root()
    stack, asked = Stack(**arguments["stack"]), Request(**arguments["request"])
    files, clock = Files(), Clock()
    locks = Locks(LINUX, clock, lambda line: emit(Event(line)))
    with locks.work(VERB, asked.containers) as held:
        log = RunLog(files, _LOG, emit)
        made = Assembly(stack, log, held.descriptors, table=recover.TABLE, files=files, clock=clock)
        try:
            recover.end_stack(made)
            of(made, asked, locks).migrate()
        except HostError as error:
            log.note(str(error))
            raise
        finally:
            log.write()


def settle(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure nothing tells of a migration any more, in the stack's folder `stack_dir`. Its data are in use by now."""
    require_root()
    files = Files()
    with Locks(LINUX, Clock(), lambda line: emit(Event(line))).work(VERB):
        files.remove(f"{arguments['stack_dir']}/{MIGRATING}")


def of(made: Assembly, asked: Request, locks: Locks) -> Migration:
    """The migration of a stack."""

    def save() -> str:
        sets = Backup(made.system, made.engine, made.files, made.clock, made.log.emit)
        return sets.run(backup.Request(**asked.backup), locks)

    return Migration(made, Processes().me(VERB), asked, save)


def recovery(made: Assembly, _: Entry) -> Recovery:
    """What ends a migration that was cut off (`journal.Verb`)."""
    return Recovery(made)


class Recovery:
    """The way back of a migration. The caller of each public method holds the work lock."""

    def __init__(self, made: Assembly) -> None:
        self._made = made

    def go_on(self, entry: Entry) -> None:
        """No step leads on: the deploy that would use Postgres may never come."""
        self.go_back(entry)

    def go_back(self, _: Entry) -> None:
        """Ensure Open WebUI runs on SQLite as before.

        The rows in Postgres are left, and dropped by the next migration. Where somebody removed the container, a deploy
        makes it.
        """
        made = self._made
        made.helper.end()  # it may be filling Postgres still
        made.postgres.put_away()
        if made.containers.names(_OPEN_WEBUI):
            made.engine.start(_OPEN_WEBUI)
        made.journal.end()


class Migration:
    """One stack's migration; `save` makes a set of the stack as it is, and returns its name."""

    def __init__(
        self,
        made: Assembly,
        me: Holder,
        asked: Request,
        save: Callable[[], str],
    ) -> None:
        self._made, self._me, self._asked, self._save = made, me, asked, save
        self._journal = made.journal
        self._mark = f"{made.of.folder}/{MIGRATING}"

    def migrate(self) -> None:
        """Ensure people's rows are in Postgres, with Open WebUI stopped so that none is added.

        A set is made first, and the rows are taken from it. Raises `HostError`, with nothing changed, where people's
        rows are not in SQLite, or Postgres's volume may have somebody's; and with Open WebUI as before, where a later
        call fails.
        """
        made = self._made
        self._check()
        noted = {"stack": asdict(made.of), "request": asdict(self._asked)}
        self._journal.begin(VERB, self._me, noted)
        began_s = made.clock.monotonic()
        try:
            made.files.write(self._mark, "")  # stays until the migration is settled
            self._journal.step(STOP)
            made.containers.stop(PROCESSES)
            self._journal.step(SAVE)
            name = self._save()
            self._journal.step(FILL)
            move = Move(made.files, made.helper, made.postgres, self._asked.image, made.log.say)
            move.fill(f"{self._asked.backup['backup_dir']}/{name}")
            made.postgres.put_away()
        except HostError as error:
            raise self._undone(error) from error
        self._journal.end()
        seconds = int(made.clock.monotonic() - began_s)
        made.log.say(f"its rows are in Postgres after {seconds} s; Open WebUI is away until it is deployed with it")

    def _check(self) -> None:
        made, release = self._made, self._made.releases.in_force
        definition = made.files.read_text(f"{release.folder}/compose.yaml") or ""
        if "  open-webui:" not in definition.splitlines() or release.database() != "sqlite":
            raise _refused(
                "a good deploy on SQLite",
                f"none in {release.folder}/compose.yaml",
                "run deploy.py with the settings it was deployed with",
            )
        if self._image_id() != made.containers.image_of(_OPEN_WEBUI):
            got = "another image: change the version before, or afterwards"
            raise _refused(f"{self._asked.image} to run here", got)
        made.cluster.check_place()
        # The rows of a migration that was cut off are nobody's.
        if not made.files.exists(self._mark) and self._has_cluster():
            raise _refused(
                f"a volume {made.of.postgres_volume} that certainly has no data",
                "one with a database, or one that could not be looked into: it may be the one people use. Keep it, and "
                "set another postgres_volume to move the rows to",
            )

    def _image_id(self) -> str | None:
        try:
            return self._made.engine.image(self._asked.image).id
        except NotFound:
            return None

    def _has_cluster(self) -> bool:
        """Whether somebody's data are in the volume, or may be: where nobody could look, it is not empty."""
        try:
            return bool(self._made.cluster.wrote())
        except HostError:
            return True

    def _undone(self, error: HostError) -> HostError:
        """The error to raise once Open WebUI runs again. Where it does not, the journal stays for the next try."""
        entry = self._journal.open()
        try:
            if entry:
                recovery(self._made, entry).go_back(entry)
        except HostError as another:
            self._made.log.say(str(another))
            became = "open-webui does not run yet: run this again, or deploy.py"
        else:
            became = "open-webui runs again as it was, on SQLite"
        return HostError(error.where, expected=error.expected, got=error.got, do=f"{error.do}; {became}")


def _refused(expected: str, got: str, do: str = "") -> HostError:
    return HostError(VERB, expected=expected, got=got, do=f"{do}; nothing was changed" if do else "nothing was changed")
