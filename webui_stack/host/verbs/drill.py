"""Drill: a backup set is restored into a throw-away stack beside the live one, and looked at there.

Nothing of the live stack is asked, stopped or changed, and the throw-away one has none of its secrets.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .. import client_config, digits, disk, dockerd, images, open_webui, programs, throw_away
from ..backup_sets import MANIFEST, BackupSets
from ..clock import Clock
from ..data import postgres, volumes
from ..data.cluster import DATA
from ..data.exchange import Exchange
from ..data.roles import SUPERUSER, Roles
from ..data.sqlite import COUNTED, Dataset
from ..data.valkey import ValkeyData
from ..data.volumes import Volumes
from ..engine import Container, Engine, EngineError, NewContainer, Refused
from ..errors import HostError
from ..files import Files
from ..images import Registry
from ..kernel import LINUX
from ..locks import Locks
from ..outcomes import Outcomes
from ..protocol import Event
from ..system import System, require_root
from ..throw_away import ThrowAway

_MB = 1 << 20
_PAUSE_S = 0.5
_TELL_S = 30.0
# In seconds. The container's own `timeout` ends what Docker can't end.
_ANSWER_S = 10
_SHM_BYTES = 256 * _MB
_LINES = 15
_MIGRATION = "Running upgrade"
# Those whose time is over are in a set, and are dropped when it is loaded.
_LOADED = ("rdb_last_load_keys_loaded", "rdb_last_load_keys_expired")


@dataclass(frozen=True)
class Request:
    """The set, and what runs it: images by reference, and Open WebUI's variables and rights as the settings have them.

    `restore_set` is a set's name, or "newest". `postgres_image` is "" where people's rows are in SQLite. `environment`
    holds no secret. Open WebUI, and Postgres, may take `start_s` seconds to serve. Below `stack_dir` the outcome is
    remembered; "" for a drill that says nothing of backups, as of images that nobody runs yet. On Docker's disk
    `reserve_mb` stay free.
    """

    backup_dir: str
    restore_set: str
    open_webui_image: str
    valkey_image: str
    postgres_image: str
    environment: Mapping[str, str]
    cap_add: Sequence[str]
    read_only: bool
    start_s: float
    stack_dir: str = ""
    reserve_mb: int = 0

    @property
    def kind(self) -> Literal["sqlite", "postgres"]:
        return "postgres" if self.postgres_image else "sqlite"

    @property
    def images(self) -> list[str]:
        return [self.valkey_image, self.open_webui_image, *([self.postgres_image] if self.postgres_image else [])]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, "ok" or a "fault", with what was seen."""

    name: str
    word: Literal["ok", "fault"]
    seen: str


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> list[dict[str, str]]:
    """Ensure it is known whether a set can be restored: a finding for each thing looked at; see `Request`.

    Nothing is left of the throw-away stack, or a finding says what is. Docker that does not answer, or refuses
    something, is an error and no finding. Waits for a backup that is at work, ten minutes.
    """
    require_root()
    asked, system, clock = Request(**arguments), System(), Clock()
    home = os.environ.get("HOME", "/root")
    engine = Engine(dockerd.socket(system, home))
    locks = Locks(LINUX, clock, lambda line: emit(Event(line)))
    registry = Registry(system, engine, client_config.read(system, home), clock, emit)

    def hold() -> list[Finding]:
        with locks.data("drill", live=False):
            bring(asked.images, engine, registry, locks)
            return Drill(system, engine, Files(), clock, emit).hold(asked)

    return [asdict(one) for one in remembered(asked, Files(), clock, emit, hold)]


def scheduled(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> None:
    """Ensure it is known that a set can be restored, for the timer; `arguments` are as for `run`. Else it fails."""
    found = run(arguments, emit)
    for one in found:
        emit(Event(f"{one['word']:6}{one['name']}: {one['seen']}"))
    if faults := [f"{one['name']}: {one['seen']}" for one in found if one["word"] == "fault"]:
        raise _failed("; ".join(faults))


def remembered(
    asked: Request,
    files: Files,
    clock: Clock,
    emit: Callable[[Event], None],
    hold: Callable[[], list[Finding]],
) -> list[Finding]:
    """What a drill has found, also remembered for status; an error as well, which is raised all the same."""
    began_s = clock.monotonic()
    found: list[Finding] = []
    said = ""
    try:
        found = hold()
    except HostError as error:
        said = str(error)
        raise
    finally:
        faults = [one for one in found if one.word == "fault"]
        said = said or "; ".join(f"{one.name}: {one.seen}" for one in faults)
        if asked.stack_dir and (found or said):
            counts = {"findings": len(found), "faults": len(faults)}
            name = next((one.seen.partition(",")[0] for one in found if one.name == "set" and one.word == "ok"), "")
            try:
                outcomes = Outcomes(files, clock, asked.stack_dir)
                outcomes.note("drill", set_=name, began_s=began_s, said=said, counts=counts)
            except HostError as error:  # of a full disk, say
                emit(Event(f"drill: not remembered: {error}"))
    return found


def bring(references: Sequence[str], engine: Engine, registry: Registry, locks: Locks) -> None:
    """Ensure each reference means an image here. Waits for another pull only where something has to be pulled."""
    missing = [reference for reference in references if images.find(engine, [reference]) is None]
    if missing:
        with locks.images("drill"):
            for reference in missing:
                registry.ensure(reference)


class Drill:
    """Tries out sets. The caller holds the lock on the data, and the images are here."""

    def __init__(
        self, system: System, engine: Engine, files: Files, clock: Clock, emit: Callable[[Event], None]
    ) -> None:
        self._system, self._engine, self._files, self._clock, self._emit = system, engine, files, clock, emit
        self._stack = ThrowAway(engine, clock)

    def hold(self, asked: Request) -> list[Finding]:
        """What was found. First and last, whatever is there of a drill is cleared away."""
        self._stack.clear_away()
        try:
            found = list(self._findings(asked))
        except BaseException:
            for one in self._leftovers():
                self._say(one.seen)
            raise
        return [*found, *self._leftovers()]

    def _leftovers(self) -> list[Finding]:
        try:
            self._stack.clear_away()
        except HostError as error:
            return [_fault("leftovers", f"not all is cleared away; the next drill does that: {error}")]
        return []

    def _findings(self, asked: Request) -> Iterator[Finding]:
        name = BackupSets(self._files, self._clock, asked.backup_dir).choose(asked.restore_set)
        if not name:
            seen = f"expected {asked.restore_set} in {asked.backup_dir}, got none; runbooks/backup.py makes one"
            yield _fault("set", seen)
            return
        folder = f"{asked.backup_dir}/{name}"
        dataset = Dataset(self._stack.helper, asked.open_webui_image)
        self._say(f"reading {name}")
        if problems := self._problems(asked, dataset, folder):
            yield _fault("set", f"{name} can't be used: {';'.join(problems)}")
            return
        size = -(-disk.used_bytes(self._system, [folder]) // _MB)
        self._check_room(size, asked.reserve_mb)
        yield Finding("set", "ok", f"{name}, {size} MB, every SHA-256 as in its manifest")
        started = self._start(asked, folder)
        yield started
        if started.word == "ok":
            yield from self._look(asked, dataset, folder)

    # --- The set

    def _check_room(self, size_mb: int, reserve_mb: int) -> None:
        """Fail where the set would fill Docker's disk: a full one stops the live stack."""
        info = self._engine.info()
        free = self._files.space_left(info.root) // _MB
        if free <= size_mb + reserve_mb:
            raise HostError(
                "room",
                expected=f"{size_mb + reserve_mb} MB free in {info.root} ({reserve_mb} of them as a reserve, "
                "backup_min_free_mb)",
                got=f"{free} MB",
                do="free some",
            )

    def _problems(self, asked: Request, dataset: Dataset, folder: str) -> list[str]:
        try:
            return dataset.check(folder, asked.kind)
        except EngineError:
            raise
        except HostError as error:  # of a disk that can't be read, say
            return [error.got]

    # --- Its start

    def _start(self, asked: Request, folder: str) -> Finding:
        self._say("filling the throw-away stack's volumes")
        self._stack.make_network()
        self._fill(asked, folder)
        self._stack.run(
            throw_away.VALKEY,
            "redis",
            NewContainer(
                asked.valkey_image,
                command=["valkey-server", "--save", "", "--protected-mode", "no"],
                volumes=[f"{throw_away.VALKEY_DATA}:/data"],
                cap_add=["SETGID", "SETUID", "DAC_OVERRIDE"],
            ),
        )
        environment = {**asked.environment, "WEBUI_SECRET_KEY": secrets.token_hex(24)}
        if asked.postgres_image:
            password = secrets.token_hex(24)
            if why := self._postgres(asked, folder, password):
                return _fault("start", why)
            url = f"postgresql://open-webui:{password}@postgres:5432/open-webui"
            environment.update({"DATABASE_URL": url, "PGVECTOR_DB_URL": url})
        return self._open_webui(asked, environment)

    def _fill(self, asked: Request, folder: str) -> None:
        """Ensure the volumes have the set's data, put there as a restore does it."""
        for name in (throw_away.OPEN_WEBUI_DATA, throw_away.VALKEY_DATA):
            self._stack.make_volume(name)
        helper = self._stack.helper
        ValkeyData(self._engine, self._files, self._clock, helper, asked.valkey_image, throw_away.VALKEY_DATA).own()
        place = Volumes(helper, asked.open_webui_image, throw_away.OPEN_WEBUI_DATA, throw_away.VALKEY_DATA)
        data = Exchange(self._files, self._clock, place, None, self._emit)
        data.fill(folder)
        data.swap()
        data.forget()

    def _postgres(self, asked: Request, folder: str, password: str) -> str:
        """Why Postgres does not serve the set's rows; "" where it does."""
        self._say("loading the dump of Postgres")
        self._stack.make_volume(throw_away.POSTGRES_DATA)
        self._stack.run(
            throw_away.POSTGRES,
            "postgres",
            NewContainer(
                asked.postgres_image,
                env={"POSTGRES_USER": SUPERUSER, "POSTGRES_DB": postgres.SERVES, "POSTGRES_PASSWORD": password},
                volumes=[f"{throw_away.POSTGRES_DATA}:{DATA}"],
                cap_add=["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],
                read_only=True,
                tmpfs=["/run/postgresql", "/tmp"],  # noqa: S108 in the container
                shm_bytes=_SHM_BYTES,
            ),
        )
        one, roles = self._engine.container(throw_away.POSTGRES), Roles(self._engine, throw_away.POSTGRES)
        try:
            postgres.await_answer(self._engine, self._clock, throw_away.POSTGRES, asked.start_s)
            roles.set_password(password)
            with self._files.source(f"{folder}/postgres.dump") as dump:
                roles.load(postgres.SERVES, dump)
        except HostError as error:
            # Docker refuses to run a program in a container that has ended; any other no of Docker's is no finding.
            if isinstance(error, EngineError) and not programs.has_ended(self._engine, one):
                raise
            return f"Postgres: {error.got}|{self._logs(throw_away.POSTGRES, 5)}"
        return ""

    def _open_webui(self, asked: Request, environment: Mapping[str, str]) -> Finding:
        self._say("starting Open WebUI")
        began_s = told_s = self._clock.monotonic()
        self._stack.run(
            throw_away.OPEN_WEBUI,
            "open-webui",
            NewContainer(
                asked.open_webui_image,
                env=environment,
                volumes=[f"{throw_away.OPEN_WEBUI_DATA}:{volumes.OPEN_WEBUI}"],
                cap_add=asked.cap_add,
                read_only=asked.read_only,
                tmpfs=["/tmp"] if asked.read_only else [],  # noqa: S108 in the container
            ),
        )
        while self._status("/health") != 200:
            now_s = self._clock.monotonic()
            runs = self._engine.container(throw_away.OPEN_WEBUI).status == "running"
            if not runs or now_s - began_s >= asked.start_s:
                return _fault("start", self._logs(throw_away.OPEN_WEBUI, _LINES))
            if now_s - told_s >= _TELL_S:
                told_s = now_s
                self._say(f"Open WebUI starts since {now_s - began_s:.0f} s, {asked.start_s:.0f} s at most")
            self._clock.sleep(_PAUSE_S)
        took_ms = (self._clock.monotonic() - began_s) * 1000
        lines = self._lines(throw_away.OPEN_WEBUI)
        migrations = "unknown" if lines is None else sum(_MIGRATION in line for line in lines)
        return Finding("start", "ok", f"Open WebUI serves after {took_ms:.0f} ms, {migrations} migrations")

    def _status(self, path: str, *headers: str) -> int:
        """The HTTP status of Open WebUI; 0 where it gives none, as in a container that has ended."""
        one = self._engine.container(throw_away.OPEN_WEBUI)
        try:
            return programs.answer(
                self._engine, one, lambda one: open_webui.status(self._engine, one, path, *headers), 0
            )
        except EngineError:
            raise
        except HostError:  # curl could not be started, as under load: the next question tells
            return 0

    def _logs(self, container: str, lines: int) -> str:
        return "|".join(self._lines(container, lines) or [f"no logs of {container}"])

    def _lines(self, container: str, last: int | None = None) -> list[str] | None:
        """What a container wrote; None where its log driver keeps nothing to read."""
        try:
            return self._engine.logs(container, tail=last).decode("utf-8", "replace").splitlines()
        except Refused:
            return None

    # --- What is there

    def _look(self, asked: Request, dataset: Dataset, folder: str) -> Iterator[Finding]:
        self._say("counting what is there")
        expected = _manifest(self._files.read_text(f"{folder}/{MANIFEST}") or "")
        try:
            counted = dataset.count(throw_away.OPEN_WEBUI_DATA, asked.kind)
            if asked.postgres_image:
                counted.update(postgres.rows(Roles(self._engine, throw_away.POSTGRES)))
        except EngineError:
            raise
        except HostError as error:
            yield _fault("drill", str(error))
            counted = {}
        for what in COUNTED:
            yield _compared(what, expected.get(what, ""), str(counted.get(what, "")))
        yield _compared("keys", expected.get("keys", ""), self._keys(asked))
        # Open WebUI 0.11 listens only from its first client on, and takes no other transport than websocket.
        self._status(open_webui.WEBSOCKET, *open_webui.HANDSHAKE)
        listening = self._valkey("pubsub", "numsub", "socketio").strip().rpartition("\n")[2]
        if digits.whole(listening):
            yield Finding("websockets", "ok", "Open WebUI listens on Valkey")
        else:
            yield _fault("websockets", "nobody listens on Valkey")

    def _keys(self, asked: Request) -> str:
        """How many keys Valkey has found at its start; "" where it does not say."""
        limit_s = self._clock.monotonic() + asked.start_s
        while True:
            lines = self._valkey("info", "persistence").splitlines()
            info = dict(line.split(":", 1) for line in lines if ":" in line)
            if info.get("loading") != "1" or self._clock.monotonic() >= limit_s:
                break
            self._clock.sleep(_PAUSE_S)
        found = [number for name in _LOADED if (number := digits.whole(info.get(name, ""))) is not None]
        return str(sum(found)) if found else ""

    def _valkey(self, *question: str) -> str:
        """What Valkey answers; "" where it gives no answer."""
        command = ["timeout", str(_ANSWER_S), "valkey-cli", *question]

        def ask(one: Container) -> str:
            done = self._engine.exec(one.name, command, accept=range(256), timeout_s=_ANSWER_S + 5.0)
            return "" if done.exit_code else done.stdout.decode("utf-8", "replace").replace("\r", "")

        return programs.answer(self._engine, self._engine.container(throw_away.VALKEY), ask, "")

    def _say(self, text: str) -> None:
        self._emit(Event(f"drill: {text}"))


def _manifest(text: str) -> dict[str, str]:
    """How many of each there are in the set, as its manifest says."""
    manifest = json.loads(text)
    counted = {what: str(manifest["open_webui"].get(what, "")) for what in COUNTED}
    return {**counted, "keys": str(manifest.get("valkey_keys", ""))}


def _compared(what: str, expected: str, got: str) -> Finding:
    if got and got == expected:
        return Finding(what, "ok", f"{got}, as in the manifest")
    return _fault(what, f"expected {expected or 'none'}, got {got or 'none'}")


def _failed(got: str) -> HostError:
    return HostError("drill", expected="all of the set restored", got=got, do="run runbooks/drill.py")


def _fault(name: str, seen: str) -> Finding:
    return Finding(name, "fault", seen)
