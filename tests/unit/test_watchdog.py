"""The watchdog's script, run against a `docker` that is a shell script: what it restarts, and what it leaves."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import settings
from webui_stack import compose, templates

# Its answers are files: names, NAME (status, restart policy, health), NAME.error, NAME.started. What it is told to do
# is in `done`.
DOCKER = """#!/bin/sh
for name in "$@"; do :; done
case $1 in
ps)
  [ ! -e away ] || { echo "Cannot connect to the Docker daemon"; exit 1; }
  while read -r name; do
    read -r status policy health <$name
    case $health in starting) health="health: starting" ;; esac
    label=$(cat $name.label 2>/dev/null)
    case $status in running) since="Up 2 hours${health:+ ($health)}" ;; *) since="" ;; esac
    echo "$name $status $label $since"
  done <names
  echo asked >>looks ;;
inspect)
  echo "$*" >>looks
  read -r status policy health <$name
  case $* in
  *StartedAt*) [ ! -e silent ] || exit 1; cat $name.started ;;
  *RestartPolicy*) echo "$status $policy $health|$(cat $name.error 2>/dev/null)" ;;
  *) echo "$status $health" ;;
  esac ;;
exec) echo "$REDISCLI_AUTH $*" >>asked; cat info ;;
*) echo "$*" >>done; [ ! -e refuses ] || exit 1 ;;
esac
"""
FINE = "running unless-stopped healthy"


@dataclass
class Host:
    """A host of files, on which the watchdog runs."""

    root: Path
    script: str

    def put(self, name: str, state: str = FINE, *, age_s: float = 1000, error: str = "") -> None:
        """A container in a state, started so long ago."""
        names = self.root / "names"
        known = names.read_text().split() if names.exists() else []
        names.write_text("\n".join(dict.fromkeys([*known, name])) + "\n")
        (self.root / name).write_text(state + "\n")
        (self.root / f"{name}.error").write_text(error)
        (self.root / f"{name}.started").write_text(time.strftime("%FT%TZ", time.gmtime(time.time() - age_s)))

    def run(self) -> list[str]:
        """What it says in one turn."""
        path = {"PATH": f"{self.root}:{os.environ['PATH']}"}
        ran = subprocess.run(["sh", "-c", self.script], cwd=self.root, env=path, capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout.splitlines()

    @property
    def done(self) -> list[str]:
        done = self.root / "done"
        return done.read_text().splitlines() if done.exists() else []

    def later(self, seconds: float) -> None:
        """Let time pass for what it remembers."""
        for stamp in (self.root / "run").glob("tried-*"):
            os.utime(stamp, (stamp.stat().st_atime, stamp.stat().st_mtime - seconds))


def host_of(root: Path, **changes: Any) -> Host:
    files = templates.watchdog(settings(stack_dir="/srv/chat", **changes))
    script = files["/srv/chat/watchdog.sh"].replace(compose.RUN_FOLDER, str(root / "run")).replace("/srv/chat", ".")
    (root / "docker").write_text(DOCKER)
    (root / "docker").chmod(0o755)
    (root / "secrets").mkdir()
    (root / "secrets/valkey-monitor-password").write_text("monitors")
    (root / "info").write_text("# Persistence\nloading:0\n")
    found = Host(root, script)
    for name in templates.containers(settings(**changes)):
        found.put(name, age_s=1001 if name == "redis-valkey" else 1000)
    return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return host_of(tmp_path)


def test_where_all_is_well_nothing_is_done_or_said_and_docker_is_asked_once(host: Host) -> None:
    assert (host.run(), host.done) == ([], [])
    assert (host.root / "looks").read_text().splitlines() == ["asked"]


def test_an_open_webui_that_listens_again_by_itself_is_left_alone_after_valkey(host: Host) -> None:
    host.put("redis-valkey", age_s=200)
    assert (host.run(), host.done) == ([], [])


@pytest.mark.parametrize(
    ("valkey", "open_webui", "restarted"),
    [
        (FINE, FINE, True),
        ("running unless-stopped starting", FINE, False),
        (FINE, "exited unless-stopped healthy", False),
    ],
)
def test_a_release_that_does_not_is_restarted_after_valkey_once_both_are_well(
    valkey: str, open_webui: str, restarted: bool, host: Host
) -> None:
    (host.root / "open-webui.label").write_text("true")
    host.put("open-webui", open_webui)
    host.put("redis-valkey", valkey, age_s=110)
    assert host.run() == ["restarting open-webui: Valkey was restarted after it"] * restarted
    assert host.done == ["restart open-webui"] * restarted


def test_the_watchdog_is_the_same_for_each_release() -> None:
    """A rollback to an earlier one leaves the script as it is; what runs says whether it has to be restarted."""
    image = "ghcr.io/open-webui/open-webui:v0.11.4"
    assert templates.watchdog(settings(open_webui_image=image)) == templates.watchdog(settings())


def test_nothing_is_restarted_because_docker_does_not_say_since_when_it_runs(host: Host) -> None:
    """`date` takes an empty text for midnight, and then everything was restarted at midnight."""
    host.put("redis-valkey", age_s=10)
    (host.root / "silent").touch()
    assert (host.run(), host.done) == ([], [])
    host.put("redis-valkey", "running unless-stopped unhealthy")
    assert (host.run(), host.done) == ([], [])
    (host.root / "silent").unlink()
    assert host.run() == ["restarting redis-valkey: it stopped answering"]


def test_what_hangs_is_restarted_with_the_time_it_has_to_stop(tmp_path: Path) -> None:
    host = host_of(tmp_path, database="postgres")
    host.put("open-webui-postgres", "running unless-stopped unhealthy")
    assert host.run() == ["restarting open-webui-postgres: it stopped answering"]
    assert host.done == ["restart open-webui-postgres"]


def test_it_goes_on_beside_a_backup_and_not_beside_a_deploy(host: Host) -> None:
    host.put("open-webui", "running unless-stopped unhealthy")
    folder = host.root / "run"
    folder.mkdir()
    with (folder / "containers").open("w") as of_deploy:
        fcntl.flock(of_deploy, fcntl.LOCK_EX)
        assert (host.run(), host.done) == ([], [])
    with (folder / "work").open("w") as of_backup:
        fcntl.flock(of_backup, fcntl.LOCK_EX)
        assert host.run() == ["restarting open-webui: it stopped answering"]


def test_its_locks_are_roots_alone(host: Host) -> None:
    host.run()
    assert (host.root / "run").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "state", ["exited unless-stopped unhealthy", "created unless-stopped", "exited always starting"]
)
def test_what_docker_could_not_start_is_started_once_a_pause(host: Host, state: str) -> None:
    error = "driver failed programming external connectivity: cannot assign requested address"
    host.put("open-webui", state, error=error)
    (host.root / "refuses").touch()
    said = [f"starting open-webui: {error}", "open-webui: not started; tried again in 120 s"]
    assert [host.run(), host.run()] == [said, []]
    host.later(121)
    (host.root / "refuses").unlink()
    assert host.run() == said[:1]
    assert host.done == ["start open-webui"] * 2


@pytest.mark.parametrize(
    ("state", "error"),
    [
        pytest.param("exited unless-stopped unhealthy", "", id="stopped by somebody"),
        pytest.param("exited no healthy", "cannot assign requested address", id="not to be restarted"),
        pytest.param("created unless-stopped", "", id="of a deploy that was cut off"),
        pytest.param("paused unless-stopped unhealthy", "", id="paused by somebody"),
        pytest.param("restarting unless-stopped starting", "", id="Docker is at it"),
    ],
)
def test_what_somebody_stopped_stays_stopped(host: Host, state: str, error: str) -> None:
    host.put("open-webui", state, error=error)
    assert (host.run(), host.done) == ([], [])


def test_a_missing_container_is_told_once_a_pause_and_not_made(host: Host) -> None:
    (host.root / "names").write_text("open-webui\n")
    said = ["redis-valkey: there is no such container; deploy.py makes it again"]
    (host.root / "redis-valkey").write_text("")
    assert [host.run(), host.run()] == [said, []]
    assert host.done == []


def test_no_answer_of_docker_is_not_a_missing_container(host: Host) -> None:
    (host.root / "away").touch()
    said = ["Docker does not answer: Cannot connect to the Docker daemon"]
    assert [host.run(), host.run()] == [said, []]
    assert host.done == []


def test_a_restart_that_fails_is_tried_again_after_the_pause(host: Host) -> None:
    host.put("open-webui", "running unless-stopped unhealthy")
    (host.root / "refuses").touch()
    told = ["restarting open-webui: it stopped answering", "open-webui: not restarted; tried again in 120 s"]
    assert [host.run(), host.run()] == [told, []]
    host.later(121)
    assert host.run() == told


def test_what_began_a_moment_ago_has_its_pause(host: Host) -> None:
    host.put("open-webui", "running unless-stopped unhealthy", age_s=60)
    assert (host.run(), host.done) == ([], [])


@pytest.mark.parametrize(
    ("info", "age_s", "expected"),
    [
        pytest.param("loading:1", 3000, [], id="it loads"),
        pytest.param("loading:0", 60, [], id="it began a moment ago"),
        pytest.param("loading:0", 3000, ["restart redis-valkey"], id="it has loaded and does not answer"),
        pytest.param("", 3000, ["restart redis-valkey"], id="it answers nobody"),
    ],
)
def test_a_valkey_that_loads_is_left_alone(host: Host, info: str, age_s: float, expected: list[str]) -> None:
    host.put("redis-valkey", "running unless-stopped starting", age_s=age_s)
    host.put("open-webui", "running unless-stopped healthy", age_s=age_s - 1)
    (host.root / "info").write_text(f"# Persistence\n{info}\n")
    host.run()
    assert host.done == expected
    if age_s > 120:
        # Its password is in no argument.
        asked = "monitors exec --env REDISCLI_AUTH redis-valkey valkey-cli --user monitor info persistence"
        assert (host.root / "asked").read_text().splitlines() == [asked]


def test_an_open_webui_that_starts_for_long_is_no_business_of_it(host: Host) -> None:
    host.put("open-webui", "running unless-stopped starting", age_s=3000)
    assert (host.run(), host.done) == ([], [])


def test_systemd_keeps_what_it_says_and_not_each_of_its_starts() -> None:
    unit = templates.watchdog(settings())["/etc/systemd/system/open-webui-watchdog.service"]
    assert "\nSyslogLevel=notice\nLogLevelMax=notice\n" in unit
