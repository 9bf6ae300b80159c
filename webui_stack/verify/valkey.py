"""Valkey through redis-py, over a socket somebody else opened."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from webui_stack.settings.model import Settings

PORT = 6379
# python-socketio's default channel; Open WebUI does not change it (backend/open_webui/socket/main.py, 0.12.4).
CHANNEL = "socketio"
# Valkey's users of templates/users.acl.j2.
USER, MONITOR = "open-webui", "monitor"


# What a PING is answered by a Valkey that is alive and not well -> what to do. While ours loads, its default user has a
# password (templates/valkey-start.sh.j2), so that it says NOAUTH and not LOADING.
_NOT_WELL = {
    "LOADING": "it loads its data, which a restart would begin again: wait",
    "NOAUTH": "it loads its data, which a restart would begin again: wait, and look at `docker logs redis-valkey`",
    "MISCONF": "it could not save and refuses writes until it can: look for room with `df`, and at "
    "`docker logs redis-valkey`",
    "BUSY": "a script keeps it busy: wait",
}


def next_step(answer: str) -> str:
    """What to do where a PING is answered by this, or not at all."""
    found = next((step for word, step in _NOT_WELL.items() if answer.startswith(word)), "")
    return found or "Valkey does not answer inside its own container; look at `docker logs redis-valkey`"


@contextmanager
def connect(dial: Callable[[], Any], user: str, password: str, timeout_s: float) -> Iterator[redis.Redis]:
    """A client logged in as `user`. `dial` opens the connected socket it talks over.

    Raises `redis.RedisError`; a socket that can't be opened is a `redis.ConnectionError`.
    """

    class Dialled(redis.connection.Connection):
        def _connect(self) -> Any:
            try:
                return dial()
            except OSError as error:
                raise redis.ConnectionError(str(error)) from None

    pool = redis.ConnectionPool(
        connection_class=Dialled,
        max_connections=1,
        username=user,
        password=password,
        decode_responses=True,
        socket_timeout=timeout_s,
    )
    client = redis.Redis(connection_pool=pool)
    try:
        yield client
    finally:
        client.close()
        pool.disconnect()


def ping_ms(client: redis.Redis) -> float:
    """Milliseconds for one PING to be answered, login not included. Raises `redis.RedisError`."""
    client.ping()  # logs in first
    start = time.perf_counter()
    client.ping()
    return (time.perf_counter() - start) * 1000


def version(client: redis.Redis) -> str:
    """Valkey's own version: `redis_version` is 7.2.4 for compatibility whatever runs."""
    info: Any = client.info("server")
    return str(info.get("valkey_version", info["redis_version"]))


def subscribers(client: redis.Redis) -> int:
    """How many connections listen on Socket.IO's channel: one for each replica."""
    counts: Any = client.pubsub_numsub(CHANNEL)
    return int(dict(counts)[CHANNEL])


def emit(client: redis.Redis, sid: str, event: str, data: Any) -> int:
    """Publish an event for one Socket.IO connection, as another replica would; how many listen there.

    The message is python-socketio's (AsyncPubSubManager.emit, 5.16). The channel is the connection's own
    where Open WebUI listens on such (`socketio#/#SID`, since 0.11.5), else the common one.
    """
    message = {
        "method": "emit",
        "event": event,
        "data": [data],
        "binary": False,
        "namespace": "/",
        "room": sid,
        "skip_sid": None,
        "callback": None,
        "host_id": "open-webui-stack",  # not the receiver's, which drops what it sent itself
    }
    own = f"{CHANNEL}#/#{sid}"
    counts: Any = client.pubsub_numsub(own)
    listeners: Any = client.publish(own if int(dict(counts)[own]) else CHANNEL, json.dumps(message))
    return int(listeners)


def refused_channels(client: redis.Redis) -> list[str]:
    """The channels Valkey refused the user open-webui, from ACL LOG; one connection's own count as the common one."""
    entries: Any = client.acl_log()
    refused = [entry["object"] for entry in entries if (entry["reason"], entry["username"]) == ("channel", USER)]
    return sorted({channel.partition("#")[0] for channel in refused})


def cut_off(client: redis.Redis) -> int:
    """How often Valkey ended a connection because its output buffer was full, since it started."""
    info: Any = client.info("stats")
    return int(info.get("client_output_buffer_limit_disconnections", 0))


def wanted_configuration(settings: Settings) -> dict[str, str]:
    """What `CONFIG GET` has to answer for the settings to be in force."""
    return {
        "save": settings.valkey_save,
        "appendonly": "yes" if settings.valkey_appendonly else "no",
        "appendfsync": settings.valkey_appendfsync,
        "maxmemory-policy": "noeviction",
        "maxclients": str(settings.valkey_maxclients),
        "timeout": str(settings.valkey_timeout_s),
        "client-output-buffer-limit": f"pubsub {_in_bytes(settings.valkey_pubsub_buffer)}",
    }


def differences(client: redis.Redis, wanted: dict[str, str]) -> list[str]:
    """Each setting not in force, as `name is X, not Y`."""
    actual: Any = client.config_get(*wanted)
    found = []
    for name, value in wanted.items():
        present = actual.get(name, "")
        if name == "client-output-buffer-limit":
            present = present[present.find("pubsub") :]
        if present != value:
            found.append(f"{name} is {present!r}, not {value!r}")
    return found


def _in_bytes(buffer: str) -> str:
    """`1gb 256mb 180` as Valkey reports it: bytes, bytes, seconds."""
    units = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}
    hard, soft, seconds = buffer.split()

    def number(size: str) -> int:
        return int(size[:-2]) * units[size[-2:]] if size[-2:] in units else int(size)

    return f"{number(hard)} {number(soft)} {seconds}"
