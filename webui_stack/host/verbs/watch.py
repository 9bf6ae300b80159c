"""The watchdog: a container that hangs is restarted, and one that Docker could not start is started.

Docker restarts a container that exits. It restarts none that hangs: an unhealthy one stays unhealthy (moby/moby#28400).
Nor does it start one again whose start failed, because an address came late at boot, say.

A verb that was cut off is ended, too: what the journal of the stack tells of a process that is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import dockerd, valkey
from ..clock import Clock, moment
from ..engine import Container, Engine, EngineError, NotFound
from ..errors import HostError
from ..files import Files
from ..journal import Journal
from ..kernel import LINUX
from ..locks import LockedError, Locks
from ..protocol import Event
from ..system import System, require_root

# Until the next look, where nothing happens: while all is well, and while something is to be done soon.
_QUIET_S, _SOON_S = 60.0, 5.0
# Several containers change together, as in a restart of Docker. One look is for all of them.
_TOGETHER_S = 1.0
# A question in a container takes up to 15 s. Docker is asked nothing else that takes long.
_ANSWER_S = 20.0
_KEPT_UP = ("always", "unless-stopped")
_WHO = "watchdog"
_VALKEY = "redis-valkey"
# Open WebUI before 0.12.0 loses background tasks for good when Valkey goes away (open-webui#25216, #27762).
_AFTER_VALKEY = "open-webui-stack.restart-after-valkey"


@dataclass(frozen=True)
class Request:
    """Which containers are looked after, and how often each may be restarted: once in `pause_s` seconds.

    Each is looked at in the order of `containers`; those of Open WebUI are in `open_webui`, too.
    """

    stack_dir: str
    containers: Sequence[str]
    open_webui: Sequence[str]
    pause_s: float


@dataclass(frozen=True)
class Need:
    """What a container needs: "restart", "start", or "told", for what only an operator can do; `why` says why.

    One that is not `due` yet needs it if it is still so a little later.
    """

    act: str
    why: str
    due: bool = True


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Look after the stack until this process is ended; `arguments` are those of `Request`."""
    require_root()
    system, clock = System(), Clock()
    engine = dockerd.engine(system)
    # What waits for a lock is told by the one that waits. The watchdog never does.
    locks, files, asked = Locks(LINUX, clock, lambda _: None), Files(), Request(**arguments)

    def end() -> None:
        from . import recover  # no stack needs its many modules before something is cut off

        recover.stack(asked.stack_dir, system, files, clock, locks, emit, wait_s=0)

    journal = Journal(files, asked.stack_dir, {}, clock)
    Watch(asked, system, engine, locks, clock, lambda text: emit(Event(text)), journal, end).stay()


class Watch:
    """The containers of a stack, looked at whenever one of them changes."""

    def __init__(
        self,
        asked: Request,
        system: System,
        engine: Engine,
        locks: Locks,
        clock: Clock,
        say: Callable[[str], None],
        journal: Journal,
        end: Callable[[], None],
    ) -> None:
        self._asked, self._system, self._engine, self._locks, self._clock = asked, system, engine, locks, clock
        self._say, self._journal, self._end = say, journal, end
        self._tried: dict[str, float] = {}

    def stay(self) -> None:
        """Look, wait until something happens to a container, and look again; for ever."""
        while True:
            since_s = self._clock.now()
            self.wait(since_s, _QUIET_S if self.look() else _SOON_S)

    def look(self) -> bool:
        """Ensure each container has what it needs now. Returns whether none needs anything, now or soon.

        Changes nothing beside a verb that works on the containers; a backup only reads, so people get their answer
        back while one is made. Changes nothing, either, of what nobody could look at.

        A verb that was cut off is ended first. Where that fails and data may be in two places, no container is touched.
        """
        in_one_place = self._ends_what_was_cut_off()
        if in_one_place is False:
            return False
        return not [name for name in self._asked.containers if self._cares(name)] and in_one_place is None

    def wait(self, since_s: float, limit_s: float) -> None:
        """Return when something has happened to a container since then, or after `limit_s` seconds."""
        ended_s = self._clock.monotonic() + limit_s
        try:
            if any(self._concerns(event) for event in self._events(since_s, limit_s)):
                self._clock.sleep(_TOGETHER_S)
        except EngineError:  # the next look says so, not at once: Docker may be about to start
            self._clock.sleep(min(_SOON_S, max(0.0, ended_s - self._clock.monotonic())))

    # --- A verb that was cut off

    def _ends_what_was_cut_off(self) -> bool | None:
        """Whether people's data are in one place while a verb is under way; None where none is."""
        entry = None
        try:
            entry = self._journal.open()
            if entry and self._has_pause_behind(self._journal.path):
                self._end()
                entry = None
            return None if entry is None else not entry.in_two_places
        except LockedError:  # the verb is at work
            return bool(entry and not entry.in_two_places)
        except HostError as error:
            if self._may(self._journal.path):
                self._say(str(error))
            return bool(entry and not entry.in_two_places)  # an entry that nobody can read may be of any verb

    # --- A container

    def _cares(self, name: str) -> bool:
        """Whether the container needs something, which it gets if that is due; also where nobody could look."""
        try:
            need = self._need(name)
            if need and need.due and self._has_pause_behind(name):
                with self._locks.container(name, _WHO):
                    need = self._need(name)  # who was at work on it until now may have ended
                    if need and need.due and self._may(name):
                        self._give(name, need)
            return need is not None
        except LockedError:  # somebody works on it, and knows better
            return True
        except HostError as error:
            if self._may(error.where):
                self._say(str(error))
            return True

    def _give(self, name: str, need: Need) -> None:
        if need.act == "told":
            self._say(f"{name}: {need.why}")
            return
        doing, done, order = {
            "restart": ("restarting", "restarted", self._engine.restart),
            "start": ("starting", "started", self._engine.start),
        }[need.act]
        self._say(f"{doing} {name}: {need.why}")
        try:
            order(name)  # it has its own time to stop, a minute for Postgres
        except EngineError as error:
            self._say(f"{name}: not {done}; tried again in {self._asked.pause_s:.0f} s ({error.got})")

    def _need(self, name: str) -> Need | None:
        try:
            one = self._engine.container(name)
        except NotFound:
            return Need("told", "there is no such container; deploy.py makes it again")
        if one.status == "running":
            return self._need_of_running(one)
        # Docker notes why it could not start one. A container that somebody stopped has no such note, and stays so.
        if one.status in ("exited", "created") and one.restart_policy in _KEPT_UP and one.error:
            return Need("start", one.error)
        return None

    def _need_of_running(self, one: Container) -> Need | None:
        past = not 0 <= self._age_s(one) <= self._asked.pause_s  # below 0 where the clock was set back
        if one.health == "unhealthy":
            return Need("restart", "it stopped answering", past)
        if one.name == _VALKEY and one.health == "starting" and not (past and self._may_load(one)):
            return Need("restart", "it has not answered since its start", past)
        if one.name in self._asked.open_webui and one.health == "healthy" and one.labels.get(_AFTER_VALKEY) == "true":
            before = self._valkey()
            if before and moment(before.started_at) > moment(one.started_at):
                return Need("restart", "Valkey was restarted after it", past)
        return None

    def _valkey(self) -> Container | None:
        """Valkey's container, if it serves."""
        try:
            one = self._engine.container(_VALKEY)
        except NotFound:
            return None
        return one if (one.status, one.health) == ("running", "healthy") else None

    def _may_load(self, one: Container) -> bool:
        """Whether Valkey reads its data, and answers nobody yet: a restart would begin that again."""
        password = valkey.monitor_password(self._system, one, stack_dir=self._asked.stack_dir, in_swarm=False)
        try:
            said = valkey.ask(self._engine, one, password, ["info persistence"])
        except EngineError:
            return True  # nobody could ask it
        except HostError:
            return False  # nothing runs in it that could ask
        return any("loading:1" in line for line in said or ())  # None where it gave no answer in time

    def _age_s(self, one: Container) -> float:
        return self._clock.now() - moment(one.started_at)

    # --- When

    def _events(self, since_s: float, limit_s: float) -> Iterator[Any]:
        return self._engine.events(since_s=since_s, until_s=self._clock.now() + limit_s, kind="container")

    def _concerns(self, event: Any) -> bool:
        """Whether a look is due: not for each run of a health check, of which Docker tells three events."""
        return event.name in self._asked.containers and not event.action.startswith("exec_")

    def _has_pause_behind(self, what: str) -> bool:
        return self._clock.monotonic() - self._tried.get(what, -float("inf")) > self._asked.pause_s

    def _may(self, what: str) -> bool:
        """Whether the last time is longer ago than the pause, so that nothing is stormed. Notes this time."""
        if not self._has_pause_behind(what):
            return False
        self._tried[what] = self._clock.monotonic()
        return True
