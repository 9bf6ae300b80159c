"""A host with a monitor, and with receivers of its messages that write down what they get."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.lab.precious import START_S, within
from tests.lab.session import FRESH, Lab

UNIT, TIMER = "open-webui-stack-monitor.service", "open-webui-backup.timer"
# The jobs on backups, each a timer and a service.
JOBS = ("open-webui-backup", "open-webui-backup-check", "open-webui-drill")
RECORD = "/var/lib/open-webui-stack/alarms.json"
SETS, METRICS = "/srv/monitored", "/var/lib/node-exporter"
PORT, METRICS_PORT = 8977, 9469
INTERVAL_S = 5
# Two looks, of which each may wait 10 s for Valkey; and what a host takes that others load.
TOLD_S = 90
# So long nothing may be told, for a message that is too many to come.
QUIET_S = 4 * INTERVAL_S
BEAT = "beat-of-the-heart"
# Writes a line for each request.
RECEIVER = f"""
import http.server, json, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        seen = {{"at": time.time(), "path": self.path, "body": body}}
        with open("/root/received", "a") as file:
            print(json.dumps(seen), file=file, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_POST
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", {PORT}), Handler).serve_forever()
"""


def url(word: str) -> str:
    return f"http://127.0.0.1:{PORT}/{word}"


def serve(host: Any, name: str, command: str) -> None:
    """Run a program on the host, until `silence`."""
    host.check_output(f"systemd-run --quiet --collect --unit {name} {command}")


def silence(host: Any, name: str) -> None:
    host.run(f"systemctl stop {name}")


@dataclass
class Watched:
    """A host with a monitor that looks every five seconds, and with a receiver of its messages.

    Without a watchdog, which would restart what a test stops. `more` are settings that a test wants besides.
    """

    lab: Lab
    name: str = FRESH
    word: str = "secret-of-the-hook"
    more: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> Any:
        return self.lab.host(self.name)

    @property
    def data(self) -> str:
        """The host's settings."""
        found = {
            "monitor_interval_s": INTERVAL_S,
            "alarms": [{"webhook": "env:TEST_HOOK"}],
            "metrics_textfile_dir": METRICS,
            "metrics_bind": f"127.0.0.1:{METRICS_PORT}",
            "backup_dir": SETS,
            "backup_schedule": "*-*-* 03:30",
            "watchdog_pause_s": 0,
            **self.more,
        }
        return json.dumps({self.name: found})

    @contextmanager
    def begun(self) -> Iterator[None]:
        """The host with all of `begin` while the block lasts; a deploy without it follows."""
        try:
            self.begin()
            yield
        finally:
            self.lab.report("-y", "deploy.py")
            self.end()

    def begin(self) -> None:
        """Ensure the host has the receiver, a backup set with its timer, and a monitor that has looked once."""
        # tmpfs takes memory for what is written alone. Above the limit of 2 GB, until a test fills it.
        self.host.check_output(f"mkdir -p {SETS} {METRICS} && mount -t tmpfs -o size=2200m,mode=700 tmpfs {SETS}")
        self.host.check_output("printf %s %s >/root/receiver.py", "%s", RECEIVER)
        serve(self.host, "receiver", "python3 /root/receiver.py")
        self.run("-y", "runbooks/backup.py")
        self.run("-y", "deploy.py")
        self.host.check_output("touch /root/received")
        within(60, "the first look", lambda: self.looked_s() > 0)

    def end(self) -> None:
        """Ensure nothing of `begin` is left, once a deploy has removed the monitor's receivers."""
        silence(self.host, "receiver")
        timers = " ".join(f"{job}.timer" for job in JOBS)
        files = " ".join(f"/etc/systemd/system/{job}.*" for job in JOBS)
        self.host.run(
            f"for timer in {timers}; do systemctl disable --now $timer; done; rm -f {files}; "
            "systemctl daemon-reload; systemctl reset-failed; "
            f"rm -f /root/received /root/receiver.py; umount {SETS}; rmdir {SETS} {METRICS}"
        )

    def forget(self) -> None:
        """Ensure the monitor remembers nothing: faults of several tests within an hour would be one that flaps."""
        self.host.check_output(f"systemctl stop {UNIT} && rm -f {RECORD} && systemctl start {UNIT}")

    def run(self, *arguments: str) -> str:
        result = self.lab.run(
            *arguments, limit=self.name, TEST_HOST_DATA=self.data, TEST_HOOK=url(self.word), **self.secrets
        )
        assert result.returncode == 0, result.stdout
        return str(result.stdout)

    @contextmanager
    def having(self, **settings: Any) -> Iterator[None]:
        """These settings while the block lasts, by a deploy before it and one after it."""
        self.more |= settings
        try:
            self.run("-y", "deploy.py")
            self.calm()
            yield
        finally:
            self.more = {name: value for name, value in self.more.items() if name not in settings}
            self.run("-y", "deploy.py")
            self.calm()

    # --- What it is told

    def requests(self) -> list[dict[str, Any]]:
        """All that the receiver got, in its order."""
        return [json.loads(line) for line in self.host.run("cat /root/received").stdout.splitlines()]

    def received(self) -> list[dict[str, Any]]:
        """The messages of the webhook, with the path that each came by."""
        hooks = [one for one in self.requests() if one["path"] != f"/{BEAT}"]
        return [{"path": one["path"], **json.loads(one["body"])} for one in hooks]

    def told(self, since: int) -> list[tuple[str, list[str]]]:
        """The messages after the first `since` of them: the kind, and the names of what each tells of."""
        return [(one["kind"], [item["name"] for item in one["items"]]) for one in self.received()[since:]]

    # --- Its looks

    def looked_s(self) -> float:
        """When the last look began, by the host's clock, in seconds since 1970; 0 before the first."""
        text = self.host.run(f"cat {METRICS}/*.prom").stdout
        lines = [line.split() for line in text.splitlines()]
        return next((float(line[1]) for line in lines if line[:1] == ["open_webui_stack_look_timestamp_seconds"]), 0)

    def calm(self, looks: int = 2) -> None:
        """Wait for the end of so many looks: the next one begins some seconds later, and a run is behind them."""
        for _ in range(looks):
            self._look()

    def _look(self) -> None:
        before, interval_s = self.looked_s(), int(self.more.get("monitor_interval_s", INTERVAL_S))
        within(3 * interval_s + 60, "a look", lambda: self.looked_s() > before)

    # --- Faults

    @contextmanager
    def broken(
        self, names: str | Sequence[str], fault: str | Callable[[], Any], repair: str | Callable[[], Any]
    ) -> Iterator[None]:
        """A fault that is told once, and its end, too; the block runs while it lasts.

        What breaks together is one message. It may be well again one by one.
        """
        wanted = [names] if isinstance(names, str) else sorted(names)
        since = len(self.received())
        if len(wanted) > 1:
            self.calm(1)  # or a look might see the half of it
        self._do(fault)
        try:
            took_s = within(TOLD_S, f"{wanted} is told", lambda: self.told(since))
            assert self.told(since) == [("problem", wanted)]
            yield
        finally:
            self._do(repair)
        within(START_S, f"the end of {wanted} is told", lambda: len(_names(self.told(since), "well")) >= len(wanted))
        time.sleep(QUIET_S)  # a message too many would come by then
        told = self.told(since)
        assert told[0] == ("problem", wanted)
        assert {kind for kind, _ in told[1:]} == {"well"}
        assert sorted(_names(told, "well")) == wanted
        print(f"\n  {', '.join(wanted)}: told after {took_s:.0f} s, by webhook, {len(told)} messages")

    def _do(self, act: str | Callable[[], Any]) -> None:
        if isinstance(act, str):
            self.host.check_output(act)
        else:
            act()


def _names(told: Sequence[tuple[str, Sequence[str]]], kind: str) -> list[str]:
    return [name for each, names in told for name in names if each == kind]
