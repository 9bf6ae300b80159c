"""What doctor looks at: a host as its program reports it (`host/verbs/doctor.py`), parsed. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from webui_stack.documents import digits, doctor_document, document

# Asked of Valkey in one session. The answers tell themselves apart by their form (valkey-cli --json, 8.0).
QUESTIONS = (
    "INFO server clients persistence stats",
    "CONFIG GET maxmemory-policy maxmemory save appendonly timeout maxclients client-output-buffer-limit",
    "PUBSUB NUMSUB socketio",
    "CLIENT LIST TYPE normal",  # those who listen on channels may be silent for hours
    "ACL LOG 20",
)
# Variables whose values can't be secrets and are shown; all others by name only.
SHOWN = (
    "CORS_ALLOW_ORIGIN",
    "ENABLE_PERSISTENT_CONFIG",
    "ENABLE_WEBSOCKET_SUPPORT",
    "JWT_EXPIRES_IN",
    "REDIS_CLUSTER",
    "REDIS_HEALTH_CHECK_INTERVAL",
    "UVICORN_WORKERS",
    "WEBSOCKET_MANAGER",
    "WEBSOCKET_REDIS_CLUSTER",
    "WEBUI_URL",
)
# Variables with a password in them, shown as scheme://host:port/database.
ADDRESSES = ("REDIS_URL", "WEBSOCKET_REDIS_URL")


# What a swarm's service is called -> what its task's container would be called with compose.
_NAMES = {
    "open-webui_redis": "redis-valkey",
    "open-webui_postgres": "open-webui-postgres",
    "open-webui_ollama": "open-webui-ollama",
    "open-webui_open-webui": "open-webui",
    "open-webui_proxy": "open-webui-proxy",
}


@dataclass(frozen=True)
class Container:
    """A container as `docker inspect` shows it; `ports` as (address, port on the host, port inside)."""

    name: str
    image: str
    directory: str
    status: str
    exit_code: int
    oom_killed: bool
    health: str
    failing: int
    restarts: int
    restart_policy: str
    log_driver: str
    log_options: Mapping[str, str]
    network_mode: str
    networks: frozenset[str]
    ports: tuple[tuple[str, str, str], ...]
    in_swarm: bool = False

    @property
    def maker(self) -> str:
        """Who made it, in words."""
        if self.in_swarm:
            return "the swarm"
        return f"compose in {self.directory}" if self.directory else "hand"


class Denied(NamedTuple):
    """An entry of Valkey's ACL LOG: who was denied what."""

    user: str
    reason: str
    object: str


@dataclass(frozen=True)
class Observed:
    """One host. Empty where there is nothing; `persisted` is None where the database could not be compared.

    `firewall` has Docker's rules, None without Docker. `backup` has the disk of the sets, the newest one, and the state
    of the units that make them; `due` are the next times that the schedule names. `outcomes` say how drills, copies and
    checks ended, by job; `drill_due` and `check_due` are their next times. `vectors` is the index of document
    search: its method, how far it was made after its table, whether it is as it was made then, and the rows of that
    table. `proxy` has the versions of Caddy and of its package. `nodes` and `services` are a swarm's, as one of its
    managers has them: a node's state and availability, a service's tasks that run of those it is to have. `variables`
    are the names of Open WebUI's that are not empty, `values` the few that may be shown. `postgres` has the connections
    in use and how many there may be. `sign_in` are those by whom people sign in, asked from Open WebUI's container.
    """

    host: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, Container] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    key_fingerprint: str = ""
    key_is_short: bool = False
    valkey: Mapping[str, str] = field(default_factory=dict)
    proxy: Mapping[str, str] = field(default_factory=dict)
    firewall: doctor_document.PacketFilter | None = None
    backup: Mapping[str, str] = field(default_factory=dict)
    due: tuple[datetime, ...] = ()
    outcomes: Mapping[str, document.Outcome] = field(default_factory=dict)
    drill_due: tuple[datetime, ...] = ()
    check_due: tuple[datetime, ...] = ()
    vectors: tuple[str, int, bool, int] | None = None
    postgres: tuple[int, int] | None = None
    info: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    subscribers: int | None = None
    idle_s: tuple[int, ...] = ()
    denied: tuple[Denied, ...] = ()
    errors: tuple[str, ...] = ()
    api: Mapping[str, Any] = field(default_factory=dict)
    persisted: tuple[str, ...] | None = None
    sign_in: tuple[doctor_document.SignIn, ...] = ()
    unread: tuple[str, ...] = ()

    def host_number(self, name: str) -> int:
        return number(self.host.get(name))

    def backup_number(self, name: str) -> int:
        return number(self.backup.get(name))

    def info_number(self, name: str) -> int:
        return number(self.info.get(name))

    def config_number(self, name: str) -> int:
        return number(self.config.get(name))

    @property
    def redis(self) -> Container | None:
        return self.containers.get("redis-valkey")

    @property
    def open_webui(self) -> Container | None:
        return self.containers.get("open-webui")


def number(text: str | None) -> int:
    """The number a text is; 0 for none."""
    return digits.whole(text) or 0


def parse(content: Mapping[str, Any]) -> Observed:
    """Read the document of the host's program. Raises `document.IncompleteError` naming the section it can't trust."""
    whole = document.checked("doctor", _form(), content)
    app, valkey, key = whole["open_webui"], whole["valkey"], whole["open_webui"]["key"]
    postgres, vectors, persisted = whole["postgres"], app["vectors"], app["persisted"]
    return Observed(
        host={name: str(value) for name, value in whole["host"].items()},
        nodes=whole["nodes"],
        services=whole["services"],
        containers=_containers(whole["containers"]),
        variables=frozenset(app["variables"]),
        values=app["values"],
        addresses=app["addresses"],
        key_fingerprint=key["fingerprint"] if key else "",
        key_is_short=bool(key and key["short"]),
        valkey={
            **_words({name: valkey[name] for name in ("open_files", "package")}),
            **({} if valkey["default_user"] is None else {"default_user": valkey["default_user"]}),
        },
        proxy=_words(whole["proxy"]),
        firewall=whole["firewall"],
        backup=_words(whole["backup"]),
        due=_times(whole["due"]),
        outcomes=whole["jobs"]["outcomes"],
        drill_due=_times(whole["jobs"]["drill_due"]),
        check_due=_times(whole["jobs"]["check_due"]),
        vectors=(vectors["method"], vectors["distance"], vectors["original"], vectors["rows"]) if vectors else None,
        postgres=(postgres["used"], postgres["limit"]) if postgres else None,
        api=app["api"],
        persisted=None if persisted is None else tuple(persisted),
        sign_in=tuple(app["sign_in"]),
        unread=tuple(whole["unread"]),
        **_answers(valkey["answers"]),
    )


@cache
def _form() -> TypeAdapter[doctor_document.Doctor]:
    return TypeAdapter(doctor_document.Doctor)


def _times(moments: Iterable[str]) -> tuple[datetime, ...]:
    return tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in moments if text)


def _words(section: Mapping[str, Any]) -> dict[str, str]:
    """What there is in a section, as text."""
    return {name: str(value) for name, value in section.items() if value not in ("", 0)}


def _containers(seen: Iterable[doctor_document.Container]) -> dict[str, Container]:
    found: dict[str, Container] = {}
    for one in seen:
        container = _container(one)
        # Several tasks of a service: the first has its name.
        found[one["name"] if container.name in found else container.name] = container
    return found


def _container(seen: doctor_document.Container) -> Container:
    return Container(
        name=_NAMES.get(seen["task"], seen["name"]),
        in_swarm=bool(seen["task"]),
        image=seen["image"],
        directory=seen["directory"],
        status=seen["status"],
        exit_code=seen["exit_code"],
        oom_killed=seen["oom_killed"],
        health=seen["health"],
        failing=seen["failing"],
        restarts=seen["restarts"],
        restart_policy=seen["restart_policy"],
        log_driver=seen["log_driver"],
        log_options=seen["log_options"],
        network_mode=seen["network_mode"],
        networks=frozenset(seen["networks"]),
        ports=tuple((port["address"], str(port["outside"]), port["inside"]) for port in seen["ports"]),
    )


def _answers(lines: Iterable[str]) -> dict[str, Any]:
    """Valkey's answers to `QUESTIONS`: INFO and CLIENT LIST as text, the others as JSON."""
    found: dict[str, Any] = {"info": {}, "idle_s": [], "errors": []}
    for line in map(str.strip, lines):
        if line.startswith(("{", "[")):
            try:
                found |= _json_answer(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, IndexError):
                found["errors"].append(line)
        elif re.match("error|Error|AUTH failed", line):
            found["errors"].append(line)
        elif client := re.match(r"id=[0-9]+ .* idle=([0-9]{1,18}) ", line):
            found["idle_s"].append(int(client[1]))
        elif setting := re.fullmatch(r"([a-z0-9_]+):(.*)", line):
            found["info"][setting[1]] = setting[2]
        elif line and not line.startswith("#"):  # INFO's headings
            found["errors"].append(line)
    return found | {"idle_s": tuple(found["idle_s"]), "errors": tuple(found["errors"])}


def _json_answer(answer: Any) -> dict[str, Any]:
    if isinstance(answer, dict):
        return {"config": answer}
    if answer and isinstance(answer[0], str):
        return {"subscribers": int(answer[1])}
    # In RESP3 each entry is an object; in RESP2, where valkey-cli stays when its login fails, names and values in turn.
    entries = [
        dict(entry if isinstance(entry, dict) else zip(entry[::2], entry[1::2], strict=True)) for entry in answer
    ]
    return {"denied": tuple(Denied(entry["username"], entry["reason"], str(entry["object"])) for entry in entries)}
