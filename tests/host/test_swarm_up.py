"""A deploy to a swarm: whatever fails, and wherever it is cut off, one version serves, and nobody's data are lost."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.host import fake_swarm
from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Exit, Process, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.fake_postgres import IMAGE, VOLUME, Server
from tests.host.fake_stack import FakeStackSystem
from tests.host.fake_swarm import FakeSwarm
from tests.host.points import Points, every_crash, every_failure, is_change, outside
from webui_stack.host import dockerd, journal
from webui_stack.host.assembly import Assembly, Stack
from webui_stack.host.data.helper import NAME as HELPER
from webui_stack.host.engine import Task
from webui_stack.host.errors import HostError
from webui_stack.host.holder import Holder, Processes, State
from webui_stack.host.kernel import LINUX
from webui_stack.host.locks import Held
from webui_stack.host.protocol import Event
from webui_stack.host.run_log import RunLog
from webui_stack.host.verbs import swarm
from webui_stack.host.verbs.swarm import Request, Swarm

FOLDER, STACK, WEB = "/opt/stack", "open-webui", "open-webui_open-webui"
NETWORK, LABEL = "openwebui-network", "open-webui.web"
SECRETS = {"secrets/webui-secret-key": "sesame\n", "secrets/postgres-password": "gloria\n"}
NAMES = {
    "redis": "redis-valkey",
    "postgres": "open-webui-postgres",
    "open-webui": "open-webui",
    "proxy": "open-webui-proxy",
}
VARIABLES = {
    "redis": "VALKEY_IMAGE",
    "postgres": "POSTGRES_IMAGE",
    "open-webui": "OPEN_WEBUI_IMAGE",
    "proxy": "PROXY_IMAGE",
}
OF_STACK = Stack(
    folder=FOLDER,
    database="postgres",
    open_webui_volume="open-webui",
    valkey_volume="redis-data",
    postgres_volume=VOLUME,
    postgres_image=IMAGE,
    wait_s=3,
    releases_kept=10,
)
ASKED = Request(
    swarm=STACK,
    images={
        service: {"variable": VARIABLES[service], "reference": reference, "container": NAMES[service]}
        for service, reference in {
            "redis": "valkey:8",
            "postgres": IMAGE,
            "open-webui": "webui:1",
            "proxy": "caddy:2",
        }.items()
    },
    secrets={"open-webui-env": "OPEN_WEBUI_ENV_SHA256", "postgres-password": "POSTGRES_PASSWORD_SHA256"},
    variables=["WEBUI_SECRET_KEY"],
    configs={"caddyfile": "proxy/Caddyfile"},
    volumes=["redis-data", VOLUME],
    web_label=LABEL,
    network=NETWORK,
    replicas=2,
    environment={"ENABLE_DB_MIGRATIONS": "true"},
    shared_dir="/srv/people",
)
DEFINITION = """\
services:
  redis:
    image: "${VALKEY_IMAGE:?run deploy.py}"
    labels:
      open-webui-stack.users-acl: "${VALKEY_ACL_SHA256:?run deploy.py}"
    volumes: [redis-data:/data]
    deploy: {}
  postgres:
    image: "${POSTGRES_IMAGE:?run deploy.py}"
    environment: {POSTGRES_PASSWORD: first}
    secrets: [postgres-password]
    volumes: [postgres-data:/var/lib/postgresql/data]
    deploy: {}
  open-webui:
    image: "${OPEN_WEBUI_IMAGE:?run deploy.py}"
    environment: {SETTING: "NUMBER"}
    secrets: [open-webui-env]
    deploy:
      replicas: ${OPEN_WEBUI_REPLICAS:?run deploy.py} # fewer while it is deployed
      labels:
        open-webui-stack.replicas: "2"
      update_config:
        order: ${OPEN_WEBUI_ORDER:?run deploy.py}
  proxy:
    image: "${PROXY_IMAGE:?run deploy.py}"
    configs: [caddyfile]
    deploy: {}

secrets:
  open-webui-env:
    name: "open-webui-open-webui-env-${OPEN_WEBUI_ENV_SHA256:?run deploy.py}"
  postgres-password:
    name: "open-webui-postgres-password-${POSTGRES_PASSWORD_SHA256:?run deploy.py}"

configs:
  caddyfile:
    name: open-webui-caddyfile-CADDYFILE
"""


class DeadProcesses(Processes):
    def state(self, _: Holder) -> State:
        return "dead"


def healthy(_: Process) -> str:
    return "healthy"


def ill(_: Process) -> None:
    raise Exit(1, b"Invalid value for '--limit-concurrency'\n")


class WebUI:
    """An Open WebUI whose migrations are those of `schema`. Its database is the one in Postgres's volume."""

    def __init__(self, server: Server, schema: str) -> None:
        self._server, self._schema = server, schema
        self.broken = False  # its migration

    def program(self, main: Callable[[Process], None] | None = None) -> Program:
        commands = {"python3": self._dataset, "sh": self._migrate}
        return Program(commands=commands, health=healthy, **({"main": main} if main else {}))

    def _dataset(self, process: Process) -> bytes:
        assert process.command[1:3] == ("-", "schema")
        there = process.command[3].removeprefix("head of ").partition("+")[0]
        word = "same" if there == self._schema else "older" if there < self._schema else "newer"
        return f"{word} {there} {self._schema}\n".encode()

    def _migrate(self, process: Process) -> bytes:
        assert process.container.name == HELPER
        assert process.container.networks == (NETWORK,)
        if self.broken:
            raise Exit(1, b"alembic: no such column\n")
        state = self._server.state()
        _, plus, rows = state["databases"]["open-webui"].partition("+")
        state["databases"]["open-webui"] = f"{self._schema}{plus}{rows}"
        self._server.put(state)
        return b"migrated\n"


class World:
    """Two hosts in a swarm, of which this one has the data; `deploy` puts the files of a version and deploys them."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.files = FakeFiles(self.kernel)
        self.docker = Docker()
        self.clock = FakeClock()
        self.said: list[str] = []
        self.sets: list[str] = []  # the rows in each
        self.no_room = False  # for sets
        self.database: Any = "postgres"
        points = Points(self.kernel)
        self.points = points
        self.server = Server(self.docker)
        self.docker.put_image("valkey:8", Program(health=healthy))
        self.docker.put_image("caddy:2", Program(health=healthy))
        env = {"PGDATA": "/var/lib/postgresql/data", "PG_MAJOR": "17"}
        self.docker.put_image(IMAGE, replace(self.server.program(), health=healthy), env=env)
        self.webui = {name: WebUI(self.server, schema) for name, schema in VERSIONS.items()}
        for name, one in self.webui.items():
            self.docker.put_image(f"webui:{name}", one.program(ill if "ill" in name else None))
        self.swarm = FakeSwarm(self.docker)
        self.swarm.put_node("node1", labels={LABEL: "true"})
        self.swarm.put_node("node2", role="worker", labels={LABEL: "true"})
        self.engine = FakeEngine(self.docker, self.swarm, points)
        self.engine.create_network(NETWORK)
        self.system = FakeStackSystem(self.swarm, self.kernel, points)
        for name in ("secrets", "valkey", "proxy"):
            self.files.make_folder(f"{FOLDER}/{name}", mode=0o755)
        self.put("1")

    # --- What is done to it

    def put(self, setting: str, *, replicas: int = 2) -> None:
        """The files of a deploy with a setting of this value."""
        caddyfile = f"# {setting}\n"
        sha256 = hashlib.sha256(caddyfile.encode()).hexdigest()[:12]
        text = DEFINITION.replace("NUMBER", setting).replace("CADDYFILE", sha256).replace('"2"', f'"{replicas}"')
        files = {**SECRETS, "stack.yaml": text, "valkey/valkey.conf": f"# {setting}\n", "proxy/Caddyfile": caddyfile}
        files[".env"] = "WEBUI_SECRET_KEY='sesame'\nVALKEY_ACL_SHA256='abc'\nOTHER='x'\n"
        for path, content in files.items():
            self.files.write(f"{FOLDER}/{path}", content)

    def made(self, asked: Request = ASKED) -> Swarm:
        stack = replace(OF_STACK, database=self.database)
        log = RunLog(self.files, f"{FOLDER}/up.log", self.say)
        assembly = Assembly(
            stack,
            log,
            table=swarm.TABLE,
            system=self.system,
            files=self.files,
            clock=self.clock,
            engine=self.engine,
        )
        return swarm.of(assembly, asked, save=self.save)

    def up(self, version: str = "1", **changes: Any) -> str:
        return self.made(wants(version, **changes)).up()

    def deploy(self, version: str, setting: str = "", **changes: Any) -> str:
        self.put(setting or version)
        return self.up(version, **changes)

    def recover(self) -> None:
        """By the journal alone."""
        notes = self.journal
        entry = notes.open()
        if entry:
            verb = self.made(swarm._request(entry)) if entry.data.get("request") else self.made()
            journal.recover(notes, dict.fromkeys(swarm.TABLE, verb), ME, DeadProcesses())

    def save(self) -> str:
        with self.points.call("set: made", changes=True, errors=_FULL, lost="refused"):
            if self.no_room:
                raise HostError("backups", expected="room", got="none", do="make some")
            self.sets.append(self.rows)
            return "a set"

    def say(self, event: Event) -> None:
        self.said.append(event.text)

    def boot(self) -> None:
        self.docker.power_cut()
        self.swarm.start_again()

    def write(self, word: str) -> None:
        """People write, as far as somebody serves them."""
        if self.serving():
            self.add(word)

    def add(self, word: str) -> None:
        state = self.server.state()
        state["databases"]["open-webui"] += f"+{word}"
        self.server.put(state)

    # --- What is seen of it

    @property
    def journal(self) -> journal.Journal:
        return journal.Journal(self.files, FOLDER, swarm.TABLE, self.clock)

    @property
    def rows(self) -> str:
        began = "state" in self.docker.contents.get(VOLUME, {})
        return self.server.databases["open-webui"] if began else ""

    @property
    def mixed(self) -> list[str]:
        return self.system.mixed

    def tasks(self, service: str = WEB) -> list[Task]:
        found = self.swarm.services.get(service)
        mine = [self.swarm.seen(one) for one in self.swarm.tasks if found and one.service_id == found.id]
        return [one for one in mine if (one.state, one.desired) == ("running", "running")]

    def serving(self) -> list[str]:
        """The versions of the replicas that run, each with the setting it has."""
        found = []
        for task in self.tasks():
            definition = task.spec["ContainerSpec"]
            setting = definition["Env"][0].partition("=")[2]
            found.append(f"{self.system.tag(definition['Image'])} {setting}")
        return found

    def words(self) -> set[str]:
        """All that people have written, where it can be found again."""
        began = "state" in self.docker.contents.get(VOLUME, {})
        databases = list(self.server.databases.values()) if began else []
        return {word for rows in [*databases, *self.sets] for word in rows.split("+")[1:]}

    def left(self) -> list[str]:
        known = {".good", ".env", "stack.yaml", "secrets", "valkey", "proxy", "up.log", "migration.log"}
        return [name for name in self.files.listdir(FOLDER) or [] if name not in known and not name.endswith(".new")]

    def good(self, name: str) -> str:
        return self.files.read_text(f"{FOLDER}/.good/{name}") or ""


VERSIONS = {"1": "v1", "1b": "v1", "1ill": "v1", "2": "v2", "2ill": "v2"}
ME = Holder("recover", 4712, "4026531836", 99, "boot-1")
_FULL: Mapping[str, Callable[[], Exception]] = {
    kind: lambda: HostError("backups", expected="room", got="none", do="make some")
    for kind in ("unavailable", "refused")
}


def wants(version: str, **changes: Any) -> Request:
    image = {**ASKED.images["open-webui"], "reference": f"webui:{version}"}
    return replace(ASKED, images={**ASKED.images, "open-webui": image}, **changes)


def runs(version: str, setting: str = "") -> list[str]:
    return [f"webui:{version} {setting or version}"] * 2


def fresh() -> World:
    return World()


def deployed() -> World:
    """The first version is in force, and people have written to it."""
    world = World()
    world.deploy("1")
    world.add("hello")
    world.clock.sleep(60)
    world.said.clear()
    world.system.deploys.clear()
    return world


# --- What it does


def test_a_first_deploy_migrates_then_one_replica_starts_then_all() -> None:
    world = fresh()
    name = world.up()
    assert world.serving() == runs("1")
    assert world.system.deploys == [
        "webui:1 0 stop-first",
        "webui:1 0 stop-first",
        "webui:1 1 stop-first",
        "webui:1 2 stop-first",
    ]
    assert world.server.databases == {"open-webui": "v1"}
    assert world.server.state()["password"] == "gloria"
    assert (world.good("at").strip(), world.journal.open(), world.left()) == (name, None, [])
    assert world.said[-1] == "migrating the database"
    assert world.files.read_text(f"{FOLDER}/migration.log") == "migrated\n"


def test_the_release_is_what_the_survey_and_earlier_versions_read() -> None:
    world = deployed()
    images = {line.split()[1]: line.split()[2] for line in world.good("images").splitlines()}
    assert images == {
        "valkey:8": "/redis-valkey",
        IMAGE: "/open-webui-postgres",
        "webui:1": "/open-webui",
        "caddy:2": "/open-webui-proxy",
    }
    known = dict(line.split() for line in world.good("known").splitlines())
    inputs = (world.good("stack.yaml") + world.good(".env")).encode()
    assert known["inputs"] == hashlib.sha256(inputs).hexdigest()
    assert list(known)[1:] == [f"open-webui_{name}" for name in NAMES]
    sums = [line.split("  ")[1] for line in world.good("sums").splitlines()]
    assert {"stack.yaml", ".env", "images", "proxy/Caddyfile", "secrets/webui-secret-key"} <= set(sums)


def test_a_secret_reaches_docker_by_its_api_and_its_name_has_a_hash_only() -> None:
    world = deployed()
    line = b"WEBUI_SECRET_KEY='sesame'\n"
    name = f"open-webui-open-webui-env-{hashlib.sha256(line).hexdigest()[:12]}"
    assert world.swarm.contents[world.swarm.secrets[name].id] == line
    assert "sesame" not in str(world.system.environment)
    assert set(world.system.environment) == {
        *("PATH", "HOME", "VALKEY_ACL_SHA256", "OPEN_WEBUI_ENV_SHA256", "POSTGRES_PASSWORD_SHA256"),
        *(*VARIABLES.values(), "OPEN_WEBUI_REPLICAS", "OPEN_WEBUI_ORDER"),
    }


def test_another_setting_reaches_the_replicas_and_nothing_else_is_stopped() -> None:
    world = deployed()
    data = ("open-webui_redis", "open-webui_postgres")
    before = [world.tasks(name) for name in data]
    world.deploy("1", "other")
    assert world.serving() == runs("1", "other")
    assert [world.tasks(name) for name in data] == before
    assert (world.system.deploys, world.rows) == (["webui:1 2 stop-first"], "v1+hello")
    assert len(world.swarm.configs) == 1, "the one that nobody uses any more is removed"


def test_secrets_and_files_that_nobody_uses_any_more_are_removed() -> None:
    world = deployed()
    world.engine.create_secret("open-webui-old", b"x", labels={"open-webui-stack": "made"})
    world.engine.create_config("open-webui-old", b"x", labels={"open-webui-stack": "made"})
    world.engine.create_secret("somebodys", b"x")
    world.deploy("1", "other")
    assert "open-webui-old" not in [*world.swarm.secrets, *world.swarm.configs]
    assert "somebodys" in world.swarm.secrets


def test_where_hosts_have_room_the_new_replica_starts_first() -> None:
    world = deployed()
    world.swarm.put_node("node3", role="worker", labels={LABEL: "true"})
    world.deploy("1", "other")
    assert world.system.deploys == ["webui:1 2 start-first"]


def test_another_version_on_the_same_schema_starts_once_none_of_before_runs() -> None:
    world = deployed()
    world.deploy("1b")
    assert (world.serving(), world.mixed, world.rows) == (runs("1b"), [], "v1+hello")
    assert world.system.deploys == ["webui:1b 0 stop-first", "webui:1b 2 stop-first"]


def test_an_upgrade_stops_all_makes_a_set_and_migrates() -> None:
    world = deployed()
    world.deploy("2", upgrades=True)
    assert (world.serving(), world.mixed) == (runs("2"), [])
    assert (world.sets, world.server.databases) == (["v1+hello"], {"open-webui": "v2+hello"})
    assert world.said == ["copying the database for the way back", "migrating the database"]
    assert (world.journal.open(), world.left(), world.good("upgrade")) == (None, [], "20261129T030100Z\n")
    assert "webui:2" in world.good("images")


def test_a_deploy_without_leave_to_upgrade_is_refused_and_what_ran_runs_on() -> None:
    world = deployed()
    with pytest.raises(HostError, match=r"got one that changes it \(v1 to v2\); that one runs") as caught:
        world.deploy("2")
    assert caught.value.where == "open_webui_image"
    assert (world.serving(), world.rows, world.sets, world.left()) == (runs("1"), "v1+hello", [], [])
    assert world.files.read_text(f"{FOLDER}/valkey/valkey.conf") == "# 1\n"


def test_an_older_version_is_refused() -> None:
    world = deployed()
    world.deploy("2", upgrades=True)
    with pytest.raises(
        HostError, match=r"expected an Open WebUI that knows the data's schema, got an older one \(v2 to v1\)"
    ):
        world.deploy("1", upgrades=True)
    assert (world.serving(), world.rows) == (runs("2"), "v2+hello")


def test_what_is_not_healthy_is_told_and_taken_back() -> None:
    world = deployed()
    with pytest.raises(HostError, match="that one runs; the change is not in force"):
        world.deploy("1ill")
    assert (world.serving(), world.mixed, world.left(), world.journal.open()) == (runs("1"), [], [], None)
    told = "open-webui_open-webui: 0 of 2 run, update paused due to failure of a task"
    assert world.said[:3] == ["taken back:", told, "  node1: failed, task: non-zero exit"]
    assert any("Invalid value for '--limit-concurrency'" in line for line in world.said)
    assert "going back to the deploy of 2026-11-29 03:00:00 UTC" in world.said


def test_a_failing_upgrade_goes_back_with_a_set_of_what_was_written() -> None:
    world = deployed()
    with pytest.raises(HostError, match="that one runs; the change is not in force"):
        world.deploy("2ill", upgrades=True)
    assert (world.serving(), world.server.databases) == (runs("1"), {"open-webui": "v1+hello"})
    assert world.sets == ["v1+hello", "v2+hello"]
    assert "with its data, of 20261129T030100Z" in world.said
    assert (world.journal.open(), world.left(), world.mixed) == (None, [], [])


def test_a_migration_that_fails_tells_its_last_lines_and_the_data_come_back() -> None:
    world = deployed()
    world.webui["2"].broken = True
    with pytest.raises(HostError, match="open_webui_image: expected it to make its tables"):
        world.deploy("2", upgrades=True)
    assert "  | alembic: no such column" in world.said
    assert (world.serving(), world.rows) == (runs("1"), "v1+hello")


def test_nothing_is_upgraded_where_no_set_can_be_made() -> None:
    world = deployed()
    world.no_room = True
    with pytest.raises(HostError, match="backups: expected room, got none; that one runs"):
        world.deploy("2", upgrades=True)
    assert "no set could be made, so nothing was upgraded" in world.said
    assert (world.serving(), world.server.databases) == (runs("1"), {"open-webui": "v1+hello"})


def test_what_can_not_be_in_a_set_stays_in_postgres() -> None:
    world = deployed()
    killed(world, "migrate")
    world.no_room = True
    world.recover()
    assert world.serving() == runs("1")
    assert set(world.server.databases.values()) == {"v1+hello", "v2+hello"}
    (line,) = [one for one in world.said if "it stays in Postgres, as the database" in one]
    assert line.rpartition(" ")[2] in world.server.databases


def test_a_first_deploy_that_fails_has_nothing_to_go_back_to() -> None:
    world = fresh()
    with pytest.raises(HostError, match="there is no earlier good deploy to go back to"):
        world.deploy("1ill")
    assert (world.journal.open(), world.left()) == (None, [])
    world.deploy("1")
    assert world.serving() == runs("1")


def test_replicas_that_are_crowded_get_new_tasks() -> None:
    world = deployed()
    before = {task.id for task in world.tasks()}
    world.up(again=["open-webui"])
    assert world.serving() == runs("1")
    assert not before & {task.id for task in world.tasks()}


def test_data_that_do_not_run_are_started_before_anybody_looks_into_them() -> None:
    world = deployed()
    world.swarm.drop_service("open-webui_postgres")
    world.up()
    assert (world.serving(), world.rows) == (runs("1"), "v1+hello")
    assert world.system.deploys[0] == "webui:1 0 stop-first"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (
            {"PGDATA": "/var/lib/postgresql/18/docker", "PG_MAJOR": "18"},
            "got /var/lib/postgresql/18/docker in pgvector:pg18",
        ),
        (
            {"PGDATA": "/var/lib/postgresql/data", "PG_MAJOR": "16"},
            "expected PostgreSQL 17, which the data there are from",
        ),
    ],
    ids=["18", "another major"],
)
def test_a_postgres_that_is_none_for_the_data_is_refused_before_anything_stops(env: dict[str, str], words: str) -> None:
    world = deployed()
    world.docker.put_image("pgvector:pg18", replace(world.server.program(), health=healthy), env=env)
    tasks = world.tasks()
    other = {**ASKED.images["postgres"], "reference": "pgvector:pg18"}
    asked = replace(ASKED, images={**ASKED.images, "postgres": other})
    made = world.made(asked)
    assert made._postgres
    made._postgres._cluster.image = "pgvector:pg18"
    with pytest.raises(HostError, match=words):
        made.up()
    assert world.tasks() == tasks


def test_a_postgres_that_runs_already_is_not_looked_at() -> None:
    world = deployed()
    world.server.docker.images[world.docker.find_image(IMAGE).id] = replace(
        world.docker.find_image(IMAGE), env={"PG_MAJOR": "16"}
    )
    world.deploy("1", "other")
    assert world.serving() == runs("1", "other")


# --- Before a restore


def test_what_holds_the_data_starts_without_open_webui_and_nothing_is_remembered() -> None:
    world = fresh()
    assert world.up(data_only=True) == ""
    assert (world.serving(), world.system.deploys) == ([], ["webui:1 0 stop-first"])
    assert [len(world.tasks(f"open-webui_{name}")) for name in ("redis", "postgres")] == [1, 1]
    assert (world.server.databases, world.server.state()["password"]) == ({"open-webui": ""}, "gloria")
    assert (world.good("at"), world.journal.open(), world.left()) == ("", None, [])
    world.up()
    assert (world.serving(), world.rows) == (runs("1"), "v1")


def test_a_swarm_that_outlived_its_data_has_no_replica_left_when_they_are_brought() -> None:
    """Its replicas wait for a database, and would take an empty one."""
    world = deployed()
    world.files.remove_tree(f"{FOLDER}/.good")
    assert world.up(data_only=True) == ""
    assert (world.serving(), world.journal.open()) == ([], None)


# --- A database elsewhere


def elsewhere() -> World:
    world = World()
    world.database = "external"
    return world


def test_where_the_database_is_elsewhere_another_version_migrates_it() -> None:
    world = elsewhere()
    images = {name: one for name, one in ASKED.images.items() if name != "postgres"}
    text = world.files.read_text(f"{FOLDER}/stack.yaml") or ""
    begin, end = text.index("  postgres:\n"), text.index("  open-webui:\n")
    world.files.write(f"{FOLDER}/stack.yaml", text[:begin] + text[end:])
    world.docker.put_volume(VOLUME, {"state": b'{"databases": {"open-webui": "v0"}}'})
    asked = replace(ASKED, images=images, upgrades=True)
    world.made(asked).up()
    assert (world.serving(), world.rows, world.sets) == (runs("1"), "v1", [])
    world.said.clear()
    world.made(asked).up()
    assert world.said == [], "the same version migrates nothing"
    newer = {**images, "open-webui": wants("2").images["open-webui"]}
    world.made(replace(asked, images=newer)).up()
    assert (world.rows, world.mixed) == ("v2", [])


# --- Docker that gives no answer


def test_nothing_is_touched_while_the_swarm_has_no_leader() -> None:
    world = deployed()
    tasks = world.tasks()
    world.swarm.leader = False
    with pytest.raises(HostError, match=r"Docker: expected an answer within a minute, got .*leader.*does not run yet"):
        world.deploy("2", upgrades=True)
    assert (world.tasks(), world.rows, world.system.deploys) == (tasks, "v1+hello", [])
    world.swarm.leader = True
    world.recover()
    assert (world.serving(), world.rows, world.journal.open()) == (runs("1"), "v1+hello", None)


def test_a_leader_that_is_elected_meanwhile_is_waited_for() -> None:
    world = deployed()
    world.swarm.leader = False
    at_s = world.clock.monotonic() + 30

    def elected() -> None:
        world.swarm.leader = world.clock.monotonic() >= at_s

    world.clock.on_sleep = elected
    world.deploy("2", upgrades=True)
    assert (world.serving(), world.sets) == (runs("2"), ["v1+hello"])


def test_replicas_have_not_stopped_because_docker_does_not_answer() -> None:
    """L2: a migration under live writers."""
    world = deployed()

    class Silent(FakeEngine):
        def tasks(self, service: str) -> tuple[Task, ...]:
            if service == WEB and "webui:2 0 stop-first" in world.system.deploys:  # all are healthy, by their ids
                world.swarm.leader = False
            return super().tasks(service)

    world.engine = Silent(world.docker, world.swarm, world.points)
    with pytest.raises(HostError):
        world.deploy("2", upgrades=True)
    assert (world.rows, world.sets, "migrating the database" in world.said) == ("v1+hello", [], False)


def test_a_deploy_is_not_good_because_docker_lists_nothing() -> None:
    """L2: an unproved deploy becomes the good one."""
    world = deployed()
    good = world.good("at")

    class Silent(FakeEngine):
        def tasks(self, service: str) -> tuple[Task, ...]:
            if "webui:1b 2 stop-first" in world.system.deploys:
                world.swarm.leader = False
            return super().tasks(service)

    world.engine = Silent(world.docker, world.swarm, world.points)
    with pytest.raises(HostError, match="does not run yet"):
        world.deploy("1b")
    assert world.good("at") == good
    assert world.journal.open()


# --- An upgrade that was cut off


class Stopped(Exception):  # noqa: N818
    """The program was killed."""


class StopsAt(journal.Journal):
    """A journal whose program is killed before it writes this step down."""

    def __init__(self, name: str, of: journal.Journal) -> None:
        super().__init__(of._files, FOLDER, of.table, of._clock)
        self._last = name

    def step(self, name: str, data: Mapping[str, Any] | None = None) -> None:
        if name == self._last:
            raise Stopped
        super().step(name, data)


def killed(world: World, step: str, version: str = "2") -> None:
    """An upgrade was killed when this step had been taken."""
    steps = [swarm.MIGRATE, swarm.DEPLOY, swarm.REMEMBER, swarm.SETTLE]
    following = steps[steps.index(step) + 1]
    world.put(version)
    verb = world.made(wants(version, upgrades=True))
    verb._journal = StopsAt(following, verb._journal)
    with pytest.raises(Stopped):
        verb.up()
    world.said.clear()


def _stop(*_: object) -> Any:
    raise Stopped


def test_what_people_wrote_since_the_new_version_serves_stays() -> None:
    """L1, L11."""
    world = deployed()
    killed(world, "deploy")
    world.write("since")
    world.recover()
    assert (world.serving(), world.server.databases) == (runs("2"), {"open-webui": "v2+hello+since"})
    assert world.said[-1] == "an upgrade was cut off after it had migrated the data; the new version runs"
    assert (world.journal.open(), world.left()) == (None, [])
    assert "webui:2" in world.good("images")


def test_where_the_new_version_does_not_serve_the_old_one_comes_back() -> None:
    world = deployed()
    killed(world, "migrate")
    world.recover()
    assert (world.serving(), world.server.databases) == (runs("1"), {"open-webui": "v1+hello"})
    assert world.sets == ["v1+hello", "v2+hello"]
    assert world.said[0] == "an upgrade was cut off; what was there before comes back"
    assert (world.journal.open(), world.left(), world.mixed) == (None, [], [])


def test_an_upgrade_that_was_remembered_stays_whether_it_is_healthy_or_not() -> None:
    world = deployed()
    killed(world, "remember")
    for task in world.tasks():
        if task.container_id:
            world.docker.stop(world.docker.held[task.container_id], graceful=False)
    world.write("since")
    world.recover()
    assert (world.rows, world.journal.open()) == ("v2+hello+since", None)
    assert "webui:2" in world.good("images")


def test_no_other_run_begins_while_an_upgrade_is_cut_off() -> None:
    world = deployed()
    killed(world, "deploy")
    world.write("since")
    with pytest.raises(HostError, match="expected nothing under way, got swarm_upgrade"):
        world.deploy("1")
    assert world.rows == "v2+hello+since"


def test_an_upgrade_that_was_killed_stays_as_it_is_while_docker_does_not_answer() -> None:
    world = deployed()
    killed(world, "deploy")
    world.swarm.leader = False
    with pytest.raises(HostError, match="expected an answer within a minute"):
        world.recover()
    marks = [world.files.read_text(f"{FOLDER}/{name}") for name in (".upgrading", ".restoring")]
    assert marks == ["20261129T030100Z\n", "upgrade\n"], "an earlier version refuses all but its runbook"
    assert "open-webui.before" in world.server.databases
    world.swarm.leader = True
    world.recover()
    assert world.serving() == runs("2")


def test_a_way_back_that_was_cut_off_goes_on_back() -> None:
    """The files are those of before already, whatever gets healthy meanwhile."""
    world = deployed()
    killed(world, "deploy")
    verb = world.made(wants("2", upgrades=True))
    verb._services.halt = _stop  # type: ignore[method-assign,assignment]
    with pytest.raises(Stopped):
        verb._back()
    world.recover()
    assert world.serving() == runs("2"), "nothing had stopped yet"
    world = deployed()
    killed(world, "deploy")
    verb = world.made(wants("2", upgrades=True))
    verb._deploys.deploy = _stop  # type: ignore[method-assign,assignment]
    with pytest.raises(Stopped):
        verb._back()
    web = world.swarm.services[WEB]
    world.swarm.update(web, replicas=2, force=False)
    world.recover()
    assert (world.serving(), world.rows) == (runs("1"), "v1+hello")


def test_a_deploy_that_told_some_services_only_is_completed() -> None:
    world = deployed()
    before = world.swarm.services["open-webui_proxy"].spec
    killed(world, "deploy")
    told = world.swarm.services["open-webui_proxy"].spec
    world.swarm.put_service("open-webui_proxy", fake_swarm._new(before))
    world.recover()
    assert world.serving() == runs("2")
    assert world.swarm.services["open-webui_proxy"].spec["TaskTemplate"] == told["TaskTemplate"]


def test_what_serves_stays_where_its_image_has_no_name_any_more() -> None:
    world = deployed()
    killed(world, "deploy")
    deploys = list(world.system.deploys)
    image = world.docker.find_image("webui:2")
    world.docker.images[image.id] = replace(image, tags=())
    world.recover()
    assert [task.spec["ContainerSpec"]["Image"] for task in world.tasks()] == [image.id] * 2
    assert world.system.deploys == deploys
    assert f"{image.id} {image.id}@untagged /open-webui\n" in world.good("images")


def test_a_service_that_is_missing_is_no_version_that_serves() -> None:
    world = deployed()
    killed(world, "deploy")
    world.swarm.drop_service("open-webui_proxy")
    world.recover()
    assert (world.serving(), world.sets[-1]) == (runs("1"), "v2+hello")
    assert world.tasks("open-webui_proxy")


def test_nothing_stops_for_a_way_back_that_is_damaged() -> None:
    world = deployed()
    world.files.write(f"{FOLDER}/.good/stack.yaml", "")
    with pytest.raises(HostError, match="does not run yet"):
        world.deploy("2ill", upgrades=True)
    assert any("got them damaged, as by a power cut: stack.yaml" in line for line in world.said)
    assert world.system.deploys[-1] == "webui:2ill 2 stop-first"
    assert "open-webui.before" in world.server.databases, "the copy for the way back is kept"


def test_a_pruned_image_is_told_before_anything_stops_or_a_file_is_changed() -> None:
    world = deployed()
    world.put("other")
    image = world.docker.find_image("webui:1").id
    del world.docker.images[image]
    with pytest.raises(HostError):
        world.up("1ill")
    assert any("docker load or pull it, and run this again" in line for line in world.said)
    assert world.files.read_text(f"{FOLDER}/valkey/valkey.conf") == "# other\n"


def of_earlier_version(world: World, note: str) -> None:
    """What an earlier version left when it was killed: a mark, and no journal."""
    world.files.remove(f"{FOLDER}/journal.json")
    world.files.remove(f"{FOLDER}/.restoring")
    world.files.write(f"{FOLDER}/.upgrading", note)


@pytest.mark.parametrize("step", ["migrate", "deploy", "remember"])
def test_a_mark_of_an_earlier_version_is_ended_as_it_was_there(step: str) -> None:
    world = deployed()
    killed(world, step)
    of_earlier_version(world, "20261129T030100Z\n")
    world.write("since")
    world.recover()
    back = step == "migrate"
    assert (world.serving(), world.rows) == ((runs("1"), "v1+hello") if back else (runs("2"), "v2+hello+since"))
    assert (world.journal.open(), world.left()) == (None, [])


def test_an_empty_mark_of_an_earlier_version_does_not_say_that_it_was_remembered() -> None:
    world = deployed()
    killed(world, "migrate")
    of_earlier_version(world, "")
    made = world.made()
    swarm._date_old_mark(made._made)
    world.recover()
    assert (world.serving(), world.server.databases) == (runs("1"), {"open-webui": "v1+hello"})


# --- As the host runs it


def test_the_verbs_run_under_the_lock_and_keep_what_they_said(monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed()
    held: list[str] = []

    class FakeLocks:
        def __init__(self, *_: object) -> None:
            pass

        @contextlib.contextmanager
        def work(self, who: str) -> Iterator[Held]:
            held.append(who)
            yield Held(LINUX)

    monkeypatch.setattr(swarm, "require_root", lambda: None)
    monkeypatch.setattr(swarm, "Locks", FakeLocks)
    monkeypatch.setattr(swarm, "Files", lambda: world.files)
    monkeypatch.setattr(swarm, "Clock", lambda: world.clock)
    monkeypatch.setattr(swarm, "_save", lambda *_: world.save())
    monkeypatch.setattr(dockerd, "engine", lambda _: world.engine)
    monkeypatch.setattr("webui_stack.host.assembly.System", lambda: world.system)
    world.put("other")
    asked = {"stack": asdict(OF_STACK), "request": asdict(wants("2", upgrades=True))}
    assert swarm.run(asked, world.say) == "20261129T030100Z"
    assert (world.serving(), held) == (runs("2", "other"), ["deploy"])
    assert (world.files.read_text(f"{FOLDER}/up.log") or "").splitlines() == world.said
    swarm.recover(asked, world.say)
    assert (world.serving(), held) == (runs("2", "other"), ["deploy"] * 2)
    world.put("ill")
    refused = {**asked, "request": asdict(wants("1"))}
    with pytest.raises(HostError, match="that one runs") as caught:
        swarm.run(refused, world.say)
    assert (world.files.read_text(f"{FOLDER}/up.log") or "").splitlines()[-1] == str(caught.value)


# --- Killed, cut off, and failing, everywhere


def with_files(setting: str, start: Callable[[], World] = deployed) -> Callable[[], World]:
    def make() -> World:
        world = start()
        world.put(setting)
        return world

    return make


def up_first(world: World) -> None:
    world.up("1")


def up_data(world: World) -> None:
    world.up("1", data_only=True)


def up_setting(world: World) -> None:
    world.up("1")


def up_1b(world: World) -> None:
    world.up("1b")


def up_1ill(world: World) -> None:
    world.up("1ill")


def upgrade(world: World) -> None:
    world.up("2", upgrades=True)


def upgrade_ill(world: World) -> None:
    world.up("2ill", upgrades=True)


def cut_off_back() -> World:
    """The first replica of the new version served for a while, and is gone."""
    world = deployed()
    killed(world, "migrate")
    world.add("partly")
    return world


def cut_off_on() -> World:
    world = deployed()
    killed(world, "deploy")
    world.write("since")
    return world


def recovers(world: World) -> None:
    world.recover()


SCENARIOS: Mapping[str, tuple[Callable[[], World], Callable[[World], None], list[list[str]]]] = {
    "a first deploy": (fresh, up_first, [[], runs("1")]),
    "what holds the data": (fresh, up_data, [[]]),
    "another setting": (with_files("other"), up_setting, [runs("1"), runs("1", "other")]),
    "another version": (with_files("1b"), up_1b, [runs("1"), runs("1b")]),
    "one that is ill": (with_files("1ill"), up_1ill, [runs("1")]),
    "an upgrade": (with_files("2"), upgrade, [runs("1"), runs("2")]),
    "an upgrade that is ill": (with_files("2ill"), upgrade_ill, [runs("1")]),
    "a recovery that goes back": (cut_off_back, recovers, [runs("1")]),
    "a recovery that goes on": (cut_off_on, recovers, [runs("2")]),
}


# The others make the same calls.
FAILING = [name for name in SCENARIOS if name not in ("another setting", "a recovery that goes on")]


def nothing_is_lost(world: World, where: str) -> None:
    """At this very moment: no two versions beside each other, no secret changed, people's rows are somewhere."""
    assert world.mixed == [], where
    versions = {one.partition(" ")[0] for one in world.serving()}
    assert len(versions) <= 1, where
    assert {path: world.files.read_text(f"{FOLDER}/{path}") for path in SECRETS} == SECRETS, where
    if world.rows not in ("", "v1"):
        assert all("+hello" in rows for rows in world.server.databases.values()), where


def ends_well(world: World, where: str, served: list[list[str]]) -> None:
    """Recovery brings what was before, or the new one; all that people wrote is there; a deploy afterwards works."""
    nothing_is_lost(world, where)
    serving = world.serving()
    if serving == runs("2"):
        world.add("late")
    words, late = world.words(), world.rows.endswith("+late")
    world.recover()
    assert world.serving() in served, where
    assert (world.journal.open(), world.left(), world.mixed) == (None, [], []), where
    versions = {one.partition(" ")[0].removeprefix("webui:") for one in world.serving()}
    assert all(world.rows.startswith(VERSIONS[version]) for version in versions), f"{where}: data of another version"
    assert ("hello" in words) == ("+hello" in world.rows), where
    # What was written to the new version is in use where that stays, else in a set.
    assert words <= world.words(), where
    if late and world.serving() == runs("2"):
        assert world.rows.endswith("+late"), where
    newest = "2" if world.rows.startswith("v2") else "1"
    world.deploy(newest, "last")
    assert world.serving() == runs(newest, "last"), where
    assert (world.journal.open(), world.left(), world.mixed) == (None, [], []), where
    assert set(world.server.databases) == {"open-webui"} or "no set could be made" in str(world.said), where
    assert world.kernel._open == {}, where


def changes_outside(point: str) -> bool:
    """What a release does between its renames is in test_swarm_releases.py."""
    return is_change(point) and outside(point)


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_deploy_that_is_cut_off_anywhere_ends_well(name: str) -> None:
    start, change, served = SCENARIOS[name]
    crashes = 0
    for where, world in every_crash(start(), change, points=changes_outside, ends=(None, True)):
        ends_well(world, where, served)
        crashes += 1
    assert crashes > 20


@pytest.mark.crash
@pytest.mark.parametrize("name", ["a first deploy", "what holds the data", "another setting", "another version"])
def test_a_deploy_after_one_that_was_cut_off_needs_no_recovery(name: str) -> None:
    start, change, _ = SCENARIOS[name]
    for where, world in every_crash(start(), change, points=changes_outside, ends=(None,)):
        world.deploy("1", "last")
        assert world.serving() == runs("1", "last"), where
        assert (world.journal.open(), world.left(), world.mixed) == (None, [], []), where


@pytest.mark.crash
@pytest.mark.parametrize("name", FAILING)
def test_a_deploy_in_which_a_call_fails_ends_well(name: str) -> None:
    start, change, served = SCENARIOS[name]
    for where, world, error in every_failure(start(), change, points=outside):
        if error is None:
            assert world.serving() == served[-1], where
        ends_well(world, where, served)
