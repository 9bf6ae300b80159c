"""Timers check restic's repository and hold drills, as the settings say; a job that fails is told, and so is its end.

Each drill starts Open WebUI once, so all of it is `long`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.session import FRESH, ROOT, Lab, changed, containers, report_in
from tests.lab.watched import SETS, Watched

pytestmark = [pytest.mark.lab, pytest.mark.long]

REPOSITORY = "/srv/restic"
CHECK, DRILL = "open-webui-backup-check", "open-webui-drill"
SCHEDULES = {"backup_check_schedule": "Sun *-*-* 05:00", "drill_schedule": "Sat *-*-* 05:00"}
RESTIC = {"backup_restic_repository": REPOSITORY, "backup_restic_password": "env:TEST_RESTIC_PASSWORD"}


@pytest.fixture(scope="module")
def scheduled(lab: Lab, deployed: dict[str, Any]) -> Iterator[Watched]:
    """A host with both timers, a set in a repository, and a monitor."""
    one = Watched(lab, more={**RESTIC, **SCHEDULES}, secrets={"TEST_RESTIC_PASSWORD": "sesame-of-restic"})
    try:
        with one.begun():
            yield one
    finally:
        one.host.check_output(f"rm -rf {REPOSITORY} /opt/open-webui/restic.env /opt/open-webui/outcomes")


@pytest.fixture
def watched(scheduled: Watched) -> Watched:
    """The host, with a monitor that knows of no test before this one."""
    scheduled.forget()
    return scheduled


def shown(host: Any, unit: str, *properties: str) -> dict[str, str]:
    """Properties of a unit by name, as systemd shows them."""
    asked = " ".join(f"--property={one}" for one in properties)
    lines = host.check_output(f"systemctl show {asked} {unit}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def times(host: Any, job: str) -> str:
    """When a job's timer runs, as systemd has read it; "" for a timer that does not run."""
    found = shown(host, f"{job}.timer", "ActiveState", "UnitFileState", "TimersCalendar")
    assert (found["ActiveState"], found["UnitFileState"]) in (("active", "enabled"), ("inactive", "disabled"))
    return found["TimersCalendar"].partition("OnCalendar=")[2].partition(" ;")[0] * (found["ActiveState"] == "active")


def ended(host: Any, job: str) -> str:
    """How the last run of a job ended, as systemd has it."""
    return shown(host, f"{job}.service", "Result")["Result"]


def newest(watched: Watched) -> str:
    return str(sorted(watched.host.check_output(f"ls {SETS}").split())[-1])


def status(watched: Watched) -> dict[str, Any]:
    """The host's part of the status.json that runbooks/status.py writes."""
    output = watched.run("-y", "runbooks/status.py")
    (file,) = (line.removeprefix("status: ") for line in output.splitlines() if line.startswith("status: "))
    found: dict[str, Any] = json.loads((ROOT / file).read_text())[FRESH]
    return found


def test_each_timer_runs_at_the_times_of_its_setting(watched: Watched) -> None:
    assert times(watched.host, CHECK) == "Sun *-*-* 05:00:00"
    assert times(watched.host, DRILL) == "Sat *-*-* 05:00:00"


def test_the_timers_job_checks_the_repository_and_status_knows(watched: Watched) -> None:
    watched.host.check_output(f"systemctl start {CHECK}.service")
    assert ended(watched.host, CHECK) == "success"
    found = status(watched)
    outcome = found["outcomes"]["check-1"]
    assert (outcome["of"], outcome["ok"], found["backups"]) == (REPOSITORY, True, [])
    assert outcome["good_s"] == outcome["ended_s"] > 0


def test_the_timers_job_restores_the_newest_set_beside_the_stack_and_status_knows(watched: Watched) -> None:
    everything = "docker ps --all --quiet; docker volume ls --quiet; docker network ls --quiet"
    before, running = watched.host.check_output(everything), containers(watched.host)
    watched.host.check_output(f"systemctl start {DRILL}.service")
    assert ended(watched.host, DRILL) == "success"
    found = status(watched)
    outcome = found["outcomes"]["drill"]
    assert (outcome["set"], outcome["ok"], found["backups"]) == (newest(watched), True, [])
    assert outcome["counts"]["faults"] == 0
    assert outcome["counts"]["findings"] > 5
    assert 0 <= found["drill_age_s"] < 600
    assert (watched.host.check_output(everything), containers(watched.host)) == (before, running)


def test_a_repository_that_lost_a_file_is_told_once_and_so_is_its_end(watched: Watched) -> None:
    find = f"find {REPOSITORY}/data -type f | sort | head -n 1"
    pack = watched.host.check_output(find)
    run = f"systemctl start {CHECK}.service"
    fault, repair = f"mv {pack} /srv/lost && ! {run}", f"mv /srv/lost {pack} && {run}"
    with watched.broken("unit_open_webui_backup_check_service", fault, repair):
        assert ended(watched.host, CHECK) == "exit-code"
        found = status(watched)
        (line,) = found["backups"]
        assert line.startswith(f"check of {REPOSITORY} failed, went well last on ")
        assert [one["name"] for one in found["alarms"]] == ["unit_open_webui_backup_check_service"]
    found = status(watched)
    assert (found["backups"], found["alarms"]) == ([], [])


def test_a_drill_that_misses_a_chat_is_told_once_and_so_is_its_end(watched: Watched) -> None:
    """One number of the manifest is wrong, as if a chat had been lost on the way."""
    manifest, run = f"{SETS}/{newest(watched)}/manifest.json", f"systemctl start {DRILL}.service"
    lose = f'cp -p {manifest} /root/manifest && sed -i \'s/"chats": [0-9]*/"chats": 99/\' {manifest}'
    with watched.broken(
        "unit_open_webui_drill_service", f"{lose} && ! {run}", f"mv /root/manifest {manifest} && {run}"
    ):
        assert ended(watched.host, DRILL) == "exit-code"
        (line,) = status(watched)["backups"]
        assert line.startswith("drill failed, went well last on ")
        assert "chats: expected 99, got " in line
    found = status(watched)
    assert (found["backups"], found["alarms"], ended(watched.host, DRILL)) == ([], [], "success")


def test_another_time_is_converged_by_a_deploy_and_a_second_one_changes_nothing(watched: Watched) -> None:
    watched.more["drill_schedule"] = "Fri *-*-* 06:30"
    told = changed(report_in(watched.run("-y", "deploy.py", "--json")))
    assert "Backup | Put the backup's files" in told
    assert (times(watched.host, DRILL), times(watched.host, CHECK)) == ("Fri *-*-* 06:30:00", "Sun *-*-* 05:00:00")
    assert changed(report_in(watched.run("-y", "deploy.py", "--json"))) == []


def test_without_its_setting_a_timer_does_not_run_and_nobody_is_told(watched: Watched) -> None:
    since = len(watched.received())
    for name in SCHEDULES:
        del watched.more[name]
    watched.run("-y", "deploy.py")
    assert (times(watched.host, DRILL), times(watched.host, CHECK)) == ("", "")
    watched.calm(3)
    assert watched.told(since) == []
    assert changed(report_in(watched.run("-y", "deploy.py", "--json"))) == []
