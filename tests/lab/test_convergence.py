"""Each drift is seen, mended by just the operations it takes, predicted by the dry run, and gone afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lab.session import FRESH, Lab, changed, containers, predicted

pytestmark = pytest.mark.lab

SECRETS = "Stack | Make the secrets on the host"
FILES = "Stack | Put the compose project"
UP = "Stack | Bring the services up"
NETWORK = "Network | Create the network"
CONFIGURE = "Docker | Configure Docker"
SERVICE = "Docker | Start Docker and enable it"
WATCHDOG = "Watchdog | Put the watchdog"
TIMER = "Watchdog | Run the watchdog's timer"

BOTH = ["open-webui", "redis-valkey"]
VALKEY_ANEW: dict[str, Any] = {"recreated": ["redis-valkey"], "restarted": ["open-webui"]}


@dataclass(frozen=True)
class Drift:
    """What somebody did on the host, which operations mend it, and which containers are new afterwards.

    `afterwards` is for what no deploy undoes, because it is no drift.
    """

    done: str
    mended_by: list[str]
    recreated: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    afterwards: str = ""


DRIFTS = {
    "compose file edited": Drift("sed -i 's/5s/6s/' compose.yaml", [FILES]),
    "compose file deleted": Drift("rm compose.yaml", [FILES]),
    "compose file writable": Drift("chmod 666 compose.yaml", [FILES]),
    # Valkey may have been started with it since, so it starts anew.
    "valkey.conf of another owner": Drift("chown nobody valkey/valkey.conf", [FILES, UP], **VALKEY_ANEW),
    "valkey.conf edited": Drift("sed -i 's/^timeout.*/timeout 0/' valkey/valkey.conf", [FILES, UP], **VALKEY_ANEW),
    "users.acl edited": Drift("echo 'user mallory on nopass +@all' >> valkey/users.acl", [SECRETS, UP], **VALKEY_ANEW),
    "users.acl edited and in force": Drift(
        "echo 'user mallory on nopass +@all' >> valkey/users.acl && docker restart redis-valkey",
        [SECRETS, UP],
        **VALKEY_ANEW,
    ),
    "valkey.conf put right by hand, not in force": Drift("touch valkey/valkey.conf", [UP], **VALKEY_ANEW),
    ".env edited": Drift("sed -i 's/WEBUI_SECRET_KEY=.*/WEBUI_SECRET_KEY=x/' .env", [SECRETS]),
    ".env readable": Drift("chmod 644 .env", [SECRETS]),
    "folder open": Drift("chmod 755 /opt/open-webui", [SECRETS]),
    "container removed": Drift("docker rm -f open-webui", [UP], recreated=["open-webui"]),
    "valkey removed, its volume there": Drift(
        "docker rm -f redis-valkey", [UP], recreated=["redis-valkey"], restarted=["open-webui"]
    ),
    "container stopped": Drift("docker stop open-webui", [UP], restarted=["open-webui"]),
    "container paused": Drift("docker pause redis-valkey", [UP]),
    "environment changed by hand": Drift(
        "sed -i 's/JWT_EXPIRES_IN: .*/JWT_EXPIRES_IN: \"1h\"/' compose.yaml && "
        "docker compose -f compose.yaml up -d --wait",
        [FILES, UP],
        recreated=["open-webui"],
    ),
    "detached from the network": Drift(
        "docker network disconnect openwebui-network open-webui", [UP], recreated=["open-webui"]
    ),
    "network removed": Drift(
        "docker network disconnect openwebui-network open-webui && "
        "docker network disconnect openwebui-network redis-valkey && docker network rm openwebui-network",
        [NETWORK, UP],
        recreated=BOTH,
    ),
    "image moved under its tag": Drift(
        # Not a commit of open-webui itself: that would put its environment, secrets too, into the image.
        "image=$(docker inspect --format '{{.Config.Image}}' open-webui) && docker create --name bare $image && "
        "docker commit --change 'LABEL moved=yes' bare $image && docker rm bare",
        [UP],
        recreated=["open-webui"],
        afterwards="docker pull --quiet $(docker inspect --format '{{.Config.Image}}' open-webui)",
    ),
    "another compose file beside ours": Drift(
        "printf 'services: {redis: {environment: {A: b}}}' > compose.override.yaml", []
    ),
    "daemon.json edited": Drift("sed -i '/live-restore/d' /etc/docker/daemon.json", [CONFIGURE]),
    "docker disabled": Drift("systemctl disable docker", [SERVICE]),
    "watchdog edited": Drift("echo >> watchdog.sh", [WATCHDOG]),
    "watchdog stopped": Drift("systemctl stop open-webui-watchdog.timer", [TIMER]),
    "setting changed": Drift(
        "true",
        [FILES, UP],
        recreated=["open-webui"],
        arguments=["--data", "open_webui_jwt_expires_in=12h"],
    ),
}


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS)
def test_each_drift_is_mended_and_nothing_else_touched(lab: Lab, deployed: dict[str, Any], drift: Drift) -> None:
    host = lab.host(FRESH)
    host.check_output("systemctl stop open-webui-watchdog.timer; systemctl reset-failed; true")
    if drift.mended_by != [TIMER]:
        host.check_output("systemctl start open-webui-watchdog.timer")
    before = containers(host)
    host.check_output(f"cd /opt/open-webui && {{ {drift.done}; }} >/dev/null 2>&1")

    plan = predicted(lab.report("deploy.py", "--dry", *drift.arguments))
    report = lab.report("-y", "deploy.py", *drift.arguments)

    assert changed(report) == drift.mended_by
    assert plan == drift.mended_by, "the dry run predicted something else"
    after = containers(host)
    assert sorted(name for name in after if _id(after, name) != _id(before, name)) == sorted(drift.recreated)
    restarted = {name for name in after if after[name] != before.get(name)} - set(drift.recreated)
    assert restarted == set(drift.restarted)
    assert changed(lab.report("-y", "deploy.py", *drift.arguments)) == []
    if drift.afterwards:
        host.check_output(drift.afterwards)
    if drift.arguments or drift.afterwards:
        lab.report("-y", "deploy.py")


def test_switching_the_append_only_file_off_and_on_again_loses_nothing(lab: Lab, deployed: dict[str, Any]) -> None:
    host = lab.host(FRESH)
    valkey = (
        "REDISCLI_AUTH=$(cat /opt/open-webui/secrets/valkey-password) "
        "docker exec -e REDISCLI_AUTH redis-valkey valkey-cli --user open-webui"
    )
    host.check_output(f"{valkey} SET open-webui:test:aof old")
    assert UP in changed(lab.report("-y", "deploy.py", "--data", "valkey_appendonly=false"))
    assert host.check_output(f"{valkey} GET open-webui:test:aof") == "old"
    host.check_output(f"{valkey} SET open-webui:test:aof new")
    assert UP in changed(lab.report("-y", "deploy.py"))
    assert host.check_output(f"{valkey} GET open-webui:test:aof") == "new"
    host.check_output(f"{valkey} DEL open-webui:test:aof")


def _id(found: dict[str, str], name: str) -> str:
    return found.get(name, "").split(" ")[0]
