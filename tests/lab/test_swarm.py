"""One stack over three hosts: formed, healed, changed and broken, while people come in by its door."""

from __future__ import annotations

import hashlib
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
DATA_NODE, SECOND, THIRD = (f"{LAB}-{number}" for number in (1, 2, 3))

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
NEWEST = "0.12.4"
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
        """What the data node's Docker says."""
        return str(self.host(DATA_NODE).check_output(command))

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
        return numsub(self.host(DATA_NODE), container)

    @property
    def door(self) -> Door:
        host = next(host for host in self.inventory["hosts"] if host["name"] == DATA_NODE)
        return Door(self.inventory["tls"]["name"], int(host["https_port"]), self.inventory["tls"]["ca_file"])


class People:
    """Somebody new comes to the door ten times a second or as often as is said, as long as the block lasts."""

    def __init__(self, door: Door, every_s: float = 0.1) -> None:
        self._door, self._every_s = door, every_s
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
            self._over.wait(self._every_s)

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
            if not swarm.host(DATA_NODE).file("/opt/open-webui").exists:
                swarm.dry = swarm.plan(**swarm.earlier)
                swarm.first = swarm.run("-y", "-vvv", "--debug", "--json", "deploy.py", **swarm.earlier)
            yield swarm
    finally:
        if not keep:
            run_lab("down", name=LAB)


@pytest.fixture(scope="module")
def upgraded(swarm: Swarm) -> Swarm:
    """The settings' version runs, as GOOD says. `make long` leaves out the tests that bring it there."""
    if versions(swarm) != NEWEST:
        assert swarm.run("-y", "runbooks/upgrade.py").returncode == 0
        swarm.deploy(**GOOD)
    return swarm


def test_one_deploy_makes_a_swarm_of_hosts_with_and_without_docker_as_its_dry_run_said(swarm: Swarm) -> None:
    assert swarm.first
    assert swarm.first.returncode == 0
    done = changed(report_in(swarm.first.stdout))
    assert {START, JOIN, RENEW, SHAPE, NETWORK, FILES, DEPLOY} <= set(done)
    assert predicted(swarm.dry) == done
    assert swarm.nodes() == {DATA_NODE: "Active Ready Leader", SECOND: "Active Ready", THIRD: "Active Ready"}
    tasks = swarm.everything()
    assert len(tasks["open-webui"]) == 2
    assert all(set(tasks[name].values()) == {DATA_NODE} for name in ("redis", "postgres", "proxy"))
    assert rows_in(swarm.first.stdout)[DATA_NODE]["ok"]


def test_no_token_is_shown_or_kept(swarm: Swarm) -> None:
    assert swarm.first
    assert "SWMTKN" not in swarm.first.stdout
    token = swarm.ask("docker swarm join-token --quiet worker")
    assert token.startswith("SWMTKN-")
    search = r"grep -E 'SWMTKN-[0-9]-[a-z0-9]{20}'"
    assert swarm.ask(f"docker swarm join-token --quiet worker | {search}") == token, "it is not what is searched for"
    for name in (DATA_NODE, SECOND, THIRD):
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


def test_the_monitor_of_the_data_node_asks_valkey_and_finds_it_well(swarm: Swarm) -> None:
    """It reaches the swarm's containers by the bridge that Docker has for that. Its first look is at its start."""

    def asked() -> int:
        inside = "docker exec --env REDISCLI_AUTH $(docker ps --quiet --filter name=open-webui_redis)"
        password = "REDISCLI_AUTH=$(cat /opt/open-webui/secrets/valkey-monitor-password)"
        found = swarm.ask(f"export {password}; {inside} valkey-cli --user monitor info commandstats")
        return int(match[1]) if (match := re.search(r"cmdstat_acl\|log:calls=(\d+)", found)) else 0

    before = asked()
    swarm.ask("systemctl restart open-webui-stack-monitor.service")
    within(30, "Valkey is asked for its denials", lambda: asked() > before)
    said = swarm.ask("journalctl --unit open-webui-stack-monitor --output cat --no-pager")
    assert "valkey" not in said, "it writes what is not well"


def versions(swarm: Swarm) -> str:
    return str(json.loads(swarm.door.visitor().ask("GET", "/api/config").body)["version"])


@pytest.mark.long
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
    assert versions(swarm) == NEWEST
    assert swarm.door.visitor().ask("GET", "/api/v1/auths/", token=token).status == 200
    assert "open-webui.before" not in swarm.ask(
        "docker exec $(docker ps --quiet --filter name=open-webui_postgres) psql -U open-webui -Atc "
        "'SELECT datname FROM pg_database'"
    )
    assert changed(swarm.deploy()) == []


def test_one_deploy_repairs_what_somebody_did_to_nodes_and_services(swarm: Swarm) -> None:
    old = swarm.host(THIRD).check_output("docker info --format '{{.Swarm.NodeID}}'")
    swarm.host(THIRD).check_output("docker swarm leave")
    node = f"$(docker node ls -q -f name={DATA_NODE})"
    swarm.ask(f"docker node update --label-rm open-webui.proxy --label-add keep=me {node}")
    swarm.ask(f"docker node promote {SECOND}")
    swarm.ask("docker service scale --detach open-webui_open-webui=1")
    within(30, "the manager misses it", lambda: swarm.nodes()[THIRD] == "Active Down")
    expected = [JOIN, RENEW, SHAPE, DEPLOY]
    assert predicted(swarm.plan()) == expected
    assert changed(swarm.deploy()) == expected
    assert swarm.nodes() == {DATA_NODE: "Active Ready Leader", SECOND: "Active Ready", THIRD: "Active Ready"}
    assert old not in swarm.ask("docker node ls --quiet")
    labels = json.loads(swarm.ask(f"docker node inspect {DATA_NODE} --format '{{{{json .Spec.Labels}}}}'"))
    assert labels == {**{f"open-webui.{what}": "true" for what in ("data", "proxy", "web")}, "keep": "me"}
    assert len(swarm.tasks()) == 2
    assert changed(swarm.deploy()) == []


@pytest.mark.long
def test_a_setting_reaches_every_process_while_everybody_is_served(swarm: Swarm) -> None:
    before = swarm.everything()
    with People(swarm.door) as people:
        assert changed(swarm.deploy(**GOOD)) == [FILES, DEPLOY]
    assert people.failed == []
    assert people.served > 50
    after = swarm.everything()
    assert sorted(after["open-webui"].values()) == [DATA_NODE, SECOND, THIRD]
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


@pytest.mark.long
@pytest.mark.usefixtures("upgraded")
def test_what_does_not_get_healthy_is_taken_back_while_everybody_is_served(swarm: Swarm) -> None:
    before = swarm.tasks()
    host = swarm.host(DATA_NODE)
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


CONTENT = b"what people wrote down" * 1000
SETS = "/var/backups/open-webui"


def inside(service: str) -> str:
    """`docker exec` in the container of a service on the data node, for a shell there."""
    container = f"docker ps --quiet --filter label=com.docker.swarm.service.name=open-webui_{service}"
    return f"docker exec $({container})"


class Precious:
    """People's data in the swarm: a chat, a file and a key. The test looks for each without Open WebUI.

    `set` is the name of a set that has it.
    """

    set = ""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm, self.shared = swarm, f"{swarm.inventory['shared_dir']}/open-webui"
        self.token = swarm.door.sign_in()
        self.marker = f"kept-{time.time_ns()}"
        visitor = swarm.door.visitor()
        chat = {"chat": {"title": self.marker, "messages": []}}
        self.chat = str(visitor.must("POST", "/api/v1/chats/new", chat, self.token)["id"])
        self.file = visitor.upload(CONTENT, self.token)
        assert self.valkey("SET", "open-webui:marker", self.marker) == "OK"

    def valkey(self, *command: str) -> str:
        """What Valkey answers; the password is read and used on the host only."""
        password = 'REDISCLI_AUTH="$(cat /opt/open-webui/secrets/valkey-password)"'
        client = inside("redis").replace("docker exec", "docker exec -e REDISCLI_AUTH", 1)
        words = " ".join(command)
        return self._swarm.ask(f"export {password} && {client} valkey-cli --user open-webui {words}").strip()

    def title(self) -> str:
        statement = f"SELECT title FROM chat WHERE id = '{self.chat}'"  # noqa: S608 an id of Open WebUI's
        return self._swarm.ask(f'{inside("postgres")} psql -U open-webui -Atc "{statement}"').strip()

    def files(self) -> list[str]:
        """The SHA-256 of each upload, as another host than the data node has the shared folder."""
        said = self._swarm.host(SECOND).check_output(f"cd {self.shared}/uploads && sha256sum *")
        return [line.split()[0] for line in str(said).splitlines()]

    def left_beside(self) -> str:
        """What a restore has left beside the data: folders, and databases."""
        names = self._swarm.ask(f"find {self.shared} /var/lib/docker/volumes -maxdepth 3 -name '.restore*'")
        statement = "SELECT datname FROM pg_database WHERE datname LIKE 'open-webui.%'"
        return names + self._swarm.ask(f'{inside("postgres")} psql -U open-webui -Atc "{statement}"')

    def spoil(self) -> None:
        visitor = self._swarm.door.visitor()
        chat = {"chat": {"title": "spoiled", "messages": []}}
        visitor.must("POST", f"/api/v1/chats/{self.chat}", chat, self.token)
        visitor.upload(b"written since", self.token)
        self.valkey("SET", "open-webui:marker", "spoiled")
        self._swarm.host(SECOND).check_output(f"rm {self.shared}/uploads/{self.file}*")

    def assert_kept(self) -> None:
        assert self.title() == self.marker
        assert self.valkey("GET", "open-webui:marker") == self.marker
        assert hashlib.sha256(CONTENT).hexdigest() in self.files()
        assert hashlib.sha256(b"written since").hexdigest() not in self.files()
        visitor = self._swarm.door.visitor()
        assert visitor.ask("GET", "/api/v1/auths/", token=self.token).status == 200
        assert visitor.download(self.file, self.token) == CONTENT


@pytest.fixture(scope="module")
def precious(upgraded: Swarm) -> Precious:
    """It is in a set."""
    found = Precious(upgraded)
    result = upgraded.run("-y", "runbooks/backup.py", **GOOD)
    made = re.search(r"made (\d{8}T\d{6}Z) in ", result.stdout)
    assert result.returncode == 0
    assert made
    found.set = made[1]
    return found


@pytest.mark.long
def test_a_drill_tries_out_a_set_on_the_host_with_the_data_beside_the_swarm(swarm: Swarm, precious: Precious) -> None:
    before = swarm.everything()
    result = swarm.run("-y", "runbooks/drill.py", **GOOD)
    assert result.returncode == 0
    checks = {check["name"]: check for check in rows_in(result.stdout)[DATA_NODE]["checks"]}
    assert {"set", "start", "users", "chats", "files", "uploads", "keys", "websockets"} <= set(checks)
    assert all(check["ok"] for check in checks.values())
    assert swarm.everything() == before
    assert swarm.ask("docker ps -aq --filter label=open-webui-stack.drill") == ""
    precious.assert_kept()


def test_a_restore_brings_back_rows_files_keys_and_logins_on_all_hosts(swarm: Swarm, precious: Precious) -> None:
    before = set(swarm.ask(f"ls {SETS}").split())
    precious.spoil()
    refused = swarm.run("-y", "runbooks/restore.py", **GOOD)
    assert refused.returncode != 0
    assert f"set restore_over = ['{DATA_NODE}']" in refused.stdout
    assert precious.title() == "spoiled"
    data = [swarm.tasks("postgres"), swarm.tasks("proxy")]
    with People(swarm.door, every_s=1) as people:  # counted for the line below alone
        result = swarm.run("-y", "runbooks/restore.py", restore_over=[DATA_NODE], restore_set=precious.set, **GOOD)
    assert result.returncode == 0
    away = re.search(r"the stack was away for (\d+) s", result.stdout)
    assert away
    print(f"away for {away[1]} s, by the run; {len(people.failed)} of {people.served + len(people.failed)} in vain")
    precious.assert_kept()
    assert [swarm.tasks("postgres"), swarm.tasks("proxy")] == data, "others were stopped as well"
    assert len(swarm.tasks()) == 3
    (made,) = set(swarm.ask(f"ls {SETS}").split()) - before
    assert json.loads(swarm.ask(f"cat {SETS}/{made}/manifest.json"))["made_for"] == "restore"
    assert precious.left_beside().strip() == ""
    assert changed(swarm.deploy(**GOOD)) == []


@pytest.mark.long
def test_a_restore_that_is_killed_midway_is_ended_by_the_next_one(swarm: Swarm, precious: Precious) -> None:
    data = {**GOOD, "restore_over": [DATA_NODE], "restore_set": precious.set}
    host = swarm.host(DATA_NODE)
    thread = threading.Thread(target=swarm.run, args=("-y", "runbooks/restore.py"), kwargs=data)
    thread.start()
    within(180, "it swaps the data", lambda: host.file("/opt/open-webui/.restoring").exists, 0.1)
    host.check_output("pkill -9 -f -- '[-]-worker swarm_restore '")
    thread.join()
    result = swarm.run("-y", "deploy.py", **GOOD)
    assert result.returncode != 0
    assert "restore: expected none that was cut off, got one; run runbooks/restore.py again" in result.stdout
    assert swarm.run("-y", "runbooks/restore.py", **data).returncode == 0
    assert not host.file("/opt/open-webui/.restoring").exists
    precious.assert_kept()
    assert changed(swarm.deploy(**GOOD)) == []


@pytest.mark.long
@pytest.mark.usefixtures("upgraded")
def test_a_worker_that_dies_is_made_up_for_and_gets_its_share_when_it_is_back(swarm: Swarm) -> None:
    container = f"open-webui-lab-{LAB}-host-{THIRD.rpartition('-')[2]}"
    with People(swarm.door) as people:
        subprocess.run(["docker", "kill", container], check=True, capture_output=True)
        try:
            # Its events are for the lost host, too, which acknowledges none: no keepalive ends such a connection.
            proved = rows_in(swarm.run("-y", "runbooks/verify.py", **GOOD).stdout)[DATA_NODE]["checks"]
            assert any(check["ok"] and check["name"].startswith("event of 1024 KB") for check in proved)
            within(
                180,
                "its work moved",
                lambda: sorted(set(swarm.tasks().values())) == [DATA_NODE, SECOND] and len(swarm.tasks()) == 3,
            )
            within(60, "only its processes listen", lambda: swarm.listeners() == 3)
        finally:
            subprocess.run(["docker", "start", container], check=True, capture_output=True)
    assert len(people.failed) <= 1  # a request that the host had when it died; they come one after another
    within(60, "it is back", lambda: swarm.nodes()[THIRD] == "Active Ready")
    assert changed(swarm.deploy(**GOOD)) == [DEPLOY]
    assert sorted(swarm.tasks().values()) == [DATA_NODE, SECOND, THIRD]


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
    assert f"open_webui_shared_dir: expected {shared} on {SECOND} to be the one that {DATA_NODE} has" in result.stdout
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


@pytest.mark.long
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


# What a host has of a stack, and of the swarm. Docker and its images stay: nothing here depends on them.
LOSE = f"""
docker swarm leave --force
until [ -z "$(docker ps -aq)" ]; do docker ps -aq | xargs -r docker rm --force --volumes; sleep 1; done
docker volume rm $(docker volume ls -q)
rm -rf /opt/open-webui {SETS} /var/log/open-webui
"""


@pytest.mark.long
@pytest.mark.usefixtures("upgraded")
def test_a_data_node_that_is_lost_with_its_sets_and_its_swarm_is_replaced_from_a_fetched_set(
    swarm: Swarm, tmp_path: Path
) -> None:
    """The last test of its module, because it recreates the whole swarm."""
    host = swarm.host(DATA_NODE)
    host.check_output("apt-get -qq update && apt-get -qq install -y --no-install-recommends age >/dev/null 2>&1")
    identity = tmp_path / "key"
    identity.write_text(host.check_output("age-keygen 2>/dev/null"))
    recipient = next(line for line in identity.read_text().splitlines() if "public key: " in line).split()[-1]
    swarm.deploy(**GOOD)
    precious = Precious(swarm)
    key = swarm.ask("sha256sum /opt/open-webui/secrets/webui-secret-key")
    fetched: dict[str, Any] = {"backup_fetch": str(tmp_path / "sets"), "backup_age_recipient": recipient}
    assert swarm.run("-y", "runbooks/backup.py", **GOOD, **fetched).returncode == 0
    host.check_output(LOSE)
    for name in (SECOND, THIRD):
        swarm.host(name).check_output("docker swarm leave --force")
    data: dict[str, Any] = {
        **GOOD,
        "restore_from": str(tmp_path / "sets" / DATA_NODE),
        "restore_age_identity": f"file:{identity}",
    }
    refused = swarm.run("-y", "runbooks/restore.py", **data)
    assert refused.returncode != 0
    assert f"of people's files in {precious.shared}; name the host in restore_over" in refused.stdout
    assert swarm.tasks() == {}, "nobody met an empty one"
    result = swarm.run("-y", "runbooks/restore.py", **data, restore_over=[DATA_NODE])
    assert result.returncode == 0
    assert swarm.nodes() == {DATA_NODE: "Active Ready Leader", SECOND: "Active Ready", THIRD: "Active Ready"}
    assert swarm.ask("sha256sum /opt/open-webui/secrets/webui-secret-key") == key
    precious.assert_kept()
    assert len(swarm.tasks()) == 3
    assert changed(swarm.deploy(**GOOD)) == []
