"""What verify says of a stack, against a real Socket.IO server: origins, quiet websockets, and who is missing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import socketio
from aiohttp import web

from tests.defaults import settings
from tests.unit.verify.open_webui import ACTIVE, OpenWebUi, delta, done, serving
from webui_stack.model import compose
from webui_stack.model.check import Check
from webui_stack.verify import account, answer, checks, hints, proof, valkey, websocket
from webui_stack.verify.websocket import Way

PUBLIC, OTHER = "https://chat.example.org", "https://intranet.example.org"


def container(name: str, address: str = "198.18.0.3", status: str = "running", service: str = "") -> compose.Container:
    """A container of the stack; "" is one without an address in the network."""
    return compose.Container(
        name=name,
        id=name,
        image_id="",
        directory="/opt/open-webui",
        service=service or name,
        config_hash="",
        status=status,
        health="healthy",
        health_log="",
        health_passed_at="",
        exit_code=0,
        started_at="",
        addresses={compose.NETWORK: address},
        network_ids={},
        mounts={},
    )


def probe(*containers: compose.Container, **changes: Any) -> Any:
    """A host's proof in progress, with these containers observed; without a host, nothing is asked of it."""
    processes = {one.name: one.address for one in containers if one.address and compose.is_process(one.service)}
    held = changes.pop("verify_hold_s", 0)
    host: Any = None
    data_node: Any = None
    found = checks.Probe(host, settings(**changes).model_copy(update={"verify_hold_s": held}), data_node, [])
    found.observed = compose.Observed(containers={one.name: one for one in containers}, processes=processes)
    found.flushed = ""  # the packet filter is as it should be
    return found


def only(checks: Iterator[Check]) -> Check:
    (found,) = checks
    return found


# --- Who is missing -----------------------------------------------------------------------------------


def test_a_process_without_an_address_is_a_fault() -> None:
    found = only(probe(container("open-webui", address=""))._reachable())
    assert found.is_fault
    assert found.seen == "0 of 1 replicas have an address in openwebui-network, not open-webui"


def test_each_process_of_the_settings_counts() -> None:
    two = {"open_webui_replicas": 2, "public_url": PUBLIC}
    first, second = container("open-webui"), container("open-webui-2")
    assert only(probe(first, **two)._reachable()).seen.startswith("1 of 2 ")
    assert only(probe(first, second, **two)._reachable()).ok


def test_in_a_swarm_those_that_run_here_count() -> None:
    swarm = {"topology": "swarm", "open_webui_shared_dir": "/mnt/chat", "open_webui_replicas": 2, "public_url": PUBLIC}
    name = "open-webui_open-webui.1.abc"
    assert only(probe(container(name, service="open-webui"), **swarm)._reachable()).ok
    assert only(probe(container(name, "", service="open-webui"), **swarm)._reachable()).is_fault
    assert list(probe(container(name, "", "exited", "open-webui"), **swarm)._reachable()) == []


@pytest.mark.parametrize(
    ("heard", "processes", "ok"),
    [
        pytest.param(0, 0, False, id="nobody listens and nobody is known"),
        pytest.param(1, 0, True, id="the one of the settings listens"),
        pytest.param(1, 1, True, id="one of one"),
        pytest.param(1, 2, False, id="a second one, made by hand, does not listen"),
    ],
)
def test_as_many_listen_as_the_settings_want(
    heard: int, processes: int, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "subscribers", lambda _: heard)
    monkeypatch.setattr(hints, "of_silence", lambda *_: "")
    named = ["open-webui", "open-webui-2"][:processes]
    found = probe(*map(container, named))
    monitor: Any = None
    assert found._subscribers(monitor).ok is ok


# --- Websockets ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of a Socket.IO server that pings as seldom as Open WebUI and lets in pages of two origins."""
    talk = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[PUBLIC, OTHER])
    app = web.Application()
    talk.attach(app, socketio_path=websocket.SOCKETIO_PATH)
    with serving(app) as port:
        yield port


def relay(port: int, quiet_s: float) -> int:
    """The port of a proxy in front that ends a connection after so many quiet seconds, as nginx does after 60."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        source.settimeout(quiet_s)
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass  # quiet for too long, or the other side ended it
        for one in (source, target):
            one.close()

    def serve() -> None:
        client, _ = listener.accept()
        listener.close()
        inside = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=pump, args=(inside, client), daemon=True).start()
        pump(client, inside)

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def held(port: int, seconds: float) -> Check:
    way = Way(f"http://127.0.0.1:{port}", origin=PUBLIC)
    with websocket.connected(way, 5) as session:
        return only(probe(verify_hold_s=seconds)._held(session))


def test_a_proxy_that_ends_quiet_websockets_is_found(server: int) -> None:
    start = time.monotonic()
    found = held(relay(server, quiet_s=3), 40)
    assert time.monotonic() - start < 30, "it does not wait for longer than the websocket lives"
    assert found.is_fault
    assert found.settled, "waiting does not fix it"
    assert found.seen.startswith("ended after ")
    assert "proxy_read_timeout" in found.next_step


def test_a_websocket_that_nobody_ends_is_held(server: int) -> None:
    assert held(relay(server, quiet_s=20), 1).seen == "open for 1 s"


def test_by_default_none_is_held(server: int) -> None:
    with websocket.connected(Way(f"http://127.0.0.1:{server}", origin=PUBLIC), 5) as session:
        assert list(probe()._held(session)) == []


def test_each_listed_origin_is_tried(server: int) -> None:
    listed = probe(open_webui_public_url=PUBLIC, open_webui_cors_origins=[OTHER, "https://chta.example.org"])
    found = list(listed._origins(Way(f"http://127.0.0.1:{server}", origin=PUBLIC)))
    assert [(check.name, check.ok) for check in found] == [
        (f"websocket from {OTHER}", True),
        ("websocket from https://chta.example.org", False),
    ]
    assert "open_webui_cors_origins" in found[1].next_step


def test_with_one_origin_there_is_no_further_one(server: int) -> None:
    way = Way(f"http://127.0.0.1:{server}", origin=PUBLIC)
    assert list(probe(open_webui_public_url=PUBLIC)._origins(way)) == []
    assert list(probe()._origins(way)) == [], "upstream's * lets every page in"


# --- A user's request, and a model's answer -----------------------------------------------------------


@pytest.fixture
def open_webui() -> Iterator[tuple[OpenWebUi, Way]]:
    stand_in = OpenWebUi()
    stand_in.script = [ACTIVE, delta("Hel"), delta("lo"), done("Hello")]
    with serving(stand_in.app) as port:
        yield stand_in, Way(f"http://127.0.0.1:{port}")


def user_probe(way: Way, **changes: Any) -> Any:
    """A proof at level "user" that has signed in already."""
    found = probe(container("open-webui"), verify_level="user", **changes)
    found.token, found._way_in = "token", way
    return found


def test_without_a_model_none_is_asked(open_webui: tuple[OpenWebUi, Way]) -> None:
    stand_in, way = open_webui
    assert [check.name for check in user_probe(way)._user()] == ["event of a user's request"]
    assert stand_in.asked == []


def test_a_model_s_tokens_are_in_the_checks_and_in_the_line(open_webui: tuple[OpenWebUi, Way]) -> None:
    stand_in, way = open_webui
    found = user_probe(way, verify_model="lab-short")
    seen = list(found._user())
    assert [(check.name, check.ok, check.elapsed_ms is not None) for check in seen] == [
        ("event of a user's request", True, True),
        ("first token of lab-short", True, True),
        ("last token of lab-short", True, True),
    ]
    line = proof.Proof(seen, found.told).line
    assert f"first token in {seen[1].elapsed_ms:.0f} ms, last in {seen[2].elapsed_ms:.0f} ms" in line
    assert stand_in.chats == set(), "the event's chat is deleted, and the answer's was never saved"


def test_a_model_that_answered_is_not_asked_at_the_next_attempt(open_webui: tuple[OpenWebUi, Way]) -> None:
    stand_in, way = open_webui
    found = user_probe(way, verify_model="lab-short")
    first, second = ([check.name for check in found._user()] for _ in range(2))
    assert first == second
    assert len(stand_in.asked) == 1


def test_a_model_that_did_not_answer_is_asked_again(open_webui: tuple[OpenWebUi, Way]) -> None:
    stand_in, way = open_webui
    found = user_probe(way, verify_model="lab-short")
    stand_in.script = [ACTIVE, done("")]
    assert next(check for check in found._user() if check.is_fault).seen.startswith("model does not answer: ")
    stand_in.script = [ACTIVE, done("Hello")]
    assert not any(check.is_fault for check in found._user())


def test_lost_events_are_told_of_the_request_and_of_the_answer(
    open_webui: tuple[OpenWebUi, Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_ATTEMPT_S", 1.0)
    monkeypatch.setattr(checks.Probe, "_why_silent", lambda _: "Valkey's ACL refuses Open WebUI socketio")
    stand_in, way = open_webui
    stand_in.events_arrive = False
    request, answered = user_probe(way, verify_model="lab-short")._user()
    assert request.is_fault
    assert answered.name == "first token of lab-short"
    assert answered.seen == "events do not arrive: the question was accepted, and 1 s were silent"
    assert answered.next_step == "Valkey's ACL refuses Open WebUI socketio"
    assert stand_in.chats == set()


def test_a_websocket_that_does_not_open_is_told_of_the_answer_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.Probe, "_why_silent", lambda _: "")
    request, answered = user_probe(Way("http://127.0.0.1:1"), verify_model="lab-short")._user()
    assert request.seen.startswith("no websocket at http://127.0.0.1:1/")
    assert answered.seen.startswith("events do not arrive: no websocket at http://127.0.0.1:1/")
    assert answered.name == "first token of lab-short"
    assert answered.next_step == answer.Fault.UNHEARD.next_step


def test_a_probe_that_can_not_sign_in_says_nothing_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise websocket.ProbeError("nobody has signed up yet")

    monkeypatch.setattr(checks.Probe, "_why_silent", lambda _: "")
    monkeypatch.setattr(account, "sign_in", refuse)
    found = user_probe(Way("http://127.0.0.1:1"), verify_model="lab-short")
    found.token = ""
    assert [check.seen for check in found._user()] == ["nobody has signed up yet"]


def test_a_look_waits_for_nothing_and_asks_no_model() -> None:
    look = proof.at_once(settings(verify_level="user", verify_model="lab-short", verify_hold_s=60))
    assert (look.verify_timeout_s, look.verify_hold_s, look.verify_model) == (0, 0, None)
    assert look.verify_level == "user"
