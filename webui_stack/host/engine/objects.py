"""Docker's objects as its API shows them (v1.41 to v1.47), each with what this program needs of it. Pure.

What Docker leaves out or sends as null is empty here; what this program can't do without raises KeyError. Variables of
a container, and what health checks printed, are left out of `repr`, as they may hold secrets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..records import dataclass, field
from ..typed import Any

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Mount:
    """What a container sees of the host at `target`; `kind` is "volume", "bind" or "tmpfs"."""

    kind: str
    target: str
    volume: str = ""
    source: str = ""
    writable: bool = True


@dataclass(frozen=True)
class Endpoint:
    """A container in a network. Without an address it is not connected at the moment."""

    network_id: str
    address: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Port:
    """A port of a container, published at an address of the host."""

    inside: str
    address: str
    outside: int


@dataclass(frozen=True)
class Probe:
    """One run of a health check, with what it printed."""

    ended_at: str
    exit_code: int
    output: str = field(default="", repr=False)


@dataclass(frozen=True)
class Container:
    """A container; times are RFC 3339 in UTC, and "0001-01-01T00:00:00Z" for never.

    `status` is created, running, paused, restarting, removing, exited or dead; `health` is "" without a health check,
    else starting, healthy or unhealthy. `image` is the reference it was made from, `image_id` what that meant then.
    `ports` are published while it runs; `published` has the ports inside that are, whenever it runs. `devices` are by
    their path, OUTSIDE:INSIDE where these differ; those of a driver by its name, "GPU" without one. `memory_bytes` is
    its limit, 0 for none.
    """

    id: str
    name: str
    image: str
    image_id: str
    status: str
    health: str = ""
    failing: int = 0
    probes: tuple[Probe, ...] = ()
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    pid: int = 0
    created_at: str = ""
    started_at: str = ""
    finished_at: str = ""
    restarts: int = 0
    restart_policy: str = "no"
    restart_retries: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    networks: Mapping[str, Endpoint] = field(default_factory=dict)
    network_mode: str = ""
    ports: tuple[Port, ...] = ()
    published: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    user: str = ""
    log_driver: str = ""
    log_options: Mapping[str, str] = field(default_factory=dict)
    tty: bool = False
    memory_bytes: int = 0

    @property
    def running(self) -> bool:
        """Whether it has a process, also a paused one."""
        return self.status in ("running", "paused", "restarting")


def container(data: Json) -> Container:
    state, config, host = data["State"], data["Config"], data["HostConfig"]
    settings = data.get("NetworkSettings") or {}
    health = state.get("Health") or {}
    restart = host.get("RestartPolicy") or {}
    log = host.get("LogConfig") or {}
    return Container(
        id=data["Id"],
        name=data["Name"].lstrip("/"),
        image=config["Image"],
        image_id=data["Image"],
        status=state["Status"],
        health=health.get("Status", "").replace("none", ""),
        failing=health.get("FailingStreak", 0),
        probes=tuple(Probe(one["End"], one["ExitCode"], one.get("Output") or "") for one in health.get("Log") or ()),
        exit_code=state["ExitCode"],
        oom_killed=state.get("OOMKilled", False),
        error=state.get("Error", ""),
        pid=state.get("Pid", 0),
        created_at=data["Created"],
        started_at=state["StartedAt"],
        finished_at=state["FinishedAt"],
        restarts=data.get("RestartCount", 0),
        restart_policy=restart.get("Name") or "no",
        restart_retries=restart.get("MaximumRetryCount", 0),
        labels=config.get("Labels") or {},
        env=variables(config.get("Env")),
        mounts=tuple(
            Mount(one["Type"], one["Destination"], one.get("Name", ""), one.get("Source", ""), one.get("RW", True))
            for one in data.get("Mounts") or ()
        ),
        networks={
            name: Endpoint(one.get("NetworkID", ""), one.get("IPAddress", ""), tuple(one.get("Aliases") or ()))
            for name, one in (settings.get("Networks") or {}).items()
        },
        network_mode=host.get("NetworkMode", ""),
        ports=tuple(
            Port(inside, at.get("HostIp", ""), int(at["HostPort"]))
            for inside, published in (settings.get("Ports") or {}).items()
            for at in published or ()
        ),
        published=tuple(host.get("PortBindings") or ()),
        extra_hosts=tuple(host.get("ExtraHosts") or ()),
        devices=(
            *(_device(one) for one in host.get("Devices") or ()),
            *(one.get("Driver") or "GPU" for one in host.get("DeviceRequests") or ()),
        ),
        privileged=host.get("Privileged", False),
        cap_add=tuple(host.get("CapAdd") or ()),
        user=config.get("User", ""),
        log_driver=log.get("Type", ""),
        log_options=log.get("Config") or {},
        tty=config.get("Tty", False),
        memory_bytes=host.get("Memory") or 0,
    )


def _device(one: Json) -> str:
    """Its path, as compose writes it: the host's, too, where that is another."""
    inside: str = one["PathInContainer"]
    outside = one.get("PathOnHost") or inside
    return inside if outside == inside else f"{outside}:{inside}"


def variables(lines: Sequence[str] | None) -> Mapping[str, str]:
    """NAME=VALUE lines by name; a name without a value is none of a container's variables."""
    return {name: value for name, equals, value in (line.partition("=") for line in lines or ()) if equals}


@dataclass(frozen=True)
class Listed:
    """A container as a list has it: less than `Container`, and all of them in one call."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()


def listed(data: Json) -> Listed:
    return Listed(
        name=data["Names"][0].lstrip("/"),
        labels=data.get("Labels") or {},
        ports=tuple(
            Port(f"{port['PrivatePort']}/{port['Type']}", port.get("IP", ""), port["PublicPort"])
            for port in data.get("Ports") or ()
            if port.get("PublicPort")
        ),
    )


@dataclass(frozen=True)
class NewContainer:
    """A container to be made: what of `docker run` this program uses, under the same names.

    `volumes` are written as there: "redis-data:/data", "/opt/x:/set:ro". Without `network` it has none;
    "container:NAME" shares that container's.
    """

    image: str
    command: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[str] = ()
    network: str = "none"
    aliases: Sequence[str] = ()
    user: str = ""
    cap_add: Sequence[str] = ()
    cap_drop: Sequence[str] = ()
    security_opt: Sequence[str] = ()
    read_only: bool = False
    tmpfs: Sequence[str] = ()
    shm_bytes: int = 0
    oom_score_adj: int = 0
    restart_policy: str = "no"


@dataclass(frozen=True)
class Output:
    """What a program in a container left. What went to a file is not in `stdout`."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Image:
    """An image; `digests` are the references by which registries serve it, `env` what its containers get."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    architecture: str = ""
    created_at: str = ""
    size_bytes: int = 0


def image(data: Json) -> Image:
    config = data.get("Config") or {}  # newer engines leave out of it what is empty (API 1.50)
    return Image(
        id=data["Id"],
        tags=tuple(data.get("RepoTags") or ()),
        digests=tuple(data.get("RepoDigests") or ()),
        labels=config.get("Labels") or {},
        env=variables(config.get("Env")),
        architecture=data.get("Architecture", ""),
        created_at=data.get("Created", ""),
        size_bytes=data.get("Size", 0),
    )


@dataclass(frozen=True)
class Volume:
    """A volume; `mountpoint` is a folder of the host where its driver is "local"."""

    name: str
    driver: str = "local"
    mountpoint: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""


def volume(data: Json) -> Volume:
    return Volume(
        name=data["Name"],
        driver=data["Driver"],
        mountpoint=data.get("Mountpoint", ""),
        labels=data.get("Labels") or {},
        options=data.get("Options") or {},
        created_at=data.get("CreatedAt", ""),
    )


@dataclass(frozen=True)
class Network:
    """A network; `containers` are those of this host that run in it, by id, with their names and addresses."""

    id: str
    name: str
    driver: str
    scope: str = "local"
    internal: bool = False
    subnets: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def network(data: Json) -> Network:
    pools = (data.get("IPAM") or {}).get("Config") or ()
    return Network(
        id=data["Id"],
        name=data["Name"],
        driver=data["Driver"],
        scope=data.get("Scope", "local"),
        internal=data.get("Internal", False),
        subnets=tuple(pool["Subnet"] for pool in pools if pool.get("Subnet")),
        labels=data.get("Labels") or {},
        options=data.get("Options") or {},
        containers={
            id_: (one.get("Name", ""), one.get("IPv4Address", ""))
            for id_, one in (data.get("Containers") or {}).items()
        },
    )


@dataclass(frozen=True)
class Member:
    """What an engine says of its own place in a swarm; `state` is "inactive" where it is in none."""

    state: str = "inactive"
    id: str = ""
    manages: bool = False
    address: str = ""
    error: str = ""


@dataclass(frozen=True)
class Info:
    """The engine as a whole; `root` is the folder with all its data, `containers` counts stopped ones as well.

    `containerd_store` says that containerd keeps the images, with `storage_driver` as its snapshotter.
    """

    id: str
    hostname: str
    version: str
    root: str
    live_restore: bool
    log_driver: str
    storage_driver: str
    containers_running: int
    member: Member
    security_options: tuple[str, ...] = ()
    containers: int = 0
    containerd_store: bool = False


def info(data: Json) -> Info:
    swarm = data.get("Swarm") or {}
    return Info(
        id=data["ID"],
        hostname=data["Name"],
        version=data["ServerVersion"],
        root=data["DockerRootDir"],
        live_restore=data.get("LiveRestoreEnabled", False),
        log_driver=data.get("LoggingDriver", ""),
        storage_driver=data.get("Driver", ""),
        containers_running=data.get("ContainersRunning", 0),
        member=Member(
            state=swarm.get("LocalNodeState") or "inactive",
            id=swarm.get("NodeID", ""),
            manages=swarm.get("ControlAvailable", False),
            address=swarm.get("NodeAddr", ""),
            error=swarm.get("Error", ""),
        ),
        security_options=tuple(data.get("SecurityOptions") or ()),
        containers=data.get("Containers", 0),
        # The store of images since Docker 29 on new hosts (moby, daemon/containerd).
        containerd_store=any(
            name == "driver-type" and value.startswith("io.containerd.")
            for name, value in data.get("DriverStatus") or ()
        ),
    )


@dataclass(frozen=True)
class Version:
    """The engine's version, and the oldest and newest API that it speaks."""

    engine: str
    api: str
    oldest_api: str


def version(data: Json) -> Version:
    return Version(data["Version"], data["ApiVersion"], data.get("MinAPIVersion", ""))


@dataclass(frozen=True)
class Event:
    """What happened to an object, as ("container", "die"); `name` is "" where Docker does not tell it."""

    kind: str
    action: str
    id: str
    name: str
    attributes: Mapping[str, str]
    time_s: float


def event(data: Json) -> Event:
    actor = data["Actor"]
    attributes = actor.get("Attributes") or {}
    name, time_s = attributes.get("name", ""), data["timeNano"] / 1e9
    return Event(data["Type"], data["Action"], actor["ID"], name, attributes, time_s)
