"""Doctor on containers: each of the stack's own is looked at, and says what is wrong with it."""

from __future__ import annotations

import pytest

from tests.doctor_documents import changed
from tests.unit.doctor import judging
from tests.unit.doctor.judging import FINE, judged, levels

CASES = [
    ("open-webui: healthcheck", "open-webui|healthy", "unhealthy", "fault", "unhealthy"),
    ("open-webui: healthcheck", 'open-webui|"failing":0', '"failing":3', "advice", "healthy, 3 failed in a row"),
    ("redis-valkey: healthcheck", "redis-valkey|healthy", "none", "advice", "none"),
    ("redis-valkey: out of memory", 'redis-valkey|"oom_killed":false', '"oom_killed":true', "fault", "killed by"),
    ("redis-valkey: restarts", 'redis-valkey|"restarts":0', '"restarts":7', "advice", "restarted it 7 times"),
    ("open-webui: restart policy", "open-webui|unless-stopped", "no", "fault", "no"),
    ("redis-valkey: log size", 'redis-valkey|,"max-size":"1m"', "", "advice", "driver json-file, without a limit"),
    ("open-webui: origin", "open-webui|/opt/open-webui", "/root/x", "advice", "made by compose in /root/x"),
]


@pytest.mark.parametrize(("row", "old", "new", "level", "seen"), CASES)
def test_each_row_tells_its_own_trouble_and_no_other(row: str, old: str, new: str, level: str, seen: str) -> None:
    judging.tells_alone(row, old, new, level, seen)


def test_every_process_is_looked_at() -> None:
    found = levels(judged(FINE, open_webui_replicas=2, public_url="https://chat.example.org"))
    assert {name: level for name, level in found.items() if name.startswith("open-webui-")} == dict.fromkeys(
        ("open-webui-postgres", "open-webui-2", "open-webui-proxy"), "fault"
    )


def test_a_container_that_ended_or_is_gone_is_a_fault() -> None:
    ended = changed(changed(FINE, 'open-webui|"running"', '"exited"'), 'open-webui|"exit_code":0', '"exit_code":1')
    assert levels(judged(ended)) == {"open-webui": "fault"}
    assert "exited, exit code 1" in str([str(check) for check in judged(ended)])
    gone = {**FINE, "containers": [one for one in FINE["containers"] if one["name"] != "redis-valkey"]}
    assert levels(judged(gone))["redis-valkey"] == "fault"
