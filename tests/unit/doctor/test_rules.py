"""Doctor names what is wrong, each fault by its own row and no other; and nothing where nothing is wrong."""

from __future__ import annotations

import pytest

from tests.doctor_documents import BARE, DEPLOYED, NEWER, TUTORIAL, having
from tests.unit.doctor import (
    judging,
    test_backups,
    test_containers,
    test_host,
    test_open_webui,
    test_proxy,
    test_valkey,
)
from tests.unit.doctor.judging import FINE, judged, levels


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


CASES = [
    ("unread", '"unread":[]', '"unread":["something else"]', "advice", "something else"),
]
ALL_CASES = [
    *CASES,
    *(
        case
        for of in (test_backups, test_containers, test_host, test_open_webui, test_proxy, test_valkey)
        for case in of.CASES
    ),
]


@pytest.mark.parametrize(("row", "old", "new", "level", "seen"), CASES)
def test_each_row_tells_its_own_trouble_and_no_other(row: str, old: str, new: str, level: str, seen: str) -> None:
    judging.tells_alone(row, old, new, level, seen)


def test_every_row_has_a_case() -> None:
    def kind(name: str) -> str:
        return name.replace("redis-valkey", "container").replace("open-webui", "container")

    there = {kind(check.name) for document in (FINE, TUTORIAL) for check in judged(document)}
    elsewhere = {
        "container",
        "container: variables",
    }  # the next test; and what says that none of the broken ones is set
    assert there - {kind(case[0]) for case in ALL_CASES} == elsewhere


def test_a_host_without_docker_or_stack_is_told_so() -> None:
    assert [str(check) for check in judged(BARE)] == [
        "docker: no Docker that runs, so no stack; `pyinfra INVENTORY deploy.py` installs it"
    ]
    assert levels(judged(having(BARE, host={"engine": "26.1.5"}))) == {"stack": "fault"}
