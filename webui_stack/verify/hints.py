"""Why Open WebUI does not hear Valkey, or browsers not Open WebUI; asked only once a check has failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import redis
from pydantic import TypeAdapter
from pyinfra import logger
from pyinfra.api import Host
from typing_extensions import TypedDict

from webui_stack.documents import document
from webui_stack.documents.doctor_document import PacketFilter
from webui_stack.host import protocol
from webui_stack.model import firewall
from webui_stack.transport import program, remote
from webui_stack.verify import valkey

# Variables that decide about websockets, and are no secrets; the password in an address is cut out on the host.
_SHOWN, _ADDRESSES = ("WEBSOCKET_MANAGER", "CORS_ALLOW_ORIGIN"), ("WEBSOCKET_REDIS_URL",)


class Variables(TypedDict):
    """The variables that a container was given; in a swarm a file has more."""

    values: dict[str, str]
    addresses: dict[str, str]
    in_swarm: bool


class Document(TypedDict):
    """What the verb `cause` of the host's program says; `packet_filter` is None where Docker does not answer."""

    packet_filter: PacketFilter | None
    containers: dict[str, Variables]
    unread: list[str]


def request(containers: Sequence[str]) -> dict[str, Any]:
    """What the verb is asked (`host/verbs/cause.py`)."""
    return {"containers": list(containers), "shown": list(_SHOWN), "addresses": list(_ADDRESSES)}


def variables(host: Host, container: str) -> dict[str, str]:
    """What the container was given of the variables that decide about websockets; {} when there is none.

    `IN_SWARM` is among them where it is a task of a swarm.
    """
    seen = _asked(host, [container])
    if seen is None or container not in seen["containers"]:
        return {}
    given = seen["containers"][container]
    return {**given["values"], **given["addresses"], **({"IN_SWARM": "yes"} if given["in_swarm"] else {})}


def of_firewall(host: Host) -> str:
    """That Docker's rules in the host's packet filter are gone, with what to do; "" when they are there or unknown."""
    seen = _asked(host, [])
    tables = firewall.gone(seen["packet_filter"]) if seen else []
    return f"{firewall.told(tables)}; {firewall.NEXT_STEP}" if tables else ""


def _asked(host: Host, containers: Sequence[str]) -> Document | None:
    """The host's answer; None where there is none: then nothing explains what failed."""
    try:
        return document.checked("cause", _form(), program.call(host, "cause", request(containers)))
    except (remote.RemoteError, protocol.ProtocolError, document.IncompleteError) as error:
        logger.debug("no cause was looked for: %s", error)
        return None


@cache
def _form() -> TypeAdapter[Document]:
    return TypeAdapter(Document)


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
