"""A host with a stack and people's data, all of it in memory or in a folder of the test's.

Open WebUI's database is one line of text, "s1:before,since": its schema and people's rows, in `webui.db` or in
Postgres. Its folder has the same rows as uploads, since rows and files belong together.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.host import fake_postgres, fake_volumes
from tests.host.fake_clock import FakeClock
from tests.host.fake_compose import FakeCompose, definition
from tests.host.fake_docker import Docker, Exit, Process, Program
from tests.host.fake_engine import REFUSED, UNAVAILABLE, FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel, on_nothing
from tests.host.fake_system import FakeSystem
from tests.host.fake_valkey import shell
from tests.host.points import Points
from tests.host.test_containers import one_by_one
from tests.host.test_up import DeadProcesses
from webui_stack.host import compose
from webui_stack.host.assembly import Assembly, Stack
from webui_stack.host.containers import Containers
from webui_stack.host.data import cluster, folders, valkey, volumes
from webui_stack.host.data.helper import NAME as HELPER
from webui_stack.host.data.postgres import ALONE
from webui_stack.host.errors import HostError
from webui_stack.host.protocol import Event
from webui_stack.host.releases import Release
from webui_stack.host.run_log import RunLog
from webui_stack.host.verbs import backup, recover, rollback, up, upgrade

FOLDER, SETS = "/opt/stack", "/var/backups/open-webui"
FIRST = "20261129T030000Z"
# Of a day to come, as after a clock that was wrong.
LATER_SET = "20991231T000000Z"
DATA = volumes.OPEN_WEBUI
STACK = Stack(
    folder=FOLDER,
    database="sqlite",
    open_webui_volume="open-webui",
    valkey_volume="redis-data",
    postgres_volume=fake_postgres.VOLUME,
    postgres_image=fake_postgres.IMAGE,
    wait_s=120,
    releases_kept=10,
    backup_dir=SETS,
    left_out=["cache"],
)
# An image of Open WebUI -> the schema that it makes of the data.
SCHEMAS = {
    "webui:1": 1,
    "webui:same": 1,
    "webui:2": 2,
    "webui:3": 3,
    "webui:ill": 2,
    "webui:late": 2,
    "webui:broken": 2,
}
USERS = "user app on #aa ~* +@all\nuser default on nopass\n"
MARKS = (".upgrading", ".restoring", ".migrating", "journal.json")


class Folder(fake_volumes.Folder):
    """A volume's folder; a copy has its own."""

    def __deepcopy__(self, _: object) -> Folder:
        made = Folder.__new__(Folder)
        made.path = Path(tempfile.mkdtemp(dir=self.path.parent)) / "data"
        shutil.copytree(self.path, made.path)
        return made


class World:
    """A host on which a stack in version 1 serves, with `processes` of Open WebUI; `kind` is where its rows are."""

    def __init__(self, root: Path, kind: Any = "sqlite", processes: int = 1) -> None:
        self.of = replace(STACK, database=kind)
        self.processes = ["open-webui", *(f"open-webui-{number}" for number in range(2, processes + 1))]
        self.kernel = FakeKernel()
        self.files, self.docker, self.clock = FakeFiles(self.kernel), Docker(), FakeClock()
        self.docker.folder = self._mounted
        self.system = FakeSystem(root / "host")
        self.points = Points(self.kernel)
        self.engine = FakeEngine(self.docker, faults=self.points)
        self.project = FakeCompose(self.docker, self.kernel, self.points, FOLDER)
        self.said: list[str] = []
        self.harm: list[str] = []
        self.meanwhile = False  # people have written while a new version was healthy
        self.unsound = b""
        self._names = itertools.count()
        for name in SCHEMAS:
            programs: dict[str, Callable[[Process], bytes]] = {
                "python3": functools.partial(self._python3, name),
                "tar": fake_volumes.tar,
                "sh": fake_volumes.shell,
            }
            main, health = functools.partial(self._open_webui, name), functools.partial(_health, name)
            self.docker.put_image(name, Program(main, commands=programs, health=health))
        for form in (8, 9):
            program = Program(
                functools.partial(self._valkey, form),
                commands={"sh": functools.partial(_read, form)},
                health=lambda _: "healthy",
            )
            self.docker.put_image(f"valkey:{form}", program)
        self.server = fake_postgres.Server(self.docker)
        self.docker.put_image(fake_postgres.IMAGE, self.server.program())
        self._put_data(root / "volumes")
        for folder in ("secrets", "valkey", "proxy"):
            self.files.make_folder(f"{FOLDER}/{folder}", mode=0o755)
        self.files.write(f"{FOLDER}/secrets/webui-secret-key", "sesame\n")
        self.files.write(f"{FOLDER}/secrets/postgres-password", "sesame\n")
        self._put_set(LATER_SET, "s1:long ago")
        self.put("webui:1")
        up.of(self.made(), self.deploy("webui:1")).up(self.deploy("webui:1"))
        self.clock.sleep(60)

    def _put_data(self, root: Path) -> None:
        files = {"webui.db": b"s1:before", "uploads/before": b"x", "cache/model": b"big"}
        for name, content in (("open-webui", files), ("redis-data", {"dump.rdb": b"8:keys"})):
            self.docker.ensure_volume(name, {})
            self.docker.contents[name] = Folder(root / name)
            self.docker.contents[name].update(content)
        if self.of.database == "postgres":
            del self.docker.contents["open-webui"]["webui.db"]
            self.docker.ensure_volume(fake_postgres.VOLUME, {})
            state = {"databases": {"open-webui": "s1:before"}, "owners": {"open-webui": "open-webui"}}
            more = {"superusers": ["postgres"], "roles": ["open-webui", "postgres"], "password": ""}
            files = {"PG_VERSION": b"17\n", "state": json.dumps({**state, **more}).encode()}
            self.docker.contents[fake_postgres.VOLUME].update(files)

    # --- What operators and people do

    def put(self, image: str, valkey_image: str = "valkey:8") -> None:
        """The files of a version, as the operator's side puts them."""
        parts = [("redis", valkey_image, "redis-valkey", "redis-data:/data")]
        if self.of.database == "postgres":
            parts += [
                ("postgres", fake_postgres.IMAGE, "open-webui-postgres", f"{fake_postgres.VOLUME}:{cluster.DATA}")
            ]
        parts += [(name, image, name, f"open-webui:{DATA}") for name in self.processes]
        text = "".join(
            definition((name, one, container), more=f"    volumes:\n      - {bind}\n").partition("\n")[2]
            for name, one, container, bind in parts
        )
        contents = {
            "compose.yaml": f"services:\n{text}",
            ".env": f"IMAGE='{image}'\nVALKEY_ACL_SHA256='x'\n",
            "valkey/valkey.conf": f"# {image}\n",
            "valkey/users.acl": USERS,
            "valkey/start.sh": f"# {image}\n",
        }
        for name, content in contents.items():
            self.files.write(f"{FOLDER}/{name}", content)

    def deploy(self, image: str, valkey_image: str = "valkey:8", **more: Any) -> up.Request:
        names = [*self.processes, *(["open-webui-postgres"] if self.of.database == "postgres" else [])]
        named = ["open-webui", "redis-data", *([fake_postgres.VOLUME] if self.of.database == "postgres" else [])]
        containers = ["redis-valkey", *names]
        return up.Request(image=image, valkey_image=valkey_image, containers=containers, volumes=named, **more)

    def upgrade(self, image: str = "webui:2", valkey_image: str = "valkey:8") -> str:
        """The files of a version are put, and the verb is asked."""
        self.put(image, valkey_image)
        return self.upgrade_to(image, valkey_image)

    def upgrade_to(self, image: str = "webui:2", valkey_image: str = "valkey:8") -> str:
        asked = upgrade.Request(asdict(self.deploy(image, valkey_image)), {"stack_dir": FOLDER})
        return upgrade.Upgrade(self.made(), asked, self.save).upgrade()

    def roll_back(self, to: str = "previous", *, may_replace: bool = True) -> None:
        asked = rollback.Request(to, {"stack_dir": FOLDER}, may_replace, ["redis-valkey", *self.processes])
        with self.saving():
            rollback.Rollback(self.made(), asked, self.save).run(DeadProcesses())

    def recover(self) -> None:
        with self.saving():
            recover.end_stack(self.made(), DeadProcesses())

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Recovery makes its sets here."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backup, "within", lambda _, __: self.save())
            yield

    def write(self, row: str) -> None:
        """Somebody writes while the stack serves."""
        schema, rows = self.database()
        self._set_database(f"{schema}:{','.join([*rows, row])}")
        self.docker.contents["open-webui"][f"uploads/{row}"] = b"x"

    def boot(self) -> None:
        self.docker.power_cut()

    # --- What is found

    def made(self) -> Assembly:
        log = RunLog(self.files, f"{FOLDER}/up.log", self._say)
        made = Assembly(
            self.of,
            log,
            table=recover.TABLE,
            system=self.system,
            files=self.files,
            clock=self.clock,
            engine=self.engine,
            project=self.project,
        )
        made.__dict__["containers"] = Containers(self.engine, self.clock, each=one_by_one)
        return made

    def _say(self, event: Event) -> None:
        self.said.append(event.text)

    def database(self) -> tuple[str, list[str]]:
        """The schema and the rows of the database that serves."""
        if self.of.database == "postgres":
            text = self.server.databases["open-webui"]
        else:
            text = self.docker.contents["open-webui"]["webui.db"].decode()
        schema, _, rows = text.partition(":")
        return schema, rows.split(",")

    @property
    def rows(self) -> list[str]:
        """People's rows, each with its file."""
        rows = self.database()[1]
        there = self.docker.contents["open-webui"]
        uploads = sorted(name.partition("/")[2] for name in there if name.startswith("uploads/"))
        assert uploads == sorted(rows), "rows and files belong together"
        assert "cache/model" in there, "what no set has stays"
        return rows

    def saved(self) -> list[str]:
        """The rows of all sets."""
        found = []
        for name in self.files.listdir(SETS) or []:
            manifest = self.files.read_text(f"{SETS}/{name}/manifest.json")
            found += manifest.split(",") if manifest else []
        return found

    def sets(self) -> list[str]:
        return [name for name in self.files.listdir(SETS) or [] if name != LATER_SET]

    def serving(self) -> dict[str, str]:
        """The image of each container that runs."""
        running = [one for one in self.docker.held.values() if one.runs and one.name not in (HELPER, ALONE)]
        return {
            one.name: self.docker.images[one.image_id].tags[-1].removeprefix("docker.io/library/") for one in running
        }

    def serves(self, image: str, valkey_image: str = "valkey:8") -> dict[str, str]:
        """What runs in a version."""
        more = {"open-webui-postgres": fake_postgres.IMAGE} if self.of.database == "postgres" else {}
        return {"redis-valkey": valkey_image, **dict.fromkeys(self.processes, image), **more}

    def left(self) -> list[str]:
        """What only a verb that is under way has in the folder."""
        return [name for name in self.files.listdir(FOLDER) or [] if name in MARKS]

    @property
    def release(self) -> Release:
        return self.made().releases.in_force

    # --- Sets

    def save(self) -> str:
        """One more set. Its name is lower than that of the one before, as where the clock is set back."""
        errors: dict[str, Callable[[], Exception]] = {UNAVAILABLE: _unsaved, REFUSED: _unsaved}
        with self.points.call("docker: save", changes=True, errors=errors, lost=UNAVAILABLE):
            if not any(one.runs for one in self.docker.held.values() if one.name == "redis-valkey"):
                raise _unsaved()
            entry = self.made().journal.open()
            if entry and entry.step != rollback.FILL:
                names = set(self.serving()) & set(self.processes)
                self._check(not names, f"{names} may write while a set is made")
            schema, rows = self.database()
            name = f"20991230T{235959 - next(self._names)}Z"
            self._put_set(name, f"{schema}:{','.join(rows)}")
            return name

    def _put_set(self, name: str, database: str) -> None:
        on_point, self.kernel.on_point = self.kernel.on_point, on_nothing  # by another program
        rows = database.partition(":")[2]
        files = {f"uploads/{row}": "x" for row in rows.split(",")}
        if self.of.database == "sqlite":
            files["webui.db"] = database
        self.files.make_folder(f"{SETS}/{name}")
        parts = {
            "open-webui.tar": json.dumps(files).encode(),
            "postgres.dump": fake_postgres.dump(database),
            "valkey.rdb": self.docker.contents["redis-data"].get("dump.rdb", b"8:keys"),
            "manifest.json": rows.encode(),
        }
        for part, content in parts.items():
            self.files.write(f"{SETS}/{name}/{part}", content)
        self.kernel.on_point = on_point

    def _mounted(self, source: str) -> dict[str, bytes]:
        return {name: self.files.read(f"{source}/{name}") or b"" for name in self.files.listdir(source) or []}

    # --- What the images do

    def _open_webui(self, image: str, process: Process) -> None:
        """The first process migrates; people write to one that gets healthy."""
        mine, version = process.container, SCHEMAS[image]
        for other in self.docker.held.values():
            if other is not mine and other.runs and other.name in self.processes:
                self._check(other.image_id == mine.image_id, f"{mine.name} of {image} starts beside {other.name}")
        there = process.files(DATA)
        kept = [name for name in there if name.startswith((folders.OLD, folders.PART))]
        self._check(not any(name.startswith(folders.PART) for name in kept), f"{image} starts on half swapped data")
        try:
            schema, rows = self.database()
        except KeyError:
            self.harm.append(f"{image} starts without a database")
            return
        self._check(int(schema[1:]) <= version, f"{image} starts on the schema {schema}")
        if mine.name != "open-webui":
            return
        self._set_database(f"s{version}:{','.join(rows)}")
        if image == "webui:broken":
            self._set_database(f"s1:half migrated,{','.join(rows)}")
            raise Exit(1, b"half-way there\n")
        if version > 1 and image != "webui:ill" and "since" not in rows:
            self.write("since")
            self.meanwhile = True

    def _valkey(self, form: int, process: Process) -> None:
        there = process.files("/data")
        found, _, keys = there["dump.rdb"].partition(b":")
        self._check(int(found) <= form, f"Valkey {form} starts on data of {found.decode()}")
        there["dump.rdb"] = b"%d:%s" % (form, keys)

    def _python3(self, image: str, process: Process) -> bytes:
        if process.stdin == fake_volumes.FOLDERS:
            if process.command[2] in ("swap", "undo"):
                writes = set(self.serving()) & {*self.processes, "redis-valkey"}
                self._check(not writes, f"{writes} may write while data are exchanged")
            return fake_volumes.python3(process)
        action, *arguments = process.command[2:]
        if action == "check":
            return self.unsound
        if action != "schema":
            raise Exit(1, b"SyntaxError: unexpected EOF while parsing\n")  # half of folders.py
        heads = arguments[0].removeprefix("head of ") if arguments else process.files(DATA)["webui.db"].decode()
        there, wanted = heads.partition(":")[0], f"s{SCHEMAS[image]}"
        word = "same" if there == wanted else "older" if there < wanted else "newer"
        return f"{word} {there} {wanted}\n".encode()

    def _set_database(self, text: str) -> None:
        if self.of.database == "postgres":
            state = self.server.state()
            state["databases"]["open-webui"] = text
            self.server.put(state)
        else:
            self.docker.contents["open-webui"]["webui.db"] = text.encode()

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            self.harm.append(what)


def _health(image: str, process: Process) -> str:
    healthy = image not in ("webui:ill", "webui:broken") and (
        image != "webui:late" or process.container.name == "open-webui"
    )
    return "healthy" if healthy else "unhealthy"


def _read(form: int, process: Process) -> bytes:
    """Valkey's own tools in its volume."""
    if process.command[-1].endswith(valkey.READ):
        found = process.files("/data")["dump.rdb"].partition(b":")[0]
        return b"read\n" if int(found) <= form else b"Can't handle RDB format version %s\nrefused\n" % found
    return shell(process)


def _unsaved() -> HostError:
    return HostError("room", expected="5 MB free", got="1 MB", do="free some")


def ends_well(world: World, where: str, served: list[dict[str, str]]) -> None:
    """Recovery ends what was cut off, nothing of people's is lost meanwhile, and the next upgrade works."""
    world.recover()
    is_whole(world, where)
    assert world.serving() in served, where
    valkey_image = world.serving()["redis-valkey"]
    world.upgrade("webui:3", valkey_image)
    is_whole(world, where)
    assert world.serving() == world.serves("webui:3", valkey_image), where


def is_whole(world: World, where: str) -> None:
    """Nothing is under way, and people have all they had."""
    assert world.harm == [], where
    assert (world.left(), world.made().journal.open()) == ([], None), where
    schema, rows = world.database()
    assert "before" in world.rows, where
    assert "half migrated" not in rows, where
    assert not world.meanwhile or "since" in rows or "since" in world.saved(), where
    assert f"s{SCHEMAS[world.serving()['open-webui']]}" == schema, where
    world.release.check()
    assert world.release.image_of("open-webui") == world.docker.named("open-webui").image_id, where
    assert world.files.read_text(f"{FOLDER}/secrets/webui-secret-key") == "sesame\n", where
    assert not [name for name in world.docker.contents["open-webui"] if name.startswith(".restore")], where
    if world.of.database == "postgres":
        assert list(world.server.databases) == ["open-webui"], where
        assert world.server.double == 0, where


def no_programs(patch: pytest.MonkeyPatch) -> None:
    """Nothing of the real host is asked, and nobody cuts its power."""
    patch.setattr(compose, "programs", lambda: "p  -")
    for name in ("fsync", "sync"):
        patch.setattr(os, name, lambda *_: None)
