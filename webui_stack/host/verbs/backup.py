"""A backup set, made while the stack serves. It gets its name when it is whole and was read back."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from .. import backup_sets, dockerd, ollama, secrets
from ..assembly import Assembly
from ..backup_sets import BackupSets, NewSet
from ..clock import Clock
from ..containers import OURS
from ..data import postgres
from ..data.compatibility import OPEN_WEBUI, POSTGRES, VALKEY
from ..data.helper import Helper
from ..data.sqlite import Dataset
from ..data.valkey import Snapshots
from ..engine import Container, Engine, NotFound
from ..errors import HostError
from ..files import Files
from ..journal import Journal
from ..kernel import LINUX
from ..locks import Locks
from ..protocol import Event
from ..retention import Retention
from ..stack import OVERLAY
from ..system import System, require_root

HELPER = "open-webui-stack-backup"
UPLOADS_IN = "uploads_in"
"""In the manifest of a set that is without people's uploads: where they are."""
_MB = 1 << 20
# `users.acl` follows from the secrets, and receivers of alarms from the settings.
_NOT_IN_SET = ("valkey/users.acl", secrets.RECEIVERS)
# Open WebUI's own folder, and its default (open_webui/config.py, STORAGE_PROVIDER).
_LOCAL = "local"


@dataclass(frozen=True)
class Request:
    """What the operator's side knows of the stack.

    `swarm` is the stack's name in a swarm, "" without one. `images` has the image of each container by the container's
    name, which in a swarm stands for its service's. `valkey` and `postgres` are containers, in a swarm services;
    `postgres` is "" where the stack has none. `people` is the volume or folder of people's files, "" where these are in
    S3. `volumes` and `folders` are the data whose size counts. `files` are files and folders of `stack_dir` that belong
    to a set. `keep`, and the numbers beside it, say which sets stay, as in `Retention`. `age_recipient` is "" to leave
    secrets out. `in_clear` names variables that Open WebUI saves in its database. In a swarm `uploads_in` is where
    people's uploads are that are not in the set, such as "s3"; "" where they are in it. `ollama` is the `Place` of
    the stack's Ollama, {} without one: a set has the names of its models.

    With `holds_lock` the caller has the stack alone until this ends. With `repairs` it puts data back that are in two
    places, and wants a set of those that serve. `made_for` is a word for the manifest, "" for none. `not_in_set` are
    volumes of the overlay, which no set has.
    """

    stack_dir: str
    backup_dir: str
    swarm: str
    images: Mapping[str, str]
    open_webui: str
    valkey: str
    postgres: str
    people: str
    volumes: Sequence[str]
    folders: Sequence[str]
    files: Sequence[str]
    left_out: Sequence[str]
    keep: int
    reserve_mb: int
    age_recipient: str
    in_clear: Sequence[str]
    ollama: Mapping[str, str] = field(default_factory=dict)
    holds_lock: bool = False
    repairs: bool = False
    made_for: str = ""
    not_in_set: Sequence[str] = ()
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    uploads_in: str = ""

    @property
    def rule(self) -> Retention:
        return Retention(self.keep, self.keep_daily, self.keep_weekly, self.keep_monthly)


def run(arguments: Mapping[str, Any], emit: Callable[[Event], None]) -> str:
    """Ensure there is one more set, and return its name; `arguments` are those of `Request`.

    Fails while data may be in two places.
    """
    require_root()
    asked = Request(**arguments)
    system, clock, files = System(), Clock(), Files()
    engine = dockerd.engine(system)
    locks = Locks(LINUX, clock, lambda line: emit(Event(line)))
    return Backup(system, engine, files, clock, emit).run(asked, locks)


def within(made: Assembly, arguments: Mapping[str, Any]) -> str:
    """Ensure there is one more set, for a verb that has the stack alone and is in the journal. Returns its name."""
    return carry_out(made, replace(Request(**arguments), holds_lock=True, repairs=True))


def carry_out(made: Assembly, asked: Request) -> str:
    """Ensure there is one more set, as `asked`, of the stack that another verb works on. Returns its name."""
    one = Backup(made.system, made.engine, made.files, made.clock, made.log.emit)
    return one.run(asked, Locks(LINUX, made.clock, made.log.say))


def of_stack(made: Assembly) -> Request:
    """A request by what is on the host, where no operator's side has made one. Secrets stay out, every set stays."""
    of = made.of
    on_postgres = of.database == "postgres"
    proxy = ["proxy"] if made.files.exists(f"{of.folder}/proxy") else []
    return Request(
        stack_dir=of.folder,
        backup_dir=of.backup_dir,
        swarm="",
        images=dict.fromkeys(made.containers.names(OURS), ""),
        open_webui=OPEN_WEBUI,
        valkey=VALKEY,
        postgres=POSTGRES if on_postgres else "",
        people=of.open_webui_volume,
        volumes=[of.open_webui_volume, of.valkey_volume, *([of.postgres_volume] if on_postgres else [])],
        folders=[],
        files=["compose.yaml", "valkey", *proxy],
        left_out=of.left_out,
        keep=0,
        reserve_mb=0,
        age_recipient="",
        in_clear=[],
    )


class Backup:
    """Makes sets, and tells what they hold."""

    def __init__(
        self, system: System, engine: Engine, files: Files, clock: Clock, emit: Callable[[Event], None]
    ) -> None:
        self._system, self._engine, self._files, self._clock, self._emit = system, engine, files, clock, emit
        self._helper = Helper(engine, clock, HELPER)

    def run(self, asked: Request, locks: Locks) -> str:
        """Ensure there is one more set, of data that are in one place and that no other verb changes meanwhile."""
        with locks.data("backup", live=not asked.holds_lock):
            entry = None if asked.repairs else Journal(self._files, asked.stack_dir, {}, self._clock).open()
            if entry and entry.in_two_places:
                raise HostError(
                    "backup",
                    expected="data in one place",
                    got=f"a {entry.verb} that was cut off",
                    do="run it again",
                )
            return self.make(asked)

    def make(self, asked: Request) -> str:
        """Ensure there is one more set. Returns its name. The caller holds the lock on the data.

        When it fails there is none, and every earlier set is as it was.
        """
        sets = BackupSets(self._files, self._clock, asked.backup_dir)
        sets.prepare()
        began_s = self._clock.monotonic()
        dataset = Dataset(self._helper, self._image(asked) if asked.swarm else self._check_database(asked))
        sets.check_room(self._system, [asked.stack_dir, *self._folders(asked)], asked.reserve_mb)
        with sets.new() as new:
            facts = self._data(asked, sets, new, dataset)
            self._stack(asked, sets, new)
            facts = {"name": new.name, "host": os.uname().nodename, **facts}
            if asked.made_for:
                facts[backup_sets.MADE_FOR] = asked.made_for
            if asked.not_in_set:
                facts["volumes_not_in_set"] = ",".join(asked.not_in_set)
            if elsewhere := self._uploads_in(asked):
                facts[UPLOADS_IN] = elsewhere
            self._say("reading the set back")
            manifest = dataset.describe(new.folder, facts)
            size = self._size(new.folder)
            name = sets.finish(new, manifest)
        seconds = int(self._clock.monotonic() - began_s)
        self._tell(f"made {name} in {seconds} s: {size // _MB} MB, {_contents(manifest)}, {_rest(facts)}")
        if asked.in_clear:
            # Open WebUI writes what its variables say into its table config at the first start (config.py, 0.12).
            names = ", ".join(asked.in_clear)
            self._tell(f"the set may have these in clear, because Open WebUI saves them in its database: {names}")
        if asked.not_in_set:
            self._tell(f"the set does not have the overlay's volumes: {', '.join(asked.not_in_set)}")
        if elsewhere:
            self._tell(f"uploads are in {elsewhere} and not in the set: back them up there")
        for line in sets.prune(asked.rule, name, backup_sets.needed(self._files, asked.stack_dir)):
            self._tell(line)
        return name

    # --- What is there

    def _check_database(self, asked: Request) -> str:
        """The id of Open WebUI's image. Fails where people's rows are elsewhere than the settings say."""
        try:
            one = self._engine.container(asked.open_webui)
        except NotFound:
            raise _refused("a deployed stack", "none", "run deploy.py first") from None
        url = one.env.get("DATABASE_URL", "")
        is_ours = url.startswith("postgres") and url.endswith("@postgres:5432/open-webui")
        if asked.postgres and not is_ours:
            do = "run deploy.py, or this with the settings it was deployed with"
            raise _refused("the stack's own Postgres", "another database", do)
        if not asked.postgres and is_ours:
            do = "run runbooks/backup.py with the settings it was deployed with"
            raise _refused("its own database", "the stack's Postgres", do)
        if not asked.postgres and url.startswith("postgres"):
            raise _refused("its own database", "one of Postgres elsewhere", "back that up with pg_dump")
        return one.image_id

    def _uploads_in(self, asked: Request) -> str:
        """Where uploads are that Open WebUI keeps elsewhere, as its container says; "" where the set has them."""
        if asked.swarm:  # its replicas may all run on other hosts
            return asked.uploads_in
        provider = self._engine.container(asked.open_webui).env.get("STORAGE_PROVIDER", "")
        return "" if provider == _LOCAL else provider

    def _image(self, asked: Request) -> str:
        """The id of Open WebUI's image in a swarm, whose replicas may all run on other hosts."""
        try:
            return self._engine.image(asked.images[asked.open_webui]).id
        except NotFound:
            raise _refused("its image here", "none", "run deploy.py first") from None

    def _folders(self, asked: Request) -> list[str]:
        """Where the data are in folders of the host."""
        places = [self._engine.volume(name).mountpoint for name in asked.volumes]
        return [*asked.folders, *filter(None, places)]

    def _running(self, asked: Request, name: str) -> Container:
        """A container of the stack; in a swarm that of a service, which each start gives another name."""
        if not asked.swarm:
            return self._engine.container(name)
        of_service = f"com.docker.swarm.service.name={asked.swarm}_{name}"
        for one in self._engine.containers(label=of_service):
            if one.running:
                return one
        raise HostError(name, expected="it to run here", got="no task", do="run deploy.py first")

    def _size(self, folder: str) -> int:
        total = 0
        for name in self._files.listdir(folder) or []:
            found = self._files.stat(f"{folder}/{name}")
            total += found.size if found else 0
        return total

    # --- The parts

    def _data(self, asked: Request, sets: BackupSets, new: NewSet, dataset: Dataset) -> dict[str, str]:
        """Ensure people's data are in the set. Returns what was counted in them."""
        password = (self._files.read_text(f"{asked.stack_dir}/secrets/valkey-monitor-password") or "").strip()
        valkey = self._running(asked, asked.valkey).name
        snapshots = Snapshots(self._engine, self._clock, self._helper, valkey, password)
        self._say("saving Valkey's data")
        snapshots.save()
        with sets.part(new, "valkey.rdb") as target:
            snapshots.copy(target)
        facts = {
            "secrets": "encrypted" if asked.age_recipient else "left out",
            "may_be_in_clear": ",".join(sorted(asked.in_clear)),
            "valkey_keys": str(snapshots.count(new.folder)),
        }
        if asked.postgres:  # first: a row's file is written before the row is
            facts.update(self._rows(asked, sets, new))
        self._say("saving Open WebUI's data")
        # The image has files of its own where no folder is mounted.
        empty = "" if asked.people else f"{new.folder}/none"
        if empty:
            self._files.make_folder(empty)
        with sets.part(new, "open-webui.tar") as target:
            left_out = dataset.save(asked.people or empty, target, asked.left_out)
        if empty:
            self._files.remove_tree(empty)
        for line in left_out:
            self._say(line)
        if asked.ollama:
            facts["models"] = self._models(asked)
        return facts

    def _models(self, asked: Request) -> str:
        """The names of the models, "" where they are unknown. Models can be had again: a set is whole without them."""
        try:
            found = ollama.find(self._engine, ollama.Place(**asked.ollama), self._clock)
            if found:
                return ",".join(found.models())
            got = "no container of it runs"
        except HostError as error:
            got = error.got
        self._say(f"the set does not name the models of Ollama: {got}")
        return ""

    def _rows(self, asked: Request, sets: BackupSets, new: NewSet) -> dict[str, str]:
        self._say("saving Postgres's data")
        container = self._running(asked, asked.postgres)
        with sets.part(new, "postgres.dump") as target:
            postgres.dump(self._engine, container.name, target)
        rows = postgres.count(self._helper, container.image_id, new.folder)
        return {"schema": rows.schema, **{name: str(number) for name, number in rows.counts.items()}}

    def _stack(self, asked: Request, sets: BackupSets, new: NewSet) -> None:
        """Ensure the images' ids, the stack's files and its secrets are in the set."""
        lines = self._images(asked)
        self._files.write(f"{new.folder}/images", "".join(lines))
        with sets.part(new, "stack.tar") as target:
            # A timer may ask by settings of before the overlay, and a rollback may have taken it away.
            overlay = [OVERLAY] if self._files.exists(f"{asked.stack_dir}/{OVERLAY}") else []
            self._pack(asked.stack_dir, [*asked.files, *overlay], target)
        if asked.age_recipient:
            packed = io.BytesIO()
            self._pack(asked.stack_dir, ["secrets"], packed)
            command = ("age", "--encrypt", "--recipient", asked.age_recipient)
            self._files.write(f"{new.folder}/secrets.tar.age", self._system.through(*command, stdin=packed.getvalue()))

    def _images(self, asked: Request) -> list[str]:
        """A line for each container: its name, the image's reference, and the image's id, "" for one that only others
        have in a swarm."""
        if not asked.swarm:
            there = [self._engine.container(name) for name in asked.images]
            return [f"{one.name} {one.image} {one.image_id}\n" for one in there]
        lines = []
        for name, reference in asked.images.items():
            id_ = ""
            with suppress(NotFound):
                id_ = self._engine.image(reference).id
            lines.append(f"{name} {reference} {id_}\n")
        return lines

    def _pack(self, folder: str, names: Sequence[str], target: BinaryIO) -> None:
        """Write files and folders of `folder` to a tar. Fails where one is missing."""
        import tarfile  # costs as much at each start as a dozen calls

        with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for name in names:
                self._add(tar, folder, name)

    def _add(self, tar: Any, folder: str, name: str) -> None:
        found = self._files.stat(f"{folder}/{name}")
        if found is None:
            raise HostError(f"{folder}/{name}", expected="it in the stack", got="nothing", do="run deploy.py first")
        member = type(tar).tarinfo(name)
        member.mode, member.mtime = found.mode, int(found.changed_s)
        member.uid, member.gid = found.owner.uid, found.owner.gid
        if found.kind == "folder":
            member.type = b"5"
            tar.addfile(member)
            for each in self._files.listdir(f"{folder}/{name}") or []:
                if f"{name}/{each}" not in _NOT_IN_SET:
                    self._add(tar, folder, f"{name}/{each}")
        else:
            content = self._files.read(f"{folder}/{name}") or b""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    def _say(self, text: str) -> None:
        self._tell(f"backup: {text}")

    def _tell(self, line: str) -> None:
        self._emit(Event(line))


def _contents(manifest: bytes) -> str:
    counted = json.loads(manifest)["open_webui"]
    return ",".join(f"{counted[name]} {name}" for name in ("users", "chats", "files"))


def _rest(facts: Mapping[str, str]) -> str:
    return f"{facts['valkey_keys']} keys in Valkey, secrets {facts['secrets']}"


def _refused(expected: str, got: str, do: str) -> HostError:
    return HostError("open-webui", expected=expected, got=got, do=do)
