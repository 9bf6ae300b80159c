"""Alarms get to every receiver, once: whatever fails, hangs, or is cut off between a look and the next one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.host import http_receiver, points
from tests.host.alarmed import HOST, broken, short, unknown, well
from tests.host.fake_clock import FakeClock
from tests.host.fake_files import FakeKernel
from tests.host.http_receiver import HttpReceiver
from webui_stack.host.alarms import Alarms, Outcome
from webui_stack.host.alarms.connection import RefusedError
from webui_stack.host.alarms.heartbeat import Heartbeat
from webui_stack.host.alarms.message import Message
from webui_stack.host.alarms.receivers import Receiver, Receivers
from webui_stack.host.alarms.record import PATH
from webui_stack.host.alarms.send import Ended, Job, Sender
from webui_stack.host.errors import HostError
from webui_stack.host.files import Files
from webui_stack.host.finding import Finding
from webui_stack.host.verbs import alarms as verb

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
BROKE, WELL = "problem: valkey_pong broken", "well: valkey_pong well"


@dataclass
class Inbox:
    """A receiver, and what it has got. `act` is called before it takes a message, and may raise."""

    name: str = "webhook-1"
    got: list[Message] = field(default_factory=list)
    act: Callable[[], object] = lambda: None

    def send(self, message: Message) -> None:
        self.act()
        self.got.append(message)

    def fail(self) -> None:
        raise HostError(self.name, expected="to take a message", got="HTTP 503", do="wait")


class Host:
    """A host with its files and its clock. `alarms` are those of a process that has just begun."""

    def __init__(self, *inboxes: Receiver, heartbeats: tuple[Heartbeat, ...] = (), limit_s: float = 10.0) -> None:
        self.kernel, self.clock = FakeKernel(), FakeClock()
        self.receivers, self.limit_s = Receivers(inboxes, heartbeats), limit_s
        self.said: list[str] = []
        self.alarms = self.begin()

    def begin(self) -> Alarms:
        self.alarms = Alarms(
            self.receivers,
            Files(self.kernel),
            self.clock,
            host=HOST,
            say=self.said.append,
            sender=Sender(self.limit_s),
        )
        return self.alarms

    def look(self, *findings: Finding) -> None:
        self.clock.sleep(MINUTE)
        self.alarms.tell(findings)

    @property
    def kept(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Files(self.kernel).read_text(PATH) or "{}")
        return found


def test_each_receiver_gets_each_message_once() -> None:
    one, other = Inbox(), Inbox("ntfy-1")
    host = Host(one, other)
    for finding in (well(), broken(), broken(), broken(), well(), well()):
        host.look(finding)
    assert short(one.got) == short(other.got) == [BROKE, WELL]
    assert host.said == []
    assert host.kept["waiting"] == []


def test_what_is_open_is_told_also_to_another_process() -> None:
    host = Host(Inbox())
    assert host.alarms.open() == []
    for _ in range(3):
        host.look(broken(), unknown("certificate"), well("disk"))
    for alarms in (host.alarms, host.begin()):
        assert [(one.name, one.state, one.since_s, one.seen, one.next_step) for one in alarms.open()] == [
            ("certificate", "unknown", host.clock.set_s + MINUTE, "Docker gave no answer", ""),
            ("valkey_pong", "broken", host.clock.set_s + MINUTE, "no PONG for 5 s", "run runbooks/doctor.py"),
        ]


def test_a_new_process_tells_nothing_twice() -> None:
    inbox = Inbox()
    host = Host(inbox)
    for finding in (broken(), broken(), broken(), well(), well()):
        host.begin()
        host.look(finding)
        host.look(finding)
    assert short(inbox.got) == [BROKE, WELL]


def test_a_receiver_that_fails_is_tried_again_in_order_with_each_look() -> None:
    failing, other = Inbox(), Inbox("ntfy-1")
    host = Host(failing, other)
    failing.act = failing.fail
    for finding in (broken(), broken(), well()):
        host.look(finding)
    assert (short(failing.got), short(other.got)) == ([], [BROKE, WELL])
    host.begin()
    failing.act = lambda: None
    host.look(well())
    assert (short(failing.got), short(other.got)) == ([BROKE, WELL], [BROKE, WELL])


def test_a_failure_is_told_in_the_journal_once_an_hour() -> None:
    inbox = Inbox()
    host = Host(inbox)
    inbox.act = inbox.fail
    for _ in range(121):
        host.look(broken())
    line = "webhook-1: expected to take a message, got HTTP 503; wait"
    assert host.said == [line, line]


def test_a_message_that_a_receiver_refuses_holds_up_no_other() -> None:
    inbox = Inbox()
    host = Host(inbox)

    def refuse() -> None:
        raise RefusedError("webhook-1", expected="to take a message", got="HTTP 413", do="see it")

    inbox.act = refuse
    host.look(broken())
    host.look(broken())
    inbox.act = lambda: None
    host.look(well())
    assert short(inbox.got) == [WELL]
    assert host.said == [
        "webhook-1: expected to take a message, got HTTP 413; see it; this message is not sent to webhook-1 again"
    ]


def test_a_fault_of_the_program_is_told_without_its_words() -> None:
    inbox, other = Inbox(), Inbox("ntfy-1")
    host = Host(inbox, other)

    def fault() -> None:
        raise KeyError("s3cr3t")

    inbox.act = fault
    host.look(broken())
    host.look(broken())
    assert host.said == ["webhook-1: expected no fault of the program, got KeyError; please report it"]
    assert short(other.got) == [BROKE]


def test_messages_for_a_receiver_that_is_gone_are_dropped() -> None:
    inbox = Inbox()
    host = Host(inbox, Inbox("ntfy-1"))
    inbox.act = inbox.fail
    host.look(broken())
    host.look(broken())
    assert [one["receivers"] for one in host.kept["waiting"]] == [["webhook-1"]]
    host.receivers = Receivers((Inbox("ntfy-1"),))
    host.begin()
    host.look(broken())
    assert host.kept["waiting"] == []


def test_messages_that_wait_have_a_limit() -> None:
    inbox = Inbox()
    host = Host(inbox)
    inbox.act = inbox.fail
    for number in range(110):
        host.clock.sleep(HOUR)
        host.look(broken(f"unit_{number}"))
    assert len(host.kept["waiting"]) == 100


def test_two_messages_of_one_second_are_two() -> None:
    inbox = Inbox()
    host = Host(inbox)
    inbox.act = inbox.fail
    for finding in (broken("a"), broken("a"), broken("b"), broken("b")):
        host.alarms.tell([finding])
    inbox.act = lambda: None
    host.look(broken("a"), broken("b"))
    assert short(inbox.got) == ["problem: a broken", "problem: b broken"]


# --- Receivers that hang


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Ends what hangs."""
    event = threading.Event()
    yield event
    event.set()


def test_a_receiver_that_hangs_holds_up_no_other_and_is_told(stop: threading.Event) -> None:
    hanging, other = Inbox(act=stop.wait), Inbox("ntfy-1")
    host = Host(hanging, other, limit_s=0.2)
    began_s = time.monotonic()
    for finding in (broken(), broken(), well()):
        host.look(finding)
    assert time.monotonic() - began_s < 2
    assert short(other.got) == [BROKE, WELL]
    assert host.said == ["webhook-1: expected an answer within 10 s, got none; see whether the host reaches it"]


def test_a_receiver_that_is_slow_gets_a_message_once(stop: threading.Event) -> None:
    slow = Inbox(act=stop.wait)
    host = Host(slow, limit_s=0.1)
    for _ in range(3):
        host.look(broken())
    stop.set()
    while not slow.got:
        time.sleep(0.01)
    time.sleep(0.05)
    host.look(broken())
    host.look(well())
    host.look(well())
    assert short(slow.got) == [BROKE, WELL]


def test_a_run_waits_for_one_limit_however_many_hang(stop: threading.Event) -> None:
    sender = Sender(0.2)
    began_s = time.monotonic()

    def ended(_: Ended) -> bool:
        return True

    def hang() -> None:
        stop.wait()

    def job() -> Job:
        return Job("x", hang)

    assert sender.run(dict.fromkeys("abcde", job), ended) == list("abcde")
    assert time.monotonic() - began_s < 1
    began_s = time.monotonic()
    assert sender.run(dict.fromkeys("abcde", job), ended) == list("abcde")
    assert time.monotonic() - began_s < 0.1, "nobody waits for them twice"


def test_what_begins_late_in_a_run_is_no_failure(stop: threading.Event) -> None:
    def hang() -> None:
        stop.wait()

    jobs = iter([Job("1", lambda: None), Job("2", hang)])
    ends: list[str] = []

    def ended(one: Ended) -> bool:
        ends.append(one.id)
        return True

    assert Sender(0.2).run({"a": lambda: next(jobs)}, ended) == []
    assert ends == ["1"]


# --- Heartbeats


def test_a_heartbeat_follows_each_look_unless_people_could_not_be_told() -> None:
    inbox = Inbox()
    with http_receiver.serving(HttpReceiver()) as service:
        host = Host(inbox, heartbeats=(Heartbeat("heartbeat-1", service.url),))
        host.look(well())
        host.look(broken())
        host.look(broken())
        assert len(service.got) == 3
        inbox.act = inbox.fail
        host.look(well())
        host.look(well())
        assert len(service.got) == 3
        inbox.act = lambda: None
        host.look(well())
        assert len(service.got) == 4
        service.status = 500
        host.look(well())
        assert host.said[-1].startswith("heartbeat-1: expected to take a message, got HTTP 500")


# --- The disk


def test_a_disk_that_takes_no_file_is_no_reason_for_silence() -> None:
    inbox = Inbox()
    host = Host(inbox)
    host.kernel.room_bytes = 0
    for finding in (broken("disk_root"), broken("disk_root"), broken("disk_root"), well("disk_root")):
        host.look(finding)
    assert short(inbox.got) == ["problem: disk_root broken", "well: disk_root well"]
    assert len(host.said) == 1
    assert "expected to write it, got a full disk" in host.said[0]
    host.kernel.room_bytes = 1 << 30
    host.look(well("disk_root"))
    assert host.kept["things"]["disk_root"]["told"] == ""


def test_a_state_that_three_looks_cannot_read_is_begun_anew_and_never_taken_for_nothing_open() -> None:
    inbox = Inbox()
    host = Host(inbox)
    host.look(broken())
    host.look(broken())
    Files(host.kernel).write(PATH, '{"format": 1, "things": 3')
    host.begin()
    with pytest.raises(HostError, match=r"alarms.json: expected what was written there, got something else"):
        host.alarms.open()
    host.look(broken())
    host.look(broken())
    assert short(inbox.got) == [BROKE]
    host.look(broken())
    host.look(broken())
    assert short(inbox.got) == [BROKE, BROKE]
    assert host.said == [f"{PATH}: expected what was written there, got something else; remove {PATH}"]
    assert [one.name for one in host.begin().open()] == ["valkey_pong"]


def test_a_newer_state_is_refused_and_left() -> None:
    host = Host(Inbox())
    Files(host.kernel).make_folder("/var/lib/open-webui-stack")
    Files(host.kernel).write(PATH, '{"format": 2}')
    for ask in (host.alarms.open, lambda: host.alarms.tell([broken()])):
        with pytest.raises(HostError, match=r"expected format 1, got format 2; deploy with the newer version"):
            ask()
    assert host.kept == {"format": 2}


def test_a_look_that_finds_the_same_writes_nothing() -> None:
    host = Host(Inbox())
    findings = [well(), broken("b"), unknown("c")]
    for _ in range(4):
        host.look(*findings)
    calls: list[str] = []
    host.kernel.on_point = calls.append
    host.look(*findings)
    assert calls == []


# --- Crashes


class Cut:
    """A host in the middle of its looks: its files, and what a receiver has got."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.got: list[Message] = []
        self.passed_s = 0.0

    def boot(self) -> None:
        """Docker is not in it."""

    def look(self, *looks: tuple[Finding, ...]) -> None:
        """A process begins, and looks."""

        def send() -> None:
            self.kernel.point("before receiver: send!")

        inbox = Inbox(got=self.got, act=send)
        host = Host(inbox)
        host.kernel = self.kernel
        host.clock.passed_s = self.passed_s
        host.begin()
        for findings in looks:
            host.look(*findings)
            self.passed_s = host.clock.passed_s


A_BROKE, B_BROKE = (broken("a"), well("b")), (well("a"), broken("b"))


@pytest.mark.crash
@pytest.mark.parametrize(
    ("before", "cut", "wanted"),
    [
        ([], [(broken(),), (broken(),)], [BROKE]),
        ([(broken(),), (broken(),)], [(well(),)], [BROKE, WELL]),
        (
            [A_BROKE, A_BROKE],
            [B_BROKE, B_BROKE],
            ["problem: a broken", "well: a well", "problem: b broken"],
        ),
    ],
)
def test_no_crash_loses_an_alarm_and_one_message_at_most_is_sent_twice(
    before: list[tuple[Finding, ...]], cut: list[tuple[Finding, ...]], wanted: list[str]
) -> None:
    start = Cut()
    start.look(*before)
    for at, world in points.every_crash(start, lambda world: world.look(*cut)):
        world.look(*[cut[-1]] * 3)
        got = short(world.got)
        assert list(dict.fromkeys(got)) == wanted, at
        assert len(got) <= len(wanted) + 1, at


@pytest.mark.crash
def test_a_break_that_ends_before_the_next_look_is_told_all_the_same() -> None:
    cut = [(broken(),), (broken(),)]
    for at, world in points.every_crash(
        Cut(), lambda world: world.look(*cut), points=lambda point: point == "before receiver: send!"
    ):
        world.look((well(),), (well(),))
        assert list(dict.fromkeys(short(world.got))) == [BROKE, WELL], at


@pytest.mark.crash
def test_no_failure_of_the_disk_loses_an_alarm() -> None:
    start = Cut()
    start.look((broken("a"),), (broken("a"),))
    cut = [(well("a"), broken("b")), (well("a"), broken("b"))]
    for at, world, error in points.every_failure(
        start, lambda world: world.look(*cut), points=lambda point: "receiver" not in point
    ):
        assert error is None
        world.look(*[cut[-1]] * 3)
        assert {"well: a well", "problem: b broken"} <= set(short(world.got)), at


# --- A test message


def test_a_test_message_tells_each_receivers_outcome_and_changes_nothing(stop: threading.Event) -> None:
    good, bad, hanging = Inbox(), Inbox("ntfy-1"), Inbox("email-1", act=stop.wait)
    bad.act = bad.fail
    with http_receiver.serving(HttpReceiver()) as service:
        host = Host(good, bad, hanging, heartbeats=(Heartbeat("heartbeat-1", service.url),), limit_s=0.5)
        assert host.alarms.test() == [
            Outcome("webhook-1"),
            Outcome("ntfy-1", "ntfy-1: expected to take a message, got HTTP 503; wait"),
            Outcome("email-1", "email-1: expected an answer within 10 s, got none; see whether the host reaches it"),
            Outcome("heartbeat-1"),
        ]
        assert len(service.got) == 1
    assert [(one.kind, one.title) for one in good.got] == [("test", "host1: a test message")]
    assert host.kept == {}


def test_the_verb_tells_what_is_open_and_fails_where_that_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    host = Host(Inbox())
    monkeypatch.setattr(verb, "Files", lambda: Files(host.kernel))
    assert verb.look({}, lambda _: None) == []
    host.look(broken())
    host.look(broken())
    (one,) = verb.look({}, lambda _: None)
    assert (one["name"], one["state"], one["seen"]) == ("valkey_pong", "broken", "no PONG for 5 s")
    Files(host.kernel).write(PATH, "{")
    with pytest.raises(HostError, match=f"^{PATH}: expected what was written there"):
        verb.look({}, lambda _: None)


def test_the_verb_tells_the_outcome_of_the_receivers_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with http_receiver.serving(HttpReceiver()) as service:
        path = tmp_path / "receivers.json"
        path.touch(mode=0o600)
        alarms = [{"webhook": service.url}, {"heartbeat": "http://127.0.0.1:1"}]
        path.write_text(json.dumps({"format": 1, "alarms": alarms}))
        outcomes = verb.test({"receivers": str(path), "host": "here"}, lambda _: None)
    assert [(one["receiver"], bool(one["error"])) for one in outcomes] == [("webhook-1", False), ("heartbeat-1", True)]
    (got,) = service.got
    assert json.loads(got.body)["title"] == "here: a test message"
