"""What is broken and put right again: a stack in a lab of its own, on one host or on a swarm, with people in it."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab.crowd import Crowd
from tests.lab.door import Door
from tests.lab.precious import within
from tests.lab.session import NAME, ROOT, host_of, numsub, run_lab, run_pyinfra

CONTENT = secrets.token_bytes(100_000)
# Who and what is in the database: how many, and a hash of which.
LEDGER = "; ".join(
    f"SELECT '{table}', count(*), md5(coalesce(string_agg(id, ',' ORDER BY id), '')) FROM \"{table}\""  # noqa: S608 names of ours
    for table in ("user", "chat", "file")
)


class Subject(ABC):
    """A stack that runs `replicas` processes of Open WebUI; `settings` are what its deploys are told, and change."""

    topology: str
    hosts: int
    label: str  # of a service's containers, as Docker filters them

    def __init__(self, sockets: Path) -> None:
        self.lab = f"{NAME}-{self.topology}"
        self._sockets = sockets
        self.inventory = json.loads((ROOT / ".lab" / self.lab / "inventory.json").read_text())
        self.names = [str(host["name"]) for host in self.inventory["hosts"]]
        self.data_node = self.names[0]
        self.settings: dict[str, Any] = {"open_webui_replicas": 2, "verify_level": "wiring"}
        self.host_settings: dict[str, dict[str, Any]] = {}

    @classmethod
    @contextmanager
    def up(cls, keep: bool) -> Iterator[Subject]:
        """The lab with the stack deployed; gone at the end, unless it is to be kept."""
        name = f"{NAME}-{cls.topology}"
        if not keep:
            run_lab("down", name=name)
        try:
            run_lab("up", "--hosts", str(cls.hosts), "--with", "postgres,caddy", name=name)
            with tempfile.TemporaryDirectory() as sockets:
                subject = cls(Path(sockets))
                subject.deploy()
                yield subject
        finally:
            if not keep:
                run_lab("down", name=name)

    @property
    def replicas(self) -> int:
        return int(self.settings["open_webui_replicas"])

    @property
    def door(self) -> Door:
        tls = self.inventory["tls"]
        return Door(tls["name"], int(self.inventory["hosts"][0]["https_port"]), tls["ca_file"])

    def crowd(self, limit_s: float = 900) -> Crowd:
        door = self.door
        return Crowd(door.url, door.ca_file, {door.name: ("127.0.0.1", door.port)}, limit_s=limit_s)

    def host(self, name: str = "") -> Any:
        return host_of(self.lab, self._sockets, name or self.data_node)

    def ask(self, command: str) -> str:
        """What a command on the data node says."""
        return str(self.host().check_output(command))

    def deploy(self, **settings: Any) -> None:
        """Deploy with these settings from now on, as an operator does."""
        self.settings |= settings
        result = run_pyinfra(
            self.lab,
            *("-y", "tests/soak/inventory.py", "deploy.py"),
            SOAK_TOPOLOGY=self.topology,
            SOAK_STACK=json.dumps(self.settings),
            SOAK_HOSTS=json.dumps(self.host_settings),
        )
        print(result.stdout)  # pytest shows it when the test fails
        assert result.returncode == 0

    def ledger(self) -> str:
        psql = f"docker exec {self.container('postgres')} psql -U open-webui -Atc %s"
        return str(self.host().check_output(psql, LEDGER))

    def numsub(self) -> int:
        """Processes that listen on Socket.IO's channel, as Valkey counts them; 0 while it can't be asked."""
        try:
            return numsub(self.host(), self.container("redis"))
        except (AssertionError, IndexError):
            return 0

    def container(self, service: str, host: str = "") -> str:
        """The id of the service's newest container on the host; "" where there is none."""
        found = str(self.host(host).check_output(f"docker ps -q --filter label={self.label}{service}")).split()
        return found[0] if found else ""

    def settle_in(self) -> None:
        """Put there what has to stay: Ada, the crowd's accounts, a file."""
        self._token = self.door.sign_in()
        self._file = self.door.visitor().upload(CONTENT, self._token)
        with self.crowd() as crowd:
            crowd.settle(120)

    def upload_is_there(self) -> bool:
        """For Ada, whose login from the beginning is still good."""
        return self.door.visitor().download(self._file, self._token) == CONTENT

    def kill(self, service: str, host: str = "") -> None:
        """Kill its process, as the kernel does when memory runs out. Docker or the swarm starts it again."""
        pid = f"docker inspect --format '{{{{.State.Pid}}}}' {self.container(service, host)}"
        self.host(host).check_output(f"kill -9 $({pid})")

    @abstractmethod
    def kill_process(self) -> None:
        """Kill one process of Open WebUI."""

    @abstractmethod
    def restart_postgres(self) -> None:
        """As an operator does it; returns when it is back."""

    @abstractmethod
    def restart_open_webui(self) -> None:
        """Each process, one after another; returns when all are back."""

    @abstractmethod
    def whole(self) -> bool:
        """Everything that is to run does."""


class Compose(Subject):
    """Everything on one host."""

    topology, hosts, label = "compose", 1, "com.docker.compose.service="

    def __init__(self, sockets: Path) -> None:
        super().__init__(sockets)
        tls = self.inventory["tls"]
        self.settings |= {
            "database": "postgres",  # with a single process, too
            "public_url": self.door.url,
            "proxy_tls": "files",
            "proxy_certificate": tls["certificate_file"],
            "verify_ca": tls["ca_file"],
            "proxy_certificate_key": f"file:{tls['key_file']}",
            "verify_url": f"https://127.0.0.1:{self.door.port}",
        }

    def kill_process(self) -> None:
        self.kill("open-webui-2")

    def restart_postgres(self) -> None:
        self.ask("docker restart open-webui-postgres")

    def restart_open_webui(self) -> None:
        for name in ("open-webui", *(f"open-webui-{number}" for number in range(2, self.replicas + 1))):
            self.ask(f"docker restart {name}")
            healthy = f"docker inspect --format '{{{{.State.Health.Status}}}}' {name}"
            within(120, f"{name} is healthy", lambda healthy=healthy: self.ask(healthy).strip() == "healthy")

    def whole(self) -> bool:
        line = "{{.Name}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        said = self.ask(f"docker inspect --format '{line}' $(docker ps -aq)")
        found = {name.removeprefix("/"): rest for name, *rest in (row.split() for row in said.splitlines())}
        processes = [name for name in found if name == "open-webui" or re.fullmatch("open-webui-[0-9]+", name)]
        return (
            len(processes) == self.replicas
            and all(health == ["healthy"] for health in found.values())
            and self.numsub() == self.replicas
        )


class Swarm(Subject):
    """One stack over several hosts: data and proxy are on the data node."""

    topology, hosts = "swarm", int(os.environ.get("SOAK_SWARM_HOSTS", "3"))
    label = "com.docker.swarm.service.name=open-webui_"
    struck = ""  # the host that a fault has been done to

    def __init__(self, sockets: Path) -> None:
        super().__init__(sockets)
        managers = 3 if self.hosts >= 5 else 1
        self.host_settings = {name: {"swarm_manager": True} for name in self.names[:managers]}

    @property
    def victim(self) -> str:
        """A host other than the data node that runs a process now."""
        return next(name for name in self.nodes() if name != self.data_node)

    def nodes(self) -> list[str]:
        """Of each process that runs, the host."""
        line = "{{.Node}} {{.CurrentState}}"
        said = self.ask(f"docker service ps -f desired-state=running --format '{line}' open-webui_open-webui")
        return [line.split()[0] for line in said.splitlines() if line.split()[1] == "Running"]

    def kill_process(self) -> None:
        self.kill("open-webui", self.victim)

    def restart_postgres(self) -> None:
        self.ask("docker service update --quiet --force open-webui_postgres")

    def restart_open_webui(self) -> None:
        self.ask("docker service update --quiet --force open-webui_open-webui")

    def whole(self) -> bool:
        said = self.ask("docker service ls --format '{{.Name}} {{.Replicas}}'").splitlines()
        running = dict(line.split()[:2] for line in said)
        wanted = {**dict.fromkeys(running, "1/1"), "open-webui_open-webui": f"{self.replicas}/{self.replicas}"}
        return running == wanted and self.numsub() >= self.replicas

    def stop_host(self) -> None:
        """As a host whose power is cut."""
        self.struck = self.victim
        self._outer("kill")
        self._wait_for_nodes(self.hosts - 1)

    def start_host(self) -> None:
        self._outer("start")
        self._wait_for_nodes(self.hosts)

    def cut(self) -> None:
        self.struck = self.victim
        run_lab("cut", self.struck, name=self.lab)
        self._wait_for_nodes(self.hosts - 1)

    def reconnect(self) -> None:
        run_lab("reconnect", self.struck, name=self.lab)
        self._wait_for_nodes(self.hosts)

    def drain(self) -> None:
        self.struck = self.victim
        self._make("drain")

    def activate(self) -> None:
        self._make("active")

    def _make(self, availability: str) -> None:
        self.host_settings.setdefault(self.struck, {})["swarm_availability"] = availability
        self.deploy()

    def _wait_for_nodes(self, count: int) -> None:
        """Until the swarm knows how many it can give work to."""
        within(90, f"{count} nodes are ready", lambda: self._ready() == count)

    def _ready(self) -> int:
        return self.ask("docker node ls --format '{{.Status}} {{.Availability}}'").count("Ready Active")

    def _outer(self, verb: str) -> None:
        container = f"open-webui-lab-{self.lab}-host-{self.struck.rpartition('-')[2]}"
        subprocess.run(["docker", verb, container], check=True, capture_output=True)
