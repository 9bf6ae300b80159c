"""One stack over three hosts: formed, healed, changed and broken, while people come in by its door."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.lab import saved
from tests.lab.door import Door
from tests.lab.precious import within
from tests.lab.session import (
    ROOT,
    SWARM,
    changed,
    host_of,
    numsub,
    predicted,
    report_in,
    rows_in,
    run_lab,
    run_pyinfra,
)

pytestmark = pytest.mark.lab

LAB = SWARM
LEAD, SECOND, THIRD = (f"{LAB}-{number}" for number in (1, 2, 3))

START = "Swarm | Start the swarm"
JOIN = "Swarm | Join the swarm"
RENEW = "Swarm | Renew the join tokens"
SHAPE = "Swarm | Give each node its work"
NETWORK = "Network | Create the network of all hosts"
FILES = "Stack | Put the stack's files"
DEPLOY = "Stack | Deploy the stack"

# A python3 that runs the folder it is given, an hour ago.
AN_HOUR_AGO = """\
#!/usr/bin/python3
import os, runpy, sys, time
if "-c" in sys.argv:
    os.execv("/usr/bin/python3", ["python3", *sys.argv[1:]])
now = time.time
time.time = lambda: now() - 3600
sys.argv = [one for one in sys.argv[1:] if not one.startswith("-")]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What is in force from the third change on.
GOOD: dict[str, Any] = {"open_webui_replicas": 3, "open_webui_jwt_expires_in": "12h"}


@dataclass
class Swarm:
    """The lab's hosts as an operator has them; `host` is a second way in that checks on them."""

    inventory: dict[str, Any]
    sockets: Path
    first: subprocess.CompletedProcess[str] | None = None
    dry: dict[str, Any] = field(default_factory=dict)

    @property
    def earlier(self) -> dict[str, Any]:
        """Settings of the version to upgrade from."""
        return {"open_webui_image": self.inventory["images"]["open_webui_earlier"]}

    def host(self, name: str) -> Any:
        return host_of(LAB, self.sockets, name)

    def run(
        self, *arguments: str, hosts: dict[str, Any] | None = None, **stack: Any
    ) -> subprocess.CompletedProcess[str]:
        result = run_pyinfra(
            LAB,
            "tests/lab/inventory_swarm.py",
            *arguments,
            TEST_HOST_DATA=json.dumps(hosts or {}),
            TEST_STACK_DATA=json.dumps(stack),
        )
        print(result.stdout)  # pytest shows it when the test fails
        return result

    def plan(self, **data: Any) -> dict[str, Any]:
        result = self.run("--dry", "--json", "deploy.py", **data)
        assert result.returncode == 0
        return report_in(result.stdout)

    def deploy(self, **data: Any) -> dict[str, Any]:
        result = self.run("-y", "--json", "deploy.py", **data)
        assert result.returncode == 0
        return report_in(result.stdout)

    def ask(self, command: str) -> str:
        """What the lead's Docker says."""
        return str(self.host(LEAD).check_output(command))

    def nodes(self) -> dict[str, str]:
        """Availability, status and role by the name of the node."""
        said = self.ask("docker node ls --format '{{.Hostname}} {{.Availability}} {{.Status}} {{.ManagerStatus}}'")
        return dict(line.strip().split(" ", 1) for line in said.splitlines())

    def tasks(self, service: str = "open-webui") -> dict[str, str]:
        """The node by the id of each task that runs healthy."""
        said = self.ask(
            "docker service ps --filter desired-state=running --format "
            f"'{{{{.ID}}}} {{{{.Node}}}} {{{{.CurrentState}}}}' open-webui_{service}"
        )
        parts = [line.split() for line in said.splitlines()]
        return {task: node for task, node, state, *_ in parts if state == "Running"}

    def everything(self) -> dict[str, dict[str, str]]:
        return {service: self.tasks(service) for service in ("redis", "postgres", "open-webui", "proxy")}

    def listeners(self) -> int:
        """How many connections Valkey sends Socket.IO's events to."""
        container = self.ask("docker ps --quiet --filter label=com.docker.swarm.service.name=open-webui_redis")
        return numsub(self.host(LEAD), container)

    @property
    def door(self) -> Door:
        host = next(host for host in self.inventory["hosts"] if host["name"] == LEAD)
        return Door(self.inventory["tls"]["name"], int(host["https_port"]), self.inventory["tls"]["ca_file"])


class People:
    """Somebody new comes to the door ten times a second, as long as the block lasts."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._come)
        self.served = 0
        self.failed: list[str] = []

    def _come(self) -> None:
        while not self._over.is_set():
            try:
                answer = self._door.visitor().ask("GET", "/api/config")
                if answer.status == 200:
                    self.served += 1
                else:
                    self.failed.append(f"{time.strftime('%X')} {answer.status}")
            except (OSError, HTTPException) as error:
                self.failed.append(f"{time.strftime('%X')} {error!r}")
            self._over.wait(0.1)

    def __enter__(self) -> People:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture(scope="module")
def swarm(request: pytest.FixtureRequest) -> Iterator[Swarm]:
    """A bare host and two that have Docker, which became a swarm in one run; told in full, a dry run before."""
    keep = request.config.getoption("--keep-lab")
    if not keep:
        run_lab("down", name=LAB)
    try:
        run_lab("up", "--hosts", "1", "--with", "all", name=LAB)
        made = ("--saved", key) if (key := saved.loaded(LAB)) else ()
        run_lab("up", "--host", "2", "--host", "3", *made, name=LAB)
        with tempfile.TemporaryDirectory() as sockets:
            inventory = json.loads((ROOT / ".lab" / LAB / "inventory.json").read_text())
            swarm = Swarm(inventory, Path(sockets))
            if not swarm.host(LEAD).file("/opt/open-webui").exists:
                swarm.dry = swarm.plan(**swarm.earlier)
                swarm.first = swarm.run("-y", "-vvv", "--debug", "--json", "deploy.py", **swarm.earlier)
            yield swarm
    finally:
        if not keep:
            run_lab("down", name=LAB)


def test_one_deploy_makes_a_swarm_of_hosts_with_and_without_docker_as_its_dry_run_said(swarm: Swarm) -> None:
    assert swarm.first
    assert swarm.first.returncode == 0
    done = changed(report_in(swarm.first.stdout))
    assert {START, JOIN, RENEW, SHAPE, NETWORK, FILES, DEPLOY} <= set(done)
    assert predicted(swarm.dry) == done
    assert swarm.nodes() == {LEAD: "Active Ready Leader", SECOND: "Active Ready", THIRD: "Active Ready"}
    tasks = swarm.everything()
    assert len(tasks["open-webui"]) == 2
    assert set(tasks["redis"].values()) == set(tasks["postgres"].values()) == set(tasks["proxy"].values()) == {LEAD}
    assert rows_in(swarm.first.stdout)[LEAD]["ok"]


def test_no_token_is_shown_or_kept(swarm: Swarm) -> None:
    assert swarm.first
    assert "SWMTKN" not in swarm.first.stdout
    token = swarm.ask("docker swarm join-token --quiet worker")
    assert token.startswith("SWMTKN-")
    search = r"grep -E 'SWMTKN-[0-9]-[a-z0-9]{20}'"
    assert swarm.ask(f"docker swarm join-token --quiet worker | {search}") == token, "it is not what is searched for"
    for name in (LEAD, SECOND, THIRD):
        host = swarm.host(name)
        assert host.run(f"{search} -rIl /opt /root /home /tmp /run /var/log /etc").stdout == ""
        assert host.run(f"journalctl --no-pager | {search}").stdout == ""


def test_secrets_are_where_they_are_read_and_nowhere_else(swarm: Swarm) -> None:
    password = swarm.ask("cat /opt/open-webui/secrets/postgres-password")
    key = swarm.ask("cat /opt/open-webui/secrets/webui-secret-key")
    inspected = swarm.ask("docker service inspect $(docker service ls --quiet)")
    assert "ENABLE_WEBSOCKET_SUPPORT=true" in inspected
    assert password not in inspected
    assert key not in inspected
    assert not swarm.host(SECOND).file("/opt/open-webui/secrets").exists
    host = swarm.host(next(iter(swarm.tasks().values())))
    inside = "docker exec $(docker ps --quiet --filter name=open-webui_open-webui | head -n 1)"
    assert "NoNewPrivs:\t1" in host.check_output(f"{inside} cat /proc/1/status")
    assert host.check_output(f"{inside} stat -c '%a %U' /run/secrets/open-webui.env") == "400 root"


def test_the_second_deploy_changes_nothing(swarm: Swarm) -> None:
    before = swarm.everything()
    assert predicted(swarm.plan(**swarm.earlier)) == []
    assert changed(swarm.deploy(**swarm.earlier)) == []
    assert swarm.everything() == before


def versions(swarm: Swarm) -> str:
    return str(json.loads(swarm.door.visitor().ask("GET", "/api/config").body)["version"])


def test_an_upgrade_that_changes_data_is_refused_to_a_deploy_and_taken_back_when_it_fails(swarm: Swarm) -> None:
    before = swarm.everything()
    token = swarm.door.sign_in()
    result = swarm.run("-y", "deploy.py")
    assert result.returncode != 0
    assert "open_webui_image: expected the schema the data have, got one that changes it" in result.stdout
    assert swarm.everything() == before

    # The migrator takes no notice of it, and uvicorn does not start with it.
    result = swarm.run("-y", "runbooks/upgrade.py", open_webui_env={"UVICORN_LIMIT_CONCURRENCY": "none"})
    assert result.returncode != 0
    assert "Invalid value for '--limit-concurrency': 'none'" in result.stdout
    assert "with its data, of " in result.stdout
    assert versions(swarm) == "0.11.4"
    assert swarm.door.visitor().ask("GET", "/api/v1/auths/", token=token).status == 200
    assert changed(swarm.deploy(**swarm.earlier)) == []


def test_an_upgrade_keeps_people_and_their_logins(swarm: Swarm) -> None:
    token = swarm.door.sign_in()
    result = swarm.run("-y", "runbooks/upgrade.py")
    assert result.returncode == 0
    assert versions(swarm) == "0.12.4"
    assert swarm.door.visitor().ask("GET", "/api/v1/auths/", token=token).status == 200
    assert "open-webui.before" not in swarm.ask(
        "docker exec $(docker ps --quiet --filter name=open-webui_postgres) psql -U open-webui -Atc "
        "'SELECT datname FROM pg_database'"
    )
    assert changed(swarm.deploy()) == []


def test_one_deploy_mends_what_somebody_did_to_nodes_and_services(swarm: Swarm) -> None:
    old = swarm.host(THIRD).check_output("docker info --format '{{.Swarm.NodeID}}'")
    swarm.host(THIRD).check_output("docker swarm leave")
    swarm.ask(f"docker node update --label-rm open-webui.proxy --label-add keep=me $(docker node ls -q -f name={LEAD})")
    swarm.ask(f"docker node promote {SECOND}")
    swarm.ask("docker service scale --detach open-webui_open-webui=1")
    within(30, "the manager misses it", lambda: swarm.nodes()[THIRD] == "Active Down")
    expected = [JOIN, RENEW, SHAPE, DEPLOY]
    assert predicted(swarm.plan()) == expected
    assert changed(swarm.deploy()) == expected
    assert swarm.nodes() == {LEAD: "Active Ready Leader", SECOND: "Active Ready", THIRD: "Active Ready"}
    assert old not in swarm.ask("docker node ls --quiet")
    labels = json.loads(swarm.ask(f"docker node inspect {LEAD} --format '{{{{json .Spec.Labels}}}}'"))
    assert labels == {**{f"open-webui.{what}": "true" for what in ("data", "proxy", "web")}, "keep": "me"}
    assert len(swarm.tasks()) == 2
    assert changed(swarm.deploy()) == []


def test_a_setting_reaches_every_process_while_everybody_is_served(swarm: Swarm) -> None:
    before = swarm.everything()
    with People(swarm.door) as people:
        assert changed(swarm.deploy(**GOOD)) == [FILES, DEPLOY]
    assert people.failed == []
    assert people.served > 50
    after = swarm.everything()
    assert sorted(after["open-webui"].values()) == [LEAD, SECOND, THIRD]
    assert not set(before["open-webui"]) & set(after["open-webui"])
    assert {**before, "open-webui": {}} == {**after, "open-webui": {}}, "others were replaced as well"


# Fails the first time that somebody deploys the stack, as while the swarm elects a leader.
NO_LEADER = r"""cat >/usr/local/bin/docker <<'END'
#!/bin/sh
case $* in
"stack deploy "*)
  if mkdir /run/no-leader 2>/dev/null; then
    echo "Error response from daemon: rpc error: code = Unknown desc = The swarm does not have a leader." >&2
    exit 1
  fi
  ;;
esac
exec /usr/bin/docker "$@"
END
chmod 755 /usr/local/bin/docker"""


def test_what_does_not_get_healthy_is_taken_back_while_everybody_is_served(swarm: Swarm) -> None:
    before = swarm.tasks()
    host = swarm.host(LEAD)
    host.check_output(NO_LEADER)
    try:
        with People(swarm.door) as people:
            result = swarm.run("-y", "deploy.py", **GOOD, open_webui_memory_limit_mb=32)
        assert host.file("/run/no-leader").exists, "Docker was asked in another way"
    finally:
        host.check_output("rm -rf /usr/local/bin/docker /run/no-leader")
    assert result.returncode != 0
    assert "going back to the deploy of" in result.stdout
    assert "that one runs; the change is not in force" in result.stdout
    assert people.failed == []
    assert len(swarm.tasks()) == 3
    assert len(set(before) & set(swarm.tasks())) >= 2, "more than one was replaced"
    assert changed(swarm.deploy(**GOOD)) == []


def test_a_worker_that_dies_is_made_up_for_and_gets_its_share_when_it_is_back(swarm: Swarm) -> None:
    container = f"open-webui-lab-{LAB}-host-{THIRD.rpartition('-')[2]}"
    with People(swarm.door) as people:
        subprocess.run(["docker", "kill", container], check=True, capture_output=True)
        try:
            # Its events are for the lost host, too, which acknowledges none: no keepalive ends such a connection.
            proved = rows_in(swarm.run("-y", "runbooks/verify.py", **GOOD).stdout)[LEAD]["checks"]
            assert any(check["ok"] and check["name"].startswith("event of 1024 KB") for check in proved)
            within(
                180,
                "its work moved",
                lambda: sorted(set(swarm.tasks().values())) == [LEAD, SECOND] and len(swarm.tasks()) == 3,
            )
            within(60, "only its processes listen", lambda: swarm.listeners() == 3)
        finally:
            subprocess.run(["docker", "start", container], check=True, capture_output=True)
    assert len(people.failed) <= 1  # a request that the host had when it died; they come one after another
    within(60, "it is back", lambda: swarm.nodes()[THIRD] == "Active Ready")
    assert changed(swarm.deploy(**GOOD)) == [DEPLOY]
    assert sorted(swarm.tasks().values()) == [LEAD, SECOND, THIRD]


def test_a_host_with_another_folder_is_named_and_nothing_is_deployed(swarm: Swarm) -> None:
    shared = f"{swarm.inventory['shared_dir']}/open-webui"
    before = swarm.everything()
    host = swarm.host(SECOND)
    host.check_output(f"mount -t tmpfs none {shared}")
    try:
        result = swarm.run("-y", "deploy.py", open_webui_replicas=3, open_webui_jwt_expires_in="1h")
    finally:
        host.check_output(f"umount {shared}")
    assert result.returncode != 0
    assert f"open_webui_shared_dir: expected {shared} on {SECOND} to be the one that {LEAD} has" in result.stdout
    assert swarm.everything() == before


def test_a_host_whose_clock_is_off_is_named_and_changes_nothing(swarm: Swarm) -> None:
    before = swarm.everything()
    host = swarm.host(SECOND)
    # Hosts of a lab have their machine's clock: a Python whose clock is an hour off stands for it.
    host.check_output("printf %%s %s >/usr/local/bin/python3 && chmod +x /usr/local/bin/python3", AN_HOUR_AGO)
    try:
        result = swarm.run("-y", "deploy.py", **GOOD)
    finally:
        host.check_output("rm /usr/local/bin/python3")
    assert result.returncode != 0
    assert re.search(
        r"clock: expected within \d+ s of this machine's, got 3[56]\d\d s off; run an NTP client", result.stdout
    )
    assert swarm.everything() == before


def test_a_member_of_another_swarm_is_refused_and_stays_in_it(swarm: Swarm) -> None:
    host = swarm.host(THIRD)
    host.check_output("docker swarm leave && docker swarm init --advertise-addr eth0")
    other = host.check_output("docker info --format '{{.Swarm.Cluster.ID}}'")
    try:
        result = swarm.run("-y", "deploy.py", **GOOD)
        assert host.check_output("docker info --format '{{.Swarm.Cluster.ID}}'") == other
    finally:
        host.check_output("docker swarm leave --force")
    assert "swarm: expected a host that is in this swarm or in none, got a member of another" in result.stdout
    within(120, "what it had starts elsewhere", lambda: len(swarm.tasks()) == 3)
