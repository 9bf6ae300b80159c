"""What the tutorial promised and Docker alone does not keep: what hangs comes back, and so does what was written."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from tests.lab.precious import AS_OPEN_WEBUI, OFTEN_S, START_S, Precious, within
from tests.lab.session import BY_HAND, FRESH, SSH_CONFIG, Lab, ask_as_monitor, containers, numsub, reachable

pytestmark = pytest.mark.lab

PAUSE_S = 30


@pytest.fixture(scope="module")
def precious(lab: Lab, deployed: dict[str, Any]) -> Precious:
    return Precious(lab)


@pytest.fixture(scope="module")
def impatient(lab: Lab, precious: Precious) -> Iterator[Any]:
    """The host with the shortest pause between two restarts, and a Valkey that syncs each write."""
    lab.report("-y", "deploy.py", "--data", f"watchdog_pause_s={PAUSE_S}", "--data", "valkey_appendfsync=always")
    yield precious.host
    lab.report("-y", "deploy.py")


def stop(host: Any, container: str) -> None:
    """SIGSTOP to the container's server: it is there, keeps its sockets, and answers nobody."""
    host.check_output("kill -STOP $(docker inspect --format '{{.State.Pid}}' %s)", container)


def answers(host: Any) -> bool:
    return bool(host.run("timeout 2 docker exec redis-valkey valkey-cli ping").stdout == "PONG\n")


def listens(host: Any) -> bool:
    return answers(host) and numsub(host) >= 1


def serves(precious: Precious) -> bool:
    try:
        return bool(precious.ask("/health") == {"status": True})
    except (OSError, json.JSONDecodeError):
        return False


def now(host: Any) -> str:
    return str(host.check_output("date +%s"))


def watchdog_log(host: Any, since: str) -> list[tuple[float, str]]:
    """When the watchdog said what."""
    output = host.check_output(f"journalctl --unit open-webui-watchdog --since @{since} --output short-unix --quiet")
    lines = [line.split(" ", 1) for line in output.splitlines() if "restarting " in line]
    return [(float(at), text.partition("]: ")[2]) for at, text in lines]


@dataclass(frozen=True)
class Crash:
    """What a writer was told is written, what of that is there after a kill -9, and how long nobody was answered."""

    acknowledged: int
    in_last_second: int
    kept: int
    back_after_s: float

    @property
    def lost(self) -> int:
        return max(0, self.acknowledged - self.kept)


def crash(host: Any, write_s: float) -> Crash:
    """Kill Valkey's server under a writer; Docker's restart policy brings it back.

    The writer appends 1, 2, 3, ... to a list. Each answer is the list's length, so it says how many are acknowledged.
    """
    key = f"open-webui:crash-{time.time_ns()}"
    writer = subprocess.Popen(
        _on_host(f"seq 100000000 | sed 's/^/RPUSH {key} /' | {AS_OPEN_WEBUI} valkey-cli --user open-webui"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    heard: list[tuple[float, int]] = []
    reader = threading.Thread(target=_listen, args=(writer, heard))
    reader.start()
    within(10, "the writer writes", lambda: heard, OFTEN_S)
    time.sleep(write_s)  # the writer's time: what is lost is counted against its last second
    host.check_output("kill -9 $(docker inspect --format '{{.State.Pid}}' redis-valkey)")
    killed_at = heard[-1][0]
    back_after_s = within(75, "Valkey is back", lambda: answers(host))
    writer.kill()
    writer.wait()
    reader.join()

    values = f"{AS_OPEN_WEBUI} valkey-cli --user open-webui LRANGE {key} 0 -1"
    kept = int(host.check_output(f"{AS_OPEN_WEBUI} valkey-cli --user open-webui LLEN {key}"))
    expected = host.check_output(f"seq {kept} | sha256sum")
    assert host.check_output(f"{values} | sha256sum") == expected, "there is something else in it than was written"
    host.check_output(f"{AS_OPEN_WEBUI} valkey-cli --user open-webui UNLINK {key}")
    acknowledged = heard[-1][1]
    a_second_before = max([count for at, count in heard if at <= killed_at - 1], default=0)
    return Crash(acknowledged, acknowledged - a_second_before, kept, back_after_s)


def _on_host(script: str) -> list[str]:
    return ["ssh", "-F", SSH_CONFIG, FRESH, shlex.join(["sudo", "sh", "-c", script])]


def _listen(writer: subprocess.Popen[bytes], heard: list[tuple[float, int]]) -> None:
    """Note when which count was acknowledged, until the writer ends."""
    assert writer.stdout
    rest = b""
    while chunk := os.read(writer.stdout.fileno(), 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        counts = [int(line) for line in lines if line.isdigit()]
        if counts:
            heard.append((time.monotonic(), counts[-1]))


def test_only_the_published_port_is_reachable_from_another_machine(lab: Lab, deployed: dict[str, Any]) -> None:
    address = lab.entry(FRESH)["address"]
    neighbour = lab.host(BY_HAND)
    every_port = "for p in {1..65535}; do { : </dev/tcp/%s/$p; } 2>/dev/null && echo $p; done; true"
    open_ports = neighbour.check_output("timeout 60 bash -c %s", every_port % address)
    assert open_ports.split() == ["22", "3000"]


def test_nor_is_valkey_by_a_route_into_its_network(lab: Lab, deployed: dict[str, Any]) -> None:
    host, neighbour = lab.host(FRESH), lab.host(BY_HAND)
    address = lab.entry(FRESH)["address"]
    inside = host.check_output(
        "docker inspect --format '{{(index .NetworkSettings.Networks \"openwebui-network\").IPAddress}}' redis-valkey"
    )
    assert host.run(f"timeout 2 bash -c ': </dev/tcp/{inside}/6379'").rc == 0, "that is where Valkey listens"
    neighbour.check_output(f"ip route replace {inside}/32 via {address}")
    try:
        assert neighbour.run(f"timeout 2 bash -c ': </dev/tcp/{inside}/6379'").rc != 0
    finally:
        neighbour.check_output(f"ip route del {inside}/32")


def test_transactions_survive_a_restart_each_in_its_database(precious: Precious) -> None:
    """Valkey checks those in its AOF against the default user's rules (valkey#3983), and ours may PING."""
    host, mark = precious.host, f"open-webui:restart-{time.time_ns()}"
    lines = ["SELECT 0", f"SET {mark}:first 0", "SELECT 1", "MULTI", f"SET {mark}:a 1", f"SET {mark}:b 2", "EXEC"]
    writes = "\n".join([*lines, f"SET {mark}:last 3"])
    host.check_output(f"echo '{writes}' | {AS_OPEN_WEBUI} valkey-cli --user open-webui")
    host.check_output("docker restart redis-valkey")
    within(20, "Valkey answers", lambda: answers(host))
    found = [precious.valkey("-n", "1", "GET", f"{mark}:{name}") for name in ("a", "b", "last")]
    assert found == ["1", "2", "3"]
    assert precious.valkey("-n", "0", "GET", f"{mark}:last") == ""
    assert ask_as_monitor(host, "ACL LOG").strip() == ""
    within(180, "the watchdog has restarted Open WebUI", lambda: listens(host) and serves(precious))


def test_a_crash_loses_at_most_the_last_second(precious: Precious, capsys: pytest.CaptureFixture[str]) -> None:
    found = crash(precious.host, write_s=2)
    with capsys.disabled():
        print(f"\n  everysec: {found}")
    assert found.acknowledged > 1000
    assert found.lost <= found.in_last_second
    within(90, "Open WebUI listens again", lambda: listens(precious.host))
    precious.assert_kept()


def test_a_restart_of_docker_touches_no_container(precious: Precious) -> None:
    before = containers(precious.host)
    precious.host.check_output("systemctl restart docker")
    assert containers(precious.host) == before
    precious.assert_kept()


def test_a_reboot_brings_the_whole_stack_back(lab: Lab, precious: Precious) -> None:
    before = precious.host.check_output("cat /proc/1/stat | cut -d' ' -f22")
    lab.restart(FRESH)
    within(30, "ssh answers", lambda: reachable(precious.host))
    assert precious.host.check_output("cat /proc/1/stat | cut -d' ' -f22") != before
    within(START_S, "Open WebUI listens", lambda: listens(precious.host) and serves(precious))
    precious.assert_kept()


@pytest.mark.long
def test_a_crash_loses_nothing_when_each_write_is_synced(
    impatient: Any, precious: Precious, capsys: pytest.CaptureFixture[str]
) -> None:
    found = crash(impatient, write_s=2)
    with capsys.disabled():
        print(f"\n  always: {found}")
    assert found.acknowledged > 100
    assert found.lost == 0


@pytest.mark.long
def test_a_valkey_that_hangs_answers_again_within_a_minute(
    impatient: Any, precious: Precious, capsys: pytest.CaptureFixture[str]
) -> None:
    within(120, "the watchdog has nothing left to do", lambda: _is_settled(impatient))
    since, open_webui = now(impatient), _started(impatient, "open-webui")
    stop(impatient, "redis-valkey")
    assert not answers(impatient)
    took_s = within(60, "Valkey answers again", lambda: answers(impatient))
    with capsys.disabled():
        print(f"\n  a stopped Valkey answered again after {took_s:.0f} s")
    within(60, "Open WebUI listens again", lambda: listens(impatient) and serves(precious))
    assert [text for _, text in watchdog_log(impatient, since)] == ["restarting redis-valkey: it stopped answering"]
    assert _started(impatient, "open-webui") == open_webui
    precious.assert_kept()


@pytest.mark.long
def test_a_valkey_that_cannot_save_is_left_to_run(lab: Lab, impatient: Any) -> None:
    """It refuses PING as it refuses writes (MISCONF). A restart would cost people's sockets, and fix nothing."""
    within(120, "the watchdog has nothing left to do", lambda: _is_settled(impatient))
    before, since = containers(impatient), now(impatient)
    folder = impatient.check_output("docker volume inspect --format '{{.Mountpoint}}' redis-data")
    mode = impatient.check_output("stat -c %%a %s", folder)
    impatient.check_output("chmod 555 %s", folder)
    try:
        ask_as_monitor(impatient, "BGSAVE")
        within(10, "its save has failed", lambda: "bgsave_status:err" in ask_as_monitor(impatient, "INFO persistence"))
        assert impatient.check_output("docker exec redis-valkey valkey-cli ping").startswith("MISCONF")
        log = "docker inspect --format '{{range .State.Health.Log}}{{.Output}}{{end}}' redis-valkey"
        within(60, "five health checks said so", lambda: impatient.check_output(log).count("MISCONF") == 5)
        assert "redis-valkey" in _healthy(impatient)
        result = lab.run("-y", "runbooks/verify.py", "--data", "verify_timeout_s=1")
    finally:
        impatient.check_output("chmod %s %s", mode, folder)
        ask_as_monitor(impatient, "BGSAVE")
        within(10, "it can save again", lambda: answers(impatient))
    assert result.returncode == 1
    assert "valkey-cli ping answered MISCONF" in result.stdout
    assert containers(impatient) == before
    # While the watchdog does nothing, nothing at all is written of it.
    assert impatient.check_output(f"journalctl --unit open-webui-watchdog --since @{since} --output cat --quiet") == ""


@pytest.mark.long
def test_a_container_that_docker_could_not_start_is_started_later_and_one_that_was_stopped_is_not(
    impatient: Any, precious: Precious
) -> None:
    """Its port is taken for a moment, as its address may not be there yet after a boot."""
    within(120, "the watchdog has nothing left to do", lambda: _is_settled(impatient))
    since, gave_up = now(impatient), "docker inspect --format '{{.State.Status}} {{.State.Error}}' open-webui"
    take = "until systemd-socket-activate -l 0.0.0.0:3000 cat; do sleep 0.01; done"
    impatient.check_output(f"systemd-run --quiet --collect --unit takes-the-port sh -c '{take}'")
    try:
        impatient.check_output("kill -9 $(docker inspect --format '{{.State.Pid}}' open-webui)")
        within(
            20, "Docker gave up", lambda: impatient.check_output(gave_up).startswith("exited driver failed"), OFTEN_S
        )
        told = f"journalctl --unit open-webui-watchdog --since @{since} --output cat --quiet"
        within(30, "the watchdog tried", lambda: "open-webui: not started" in impatient.check_output(told))
    finally:
        impatient.check_output("systemctl stop takes-the-port")
    within(PAUSE_S + START_S, "it was started", lambda: serves(precious))

    impatient.check_output("docker stop open-webui")
    try:
        time.sleep(12)  # two turns of the watchdog
        assert impatient.check_output(gave_up).split() == ["exited"]
    finally:
        impatient.check_output("docker start open-webui")
    within(START_S, "it serves again", lambda: listens(impatient) and serves(precious))


@pytest.mark.long
def test_an_open_webui_that_hangs_comes_back_and_one_that_cannot_is_not_stormed(
    impatient: Any, precious: Precious, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both at once, because both are mostly waiting: Valkey's health check can never pass meanwhile."""
    within(120, "the watchdog has nothing left to do", lambda: _is_settled(impatient))
    since = now(impatient)
    # From the host: inside, the root file system is read-only.
    inside = impatient.check_output("docker inspect --format '{{.GraphDriver.Data.MergedDir}}' redis-valkey")
    impatient.check_output(f"mv {inside}/usr/bin/valkey-cli {inside}/usr/bin/valkey-cli.away")
    try:
        stop(impatient, "open-webui")
        assert not serves(precious)
        told = "restarting open-webui: it stopped answering"
        took_s = within(110, told, lambda: told in [text for _, text in watchdog_log(impatient, since)])
        within(3 * PAUSE_S, "Valkey was restarted twice", lambda: len(watchdog_log(impatient, since)) == 3)
        log = watchdog_log(impatient, since)
    finally:
        impatient.check_output(f"mv {inside}/usr/bin/valkey-cli.away {inside}/usr/bin/valkey-cli")
    with capsys.disabled():
        print(f"\n  a stopped Open WebUI was restarted after {took_s:.0f} s, Valkey meanwhile {len(log) - 1} times")
    times = [at for at, text in log if text.startswith("restarting redis-valkey: ")]
    assert len(times) >= 2
    assert min(later - earlier for earlier, later in pairwise(times)) >= PAUSE_S
    assert len(log) == len(times) + 1
    within(START_S, "Open WebUI answers again", lambda: listens(impatient) and serves(precious))
    precious.assert_kept()


def _is_settled(host: Any) -> bool:
    """Both are healthy, and began long enough ago to be restarted."""
    began = [host.check_output(f"date +%s -d {_started(host, name)}") for name in ("redis-valkey", "open-webui")]
    return _healthy(host) == {"redis-valkey", "open-webui"} and int(now(host)) - max(map(int, began)) > PAUSE_S


def _started(host: Any, container: str) -> str:
    return str(host.check_output("docker inspect --format '{{.State.StartedAt}}' %s", container))


def _healthy(host: Any) -> set[str]:
    return set(host.check_output("docker ps --filter health=healthy --format '{{.Names}}'").split())
