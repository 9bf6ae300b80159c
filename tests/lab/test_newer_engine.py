"""The newest Docker and Compose in Debian's archive carry the stack as the release's own do, whoever keeps the images.

One host has them as they come. On the other, images are containerd's: the default of new hosts since Docker 29.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.drifts import SINGLE, break_and_repair
from tests.lab.precious import Precious, count_rows
from tests.lab.session import CONTAINERD, NEWER, Lab, changed, containers, rest, state

pytestmark = pytest.mark.lab

BOTH = f"{NEWER},{CONTAINERD}"
HOSTS = pytest.mark.parametrize("name", [NEWER, CONTAINERD], ids=["dockers-images", "containerds-images"])
# For each operation that repairs drift one that it repairs, half of them on each host.
DRIFTS = {
    NEWER: (
        *("detached from the network", "valkey removed, its volume there"),
        *("daemon.json edited", "docker disabled", "watchdog edited"),
    ),
    CONTAINERD: (
        *("image moved under its tag", "valkey.conf edited"),
        *(".env edited", "compose file edited", "watchdog stopped"),
    ),
}


class Newer:
    """Both hosts, first deployed with the earlier Open WebUI."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.hosts = lab, {name: lab.host(name) for name in (NEWER, CONTAINERD)}
        self.earlier, self.newest = (lab.inventory["images"][key] for key in ("open_webui_earlier", "open_webui"))
        self.first = self.run("deploy.py", open_webui_image=self.earlier)
        self.precious = {name: Precious(lab, name) for name in self.hosts}
        self.counts = self.counted()

    def run(self, deploy: str, limit: str = BOTH, **settings: Any) -> dict[str, Any]:
        data = [part for name, value in settings.items() for part in ("--data", f"{name}={value}")]
        return self.lab.report("-y", deploy, *data, limit=limit)

    def counted(self) -> dict[str, tuple[str, str]]:
        """Users, chats and files, and the schema of the database that has them."""
        return {name: count_rows(host) for name, host in self.hosts.items()}

    def everything(self) -> list[Any]:
        return [(containers(host), state(host)) for host in self.hosts.values()]

    def assert_kept(self) -> None:
        for name, precious in self.precious.items():
            precious.assert_kept()
            assert self.counted()[name][0] == self.counts[name][0]


@pytest.fixture(scope="module")
def newer(lab: Lab) -> Iterator[Newer]:
    found = Newer(lab)
    yield found
    for host in found.hosts.values():
        rest(host)


@HOSTS
def test_the_newer_engine_carries_the_stack(newer: Newer, name: str) -> None:
    host = newer.hosts[name]
    engine, compose = (
        host.check_output(command)
        for command in ("docker version --format {{.Server.Version}}", "docker compose version --short")
    )
    print(f"Engine {engine}, Compose {compose}")
    assert int(engine.split(".")[0]) >= 28
    assert tuple(int(part) for part in re.split("[.-]", compose)[:2]) >= (2, 40)
    store = host.check_output("docker info --format %s", "{{range .DriverStatus}}{{index . 1}} {{end}}")
    assert ("io.containerd.snapshotter.v1" in store) == (name == CONTAINERD)
    status = host.check_output("docker ps --format %s", "{{.Names}} {{.Status}}").splitlines()
    assert sorted(line.split()[0] for line in status) == ["open-webui", "redis-valkey"]
    assert all("(healthy)" in line for line in status)
    assert host.check_output("docker exec redis-valkey valkey-cli ping") == "PONG"


@HOSTS
def test_a_container_that_starts_is_checked_each_second(newer: Newer, name: str) -> None:
    config = newer.hosts[name].check_output("docker inspect --format %s redis-valkey", "{{json .Config.Healthcheck}}")
    checks = json.loads(config)
    assert (checks["StartInterval"], checks["Interval"]) == (1_000_000_000, 10_000_000_000)


def test_a_second_run_changes_nothing_there(newer: Newer) -> None:
    before = newer.everything()
    totals = newer.run("deploy.py", open_webui_image=newer.earlier)["results"]["totals"]
    assert totals["success"] == totals["error"] == 0
    assert newer.everything() == before


def test_an_upgrade_takes_peoples_data_along_there(newer: Newer) -> None:
    newer.run("runbooks/upgrade.py")
    newer.assert_kept()
    for name, (_, schema) in newer.counted().items():
        assert schema != newer.counts[name][1]
        image = newer.hosts[name].check_output("docker inspect --format {{.Config.Image}} open-webui")
        assert image == newer.newest


@HOSTS
def test_drifts_are_repaired_there_and_nothing_else_touched(newer: Newer, subtests: pytest.Subtests, name: str) -> None:
    break_and_repair(newer.lab, subtests, {drift: SINGLE[drift] for drift in DRIFTS[name]}, on=name)


def test_a_restore_brings_back_what_was_changed_there(newer: Newer) -> None:
    newer.run("runbooks/backup.py")
    for precious in newer.precious.values():
        precious.ask(f"/api/v1/chats/{precious.chat}", {"chat": {"title": "spoiled", "messages": []}})
        precious.valkey("SET", "open-webui:marker", "spoiled")
    newer.run("runbooks/restore.py", restore_over=json.dumps([NEWER, CONTAINERD]))
    newer.assert_kept()


def test_one_lock_is_for_both_kinds_of_image_ids(newer: Newer, tmp_path: Path) -> None:
    file = tmp_path / "x.lock.toml"
    newer.run("runbooks/lock.py", lock_file=file)
    images = tomllib.loads(file.read_text())["images"]
    for container, reference in (
        ("open-webui", newer.newest),
        ("redis-valkey", newer.lab.inventory["images"]["valkey"]),
    ):
        ids = {host.check_output("docker inspect --format {{.Image}} %s", container) for host in newer.hosts.values()}
        assert len(ids) == 2, "the two kinds of ids are the same"
        assert set(images[reference]["ids"]["amd64"]) == ids
    before = [containers(host) for host in newer.hosts.values()]
    assert changed(newer.run("deploy.py", lock_file=file)) == []
    assert [containers(host) for host in newer.hosts.values()] == before
