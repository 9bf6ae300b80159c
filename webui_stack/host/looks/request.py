"""What the verb `monitor` is asked to look at, and from where on something is not well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Thresholds:
    """From where on something is not well.

    A disk has too little room below `disk_free_percent` or `disk_free_bytes`, and too few inodes below
    `inodes_free_percent`. Valkey's memory and connections, and Postgres's, are at their limit above `memory_percent`
    and `connections_percent`. A certificate ends soon below `certificate_days`, and one that is renewed by itself
    below a quarter of its time, where that is less. A backup, or a drill, is too old after `pauses` times the longest
    pause of its schedule. What happened once is a fault for `recent_s` seconds. More than `restarts_per_hour` of a
    container are too many. A container may start for `start_s` seconds.
    """

    disk_free_percent: float = 10
    disk_free_bytes: float = 2e9
    inodes_free_percent: float = 5
    memory_percent: float = 90
    connections_percent: float = 90
    certificate_days: float = 14
    pauses: float = 2
    recent_s: float = 900
    restarts_per_hour: int = 3
    start_s: float = 600


@dataclass(frozen=True)
class Served:
    """The certificate of the stack's proxy: where this host gets it, for which name, and whether Caddy renews it."""

    address: str
    port: int
    name: str
    renews: bool


@dataclass(frozen=True)
class Request:
    """What the operator's side asks for.

    `containers` are the names of the stack's containers, `open_webui` those of Open WebUI among them; `valkey`,
    `postgres` and `proxy` are "" where the stack has none. In a swarm, whose stack is named `swarm`, all of them are
    names of services. `gateway` is the bridge by which a swarm's host reaches its containers.

    `backup_schedule` and `drill_schedule` are systemd's calendar expressions, "" for none. `units` have to run, and
    `jobs` must not have failed. `certificates` are PEM files. `metrics_textfile_dir` is the folder of node-exporter's
    textfile collector, `metrics_bind` an address with a port; "" for none. A look begins every `interval_s` seconds.

    `alarms` is the file with the receivers of alarms, root's alone, "" for none; they are reminded every
    `alarm_reminder_h` hours, 0 for never.
    """

    stack_dir: str
    backup_dir: str
    containers: Sequence[str]
    open_webui: Sequence[str]
    valkey: str
    postgres: str = ""
    proxy: str = ""
    swarm: str = ""
    gateway: str = "docker_gwbridge"
    interval_s: float = 60
    backup_schedule: str = ""
    drill_schedule: str = ""
    units: Sequence[str] = ()
    jobs: Sequence[str] = ()
    certificates: Sequence[str] = ()
    served: Served | None = None
    metrics_textfile_dir: str = ""
    metrics_bind: str = ""
    alarms: str = ""
    alarm_reminder_h: float = 24
    thresholds: Thresholds = field(default_factory=Thresholds)

    @classmethod
    def read(cls, arguments: Mapping[str, Any]) -> Request:
        """The request of the verb's arguments, which are JSON."""
        served, thresholds = arguments.get("served"), arguments.get("thresholds") or {}
        parts = {"served": Served(**served) if served else None, "thresholds": Thresholds(**thresholds)}
        return cls(**{**arguments, **parts})
