"""Real faults on a host are told once, and so is their end; nobody hears of a deploy. The receiver is on the host."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.lab.crowd import Crowd
from tests.lab.door import proxied
from tests.lab.precious import START_S, Precious, within
from tests.lab.receivers import (
    MAIL_PASSWORD,
    MAIL_PORT,
    MAIL_TO,
    MAIL_USER,
    TOPIC,
    certificate,
    install,
    mail_server,
    mails,
    ntfy_server,
    pushed,
)
from tests.lab.session import EARLIER, FRESH, Lab, changed, containers, report_in
from tests.lab.watched import BEAT, METRICS, METRICS_PORT, QUIET_S, RECORD, SETS, TIMER, TOLD_S, UNIT, Watched, url

pytestmark = pytest.mark.lab

# The default of `monitor_interval_s`, and how long the loaded hour lasts.
DEFAULT_INTERVAL_S = 60
HOUR_S = int(os.environ.get("TEST_LOADED_HOUR_S", "3600"))
AS_MONITOR = (
    "REDISCLI_AUTH=$(cat /opt/open-webui/secrets/valkey-monitor-password) "
    "docker exec -e REDISCLI_AUTH redis-valkey valkey-cli --user monitor"
)
HEALTHY = "docker inspect --format '{{.State.Health.Status}}' open-webui redis-valkey"
REPOSITORY, BACKUP = "/srv/restic", "open-webui-backup.service"


@pytest.fixture(scope="module")
def monitored(lab: Lab, deployed: dict[str, Any]) -> Iterator[Watched]:
    one = Watched(lab)
    with one.begun():
        yield one


@pytest.fixture
def watched(monitored: Watched) -> Watched:
    """The host, with a monitor that knows of no test before this one."""
    monitored.forget()
    return monitored


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
    with watched.broken("container_open_webui", "docker stop -t 0 open-webui", "docker start open-webui"):
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


def process_of(container: str) -> str:
    """Its main process on the host, for a shell there."""
    return f"$(docker inspect --format '{{{{.State.Pid}}}}' {container})"


@pytest.mark.long
def test_a_channel_that_valkey_withholds_is_told(watched: Watched) -> None:
    """Valkey lets Open WebUI neither publish nor listen on Socket.IO's channel, by the file that it reads again."""
    users, load = "/etc/valkey/users.acl", f"{AS_MONITOR} ACL LOAD"
    withhold = f"sed '/^user open-webui /s/ &socketio[^ ]*//g' {users}"
    fault, mend = (
        f'docker exec redis-valkey sh -c "{get} >/run/users.acl" && {load}' for get in (withhold, f"cat {users}")
    )
    names = ["event_open_webui", "valkey_denials", "valkey_subscribers"]
    # A denial counts for 15 minutes, or until Valkey forgets it.
    with watched.broken(names, fault, f"{mend} && {AS_MONITOR} ACL LOG RESET"):
        (message,) = [one for one in watched.received() if one["kind"] == "problem"][-1:]
        assert "channel socketio" in message["text"]


@pytest.mark.long
def test_a_copy_with_a_wrong_password_is_told(watched: Watched) -> None:
    """The job has failed; its set is good."""
    watched.secrets["TEST_RESTIC_PASSWORD"] = "sesame-of-restic"
    copies = {"backup_restic_repository": REPOSITORY, "backup_restic_password": "env:TEST_RESTIC_PASSWORD"}
    watched.more |= copies
    file, run = "/opt/open-webui/restic.env", f"systemctl start {BACKUP}"
    try:
        watched.run("-y", "runbooks/backup.py")
        sets = watched.host.check_output(f"ls {SETS}").split()
        fault = f"sed -i s/sesame/another/ {file} && ! {run}"
        with watched.broken("unit_open_webui_backup_service", fault, f"sed -i s/another/sesame/ {file} && {run}"):
            assert len(set(watched.host.check_output(f"ls {SETS}").split()) - set(sets)) == 1
            assert "of-restic" not in json.dumps(watched.received())
    finally:
        watched.more = {name: value for name, value in watched.more.items() if name not in copies}
        watched.run("-y", "runbooks/backup.py")
        watched.host.check_output(f"rm -rf {REPOSITORY} {file}")


@pytest.mark.long
def test_a_certificate_that_ends_soon_is_told(watched: Watched, lab: Lab, tmp_path: Path) -> None:
    """In its file, and as the proxy serves it: one message."""
    name = lab.inventory["tls"]["name"]
    long, short = (
        dict(
            zip(
                ("proxy_certificate", "proxy_certificate_key", "verify_ca"),
                (str(chain), f"file:{key}", str(chain)),
                strict=True,
            )
        )
        for chain, key in (certificate(tmp_path / str(days), name, timedelta(days=days)) for days in (90, 5))
    )

    def deploy(files: dict[str, str]) -> None:
        watched.more |= files
        watched.run("-y", "deploy.py")

    with watched.having(**{**proxied(lab, watched.name), **long}):
        names = ["certificate_certificate_pem", "certificate_served"]
        with watched.broken(names, lambda: deploy(short), lambda: deploy(long)):
            pass


@pytest.mark.long
def test_a_container_that_is_killed_and_started_again_is_one_message(watched: Watched) -> None:
    with watched.having(watchdog_pause_s=60):
        for container in ("open-webui", "redis-valkey"):
            since, started = len(watched.received()), containers(watched.host)[container]
            watched.host.check_output(f"kill -9 {process_of(container)}")
            took_s = within(TOLD_S, f"{container} is told", lambda: watched.told(since))  # noqa: B023 called at once
            assert containers(watched.host)[container] != started
            within(START_S, "both are healthy", lambda: watched.host.check_output(HEALTHY) == "healthy\nhealthy")
            time.sleep(QUIET_S)
            (message,) = watched.received()[since:]
            assert watched.told(since) == [("repaired", [f"container_{container.replace('-', '_')}"])]
            assert message["items"][0]["repaired"] == "restarted"
            print(f"\n  {container} killed: told after {took_s:.0f} s, by webhook, 1 message")


@pytest.mark.long
def test_a_valkey_that_the_watchdog_restarts_is_one_message(watched: Watched) -> None:
    """At the default interval: every five seconds the monitor is quicker than the watchdog, and tells of the hang."""
    with watched.having(watchdog_pause_s=60, monitor_interval_s=DEFAULT_INTERVAL_S):
        since = len(watched.received())
        watched.host.check_output(f"kill -STOP {process_of('redis-valkey')}")
        took_s = within(3 * DEFAULT_INTERVAL_S, "the restart is told", lambda: watched.told(since), 2)
        watched.calm(2)
        assert watched.told(since) == [("repaired", ["container_redis_valkey"])]
        print(f"\n  a Valkey that hung: told after {took_s:.0f} s at an interval of {DEFAULT_INTERVAL_S} s, 1 message")


@pytest.mark.long
def test_ntfy_mail_and_heartbeat_get_what_the_webhook_gets(watched: Watched, tmp_path: Path) -> None:
    host = watched.host
    install(host, "ntfy", "python3-aiosmtpd")
    mail = {
        "email": [MAIL_TO],
        "from": MAIL_USER,
        "smtp": f"localhost:{MAIL_PORT}",
        "user": MAIL_USER,
        "password": "env:TEST_MAIL",
    }
    topic, beat = {"ntfy": TOPIC, "token": "env:TEST_TOKEN"}, {"heartbeat": "env:TEST_BEAT"}
    with mail_server(host, tmp_path / "mail"), ntfy_server(host) as token:
        watched.secrets |= {"TEST_TOKEN": token, "TEST_MAIL": MAIL_PASSWORD, "TEST_BEAT": url(BEAT)}
        with watched.having(alarms=[{"webhook": "env:TEST_HOOK"}, topic, mail, beat]):
            since, received = len(watched.requests()), len(watched.received())
            output = watched.run("-y", "runbooks/alarm_test.py")
            for receiver in ("webhook-1", "ntfy-1", "email-1", "heartbeat-1"):
                assert f"ok      {receiver}: took the message" in output
            with watched.broken("unit_open_webui_backup_timer", f"systemctl stop {TIMER}", f"systemctl start {TIMER}"):
                pass
            by_hook = [(one["title"], one["text"].strip()) for one in watched.received()[received:]]
            assert len(by_hook) == 3
            by_topic = pushed(host)
            assert [(one["title"], one["message"].strip()) for one in by_topic] == by_hook
            assert [one["priority"] for one in by_topic] == [3, 4, 3]
            by_mail = mails(host)
            assert [(one["Subject"], one.get_content().strip()) for _, one in by_mail] == by_hook
            assert {(one["from"], *one["to"], one["tls"]) for one, _ in by_mail} == {(MAIL_USER, MAIL_TO, True)}

            beats = [one["at"] for one in watched.requests()[since:] if one["path"] == f"/{BEAT}"]
            gaps_s = [later - earlier for earlier, later in pairwise(beats)]
            assert len(beats) >= 5
            print(f"\n  {len(beats)} beats, {max(gaps_s):.0f} s between two at most")
            assert max(gaps_s) < TOLD_S / 2, gaps_s
            host.check_output(f"systemctl stop {UNIT}")
            try:
                there = len(watched.requests())
                time.sleep(QUIET_S)
                assert len(watched.requests()) == there, "a heartbeat without a monitor"
            finally:
                host.check_output(f"systemctl start {UNIT}")
            within(TOLD_S, "the heart beats again", lambda: len(watched.requests()) > there)
            said = host.run(f"journalctl --quiet --no-pager --unit {UNIT}; cat /proc/[0-9]*/cmdline").stdout
            assert [secret for secret in (token, MAIL_PASSWORD, BEAT) if secret in said] == []


def test_the_numbers_are_in_the_textfile_and_served(watched: Watched) -> None:
    ask = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{METRICS_PORT}/metrics').read().decode())"
    well = ("\nopen_webui_stack_valkey_up 1\n", '\nopen_webui_stack_event_delivered{container="open-webui"} 1\n')
    for place, command in (("served", f'python3 -c "{ask}"'), ("written", f"cat {METRICS}/open-webui-stack.prom")):
        # The monitor began again just now, so its first look may be under way.
        within(TOLD_S, f"they are {place}", lambda c=command: all(line in watched.host.run(c).stdout for line in well))


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
        RECORD,
        "/opt/open-webui/secrets/alarms.json",
    ):
        assert not watched.host.file(path).exists, path
    assert not watched.host.service(UNIT).is_running


@pytest.mark.long
def test_a_loaded_hour_raises_no_false_alarm(lab: Lab) -> None:
    """At the default interval, with 50 browsers: backups, a deploy, an upgrade and a restore are no alarm.

    Meanwhile the heart beats after each look. Then a real fault is told, so the receiver was not deaf.
    """
    earlier = lab.inventory["images"]["open_webui_earlier"]
    settings = {
        "monitor_interval_s": DEFAULT_INTERVAL_S,
        "watchdog_pause_s": 120,
        "open_webui_image": earlier,
        "alarms": [{"webhook": "env:TEST_HOOK"}, {"heartbeat": "env:TEST_BEAT"}],
    }
    one = Watched(lab, EARLIER, more=settings, secrets={"TEST_BEAT": url(BEAT)})
    remove = [part for what in ("data", "backups") for part in ("--data", f'teardown_{what}=["{EARLIER}"]')]
    lab.run("-y", "runbooks/teardown.py", *remove, limit=EARLIER)  # other tests' data may be newer
    lab.report("-y", "deploy.py", limit=EARLIER, TEST_HOST_DATA=json.dumps({EARLIER: {"open_webui_image": earlier}}))
    try:
        one.begin()
        began_s = time.monotonic()

        def until(share: float) -> None:
            """Wait for this part of the hour."""
            time.sleep(max(0.0, began_s + share * HOUR_S - time.monotonic()))

        with Crowd(Precious(lab, EARLIER).base, clients=50, rate=10, limit_s=HOUR_S + 1800) as crowd:
            crowd.settle(START_S)
            until(0.1)
            one.run("-y", "runbooks/backup.py")
            until(0.25)
            before = containers(one.host)
            one.more["open_webui_jwt_expires_in"] = "12h"
            one.run("-y", "deploy.py")
            assert containers(one.host)["open-webui"] != before["open-webui"]
            until(0.45)
            del one.more["open_webui_image"]
            one.run("-y", "runbooks/upgrade.py")
            until(0.65)
            one.run("-y", "runbooks/backup.py")
            one.run("-y", "runbooks/restore.py", "--data", f'restore_over=["{EARLIER}"]')
            mark = crowd.now()
            crowd.wait_recovered(START_S, mark)
            until(1.0)
            result = crowd.result(mark)
        took_s = time.monotonic() - began_s
        beats = [each["at"] for each in one.requests() if each["path"] == f"/{BEAT}"]
        gaps_s = [after - before for before, after in pairwise(beats)]
        print(f"\n  {took_s:.0f} s, {len(beats)} looks, {max(gaps_s):.0f} s between two at most: no message")
        assert one.received() == []
        assert result.received > 0, result
        # A look may take half a minute, and one whose receivers a deploy is about to write beats no heart.
        assert max(gaps_s) < 3 * DEFAULT_INTERVAL_S, gaps_s
        with one.broken("unit_open_webui_backup_timer", f"systemctl stop {TIMER}", f"systemctl start {TIMER}"):
            pass
    finally:
        lab.run("-y", "runbooks/teardown.py", *remove, limit=EARLIER)
        one.end()
