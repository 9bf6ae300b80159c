"""Why Open WebUI does not hear Valkey, or browsers not Open WebUI; asked only once a check has failed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from urllib.parse import urlsplit

import redis
from pyinfra.api import Host

from webui_stack import firewall, remote, valkey

# Four variables that are no secrets, the password cut out of the URL on the host.
_READ = r"""docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}
IN_SWARM={{index .Config.Labels "com.docker.swarm.task.id"}}' %s |
sed -nE 's,^(WEBSOCKET_REDIS_URL=[a-z]+://)[^@/]*@,\1,
/^(ENABLE_WEBSOCKET_SUPPORT|WEBSOCKET_MANAGER|WEBSOCKET_REDIS_URL|CORS_ALLOW_ORIGIN)=/p
/^IN_SWARM=./p'"""


def variables(host: Host, container: str) -> dict[str, str]:
    """What the container was given of the variables that decide about websockets; {} when there is none."""
    try:
        return dict(line.partition("=")[::2] for line in remote.run(host, _READ % shlex.quote(container)))
    except remote.RemoteError:
        return {}


def of_firewall(host: Host) -> str:
    """That Docker's rules in the host's packet filter are gone, with what to do; "" when they are there or unknown."""
    try:
        tables = firewall.gone(firewall.parse(remote.run(host, firewall.LOOK)))
    except remote.RemoteError:
        return ""
    return f"{firewall.told(tables)}; {firewall.NEXT_STEP}" if tables else ""


def of_silence(host: Host, processes: Iterable[str], monitor: redis.Redis) -> str:
    """Why an event in Valkey does not get to one of the containers, with what to do; "" when nothing explains it."""
    for container in processes:
        given = variables(host, container)
        manager, url = given.get("WEBSOCKET_MANAGER", ""), urlsplit(given.get("WEBSOCKET_REDIS_URL", ""))
        if given and manager != "redis":
            return f"WEBSOCKET_MANAGER is {manager or 'not set'} in {container}, not redis; run deploy.py again"
        if given and "IN_SWARM" not in given and url.hostname != "redis":  # there a file has it, with its secret
            where = url.netloc or "nowhere"
            return f"WEBSOCKET_REDIS_URL leads {container} to {where}, not to redis:{valkey.PORT}; run deploy.py again"
    refused = valkey.refused_channels(monitor)
    if refused:
        return f"Valkey's ACL refuses Open WebUI {', '.join(refused)}: users.acl was changed; run deploy.py again"
    cut_off = valkey.cut_off(monitor)
    if cut_off:
        return (
            f"Valkey has cut listeners off {cut_off} time{'s' if cut_off > 1 else ''} since it started: "
            "an event outgrew the pub/sub buffer; raise valkey_pubsub_buffer"
        )
    return ""


def of_refusal(given: dict[str, str], origin: str) -> str:
    """Why a websocket does not open for a page of `origin`, with what to do; "" when nothing explains it."""
    allowed = given.get("CORS_ALLOW_ORIGIN", "*")
    if allowed != "*" and origin not in allowed.split(";"):
        return f"CORS_ALLOW_ORIGIN is {allowed}, without {origin}; add it to open_webui_cors_origins"
    return ""
