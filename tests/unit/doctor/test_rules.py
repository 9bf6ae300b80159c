"""Doctor names what is wrong, each fault by its own row and no other; and nothing where nothing is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.defaults import settings
from tests.doctor_documents import BARE, DEPLOYED, NEWER, TUTORIAL, Document, changed, having
from webui_stack.doctor import rules
from webui_stack.model import doctor_observed
from webui_stack.model.check import Check


def cured(document: Document) -> Document:
    """The deployed host, had somebody followed all advice."""
    for old, new in {
        '"overcommit_memory":"0"': '"overcommit_memory":"1"',
        "valkey_version:8.1.1": "valkey_version:8.0.12",
        '"package":"8.1.1+dfsg1-3+deb13u3"': '"package":""',
        '"onboarding":true,': "",
        '"CORS_ALLOW_ORIGIN":"*"': '"CORS_ALLOW_ORIGIN":"https://chat.example.org"',
        '"persisted":["JWT_EXPIRES_IN"]': '"persisted":[]',
    }.items():
        document = changed(document, old, new)
    return document


# The deployed host, with what the capture knows nothing of yet.
FINE = having(
    cured(DEPLOYED),
    host={"compose": "2.26.1-4", "mount": "/", "inodes": 16777216, "inodes_free": 12000000},
    backup={
        "disk_kb": 100000000,
        "disk_free_kb": 60000000,
        "mount": "/var/backups",
        "inodes": 1000000,
        "inodes_free": 900000,
        "newest": "20261128T033000Z",
        "timer": "inactive",
        "last_run": "inactive",
        "now_s": 1795944000,
    },
    firewall={"backend": "", "managed": True, "nat": 1, "filter": 3},
    proxy={"version": "v2.11.9 h1:abc="},
    open_webui={"vectors": {"method": "ivfflat", "distance": 700, "original": True, "rows": 9000}},
)


def judged(document: Document, **changes: Any) -> list[Check]:
    return rules.checks(doctor_observed.parse(document), settings(**changes))


def levels(checks: list[Check]) -> dict[str, str]:
    """What is not fine, as `fault` or `advice` by name."""
    return {check.name: "fault" if check.is_fault else "advice" for check in checks if not check.ok}


def test_of_the_deployed_host_the_open_door_alone_is_a_fault() -> None:
    assert levels(judged(DEPLOYED)) == {
        "overcommit_memory": "advice",
        "valkey: version": "advice",
        "open-webui: first admin": "fault",
        "open-webui: CORS": "advice",
        "open-webui: saved settings": "advice",
    }


def test_a_newer_engine_is_judged_as_well() -> None:
    assert levels(judged(NEWER)) == {
        "overcommit_memory": "advice",
        "valkey: version": "advice",
        "open-webui: CORS": "advice",
    }
    assert "Engine 28.5.2+dfsg4, Compose 2.40.3-3" in [check.seen for check in judged(NEWER)]


def test_a_host_that_follows_the_advice_has_nothing() -> None:
    checks = judged(FINE)
    assert levels(checks) == {}
    assert len(checks) > 35


def test_the_tutorial_as_it_is_written() -> None:
    assert levels(judged(TUTORIAL)) == {
        "open-webui: restart policy": "fault",
        "valkey: password": "fault",
        "valkey: timeout": "fault",
        "websocket: subscribers": "fault",
        "open-webui: WEBSOCKET_REDIS_URL": "fault",
        "open-webui: REDIS_URL": "fault",
        "open-webui: WEBUI_SECRET_KEY": "fault",
        "overcommit_memory": "advice",
        "redis-valkey: origin": "advice",
        "open-webui: origin": "advice",
        "open-webui: healthcheck": "advice",
        "open-webui: log size": "advice",
        "valkey: version": "advice",
        "valkey: persistence": "advice",
        "valkey: pub/sub buffer": "advice",
        "open-webui: CORS": "advice",
        "open-webui: REDIS_SOCKET_CONNECT_TIMEOUT": "advice",
        "open-webui: REDIS_HEALTH_CHECK_INTERVAL": "advice",
        "open-webui: JWT_EXPIRES_IN": "advice",
    }


POLICY = '"maxmemory-policy":"allkeys-lru"'
DENIED = '[{"count":2,"reason":"channel","context":"toplevel","object":"other","username":"%s","age-seconds":1.5}]'
IDLE = "\n".join(f"id={number} addr=198.19.1.3:1 name= age=9999 idle=3601 flags=N" for number in range(100, 121))


# As the fine host has it: no Postgres, an empty ACL LOG, and a key.
NO_POSTGRES, POSTGRES = '"postgres":null', '"postgres":{"used":%d,"limit":100}'
LOGGED = "\n[]"
KEY = '"key":{"fingerprint":"46b77dde87a5","short":false}'


def also(variable: str) -> tuple[str, str]:
    """What to change, so that Open WebUI has this variable as well."""
    return '"variables":[', f'"variables":["{variable}",'


CASES = [
    ("disk", '"disk_free_kb":69440980', '"disk_free_kb":1000000', "fault", "976 of 258019 MB free"),
    ("disk", '"disk_free_kb":69440980', '"disk_free_kb":20000000', "advice", "19531 of 258019 MB free"),
    ("docker: version", '"engine":"26.1.5+dfsg1"', '"engine":"29.0.1"', "advice", "Engine 29.0.1, proved up to 28.x"),
    ("docker: version", '"compose":"2.26.1-4"', '"compose":"5.0.0"', "advice", "Compose 5.0.0, proved up to 2.x"),
    ("disk: inodes", '"inodes_free":12000000', '"inodes_free":9', "fault", "9 of 16777216 inodes free"),
    ("disk: inodes", '"inodes_free":12000000', '"inodes_free":1000000', "advice", "1000000 of 16777216"),
    ("backups: disk", '"disk_free_kb":60000000', '"disk_free_kb":1000', "fault", "0 of 97656 MB free"),
    ("backups: disk", '"disk_free_kb":60000000', '"disk_free_kb":6000000', "advice", "5859 of 97656 MB"),
    ("backups: disk: inodes", '"inodes_free":900000', '"inodes_free":0', "fault", "0 of 1000000 inodes"),
    ("backups: last run", '"last_run":"inactive"', '"last_run":"failed"', "fault", "open-webui-backup.service failed"),
    ("docker: packet filter", '"nat":1', '"nat":0', "fault", "filter (nat): somebody flushed it"),
    ("docker: packet filter", '"filter":3', '"filter":0', "fault", "filter (filter): somebody"),
    ("proxy: version", '"version":"v2.11.9', '"version":"v2.11.7', "advice", "Caddy 2.11.7"),
    (
        "proxy: version",
        '"version":"v2.11.9',
        '"version":"v2.11.1',
        "fault",
        "Caddy 2.11.1 is older than the fixes of GHSA",
    ),
    (
        "proxy: version",
        'v2.11.9 h1:abc=","package":""',
        '2.6.2","package":"2.6.2-12"',
        "advice",
        "package 2.6.2-12",
    ),
    ("postgres: vector index", '"distance":700', '"distance":7', "advice", "made while its table was empty"),
    ("memory", '"memory_free_kb":21670260', '"memory_free_kb":100000', "fault", "97 of 24105 MB available"),
    ("memory", '"memory_free_kb":21670260', '"memory_free_kb":400000', "advice", "390 of 24105 MB available"),
    ("overcommit_memory", '"overcommit_memory":"1"', '"overcommit_memory":"2"', "advice", "is 2"),
    ("postgres: connections", NO_POSTGRES, POSTGRES % 81, "advice", "81 of 100 in use"),
    ("postgres: connections", NO_POSTGRES, POSTGRES % 100, "fault", "100 of 100 in use"),
    ("open-webui: healthcheck", "open-webui|healthy", "unhealthy", "fault", "unhealthy"),
    ("open-webui: healthcheck", 'open-webui|"failing":0', '"failing":3', "advice", "healthy, 3 failed in a row"),
    ("redis-valkey: healthcheck", "redis-valkey|healthy", "none", "advice", "none"),
    ("redis-valkey: out of memory", 'redis-valkey|"oom_killed":false', '"oom_killed":true', "fault", "killed by"),
    ("redis-valkey: restarts", 'redis-valkey|"restarts":0', '"restarts":7', "advice", "restarted it 7 times"),
    ("open-webui: restart policy", "open-webui|unless-stopped", "no", "fault", "no"),
    ("redis-valkey: log size", 'redis-valkey|,"max-size":"1m"', "", "advice", "driver json-file, without a limit"),
    ("open-webui: origin", "open-webui|/opt/open-webui", "/root/x", "advice", "made by compose in /root/x"),
    (
        "valkey: version",
        "valkey_version:8.0.12",
        "valkey_version:8.0.1",
        "fault",
        "CVE-2025-49844 (code execution)",
    ),
    (
        "valkey: version",
        "valkey_version:8.0.12",
        "valkey_version:8.0.9",
        "fault",
        "than the fixes of CVE-2026-56684",
    ),
    ("valkey: version", "valkey_version:8.0.12", "valkey_version:9.0.4", "fault", "Valkey 9.0.4 is older"),
    ("valkey: version", "valkey_version:8.0.12", "valkey_version:7.2.13", "fault", "Valkey 7.2.13 is older"),
    ("valkey: version", "valkey_version:8.0.12", "valkey_version:8.0.11", "advice", "not the newest of its line"),
    ("valkey: version", "valkey_version:8.0.12", "valkey_version:9.1.2", "advice", "not the newest of its line"),
    ("valkey: version", "valkey_version:8.0.12", "valkey_version:7.9.3", "advice", "Valkey 7.9.3"),
    ("valkey: password", "nopass resetkeys resetchannels -@all +ping", "nopass ~* &* +@all", "fault", "anybody"),
    (
        "valkey: published port",
        'redis-valkey|"ports":[]',
        '"ports":[{"address":"0.0.0.0","outside":6379,"inside":"6379/tcp"}]',
        "fault",
        "published at 0.0.0.0:6379",
    ),
    (
        "valkey: published port",
        'redis-valkey|"ports":[]',
        '"ports":[{"address":"127.0.0.1","outside":6379,"inside":"6379/tcp"}]',
        "advice",
        "published at 127.0.0.1:6379",
    ),
    ("valkey: eviction", '"maxmemory-policy":"noeviction"', POLICY, "advice", "allkeys-lru, maxmemory not limited"),
    ("valkey: persistence", '"appendonly":"yes"', '"appendonly":"no"', "advice", "no AOF, snapshots after 30 s"),
    (
        "valkey: persistence",
        '"save":"30 1","appendonly":"yes"',
        '"save":"","appendonly":"no"',
        "fault",
        "no AOF, no snapshots",
    ),
    ("valkey: last save", "rdb_last_bgsave_status:ok", "rdb_last_bgsave_status:err", "fault", "rdb_last_bgsave"),
    ("valkey: loading", "loading:0", "loading:1\nloading_loaded_perc:41.50", "fault", "41.50 % of its data"),
    ("valkey: timeout", '"timeout":"1800"', '"timeout":"0"', "fault", "never closed"),
    ("valkey: connections", "connected_clients:", "connected_clients:900", "fault", "of 10000 in use"),
    ("valkey: connections", "connected_clients:", "connected_clients:600", "advice", "of 10000 in use"),
    ("valkey: refused connections", "rejected_connections:0", "rejected_connections:4", "advice", "4 since"),
    ("valkey: idle connections", LOGGED, f"{LOGGED}\n{IDLE}", "advice", "21 of 23 idle"),
    ("valkey: open files", '"open_files":"11024"', '"open_files":"1024"', "advice", "may open 1024"),
    ("valkey: pub/sub buffer", "pubsub 1073741824", "pubsub 33554432", "advice", "32 MB, 0 connections lost"),
    (
        "valkey: pub/sub buffer",
        "client_output_buffer_limit_disconnections:0",
        "client_output_buffer_limit_disconnections:2",
        "advice",
        "1024 MB, 2 connections lost",
    ),
    ("valkey: ACL log", LOGGED, "\n" + DENIED % "open-webui", "fault", "open-webui: channel other"),
    ("valkey: ACL log", LOGGED, "\n" + DENIED % "default", "advice", "default: channel other"),
    ("websocket: subscribers", '["socketio",1]', '["socketio",0]', "fault", "0 connections"),
    ("websocket: switched on", 'WEBSOCKET_SUPPORT":"true"', 'WEBSOCKET_SUPPORT":"False"', "fault", "SUPPORT false"),
    ("websocket: switched on", '"WEBSOCKET_MANAGER":"redis"', '"WEBSOCKET_MANAGER":""', "fault", "MANAGER not set"),
    ("open-webui: WEBSOCKET_REDIS_URL", "redis:6379/1", "127.0.0.1:6379/1", "fault", "the container itself"),
    ("open-webui: REDIS_URL", "redis:6379/0", "localhost:6379/0", "fault", "the container itself"),
    ("open-webui: REDIS_URL", ',"REDIS_URL":"redis://redis:6379/0"', "", "fault", "signing out revokes nothing"),
    ("one network", 'open-webui|["openwebui-network"]', '["bridge"]', "fault", "share no network"),
    ("open-webui: WEBUI_SECRET_KEY", KEY, '"key":null', "fault", "each new container makes its own"),
    ("open-webui: WEBUI_SECRET_KEY", '"short":false', '"short":true', "fault", "than 32 characters"),
    (
        "open-webui: WEBUI_SECRET_KEY",
        KEY,  # of two values of one name, the last one counts
        '"key":null,"variables":["WEBUI_SECRET_KEY_FILE","REDIS_SOCKET_CONNECT_TIMEOUT"]',
        "advice",
        "from WEBUI_SECRET_KEY_FILE",
    ),
    ("open-webui: image", "open-webui|:v0.12.4-slim", ":main", "advice", ":main"),
    ("open-webui: first admin", '"api":{', '"api":{"onboarding":true,', "fault", "on all addresses"),
    ("open-webui: CORS", '"CORS_ALLOW_ORIGIN":"https://chat.example.org"', '"X":""', "advice", "any web page"),
    ("open-webui: REDIS_CLUSTER", *also("REDIS_CLUSTER"), "fault", "is set"),
    (
        "open-webui: REDIS_SENTINEL_HOSTS",
        *also("REDIS_SENTINEL_HOSTS"),
        "advice",
        "is set",
    ),
    ("open-webui: UVICORN_WORKERS", '"UVICORN_WORKERS":"1"', '"UVICORN_WORKERS":"4"', "fault", "is set"),
    (
        "open-webui: REDIS_SOCKET_CONNECT_TIMEOUT",
        '"REDIS_SOCKET_CONNECT_TIMEOUT",',
        "",
        "advice",
        "not set",
    ),
    (
        "open-webui: REDIS_HEALTH_CHECK_INTERVAL",
        'CHECK_INTERVAL":"60"',
        'CHECK_INTERVAL":"3600"',
        "advice",
        "3600 s, Valkey's timeout is 1800 s",
    ),
    ("open-webui: JWT_EXPIRES_IN", '"JWT_EXPIRES_IN":"24h"', '"JWT_EXPIRES_IN":"-1"', "advice", "-1"),
    (
        "open-webui: saved settings",
        '"persisted":[]',
        '"persisted":["WEBUI_URL"]',
        "advice",
        "overrules WEBUI_URL",
    ),
    ("open-webui: saved settings", '"persisted":[]', '"persisted":null', "advice", "could not be compared"),
    ("unread", '"unread":[]', '"unread":["something else"]', "advice", "something else"),
]


def test_every_process_is_looked_at() -> None:
    found = levels(judged(FINE, open_webui_replicas=2, public_url="https://chat.example.org"))
    assert {name: level for name, level in found.items() if name.startswith("open-webui-")} == dict.fromkeys(
        ("open-webui-postgres", "open-webui-2", "open-webui-proxy"), "fault"
    )


UNCLAIMED = changed(FINE, '"api":{', '"api":{"onboarding":true,')
PORT = '{"address":"%s","outside":3000,"inside":"8080/tcp"}'


@pytest.mark.parametrize(
    ("ports", "changes", "level", "seen"),
    [
        pytest.param("127.0.0.1", {}, "ok", "nobody has signed up yet, but only the host itself can", id="loopback"),
        pytest.param("::1", {}, "ok", "nobody has signed up yet, but only the host itself can", id="loopback, IPv6"),
        pytest.param("::", {}, "fault", "it is published on all addresses", id="all, IPv6"),
        pytest.param("192.88.99.7", {}, "fault", "it is published on 192.88.99.7", id="a public address"),
        pytest.param("192.168.1.7", {}, "advice", "it is published on 192.168.1.7, a private address", id="private"),
        pytest.param(
            "127.0.0.1",
            {"public_url": "https://chat.example.org"},
            "fault",
            "https://chat.example.org is open to everybody",
            id="behind our proxy",
        ),
        pytest.param(
            "127.0.0.1",
            {"open_webui_public_url": "https://chat.example.org"},
            "fault",
            "https://chat.example.org is open to everybody",
            id="behind the operator's own",
        ),
    ],
)
def test_an_open_door_and_nobody_inside(ports: str, changes: dict[str, Any], level: str, seen: str) -> None:
    for document, wanted in ((UNCLAIMED, level), (FINE, "ok")):
        published = changed(document, PORT % "0.0.0.0", PORT % ports)
        (found,) = [check for check in judged(published, **changes) if check.name == "open-webui: first admin"]
        assert ("ok" if found.ok else "fault" if found.is_fault else "advice") == wanted
        if document == UNCLAIMED:
            assert seen in found.seen


DUE = ["2026-11-30 03:30:00", "2026-12-01 03:30:00", "2026-12-02 03:30:00"]
SCHEDULED = having(FINE, due=DUE, backup={"timer": "active"})


@pytest.mark.parametrize(
    ("row", "old", "new", "seen"),
    [
        ("backups: timer", '"timer":"active"', '"timer":"failed"', "open-webui-backup.timer is failed"),
        ("backups: timer", '"timer":"active"', '"timer":""', "is no systemd"),
        ("backups: newest", "20261128T033000Z", "20261127T033000Z", "every 24 hours"),
        ("backups: newest", "20261128T033000Z", "", "there is none"),
    ],
)
def test_backups_that_are_not_made_are_a_fault(row: str, old: str, new: str, seen: str) -> None:
    schedule = {"backup_schedule": "*-*-* 03:30"}
    assert levels(judged(SCHEDULED, **schedule)) == {}
    checks = judged(changed(SCHEDULED, old, new), **schedule)
    assert levels(checks) == {row: "fault"}
    assert seen in next(check.seen for check in checks if check.name == row)


def test_a_schedule_with_pauses_is_judged_by_the_longest() -> None:
    over_the_weekend = ["2026-11-30 03:30:00", "2026-12-03 03:30:00", "2026-12-04 03:30:00"]
    old = having(SCHEDULED, due=over_the_weekend, backup={"newest": "20261124T033000Z"})
    assert levels(judged(old, backup_schedule="Mon,Thu 03:30")) == {}


def test_without_a_schedule_no_timer_is_missed() -> None:
    assert "backups: timer" not in {check.name for check in judged(FINE)}


def test_one_disk_is_told_once() -> None:
    same = having(FINE, backup={"mount": "/"})
    assert "backups: disk" not in {check.name for check in judged(same)}
    assert "backups: disk" in {check.name for check in judged(FINE)}


def test_a_file_system_without_inodes_has_no_such_row() -> None:
    none = having(FINE, host={"inodes": 0, "inodes_free": 0})
    assert "disk: inodes" not in {check.name for check in judged(none)}


def indexed(method: str, distance: int, original: bool, rows: int) -> Document:
    vectors = {"method": method, "distance": distance, "original": original, "rows": rows}
    return having(FINE, open_webui={"vectors": vectors})


@pytest.mark.parametrize(
    ("method", "distance", "original", "rows"),
    [
        pytest.param("ivfflat", 7, False, 9000, id="REINDEX since"),
        pytest.param("ivfflat", 10, True, 9000, id="REINDEX CONCURRENTLY since, and nothing else in between"),
        pytest.param("ivfflat", 700, True, 9000, id="made long after its table"),
        pytest.param("ivfflat", 7, True, 0, id="nothing in it yet"),
        pytest.param("hnsw", 7, True, 9000, id="hnsw needs no training"),
    ],
)
def test_a_good_vector_index_is_no_matter(method: str, distance: int, original: bool, rows: int) -> None:
    assert levels(judged(indexed(method, distance, original, rows))) == {}


@pytest.mark.parametrize(("rows", "repair"), [(9000, "REINDEX INDEX"), (40, "DROP INDEX"), (-1, "DROP INDEX")])
def test_the_repair_of_a_vector_index_fits_its_size(rows: int, repair: str) -> None:
    checks = judged(indexed("ivfflat", 7, True, rows))
    assert repair in next(check.next_step for check in checks if check.name == "postgres: vector index")


def test_connections_of_postgres_are_fine_up_to_four_fifths() -> None:
    assert levels(judged(having(FINE, postgres={"used": 80, "limit": 100}))) == {}


@pytest.mark.parametrize(("row", "old", "new", "level", "seen"), CASES)
def test_each_row_tells_its_own_trouble_and_no_other(row: str, old: str, new: str, level: str, seen: str) -> None:
    checks = judged(changed(FINE, old, new))
    assert levels(checks) == {row: level}
    assert seen in next(check.seen for check in checks if check.name == row)
    assert all(check.next_step for check in checks if not check.ok)


def test_every_row_has_a_case() -> None:
    def kind(name: str) -> str:
        return name.replace("redis-valkey", "container").replace("open-webui", "container")

    there = {kind(check.name) for document in (FINE, TUTORIAL) for check in judged(document)}
    elsewhere = {
        "container",
        "container: variables",
    }  # the next test; and what says that none of the broken ones is set
    assert there - {kind(case[0]) for case in CASES} == elsewhere


def test_a_container_that_ended_or_is_gone_is_a_fault() -> None:
    ended = changed(changed(FINE, 'open-webui|"running"', '"exited"'), 'open-webui|"exit_code":0', '"exit_code":1')
    assert levels(judged(ended)) == {"open-webui": "fault"}
    assert "exited, exit code 1" in str([str(check) for check in judged(ended)])
    gone = {**FINE, "containers": [one for one in FINE["containers"] if one["name"] != "redis-valkey"]}
    assert levels(judged(gone))["redis-valkey"] == "fault"


def test_an_eviction_is_a_fault_once_it_can_happen() -> None:
    document = changed(FINE, '"maxmemory-policy":"noeviction"', POLICY)
    assert levels(judged(changed(document, '"maxmemory":"0"', '"maxmemory":"1048576"'))) == {
        "valkey: eviction": "fault"
    }


def test_a_small_buffer_that_lost_connections_is_a_fault() -> None:
    document = changed(FINE, "pubsub 1073741824", "pubsub 33554432")
    document = changed(document, "output_buffer_limit_disconnections:0", "output_buffer_limit_disconnections:2")
    assert levels(judged(document)) == {"valkey: pub/sub buffer": "fault"}


@pytest.mark.parametrize(
    ("old", "new", "choice"),
    [
        ('"timeout":"1800"', '"timeout":"0"', {"valkey_timeout_s": 0}),
        ("resetkeys resetchannels -@all +ping", "~* &* +@all", {"valkey_default_user": "all"}),
        (
            '"save":"30 1","appendonly":"yes"',
            '"save":"","appendonly":"no"',
            {"valkey_save": "", "valkey_appendonly": False},
        ),
    ],
)
def test_what_the_settings_chose_is_no_fault(old: str, new: str, choice: dict[str, Any]) -> None:
    document = changed(FINE, old, new)
    assert list(levels(judged(document)).values()) == ["fault"]
    assert list(levels(judged(document, **choice)).values()) == ["advice"]


def test_the_public_url_has_to_be_among_the_origins() -> None:
    assert levels(judged(FINE, open_webui_public_url="https://chat.example.org")) == {}
    assert levels(judged(FINE, open_webui_public_url="https://other.example.org")) == {"open-webui: CORS": "fault"}
    by_variable = changed(FINE, '"values":{', '"values":{"WEBUI_URL":"https://other.example.org/",')
    assert levels(judged(by_variable)) == {"open-webui: CORS": "fault"}


@pytest.mark.parametrize(
    ("origin", "found"),
    [
        ("https://chat.example.org", {}),
        ("https://Chat.Example.org", {"open-webui: CORS": "fault"}),
        ("https://chat.example.org:443", {"open-webui: CORS": "fault"}),
        ("https://chat.example.org/", {"open-webui: CORS": "fault"}),
    ],
)
def test_an_origin_that_no_browser_spells_so_is_a_fault(origin: str, found: dict[str, str]) -> None:
    values = {**FINE["open_webui"]["values"], "CORS_ALLOW_ORIGIN": origin, "WEBUI_URL": origin}
    assert levels(judged(having(FINE, open_webui={"values": values}))) == found


@pytest.mark.parametrize(
    ("image", "version", "found"),
    [
        (":v0.12.4-slim", "0.12.4", {}),
        (":v0.12.3-slim", "0.12.3", {"open-webui: REDIS_SOCKET_TIMEOUT": "fault"}),
        ("@sha256:" + "a" * 64, "0.12.3", {"open-webui: REDIS_SOCKET_TIMEOUT": "fault"}),
    ],
    ids=["since 0.12.4 it is fine", "before", "before, by what it says itself"],
)
def test_a_variable_is_broken_up_to_a_release(image: str, version: str, found: dict[str, str]) -> None:
    document = changed(FINE, "open-webui:v0.12.4-slim", f"open-webui{image}")
    document = changed(document, '"version":"0.12.4"', f'"version":"{version}"')
    assert levels(judged(changed(document, *also("REDIS_SOCKET_TIMEOUT")))) == found


def test_workers_on_postgres_are_fine() -> None:
    document = changed(FINE, '"UVICORN_WORKERS":"1"', '"UVICORN_WORKERS":"4"')
    assert levels(judged(changed(document, *also("DATABASE_URL")))) == {}


def test_on_the_hosts_own_network_the_loopback_is_right() -> None:
    document = changed(TUTORIAL, 'open-webui|"network_mode":"openwebui-network"', '"network_mode":"host"')
    assert "open-webui: WEBSOCKET_REDIS_URL" not in levels(judged(document))


def test_saved_settings_are_no_matter_while_nothing_runs() -> None:
    document = changed(having(FINE, open_webui={"persisted": None}), 'open-webui|"running"', '"exited"')
    assert levels(judged(document)) == {"open-webui": "fault"}


def test_variables_that_win_are_not_compared() -> None:
    document = changed(DEPLOYED, 'PERSISTENT_CONFIG":"True"', 'PERSISTENT_CONFIG":"False"')
    assert "open-webui: saved settings" not in levels(judged(document))


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ('error:"NOAUTH Authentication required."', "advice"),
        ("Error response from daemon: container is not running", "fault"),
    ],
)
def test_a_valkey_that_does_not_answer_is_not_judged(answer: str, level: str) -> None:
    found = levels(judged(having(FINE, valkey={"answers": [answer]})))
    assert found == {"valkey: answers": level}


def test_a_host_without_docker_or_stack_is_told_so() -> None:
    assert [str(check) for check in judged(BARE)] == [
        "docker: no Docker that runs, so no stack; `pyinfra INVENTORY deploy.py` installs it"
    ]
    assert levels(judged(having(BARE, host={"engine": "26.1.5"}))) == {"stack": "fault"}


# --- Hosts against each other -----------------------------------------------------------------------

URL = "https://chat.example.org"


def fleet(**keys: tuple[str, str | None]) -> dict[str, dict[str, str]]:
    """For each host what is said of its key, from (fingerprint, public URL) by host name."""
    seen = {name: doctor_observed.Observed(key_fingerprint=key) for name, (key, _) in keys.items()}
    wanted = {name: settings(open_webui_public_url=url) for name, (_, url) in keys.items()}
    return {name: levels(rules.across(seen, wanted, name)) for name in keys}


def test_hosts_behind_one_url_need_one_key() -> None:
    fault = {"one WEBUI_SECRET_KEY": "fault"}
    assert fleet(a=("1", URL), b=("2", URL)) == {"a": fault, "b": fault}
    assert fleet(a=("1", URL), b=("1", URL)) == {"a": {}, "b": {}}


def test_hosts_with_nothing_in_common_are_not_compared() -> None:
    assert fleet(a=("1", URL), b=("2", "https://other.example.org")) == {"a": {}, "b": {}}
    assert fleet(a=("1", None), b=("2", None)) == {"a": {}, "b": {}}
    assert fleet(a=("1", URL), b=("", URL)) == {"a": {}, "b": {}}
