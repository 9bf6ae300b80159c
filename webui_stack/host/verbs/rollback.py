"""Rollback: an earlier release runs again, with its data where it can't run on those of today; or today's runs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..assembly import Assembly, Stack
from ..clock import Clock
from ..containers import OURS, PROCESSES
from ..data import volumes
from ..data.compatibility import OPEN_WEBUI, VALKEY, is_elsewhere
from ..data.exchange import Exchange
from ..errors import HostError
from ..files import Files
from ..holder import Processes
from ..journal import OLD_MARK, Entry, Step
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..releases import Release
from ..run_log import RunLog
from ..system import require_root
from . import backup, recover, releases, up
from .releases import refused
from .up import Up

VERB = "rollback"
PREVIOUS = "previous"
FILL, SECURE, SWAP, START, SAVE, UNDO, REMEMBER = "fill", "secure", "swap", "start", "save", "undo", "remember"
STEPS: Sequence[Step] = (
    Step(FILL, "go back"),
    Step(SECURE, "go back"),
    Step(SWAP, "go back"),
    Step(START, "go back"),
    Step(OLD_MARK, "go back"),
    Step(SAVE, "go back"),
    Step(UNDO, "go back"),
    # The earlier release was healthy: people may work with it.
    Step(REMEMBER, "go on"),
)
"""The steps of this verb for the journal's table."""
_LOG = "/run/open-webui-stack.rollback"


@dataclass(frozen=True)
class Request:
    """The release `to`, by its name or `PREVIOUS`. `backup` is a request for a set of all data (`backup.Request`).

    `may_replace` lets a set's data take the place of today's. `containers` are all that the stack has.
    """

    to: str
    backup: Mapping[str, Any]
    may_replace: bool = False
    containers: Sequence[str] = ()


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure an earlier release is in force; `arguments` are those of `Stack` and of `Request`, by these names.

    A change that was cut off before is ended first. Where that was an upgrade, and it went back, there is nothing else
    to do.
    """
    require_root()
    stack, asked = Stack(**arguments["stack"]), Request(**arguments["request"])
    files, clock = Files(), Clock()
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work(VERB, asked.containers) as held:
        log = RunLog(files, _LOG, emit)
        made = Assembly(stack, log, held.descriptors, table=recover.TABLE, files=files, clock=clock)
        try:
            of(made, asked).run()
        except HostError as error:
            log.note(str(error))
            raise
        finally:
            log.write()


def recovery(made: Assembly, entry: Entry) -> Rollback:
    """What ends a rollback that was cut off (`verbs/recover.py`)."""
    found = entry.data.get("request")
    if found is None:  # a mark of earlier versions
        return of(made, Request("", asdict(backup.of_stack(made)), containers=made.containers.names(OURS)))
    return of(made, Request(found["to"], found["backup"], found["may_replace"], found["containers"]))


def of(made: Assembly, asked: Request) -> Rollback:
    """The rollback of a stack."""
    return Rollback(made, asked, lambda: backup.within(made, asked.backup))


@dataclass(frozen=True)
class _Plan:
    """Going back to a release, with the data of `folders` out of the set `name`. Without folders today's data stay."""

    to: str
    release: Release
    folders: Sequence[str] = ()
    name: str = ""


class Rollback:
    """One stack's rollback. The caller of each public method holds the work lock. `save` makes a set, and names it."""

    def __init__(self, made: Assembly, asked: Request, save: Callable[[], str]) -> None:
        self._made, self._asked, self._save = made, asked, save
        # What of a deploy serves a way back.
        self._deploy = up.Request(image="", containers=asked.containers, volumes=())
        self._up: Up = up.of(made, self._deploy)

    def run(self, processes: Processes | None = None) -> None:
        """Ensure what was cut off is ended, and then an earlier release is in force."""
        releases.check(self._made)
        before = self._made.releases.in_force.name()
        ended = recover.end_stack(self._made, processes)
        if ended and ended.verb == "upgrade" and self._made.releases.in_force.name() == before:
            return  # what was there before the upgrade is back
        self.back()

    def back(self) -> None:
        """Ensure the release is in force: its files and images, with the secrets of now.

        Does nothing where that is so. Raises `HostError` and has changed nothing where the release can't run. Where it
        does not get healthy, what ran before runs on, with its data; then this raises as well.
        """
        plan = self._plan()
        if plan is None:
            return
        self._made.releases.require_images(self._made.releases.in_force)  # for the way back
        began_s = self._made.clock.monotonic()
        self._begin(plan)
        if plan.folders:
            self._secure(plan)
        else:
            try:
                self._save()
            except HostError as error:
                self._say(str(error))
                self._say("no set was made; the data stay where they are")
        self._say(f"going back to {plan.to}" + (f", with its data of {plan.name}" if plan.folders else ""))
        try:
            self._start(plan)
        except HostError as error:
            raise self._undone(error) from error
        self._finish()
        self._say(f"{plan.to} runs again; the change took {self._made.clock.monotonic() - began_s:.0f} s")

    # --- After a crash (`journal.Verb`)

    def go_on(self, entry: Entry) -> None:
        """Ensure the earlier release, which was healthy, is the one in force."""
        self._finish()
        self._say(f"a rollback was cut off; {entry.data['to']} runs")

    def go_back(self, entry: Entry) -> None:
        """Ensure what ran before the rollback runs again, with its data."""
        self._say("a rollback was cut off")
        if "stack" not in entry.data:
            self._made.journal.step(entry.step, {"stack": asdict(self._made.of), "folders": volumes.BOTH})
        try:
            self._undo(after_crash=True)
        except HostError:
            self._complain()
            self._say("what was there before does not run yet; run this again")
            raise
        self._made.journal.end()
        self._say("what was there before runs again")

    # --- Before anything is stopped

    def _plan(self) -> _Plan | None:
        """What is to be done; None where there is nothing, which it says."""
        kept, to = self._made.releases, self._asked.to
        now = kept.in_force.name()
        if to == PREVIOUS:
            if left := kept.left():
                self._say(
                    f"{now} is in force, gone back to from {left} already; to go further, name one in rollback_to:"
                )
                for one in kept.listed():
                    self._say(str(one))
                return None
            to = kept.before(now)
        if to == now:
            self._say(f"{now} is in force")
            return None
        if to not in kept.names():
            raise refused("an earlier good deploy", ",".join(str(one) for one in kept.listed()))
        release = kept.earlier(to)
        try:
            release.check()
            kept.require_images(release)
        except HostError as error:
            self._say(str(error))
            raise refused(f"all that {to} needs", error.got) from error
        return self._with_data(to, release)

    def _with_data(self, to: str, release: Release) -> _Plan:
        """The plan for a release, with the data that it needs. Raises where it can't have them."""
        made = self._made
        database, its = made.releases.in_force.database(), release.database()
        if its != database:
            raise refused(
                f"a deploy with the database of now, {database}",
                f"{to} with {its}: people would find none of their chats since",
            )
        folders, why = [], ""
        if not is_elsewhere(made.files, made.of.folder):
            word = releases.schema_of(made, release.image_of(OPEN_WEBUI)).word
            if word == "older":
                raise refused(
                    "an earlier version",
                    f"{to}, which would change the schema of today's data; runbooks/upgrade.py goes forward",
                )
            if word == "newer":
                folders, why = [volumes.OPEN_WEBUI], "its Open WebUI does not know the schema of today's data"
        if made.valkey(release.image_of(VALKEY)).refusal():
            folders, why = [*folders, volumes.VALKEY], "its Valkey does not read today's data"
        if not folders:
            return _Plan(to, release)
        name = self._set_of(to)
        if not name or not made.files.exists(f"{made.of.backup_dir}/{name}"):
            raise refused(f"a set with the data of {to}", f"{name or 'none'}; {why}")
        self._check_set(name, release)
        if not self._asked.may_replace:
            raise refused(
                "this host in restore_over",
                f"it not: {to} takes the data of {name} ({why}), and what was written since leaves the stack, though "
                "not the set that is made of it first",
            )
        return _Plan(to, release, folders, name)

    def _set_of(self, to: str) -> str:
        """The set with the last data of a release: the first one that was noted since, "" where none was."""
        kept = self._made.releases
        noted = (kept.earlier(name).data() for name in reversed(kept.names()) if name >= to)
        return next(filter(None, noted), "")

    def _check_set(self, name: str, release: Release) -> None:
        made = self._made
        kind: Literal["sqlite", "postgres"] = "postgres" if made.of.database == "postgres" else "sqlite"
        folder = f"{made.of.backup_dir}/{name}"
        problems = made.dataset(release.image_of(OPEN_WEBUI)).check(folder, kind)
        if problems:
            raise refused(f"the whole set {name}", " ".join(problems))

    # --- Steps

    def _begin(self, plan: _Plan) -> None:
        journal, noted = self._made.journal, {"stack": asdict(self._made.of), "request": asdict(self._asked)}
        now = self._made.releases.in_force.name()
        journal.begin(VERB, Processes().me(VERB), {**noted, "from": now, "to": plan.to, "folders": plan.folders})
        journal.step(FILL)

    def _secure(self, plan: _Plan) -> None:
        """Ensure the set's data are beside today's, and nobody writes these any more, which are in a set as well."""
        try:
            exchange = self._exchange()
            exchange.forget()  # what others have left
            exchange.fill(f"{self._made.of.backup_dir}/{plan.name}")
        except HostError as error:
            raise self._refused(error, f"room for the data of {plan.name}", "an error") from error
        # So that what leaves the stack is in the set that is made now.
        self._made.journal.step(SECURE)
        try:
            self._made.containers.stop(PROCESSES)
            self._save()
        except HostError as error:
            raise self._refused(error, "a set of today's data", "none") from error

    def _start(self, plan: _Plan) -> None:
        """Ensure the release runs, on its data, and is healthy."""
        made = self._made
        if plan.folders:
            made.journal.step(SWAP)
            self._halt()
            self._exchange().swap()
        made.journal.step(START)
        made.releases.take(plan.release)
        if plan.release.has_log():
            made.valkey(plan.release.image_of(VALKEY)).keep_snapshot(VALKEY)
        made.containers.drop_strays(made.project)
        made.containers.one_version(plan.release.image_of(OPEN_WEBUI))
        made.services.up()

    def _finish(self) -> None:
        """Ensure the release that runs is the one in force, and the other one is known as the one that was left."""
        made, journal = self._made, self._made.journal
        journal.step(REMEMBER)  # first: from here on it is not to be undone
        noted = self._entry().data
        made.releases.remember(made.project, noted["to"])
        made.releases.drop(noted["to"])
        made.releases.note_left(noted["from"])
        made.releases.abandon(noted["from"])
        if noted["folders"]:
            self._exchange().forget()
        journal.end()

    # --- Back

    def _refused(self, error: HostError, expected: str, got: str) -> HostError:
        """The error to raise once what runs is as it was: no data were changed."""
        self._say(str(error))
        try:
            self._undo()
        except HostError as another:
            self._complain()
            self._say(str(another))
            return HostError("rollback", expected=expected, got=got, do="run this again")
        self._made.journal.end()
        return refused(expected, got)

    def _undone(self, error: HostError) -> HostError:
        """The error to raise once what ran before runs on, or does not: the journal stays open then."""
        self._complain()
        now = self._entry().data["from"]
        try:
            self._undo()
        except HostError as another:
            self._say(str(another))
            became = f"{now} does not run yet; run this again"
        else:
            self._made.journal.end()
            became = f"{now} runs on; nothing was rolled back"
        return HostError(error.where, expected=error.expected, got=error.got, do=became)

    def _undo(self, *, after_crash: bool = False) -> None:
        """Ensure what ran before runs again, with its data. Each step can be begun again."""
        entry, journal = self._entry(), self._made.journal
        folders = entry.data["folders"]
        if folders and entry.step in (FILL, SECURE):
            self._exchange().forget()
        elif folders:
            if entry.step != UNDO:
                self._keep_what_served(entry, after_crash=after_crash)
                journal.step(UNDO)
            self._halt()
            self._exchange().undo()
        if entry.step != FILL:  # until then nothing was stopped
            self._up.back(self._deploy)

    def _keep_what_served(self, entry: Entry, *, after_crash: bool) -> None:
        """Ensure what people wrote since the data were swapped is in a set, before it leaves the stack.

        Nobody writes from here on. A set has to be made where Open WebUI is healthy; where it only ran, a set is made
        where that is possible.
        """
        made, old = self._made, entry.step == OLD_MARK
        if entry.step not in (START, SAVE, OLD_MARK) or "saved" in entry.data:
            return
        served = entry.data.get("served", False) or bool(made.containers.healthy(PROCESSES))
        made.journal.step(SAVE, {"served": served})
        made.containers.stop(PROCESSES)
        if not served and (old or not self._has_run(entry)):
            return
        try:
            made.journal.step(SAVE, {"saved": self._save()})
        except HostError as error:
            if served or after_crash:
                raise
            self._say(f"no set could be made of what {entry.data['to']} wrote, which was not healthy: {error}")

    def _has_run(self, entry: Entry) -> bool:
        """Whether the earlier Open WebUI has run on its data. Where it is today's as well, it may have."""
        its = self._made.releases.earlier(entry.data["to"])
        return self._made.containers.has_started(OPEN_WEBUI, its.image_of(OPEN_WEBUI))

    def _halt(self) -> None:
        """Ensure nobody writes the data any more."""
        self._made.containers.stop(f"{PROCESSES}|{VALKEY}")

    def _exchange(self) -> Exchange:
        image = self._made.releases.in_force.image_of(OPEN_WEBUI)
        return self._made.exchange(image, self._entry().data["folders"])

    def _entry(self) -> Entry:
        entry = self._made.journal.open()
        assert entry is not None  # of this run, or of the one that it ends
        return entry

    def _complain(self) -> None:
        for line in self._made.containers.complaints(self._asked.containers):
            self._say(line)

    def _say(self, text: str) -> None:
        self._made.log.say(text)
