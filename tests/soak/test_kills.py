"""Twenty times what tests/lab does once: kill the operator's run, kill Valkey's server. Under 15 minutes in all."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests.lab.precious import Precious, within
from tests.lab.session import Lab, changed
from tests.lab.test_failures import Operator, moments
from tests.lab.test_promises import Crash, crash, listens

pytestmark = pytest.mark.lab

KILLS = 20
# Docker doubles its pause before a restart (from 0.1 s) unless the container has run for 10 s.
PATIENT_S = 10.5


@pytest.fixture(scope="module")
def precious(lab: Lab, deployed: dict[str, Any]) -> Precious:
    return Precious(lab)


def test_an_operator_killed_at_20_random_moments(
    lab: Lab, precious: Precious, capsys: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    rows = []
    for number, delay_s in enumerate(moments(KILLS, 14)):
        arguments = ("--data", f"open_webui_jwt_expires_in={('11h', '24h')[number % 2]}")
        killed = Operator(*arguments)
        time.sleep(delay_s)
        in_time = killed.kill()
        during = killed.output.rpartition("--> Starting operation: ")[2].splitlines() or ["before its first operation"]
        repaired = changed(lab.report("-y", "deploy.py", *arguments))
        assert changed(lab.report("-y", "deploy.py", *arguments)) == [], f"after a kill at {delay_s} s"
        precious.assert_kept()
        rows.append(
            f"  {delay_s:5} s  {during[0] if in_time else 'had ended':55} then: {', '.join(repaired) or 'nothing'}"
        )
    with capsys.disabled():
        print("\n" + "\n".join(rows))
        print(f"  {len(rows)} of {KILLS} kills survived in {time.monotonic() - start:.0f} s")


@pytest.mark.parametrize("mode", ["everysec", "always"])
def test_valkey_killed_20_times(lab: Lab, precious: Precious, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    lab.report("-y", "deploy.py", "--data", f"valkey_appendfsync={mode}")
    chosen = random.Random(mode)  # noqa: S311
    found: list[Crash] = []
    for number in range(KILLS):
        found.append(crash(precious.host, PATIENT_S if number % 5 == 4 else chosen.uniform(0.5, 3)))
    with capsys.disabled():
        print(f"\n  {mode:8} {'acknowledged':>12} {'last second':>12} {'kept':>8} {'lost':>6} {'back after':>10}")
        for number, one in enumerate(found, 1):
            print(
                f"  {number:8} {one.acknowledged:12} {one.in_last_second:12} {one.kept:8} {one.lost:6} "
                f"{one.back_after_s:8.1f} s"
            )
        print(
            f"  {'in all':8} {sum(one.acknowledged for one in found):12} {'':12} "
            f"{sum(one.kept for one in found):8} {sum(one.lost for one in found):6}"
        )
    for one in found:
        assert one.lost <= (one.in_last_second if mode == "everysec" else 0), one
    within(180, "Open WebUI listens again", lambda: listens(precious.host))
    precious.assert_kept()
    if mode == "always":
        lab.report("-y", "deploy.py")
