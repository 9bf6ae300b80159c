"""Up: the stack runs as its files say, and is remembered; or what ran before runs again.

This is the deploy that neither changes data nor their form: no upgrade, no migration, no new append-only file. `Data`
refuses what would be one. It is no verb yet: the operator's side still sends up.sh.j2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Protocol

from ..by_hand import ByHand
from ..compose import Compose
from ..containers import Containers
from ..engine import Engine
from ..errors import HostError
from ..files import Files
from ..holder import Holder
from ..journal import Entry, Journal, Step
from ..protocol import Event
from ..releases import Releases
from ..services import Services

VERB = "up"
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
    """What the operator's side has planned (`webui_stack.compose.Work`), after it has put the files into the folder.

    `image` is Open WebUI's reference, `containers` are all that the stack has, in the order they start. Those in
    `replace` were made by hand, those in `unpause` are paused, those in `remove` have no service any more. Services in
    `recreate` get new containers. `resume_s` is how long a container that was paused may take to its next check.
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


class Data(Protocol):
    """People's data, as far as this verb needs to know of them."""

    def check(self) -> None:
        """Raise `HostError` unless what is wanted runs on the data as they are: same schema, same form, same version.

        Nothing is changed.
        """
        ...


class Up:
    """One stack's deploy. The caller of each public method holds the work lock."""

    def __init__(
        self,
        *,
        files: Files,
        engine: Engine,
        journal: Journal,
        releases: Releases,
        project: Compose,
        containers: Containers,
        services: Services,
        by_hand: ByHand,
        data: Data,
        me: Holder,
        emit: Callable[[Event], None],
    ) -> None:
        self._files, self._engine, self._journal, self._releases = files, engine, journal, releases
        self._project, self._containers, self._services, self._by_hand = project, containers, services, by_hand
        self._data, self._me, self._emit = data, me, emit

    def up(self, asked: Request) -> str:
        """Ensure the stack is healthy as its files say, and remembered. Returns the release's name.

        Where it does not get healthy, what ran before runs again: containers made by hand, or the last good release.
        Then this raises `HostError`, which says so. It raises before anything is stopped where the data need more than
        this verb does. A `up` that was cut off before is ended first, as the files are this one's already.
        """
        self._releases.recover()
        resumes = self._begin(asked)
        try:
            self._data.check()
        except HostError as error:
            raise self._refused(asked, error, resumes=resumes) from error
        try:
            self._make_room(asked)
            self._start(asked)
        except HostError as error:
            raise self._undone(asked, error) from error
        self._let_go(asked)
        name = self._remember()
        self._journal.end()
        return name

    # --- After a crash (`journal.Verb`)

    def go_on(self, entry: Entry) -> None:
        """Ensure what was healthy is remembered, and what was before it is gone."""
        self._let_go(_request(entry))
        self._remember()
        self._journal.end()

    def go_back(self, entry: Entry) -> None:
        """Ensure what ran before runs again; nothing happens on a host where nothing did."""
        del entry
        self._releases.recover()
        self._say(self._back())
        self._journal.end()

    # --- Steps

    def _begin(self, asked: Request) -> bool:
        """Ensure this run is written down. Returns whether it takes over one that was cut off."""
        entry = self._journal.open()
        if entry is None or entry.verb != VERB:
            self._journal.begin(VERB, self._me, asdict(asked))  # raises where another verb is under way
            return False
        self._journal.resume(self._me)
        if entry.step and self._journal.way(entry) == "go on":
            self._let_go(_request(entry))
        # Not its recovery: that would put earlier files over those of this deploy.
        self._journal.step(MAKE_ROOM, asdict(asked))
        return True

    def _make_room(self, asked: Request) -> None:
        """Ensure nothing is in the way of the new containers."""
        self._journal.step(MAKE_ROOM)
        for volume in asked.volumes:
            self._engine.create_volume(volume)
        for name in {**dict.fromkeys(reversed(asked.replace)), **dict.fromkeys(reversed(self._by_hand.waiting()))}:
            self._by_hand.step_aside(name)
        for name in asked.unpause:
            self._containers.resume(name, limit_s=asked.resume_s)

    def _start(self, asked: Request) -> None:
        self._journal.step(START)
        # Not by `up --force-recreate --no-deps`: without what it depends on, a service has another hash (2.26).
        for service in asked.recreate:
            self._project.remove(service)
        try:
            self._containers.one_version(self._engine.image(asked.image).id)
            self._services.up()
            if asked.restarts_after_valkey:
                self._services.restart_processes()
        except HostError:
            self._say(f"not healthy within {self._project.wait_s} s, or not started:")
            self._complain(asked)
            raise

    def _let_go(self, asked: Request) -> None:
        """Ensure nothing of before is left that would come back, or serve beside its successors."""
        self._journal.step(LET_GO)
        self._by_hand.let_go()
        for name in asked.remove:
            if self._containers.retire(name):
                self._say(f"removed {name}")

    def _remember(self) -> str:
        self._journal.step(REMEMBER)
        try:
            return self._releases.remember(self._project)
        except HostError:
            self._say(f"it runs, and could not be remembered; is there room in {self._project.folder}?")
            raise

    # --- Back

    def _refused(self, asked: Request, error: HostError, *, resumes: bool) -> HostError:
        """The error to raise once the files of what runs are back in the folder: nothing was stopped."""
        if resumes:  # the run that was cut off may have stopped something
            return self._undone(asked, error)
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
            became = self._back()
        except HostError as another:
            self._complain(asked)
            self._say(str(another))
            became = "what ran before does not run yet"
        else:
            self._journal.end()
        return HostError(error.where, expected=error.expected, got=error.got, do=became)

    def _back(self) -> str:
        """Ensure what ran before runs again. Returns what that is, in words."""
        self._by_hand.remove_successors()
        if self._by_hand.come_back():
            return "what was made by hand runs again as it was; nothing was taken over"
        release = self._releases.in_force
        if not release.is_there():
            return "there is no earlier good deploy to go back to"
        self._say(f"going back to the deploy of {_date(release.name())}")
        # A Valkey that has read other users starts anew, even where its label stays (templates/rotate.sh.j2).
        if self._files.read(f"{release.folder}/{_USERS}") != self._files.read(f"{self._project.folder}/{_USERS}"):
            self._containers.stop("redis-valkey")
        self._releases.recall()
        self._containers.drop_strays(self._project)
        self._containers.one_version(release.image_of("open-webui"))
        self._services.up()
        return "that one runs again; the change is not in force"

    # --- Words

    def _complain(self, asked: Request) -> None:
        for line in self._containers.complaints(asked.containers):
            self._say(line)

    def _say(self, text: str) -> None:
        self._emit(Event(text))


_USERS = "valkey/users.acl"


def _request(entry: Entry) -> Request:
    """The request of an entry of the journal. Another version may have noted more."""
    known: Mapping[str, object] = {one.name: entry.data[one.name] for one in fields(Request) if one.name in entry.data}
    return Request(**known)  # type: ignore[arg-type]


def _date(name: str) -> str:
    """A release's name as a date, in UTC; as it is where it is none."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.strptime(name, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return name
