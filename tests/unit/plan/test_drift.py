"""A host as deployed has no drift; each thing a deploy would change is one, named by where it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests import surveys
from tests.defaults import settings
from webui_stack.plan import drift
from webui_stack.render import managed, units
from webui_stack.settings.model import Settings

LAB: dict[str, Any] = {
    "docker_source": "distro",
    "docker_address_pools": [{"base": "198.19.0.0/17", "size": 24}],
    "valkey_image": "registry.lab.test:5000/valkey/valkey:8.1.1",
    "open_webui_image": "registry.lab.test:5000/open-webui/open-webui:v0.12.4-slim",
}


def files(wanted: Settings) -> dict[str, str]:
    deployed = surveys.parsed(surveys.DEPLOYED)
    return managed.files(wanted, deployed.machine, deployed.engine.server)


def found(sections: dict[str, Any] | None = None, daemon_json: str = surveys.DAEMON_JSON, **changes: Any) -> list[str]:
    """The drift of a lab host as deployed, were some sections of its survey, or settings, others."""
    document = surveys.changed(surveys.DEPLOYED, **{"files": files(settings(**LAB)), **(sections or {})})
    return drift.of(settings(**LAB, **changes), surveys.parsed(document, daemon_json))


def without(section: dict[str, Any], *names: str) -> dict[str, Any]:
    assert section.keys() >= set(names)
    return {name: value for name, value in section.items() if name not in names}


def edited(path: str, before: str, after: str) -> dict[str, str]:
    there = files(settings(**LAB))
    assert before in there[path]
    return {**there, path: there[path].replace(before, after)}


PACKAGES, VALKEY = surveys.DEPLOYED["engine"]["packages"], LAB["valkey_image"]
WATCHDOG_FILE = "/etc/systemd/system/open-webui-watchdog.service"
MONITOR_FILE = "/etc/systemd/system/open-webui-stack-monitor.service"


def test_a_host_as_deployed_has_none() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("sections", "lines"),
    [
        ({"engine": {"packages": without(PACKAGES, "docker.io")}}, ["packages: docker.io not installed"]),
        ({"engine": {"server": ""}}, ["docker: does not run"]),
        ({"docker_config": {"sha256": "unknown"}}, ["/etc/docker/daemon.json: can't be read, it could not be read"]),
        ({"docker_config": {"changing": True}}, ["/etc/docker/daemon.json: was cut off while it was changed"]),
        ({"units": []}, ["docker.service: is not both active and enabled",
                         "open-webui-watchdog.service: is not both active and enabled",
                         "open-webui-stack-monitor.service: is not both active and enabled"]),
        ({"files": without(files(settings(**LAB)), "/opt/open-webui/compose.yaml")},
         ["/opt/open-webui/compose.yaml: missing, or not root's and 0644"]),
        ({"files": edited(WATCHDOG_FILE, "RestartSec=5", "RestartSec=6")}, [f"{WATCHDOG_FILE}: differs"]),
        ({"files": {**files(settings(**LAB)), "/opt/open-webui/watchdog.sh": "x"}},
         ["/opt/open-webui/watchdog.sh: is of an earlier version"]),
        ({"project": {"stale": {"/opt/open-webui/.env": "content"}}}, ["/opt/open-webui/.env: its content differs"]),
        ({"project": {"stale": {"/opt/open-webui/secrets/alarms.json": "presence"}}},
         ["/opt/open-webui/secrets/alarms.json: is not wanted any more"]),
        ({"files": edited(MONITOR_FILE, "RestartSec=5", "RestartSec=6")}, [f"{MONITOR_FILE}: differs"]),
        ({"project": {"refused": "/x: expected y"}}, ["/x: expected y"]),
        ({"images": without(surveys.DEPLOYED["images"], VALKEY)},
         [f"image {VALKEY}: missing", "redis: its image changed"]),
        ({"containers": [{**one, "status": "exited"} for one in surveys.DEPLOYED["containers"]]},
         ["redis: is exited", "open-webui: is exited"]),
    ],
)  # fmt: skip
def test_each_difference_is_named(sections: dict[str, Any], lines: list[str]) -> None:
    assert found(sections) == lines


@pytest.mark.parametrize(
    ("daemon_json", "lines"),
    [
        (surveys.DAEMON_JSON.replace("live-restore", "debug"),
         ["/etc/docker/daemon.json: is not as docker_daemon says"]),
        (surveys.DAEMON_JSON.replace("true", "false"), []),  # what the host says wins over a default
        (surveys.DAEMON_JSON.replace("198.19", "198.18"), ["/etc/docker/daemon.json: is not as docker_daemon says"]),
        (surveys.DAEMON_JSON[2:], ["/etc/docker/daemon.json: can't be read, line 1: Extra data"]),
    ],
)  # fmt: skip
def test_a_changed_daemon_json_is_one_where_it_is_not_a_choice(daemon_json: str, lines: list[str]) -> None:
    assert found({"docker_config": surveys.with_daemon_json(daemon_json)}, daemon_json) == lines


def test_a_changed_setting_is_one() -> None:
    assert found(open_webui_jwt_expires_in="1h") == ["/opt/open-webui/compose.yaml: differs"]
    assert found(watchdog_pause_s=0) == [f"{MONITOR_FILE}: differs", "open-webui-watchdog.service: runs"]
    assert found(monitor_interval_s=30) == [f"{MONITOR_FILE}: differs"]
    assert found(monitor_interval_s=0) == [
        "open-webui-stack-monitor.service: runs",
        f"{MONITOR_FILE}: is not wanted any more",
    ]
    assert found(network_subnet="198.18.5.0/24")[0].startswith("openwebui-network: expected network_subnet")


SCHEDULE: dict[str, Any] = {"backup_schedule": "daily"}


def backed_up(put: Settings, *, runs: bool = True, monitored: Settings | None = None) -> dict[str, Any]:
    """The sections of a host where runbooks/backup.py put its files with these settings; `monitored` as deployed."""
    machine = surveys.parsed(surveys.DEPLOYED).machine
    return {
        "files": {
            **files(settings(**LAB)),
            **units.monitor(monitored or put, machine),
            **units.backup(put, machine),
        },
        "units": [*surveys.DEPLOYED["units"], *(["open-webui-backup.timer"] if runs else [])],
    }


BACKUP_FILE = "/etc/systemd/system/open-webui-backup.service"


@pytest.mark.parametrize("change", [{"backup_keep": 3}, {"backup_dir": "/srv/sets"}, {"valkey_image": "valkey:9.0.1"}])
def test_what_the_backups_timer_runs_is_kept_up_where_it_was_put(change: dict[str, Any]) -> None:
    there = backed_up(settings(**LAB, **SCHEDULE))
    assert found(there, **SCHEDULE) == []
    before = backed_up(settings(**{**LAB, **SCHEDULE, **change}), monitored=settings(**LAB, **SCHEDULE))
    assert found(before, **SCHEDULE) == [f"{BACKUP_FILE}: differs"]


def test_what_the_backup_of_earlier_versions_has_left_is_one() -> None:
    there = {**files(settings(**LAB)), "/opt/open-webui/backup.sh": "x", "/opt/open-webui/dataset.py": "y"}
    assert found({"files": there}) == [
        "/opt/open-webui/backup.sh: is of an earlier version",
        "/opt/open-webui/dataset.py: is of an earlier version",
    ]


def test_a_host_without_backups_is_not_given_any() -> None:
    assert found({"files": files(settings(**LAB, **SCHEDULE))}, **SCHEDULE) == []
    there = backed_up(settings(**LAB), runs=False, monitored=settings(**LAB, **SCHEDULE))
    assert found(there, **SCHEDULE) == []


def test_the_backups_timer_runs_where_it_was_put_as_long_as_there_is_a_schedule() -> None:
    there = backed_up(settings(**LAB, **SCHEDULE))
    assert found(there) == [f"{MONITOR_FILE}: differs", "open-webui-backup.timer: runs"]
    stopped = backed_up(settings(**LAB, **SCHEDULE), runs=False)
    assert found(stopped, **SCHEDULE) == ["open-webui-backup.timer: is not both active and enabled"]


def test_the_timer_asks_for_no_restic_that_nobody_opened() -> None:
    restic: dict[str, Any] = {"backup_restic_repository": "/srv/restic", "backup_restic_password": "env:X"}
    there = backed_up(settings(**LAB, **SCHEDULE))
    assert found(there, **SCHEDULE, **restic) == []
    opened = backed_up(settings(**LAB, **SCHEDULE, **restic))
    assert found(opened, **SCHEDULE, **restic) == []
    assert found(opened, **SCHEDULE, **restic, backup_keep=3) == [f"{BACKUP_FILE}: differs"]


def test_the_timer_asks_for_no_second_restic_that_nobody_opened() -> None:
    restic: dict[str, Any] = {"backup_restic_repository": "/srv/restic", "backup_restic_password": "env:X"}
    second = {"backup_restic_second_repository": "/mnt/nas", "backup_restic_second_password": "env:Y"}
    there = backed_up(settings(**LAB, **SCHEDULE, **restic))
    assert found(there, **SCHEDULE, **restic, **second) == []
    opened = backed_up(settings(**LAB, **SCHEDULE, **restic, **second))
    assert found(opened, **SCHEDULE, **restic) == [f"{BACKUP_FILE}: differs"]


def test_a_timer_of_the_version_before_is_kept_up() -> None:
    """Its request does not name the file of the repository's key."""
    restic: dict[str, Any] = {"backup_restic_repository": "/srv/restic", "backup_restic_password": "env:X"}
    there = backed_up(settings(**LAB, **SCHEDULE, **restic))
    there["files"][BACKUP_FILE] = "ExecStart=python3 /usr/local/lib/open-webui-stack/x offsite_backup plain\n"
    assert found(there, **SCHEDULE, **restic) == [f"{BACKUP_FILE}: differs"]


@pytest.mark.parametrize(
    ("setting", "name"), [("drill_schedule", "open-webui-drill"), ("backup_check_schedule", "open-webui-backup-check")]
)
def test_the_timers_of_drills_and_checks_are_kept_up_where_they_were_put(setting: str, name: str) -> None:
    restic: dict[str, Any] = {"backup_restic_repository": "/srv/restic", "backup_restic_password": "env:X"}
    wanted = {**restic, setting: "daily"}
    assert found({"files": files(settings(**LAB, **wanted))}, **wanted) == []
    there = backed_up(settings(**LAB, **wanted), runs=False)
    assert found(there, **wanted) == [f"{name}.timer: is not both active and enabled"]
    there["units"].append(f"{name}.timer")
    assert found(there, **wanted) == []
    assert found(there, **restic) == [f"{MONITOR_FILE}: differs", f"{name}.timer: runs"]
    there["files"][f"/etc/systemd/system/{name}.service"] += "# mine\n"
    assert found(there, **wanted) == [f"/etc/systemd/system/{name}.service: differs"]


SCRIPT = "/opt/open-webui/restic.sh"


def test_a_script_of_earlier_versions_that_a_timer_runs_stays_until_the_runbook_puts_another_timer() -> None:
    restic: dict[str, Any] = {"backup_restic_repository": "/srv/restic", "backup_restic_password": "env:X"}
    there = backed_up(settings(**LAB, **SCHEDULE))
    old = {**there["files"], SCRIPT: "copy", BACKUP_FILE: f"ExecStart=backup\nExecStart=/bin/sh {SCRIPT}\n"}
    assert found({**there, "files": old}, **SCHEDULE, **restic) == []
    put = {**backed_up(settings(**LAB, **SCHEDULE, **restic))["files"], SCRIPT: "copy"}
    assert found({**there, "files": put}, **SCHEDULE, **restic) == [f"{SCRIPT}: is of an earlier version"]


def test_a_script_of_earlier_versions_that_nothing_runs_is_one() -> None:
    assert found({"files": {**files(settings(**LAB)), SCRIPT: "copy"}}) == [f"{SCRIPT}: is of an earlier version"]


def test_a_fresh_host_lacks_all_of_it() -> None:
    fresh = surveys.parsed(surveys.FRESH)
    lines = drift.of(settings(**LAB), fresh)
    for what in (
        "packages: ",
        "docker: ",
        "/etc/docker/daemon.json: ",
        "docker.service: ",
        "/opt/open-webui/compose.yaml: ",
    ):
        assert any(line.startswith(what) for line in lines), what
    for line in ("openwebui-network: missing", "redis: has no container", "open-webui: has no container"):
        assert line in lines
