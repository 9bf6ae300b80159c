"""What a crowd sees: nothing lost at rest, what a killed Valkey loses in silence, whom a restart throws out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console

from tests.lab.crowd import Crowd, CrowdError
from tests.lab.precious import Precious, within
from tests.lab.session import Lab
from tests.lab.tally import Result, table
from tests.soak.test_latency import way_to_second

pytestmark = [pytest.mark.lab, pytest.mark.long]

CLIENTS = 50
Show = Callable[[dict[str, Result]], None]


@pytest.fixture(scope="module")
def precious(lab: Lab, deployed: dict[str, Any]) -> Iterator[Precious]:
    """Without the watchdog: it restarts Open WebUI once Valkey was restarted, in the middle of what is counted."""
    precious = Precious(lab)
    precious.host.check_output("systemctl stop open-webui-watchdog.service")
    yield precious
    precious.host.check_output("systemctl start open-webui-watchdog.service")


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    """Print results as a table, in a run that passes as well: they are what the test measured."""

    def _show(results: dict[str, Result]) -> None:
        with capsys.disabled():
            Console().print(table(results))

    return _show


def assert_all_arrived(result: Result, sockets: int) -> None:
    assert (result.lost, result.duplicated, result.strays, dict(result.failed)) == (0, 0, 0, {})
    assert result.received == result.sent * sockets
    assert (result.disconnected, result.reconnected, result.recovery_s) == (0, 0, 0)


def test_nothing_is_lost_while_nothing_happens(precious: Precious, show: Show) -> None:
    with Crowd(precious.base, people=5, clients=CLIENTS, rate=10) as crowd:
        crowd.settle()
        time.sleep(10)  # what is counted: a hundred events, ten a second
        quiet = crowd.result()
        full = crowd.throughput(5)
    show({"quiet": quiet, f"{full.events_per_s:.0f} a second": full})
    assert_all_arrived(quiet, CLIENTS // 5)
    assert quiet.sent >= 95
    assert_all_arrived(full, CLIENTS // 5)
    assert full.sent >= 8  # one of each sender at least: how many more is up to the machine
    # The crowd itself is not what is measured. How late it sends is up to the machine: four labs share two cores.
    assert quiet.cpu_share < 0.25
    assert full.cpu_share < 0.5


def test_a_killed_valkey_loses_events_that_were_accepted(precious: Precious, show: Show) -> None:
    with way_to_second(precious) as second, Crowd(precious.base, events_url=second, clients=CLIENTS) as crowd:
        crowd.settle()
        mark = crowd.now()
        precious.host.check_output("docker kill redis-valkey && sleep 3")
        with pytest.raises(CrowdError, match=r"0 of 50 not connected .* deliveries lost"):
            crowd.wait_recovered(1, mark)
        precious.host.check_output("docker start redis-valkey")
        recovered_s = crowd.wait_recovered(60, mark)
        result = crowd.result(mark)
    show({"Valkey away": result})
    assert result.lost > 100
    assert result.sent > 30
    assert result.duplicated == 0
    assert result.disconnected == 0
    assert 3 < recovered_s < 40
    assert result.recovery_s == pytest.approx(recovered_s)
    assert max(result.losses) <= recovered_s


def test_a_restart_throws_all_out_and_all_come_back(precious: Precious, show: Show) -> None:
    with Crowd(precious.base, clients=CLIENTS) as crowd:
        crowd.settle()
        mark = crowd.now()
        precious.host.check_output("docker restart open-webui")
        recovered_s = crowd.wait_recovered(120, mark)
        result = crowd.result(mark)
    show({"restarted": result})
    assert (result.disconnected, result.reconnected) == (CLIENTS, CLIENTS)
    assert sum(result.failed.values()) > 10
    assert 2 < recovered_s < 100
    assert result.recovery_s == pytest.approx(recovered_s)


def test_a_crowd_ends_by_itself(precious: Precious) -> None:
    with Crowd(precious.base, clients=5, limit_s=10) as crowd:
        crowd.settle()
        with pytest.raises(CrowdError, match=r"the crowd's 10 s are over"):
            within(20, "it is over", lambda: not crowd.result())
