"""Why an event does not arrive: named where the host's answer explains it, and nothing where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local import local_host
from webui_stack.transport import program
from webui_stack.transport.remote import RemoteError
from webui_stack.verify import hints, valkey

FLUSHED = {"backend": "iptables", "managed": True, "nat": 0, "filter": 2}
VALUES = {"WEBSOCKET_MANAGER": "redis", "CORS_ALLOW_ORIGIN": "https://chat.example.org"}
ADDRESSES = {"WEBSOCKET_REDIS_URL": "redis://redis:6379/1"}
MONITOR: Any = None


def answer(**changes: Any) -> dict[str, Any]:
    """The host's answer, where one container has other variables."""
    given = {"values": VALUES, "addresses": ADDRESSES, "in_swarm": False, **changes}
    return {"packet_filter": FLUSHED, "containers": {"open-webui": given}, "unread": []}


def answers(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    def call(_host: Any, verb: str, arguments: Any) -> Any:
        assert (verb, set(arguments)) == ("cause", {"containers", "shown", "addresses"})
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(program, "call", call)
    monkeypatch.setattr(valkey, "refused_channels", lambda _: [])
    monkeypatch.setattr(valkey, "cut_off", lambda _: 0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"values": {}}, "WEBSOCKET_MANAGER is not set in open-webui, not redis; run deploy.py again"),
        ({"values": {}, "addresses": {}}, ""),
        (
            {"addresses": {"WEBSOCKET_REDIS_URL": "redis://elsewhere:6379/1"}},
            "WEBSOCKET_REDIS_URL leads open-webui to elsewhere:6379, not to redis:6379; run deploy.py again",
        ),
        (
            {"addresses": {"WEBSOCKET_REDIS_URL": "?"}},
            "WEBSOCKET_REDIS_URL leads open-webui to nowhere, not to redis:6379; run deploy.py again",
        ),
        ({"addresses": {}, "in_swarm": True}, ""),
    ],
)
def test_a_variable_that_leads_elsewhere_is_named(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], why: str
) -> None:
    answers(monkeypatch, answer(**changes))
    assert hints.of_silence(local_host(), ["open-webui"], MONITOR) == why


def test_an_origin_that_is_not_listed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, answer())
    given = hints.variables(local_host(), "open-webui")
    assert hints.of_refusal(given, "https://chat.example.org") == ""
    assert "without https://other.example.org" in hints.of_refusal(given, "https://other.example.org")


def test_rules_that_are_gone_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, answer())
    assert hints.of_firewall(local_host()).startswith("Docker's rules are gone from the packet filter (nat): somebody ")
    answers(monkeypatch, {**answer(), "packet_filter": None})
    assert hints.of_firewall(local_host()) == ""


@pytest.mark.parametrize(
    "found",
    [RemoteError("the connection was lost"), None, {"containers": {}}, {**answer(), "containers": {}}],
    ids=["no answer", "no document", "half a document", "no such container"],
)
def test_no_answer_explains_nothing(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    answers(monkeypatch, found)
    assert hints.variables(local_host(), "open-webui") == {}
    assert hints.of_silence(local_host(), ["open-webui"], MONITOR) == ""
