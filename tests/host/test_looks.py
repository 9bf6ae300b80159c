"""What each look of the monitor finds, what of it is unknown where a question failed, and how little it asks."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.host.fake_engine import FAILED, REFUSED, UNAVAILABLE
from tests.host.fake_monitored import (
    CHANNEL,
    FOLDER,
    MONITOR,
    PUBLISHER,
    REDIS,
    SETS,
    SWARM,
    UNITS,
    WEBUI,
    Monitored,
    wells,
)
from tests.host.fake_websockets import Websockets
from tests.host.faults import Fault, Faults
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.looks import LOOKS
from webui_stack.host.looks.request import Served, Thresholds
from webui_stack.host.looks.sight import slot
from webui_stack.host.outcomes import Outcomes
from webui_stack.host.stack import SERVICE_LABEL, STACK_LABEL

DAY_S = 86400.0


@pytest.fixture(scope="module")
def websockets() -> Iterator[Websockets]:
    served = Websockets()
    yield served
    served.end()


@pytest.fixture
def world(tmp_path: Path, websockets: Websockets) -> Monitored:
    return Monitored(tmp_path, websockets)


def fail(world: Monitored, look: str, kind: str, call: int = 0) -> None:
    """Let a call of the next look go wrong."""
    world.engine.faults = Faults(Fault(call, kind))
    with pytest.raises(HostError):
        world.look(look)


# --- All of them


def test_where_all_is_well_nothing_else_is_found(world: Monitored) -> None:
    findings, _ = world.found(list(LOOKS))
    assert {name for name, ok in wells(findings).items() if ok is not True} == set()


def test_a_round_asks_docker_for_each_container_once_and_runs_no_program(world: Monitored) -> None:
    world.found(list(LOOKS))
    first = world.calls()
    world.found(list(LOOKS))
    assert world.calls() == ["container redis-valkey", "container open-webui"]
    assert first == [*world.calls(), "info"], "Docker's root is asked for once an hour"


def test_a_round_with_postgres_runs_one_program(world: Monitored) -> None:
    world.put("open-webui-postgres", "postgres")
    world.request = replace(world.request, postgres="open-webui-postgres")
    world.found(list(LOOKS))
    world.found(list(LOOKS))
    assert [one for one in world.calls() if one.startswith("exec")] == ["exec open-webui-postgres: psql"]
    assert len(world.calls()) == 4


def test_hundreds_of_rounds_leave_nothing_behind(world: Monitored) -> None:
    """No websocket stays open, and what is kept from round to round does not grow."""
    for _ in range(200):
        world.clock.passed_s += 60
        world.found(list(LOOKS))
    kept = [len(part) for part in (world.memory._answers, world.memory._counters, world.memory._starts)]
    assert kept == [2, 1, 2]
    assert world.websockets
    assert len(world.websockets.sids) <= 1, "the last one's end may be on its way"
    assert len(list(Path("/proc/self/fd").iterdir())) < 100


# --- Containers


@pytest.mark.parametrize(
    ("status", "health", "seen"),
    [
        ("exited", "", "open-webui is exited, with exit code 0"),
        ("paused", "", "open-webui is paused"),
        ("restarting", "", "open-webui is restarting"),
        ("running", "unhealthy", "open-webui is unhealthy: it stopped answering"),
        ("running", "starting", "open-webui has been starting for 16 minutes"),
    ],
)
def test_a_container_that_does_not_serve_is_found(world: Monitored, status: str, health: str, seen: str) -> None:
    world.docker.named("open-webui").status = status
    world.health["open-webui"] = health
    findings, samples = world.look("containers")
    assert (findings["container_open_webui"].ok, findings["container_open_webui"].seen) == (False, seen)
    assert findings["container_redis_valkey"].ok
    assert samples["container_up{container=open-webui}"] == (status == "running")
    assert samples["container_healthy{container=open-webui}"] == 0
    assert samples["container_healthy{container=redis-valkey}"] == 1


def test_an_unhealthy_valkey_is_left_to_the_look_that_asks_it(world: Monitored) -> None:
    """Its healthcheck tells half a minute after PONG has failed: one fault would be two messages (seen in the lab)."""
    world.health["redis-valkey"] = "unhealthy"
    findings, samples = world.look("containers")
    assert findings["container_redis_valkey"].ok
    assert samples["container_healthy{container=redis-valkey}"] == 0


def test_a_container_that_has_just_started_may_start(world: Monitored) -> None:
    world.restart("open-webui")
    world.health["open-webui"] = "starting"
    assert world.look("containers")[0]["container_open_webui"].ok


def test_a_container_without_memory_is_told_so(world: Monitored) -> None:
    world.docker.named("redis-valkey").status, world.docker.named("redis-valkey").exit_code = "exited", 137
    world.oom.add("redis-valkey")
    found = world.look("containers")[0]["container_redis_valkey"]
    assert found.seen == "redis-valkey is exited, with exit code 137, for want of memory"


def test_a_missing_container_is_found(world: Monitored) -> None:
    world.docker.drop(world.docker.named("redis-valkey"))
    findings, samples = world.look("containers")
    assert (findings["container_redis_valkey"].ok, samples["container_up{container=redis-valkey}"]) == (False, 0)


def test_a_container_that_was_started_again_is_repaired_once(world: Monitored) -> None:
    assert world.look("containers")[0]["container_open_webui"].repaired == ""
    world.clock.passed_s += 60
    world.restart("open-webui")
    found = [world.look("containers")[0]["container_open_webui"] for _ in range(2)]
    assert [(one.ok, one.repaired) for one in found] == [(True, "restarted"), (True, "")]


def test_a_start_by_a_verb_and_another_container_of_that_name_are_not_repaired(world: Monitored) -> None:
    world.look("containers")
    world.clock.passed_s += 60
    world.restart("open-webui")
    assert world.look("containers", by_a_verb=True)[0]["container_open_webui"].repaired == ""
    world.docker.drop(world.docker.named("open-webui"))
    world.docker.put_container("open-webui", world.new("open-webui"))
    assert world.look("containers")[0]["container_open_webui"].repaired == ""


def test_more_than_three_restarts_in_an_hour_are_a_fault_and_are_forgotten(world: Monitored) -> None:
    world.look("containers")
    found = []
    for _ in range(4):
        world.clock.passed_s += 60
        world.restart("open-webui")
        found.append(world.look("containers")[0]["restarts_open_webui"].ok)
    world.clock.passed_s += 3600
    found.append(world.look("containers")[0]["restarts_open_webui"].ok)
    assert found == [True, True, True, False, True]


@pytest.mark.parametrize("kind", [UNAVAILABLE, REFUSED])
@pytest.mark.parametrize("look", ["containers", "valkey", "event", "drift"])
def test_where_docker_gives_no_answer_nothing_is_missing(world: Monitored, look: str, kind: str) -> None:
    fail(world, look, kind)


def test_docker_that_gives_no_answer_is_asked_once_a_round(world: Monitored) -> None:
    world.docker.down = True
    for look in LOOKS:
        if look.needs_docker and look.name != "postgres":
            with pytest.raises(HostError):
                world.look(look.name)
            assert len(world.calls()) == 1


# --- Valkey


def test_what_valkey_says_of_itself_is_in_the_numbers(world: Monitored) -> None:
    world.valkey.info |= {"maxmemory": 4_000_000, "acl_access_denied_channel": 7}
    world.limits["redis-valkey"] = 8_000_000
    _, samples = world.look("valkey")
    assert samples == {
        "valkey_up": 1,
        "valkey_subscribers": 1,
        "valkey_memory_used_bytes": 2_000_000,
        "valkey_memory_limit_bytes": 4_000_000,
        "valkey_connections": 12,
        "valkey_connections_limit": 10000,
        "valkey_buffer_disconnections_total": 0,
        "valkey_denials_total{kind=auth}": 0,
        "valkey_denials_total{kind=cmd}": 0,
        "valkey_denials_total{kind=key}": 0,
        "valkey_denials_total{kind=channel}": 7,
    }


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ("LOADING Valkey is loading the dataset in memory", "Valkey answers LOADING: it loads its data"),
        ("MISCONF Valkey is configured to save RDB snapshots", "Valkey answers MISCONF: its last save failed"),
        ("BUSY Valkey is busy running a script.", "Valkey answers BUSY: a script keeps it busy"),
        ("NOAUTH Authentication required.", "Valkey answers NOAUTH: it loads its data"),
        ("ERR what", "Valkey gave no PONG"),
    ],
)
def test_answers_that_are_no_pong_are_told_apart(world: Monitored, answer: str, seen: str) -> None:
    world.valkey.ping = answer
    findings, samples = world.look("valkey")
    assert (findings["valkey_pong"].ok, samples["valkey_up"]) == (False, 0)
    assert findings["valkey_pong"].seen.startswith(seen)
    others = {name for name, ok in wells(findings).items() if ok is not True}
    assert others == {"valkey_pong"}, "what else it does not say is unknown"


def test_a_valkey_that_says_nothing_and_one_that_does_not_run_give_no_pong(
    world: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui_stack.host.looks.conversation._ANSWER_S", 0.1)
    world.valkey.silent = True
    assert world.look("valkey")[0]["valkey_pong"].seen == "Valkey gave no answer for 5 s"
    world.docker.named("redis-valkey").status = "paused"
    assert world.look("valkey")[0]["valkey_pong"].seen == "Valkey does not run"
    world.docker.drop(world.docker.named("redis-valkey"))
    assert wells(world.look("valkey")[0]) == {"valkey_pong": False}
    assert world.look("event") == ({}, {}), "one finding says so"


def test_after_a_question_without_an_answer_none_is_asked(world: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.host.looks.conversation._ANSWER_S", 0.1)
    world.valkey.silent = True
    world.look("valkey")
    assert world.valkey.asked == [["AUTH", "monitor", MONITOR]]


def test_a_valkey_that_nobody_could_ask_is_unknown(world: Monitored) -> None:
    world.valkey.unreachable = OSError(113, "No route to host")
    with pytest.raises(
        HostError, match=r"^Valkey in redis-valkey: expected an answer, got no route to host; see whether"
    ):
        world.look("valkey")
    world.docker.networks.clear()
    with pytest.raises(HostError, match=r"^Valkey in redis-valkey: expected an address in a network, got none"):
        world.look("valkey")


def test_a_port_that_nobody_listens_at_is_an_answer(world: Monitored) -> None:
    world.valkey.unreachable = ConnectionRefusedError(111, "Connection refused")
    findings, samples = world.look("valkey")
    assert (findings["valkey_pong"].seen, samples["valkey_up"]) == ("Valkey gave no PONG: connection refused", 0)


def test_a_valkey_that_ends_while_it_is_asked_does_not_run(world: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: Any) -> Any:
        world.docker.stop(world.docker.named("redis-valkey"), graceful=False)
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(world.valkey, "serve", end)
    assert world.look("valkey")[0]["valkey_pong"].seen == "Valkey does not run"


def test_without_passwords_the_default_user_asks(world: Monitored) -> None:
    for name in ("valkey-monitor-password", "valkey-password"):
        world.system.path(f"{FOLDER}/secrets/{name}").write_text("")
    world.look("valkey")
    assert [words[0] for words in world.valkey.asked] == ["PING", "INFO", "ACL", "PUBSUB", "PUBLISH", "PUBLISH"]


def test_a_password_that_valkey_refuses_is_no_dead_valkey(world: Monitored) -> None:
    world.valkey.passwords["monitor"] = "another"
    findings, _ = world.look("valkey")
    assert wells(findings) == {"valkey_pong": True, "valkey_login": False}
    assert findings["valkey_login"].seen == "Valkey refuses the user monitor (WRONGPASS)"


def test_a_password_is_for_auth_alone_and_in_no_finding(world: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.host.looks.conversation._ARRIVE_S", 0.2)
    findings, _ = world.found(list(LOOKS))
    world.valkey.passwords["open-webui"] = "another"
    again, _ = world.found(list(LOOKS))
    logins = [["AUTH", "monitor", MONITOR], ["AUTH", "open-webui", PUBLISHER]]
    assert [words for words in world.valkey.asked if words[0] == "AUTH"] == [*logins, *logins]
    others = [words for words in world.valkey.asked if words[0] != "AUTH"]
    assert all(secret not in str([others, findings, again]) for secret in (MONITOR, PUBLISHER))


def test_fewer_listeners_than_replicas_are_found(world: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.host.looks.conversation._LISTEN_S", 0.2)
    world.put("open-webui-2", "open-webui-2")
    findings, samples = world.look("valkey")
    assert samples["valkey_subscribers"] == 1
    assert findings["valkey_subscribers"].seen == "1 of 2 replicas of Open WebUI listen on Valkey"
    assert findings["valkey_subscribers"].ok is False
    world.health["open-webui-2"] = "starting"
    assert world.look("valkey")[0]["valkey_subscribers"].ok, "one that does not serve yet need not listen"


def test_an_open_webui_that_begins_to_listen_with_the_looks_websocket_is_waited_for(world: Monitored) -> None:
    world.valkey.late = 3
    findings, _ = world.found([look for look in LOOKS if look.name in ("valkey", "event")])
    assert set(wells(findings).values()) == {True}
    assert findings["valkey_subscribers"].seen == "1 of 1 replicas of Open WebUI listen on Valkey"
    assert [words[0] for words in world.valkey.asked].count("PUBSUB") == 4


@pytest.mark.parametrize(
    ("info", "limit", "name", "seen"),
    [
        ({"used_memory": 91, "maxmemory": 100}, 0, "valkey_memory", "Valkey uses 91 % of maxmemory"),
        ({"used_memory_rss": 95}, 100, "valkey_memory", "Valkey uses 95 % of its container's limit"),
        ({"used_memory": 91, "maxmemory": 100, "used_memory_rss": 95}, 100, "valkey_memory", "Valkey uses 95 % of its"),
        ({"connected_clients": 9001}, 0, "valkey_connections", "Valkey has 90 % of its connections (maxclients)"),
    ],
)
def test_valkey_near_a_limit_is_found(world: Monitored, info: Any, limit: int, name: str, seen: str) -> None:
    world.valkey.info |= info
    world.limits["redis-valkey"] = limit
    found = world.look("valkey")[0][name]
    assert (found.ok, found.seen[: len(seen)]) == (False, seen)


def test_at_its_thresholds_valkey_is_well(world: Monitored) -> None:
    world.valkey.info |= {"used_memory": 90, "maxmemory": 100, "connected_clients": 9000}
    findings, _ = world.look("valkey")
    assert (findings["valkey_memory"].ok, findings["valkey_connections"].ok) == (True, True)


def test_a_listener_that_was_cut_off_is_a_fault_for_a_quarter_of_an_hour(world: Monitored) -> None:
    world.valkey.info["client_output_buffer_limit_disconnections"] = 3
    found = [world.look("valkey")[0]["valkey_buffers"].ok]  # of before this process
    world.valkey.info["client_output_buffer_limit_disconnections"] = 4
    found.append(world.look("valkey")[0]["valkey_buffers"].ok)
    world.clock.passed_s += 900
    found.append(world.look("valkey")[0]["valkey_buffers"].ok)
    world.clock.passed_s += 1
    found.append(world.look("valkey")[0]["valkey_buffers"].ok)
    world.valkey.info["client_output_buffer_limit_disconnections"] = 0  # it was started again
    found.append(world.look("valkey")[0]["valkey_buffers"].ok)
    assert found == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("change", "ok"), [({}, False), ({"age-seconds": "900.1"}, True), ({"username": "monitor"}, True)]
)
def test_what_open_webui_was_denied_lately_is_found(world: Monitored, change: dict[str, str], ok: bool) -> None:
    entry = {"count": 1, "reason": "channel", "object": "socketio#/#x", "username": "open-webui", "age-seconds": "12.5"}
    world.valkey.denied = [{**entry, **change}]
    found = world.look("valkey")[0]["valkey_denials"]
    assert found.ok is ok
    assert ok or found.seen == "Valkey denies Open WebUI: channel socketio"


# --- Event


def test_an_event_goes_through_valkey_to_a_websocket(world: Monitored) -> None:
    findings, samples = world.look("event")
    assert wells(findings) == {"event_open_webui": True}
    assert samples == {"event_delivered{container=open-webui}": 1}
    assert world.dialled == [("10.0.0.3", 8080), ("10.0.0.2", 6379)]
    assert [channel.partition("#")[0] for channel, _ in world.valkey.published] == [CHANNEL, CHANNEL]
    assert {one["room"] for _, one in world.valkey.published} == {world.valkey.published[0][0].rpartition("#")[2]}


def test_a_release_without_channels_of_rooms_hears_by_the_common_one(world: Monitored) -> None:
    world.valkey.own = False
    assert wells(world.look("event")[0]) == {"event_open_webui": True}


def test_an_event_that_does_not_arrive_is_found(world: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.host.looks.conversation._ARRIVE_S", 0.2)
    world.valkey.delivers = False
    findings, samples = world.look("event")
    seen = "an event published in Valkey did not reach a websocket of open-webui"
    assert [(one.ok, one.seen) for one in findings.values()] == [(False, seen)]
    assert samples == {"event_delivered{container=open-webui}": 0}


def test_the_common_channel_proves_nothing_where_rooms_have_their_own(
    world: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui_stack.host.looks.conversation._ARRIVE_S", 0.2)
    publish = Websockets.publish

    def only_common(served: Websockets, message: str) -> None:
        if world.valkey.published[-1][0] == CHANNEL:
            publish(served, message)

    monkeypatch.setattr(Websockets, "publish", only_common)
    (found,) = world.look("event")[0].values()
    assert (found.ok, found.seen.rpartition("; ")[2]) == (False, "another one by the common channel did")


def test_a_websocket_that_does_not_open_is_found(world: Monitored) -> None:
    world.websockets = None
    (found,) = world.look("event")[0].values()
    assert (found.ok, found.seen) == (False, "open-webui opens no websocket: connection refused")
    assert world.valkey.published == []


def test_a_replica_that_does_not_serve_is_no_business_of_the_event(world: Monitored) -> None:
    world.health["open-webui"] = "starting"
    assert world.look("event") == ({}, {})


def test_each_replica_gets_an_event_of_its_own(world: Monitored) -> None:
    world.put("open-webui-2", "open-webui-2")
    world.valkey.subscribers = 2
    assert wells(world.look("event")[0]) == {"event_open_webui": True, "event_open_webui_2": True}


def test_a_publisher_that_valkey_refuses_is_no_delivery(world: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui_stack.host.looks.conversation._ARRIVE_S", 0.2)
    world.valkey.passwords["open-webui"] = "another"
    assert wells(world.look("event")[0]) == {"event_open_webui": False}


# --- Disk


class Room:
    """A file system as statvfs(3) has it: of 100 GB, unless said otherwise."""

    f_frsize, f_blocks, f_files = 1000, 10**8, 1000

    def __init__(self, free_gb: float = 50, inodes_free: int = 500, blocks: int = 10**8, inodes: int = 1000) -> None:
        self.f_bavail, self.f_ffree = int(free_gb * 1e6), inodes_free
        self.f_blocks, self.f_files = blocks, inodes


@pytest.mark.parametrize(
    ("room", "not_well"),
    [
        (Room(), set()),
        (Room(free_gb=10.1), set()),
        (Room(free_gb=9.9), {"disk_docker", "disk_backups"}),
        (Room(free_gb=1.9, blocks=3 * 10**6), {"disk_docker", "disk_backups"}),
        (Room(inodes_free=49), {"inodes_docker", "inodes_backups"}),
        (Room(inodes_free=0, inodes=0), set()),
    ],
)
def test_a_disk_or_inodes_near_their_end_are_found(
    world: Monitored, room: Room, not_well: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui_stack.host.disk.os.statvfs", lambda _: room)
    findings, samples = world.look("disk")
    assert {name for name, ok in wells(findings).items() if not ok} == not_well
    assert samples["disk_size_bytes{place=docker}"] == pytest.approx(room.f_blocks * 1000, rel=1e-3)


def test_without_a_backup_there_is_no_folder_to_look_at(world: Monitored) -> None:
    world.system.path(SETS).rmdir()
    assert {name.partition("_")[2] for name in world.look("disk")[0]} == {"docker"}


def test_a_docker_that_gives_no_answer_hides_no_full_disk(world: Monitored) -> None:
    world.docker.down = True
    world.system.put("/etc/docker/daemon.json", '{"data-root": "/srv/docker"}')
    world.system.path("/srv/docker").mkdir(parents=True)
    assert " at /srv/docker, on " in world.look("disk")[0]["disk_docker"].seen
    world.docker.down = False
    world.clock.passed_s += 600
    assert " at /var/lib/docker, on " in world.look("disk")[0]["disk_docker"].seen


def test_a_disk_that_nobody_could_ask_is_unknown(world: Monitored) -> None:
    world.system.path("/var/lib/docker").rmdir()
    with pytest.raises(HostError, match=r"^/var/lib/docker: expected a folder with a size"):
        world.look("disk")


# --- Postgres


def test_postgres_near_its_limit_is_found(world: Monitored) -> None:
    world.put("open-webui-postgres", "postgres")
    world.request = replace(world.request, postgres="open-webui-postgres")
    findings, samples = world.look("postgres")
    assert wells(findings) == {"postgres_connections": True}
    assert samples == {"postgres_connections": 8, "postgres_connections_limit": 100}
    world.psql = b"91 100\n"
    assert world.look("postgres")[0]["postgres_connections"].seen == "Postgres has 91 of 100 connections"
    assert wells(world.look("postgres")[0]) == {"postgres_connections": False}
    fail(world, "postgres", FAILED, call=3)
    world.engine.faults = Faults()
    world.docker.named("open-webui-postgres").status = "paused"
    assert world.look("postgres") == ({}, {}), "the look at containers says so"


def test_without_postgres_nothing_is_asked(world: Monitored) -> None:
    assert (world.look("postgres"), world.calls()) == (({}, {}), [])


# --- Certificates


def certificate(begins: datetime, ends: datetime) -> tuple[x509.Certificate, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chat.example.org")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, ends)
    return made.sign(key, hashes.SHA256()), key


def pem(one: x509.Certificate) -> str:
    return one.public_bytes(serialization.Encoding.PEM).decode()


def lasting(world: Monitored, before: timedelta, after: timedelta) -> tuple[x509.Certificate, Any]:
    now = datetime.fromtimestamp(world.clock.now(), UTC)
    return certificate(now - before, now + after)


@pytest.mark.parametrize(("days", "ok"), [(15, True), (13, False), (-1, False)])
def test_a_certificate_in_a_file_that_ends_soon_is_found(world: Monitored, days: int, ok: bool) -> None:
    path = f"{FOLDER}/proxy/certificate.pem"
    world.request = replace(world.request, certificates=[path])
    leaf, _ = lasting(world, timedelta(days=60), timedelta(days=days))
    chain, _ = lasting(world, timedelta(days=60), timedelta(days=900))
    world.system.put(path, pem(leaf) + pem(chain))
    findings, samples = world.look("certificates")
    assert wells(findings) == {"certificate_certificate_pem": ok}
    ends_s = samples["certificate_expiry_timestamp_seconds{certificate=certificate.pem}"]
    assert ends_s == pytest.approx(world.clock.now() + days * DAY_S, abs=1)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_that_nobody_can_read_is_unknown(world: Monitored, text: str) -> None:
    world.request = replace(world.request, certificates=["/c.pem"])
    world.system.put("/c.pem", text)
    with pytest.raises(HostError, match=r"^/c.pem: expected certificates in PEM"):
        world.look("certificates")


@pytest.mark.parametrize("year", [2049, 2050, 2120])
def test_certificates_of_both_forms_of_time_are_read(world: Monitored, year: int) -> None:
    world.request = replace(world.request, certificates=["/c.pem"])
    ends = datetime(year, 3, 1, 12, 30, 15, tzinfo=UTC)
    world.system.put("/c.pem", pem(certificate(datetime(1999, 1, 1, tzinfo=UTC), ends)[0]))
    _, samples = world.look("certificates")
    assert list(samples.values()) == [ends.timestamp()]


def tls(one: x509.Certificate, key: Any, folder: Path) -> int:
    """The port of a server that shows a certificate to whoever comes."""
    file = folder / "served.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(pem(one).encode() + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                with context.wrap_socket(listener.accept()[0], server_side=True) as client:
                    client.recv(1)
            except OSError:
                continue

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("before_h", "after_h", "renews", "ok"),
    [
        pytest.param(9, 3.5, True, True, id="an internal one before its renewal is late"),
        pytest.param(10, 2, True, False, id="an internal one after it is late"),
        pytest.param(10, 2, False, False, id="a short one that nobody renews"),
        pytest.param(24 * 70, 24 * 20, False, True, id="one for three weeks"),
    ],
)
def test_the_certificate_that_the_proxy_serves_is_looked_at(
    world: Monitored, tmp_path: Path, before_h: float, after_h: float, renews: bool, ok: bool
) -> None:
    made = lasting(world, timedelta(hours=before_h), timedelta(hours=after_h))
    port = tls(*made, tmp_path)
    served = Served("127.0.0.1", port, "chat.example.org", renews)
    world.put("open-webui-proxy", "proxy")
    world.request = replace(world.request, proxy="open-webui-proxy", served=served)
    dialled: list[int] = []

    def dial(address: str, port: int, limit_s: float) -> socket.socket:
        dialled.append(port)
        return socket.create_connection((address, port), limit_s)

    world.dial = dial  # type: ignore[method-assign]
    assert wells(world.look("certificates")[0]) == {"certificate_served": ok}
    for _ in range(9):
        world.clock.passed_s += 60
        world.look("certificates")
    assert dialled == [port], "once in ten looks"
    world.clock.passed_s += 60
    world.look("certificates")
    assert dialled == [port, port]


def test_a_file_and_what_is_served_of_it_are_asked_again_in_one_look(world: Monitored, tmp_path: Path) -> None:
    """Also where the proxy started some looks later. So a new certificate that ends soon is one message."""
    path = f"{FOLDER}/proxy/certificate.pem"
    good = lasting(world, timedelta(days=1), timedelta(days=90))
    world.system.put(path, pem(good[0]))
    served = Served("127.0.0.1", tls(*good, tmp_path), "chat.example.org", renews=False)
    world.put("open-webui-proxy", "proxy")
    world.request = replace(world.request, proxy="open-webui-proxy", certificates=[path], served=served)
    world.dial = lambda address, port, limit_s: socket.create_connection((address, port), limit_s)  # type: ignore[method-assign]
    world.docker.named("open-webui-proxy").status = "exited"
    assert wells(world.look("certificates")[0]) == {"certificate_certificate_pem": True}
    world.docker.named("open-webui-proxy").status = "running"
    world.clock.passed_s += 60
    both = {"certificate_certificate_pem": True, "certificate_served": True}
    assert wells(world.look("certificates")[0]) == both

    short = lasting(world, timedelta(days=1), timedelta(days=5))
    world.system.put(path, pem(short[0]))
    world.request = replace(world.request, served=replace(served, port=tls(*short, tmp_path)))
    seen = []
    for _ in range(10):
        world.clock.passed_s += 60
        seen.append(wells(world.look("certificates")[0]))
    assert [one for one in seen if one != both] == 2 * [dict.fromkeys(both, False)]


def test_a_proxy_that_shows_no_certificate_is_unknown_and_one_that_does_not_run_is_not_asked(world: Monitored) -> None:
    world.websockets = None
    served = Served("127.0.0.1", 443, "chat.example.org", renews=True)
    world.put("open-webui-proxy", "proxy")
    world.request = replace(world.request, proxy="open-webui-proxy", served=served)
    with pytest.raises(HostError, match=r"^chat.example.org at 127.0.0.1:443: expected a certificate, got Connection"):
        world.look("certificates")
    world.docker.named("open-webui-proxy").status = "exited"
    assert world.look("certificates") == ({}, {})


# --- Backups


@pytest.mark.parametrize(("age_h", "ok"), [(47.9, True), (48.1, False)])
def test_a_set_older_than_twice_the_longest_pause_is_found(world: Monitored, age_h: float, ok: bool) -> None:
    (name,) = world.files.listdir(SETS) or []
    world.files.remove_tree(f"{SETS}/{name}")
    world.put_set(age_h)
    findings, samples = world.look("backups")
    assert wells(findings) == {"backup_age": ok}
    assert samples["backup_last_timestamp_seconds"] == pytest.approx(world.clock.now() - age_h * 3600)


def test_a_set_that_is_being_made_is_none(world: Monitored) -> None:
    (name,) = world.files.listdir(SETS) or []
    world.files.rename(f"{SETS}/{name}", f"{SETS}/.{name}.new")
    assert world.look("backups")[0]["backup_age"].seen == "there was no good backup yet"
    assert wells(world.look("backups")[0]) == {"backup_age": True}, "the first one may be due yet"
    world.clock.passed_s += 50 * 3600
    assert wells(world.look("backups")[0]) == {"backup_age": False}


def test_without_a_schedule_no_set_is_too_old(world: Monitored) -> None:
    world.request = replace(world.request, backup_schedule="")
    world.clock.passed_s += 1000 * DAY_S
    findings, samples = world.look("backups")
    assert (findings, list(samples)) == ({}, ["backup_last_timestamp_seconds"])


def test_without_systemd_no_timer_makes_sets(world: Monitored) -> None:
    world.system.path("/run/systemd/system").rmdir()
    world.clock.passed_s += 1000 * DAY_S
    assert world.look("backups")[0] == {}


def test_a_schedule_is_asked_for_once_a_day_and_one_that_nobody_understands_is_unknown(world: Monitored) -> None:
    for _ in range(100):
        world.clock.passed_s += 60
        world.look("backups")
    assert sum(one.command[0] == "systemd-analyze" for one in world.system.asked) == 1
    world.request = replace(world.request, backup_schedule="nonsense")
    for _ in range(2):
        with pytest.raises(HostError, match=r"^backup_schedule: expected"):
            world.look("backups")
    assert sum(one.command[0] == "systemd-analyze" for one in world.system.asked) == 2


def test_the_age_of_a_drill_is_that_of_the_last_good_one(world: Monitored) -> None:
    assert "drill_age" not in world.look("backups")[0]
    world.request = replace(world.request, drill_schedule="weekly")
    assert world.look("backups")[0]["drill_age"].ok
    drilled = Outcomes(world.files, world.clock, world.request.stack_dir)
    drilled.note("drill", began_s=0, said="", counts={})
    world.clock.passed_s += 3600
    drilled.note("drill", began_s=0, said="a fault", counts={})
    world.clock.passed_s -= 3600
    world.clock.passed_s += 14 * DAY_S
    findings, samples = world.look("backups")
    assert findings["drill_age"].ok
    assert samples["drill_last_timestamp_seconds"] == world.clock.now() - 14 * DAY_S
    world.clock.passed_s += 2 * 3600
    assert world.look("backups")[0]["drill_age"].seen == "the last good drill was 14 days ago; one is due every 7 days"


@pytest.mark.parametrize("text", ["", "{}", '{"good_s": 1}'])
def test_a_note_of_a_drill_in_another_form_is_unknown(world: Monitored, text: str) -> None:
    folder = f"{world.request.stack_dir}/outcomes"
    world.files.make_folder(folder)
    world.files.write(f"{folder}/drill.json", text)
    with pytest.raises(HostError, match=r"/outcomes/drill.json: expected how the last drill ended, got another form;"):
        world.look("backups")


# --- Units


@pytest.mark.parametrize(
    ("unit", "state", "ok"),
    [
        ("open-webui-watchdog.service", "inactive", False),
        ("open-webui-watchdog.service", "activating", True),
        ("open-webui-watchdog.service", "failed", False),
        ("open-webui-backup.timer", "inactive", False),
        ("open-webui-backup.service", "activating", True),
        ("open-webui-backup.service", "failed", False),
    ],
)
def test_units_that_do_not_run_and_jobs_that_failed_are_found(
    world: Monitored, unit: str, state: str, ok: bool
) -> None:
    world.states[unit] = state
    findings, samples = world.look("units")
    name = "unit_" + unit.replace("-", "_").replace(".", "_")
    assert [one.name for one in findings.values() if not one.ok] == [name] * (not ok)
    assert samples[f"unit_ok{{unit={unit}}}"] == ok
    assert len(world.system.asked) == 1


def test_a_unit_that_is_not_there_is_found_with_what_puts_it_there(world: Monitored) -> None:
    for unit in UNITS:
        world.states[unit] = "inactive"
    findings, _ = world.look("units")
    assert {one.seen: one.next_step for one in findings.values() if not one.ok} == {
        "there is no open-webui-watchdog.service": "run deploy.py",
        "there is no open-webui-backup.timer": "run runbooks/backup.py",
    }
    for unit in UNITS:
        world.files.make_folder("/etc/systemd/system")
        world.files.write(f"/etc/systemd/system/{unit}", "")
    findings, _ = world.look("units")
    assert [one.seen for one in findings.values() if not one.ok] == [
        f"{unit} does not run (inactive)" for unit in UNITS
    ]


def test_without_systemd_there_are_no_units_and_one_that_gives_no_answer_is_unknown(world: Monitored) -> None:
    world.system.programs["systemctl"] = lambda _: None
    with pytest.raises(HostError, match=r"^systemctl: expected an answer"):
        world.look("units")
    world.system.path("/run/systemd/system").rmdir()
    assert world.look("units") == ({}, {})


# --- Drift


def test_containers_that_are_not_of_the_last_good_release_are_found(world: Monitored) -> None:
    world.system.put(f"{FOLDER}/.good/at", "20261129T030000Z\n")
    release = {"release_info{release=20261129T030000Z}": 1}
    assert world.look("drift")[1] == {"drifted_containers": 0, **release}
    world.docker.put_image("image:2", world.program)
    for name, new in (
        ("redis-valkey", replace(world.new("redis"), image="image:2")),
        ("open-webui", world.new("open-webui", **{"com.docker.compose.config-hash": "another"})),
    ):
        world.docker.drop(world.docker.named(name))
        world.docker.put_container(name, new)
    findings, samples = world.look("drift")
    assert findings["drift"].seen == "redis-valkey runs another image; open-webui has another configuration"
    assert samples == {"drifted_containers": 2, **release}


@pytest.mark.parametrize("images", ["", "\0\0", "one\n"])
def test_without_a_release_nothing_has_drifted(world: Monitored, images: str) -> None:
    world.system.put(f"{FOLDER}/.good/images", images)
    assert world.look("drift") == ({}, {})


# --- A swarm


@pytest.fixture
def swarm(tmp_path: Path, websockets: Websockets) -> Monitored:
    """A data node with Valkey and one of two replicas of Open WebUI."""
    world = Monitored(tmp_path, websockets, **SWARM)
    world.become_data_node()
    return world


def test_a_swarm_is_looked_at_by_its_services(swarm: Monitored) -> None:
    findings, _ = swarm.found(list(LOOKS))
    assert {name for name, ok in wells(findings).items() if ok is not True} == set()
    assert {"service_open_webui_redis", "service_open_webui_open_webui", "valkey_subscribers"} <= set(findings)
    assert [name for name in findings if name.startswith("event_")] != []
    swarm.found(list(LOOKS))
    here = len(swarm.docker.held)
    assert len(swarm.calls()) == 1 + here + 1 + 2 + 1, "running, each here, services, their tasks, bridge"


def test_a_replica_on_another_host_of_a_swarm_need_not_listen_before_its_first_websocket(
    swarm: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui_stack.host.looks.conversation._LISTEN_S", 0.2)
    swarm.valkey.subscribers = 1
    assert swarm.look("valkey")[0]["valkey_subscribers"].ok
    swarm.valkey.subscribers = 0
    assert swarm.look("valkey")[0]["valkey_subscribers"].seen == "0 of 1 replicas of Open WebUI listen on Valkey"


def test_a_replica_that_is_gone_is_found(swarm: Monitored) -> None:
    task = next(one for one in swarm.engine.swarm.tasks if one.node_id == "node2")
    swarm.engine.swarm.tasks.remove(task)
    swarm.valkey.subscribers = 1
    findings, samples = swarm.found(list(LOOKS))
    not_well = {name for name, ok in wells(findings).items() if not ok}
    assert not_well <= {"service_open_webui_open_webui", "service_open_webui_redis"}
    assert len(not_well) == 1
    assert {value for name, value in samples.items() if name.startswith("service_replicas_wanted")} == {1, 2}


def test_a_replica_that_its_swarm_starts_again_and_again_is_found(swarm: Monitored) -> None:
    """Each start makes another container, with another name."""
    found = []
    for _ in range(5):
        findings, _ = swarm.look("containers")
        found.append(findings["restarts_open_webui_redis_1"].ok)
        swarm.clock.passed_s += 60
        new = NewContainer("image:1", labels={SERVICE_LABEL: REDIS}, network="docker_gwbridge")
        swarm.engine.swarm.put_service(REDIS, new, labels={STACK_LABEL: "open-webui"}, force=True)
    assert found == [True, True, True, True, False]
    assert len(swarm.memory._starts) == 2


def test_an_update_that_starts_the_next_replica_first_is_looked_at_once(swarm: Monitored) -> None:
    new = NewContainer("image:1", labels={SERVICE_LABEL: WEBUI}, network="docker_gwbridge")
    there = [one.name for one in swarm.docker.held.values() if one.name.startswith(WEBUI)]
    slots = {name.rpartition(".")[0] for name in there}
    for name in slots:
        swarm.docker.put_container(f"{name}.next", new)
    findings, samples = swarm.found(list(LOOKS))  # which takes no name twice
    assert len([one for one in samples if one.startswith("container_up{container=open-webui_open-webui")]) == len(slots)
    assert len([one for one in findings if one.startswith("event_")]) == len(slots)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("redis-valkey", "redis-valkey"),
        ("open-webui_redis.1.x8a", "open-webui_redis.1"),
        ("open-webui_proxy.kq3n0.x8a", "open-webui_proxy"),
        ("a.b", "a.b"),
    ],
)
def test_a_containers_slot_is_its_name_without_its_task(name: str, expected: str) -> None:
    assert slot(name) == expected


def test_a_service_that_is_missing_is_found_and_managers_without_an_answer_are_not(swarm: Monitored) -> None:
    swarm.engine.swarm.drop_service(WEBUI)
    assert swarm.look("containers")[0]["service_open_webui_open_webui"].ok is False
    swarm.engine.swarm.leader = False
    with pytest.raises(HostError):
        swarm.look("containers")


def test_thresholds_are_the_operators(world: Monitored) -> None:
    world.request = replace(world.request, thresholds=Thresholds(connections_percent=0.1))
    assert world.look("valkey")[0]["valkey_connections"].ok is False
