"""Doctor on Valkey: version, access, settings, connections."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doctor_documents import changed, having
from tests.unit.doctor import judging
from tests.unit.doctor.judging import FINE, judged, levels

POLICY = '"maxmemory-policy":"allkeys-lru"'

DENIED = '[{"count":2,"reason":"channel","context":"toplevel","object":"other","username":"%s","age-seconds":1.5}]'

IDLE = "\n".join(f"id={number} addr=198.19.1.3:1 name= age=9999 idle=3601 flags=N" for number in range(100, 121))
# As the fine host has it: an empty ACL LOG.
LOGGED = "\n[]"

CASES = [
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
]


@pytest.mark.parametrize(("row", "old", "new", "level", "seen"), CASES)
def test_each_row_tells_its_own_trouble_and_no_other(row: str, old: str, new: str, level: str, seen: str) -> None:
    judging.tells_alone(row, old, new, level, seen)


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
