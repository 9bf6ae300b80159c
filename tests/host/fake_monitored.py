"""A host whose stack a monitor looks at: all is well on it, until a test says otherwise."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeKernel
from tests.host.fake_system import FakeSystem
from tests.host.fake_websockets import Websockets
from tests.host.faults import Faults
from webui_stack.host.engine import Container, Network, NewContainer
from webui_stack.host.files import Files
from webui_stack.host.finding import Finding, Sample
from webui_stack.host.looks import LOOKS, Look
from webui_stack.host.looks.memory import Memory
from webui_stack.host.looks.request import Request
from webui_stack.host.looks.sight import Host, Sight
from webui_stack.host.stack import FOLDER_LABEL, SERVICE_LABEL, STACK_LABEL

FOLDER, SETS = "/opt/open-webui", "/var/backups/open-webui"
MONITOR, PUBLISHER = "sesame of monitor", "sesame of open-webui"
CHANNEL = "socketio"
VALKEY_PORT = 6379
UNITS = ("open-webui-watchdog.service", "open-webui-backup.timer")
JOBS = ("open-webui-backup.service",)
DAILY = "*-*-* 03:00:00"
REDIS, WEBUI = "open-webui_redis", "open-webui_open-webui"
SWARM: dict[str, Any] = {"containers": [REDIS, WEBUI], "open_webui": [WEBUI], "valkey": REDIS, "swarm": "open-webui"}
"""What a deploy would ask for in a swarm (`Monitored.become_data_node`)."""


ERROR = "-"


def encoded(answer: Any) -> bytes:
    """An answer as Valkey writes it; a text that begins with `ERROR` is one."""
    if isinstance(answer, list):
        return b"*%d\r\n" % len(answer) + b"".join(map(encoded, answer))
    if isinstance(answer, int):
        return b":%d\r\n" % answer
    text = str(answer).encode()
    return b"%s\r\n" % text if text.startswith(ERROR.encode()) else b"$%d\r\n%s\r\n" % (len(text), text)


@dataclass
class Valkey:
    """What Valkey answers, by its protocol (RESP2); `own` says that rooms have channels.

    Nobody listens until it was asked `late` times who does.
    """

    ping: str = "PONG"
    silent: bool = False
    unreachable: OSError | None = None
    info: dict[str, Any] = field(
        default_factory=lambda: {
            "connected_clients": 12,
            "maxclients": 10000,
            "used_memory": 2_000_000,
            "used_memory_rss": 3_000_000,
            "maxmemory": 0,
            "client_output_buffer_limit_disconnections": 0,
            "acl_access_denied_auth": 0,
            "acl_access_denied_cmd": 0,
            "acl_access_denied_key": 0,
            "acl_access_denied_channel": 0,
        }
    )
    subscribers: int = 1
    own: bool = True
    late: int = 0
    denied: list[dict[str, Any]] = field(default_factory=list)
    delivers: bool = True
    passwords: dict[str, str] = field(default_factory=lambda: {"monitor": MONITOR, "open-webui": PUBLISHER})
    published: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)

    def serve(self, websockets: Websockets | None) -> socket.socket:
        """A connection to this Valkey, which answers until that is closed."""
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._talk, args=(ours, websockets), daemon=True).start()
        return theirs

    def _talk(self, connection: socket.socket, websockets: Websockets | None) -> None:
        user = ""
        with connection, connection.makefile("rb") as lines:
            while head := lines.readline():
                words = [lines.read(int(lines.readline()[1:]) + 2)[:-2].decode() for _ in range(int(head[1:]))]
                self.asked.append(words)
                if self.silent:
                    continue
                if words[0] == "AUTH":
                    is_known = self.passwords.get(words[1]) == words[2]
                    user = words[1] if is_known else user
                    answer: Any = "OK" if is_known else ERROR + "WRONGPASS invalid username-password pair"
                else:
                    answer = self._one(user, words, websockets)
                connection.sendall(encoded(answer))

    def _one(self, user: str, words: list[str], websockets: Websockets | None) -> Any:
        command, *rest = words
        if command == "PING":
            return "PONG" if self.ping == "PONG" else ERROR + self.ping
        if self.ping.startswith(("LOADING", "BUSY")):
            return ERROR + self.ping
        allowed = {"INFO": "monitor", "PUBSUB": "monitor", "ACL": "monitor", "PUBLISH": "open-webui"}
        if user != allowed[command]:
            return f"{ERROR}NOPERM User {user or 'default'} has no permissions to run the '{command}' command"
        if command == "INFO":
            return "# Clients\r\n" + "".join(f"{name}:{value}\r\n" for name, value in self.info.items())
        if command == "ACL":
            return [[part for pair in entry.items() for part in pair] for entry in self.denied]
        if command == "PUBSUB" and self.late:
            self.late -= 1
            return [word for name in rest[1:] for word in (name, 0)]
        if command == "PUBSUB":
            return [word for name in rest[1:] for word in (name, self._listeners(name))]
        channel, message = rest
        self.published.append((channel, json.loads(message)))
        is_heard = self._listeners(channel) > 0
        if self.delivers and is_heard and websockets:
            websockets.publish(message)
        return self._listeners(channel)

    def _listeners(self, channel: str) -> int:
        return self.subscribers if channel == CHANNEL else int(self.own)


class Monitored:
    """A host with a stack; `request` is what a deploy would ask for. Time goes on by `clock` alone."""

    def __init__(self, root: Path, websockets: Websockets | None = None, **changes: Any) -> None:
        self.root, self.clock, self.kernel = root, FakeClock(), FakeKernel()
        self.files, self.websockets = Files(self.kernel), websockets
        self.states = dict.fromkeys([*UNITS], "active") | dict.fromkeys(JOBS, "inactive")
        self.system = FakeSystem(root, systemctl=self._systemctl, systemd_analyze=self._calendar)
        self.system.path("/run/systemd/system").mkdir(parents=True)
        for user, password in (("valkey-monitor-password", MONITOR), ("valkey-password", PUBLISHER)):
            self.system.put(f"{FOLDER}/secrets/{user}", f"{password}\n")
        self.system.path("/var/lib/docker").mkdir(parents=True)
        self.valkey = Valkey()
        self.psql = b"8 100\n"
        self.health: dict[str, str] = {}
        self.limits: dict[str, int] = {}
        self.oom: set[str] = set()
        self.docker = _Docker(self)
        self.program = Program(
            health=lambda one: self.health.get(one.container.name, "healthy"),
            commands={
                "psql": lambda _: self.psql,
            },
        )
        self.image = self.docker.put_image("image:1", self.program)
        self.engine = FakeEngine(self.docker)
        self.docker.put_container("redis-valkey", self.new("redis"))
        self.docker.put_container("open-webui", self.new("open-webui"))
        self.clock.passed_s += 1000
        self.dialled: list[tuple[str, int]] = []
        asked: dict[str, Any] = {
            "stack_dir": FOLDER,
            "backup_dir": SETS,
            "containers": ["redis-valkey", "open-webui"],
            "open_webui": ["open-webui"],
            "valkey": "redis-valkey",
            "units": list(UNITS),
            "jobs": list(JOBS),
            "backup_schedule": DAILY,
        }
        self.request = Request.read(json.loads(json.dumps({**asked, **changes})))
        self.memory = Memory(self.clock)
        self.put_set(1)
        self.remember()

    # --- What is there

    def new(self, service: str, **labels: str) -> NewContainer:
        marks = {
            FOLDER_LABEL: FOLDER,
            "com.docker.compose.service": service,
            "com.docker.compose.config-hash": f"hash-of-{service}",
        }
        self.docker.networks.setdefault("openwebui-network", Network("n1", "openwebui-network", "bridge"))
        return NewContainer(
            "image:1", labels={**marks, **labels}, network="openwebui-network", restart_policy="unless-stopped"
        )

    def put(self, name: str, service: str) -> None:
        """One more container, which the monitor is asked about."""
        self.docker.put_container(name, self.new(service))
        self.request = replace(self.request, containers=[*self.request.containers, name])
        if service.startswith("open-webui"):
            self.request = replace(self.request, open_webui=[*self.request.open_webui, name])
        self.remember()

    def put_set(self, age_h: float) -> None:
        """A whole backup set of some hours ago."""
        made_s = self.clock.now() - age_h * 3600
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(made_s))
        self.files.make_folder(f"{SETS}/{name}")
        self.files.write(f"{SETS}/{name}/manifest.json", "{}", changed_s=made_s)
        self.system.path(SETS).mkdir(parents=True, exist_ok=True)

    def remember(self) -> None:
        """The containers as they are now are the good release."""
        ones = list(self.docker.held.values())
        images = "".join(f"{one.image_id} image:1 /{one.name}\n" for one in ones)
        services = {one.new.labels["com.docker.compose.service"] for one in ones if "." not in one.name}
        hashes = "".join(f"hash {service} hash-of-{service}\n" for service in sorted(services))
        self.system.put(f"{FOLDER}/.good/images", images)
        self.system.put(f"{FOLDER}/.good/known", f"programs x  -\ncompose 2.26.1\nkey y  -\n{hashes}")

    def remember_swarm(self) -> None:
        """As `SwarmReleases` does: by the names that containers have without a swarm."""
        self.system.put(
            f"{FOLDER}/.good/images", f"{self.image} image:1 /redis-valkey\n{self.image} image:1 /open-webui\n"
        )
        self.system.put(f"{FOLDER}/.good/known", "inputs 1\nopen-webui_redis 2\n")

    def become_data_node(self) -> None:
        """Of a swarm: with Valkey and one of two replicas of Open WebUI. The request is that of `SWARM`."""
        for name in ("redis-valkey", "open-webui"):
            self.docker.drop(self.docker.named(name))
        self.engine.swarm.put_node("node1")
        self.engine.swarm.put_node("node2", role="worker")
        self.docker.networks["docker_gwbridge"] = Network("g", "docker_gwbridge", "bridge")
        for name, replicas in ((REDIS, 1), (WEBUI, 2)):
            new = NewContainer("image:1", labels={SERVICE_LABEL: name}, network="docker_gwbridge")
            self.engine.swarm.put_service(name, new, replicas=replicas, labels={STACK_LABEL: "open-webui"})
        self.valkey.subscribers = 2
        self.remember_swarm()

    def restart(self, name: str) -> None:
        """As the watchdog, or Docker, does."""
        self.docker.stop(self.docker.named(name), graceful=True)
        self.docker.start(self.docker.named(name))

    # --- Looks

    def host(self) -> Host:
        return Host(self.system, self.engine, self.files, self.clock, self.dial)

    def look(self, name: str, **options: Any) -> tuple[dict[str, Finding], dict[str, float]]:
        """What one look finds, by names; samples by their series."""
        look = next(one for one in LOOKS if one.name == name)
        return self.found([look], **options)

    def found(self, looks: list[Look], **options: Any) -> tuple[dict[str, Finding], dict[str, float]]:
        sight = Sight(self.request, self.host(), self.memory, **options)
        self.engine.faults = Faults(self.engine.faults.fault)
        try:
            found = [one for look in looks for one in look.at(sight)]
        finally:
            sight.end()
        findings = [one for one in found if isinstance(one, Finding)]
        assert len({one.name for one in findings}) == len(findings)
        assert all(one.next_step for one in findings if one.ok is False), "each fault has a next step"
        samples = [one for one in found if isinstance(one, Sample)]
        return {one.name: one for one in findings}, {series(one): one.value for one in samples}

    def calls(self) -> list[str]:
        """The calls to Docker of the last look."""
        return [one.name.removeprefix("docker: ") for one in self.engine.faults.calls]

    def dial(self, address: str, port: int, limit_s: float) -> socket.socket:
        self.dialled.append((address, port))
        if port == VALKEY_PORT:
            if self.valkey.unreachable:
                raise self.valkey.unreachable
            return self.valkey.serve(self.websockets)
        if self.websockets is None:
            raise ConnectionRefusedError(111, os.strerror(111))
        return socket.create_connection(("127.0.0.1", self.websockets.port), limit_s)

    # --- Its programs

    def _systemctl(self, arguments: Any) -> str:
        units = arguments[3:]
        return "\n".join(f"Id={unit}\nActiveState={self.states.get(unit, 'inactive')}\n" for unit in units)

    def _calendar(self, arguments: Any) -> str | None:
        if arguments[-1] == "nonsense":
            return None
        day_s = 86400 if arguments[-1] == DAILY else 7 * 86400
        times = [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1_796_000_000 + day_s * at)) for at in range(8)]
        return "".join(f"    Next elapse: Mon {at} UTC\n" for at in times)


def series(one: Sample) -> str:
    """As `name{container=open-webui}`, without our prefix."""
    labels = ",".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
    return one.name.removeprefix("open_webui_stack_") + (f"{{{labels}}}" if labels else "")


def wells(findings: Mapping[str, Finding]) -> dict[str, bool | None]:
    return {name: one.ok for name, one in findings.items()}


class _Docker(Docker):
    """Shows limits of memory as well, and an address for each container."""

    def __init__(self, world: Monitored) -> None:
        super().__init__(clock=world.clock.now)
        self._world = world

    def shown(self, one: Any) -> Container:
        found = super().shown(one)
        world = self._world
        address = f"10.0.0.{2 + list(self.held).index(one.id)}"
        return replace(
            found,
            networks={name: replace(at, address=at.address and address) for name, at in found.networks.items()},
            memory_bytes=world.limits.get(one.name, 0),
            oom_killed=one.name in world.oom,
        )
