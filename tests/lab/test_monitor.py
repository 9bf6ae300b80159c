"""Real faults on a host are told once, and so is their end; nobody hears of a deploy. The receiver is on the host."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.precious import START_S, within
from tests.lab.session import FRESH, Lab, changed, containers, report_in

pytestmark = pytest.mark.lab

UNIT, TIMER = "open-webui-stack-monitor.service", "open-webui-backup.timer"
SETS, METRICS = "/srv/monitored", "/var/lib/node-exporter"
PORT, METRICS_PORT = 8977, 9469
INTERVAL_S = 5
# Two looks, of which each may wait 10 s for Valkey; and what a host takes that others load.
TOLD_S = 90
# So long nothing may be told, for a message that is too many to come.
QUIET_S = 4 * INTERVAL_S
# Writes each request with its path, a line each.
RECEIVER = f"""
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("/root/received", "a") as file:
            print(json.dumps({{"path": self.path, **body}}), file=file, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", {PORT}), Handler).serve_forever()
"""


def url(word: str) -> str:
    return f"http://127.0.0.1:{PORT}/{word}"


@dataclass
class Watched:
    """A host with a monitor that looks every five seconds, and with a receiver of its messages."""

    lab: Lab
    host: Any
    word: str = "secret-of-the-hook"

    @property
    def data(self) -> str:
        """The host's settings. Without a watchdog, which would restart what a test stops."""
        found = {
            "monitor_interval_s": INTERVAL_S,
            "alarms": [{"webhook": "env:TEST_HOOK"}],
            "metrics_textfile_dir": METRICS,
            "metrics_bind": f"127.0.0.1:{METRICS_PORT}",
            "backup_dir": SETS,
            "backup_schedule": "*-*-* 03:30",
            "watchdog_pause_s": 0,
        }
        return json.dumps({FRESH: found})

    def run(self, *arguments: str) -> str:
        result = self.lab.run(*arguments, TEST_HOST_DATA=self.data, TEST_HOOK=url(self.word))
        assert result.returncode == 0, result.stdout
        return str(result.stdout)

    def received(self) -> list[dict[str, Any]]:
        lines = self.host.run("cat /root/received").stdout.splitlines()
        return [json.loads(line) for line in lines]

    def told(self, since: int) -> list[tuple[str, list[str]]]:
        """The messages after the first `since` of them: the kind, and the names of what each tells of."""
        return [(one["kind"], [item["name"] for item in one["items"]]) for one in self.received()[since:]]

    @contextmanager
    def broken(self, name: str, fault: str, repair: str) -> Iterator[None]:
        """A fault that is told once, and its end, too; the block runs while it lasts."""
        since = len(self.received())
        self.host.check_output(fault)
        try:
            took_s = within(TOLD_S, f"{name} is told", lambda: self.told(since))
            assert self.told(since) == [("problem", [name])]
            yield
        finally:
            self.host.check_output(repair)
        within(START_S, f"the end of {name} is told", lambda: len(self.told(since)) > 1)
        time.sleep(QUIET_S)  # a message too many would come by then
        assert self.told(since) == [("problem", [name]), ("well", [name])]
        print(f"{name}: told after {took_s:.0f} s, by webhook, 2 messages")


@pytest.fixture(scope="module")
def watched(lab: Lab, deployed: dict[str, Any]) -> Iterator[Watched]:
    host = lab.host(FRESH)
    # tmpfs takes memory for what is written alone. Above the limit of 2 GB, until a test fills it.
    host.check_output(f"mkdir -p {SETS} {METRICS} && mount -t tmpfs -o size=2200m,mode=700 tmpfs {SETS}")
    host.check_output("printf %s %s >/root/receiver.py", "%s", RECEIVER)
    host.check_output("systemd-run --quiet --collect --unit receiver python3 /root/receiver.py")
    one = Watched(lab, host)
    try:
        one.run("-y", "runbooks/backup.py")
        one.run("-y", "deploy.py")
        host.check_output("touch /root/received")
        within(60, "the first look", lambda: "look_timestamp_seconds" in host.run(f"cat {METRICS}/*.prom").stdout)
        yield one
    finally:
        lab.report("-y", "deploy.py")
        host.run(
            f"systemctl disable --now {TIMER}; rm -f /etc/systemd/system/open-webui-backup.*; systemctl daemon-reload; "
            f"systemctl stop receiver; rm -rf /root/received /root/receiver.py; umount {SETS}; rmdir {SETS} {METRICS}"
        )


def test_a_test_message_reaches_the_receiver(watched: Watched) -> None:
    since = len(watched.received())
    output = watched.run("-y", "runbooks/alarm_test.py")
    assert "ok      webhook-1: took the message" in output
    assert watched.told(since) == [("test", [])]


def test_a_valkey_that_hangs_is_told_and_so_is_its_end(watched: Watched) -> None:
    server = "$(docker inspect --format '{{.State.Pid}}' redis-valkey)"
    with watched.broken("valkey_pong", f"kill -STOP {server}", f"kill -CONT {server}"):
        (message,) = [one for one in watched.received() if one["kind"] == "problem"][-1:]
        assert message["host"] == watched.host.check_output("hostname")
        assert message["items"][0]["next_step"]


def test_a_disk_that_fills_up_is_told_and_is_in_status_while_it_lasts(watched: Watched) -> None:
    with watched.broken("disk_backups", f"fallocate -l 600M {SETS}/filler", f"rm {SETS}/filler"):
        assert f"{FRESH}: alarm disk_backups: broken since " in watched.run("-y", "runbooks/status.py")
    assert "disk_backups" not in watched.run("-y", "runbooks/status.py")


def test_a_timer_that_does_not_run_is_told(watched: Watched) -> None:
    with watched.broken("unit_open_webui_backup_timer", f"systemctl stop {TIMER}", f"systemctl start {TIMER}"):
        pass


def test_a_replica_that_is_gone_is_told(watched: Watched) -> None:
    with watched.broken("container_open_webui", "docker stop open-webui", "docker start open-webui"):
        pass


@pytest.mark.long
def test_a_deploy_that_replaces_a_container_is_told_of_by_nobody(watched: Watched) -> None:
    since, before = len(watched.received()), containers(watched.host)
    watched.run("-y", "deploy.py", "--data", "open_webui_jwt_expires_in=12h")
    assert containers(watched.host)["open-webui"] != before["open-webui"]
    time.sleep(QUIET_S)
    watched.run("-y", "deploy.py")
    time.sleep(QUIET_S)
    assert watched.told(since) == []


@pytest.mark.long
def test_a_changed_receiver_is_one_step_that_restarts_nothing_and_is_used_from_then_on(watched: Watched) -> None:
    before = containers(watched.host), watched.host.check_output(f"systemctl show --property MainPID {UNIT}")
    watched.word = "another-hook"
    assert changed(report_in(watched.run("-y", "deploy.py", "--json"))) == ["Stack | Make the secrets on the host"]
    assert before == (containers(watched.host), watched.host.check_output(f"systemctl show --property MainPID {UNIT}"))
    with watched.broken("unit_open_webui_backup_timer", f"systemctl stop {TIMER}", f"systemctl start {TIMER}"):
        pass
    assert watched.received()[-1]["path"] == "/another-hook"


def test_the_numbers_are_in_the_textfile_and_served(watched: Watched) -> None:
    ask = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{METRICS_PORT}/metrics').read().decode())"
    served = watched.host.check_output("python3 -c %s", ask)
    written = watched.host.check_output(f"cat {METRICS}/open-webui-stack.prom")
    for text in (served, written):
        assert "\nopen_webui_stack_valkey_up 1\n" in text
        assert '\nopen_webui_stack_event_delivered{container="open-webui"} 1\n' in text


def test_the_receivers_url_is_in_one_file_of_roots(watched: Watched) -> None:
    file = watched.host.file("/opt/open-webui/secrets/alarms.json")
    assert (file.user, file.mode) == ("root", 0o600)
    assert watched.word in file.content_string
    places = (
        f"cat /etc/systemd/system/{UNIT} /var/lib/open-webui-stack/*",
        f"journalctl --quiet --no-pager --unit {UNIT}",
        "cat /proc/[0-9]*/cmdline",
        "find /opt/open-webui/.good /opt/open-webui/.deploys -type f -exec cat {} +",
    )
    for place in places:
        assert watched.word not in watched.host.run(place).stdout, place


@pytest.mark.long
def test_an_interval_of_0_leaves_nothing_of_the_monitor(watched: Watched) -> None:
    """With no receivers and no metrics, as the settings want it."""
    data = {"monitor_interval_s": 0, "watchdog_pause_s": 0, "backup_dir": SETS, "backup_schedule": "*-*-* 03:30"}
    watched.lab.report("-y", "deploy.py", TEST_HOST_DATA=json.dumps({FRESH: data}))
    for path in (
        f"/etc/systemd/system/{UNIT}",
        f"{METRICS}/open-webui-stack.prom",
        "/var/lib/open-webui-stack/alarms.json",
        "/opt/open-webui/secrets/alarms.json",
    ):
        assert not watched.host.file(path).exists, path
    assert not watched.host.service(UNIT).is_running
