"""Doctor on Open WebUI: websockets, sign-ins, variables, database."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doctor_documents import DEPLOYED, TUTORIAL, Document, changed, having
from tests.unit.doctor import judging
from tests.unit.doctor.judging import FINE, judged, levels

# As the fine host has it: no Postgres, and a key.
NO_POSTGRES, POSTGRES = '"postgres":null', '"postgres":{"used":%d,"limit":100}'
KEY = '"key":{"fingerprint":"46b77dde87a5","short":false}'


def also(variable: str) -> tuple[str, str]:
    """What to change, so that Open WebUI has this variable as well."""
    return '"variables":[', f'"variables":["{variable}",'


CASES = [
    ("postgres: vector index", '"distance":700', '"distance":7', "advice", "made while its table was empty"),
    ("postgres: connections", NO_POSTGRES, POSTGRES % 81, "advice", "81 of 100 in use"),
    ("postgres: connections", NO_POSTGRES, POSTGRES % 100, "fault", "100 of 100 in use"),
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
]


@pytest.mark.parametrize(("row", "old", "new", "level", "seen"), CASES)
def test_each_row_tells_its_own_trouble_and_no_other(row: str, old: str, new: str, level: str, seen: str) -> None:
    judging.tells_alone(row, old, new, level, seen)


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
