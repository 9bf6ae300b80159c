"""Whether a stack works is the host's own word, and half an answer is none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.surveys import replaced
from webui_stack.documents import document
from webui_stack.verify import serving

WORKS: dict[str, Any] = {
    "containers": [
        {"name": "redis-valkey", "status": "running", "health": "healthy"},
        {"name": "open-webui", "status": "running", "health": "healthy"},
    ],
    "processes": [{"name": "open-webui", "health": 200, "websocket": 101}],
    "valkey": {"pong": True, "subscribers": 1, "errors": []},
    "published": 200,
}
REFUSED = {"pong": True, "subscribers": None, "errors": ["NOPERM no permissions", "AUTH failed"]}


def test_a_stack_that_works_has_no_faults() -> None:
    assert serving.faults(WORKS) == []
    assert serving.faults(replaced(WORKS, "published", None)) == [], "nothing is published of it"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("containers/1/health", "unhealthy", "open-webui is running, health unhealthy"),
        ("containers/1/status", "missing", "open-webui is missing, health healthy"),
        ("processes/0/health", 0, "open-webui: expected 200 from /health, got no answer"),
        ("processes/0/health", 502, "open-webui: expected 200 from /health, got 502"),
        ("processes/0/websocket", 403, "open-webui: expected 101 for a websocket, got 403"),
        ("valkey/pong", False, "redis-valkey: expected PONG, got no answer"),
        ("valkey/subscribers", 0, "redis-valkey: expected 1 that listen for events, got 0"),
        ("valkey/subscribers", None, "redis-valkey: expected 1 that listen for events, got no answer"),
        ("valkey", REFUSED, "redis-valkey: expected 1 that listen for events, got NOPERM no permissions; AUTH failed"),
        ("published", 0, "published port: expected 200 from /health, got no answer"),
        ("published", 404, "published port: expected 200 from /health, got 404"),
    ],
)
def test_each_thing_that_is_broken_on_the_host_is_a_fault(path: str, value: Any, fault: str) -> None:
    assert serving.faults(replaced(WORKS, path, value)) == [fault]


@pytest.mark.parametrize("path", [*WORKS, "containers/0/health", "processes/0/websocket", "valkey/subscribers"])
@pytest.mark.parametrize("value", [..., "another form"])
def test_an_answer_that_is_not_whole_says_nothing(path: str, value: Any) -> None:
    if (path, value) == ("containers/0/health", "another form"):
        value = None
    with pytest.raises(document.IncompleteError, match=r"^serving: expected the section"):
        serving.faults(replaced(WORKS, path, value))


@pytest.mark.parametrize("content", [None, [], "", 0])
def test_no_document_says_nothing(content: Any) -> None:
    with pytest.raises(document.IncompleteError, match=r"^serving: expected a JSON object"):
        serving.faults(content)
