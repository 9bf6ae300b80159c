"""Up: the stack runs as its files say, and is remembered; or what ran before runs again.

This is the deploy that leaves people's data as they are: `Data` refuses what would change them. An upgrade (upgrade.py)
is the same deploy between a backup set and what puts that back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

from ..assembly import Assembly, Stack
from ..by_hand import ByHand
from ..clock import Clock
from ..compose import Compose
from ..containers import Containers
from ..data import compatibility
from ..data.compatibility import Compatibility, Wanted
from ..engine import Engine
from ..errors import HostError
from ..files import Files
from ..holder import Holder, Processes
from ..journal import OLD_MARK, Entry, Journal, Step
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..releases import Releases
from ..run_log import RunLog
from ..services import Services
from ..system import require_root
from . import recover

VERB = "up"
_TAKEN_OVER = ("migrate", "rotate")
RECALL, MAKE_ROOM, START, LET_GO, REMEMBER = "recall", "make room", "start", "let go", "remember"
STEPS: Sequence[Step] = (
    Step(RECALL, "go back"),
    Step(MAKE_ROOM, "go back"),
    Step(START, "go back"),
    # What runs from here on was healthy.
    Step(LET_GO, "go on"),
    Step(REMEMBER, "go on"),
)
"""The steps of this verb for the journal's table."""


@dataclass(frozen=True)
class Request:
    """What the operator's side has planned (`webui_stack.model.compose.Work`), after it has put the files into the
    folder.

    `image` is Open WebUI's reference and `valkey_image` Valkey's, which looks for an append-only file where
    `appendonly` is set. `containers` are all that the stack has, in the order they start. Those in
    `replace` were made by hand, those in `unpause` are paused, those in `remove` have no service any more. Services in
    `recreate` get new containers. `resume_s` is how long a container that was paused may take to its next check.
    `migrates` is for data that have just come out of a backup set.
    """

    image: str
    containers: Sequence[str]
    volumes: Sequence[str]
    replace: Sequence[str] = ()
    unpause: Sequence[str] = ()
    recreate: Sequence[str] = ()
    remove: Sequence[str] = ()
    restarts_after_valkey: bool = False
    resume_s: int = 30
    valkey_image: str = ""
    appendonly: bool = False
    migrates: bool = False


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> str:
    """Ensure the stack runs as its files say; `arguments` are those of `Stack` and of `Request`, by these names.

    All that it says is in `up.log` in the stack's folder as well. Returns the release's name.
    """
    require_root()
    stack, asked = Stack(**arguments["stack"]), Request(**arguments["request"])
    files, clock = Files(), Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work("deploy", asked.containers) as held:
        log = RunLog(files, f"{stack.folder}/up.log", emit)
        made = Assembly(stack, log, held.descriptors, table=recover.TABLE, files=files, clock=clock)
        try:
            entry = made.journal.open()
            if entry and entry.in_two_places and entry.step != OLD_MARK:
                recover.end_stack(made)  # the others are taken over
            return of(made, asked).up(asked)
        except HostError as error:
            log.note(str(error))
            raise
        finally:
            log.write()


def recovery(made: Assembly, entry: Entry) -> Up:
    """What ends a deploy that was cut off (`verbs/recover.py`)."""
    return of(made, request_of(entry))


def of(made: Assembly, asked: Request) -> Up:
    """The deploy of a stack."""
    return Up(
        stack=made.of,
        files=made.files,
        engine=made.engine,
        journal=made.journal,
        releases=made.releases,
        project=made.project,
        containers=made.containers,
        services=made.services,
        by_hand=made.by_hand,
        data=data_of(made, asked),
        log=made.valkey,
        me=Processes().me(VERB),
        emit=made.log.emit,
    )


def data_of(made: Assembly, asked: Request) -> Compatibility:
    """People's data, as the wanted images see them."""
    stack = made.of
    wanted = Wanted(
        stack.folder,
        images={
            compatibility.OPEN_WEBUI: asked.image,
            compatibility.VALKEY: asked.valkey_image,
            compatibility.POSTGRES: stack.postgres_image,
        },
        volumes={
            compatibility.OPEN_WEBUI: stack.open_webui_volume,
            compatibility.VALKEY: stack.valkey_volume,
            compatibility.POSTGRES: stack.postgres_volume,
        },
        database=stack.database,
        migrates=asked.migrates,
    )
    return Compatibility(
        made.files,
        made.engine,
        made.containers,
        made.valkey(asked.valkey_image),
        made.cluster,
        lambda: made.schema(asked.image),
        wanted,
    )


class Data(Protocol):
    """People's data, as far as this verb needs to know of them."""

    def check(self) -> None:
        """Raise `HostError` unless what is wanted runs on the data as they are: same schema, same form, same version.

        Nothing is changed.
        """
        ...


class Log(Protocol):
    """Valkey's append-only file in its volume (`data.valkey.ValkeyData`)."""

    def lacks_log(self) -> bool: ...
    def keep_snapshot(self, containers: str) -> bool: ...
    def set_log_aside(self) -> None: ...


class Up:
    """One stack's deploy. The caller of each public method holds the work lock."""

    def __init__(
        self,
        *,
        stack: Stack,
        files: Files,
        engine: Engine,
        journal: Journal,
        releases: Releases,
        project: Compose,
        containers: Containers,
        services: Services,
        by_hand: ByHand,
        data: Data,
        log: Callable[[str], Log],
        me: Holder,
        emit: Callable[[Event], None],
    ) -> None:
        self._stack = stack
        self._files, self._engine, self._journal, self._releases = files, engine, journal, releases
        self._project, self._containers, self._services, self._by_hand = project, containers, services, by_hand
        self._data, self._log, self._me, self._emit = data, log, me, emit  # the log as an image of Valkey sees it

    def up(self, asked: Request) -> str:
        """Ensure the stack is healthy as its files say, and remembered. Returns the release's name.

        Where it does not get healthy, what ran before runs again: containers made by hand, or the last good release.
        Then this raises `HostError`, which says so. It raises before anything is stopped where the data need more than
        this verb does. A `up` that was cut off before is ended first, as the files are this one's already.
        """
        resumes = self.begin(asked)
        try:
            self._data.check()
        except HostError as error:
            raise self.refused(asked, error, resumes=resumes) from error
        return self.carry_out(asked)

    def carry_out(self, asked: Request) -> str:
        """Ensure what `up` does, once it has begun and the data allow it."""
        try:
            self.make_room(asked)
            self.start(asked)
        except HostError as error:
            raise self._undone(asked, error) from error
        return self.finish(asked)

    # --- After a crash (`journal.Verb`)

    def go_on(self, entry: Entry) -> None:
        """Ensure what was healthy is remembered, and what was before it is gone."""
        self.finish(request_of(entry))

    def go_back(self, entry: Entry) -> None:
        """Ensure what ran before runs again; nothing happens on a host where nothing did."""
        self._say(self.back(request_of(entry)))
        self._journal.end()

    # --- Steps, for an upgrade as well

    def begin(self, asked: Request) -> bool:
        """Ensure this run is written down. Returns whether it takes over one that was cut off."""
        self._releases.recover()
        entry = self._journal.open()
        if entry is None:
            self._journal.begin(VERB, self._me, self._noted(asked))
            return False
        if entry.verb != VERB:
            # Raises but for a rotation and a migration. Their recovery would put earlier files over those of this
            # deploy, which brings into force what is there: new secrets, if a rotation has made them.
            self._journal.begin(VERB, self._me, self._noted(asked), step=MAKE_ROOM, over=_TAKEN_OVER)
            return True
        self._journal.resume(self._me)
        if entry.step and self._journal.way(entry) == "go on":
            self._by_hand.let_go()  # what takes their place was healthy
        # Not its recovery: that would put earlier files over those of this deploy.
        self._journal.step(MAKE_ROOM, self._noted(asked))
        return True

    def _noted(self, asked: Request) -> dict[str, Any]:
        return {"stack": asdict(self._stack), "request": asdict(asked)}

    def make_room(self, asked: Request) -> None:
        """Ensure nothing is in the way of the new containers."""
        self._journal.step(MAKE_ROOM)
        for volume in asked.volumes:
            self._engine.create_volume(volume)
        for name in {**dict.fromkeys(reversed(asked.replace)), **dict.fromkeys(reversed(self._by_hand.waiting()))}:
            self._by_hand.step_aside(name)
        for name in asked.unpause:
            self._containers.resume(name, limit_s=asked.resume_s)

    def start(self, asked: Request) -> None:
        """Ensure the services are as the files say and healthy; else it tells what each container says."""
        self._journal.step(START)
        # Not by `up --force-recreate --no-deps`: without what it depends on, a service has another hash (2.26).
        for service in asked.recreate:
            self._project.remove(service)
        try:
            self._containers.one_version(self._engine.image(asked.image).id)
            log = self._log(asked.valkey_image)
            if asked.appendonly and log.lacks_log():
                self._journal.step(START, {_MADE_LOG: True})
                self._keep_snapshot(log)
            self._services.up()
            if asked.restarts_after_valkey:
                self._services.restart_processes()
            if not asked.appendonly:
                log.set_log_aside()
        except HostError:
            self._say(f"not healthy within {self._project.wait_s} s, or not started:")
            self._complain(asked)
            raise

    def finish(self, asked: Request) -> str:
        """Ensure what is healthy is remembered, and nothing earlier is left. Returns the release's name."""
        self._let_go(asked)
        name = self._remember()
        self._journal.end()
        return name

    def _let_go(self, asked: Request) -> None:
        """Ensure nothing of before is left that would come back, or serve beside its successors."""
        self._journal.step(LET_GO)
        self._by_hand.let_go()
        for name in asked.remove:
            if self._containers.retire(name):
                self._say(f"removed {name}")
        for name in self._containers.retire_of_overlay(self._project):
            self._say(f"removed {name}")

    def _remember(self) -> str:
        self._journal.step(REMEMBER)
        try:
            return self._releases.remember(self._project)
        except HostError:
            self._say(f"it runs, and could not be remembered; is there room in {self._project.folder}?")
            raise

    # --- Back

    def refused(self, asked: Request, error: HostError, *, resumes: bool) -> HostError:
        """The error to raise once the files of what runs are back in the folder: nothing was stopped."""
        if resumes:  # the run that was cut off may have stopped something
            undone = self._undone(asked, error)
            return HostError(error.where, expected=error.expected, got=error.got, do=f"{error.do}; {undone.do}")
        if self._releases.in_force.is_there():
            self._journal.step(RECALL)
            try:
                self._releases.recall()
            except HostError as another:
                self._say(str(another))
        self._journal.end()
        return error

    def _undone(self, asked: Request, error: HostError) -> HostError:
        """The error to raise once what ran before runs again, or does not.

        In the second case the journal stays open: recovery tries again, and the next deploy takes over.
        """
        try:
            became = self.back(asked)
        except HostError as another:
            self._complain(asked)
            self._say(str(another))
            became = "what ran before does not run yet"
        else:
            self._journal.end()
        return HostError(error.where, expected=error.expected, got=error.got, do=became)

    def back(self, asked: Request, put_data_back: Callable[[], None] = lambda: None) -> str:
        """Ensure what ran before runs again. Returns what that is, in words.

        `put_data_back` is called once it is clear that a release comes back, before anything of it does.
        """
        self._releases.recover()
        entry = self._journal.open()
        made_log = entry is not None and bool(entry.data.get(_MADE_LOG))
        self._by_hand.remove_successors()
        if made_log and _VALKEY in self._by_hand.waiting():  # it had none before: it writes snapshots only
            self._log(asked.valkey_image).set_log_aside()
        if self._by_hand.come_back():
            self._containers.retire_of_overlay(self._project, all_of_it=True)
            return "what was made by hand runs again as it was; nothing was taken over"
        release = self._releases.in_force
        if not release.is_there():
            return "there is no earlier good deploy to go back to"
        self._say(f"going back to the deploy of {_date(release.name())}")
        put_data_back()
        drops_log = made_log and not release.has_log()
        # A Valkey that has read other users starts anew, even where its label stays (`verbs/rotate.py`).
        users = [self._files.read(f"{folder}/{_USERS}") for folder in (release.folder, self._project.folder)]
        if drops_log or users[0] != users[1]:
            self._containers.stop(_VALKEY)
        self._releases.recall()
        if drops_log:
            self._log(asked.valkey_image).set_log_aside()
        elif release.has_log():
            self._keep_snapshot(self._log(release.image_of(_VALKEY)))
        self._containers.drop_strays(self._project)
        self._containers.one_version(release.image_of("open-webui"))
        self._services.up()
        return "that one runs again; the change is not in force"

    def _keep_snapshot(self, log: Log) -> None:
        if log.lacks_log():
            self._say("writing Valkey's snapshot to an append-only file")
            log.keep_snapshot(_VALKEY)

    # --- Words

    def _complain(self, asked: Request) -> None:
        for line in self._containers.complaints([*asked.containers, *self._of_overlay()]):
            self._say(line)

    def _of_overlay(self) -> list[str]:
        """The overlay's own containers; none where Docker does not answer, since they only explain an error."""
        try:
            return self._containers.of_overlay(self._project.folder)
        except HostError:
            return []

    def _say(self, text: str) -> None:
        self._emit(Event(text))


_VALKEY = "redis-valkey"
_USERS = "valkey/users.acl"
# Noted before an append-only file is made where there was none.
_MADE_LOG = "made_log"


def request_of(entry: Entry) -> Request:
    """The request of an entry of the journal."""
    return read(entry.data.get("request", entry.data))  # the request alone, up to 2026-11-30


def read(found: Mapping[str, Any]) -> Request:
    """A request as the journal has it. Another version may have noted more."""
    known: Mapping[str, object] = {one.name: found[one.name] for one in fields(Request) if one.name in found}
    return Request(**known)  # type: ignore[arg-type]


def _date(name: str) -> str:
    """A release's name as a date, in UTC; as it is where it is none."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.strptime(name, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return name
