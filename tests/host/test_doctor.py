"""Doctor's look: never a secret, whatever is in the variables; and a question that fails is told, never "none"."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Exit, Process, Program
from tests.host.fake_engine import FAILED, REFUSED, UNAVAILABLE, FakeEngine
from tests.host.fake_files import FakeFiles, FakeKernel
from tests.host.fake_system import FakeSystem
from tests.host.faults import Faults
from webui_stack.doctor import rules
from webui_stack.host import protocol
from webui_stack.host.engine import Container, Info, NewContainer, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.open_webui import told
from webui_stack.host.outcomes import Outcomes
from webui_stack.host.stack import FOLDER_LABEL, STACK_LABEL
from webui_stack.host.verbs import doctor
from webui_stack.model import doctor_observed
from webui_stack.render import survey_requests
from webui_stack.settings.model import Settings

KEY = "k" * 48
PASSWORD = "sesame-of-monitor"
MEMINFO = "MemTotal:       24683656 kB\nMemFree:  1 kB\nMemAvailable:   21670260 kB\n"
PREROUTING = "-P PREROUTING ACCEPT\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
FORWARD = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n"
LIMITS = "Limit  Soft Limit  Hard Limit  Units\nMax open files            11024                524288  files\n"
SWARM: dict[str, Any] = {"topology": "swarm", "swarm_runs": ["data"], "open_webui_shared_dir": "/mnt/chat"}
IN_SWARM = "/run/secrets/open-webui.env"


def request(wanted: Settings) -> doctor.Request:
    line = survey_requests.doctor_request(wanted)
    return doctor.Request(**protocol.Request.read("doctor", line).arguments)


class World:
    """A host with the stack on it, as far as doctor asks; `ran` are the programs that were run in containers."""

    def __init__(self, folder: Path) -> None:
        self.system = FakeSystem(folder, docker="2.26.1\n", iptables=self.iptables)
        self.system.put("/proc/meminfo", MEMINFO)
        self.system.put("/proc/sys/vm/overcommit_memory", "1\n")
        self.system.put("/var/lib/docker/there")
        self.engine = FakeEngine()
        self.files, self.clock = FakeFiles(FakeKernel()), FakeClock()
        self.ran: list[Process] = []
        self.answers: dict[str, Callable[[Process], bytes]] = {
            "curl": lambda _: b'{"status": true}',
            "python3": lambda _: b'{"persisted": ["WEBUI_URL"], "vectors": null, "failed": ""}\n',
            "cat": lambda process: process.container.files.get(IN_SWARM, b""),
            "valkey-cli": lambda _: b'# Server\nvalkey_version:8.1.1\n{"timeout":"0"}\n["socketio",1]\n[]\n',
            "dpkg-query": lambda _: b"8.1.1+dfsg1",
            "psql": lambda _: b"7 100\n",
            "caddy": lambda _: b"v2.11.9 h1:abc=\n",
        }
        commands = dict.fromkeys(("sh", "curl", "dpkg-query", "psql", "caddy"), self.run)
        self.engine.docker.put_image("image:1", Program(commands=commands))

    def iptables(self, arguments: Sequence[str]) -> str | None:
        return PREROUTING if "nat" in arguments else FORWARD

    def run(self, process: Process) -> bytes:
        """A program, or what a shell in the container is to run."""
        self.ran.append(process)
        name, *rest = process.command
        if name == "sh":
            name = next(word for word in ("python3", "valkey-cli", "cat") if word in rest[1])
        return self.answers[name](process)

    def put(self, name: str, env: dict[str, str] | None = None, folder: str = "/opt/open-webui") -> None:
        new = NewContainer("image:1", env=env or {}, labels={FOLDER_LABEL: folder})
        self.engine.docker.put_container(name, new)

    def stack(self) -> None:
        """All services, with this project's own users in Valkey."""
        for name in ("redis-valkey", "open-webui", "open-webui-postgres", "open-webui-proxy"):
            self.put(name)
        self.system.put("/opt/open-webui/secrets/valkey-monitor-password", f"{PASSWORD}\n")
        self.system.put("/opt/open-webui/valkey/users.acl", "user default on nopass -@all +ping\nuser x on #abc\n")

    def document(self, **changes: Any) -> dict[str, Any]:
        """The document as it is sent."""
        found = doctor.look(request(settings(**changes)), self.system, self.engine, self.clock, self.files)
        sent: dict[str, Any] = json.loads(json.dumps(found))
        return sent

    def seen(self, **changes: Any) -> doctor_observed.Observed:
        return doctor_observed.parse(self.document(**changes))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- A whole stack


def test_a_stack_is_told_whole(world: World) -> None:
    world.stack()
    found = world.seen()
    assert found.unread == ()
    assert found.errors == ()
    assert set(found.containers) == {"redis-valkey", "open-webui", "open-webui-postgres", "open-webui-proxy"}
    assert found.open_webui is not None
    assert (found.open_webui.maker, found.open_webui.health) == ("compose in /opt/open-webui", "none")
    assert (found.host["engine"], found.host["compose"], found.host["overcommit_memory"]) == ("27.5.1", "2.26.1", "1")
    assert (found.host_number("memory_kb"), found.host_number("memory_free_kb")) == (24683656, 21670260)
    assert found.host_number("disk_kb") > found.host_number("disk_free_kb") > 0
    assert found.firewall == {"backend": "iptables", "managed": True, "nat": 1, "filter": 2}
    assert found.valkey == {"package": "8.1.1+dfsg1", "default_user": "on nopass -@all +ping"}
    assert (found.info["valkey_version"], found.config, found.subscribers) == ("8.1.1", {"timeout": "0"}, 1)
    assert (found.postgres, found.persisted, found.vectors) == ((7, 100), ("WEBUI_URL",), None)
    assert (found.api, found.proxy["version"]) == ({"status": True}, "v2.11.9 h1:abc=")


def test_the_verb_answers_the_request_of_a_runbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, as it is, but for its Docker."""
    monkeypatch.setattr("webui_stack.host.dockerd.socket", lambda *_: str(tmp_path / "no.sock"))
    events: list[Any] = []
    line = survey_requests.doctor_request(settings(stack_dir="/nonexistent/stack"))
    found = doctor.run(protocol.Request.read("doctor", line).arguments, events.append)
    seen = doctor_observed.parse(json.loads(json.dumps(found)))
    assert (seen.host["engine"], seen.host_number("disk_kb") > 0, events) == ("", True, [])


def test_a_host_without_a_stack_has_no_containers_and_nothing_unread(world: World) -> None:
    world.engine.docker.put_container("somebodys", NewContainer("image:1"))
    found = world.seen()
    assert (found.containers, found.unread, found.variables, found.persisted) == ({}, (), frozenset(), None)
    assert world.ran == []


def test_in_what_does_not_run_nothing_is_asked_and_nothing_unread(world: World) -> None:
    world.stack()
    for name in ("redis-valkey", "open-webui", "open-webui-postgres", "open-webui-proxy"):
        world.engine.stop(name)
    found = world.seen()
    assert found.unread == ()
    assert {one.status for one in found.containers.values()} == {"exited"}
    assert world.ran == []


def test_without_docker_only_the_host_is_told(world: World) -> None:
    world.stack()
    world.engine.docker.down = True
    document = world.document()
    found = doctor_observed.parse(document)
    assert (found.host["engine"], found.host["compose"]) == ("", "2.26.1")
    assert found.host_number("memory_kb") > 0
    assert found.backup_number("now_s") > 0
    assert (found.containers, found.firewall, found.variables) == ({}, None, frozenset())
    assert found.unread == ()


def test_how_jobs_on_backups_ended_is_told(world: World) -> None:
    assert world.document()["jobs"] == {"outcomes": {}, "drill_due": [], "check_due": []}
    Outcomes(world.files, world.clock, "/opt/open-webui").note("drill", began_s=0, said="it broke", counts={})
    found = world.seen()
    assert (found.outcomes["drill"]["ok"], found.outcomes["drill"]["said"]) == (False, "it broke")
    world.files.write("/opt/open-webui/outcomes/copy-1.json", "{")
    found = world.seen()
    assert not found.outcomes["copy-1"]["ok"], "what can't be read is no job that went well"
    assert "got another form" in found.outcomes["copy-1"]["said"]


# --- Secrets


def test_of_variables_only_the_names_are_told(world: World) -> None:
    world.put(
        "open-webui",
        {
            "WEBUI_SECRET_KEY": KEY,
            "OPENAI_API_KEY": "sk-marker",
            "OPENAI_API_KEYS": "\nWEBUI_URL=marker",  # a value of two lines
            "EMPTY": "",
            "DATABASE_URL": "postgresql://user:marker@db/x",
            "WEBUI_URL": "https://user:marker@chat.example.org/",
            "CORS_ALLOW_ORIGIN": "https://a.example.org;https://b.example.org",
        },
    )
    document = world.document()
    assert "marker" not in str(document)
    assert KEY not in str(document)
    found = doctor_observed.parse(document)
    assert found.variables == {
        "WEBUI_SECRET_KEY",
        "OPENAI_API_KEY",
        "OPENAI_API_KEYS",
        "DATABASE_URL",
        "WEBUI_URL",
        "CORS_ALLOW_ORIGIN",
    }
    assert found.values == {
        "WEBUI_URL": "https://chat.example.org/",
        "CORS_ALLOW_ORIGIN": "https://a.example.org;https://b.example.org",
    }
    assert found.key_fingerprint == hashlib.sha256(KEY.encode()).hexdigest()[:12]
    assert not found.key_is_short
    assert found.unread == ()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://user:mar/ker@chat.example.org", "https://chat.example.org"),
        ("https://user:mar@ker@chat.example.org", "https://chat.example.org"),
        ("https://a.example.org;https://user:marker@b.example.org", "https://a.example.org;https://b.example.org"),
        ("https://user:mar\nker@chat.example.org", "https://chat.example.org"),
        ('https://user:mar"ker@chat.example.org', "https://chat.example.org"),
    ],
)
def test_of_a_value_that_is_shown_the_password_is_left_out(value: str, shown: str) -> None:
    found = told({"CORS_ALLOW_ORIGIN": value}, doctor_observed.SHOWN, doctor_observed.ADDRESSES)
    assert found["values"] == {"CORS_ALLOW_ORIGIN": shown}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://redis:6379/1", "redis://redis:6379/1"),
        ("rediss://user:marker@redis.example.org:6380", "rediss://redis.example.org:6380"),
        ("redis://:mar@ker@[2001:db8::1]:6379/1?x=1", "redis://[2001:db8::1]:6379/1"),
        ("redis://:marker/@redis/1", "redis://redis/1"),
        ("redis://user:marker?x@redis:6379/1", "?"),
        ("redis://user:1marker#x@redis:6379/1", "?"),
        ("redis://redis:6379/1?password=marker@x", "?"),
        ("redis://redis:6379/1?password=marker", "redis://redis:6379/1"),
        ('redis://user:mar"ker@redis:6379/1', "?"),
        ("marker", "?"),
    ],
)
def test_of_an_address_the_password_is_left_out(world: World, url: str, shown: str) -> None:
    world.put("open-webui", {"WEBSOCKET_REDIS_URL": url})
    document = world.document()
    assert doctor_observed.parse(document).addresses == {"WEBSOCKET_REDIS_URL": shown}
    assert "mar" not in str(document["open_webui"])
    assert "ker@" not in str(document)


def test_a_short_key_is_told_as_short(world: World) -> None:
    world.put("open-webui", {"WEBUI_SECRET_KEY": "t0p-s3cr3t"})
    assert world.seen().key_is_short
    assert told({"WEBUI_SECRET_KEY": ""}, (), ())["key"] is None


def test_a_token_among_the_options_of_a_log_driver_is_not_told(world: World) -> None:
    class Logging(FakeEngine):
        def container(self, name: str) -> Container:
            options = {"splunk-token": "marker", "max-size": "1m"}
            return replace(super().container(name), log_driver="splunk", log_options=options)

    world.stack()
    world.engine = Logging(world.engine.docker)
    document = world.document()
    assert "marker" not in str(document)
    assert {str(one["log_options"]) for one in document["containers"]} == {"{'max-size': '1m'}"}


def test_how_many_files_valkeys_process_may_open_is_told(world: World) -> None:
    class Running(FakeEngine):
        def container(self, name: str) -> Container:
            return replace(super().container(name), pid=412)

    world.stack()
    world.engine = Running(world.engine.docker)
    assert "open_files" not in world.seen().valkey, "a process that has just ended has no limits"
    world.system.put("/proc/412/limits", LIMITS)
    assert world.seen().valkey["open_files"] == "11024"


def test_valkeys_password_is_in_no_argument_and_not_told(world: World) -> None:
    world.stack()
    document = world.document()
    (asked,) = [process for process in world.ran if "valkey-cli" in str(process.command)]
    assert asked.env["REDISCLI_AUTH"] == PASSWORD
    assert asked.command[-2:] == ("--user", "monitor")
    assert asked.stdin.decode().splitlines() == list(doctor_observed.QUESTIONS)
    assert PASSWORD not in f"{document}{[process.command for process in world.ran]}"


def test_a_valkey_of_somebody_elses_is_asked_without_our_password(world: World) -> None:
    world.stack()
    world.engine.remove("redis-valkey", force=True)
    world.put("redis-valkey", folder="/root/x")
    assert "default_user" not in world.seen().valkey
    (asked,) = [process for process in world.ran if "valkey-cli" in str(process.command)]
    assert "REDISCLI_AUTH" not in asked.env


# --- What fails is told


@pytest.mark.crash
@pytest.mark.parametrize("topology", [{}, SWARM], ids=["compose", "swarm"])
def test_no_answer_of_docker_is_nothing_there(tmp_path: Path, topology: dict[str, Any]) -> None:
    """Every call fails once, in each way in which it can: it is told, or there is no document at all."""

    def made(folder: str, faults: Faults) -> World:
        world = World(tmp_path / folder)
        world.stack()
        if topology:
            world.engine.swarm.put_node("node1")
            labels = {STACK_LABEL: "open-webui"}
            for name in ("redis", "open-webui", "postgres", "proxy"):
                new = NewContainer("image:1", labels=labels)
                world.engine.swarm.put_service(f"open-webui_{name}", new, labels=labels)
        world.engine.faults = faults
        return world

    whole = made("whole", Faults())
    assert whole.document(**topology)["unread"] == []
    points = [one for one in whole.engine.faults.points() if one.kind in (UNAVAILABLE, REFUSED, FAILED)]
    assert len(points) > 20
    for number, point in enumerate(points):
        name = whole.engine.faults.calls[point.index].name
        try:
            found = made(str(number), Faults(point)).seen(**topology)
        except HostError:
            assert name.split()[1] in ("version", "running", "listed", "container"), name
            continue
        assert found.unread or "?" in found.nodes or not found.host["engine"], f"{name}: {point.kind}"


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("curl", "curl in open-webui: expected an answer, got exit code 7; look at `docker logs open-webui`"),
        ("python3", "python3 in open-webui: expected an answer, got exit code 7; look at `docker logs open-webui`"),
        ("psql", "psql in open-webui-postgres: expected an answer, got exit code 7; look at `docker logs "),
        ("caddy", "caddy in open-webui-proxy: expected an answer, got exit code 7; look at `docker logs open-webui-"),
    ],
)
def test_a_program_that_fails_is_told_without_its_words(world: World, program: str, line: str) -> None:
    def fail(_: Process) -> bytes:
        raise Exit(7, b"password sesame is wrong")

    world.stack()
    world.answers[program] = fail
    found = world.seen()
    assert len(found.unread) == 1
    assert found.unread[0].startswith(line)
    assert "sesame" not in found.unread[0]


@pytest.mark.parametrize("program", ["dpkg-query", "caddy"])
def test_a_program_that_an_image_does_not_have_is_no_failure(world: World, program: str) -> None:
    def missing(_: Process) -> bytes:
        raise Exit(127)

    world.stack()
    world.answers[program] = missing
    found = world.seen()
    assert found.unread == ()
    assert found.proxy.get("package" if program == "dpkg-query" else "version") is None


def test_a_valkey_that_refuses_has_answered(world: World) -> None:
    def refuse(_: Process) -> bytes:
        raise Exit(1, b"AUTH failed: WRONGPASS invalid username-password pair\n")

    world.stack()
    world.answers["valkey-cli"] = refuse
    found = world.seen()
    assert found.errors == ("AUTH failed: WRONGPASS invalid username-password pair",)
    assert found.unread == ()


def test_a_valkey_that_does_not_answer_in_time_is_told(world: World) -> None:
    def hang(_: Process) -> bytes:
        raise Exit(124)

    world.stack()
    world.answers["valkey-cli"] = hang
    found = world.seen()
    assert found.unread == (
        "valkey-cli in redis-valkey: expected an answer, got none in 10 s; look at `docker logs redis-valkey`",
    )
    (row,) = [check for check in rules.checks(found, settings()) if check.name == "valkey: answers"]
    assert (row.is_fault, row.seen) == (True, "no answer")


@pytest.mark.parametrize("answer", [b"<html>", b"3", b""])
def test_an_api_of_another_form_is_told(world: World, answer: bytes) -> None:
    world.stack()
    world.answers["curl"] = lambda _: answer
    found = world.seen()
    assert found.api == {}
    assert found.unread == ("/api/config of open-webui: expected a JSON object, got another form; tell this project",)


@pytest.mark.parametrize("answer", [b"", b"Killed", b"[]", b"{"])
def test_a_comparison_of_another_form_is_told(world: World, answer: bytes) -> None:
    world.stack()
    world.answers["python3"] = lambda _: answer
    found = world.seen()
    assert found.persisted is None
    assert found.unread == ("python3 in open-webui: expected a JSON object, got another form; tell this project",)


@pytest.mark.parametrize("answer", [b"\xc2\xb2 100", "\u0663 100".encode(), b"7", b"-1 100", b"a b c"])
def test_connections_that_are_no_numbers_are_told(world: World, answer: bytes) -> None:
    world.stack()
    world.answers["psql"] = lambda _: answer
    found = world.seen()
    assert found.postgres is None
    assert len(found.unread) == 1
    assert found.unread[0].startswith("psql in open-webui-postgres: expected two numbers, got another form")


def test_a_database_that_could_not_be_compared_is_told_by_the_kind_of_the_error(world: World) -> None:
    world.stack()
    world.answers["python3"] = lambda _: b'{"persisted": null, "vectors": null, "failed": "OperationalError"}'
    found = world.seen()
    assert found.persisted is None
    assert found.unread == (
        "the database of open-webui: expected its settings, got OperationalError; look at `docker logs open-webui`",
    )


# --- Sign-in

ANSWER = {"way": "oidc", "where": "https://id.example.org/x", "fault": "status", "got": "HTTP 404"}


def signing_in(world: World, answer: bytes, **env: str) -> None:
    """A stack whose container has these variables, and whose Python answers so to the question about sign-in."""
    world.put("open-webui", env or {"OPENID_PROVIDER_URL": "https://id.example.org/x"})
    persisted = world.answers["python3"]
    world.answers["python3"] = lambda process: answer if b"def _discovery" in process.stdin else persisted(process)


def test_providers_are_asked_from_open_webuis_container(world: World) -> None:
    signing_in(world, json.dumps([ANSWER]).encode())
    found = world.seen()
    assert (found.sign_in, found.persisted, found.unread) == ((ANSWER,), ("WEBUI_URL",), ())
    (asked,) = [process for process in world.ran if b"def _discovery" in process.stdin]
    assert "/run/secrets/open-webui.env" in asked.command[-1], "in a swarm, its variables are there"


def test_where_nobody_else_signs_people_in_nobody_is_asked(world: World) -> None:
    signing_in(world, b"not asked", OPENID_PROVIDER_URL="")
    assert (world.seen().sign_in, world.seen().unread) == ((), ())


@pytest.mark.parametrize("answer", [b"", b"Killed", b"{}", b"["])
def test_an_answer_about_sign_in_of_another_form_is_told(world: World, answer: bytes) -> None:
    signing_in(world, answer)
    found = world.seen()
    assert found.sign_in == ()
    assert found.unread == ("python3 in open-webui: expected a JSON list, got another form; tell this project",)


# --- Backups


def test_the_newest_set_and_the_room_for_the_next_are_told(world: World) -> None:
    for name in ("20261127T033000Z", "20261128T033000Z", ".20261129T033000Z.new", "lost+found"):
        world.system.put(f"/srv/sets/{name}/part")
    found = world.seen(backup_dir="/srv/sets")
    assert found.backup["newest"] == "20261128T033000Z", "one that is being made is none yet"
    assert found.backup_number("disk_kb") > found.backup_number("disk_free_kb") > 0
    assert found.backup["mount"].startswith("/")
    assert found.unread == ()


def test_a_folder_of_sets_that_is_not_there_has_no_newest(world: World) -> None:
    found = world.seen(backup_dir="/srv/sets")
    assert "newest" not in found.backup
    assert found.backup_number("now_s") > 0
    assert found.unread == ()


UNITS = "Id=open-webui-backup.timer\nActiveState=active\n\nId=open-webui-backup.service\nActiveState=failed\n"
# systemd 257 in a host's own zone, and with TZ=UTC, which names each time once.
CALENDAR = """\
  Original form: *-*-* 03:30
Normalized form: *-*-* 03:30:00
    Next elapse: Mon 2026-11-30 04:30:00 CET
       (in UTC): Mon 2026-11-30 03:30:00 UTC
       From now: 43min left
   Iteration #2: Tue 2026-12-01 03:30:00 UTC
"""


def test_the_units_and_what_the_schedule_names_are_told(world: World) -> None:
    world.system.put("/run/systemd/system/there")
    world.system.programs |= {"systemctl": UNITS, "systemd-analyze": CALENDAR}
    found = world.seen(backup_schedule="*-*-* 03:30")
    assert (found.backup["timer"], found.backup["last_run"]) == ("active", "failed")
    assert [str(at) for at in found.due] == ["2026-11-30 03:30:00+00:00", "2026-12-01 03:30:00+00:00"]
    (asked,) = [one for one in world.system.asked if one.command[0] == "systemd-analyze"]
    assert asked.command[-1] == "*-*-* 03:30"
    assert asked.environment["TZ"] == "UTC"
    assert world.seen().due == (), "without a schedule nothing is due"


def test_a_schedule_that_systemd_refuses_is_told(world: World) -> None:
    world.system.put("/run/systemd/system/there")
    world.system.programs |= {"systemctl": UNITS, "systemd-analyze": lambda _: None}
    found = world.seen(backup_schedule="*-*-* 03:30")
    assert found.due == ()
    assert len(found.unread) == 1
    assert found.unread[0].startswith("backup_schedule: expected `systemd-analyze calendar` to name the next times")


def test_without_systemd_no_unit_is_known_and_nothing_unread(world: World) -> None:
    found = world.seen(backup_schedule="*-*-* 03:30")
    assert (found.backup.get("timer"), found.due, found.unread) == (None, (), ())


# --- Swarm


@pytest.mark.parametrize(
    ("manages", "leader", "nodes"),
    [
        ("true", True, {"node1": "Ready Active"}),
        ("true", False, {"?": "no answer to `docker service ls`"}),
        ("false", False, {}),  # a worker is never answered
        ("silent", True, {"?": "no answer to `docker info`"}),
    ],
)
def test_a_swarm_without_a_leader_is_a_fault(world: World, manages: str, leader: bool, nodes: dict[str, str]) -> None:
    class Silent(FakeEngine):
        def info(self) -> Info:
            raise Unavailable("GET /info", "none in time")

    if manages == "silent":
        world.engine = Silent(world.engine.docker)
    world.engine.swarm.put_node("node1", role="worker" if manages == "false" else "manager")
    world.engine.swarm.leader = leader
    seen = world.seen(**SWARM)
    assert seen.nodes == nodes
    another = settings(**{**SWARM, "swarm_runs": ["proxy"]})  # a manager without containers of ours
    rows = [check for check in rules.checks(seen, another) if check.name.startswith("node ")]
    assert [check.is_fault for check in rows] == [name == "?" for name in nodes]


def test_in_a_swarm_services_are_counted_and_their_tasks_looked_into(world: World) -> None:
    labels = {STACK_LABEL: "open-webui"}
    world.engine.swarm.put_node("node1")
    world.engine.swarm.put_node("node2", role="worker")
    for name, replicas in (("redis", 1), ("open-webui", 2)):
        new = NewContainer("image:1", labels=labels)
        world.engine.swarm.put_service(f"open-webui_{name}", new, replicas=replicas, labels=labels)
    (app,) = [one for one in world.engine.docker.held.values() if "open-webui_open-webui" in one.name]
    app.files[IN_SWARM] = f"WEBUI_SECRET_KEY='{KEY}'\nREDIS_URL='redis://u:marker@redis:6379/0'\n".encode()
    world.engine.docker.put_container("open-webui", NewContainer("image:1"))  # somebody's own, of no stack
    document = world.document(**SWARM)
    found = doctor_observed.parse(document)
    assert found.services == {"open-webui_redis": "1/1", "open-webui_open-webui": "2/2"}
    assert set(found.containers) == {"redis-valkey", "open-webui"}
    assert all(one.in_swarm for one in found.containers.values())
    assert found.key_fingerprint == hashlib.sha256(KEY.encode()).hexdigest()[:12]
    assert found.addresses == {"REDIS_URL": "redis://redis:6379/0"}
    assert "marker" not in str(document)
    assert KEY not in str(document)
