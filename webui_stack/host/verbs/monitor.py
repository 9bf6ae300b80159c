"""The monitor: it looks at the stack every minute, and tells what is not well. It changes nothing, and takes no lock.

The watchdog acts; this is another process, so that an alarm which hangs delays no restart.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .. import dockerd, metrics, programs
from ..at_work import AtWork, Watcher
from ..clock import Clock
from ..engine import Unavailable
from ..errors import HostError
from ..files import Files
from ..finding import Finding, Sample
from ..holder import Processes
from ..journal import Journal
from ..kernel import LINUX
from ..locks import Locks
from ..looks import LOOKS, Look
from ..looks.memory import Memory
from ..looks.request import Request
from ..looks.sight import Host, Sight
from ..looks.words import duration
from ..protocol import Event
from ..system import System, require_root

_DOCKER = "docker"


class Teller(Protocol):
    """Who tells people (`alarms.Alarms`)."""

    def tell(self, findings: Sequence[Finding]) -> None: ...


@dataclass(frozen=True)
class Round:
    """What one round of looks has found."""

    findings: Sequence[Finding]
    samples: Sequence[Sample]


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Look at the stack until this process is ended; `arguments` are those of `looks.request.Request`."""
    require_root()
    asked, system, clock, files = Request.read(arguments), System(), Clock(), Files()
    host = Host(system, dockerd.engine(system, limit_s=programs.LIMIT_S), files, clock)
    journal = Journal(files, asked.stack_dir, {}, clock)
    # It waits for no lock, so it tells of none.
    watcher = Watcher(journal, Locks(LINUX, clock, lambda _: None), Processes(), files, clock)

    def say(text: str) -> None:
        emit(Event(text))

    Monitor(asked, host, watcher, [Changes(say), People(asked, files, clock, say)], say).stay()


class Changes:
    """Tells each change between well and not well, as lines for this unit's journal."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._known: dict[str, bool | None] = {}

    def tell(self, findings: Sequence[Finding]) -> None:
        for one in findings:
            was = self._known.get(one.name, True)
            if one.ok is not was:
                word = {True: "well again", False: "not well", None: "unknown"}[one.ok]
                silent = f" (explained by {one.silenced_by})" if one.silenced_by else ""
                self._say(f"{one.name} is {word}{silent}: {one.seen}")
            if one.repaired:
                self._say(f"{one.name} was {one.repaired}: {one.seen}")
            self._known[one.name] = one.ok


class People:
    """Tells people by alarms, and keeps which are open, also where nobody is to be told.

    Receivers are read before each round is told: a deploy that changes them restarts nothing, and a bad file stops no
    look.
    """

    def __init__(self, asked: Request, files: Files, clock: Clock, say: Callable[[str], None]) -> None:
        self._asked, self._files, self._clock, self._say = asked, files, clock, say
        self._alarms: Any = None

    def tell(self, findings: Sequence[Finding]) -> None:
        """Tell what a round has found. Raises `HostError` where the receivers can't be read.

        Earlier messages are sent all the same. Where the file is missing, nobody is: a deploy removes it before its
        last steps.
        """
        from ..alarms import Alarms, receivers  # their modules cost as much at a start as all others together

        if self._alarms is None:
            self._alarms = Alarms(
                *(receivers.Receivers(), self._files, self._clock),
                host=os.uname().nodename,
                say=self._say,
                reminder_s=self._asked.alarm_reminder_h * 3600,
            )
        unread: HostError | None = None
        if self._asked.alarms:
            try:
                self._alarms.use(receivers.read(self._files, self._asked.alarms))
            except HostError as error:
                unread = error
                if not self._files.exists(self._asked.alarms):
                    self._alarms.use(receivers.Receivers())
        self._alarms.tell(findings)
        if unread:
            raise unread


class Monitor:
    """Rounds of looks. Whatever a look, a teller or a place for metrics does, the next round comes."""

    def __init__(
        self,
        asked: Request,
        host: Host,
        watcher: Watcher,
        tellers: Sequence[Teller],
        say: Callable[[str], None],
        looks: Sequence[Look] = LOOKS,
    ) -> None:
        self._asked, self._host, self._watcher, self._tellers, self._say = asked, host, watcher, tellers, say
        self._looks, self._clock = looks, host.clock
        self._memory = Memory(host.clock)
        self._server = metrics.Server(asked.metrics_bind) if asked.metrics_bind else None
        self._untold = ""  # why the last round could not be told to everybody
        self._worked = False  # whether a verb was at work in the last round

    def stay(self) -> None:
        """Look once in `interval_s`, for ever. A round that took longer is followed by the next one at once."""
        while True:
            began_s = self._clock.monotonic()
            self.once()
            self._clock.sleep(max(0.0, began_s + self._asked.interval_s - self._clock.monotonic()))

    def once(self) -> Round:
        """Look at all, show the numbers, and tell what was found."""
        began_s, began_monotonic_s = self._clock.now(), self._clock.monotonic()
        work, own = self._at_work()
        seen, step = self._untold or "everybody could be told", "deploy again" if self._untold else ""
        own.append(Finding("alarms", not self._untold, seen, step))
        samples: list[Sample] = []
        found: list[tuple[Look | None, Finding]] = [(None, one) for one in own]
        sight = Sight(self._asked, self._host, self._memory, by_a_verb=self._has_worked(work))
        try:
            for look, one in self._found(sight):
                if isinstance(one, Sample):
                    samples.append(one)
                else:
                    found.append((look, one))
        finally:
            sight.end()
        self._memory.looked_s = began_s
        if not work.verb:  # one may have begun meanwhile
            work, _ = self._at_work()
            self._worked = bool(work.verb)
        findings = [self._explained(look, one, work) for look, one in found]
        samples += self._own(findings, began_s, self._clock.monotonic() - began_monotonic_s)
        findings += self._show(samples)
        self._tell(findings)
        return Round(findings, samples)

    # --- Looks

    def _found(self, sight: Sight) -> Iterator[tuple[Look | None, Finding | Sample]]:
        docker_answers, docker = self._docker(sight)
        yield None, docker
        yield None, Sample("open_webui_stack_docker_up", docker_answers, help="Whether Docker answers.")
        for look in self._looks:
            if look.needs_docker and not docker_answers:
                # Nothing is known of what it looks at, and one finding says why: Docker explains it as a verb would.
                yield look, Finding(f"look_{look.name}", None, "Docker gives no answer", silenced_by=_DOCKER)
                continue
            error = ""
            try:
                for found in look.at(sight):
                    yield look, found
            except HostError as refusal:
                error = str(refusal)
            except Exception as fault:
                error = _fault(fault)
            name = f"look_{look.name}"
            step = "run runbooks/doctor.py" if error else ""
            yield look, Finding(name, None if error else True, error or f"looked at {look.name}", step)

    def _docker(self, sight: Sight) -> tuple[bool, Finding]:
        try:
            _ = sight.containers
        except Unavailable as error:
            step = "look at `systemctl status docker` and `journalctl -u docker`"
            return False, Finding(_DOCKER, False, f"Docker gives no answer: {error.got}", step)
        except HostError:
            pass  # an answer; the looks say what it is
        return True, Finding(_DOCKER, True, "Docker answers")

    # --- Verbs at work

    def _at_work(self) -> tuple[AtWork, list[Finding]]:
        try:
            work = self._watcher.look()
        except HostError as error:
            return AtWork(), [Finding("verb", False, str(error), error.do)]
        if work.cut_off:
            step = "the watchdog ends it within a minute; else run it again"
            return work, [Finding("verb", False, f"cut off: {work.cut_off}", step)]
        if not work.verb:
            return work, [Finding("verb", True, "no verb is at work")]
        is_in_time = work.explains(self._clock.now())
        took = duration(self._clock.now() - work.since_s)
        step = "" if is_in_time else "see what it waits for, by `ps` and its lines"
        return work, [Finding("verb", is_in_time, f"{work.verb} has been at work for {took}", step)]

    def _explained(self, look: Look | None, one: Finding, work: AtWork) -> Finding:
        """A finding with the verb that explains it: of what verbs stop, and of Docker, which one restarts."""
        stops = look.stops if look else one.name == _DOCKER
        if one.ok is True or one.silenced_by or not stops or not work.explains(self._clock.now()):
            return one
        return replace(one, silenced_by=work.verb)

    def _has_worked(self, work: AtWork) -> bool:
        """Whether a verb may have changed something since the last round."""
        worked, self._worked = self._worked, bool(work.verb)
        if worked or work.verb or self._memory.looked_s is None:
            return True
        try:
            return self._watcher.began_since(self._memory.looked_s)
        except HostError:
            return True

    # --- Numbers

    def _own(self, findings: Sequence[Finding], at_s: float, took_s: float) -> Iterator[Sample]:
        for one in findings:
            labels = {"check": one.name}
            if one.ok is not None:
                yield Sample("open_webui_stack_check_ok", one.ok, labels, "Whether what was looked at is well.")
            yield Sample("open_webui_stack_check_unknown", one.ok is None, labels, "Whether the question failed.")
            about = "Whether a verb at work explains it."
            yield Sample("open_webui_stack_check_silenced", bool(one.silenced_by), labels, about)
        about = "When the last look began, in seconds since 1970."
        yield Sample("open_webui_stack_look_timestamp_seconds", at_s, help=about)
        yield Sample("open_webui_stack_look_duration_seconds", took_s, help="How long the last look took.")

    def _show(self, samples: Sequence[Sample]) -> list[Finding]:
        """Ensure the numbers are where they are wanted; a finding for each place."""
        places: list[tuple[str, Callable[[str], None]]] = []
        if folder := self._asked.metrics_textfile_dir:
            places.append(("metrics_textfile", lambda content: metrics.write(self._host.files, folder, content)))
        if self._server:
            places.append(("metrics_http", self._server.show))
        findings = []
        for name, show in places:
            try:
                show(metrics.text(samples))
                findings.append(Finding(name, True, "the numbers are there"))
            except HostError as error:
                findings.append(Finding(name, False, str(error), error.do))
            except Exception as error:
                findings.append(Finding(name, False, _fault(error), "please report it"))
        return findings

    # --- People

    def _tell(self, findings: Sequence[Finding]) -> None:
        untold = ""
        for teller in self._tellers:
            try:
                teller.tell(findings)
            except HostError as error:
                untold = str(error)
            except Exception as error:
                untold = _fault(error)
        if untold and untold != self._untold:
            self._say(f"not everybody could be told: {untold}")
        self._untold = untold


def _fault(error: Exception) -> str:
    """A fault of this program, in one line: no text of the error, which may hold a secret."""
    places = [f"{frame.name} ({frame.lineno})" for frame in traceback.extract_tb(error.__traceback__)[-3:]]
    return f"a fault of this program: {type(error).__name__} in {', '.join(places)}"
