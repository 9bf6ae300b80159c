"""Doctor's document: what the host's program says of a host that is judged, and in which form. Pure.

All keys are always there. `""`, 0, empty lists and None mean "none", as each field says. Nothing in it is a secret.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from webui_stack.documents.document import Moment, Outcome


class Room(TypedDict):
    """A file system as df(1) shows it; 0 and "" where that is unknown. `inodes` is 0 without a fixed number of them."""

    disk_kb: int
    disk_free_kb: int
    mount: str
    inodes: int
    inodes_free: int


class Host(Room):
    """The host itself. The file system is the one of Docker's data, in `disk_root`. `engine` is "" without Docker."""

    memory_kb: int
    memory_free_kb: int
    overcommit_memory: str
    engine: str
    compose: str
    disk_root: str


class Backup(Room):
    """Backup sets. `timer` and `last_run` are states of systemd's units, "" without systemd."""

    newest: str
    timer: str
    last_run: str
    now_s: int


class Jobs(TypedDict):
    """How jobs on backups ended, by job (host/outcomes.py), and the next times of drills and of checks."""

    outcomes: dict[str, Outcome]
    drill_due: list[Moment]
    check_due: list[Moment]


class PacketFilter(TypedDict):
    """Docker's rules. The two tables have the number of rules that lead to Docker's, None where that is unknown."""

    backend: str
    managed: bool
    nat: int | None
    filter: int | None


class Port(TypedDict):
    """A port of a container, published at an address of the host."""

    address: str
    outside: int
    inside: str


class Container(TypedDict):
    """A container. `directory` is its compose project's, `task` the swarm's service that it is a task of."""

    name: str
    image: str
    directory: str
    task: str
    status: str
    exit_code: int
    oom_killed: bool
    health: str
    failing: int
    restarts: int
    restart_policy: str
    log_driver: str
    log_options: dict[str, str]
    network_mode: str
    networks: list[str]
    ports: list[Port]


class Valkey(TypedDict):
    """Valkey. `default_user` is its rule in our file, None without one; `answers` are lines of valkey-cli."""

    open_files: str
    default_user: str | None
    package: str
    answers: list[str]


class Key(TypedDict):
    """The key that signs logins."""

    fingerprint: str
    short: bool


class Vectors(TypedDict):
    """The index of document search, how far it was made after its table, and whether it is as it was made then."""

    method: str
    distance: int
    original: bool
    rows: int


class SignIn(TypedDict):
    """By whom people sign in, as asked from Open WebUI's container: `fault` is the kind of it, "" for none."""

    way: str
    where: str
    fault: str
    got: str


class OpenWebUI(TypedDict):
    """Open WebUI. `persisted` are variables that the database overrules, None where they were not compared."""

    variables: list[str]
    values: dict[str, str]
    addresses: dict[str, str]
    key: Key | None
    api: dict[str, Any]
    persisted: list[str] | None
    vectors: Vectors | None
    sign_in: list[SignIn]


class Postgres(TypedDict):
    """Connections in use, and how many there may be."""

    used: int
    limit: int


class Proxy(TypedDict):
    """The proxy: Caddy's own version, and that of a distribution's package."""

    version: str
    package: str


class Doctor(TypedDict):
    """The whole document. `firewall` is None without Docker; `unread` has an error for each question that failed."""

    host: Host
    backup: Backup
    due: list[Moment]
    jobs: Jobs
    firewall: PacketFilter | None
    nodes: dict[str, str]
    services: dict[str, str]
    containers: list[Container]
    valkey: Valkey
    open_webui: OpenWebUI
    postgres: Postgres | None
    proxy: Proxy
    unread: list[str]
