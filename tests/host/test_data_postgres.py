"""A dump's database takes the place of the one that serves, or leaves it, and only one Postgres serves a volume."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.host import cases
from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles
from tests.host.fake_postgres import HAND_OVER, IMAGE, SERVER, VOLUME, Server, dump
from tests.host.faults import Crash, Fault, Faults
from webui_stack.host.data import cluster, postgres
from webui_stack.host.data.cluster import Cluster
from webui_stack.host.data.helper import Helper
from webui_stack.host.data.postgres import ALONE, Postgres, WithPassword
from webui_stack.host.engine import NewContainer, ProgramFailed, Refused, Unavailable
from webui_stack.host.errors import HostError

OLD, NEW = "old rows", "new rows"
PASSWORD = "it's 'quoted'"
ENV = {"PGDATA": "/var/lib/postgresql/data", "PG_MAJOR": "17"}


class World:
    """A Docker with a Postgres that has people's rows. `container` is whether its container is there."""

    def __init__(self, *, container: bool = True, earlier: bool = False) -> None:
        self.docker = Docker()
        self.server = Server(self.docker)
        self.docker.put_image(IMAGE, self.server.program(), env=ENV)
        superuser = "open-webui" if earlier else "postgres"
        self.docker.put_volume(VOLUME, {"PG_VERSION": b"17\n"})
        self.server.put(
            {
                "databases": {"open-webui": OLD},
                "owners": {} if earlier else {"open-webui": "open-webui"},
                "superusers": [superuser],
                "roles": sorted({"open-webui", superuser}),
                "password": "secret",
            }
        )
        self.clock = FakeClock()
        self.lines: list[str] = []
        if container:
            self.docker.put_container(SERVER, NewContainer(IMAGE, volumes=[f"{VOLUME}:{cluster.DATA}"]), start=False)

    def process(self, fault: Fault | None = None) -> tuple[Postgres, FakeEngine]:
        """Another run of the program under test."""
        engine = FakeEngine(self.docker, faults=Faults(fault))
        place = Cluster(engine, Helper(engine, self.clock), IMAGE, VOLUME)
        return Postgres(engine, self.clock, place, start_s=60, tell=self.lines.append), engine

    @property
    def databases(self) -> dict[str, str]:
        return self.server.databases


def accept(database: Postgres) -> None:
    database.fill_beside(io.BytesIO(dump(NEW)))
    database.swap()
    database.forget()
    database.put_away()


def put_back(database: Postgres) -> None:
    database.fill_beside(io.BytesIO(dump(NEW)))
    database.swap()
    database.undo()
    database.put_away()


# --- The scenario


@pytest.mark.parametrize("container", [True, False])
def test_a_dump_waits_beside_takes_its_place_and_is_accepted(container: bool) -> None:
    world = World(container=container)
    database, _ = world.process()
    database.fill_beside(io.BytesIO(dump(NEW)))
    assert world.databases == {"open-webui": OLD, "open-webui.restore": NEW}
    database.swap()
    database.swap()  # nothing is left to do
    assert world.databases == {"open-webui": NEW, "open-webui.old": OLD}
    database.forget()
    database.put_away()
    assert world.databases == {"open-webui": NEW}
    assert [one.name for one in world.docker.held.values()] == ([SERVER] if container else [])
    assert world.server.double == 0


def test_a_dump_runs_with_open_webuis_rights_and_extensions_with_a_superusers() -> None:
    world = World()
    world.process()[0].fill_beside(io.BytesIO(dump(NEW)))
    users = [(user, contents.count("\n")) for user, contents in world.server.loaded]
    assert users == [("open-webui", 1), ("postgres", 2), ("open-webui", 2)]
    assert "EXTENSION" not in world.server.loaded[0][1] + world.server.loaded[2][1]


def test_the_password_is_that_of_the_secrets_and_never_none() -> None:
    world, files = World(), FakeFiles()
    database, _ = world.process()
    stack = WithPassword(files, "/opt/stack", database)
    with pytest.raises(HostError, match="/opt/stack/secrets/postgres-password: expected a password, got none"):
        stack.own_password()
    assert world.server.state()["password"] == "secret"
    files.make_folder("/opt/stack/secrets")
    files.write("/opt/stack/secrets/postgres-password", f"{PASSWORD}\n")
    stack.own_password()
    stack.put_away()
    assert world.server.state()["password"] == PASSWORD


def test_an_open_webui_that_was_the_superuser_is_none_afterwards() -> None:
    world = World(earlier=True)
    world.process()[0].answers().hand_over()
    assert world.server.state()["superusers"] == ["postgres"]
    assert world.server.state()["owners"] == {"open-webui": "open-webui"}


def test_what_waits_is_not_replaced_by_a_second_restore() -> None:
    """L9: the only copy of the old rows was forgotten."""
    world = World()
    database, _ = world.process()
    database.fill_beside(io.BytesIO(dump(NEW)))
    database.swap()
    with pytest.raises(HostError, match=r"expected no earlier database beside the one in use, got one that waits"):
        database.fill_beside(io.BytesIO(dump(NEW)))
    assert world.databases == {"open-webui": NEW, "open-webui.old": OLD}


def test_a_swap_without_a_dump_is_refused() -> None:
    world = World()
    with pytest.raises(HostError, match=r"expected it alone beside the one in use, got open-webui; put back"):
        world.process()[0].swap()
    assert world.databases == {"open-webui": OLD}


@pytest.mark.parametrize("left", ["open-webui.trash", "open-webui.failed"])
def test_what_an_earlier_way_back_left_does_not_stop_the_next_one(left: str) -> None:
    """L13: killed between COMMIT and DROP."""
    world = World()
    state = world.server.state()
    state["databases"][left] = "rubbish"
    world.server.put(state)
    database, _ = world.process()
    database.fill_beside(io.BytesIO(dump(NEW)))
    database.swap()
    database.undo()
    assert world.databases["open-webui"] == OLD
    assert set(world.databases) <= {"open-webui", "open-webui.failed"}


# --- Every call goes wrong once


@pytest.mark.crash
@pytest.mark.parametrize("scenario", [accept, put_back])
@pytest.mark.parametrize("made", [{}, {"container": False}, {"earlier": True}], ids=["there", "alone", "earlier"])
def test_whatever_goes_wrong_one_whole_database_serves_and_an_undo_ends_it(
    scenario: Callable[[Postgres], None], made: dict[str, Any]
) -> None:
    database, engine = World(**made).process()
    scenario(database)
    for fault in engine.faults.points():
        world = World(**made)
        with suppress(Crash, HostError):
            scenario(world.process(fault)[0])
        assert world.databases["open-webui"] in (OLD, NEW), fault
        assert OLD in world.databases.values() or scenario is accept, fault
        accepted = world.databases["open-webui"] == NEW and "open-webui.old" not in world.databases
        again, _ = world.process()
        again.undo()
        again.put_away()
        assert world.databases == {"open-webui": NEW if accepted else OLD}, fault
        assert world.server.double == 0, fault
        assert [one.name for one in world.docker.held.values()] == ([] if "container" in made else [SERVER]), fault
        assert world.server.state()["password"] == "secret", fault


@pytest.mark.crash
def test_whatever_goes_wrong_a_rerun_succeeds() -> None:
    database, engine = World().process()
    accept(database)
    for fault in engine.faults.points():
        world = World()
        with suppress(Crash, HostError):
            accept(world.process(fault)[0])
        again, _ = world.process()
        if "open-webui.old" in world.databases:
            again.undo()
        accept(again)
        assert world.databases == {"open-webui": NEW}, fault


@pytest.mark.crash
def test_whatever_goes_wrong_with_a_hand_over_the_next_one_ends_it() -> None:
    def hand_over(database: Postgres) -> None:
        database.set_password(PASSWORD)

    database, engine = World(earlier=True).process()
    hand_over(database)
    for fault in engine.faults.points():
        world = World(earlier=True)
        with suppress(Crash, HostError):
            hand_over(world.process(fault)[0])
        hand_over(world.process()[0])
        state = world.server.state()
        assert (state["superusers"], state["password"]) == (["postgres"], PASSWORD), fault


@pytest.mark.crash
def test_wherever_the_statements_are_cut_one_whole_database_serves() -> None:
    """psql runs what it has been given, at the end of its input."""
    world = World()
    put_back(world.process()[0])
    texts = [text for text in world.server.said if 'RENAME TO "' in text and text != HAND_OVER]
    assert len(texts) == 2
    for text in texts:
        for cut in range(len(text)):
            cases.one_more()
            world = World()
            database, engine = world.process()
            database.fill_beside(io.BytesIO(dump(NEW)))
            command = ["psql", "--username", "postgres", "--dbname", "postgres"]
            with suppress(HostError):
                engine.exec(SERVER, command, stdin=text[:cut].encode())
            assert world.databases.get("open-webui") in (OLD, NEW), text[:cut]
            assert OLD in world.databases.values(), text[:cut]


# --- Secrets


def test_a_password_is_in_no_command_and_no_error() -> None:
    world = World()
    database, engine = world.process()
    seen: list[str] = []
    real = engine.exec

    def exec_(name: str, command: Any, **options: Any) -> Any:
        seen.append(f"{command} {options.get('env')}")
        if PASSWORD.replace("'", "''").encode() in (options.get("stdin") or b""):
            said = f"ERROR: x\nLINE 3: ALTER ROLE \"open-webui\" PASSWORD '{PASSWORD}';\n"
            raise postgres_error(said)
        return real(name, command, **options)

    engine.exec = exec_  # type: ignore[method-assign]
    with pytest.raises(HostError, match=r"^Postgres: expected to set a password, got exit code 3; run this again$"):
        database.set_password(PASSWORD)
    assert not any("quoted" in line for line in [*seen, *world.lines])


def postgres_error(said: str) -> Exception:
    return ProgramFailed("psql", SERVER, 3, b"", said.encode())


def test_postgres_does_not_log_the_password() -> None:
    world = World()
    world.process()[0].set_password(PASSWORD)
    (text,) = [text for text in world.server.said if "PASSWORD '" in text and "PASSWORD %L" not in text]
    assert text.splitlines()[:2] == ["SET log_min_error_statement = panic;", "SET log_statement = none;"]


def test_a_stand_alone_postgres_has_a_password_of_its_own_outside_its_command() -> None:
    world = World(container=False)
    world.process()[0].answers()
    (alone,) = world.docker.held.values()
    assert (alone.name, alone.new.network, alone.new.restart_policy) == (ALONE, "none", "no")
    assert len(alone.new.env["POSTGRES_PASSWORD"]) == 48
    assert not alone.argv


# --- It answers


def test_a_slow_start_is_waited_for() -> None:
    world = World()
    world.server.not_ready = 100
    world.process()[0].answers()
    assert world.clock.passed_s == 50


def test_a_start_that_takes_too_long_is_told_with_its_last_lines() -> None:
    world = World()
    world.server.not_ready = 1000
    next(iter(world.docker.held.values())).logs = b"a\nrecovering\nreplaying\nstill at it\n"
    with pytest.raises(HostError, match=r"^Postgres: expected it to answer, got recovering replaying still at it; "):
        world.process()[0].answers()
    assert world.clock.passed_s == 60


def test_a_postgres_that_ends_is_not_waited_for() -> None:
    world = World()
    world.server.broken = True
    with pytest.raises(HostError, match=r"got FATAL:  database files are incompatible"):
        world.process()[0].answers()
    assert world.clock.passed_s == 0


def test_a_paused_postgres_runs_on() -> None:
    world = World()
    database, engine = world.process()
    engine.start(SERVER)
    engine.pause(SERVER)
    database.answers()
    assert engine.container(SERVER).status == "running"


def test_a_stand_alone_postgres_is_ended_before_the_server_starts() -> None:
    world = World(container=False)
    world.process()[0].answers()
    world.docker.put_container(SERVER, NewContainer(IMAGE, volumes=[f"{VOLUME}:{cluster.DATA}"]), start=False)
    world.process()[0].answers()
    assert [one.name for one in world.docker.held.values()] == [SERVER]
    assert world.server.double == 0


def test_nobody_is_started_beside_another_server_of_the_volume() -> None:
    world = World(container=False)
    world.docker.put_container("somebodys", NewContainer(IMAGE, volumes=[f"{VOLUME}:{cluster.DATA}"]))
    with pytest.raises(HostError, match=r"volume postgres-data: expected nobody to serve it, got the container somebo"):
        world.process()[0].answers()
    assert world.server.double == 0


def test_no_postgres_is_started_alone_that_keeps_nothing() -> None:
    world = World(container=False)
    place = "/var/lib/postgresql/18/docker"
    world.docker.put_image(IMAGE, world.server.program(), env={"PGDATA": place, "PG_MAJOR": "18"})
    with pytest.raises(HostError, match=r"got /var/lib/postgresql/18/docker in pgvector:pg17, as PostgreSQL 18"):
        world.process()[0].answers()
    assert not world.docker.held


def test_a_database_that_docker_does_not_tell_of_is_not_missing() -> None:
    world = World()
    world.docker.down = True
    with pytest.raises(Unavailable):
        world.process()[0].answers()
    world.docker.down = False
    assert [one.name for one in world.docker.held.values()] == [SERVER]


def test_an_error_of_the_superuser_is_not_taken_for_another_role() -> None:
    """Only a session that postgres does not get lets open-webui be asked."""
    world = World()
    state = world.server.state()
    state["superusers"], state["roles"] = ["else"], ["else", "open-webui"]
    world.server.put(state)
    with pytest.raises(HostError, match=r"expected postgres or open-webui to be a superuser, got neither"):
        world.process()[0].answers().hand_over()


def test_a_role_postgres_that_somebody_made_is_named() -> None:
    world = World(earlier=True)
    state = world.server.state()
    state["roles"].append("postgres")
    world.server.put(state)
    with pytest.raises(HostError, match=r"expected to make its superuser, postgres, got .*already exists; rename a"):
        world.process()[0].answers().hand_over()
    assert world.server.state()["superusers"] == ["open-webui"]


# --- Heads, the cluster, a dump's rows


@pytest.mark.parametrize(("rows", "heads"), [(OLD, "head of old rows"), ("", "")])
def test_heads_are_those_of_the_database_that_serves(rows: str, heads: str) -> None:
    world = World()
    state = world.server.state()
    state["databases"]["open-webui"] = rows
    world.server.put(state)
    assert world.process()[0].heads() == heads


def test_a_new_volume_has_no_heads_and_no_postgres_is_started_for_them() -> None:
    world = World(container=False)
    del world.docker.volumes[VOLUME], world.docker.contents[VOLUME]
    assert world.process()[0].heads() == ""
    assert not world.docker.held


@pytest.mark.crash
def test_no_heads_are_not_the_answer_to_anything_that_fails() -> None:
    database, engine = World().process()
    assert database.heads() == "head of old rows"
    for fault in engine.faults.points():
        world = World()
        again, _ = world.process(fault)
        try:
            assert again.heads() == "head of old rows", fault
        except (Crash, HostError):
            continue


def test_a_dump_is_written_to_where_it_belongs() -> None:
    world = World()
    _, engine = world.process()
    engine.start(SERVER)
    out = io.BytesIO()
    postgres.dump(engine, SERVER, out)
    assert out.getvalue() == dump(OLD)


def look(world: World) -> Cluster:
    engine = FakeEngine(world.docker)
    return Cluster(engine, Helper(engine, world.clock), IMAGE, VOLUME)


@pytest.mark.parametrize(
    ("files", "wrote"), [({}, ""), ({"PG_VERSION": b"17\n"}, "17"), ({"PG_VERSION": b""}, "?"), (None, "")]
)
def test_who_has_written_a_volume_is_read_from_it(files: dict[str, bytes] | None, wrote: str) -> None:
    world = World(container=False)
    del world.docker.volumes[VOLUME], world.docker.contents[VOLUME]
    if files is not None:
        world.docker.put_volume(VOLUME, files)
    assert look(world).wrote() == wrote


@pytest.mark.crash
def test_a_volume_that_nobody_could_look_into_is_not_empty() -> None:
    engine = FakeEngine(World().docker)
    Cluster(engine, Helper(engine, FakeClock()), IMAGE, VOLUME).wrote()
    for fault in engine.faults.points():
        again = FakeEngine(World().docker, faults=Faults(fault))
        try:
            assert Cluster(again, Helper(again, FakeClock()), IMAGE, VOLUME).wrote() == "17", fault
        except (Crash, HostError):
            continue


@pytest.mark.parametrize("answer", [b"17 or so\n", b"cd: no such folder\n"])
def test_another_answer_is_no_version(answer: bytes) -> None:
    world = World()
    world.docker.put_image(IMAGE, Program(commands={"sh": lambda _: answer}), env=ENV)
    with pytest.raises(HostError, match=r"expected to look into its volume postgres-data, got another answer"):
        look(world).wrote()


@pytest.mark.parametrize(("major", "fine"), [("17", True), ("", True), ("16", False), ("18", False)])
def test_an_image_of_another_major_version_is_refused(major: str, fine: bool) -> None:
    world = World()
    world.docker.put_image(IMAGE, world.server.program(), env={"PG_MAJOR": major})
    if fine:
        look(world).check_version()
        return
    with pytest.raises(
        HostError, match=rf"^postgres_image: expected PostgreSQL 17, which .*, got {major}; to change it"
    ):
        look(world).check_version()


def test_an_image_that_is_not_here_is_not_the_right_one() -> None:
    world = World()
    world.docker.images.clear()
    with pytest.raises(HostError, match=r"^postgres_image: expected Docker to say what pgvector:pg17 is, got none of"):
        look(world).check_place()


SCRIPT = b"""\
COPY public.alembic_version (version_num) FROM stdin;
3ab32c4b8f59
\\.
COPY public."user" (id, name) FROM stdin;
1\tx
2\tCOPY public.chat is his name
\\.
COPY public.chat (id) FROM stdin;
1
-- PostgreSQL database dump complete
\\.
COPY public.tag (id) FROM stdin;
\\.
-- PostgreSQL database dump complete
"""


def counted(script: bytes) -> postgres.Rows:
    world = World()
    world.docker.folder = lambda source: {"postgres.dump": script} if source == "/sets/one" else {}
    engine = FakeEngine(world.docker)
    return postgres.count(Helper(engine, world.clock), IMAGE, "/sets/one")


def test_rows_are_counted_in_the_dump_itself() -> None:
    assert counted(SCRIPT) == postgres.Rows("3ab32c4b8f59", {"users": 2, "chats": 2, "files": 0})


@pytest.mark.parametrize("script", [b"", SCRIPT[:-45], SCRIPT.replace(b"3ab32c4b8f59\n", b"")])
def test_a_part_of_a_dump_is_not_counted(script: bytes) -> None:
    with pytest.raises(HostError, match=r"expected a whole dump of people's data"):
        counted(script)


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_rows_are_counted_however_they_come(size: int) -> None:
    script = postgres._Script()
    text = SCRIPT.replace(b"1\tx", b"1\t" + b"x" * 10_000)
    for at in range(0, len(text), size):
        script.write(text[at : at + size])
    assert (script.rows, script.heads, script.complete) == ({"user": 2, "chat": 2}, ["3ab32c4b8f59"], True)
    assert len(script._begun) < 3 * 4096


def test_a_refusal_of_docker_is_not_an_answer_of_postgres() -> None:
    world = World()
    database, engine = world.process()
    engine.start(SERVER)

    def exec_(*_: Any, **__: Any) -> Any:
        raise Refused("exec", "input/output error", status=500)

    engine.exec = exec_  # type: ignore[method-assign]
    with pytest.raises(Refused):
        database.answers()
