"""Everything a run wants to know of a host, observed by one remote command. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from webui_stack.documents import document
from webui_stack.model import compose, docker_config, machine, swarm
from webui_stack.model import docker as engine

# The systemd units a run cares for.
DOCKER_UNIT, BACKUP_UNIT = "docker.service", "open-webui-backup.timer"
# The timers of the other jobs on backups: the check of restic repositories, and the drill.
CHECK_UNIT, DRILL_UNIT = "open-webui-backup-check.timer", "open-webui-drill.timer"
# The watchdog, and the timer that ran it in earlier versions.
WATCHDOG_UNIT, WATCHDOG_TIMER = "open-webui-watchdog.service", "open-webui-watchdog.timer"
MONITOR_UNIT = "open-webui-stack-monitor.service"
# The log of deploys on the host, and the lease of the run that is at work there.
DEPLOY_LOG = "/var/log/open-webui/deploys.jsonl"
LEASE_FILE = f"{compose.RUN_FOLDER}/lease"
# Where the version of before has it.
OLD_LEASE_FILE = "/run/open-webui-stack.lease"


@dataclass(frozen=True)
class Survey:
    """One host as observed.

    `files` are the contents of regular files that are root's and 0644, by path: any other file counts as absent,
    and thereby as one to be written again. `stale` has the paths that the secrets' step would change, with "content",
    "mode" or "presence"; `refused` says why it can't, "" where it can. `units` are the systemd units that are active
    and enabled. `lease` is the lease's line (`webui_stack.ops.lease`), `last_deploy` the last line of the log
    (`webui_stack.model.deploy_log`). `cut_off` is the runbook that was killed while data were in two places
    (`webui_stack/host/journal.py`). `database` is where people's data are, "sqlite", "postgres" or "external"; "" where
    there are none, "unknown" where what tells is damaged. `migrating` says whether runbooks/migrate.py has begun and
    not ended. `outcomes` say how jobs on backups ended. `swarm` is the host's part of it. `saved` is how Open WebUI's
    saved settings differ from the wanted ones, None where nobody asked, or no Open WebUI runs.
    """

    machine: machine.Machine = field(default_factory=machine.Machine)
    engine: engine.Engine = field(default_factory=engine.Engine)
    docker: docker_config.Observed = field(default_factory=docker_config.Observed)
    services: compose.Observed = field(default_factory=compose.Observed)
    files: Mapping[str, str] = field(default_factory=dict)
    stale: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    units: frozenset[str] = frozenset()
    lease: str = ""
    last_deploy: str = ""
    cut_off: str = ""
    database: str = ""
    migrating: bool = False
    outcomes: Mapping[str, document.Outcome] = field(default_factory=dict)
    swarm: swarm.Observed = field(default_factory=swarm.Observed)
    saved: document.Saved | None = None


def parse(content: Mapping[str, Any]) -> Survey:
    """Read the document of the host's program. Raises `document.IncompleteError` naming the section it can't trust."""
    whole = document.checked("survey", _form(), content)
    project, history = whole["project"], whole["history"]
    return Survey(
        machine=machine.parse(whole["machine"]),
        engine=engine.parse(whole["engine"]),
        docker=docker_config.parse(whole["docker_config"]),
        services=compose.parse(whole),
        files=whole["files"],
        stale=project["stale"] if project else {},
        refused=project["refused"] if project else "",
        units=frozenset(whole["units"]),
        lease=next(iter(history["leases"]), ""),
        last_deploy=history["deploy"],
        cut_off=history["cut_off"],
        database=history["database"],
        migrating=history["migrating"],
        outcomes=history["outcomes"],
        swarm=swarm.parse(whole["swarm"], project["inputs"] if project else ""),
        saved=whole["saved"],
    )


@cache
def _form() -> TypeAdapter[document.Survey]:
    return TypeAdapter(document.Survey)
