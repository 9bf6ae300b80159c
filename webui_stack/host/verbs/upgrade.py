"""Upgrade: versions that change people's data run on them; or the versions of before do, with the data of before.

It is a deploy (up.py) between two things of its own. Before it nobody writes any more, and all is put into a backup
set. Where the new versions don't get healthy, that set comes back, and what they wrote meanwhile is in another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .. import compose, disk
from ..assembly import Assembly, Stack
from ..clock import Clock
from ..containers import OURS, PROCESSES
from ..data import volumes
from ..data.compatibility import OPEN_WEBUI, VALKEY
from ..engine import EngineError, NotFound
from ..errors import HostError
from ..files import Files
from ..journal import OLD_MARK, Entry, Step
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..run_log import RunLog
from ..system import require_root
from . import backup, recover, up
from .up import LET_GO, MAKE_ROOM, RECALL, REMEMBER, START, Up

VERB = "upgrade"
SECURE, SAVE, PUT_BACK, FORGET = "secure", "save", "put back", "forget"
STEPS: Sequence[Step] = (
    Step(SECURE, "go back"),
    Step(MAKE_ROOM, "go back"),
    # People may have worked with the new version: it stays where it gets healthy. Else the data come back.
    Step(START, "go on"),
    Step(OLD_MARK, "go on"),
    Step(SAVE, "go back"),
    Step(PUT_BACK, "go back"),
    Step(FORGET, "go back"),
    Step(RECALL, "go back"),
    # What runs from here on was healthy.
    Step(LET_GO, "go on"),
    Step(REMEMBER, "go on"),
)
"""The steps of this verb for the journal's table."""
_UNTOUCHED = (SECURE, MAKE_ROOM)
_MB = 1 << 20


@dataclass(frozen=True)
class Request:
    """`up` is a request for a deploy (`up.Request`), and `backup` one for a set of all data (`backup.Request`)."""

    up: Mapping[str, Any]
    backup: Mapping[str, Any]


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> str:
    """Ensure the stack runs as its files say; `arguments` are those of `Stack` and of `Request`, by these names.

    All that it says is in `up.log` in the stack's folder as well. Returns the release's name.
    """
    require_root()
    stack, asked = Stack(**arguments["stack"]), Request(**arguments["request"])
    files, clock = Files(), Clock()
    wanted = up.read(asked.up)
    with Locks(LINUX, clock, lambda line: emit(Event(line))).work("deploy", wanted.containers) as held:
        log = RunLog(files, f"{stack.folder}/up.log", emit)
        made = Assembly(stack, log, held.descriptors, table=recover.TABLE, files=files, clock=clock)
        try:
            return of(made, asked).upgrade()
        except HostError as error:
            log.note(str(error))
            raise
        finally:
            log.write()


def recovery(made: Assembly, entry: Entry) -> Upgrade:
    """What ends an upgrade that was cut off (`verbs/recover.py`)."""
    found = entry.data.get("request")
    return of(made, Request(found["up"], found["backup"]) if found else _as_found(made))


def of(made: Assembly, asked: Request) -> Upgrade:
    """The upgrade of a stack."""
    return Upgrade(made, asked, lambda: backup.within(made, asked.backup))


class Upgrade:
    """One stack's upgrade. The caller of each public method holds the work lock. `save` makes a set, and names it."""

    def __init__(self, made: Assembly, asked: Request, save: Callable[[], str]) -> None:
        self._made, self._asked, self._save = made, asked, save
        self._deploy = up.read(asked.up)
        self._up: Up = up.of(made, self._deploy)

    def upgrade(self) -> str:
        """Ensure the stack is healthy as its files say, and remembered. Returns the release's name.

        Where no data would change, this is a deploy and nothing else. Where the new versions don't get healthy, the
        earlier ones run again on the earlier data, and this raises `HostError`, which says so. It raises before
        anything is stopped where the last good release could not come back, or the data need more than an upgrade.
        """
        resumes = self._up.begin(self._deploy)
        try:
            moves = self._moves()
            if moves:
                self._check_way_back()
        except HostError as error:
            raise self._up.refused(self._deploy, error, resumes=resumes) from error
        if not moves:
            return self._up.carry_out(self._deploy)
        noted = {"stack": asdict(self._made.of), "request": asdict(self._asked), "moves": moves}
        self._made.journal.become(VERB, SECURE, noted)
        try:
            self._secure()
        except HostError as error:
            raise self._unsecured(error) from error
        try:
            self._up.make_room(self._deploy)
            self._up.start(self._deploy)
        except HostError as error:
            raise self._undone(error) from error
        return self._up.finish(self._deploy)

    # --- After a crash (`journal.Verb`)

    def go_on(self, entry: Entry) -> None:
        """Ensure the new versions run, where they have the data already and get healthy; else what ran before."""
        if entry.step not in (LET_GO, REMEMBER):
            if "stack" not in entry.data:
                self._made.journal.step(entry.step, {"stack": asdict(self._made.of)})
            if not self._runs_on(entry):
                self.go_back(entry)
                return
        self._up.finish(self._deploy)
        self._say("an upgrade was cut off after it had migrated the data; the new version runs")

    def go_back(self, entry: Entry) -> None:
        """Ensure what ran before runs again, with its data where they were changed."""
        try:
            if entry.step in _UNTOUCHED:
                self._say("an upgrade was cut off before it changed any data")
                self._up.back(self._deploy)
            else:
                self._say(f"an upgrade was cut off; the data of {entry.data['set']} come back")
                self._up.back(self._deploy, lambda: self._put_data_back(after_crash=True))
        except HostError:
            self._complain()
            self._say("what was there before does not run yet; run this again")
            raise
        self._end()
        self._say("what was there before runs again")

    # --- Before anything is stopped

    def _moves(self) -> list[str]:
        """What changes its data. Containers made by hand are taken over by a deploy, on data that stay as they are."""
        by_hand = self._deploy.replace or self._made.by_hand.waiting()
        data = up.data_of(self._made, self._deploy)
        if by_hand:
            data.check()
            return []
        return data.moves()

    def _check_way_back(self) -> None:
        """Fail where the last good release could not come back with its data."""
        release = self._made.releases.in_force
        if not release.is_there():
            raise HostError(
                "upgrade",
                expected="a good deploy to go back to",
                got="none",
                do="set the version the data are from, deploy, and run this again; nothing was changed",
            )
        release.check()
        self._made.releases.require_images(release)
        self._check_room()

    def _check_room(self) -> None:
        """Fail without room for the data twice, where Docker has volumes in folders of the host."""
        of, folders = self._made.of, []
        for name in (of.open_webui_volume, *([of.postgres_volume] if of.database == "postgres" else [])):
            try:
                folders.append(self._made.engine.volume(name).mountpoint)
            except NotFound:
                continue
            except EngineError as error:
                raise HostError(
                    "room",
                    expected=f"Docker to say where the volume {name} is",
                    got=error.got,
                    do="run this again; nothing was changed",
                ) from error
        there = [folder for folder in folders if folder and self._made.system.path(folder).is_dir()]
        if not there:
            return
        needed = -(-disk.used_bytes(self._made.system, there) // _MB)
        free = disk.room(self._made.system, there[0])["disk_free_kb"] // 1024
        if free <= needed:
            raise HostError(
                "room",
                expected=f"{needed} MB free for the way back",
                got=f"{free} in {there[0]}",
                do="free some; nothing was changed",
            )

    # --- Forward

    def _secure(self) -> None:
        """Ensure nobody writes any more, and all that was written is in a set, which is noted for the way back."""
        self._made.containers.stop(PROCESSES)
        name = self._save()
        self._made.journal.step(SECURE, {"set": name})
        self._made.releases.note_data(name)

    def _runs_on(self, entry: Entry) -> bool:
        """Whether the new versions have the data in their form, and get healthy on them now."""
        if "request" not in entry.data and not self._is_new():
            return False
        if self._moved(entry, OPEN_WEBUI) and not self._is_migrated(self._wanted()):
            return False
        try:
            self._up.start(self._deploy)
        except HostError as error:
            self._say(str(error))
            return False
        return True

    def _is_new(self) -> bool:
        """Whether the files name another Open WebUI than the last good release. Earlier versions noted no more."""
        return self._wanted() != self._before()

    def _wanted(self) -> str:
        """The id of the new Open WebUI; "" where its image is gone."""
        try:
            return self._made.engine.image(self._deploy.image).id if self._deploy.image else ""
        except NotFound:
            return ""

    def _before(self) -> str:
        """The id of the last good release's Open WebUI."""
        return self._made.releases.in_force.image_of(OPEN_WEBUI)

    def _is_migrated(self, image: str) -> bool:
        """Whether the data have the schema that the new Open WebUI makes of them; `image` is its id."""
        return bool(image) and self._made.schema(image).word == "same"

    def _moved(self, entry: Entry, container: str) -> bool:
        """Whether a container's data were to change. Of a mark of earlier versions that is unknown: they may have."""
        return container in entry.data.get("moves", (OPEN_WEBUI, VALKEY))

    # --- Back

    def _unsecured(self, error: HostError) -> HostError:
        """The error to raise once what ran before runs again: its data are as they were."""
        self._say(str(error))
        try:
            self._up.back(self._deploy)
        except HostError as another:
            self._complain()
            self._say(str(another))
            became = "it does not run yet: run this again"
        else:
            self._end()
            became = "open-webui runs again as it was"
        return HostError(
            "upgrade",
            expected="a set of today's data for the way back",
            got="none, see above",
            do=f"no set could be made, so nothing was upgraded; {became}",
        )

    def _undone(self, error: HostError) -> HostError:
        """The error to raise once what ran before runs again with its data, or does not.

        In the second case the journal stays open, with the set's name: recovery tries again.
        """
        try:
            became = self._up.back(self._deploy, self._put_data_back)
        except HostError as another:
            self._complain()
            self._say(str(another))
            became = "that one does not run yet; its data are kept: run this again"
        else:
            self._end()
        return HostError(error.where, expected=error.expected, got=error.got, do=became)

    def _put_data_back(self, *, after_crash: bool = False) -> None:
        """Ensure the data that new versions may have changed are those of the set. Each step can be begun again."""
        journal, entry = self._made.journal, self._entry()
        if entry.step == MAKE_ROOM:
            return
        if entry.step not in (PUT_BACK, FORGET, RECALL):
            if not after_crash:
                self._say(f"with its data, of {entry.data['set']}")
            journal.step(SAVE)
            self._keep_what_served(after_crash=after_crash)
            self._made.containers.stop(f"{PROCESSES}|{VALKEY}")
            journal.step(PUT_BACK, {"which": self._changed()})
        entry = self._entry()
        exchange = self._made.exchange(self._before(), entry.data["which"])
        if entry.step == PUT_BACK:
            self._made.containers.stop(f"{PROCESSES}|{VALKEY}")
            if entry.data["which"]:
                exchange.undo()  # what was cut off
                exchange.fill(f"{self._made.of.backup_dir}/{entry.data['set']}")
                exchange.swap()
            journal.step(FORGET)
        if self._entry().step == FORGET:
            if entry.data["which"]:
                exchange.forget()
            journal.step(RECALL)

    def _keep_what_served(self, *, after_crash: bool) -> None:
        """Ensure what people wrote since the set was made is in another one, before it leaves the stack.

        Nobody writes from here on. Only a migrated database can have served. A set has to be made where Open WebUI is
        healthy, and after a crash, of which nobody knows how it was before; else it is made where that is possible.
        """
        entry, journal, containers = self._entry(), self._made.journal, self._made.containers
        if "saved" in entry.data:
            return
        served = entry.data.get("served", False) or bool(containers.healthy(PROCESSES))
        journal.step(SAVE, {"served": served})
        containers.stop(PROCESSES)
        leaves = self._has_run(entry)
        if not (leaves or self._moved(entry, VALKEY)):
            return
        new = containers.image_of(OPEN_WEBUI) or self._wanted()
        may_have_served = leaves and self._is_migrated(new)
        if not (served or may_have_served):
            return
        try:
            journal.step(SAVE, {"saved": self._save()})
        except HostError as error:
            if served or after_crash:
                raise
            self._say(f"no set could be made of what the new version wrote, which was not healthy: {error}")

    def _has_run(self, entry: Entry) -> bool:
        """Whether the new Open WebUI has run on the data, or may have: whether a migration that failed has touched
        them, the schema can't tell."""
        if not self._moved(entry, OPEN_WEBUI):
            return False
        there = self._made.containers.image_of(OPEN_WEBUI)
        return not there or (there != self._before() and self._made.containers.has_started(OPEN_WEBUI, there))

    def _changed(self) -> list[str]:
        """The folders whose data have to come back. Nobody writes them."""
        entry = self._entry()
        found = [volumes.OPEN_WEBUI] if self._has_run(entry) else []
        valkey = self._made.releases.in_force.image_of(VALKEY)
        return [*found, *([volumes.VALKEY] if self._made.valkey(valkey).refusal() else [])]

    def _entry(self) -> Entry:
        entry = self._made.journal.open()
        assert entry is not None  # of this run, or of the one that it ends
        return entry

    def _end(self) -> None:
        self._made.releases.forget_data()
        self._made.journal.end()

    def _complain(self) -> None:
        for line in self._made.containers.complaints(self._deploy.containers):
            self._say(line)

    def _say(self, text: str) -> None:
        self._made.log.say(text)


def _as_found(made: Assembly) -> Request:
    """The request of an upgrade by an earlier version, which noted the set alone: its files are in the folder."""
    text = made.files.read_text(f"{made.of.folder}/compose.yaml") or ""
    conf = made.files.read_text(f"{made.of.folder}/valkey/valkey.conf") or ""
    deploy = up.Request(
        image=compose.image_of(text, OPEN_WEBUI),
        valkey_image=compose.image_of(text, VALKEY),
        containers=made.containers.names(OURS),
        volumes=(),
        appendonly=any(line.startswith("appendonly yes") for line in conf.splitlines()),
    )
    return Request(asdict(deploy), asdict(backup.of_stack(made)))
