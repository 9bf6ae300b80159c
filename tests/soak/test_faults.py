"""Fifty browsers on a stack of two processes while it is broken and changed, on one host and on a swarm: what is lost.

`-k compose` or `-k swarm` runs one of them. SOAK_ROUNDS (5) is how often throughput is measured with each number of
processes, SOAK_OUTAGES (1) how often Valkey is killed with and without a restart of Open WebUI after it,
SOAK_SWARM_HOSTS (3) how many hosts the swarm has. The tables are in reports/soak/ as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lab.precious import within
from tests.soak import account
from tests.soak.account import Seen
from tests.soak.subject import Compose, Subject, Swarm
from tests.soak.tables import Show, keep

pytestmark = pytest.mark.lab

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "5"))
OUTAGES = int(os.environ.get("SOAK_OUTAGES", "1"))
SETTLE_S = 120
CALM_S = 5.0
# Valkey learns from its keepalive that a host is gone whose connections nobody closed (tcp-keepalive, 15 s in a swarm).
FORGOTTEN_S = 120


@dataclass(frozen=True)
class Fault:
    """Something done to a stack; it is to be whole and everybody well `bound_s` after it was done, at the latest."""

    name: str
    do: Callable[[Any], object]
    bound_s: float = 90


@dataclass
class Story:
    """A stack, what people have in it, and what was seen of each fault."""

    subject: Any
    ledger: str
    seen: dict[str, Seen] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"Faults {self.subject.topology}"

    def suffer(self, fault: Fault) -> Seen:
        """Do it, wait until the stack is whole and everybody well, and count what was sent meanwhile."""
        with self.subject.crowd() as crowd:
            crowd.settle(SETTLE_S)
            mark = crowd.now()
            try:
                fault.do(self.subject)
                done = crowd.now()
                stays_within(fault.bound_s, self.subject.whole)
                crowd.wait_recovered(max(2 * CALM_S, fault.bound_s - (crowd.now() - done)), mark, CALM_S)
            finally:
                self.seen[fault.name] = seen = Seen(crowd.result(mark), os.getloadavg()[0])
                keep(self.title, account.FAULTS, account.fault_rows(self.seen))
        return seen


def stays_within(seconds: float, check: Callable[[], bool]) -> None:
    """Wait until something is so, and has been for `CALM_S`: what was broken just now may not show yet."""
    deadline, since = time.monotonic() + seconds, None
    while since is None or time.monotonic() - since < CALM_S:
        if not check():
            since = None
        elif since is None:
            since = time.monotonic()
        assert time.monotonic() < deadline, f"the stack was not whole within {seconds:.0f} s"
        time.sleep(1)


def told(kind: type[Subject], request: pytest.FixtureRequest, show: Show) -> Iterator[Story]:
    with kind.up(bool(request.config.getoption("--keep-lab"))) as subject:
        subject.settle_in()
        story = Story(subject, subject.ledger())
        yield story
        show(story.title, account.FAULTS, account.fault_rows(story.seen))


@pytest.fixture(scope="module")
def compose(request: pytest.FixtureRequest, show: Show) -> Iterator[Story]:
    yield from told(Compose, request, show)


@pytest.fixture(scope="module")
def swarm(request: pytest.FixtureRequest, show: Show) -> Iterator[Story]:
    yield from told(Swarm, request, show)


QUIET = Fault("nothing, for 20 s", lambda _: time.sleep(20))
COMMON = [
    QUIET,
    Fault("kill -9 of a process", lambda subject: subject.kill_process()),
    Fault("kill -9 of Valkey", lambda subject: subject.kill("redis")),
    Fault("restart of Postgres", lambda subject: subject.restart_postgres()),
    Fault("another setting", lambda subject: subject.deploy(open_webui_jwt_expires_in="23h")),
    Fault("2 to 4 processes", lambda subject: subject.deploy(open_webui_replicas=4)),
    Fault("4 to 2 processes", lambda subject: subject.deploy(open_webui_replicas=2)),
    Fault("the same again", lambda subject: subject.deploy()),
]
OF_HOSTS = [
    Fault("a host stopped", lambda subject: subject.stop_host(), 180),
    Fault("and started again", lambda subject: subject.start_host(), 180),
    Fault("a host cut off", lambda subject: subject.cut(), 180),
    Fault("and reconnected", lambda subject: subject.reconnect(), 180),
    Fault("a host drained", lambda subject: subject.drain(), 180),
    Fault("and active again", lambda subject: subject.activate(), 180),
]


def assert_well(story: Story, fault: Fault) -> None:
    """Nothing twice, nothing astray, everybody back, and what people had is there."""
    result = story.suffer(fault).result
    assert (result.duplicated, result.strays) == (0, 0)
    assert result.recovery_s is not None
    assert result.reconnected == result.disconnected
    if fault is QUIET:
        assert (result.lost, dict(result.failed), result.disconnected) == (0, {}, 0)
    assert story.subject.ledger() == story.ledger


def assert_measured(story: Story, show: Show) -> None:
    """As many events as get accepted, with each number of processes in turn."""
    title = f"Throughput {story.subject.topology}"
    seen: dict[int, list[Seen]] = {1: [], 2: [], 4: []}
    for _ in range(ROUNDS):
        for processes, rounds in seen.items():
            story.subject.deploy(open_webui_replicas=processes)
            with story.subject.crowd() as crowd:
                crowd.settle(SETTLE_S)
                rounds.append(Seen(crowd.throughput(10), os.getloadavg()[0]))
            measured = {number: found for number, found in seen.items() if found}
            keep(title, account.THROUGHPUT, account.throughput_rows(measured))
    show(title, account.THROUGHPUT, account.throughput_rows(seen))
    for one in (one.result for rounds in seen.values() for one in rounds):
        assert (one.lost, one.duplicated, one.strays) == (0, 0, 0)
        assert one.sent >= 8  # one of each sender at least: how many more is up to the machine


def assert_as_before(story: Story) -> None:
    story.subject.deploy(open_webui_replicas=2, open_webui_jwt_expires_in="24h")
    within(FORGOTTEN_S, "its processes listen, and nobody else", lambda: story.subject.numsub() == 2)
    assert story.subject.ledger() == story.ledger
    assert story.subject.upload_is_there()


@pytest.mark.parametrize("fault", COMMON, ids=lambda fault: fault.name)
def test_compose_is_well_again_after(compose: Story, fault: Fault) -> None:
    assert_well(compose, fault)


def restart_after_valkey(subject: Any) -> None:
    """As the watchdog did until 2026-11-29: each process, once Valkey is back (docs/decisions/0010)."""
    subject.kill("redis")
    stays_within(90, subject.whole)
    subject.restart_open_webui()


AFTER_VALKEY = {
    "restarted after it": restart_after_valkey,
    "left alone": lambda subject: subject.kill("redis"),
}


def assert_listens_again(story: Story) -> None:
    """In turn, so that a busy machine is fair to both. Open WebUI listens for events, and for tasks to stop."""
    subject = story.subject
    for turn in range(OUTAGES):
        for name, do in AFTER_VALKEY.items():
            stays_within(90, subject.whole)
            assert_well(story, Fault(f"kill -9 of Valkey, {name}, {turn + 1}", do, 300))
            channels = "pubsub numsub socketio open-webui:tasks:commands"
            ask = f"docker exec -e REDISCLI_AUTH {subject.container('redis')} valkey-cli --user monitor {channels}"
            password = "export REDISCLI_AUTH=$(cat /opt/open-webui/secrets/valkey-monitor-password)"
            assert subject.ask(f"{password}; {ask}").split()[1::2] == [str(subject.replicas)] * 2


def test_compose_listens_again_after_valkey_with_a_restart_and_without(compose: Story) -> None:
    assert_listens_again(compose)


def test_compose_throughput(compose: Story, show: Show) -> None:
    assert_measured(compose, show)


def test_compose_is_as_before(compose: Story) -> None:
    assert_as_before(compose)


@pytest.mark.parametrize("fault", COMMON + OF_HOSTS, ids=lambda fault: fault.name)
def test_swarm_is_well_again_after(swarm: Story, fault: Fault) -> None:
    assert_well(swarm, fault)


def test_swarm_listens_again_after_valkey_with_a_restart_and_without(swarm: Story) -> None:
    assert_listens_again(swarm)


def test_swarm_throughput(swarm: Story, show: Show) -> None:
    assert_measured(swarm, show)


def test_swarm_is_as_before(swarm: Story) -> None:
    assert_as_before(swarm)
