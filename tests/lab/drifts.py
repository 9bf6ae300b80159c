"""What people do to a host that a deploy repairs, and the proof that it repairs that and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lab.session import FRESH, Lab, changed, containers, predicted, report_in

SECRETS = "Stack | Make the secrets on the host"
FILES = "Stack | Put the compose project"
UP = "Stack | Bring the services up"
NETWORK = "Network | Create the network"
CONFIGURE = "Docker | Configure Docker"
SERVICE = "Docker | Start Docker and enable it"
WATCHDOG = "Watchdog | Put the watchdog"
WATCHDOG_UNIT = "/etc/systemd/system/open-webui-watchdog.service"
RUN_WATCHDOG = "Watchdog | Run the watchdog"
# Until 2026-11-30 a timer ran a script.
TIMER, SCRIPT = "/etc/systemd/system/open-webui-watchdog.timer", "/opt/open-webui/watchdog.sh"
NO_TIMER = [
    "Watchdog | Stop the timer of the watchdog of before",
    f"Watchdog | Remove {TIMER}",
    f"Watchdog | Remove {SCRIPT}",
]
MONITOR, RUN_MONITOR = "Monitor | Put the monitor", "Monitor | Run the monitor"
MONITOR_UNIT = "/etc/systemd/system/open-webui-stack-monitor.service"
IN_ORDER = [CONFIGURE, SERVICE, NETWORK, SECRETS, FILES, UP, *NO_TIMER, WATCHDOG, RUN_WATCHDOG, MONITOR, RUN_MONITOR]

COMPOSE = "/opt/open-webui/compose.yaml:"
CONF = "/opt/open-webui/valkey/valkey.conf:"
VALKEY_STALE = "redis: its configuration files changed under it"
REDEFINED = "open-webui: its definition changed"

BOTH = ["open-webui", "redis-valkey"]
# Open WebUI listens again by itself (docs/decisions/0010).
VALKEY_ANEW: dict[str, Any] = {"recreated": ["redis-valkey"]}


@dataclass(frozen=True)
class Drift:
    """What somebody did on the host, which operations fix it, and which containers are new afterwards.

    `seen` are the lines in which these operations name what they found, the dry run's as well: the file, or the service
    and what is the matter with it; `unseen` is one that must not be there. `afterwards` is for what no deploy undoes,
    because it is no drift.
    """

    done: str
    repaired_by: list[str]
    seen: list[str] = field(default_factory=list)
    recreated: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    afterwards: str = ""
    unseen: str = ""


# Drifts of one group are there at once, and one deploy repairs them. No two of them may be seen by the same operation
# without a line of their own (a test below holds that), so each is still known to be seen for itself.
GROUPS = {
    "files that others may write": {
        # Valkey may have been started with it since, so it starts anew.
        "valkey.conf of another owner": Drift(
            "chown nobody valkey/valkey.conf", [FILES, UP], [CONF, VALKEY_STALE], **VALKEY_ANEW
        ),
        "compose file writable": Drift("chmod 666 compose.yaml", [FILES], [COMPOSE]),
        ".env readable": Drift("chmod 644 .env", [SECRETS]),
        "detached from the network": Drift(
            "docker network disconnect openwebui-network open-webui",
            [UP],
            ["open-webui: is not attached to openwebui-network"],
            recreated=["open-webui"],
        ),
        "watchdog stopped": Drift("systemctl stop open-webui-watchdog.service", [RUN_WATCHDOG]),
        "monitor stopped": Drift("systemctl stop open-webui-stack-monitor.service", [RUN_MONITOR]),
    },
    "files edited": {
        "valkey.conf edited": Drift(
            "sed -i 's/^timeout.*/timeout 0/' valkey/valkey.conf", [FILES, UP], [CONF, VALKEY_STALE], **VALKEY_ANEW
        ),
        "compose file edited": Drift("sed -i 's/5s/6s/' compose.yaml", [FILES], [COMPOSE]),
        ".env edited": Drift("sed -i 's/WEBUI_SECRET_KEY=.*/WEBUI_SECRET_KEY=x/' .env", [SECRETS]),
        "watchdog edited": Drift(f"echo >> {WATCHDOG_UNIT}", [WATCHDOG], [f"{WATCHDOG_UNIT}:"]),
        "monitor edited": Drift(f"echo >> {MONITOR_UNIT}", [MONITOR], [f"{MONITOR_UNIT}:"]),
        # Were it heeded, Valkey's definition would be another.
        "another compose file beside ours": Drift(
            "printf 'services: {redis: {environment: {A: b}}}' > compose.override.yaml",
            [],
            unseen="redis: its definition changed",
        ),
    },
    "users.acl edited, a container of others' making": {
        "environment changed by hand": Drift(
            "sed -i 's/JWT_EXPIRES_IN: .*/JWT_EXPIRES_IN: \"1h\"/' compose.yaml && "
            "docker compose -f compose.yaml up -d --wait",
            [FILES, UP],
            [COMPOSE, REDEFINED],
            recreated=["open-webui"],
        ),
        "users.acl edited": Drift(
            "echo 'user mallory on nopass +@all' >> valkey/users.acl", [SECRETS, UP], [VALKEY_STALE], **VALKEY_ANEW
        ),
    },
    "users.acl in force, what runs and its file gone": {
        "users.acl edited and in force": Drift(
            "echo 'user mallory on nopass +@all' >> valkey/users.acl && docker restart redis-valkey",
            [SECRETS, UP],
            [VALKEY_STALE],
            **VALKEY_ANEW,
        ),
        "compose file deleted": Drift("rm compose.yaml", [FILES], [COMPOSE]),
        "container removed": Drift(
            "docker rm -f open-webui", [UP], ["open-webui: has no container"], recreated=["open-webui"]
        ),
    },
    "another setting, a file put right": {
        "valkey.conf put right by hand, not in force": Drift(
            "touch valkey/valkey.conf", [UP], [VALKEY_STALE], **VALKEY_ANEW
        ),
        "setting changed": Drift(
            "true",
            [FILES, UP],
            [COMPOSE, REDEFINED],
            recreated=["open-webui"],
            arguments=["--data", "open_webui_jwt_expires_in=12h"],
        ),
        "folder open": Drift("chmod 755 /opt/open-webui", [SECRETS]),
        "watchdog of before": Drift(
            "systemctl disable --now open-webui-watchdog.service && "
            f"printf '[Service]\nType=oneshot\nExecStart=/bin/sh {SCRIPT}\n' >{WATCHDOG_UNIT} && "
            f"echo true >{SCRIPT} && "
            f"printf '[Timer]\nOnUnitInactiveSec=5\n[Install]\nWantedBy=timers.target\n' >{TIMER} && "
            "systemctl daemon-reload && systemctl enable --now open-webui-watchdog.timer",
            [*NO_TIMER, WATCHDOG, RUN_WATCHDOG],
            [f"{WATCHDOG_UNIT}:"],
        ),
    },
    "containers stopped and gone": {
        "valkey removed, its volume there": Drift(
            "docker rm -f redis-valkey", [UP], ["redis: has no container"], **VALKEY_ANEW
        ),
        "container stopped": Drift("docker stop open-webui", [UP], ["open-webui: is exited"], restarted=["open-webui"]),
        # Not another value for it: that would be the host's choice, and stay.
        "daemon.json edited": Drift("sed -i '/live-restore/d' /etc/docker/daemon.json", [CONFIGURE]),
    },
    "a container paused, an image moved": {
        "container paused": Drift("docker pause redis-valkey", [UP], ["redis: is paused"]),
        "image moved under its tag": Drift(
            # Not a commit of open-webui itself: that would put its environment, secrets too, into the image.
            "image=$(docker inspect --format '{{.Config.Image}}' open-webui) && docker create --name bare $image && "
            "docker commit --change 'LABEL moved=yes' bare $image && docker rm bare",
            [UP],
            ["open-webui: its image changed"],
            recreated=["open-webui"],
            afterwards="docker pull --quiet $(docker inspect --format '{{.Config.Image}}' open-webui)",
        ),
        "docker disabled": Drift("systemctl disable docker", [SERVICE]),
    },
    "no network": {
        "network removed": Drift(
            "docker network disconnect openwebui-network open-webui && "
            "docker network disconnect openwebui-network redis-valkey && docker network rm openwebui-network",
            [NETWORK, UP],
            ["open-webui: is not attached to openwebui-network", "redis: is not attached to openwebui-network"],
            recreated=BOTH,
        ),
    },
}
SINGLE = {name: drift for drifts in GROUPS.values() for name, drift in drifts.items()}


def break_and_repair(lab: Lab, subtests: pytest.Subtests, drifts: dict[str, Drift], on: str = FRESH) -> None:
    """Do all of it on the host, deploy, and compare what the deploy did with what each drift expects."""
    host = lab.host(on)
    host.check_output("systemctl stop open-webui-watchdog.service; systemctl reset-failed; true")
    if "watchdog stopped" not in drifts:
        host.check_output("systemctl start open-webui-watchdog.service")
    before = containers(host)
    for drift in drifts.values():
        host.check_output(f"cd /opt/open-webui && {{ {drift.done}; }} >/dev/null 2>&1")

    arguments = ["--diff", "--json", *(part for drift in drifts.values() for part in drift.arguments)]
    dry, real, again = (lab.run(*how, "deploy.py", *arguments, limit=on) for how in (["--dry"], ["-y"], ["-y"]))
    print(dry.stdout, real.stdout, again.stdout, sep="\n")
    assert (dry.returncode, real.returncode, again.returncode) == (0, 0, 0)
    after = containers(host)
    anew = {name for name in after if after[name] != before.get(name)}
    recreated = {name for name in after if _id(after, name) != _id(before, name)}
    planned, repaired = predicted(report_in(dry.stdout)), changed(report_in(real.stdout))

    for name, drift in drifts.items():
        with subtests.test(name):
            assert set(drift.repaired_by) <= set(planned), "the dry run did not predict it"
            assert set(drift.repaired_by) <= set(repaired)
            for line in drift.seen:
                assert line in dry.stdout
                assert line in real.stdout
                assert line not in again.stdout
            assert not drift.unseen or drift.unseen not in dry.stdout
            assert set(drift.recreated) <= recreated
            assert set(drift.restarted) <= anew
    operations = {operation for drift in drifts.values() for operation in drift.repaired_by}
    assert repaired == [operation for operation in IN_ORDER if operation in operations]
    assert planned == repaired, "the dry run predicted something else"
    assert recreated == {name for drift in drifts.values() for name in drift.recreated}
    assert anew == recreated | {name for drift in drifts.values() for name in drift.restarted}
    assert changed(report_in(again.stdout)) == []

    undone = [drift.afterwards for drift in drifts.values() if drift.afterwards]
    for command in undone:
        host.check_output(command)
    if undone or any(drift.arguments for drift in drifts.values()):
        lab.report("-y", "deploy.py", limit=on)


def _id(found: dict[str, str], name: str) -> str:
    return found.get(name, "").split(" ")[0]
