"""Docker's configuration: what daemon.json gets, what stays as the operator has it, whom a restart stops. Pure.

`docker_daemon` in inventories/group_data/all.py holds defaults, no policy: what daemon.json or the options of Docker's
service say wins over them. A value that the operator has set in the inventory is a wish, and wins over daemon.json.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from webui_stack.documents import document
from webui_stack.model import compose
from webui_stack.settings.model import Settings

DAEMON_JSON = "/etc/docker/daemon.json"

# A driver and its options belong together: dockerd does not start with the options of another driver.
LOGGING = ("log-driver", "log-opts")
_DEFAULT_DRIVER = "json-file"
# The feature by which images are containerd's.
_STORE = "containerd-snapshotter"
# What dockerd takes over by a reload (26.1, daemon/reload.go).
_RELOADABLE = {
    *("debug", "features", "insecure-registries", "labels", "live-restore", "registry-mirrors", "shutdown-timeout"),
    *("max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"),
}
# Containers run on while Docker restarts with live-restore and another value of these. Of others nobody knows: a
# changed bridge or data root leaves containers behind (docs.docker.com/engine/daemon/live-restore, 2026-11).
_HARMLESS = {
    *_RELOADABLE,
    *LOGGING,
    *("builder", "default-address-pools", "default-network-opts", "default-shm-size", "default-ulimits"),
    *("dns", "dns-opts", "dns-search", "http-proxy", "https-proxy", "log-format", "log-level", "metrics-addr"),
    *("no-new-privileges", "no-proxy", "proxies"),
}
# Options of dockerd whose key in daemon.json has another name (26.1, cmd/dockerd/config.go, opts/).
_KEYS = {
    "D": "debug",
    "G": "group",
    "H": "hosts",
    "b": "bridge",
    "g": "data-root",
    "graph": "data-root",
    "l": "log-level",
    "p": "pidfile",
    "s": "storage-driver",
    "add-runtime": "runtimes",
    "allow-nondistributable-artifacts": "allow-nondistributable-artifacts",
    "authorization-plugin": "authorization-plugins",
    "cdi-spec-dir": "cdi-spec-dirs",
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "default-ulimit": "default-ulimits",
    "dns-opt": "dns-opts",
    "exec-opt": "exec-opts",
    "feature": "features",
    "host": "hosts",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "log-opt": "log-opts",
    "node-generic-resource": "node-generic-resources",
    "registry-mirror": "registry-mirrors",
    "storage-opt": "storage-opts",
}

# daemon.json, in base64: what follows a missing end of its last line can't be taken for a part of it.
READ = f"base64 -w 0 {DAEMON_JSON} && echo"


@dataclass(frozen=True)
class Container:
    """One that runs, with the folder of its compose project and the stack of its swarm's, if it has them."""

    name: str
    folder: str = ""
    stack: str = ""


@dataclass(frozen=True)
class Observed:
    """Docker's configuration on one host.

    `sha256` is that of daemon.json, "" where there is none. Its `text` may hold a secret, so it is never shown; it is
    None where it is not known. `options` are the names of those that Docker's service has, as daemon.json calls them.
    `containers` are those that run, None where Docker did not answer; `there` counts stopped ones as well. Their data
    are in `root`, kept by the storage driver `driver` or, with `containerd_store`, by containerd's of that name.
    """

    sha256: str = ""
    text: str | None = field(default=None, repr=False)
    cut_off: bool = False
    options: frozenset[str] = frozenset()
    config_files: frozenset[str] = frozenset()
    runs: bool = False
    live_restore: bool = False
    in_swarm: bool = False
    remaps_users: bool = False
    containers: tuple[Container, ...] | None = None
    there: int = 0
    root: str = ""
    driver: str = ""
    containerd_store: bool = False


def parse(part: document.DockerConfig) -> Observed:
    """Read the document's section "docker_config"."""
    running = part["containers"]
    return Observed(
        sha256=part["sha256"],
        cut_off=part["changing"],
        options=frozenset(map(_key, part["options"])),
        config_files=frozenset(part["config_files"]),
        runs=part["runs"],
        live_restore=part["live_restore"],
        in_swarm=part["swarm_state"] not in ("", "inactive") or part["swarm_noted"],
        remaps_users=part["remaps_users"],
        containers=None if running is None else tuple(Container(**one) for one in running),
        there=part["there"],
        root=part["root"],
        driver=part["driver"],
        containerd_store=part["containerd_store"],
    )


def _key(option: str) -> str:
    """What daemon.json calls an option of dockerd."""
    name = option.removeprefix("--") if option.startswith("--") else option[1:2]
    return _KEYS.get(name, name)


def sha256(text: str) -> str:
    """As the survey has it of daemon.json."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class DaemonJsonError(ValueError):
    """daemon.json is not a JSON object, so it can't be merged without losing something."""


@dataclass(frozen=True)
class Plan:
    """What becomes of daemon.json. No text of it is ever shown.

    `text` is the new file, if `action` is not "nothing". `told` are the lines on what stays as the host has it.
    `survives` says that containers run on while Docker restarts, by live-restore, and `awaits_live_restore` that it has
    to be on once Docker has read the file. Otherwise a restart stops the containers in `stops`; the first `others` of
    them are not ours. `moved` are the options that put Docker's data elsewhere.
    """

    action: Literal["nothing", "reload", "restart"] = "nothing"
    text: str | None = field(default=None, repr=False)
    diff: tuple[str, str] = ("", "")
    told: tuple[str, ...] = ()
    survives: bool = False
    awaits_live_restore: bool = False
    moved: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    others: int = 0


def plan(settings: Settings, observed: Observed) -> Plan:
    """What a deploy does to daemon.json. Raises `DaemonJsonError` when what is there can't be read."""
    wanted = settings.docker_daemon_json
    present = _present(observed)
    if elsewhere := sorted(observed.config_files - {DAEMON_JSON}):
        told = f"docker: is configured by {', '.join(elsewhere)}, so nothing of docker_daemon is set there"
        return Plan(told=(told,) if wanted else ())
    merged, told_of = _merged(present, wanted, settings.docker_daemon_explicit, observed)
    changed = {key for key in present.keys() | merged.keys() if not _same(present.get(key), merged.get(key))}
    if not changed and not observed.cut_off:
        return Plan(told=told_of)
    text = _written(merged) if changed or observed.text is None else observed.text
    # After a run that was killed nobody knows what Docker has read.
    reloadable = changed <= _RELOADABLE and not observed.cut_off and not _moved(present, merged, observed)
    action: Literal["reload", "restart"] = "reload" if reloadable else "restart"
    lives_on = merged.get("live-restore", "live-restore" in observed.options and observed.live_restore) is True
    survives = action == "restart" and lives_on and not observed.in_swarm and changed <= _HARMLESS
    running = observed.containers or () if action == "restart" and observed.runs and not survives else ()
    ours = [one.name for one in running if _is_ours(one, settings)]
    others = [one.name for one in running if one.name not in ours]
    return Plan(
        action=action,
        text=text,
        diff=(_shown(present, wanted), _shown(merged, wanted)),
        told=told_of,
        survives=survives,
        awaits_live_restore=survives or (action == "reload" and lives_on and not observed.in_swarm),
        moved=_moved(present, merged, observed),
        stops=(*sorted(others), *sorted(ours)),
        others=len(others),
    )


def request(plan: Plan) -> dict[str, Any]:
    """What the verb `docker` of the host's program is asked for a plan that changes something. It may hold a secret."""
    return {name: getattr(plan, name) for name in ("text", "action", "survives", "awaits_live_restore")}


def shortcomings(settings: Settings, observed: Observed) -> list[str]:
    """Why the stack can't be on a Docker that is configured like this, by us or by others."""
    if not observed.remaps_users and not settings.docker_daemon.get("userns-remap"):
        return []
    return [
        "docker: expected root in a container to be root on the host, got userns-remap; backups and Postgres read "
        "files that are root's alone: remove userns-remap, or use another host"
    ]


def refusals(settings: Settings, observed: Observed) -> list[str]:
    """Every reason not to change Docker's configuration here."""
    try:
        found = plan(settings, observed)
    except DaemonJsonError as error:
        return [
            f"{DAEMON_JSON}: expected a JSON object, got something else ({error}); fix it on the host: it is never "
            "overwritten"
        ]
    if found.action == "nothing" or not observed.runs:
        return []
    if observed.containers is None:
        return [
            "docker: expected it to say which containers run, got no answer; it has to restart for "
            f"{DAEMON_JSON}: look at `journalctl -u docker` (or /var/log/docker.log) on the host"
        ]
    if found.moved and observed.there:
        return [
            f"docker: expected its {observed.there} containers to be there after a restart, got "
            f"{', '.join(found.moved)} in docker_daemon or {DAEMON_JSON}, by which Docker looks for them elsewhere, "
            "while some run on; take that out again, or remove the containers first (`docker ps --all`)"
        ]
    if found.others and not settings.docker_restart_stops_others:
        names = ", ".join(found.stops[: found.others])
        return [
            f"docker: expected a restart that stops no containers of others, got one that stops {names}; set "
            "docker_restart_stops_others = True to restart all the same, or docker_daemon = {} to leave "
            f"{DAEMON_JSON} as it is"
        ]
    return []


def alone(settings: Settings) -> str:
    """daemon.json as a deploy writes it where there was none."""
    return _written(_merged({}, settings.docker_daemon_json, frozenset(), Observed())[0])


def is_ours(settings: Settings, observed: Observed) -> bool:
    """Whether daemon.json is there and says nothing but what a deploy would write, or a part of it."""
    try:
        present = _present(observed)
    except DaemonJsonError:
        return False
    wanted = json.loads(alone(settings))
    return bool(observed.sha256) and _same(_merge(wanted, present), wanted)


def _is_ours(container: Container, settings: Settings) -> bool:
    if settings.topology == "swarm":
        return container.stack == compose.STACK
    return container.folder == settings.stack_dir


def _present(observed: Observed) -> dict[str, Any]:
    if observed.sha256 and observed.text is None:
        raise DaemonJsonError("it could not be read")
    try:
        present = json.loads(observed.text) if observed.text and observed.text.strip() else {}
    except json.JSONDecodeError as error:
        raise DaemonJsonError(f"line {error.lineno}: {error.msg}") from None
    if not isinstance(present, dict):
        raise DaemonJsonError("it is not an object")
    return present


def _merged(
    present: Mapping[str, Any], wanted: Mapping[str, Any], explicit: frozenset[str], observed: Observed
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """daemon.json with what is wanted, and the lines on what is left out of that."""
    # Through JSON, so that a tuple is a list.
    wanted = json.loads(json.dumps(wanted))
    merged = deepcopy(dict(present))
    kept: list[str] = []
    told: list[str] = []
    options = sorted(key for key in wanted if _pair(key) & observed.options)
    if options:
        told.append(f"docker: {', '.join(options)} stay as the options of Docker's service have them")
    for key, value in wanted.items():
        if key in options:
            continue
        if key == "live-restore" and value is True and observed.in_swarm:
            told.append("docker: live-restore stays off: this host is in a swarm, where Docker refuses it")
        elif key in LOGGING:
            _log(key, merged, wanted, explicit, kept, dict(present))
        else:
            _set(key, value, merged, explicit, kept)
    if kept:
        told.append(f"{DAEMON_JSON}: {', '.join(kept)} stay as they are there, not as docker_daemon says")
    return merged, tuple(told)


def _moved(present: Mapping[str, Any], merged: Mapping[str, Any], observed: Observed) -> tuple[str, ...]:
    """The options by which Docker, once restarted, looks for its containers and images in another place.

    Compared with what is in force: the default store depends on the engine's age (29, on new hosts alone), and a reload
    takes the feature in without following it (28.5, daemon/daemon.go and daemon/reload.go).
    """
    found = [
        key
        for key, in_force in (("data-root", observed.root), ("storage-driver", observed.driver))
        if not _same(present.get(key), merged.get(key)) and merged[key] != in_force
    ]
    features = merged.get("features")
    store = features.get(_STORE) if isinstance(features, Mapping) else None
    if store is not None and store is not observed.containerd_store:
        found.append(f"features.{_STORE}")
    return tuple(found)


def _pair(key: str) -> set[str]:
    return set(LOGGING) if key in LOGGING else {key}


def _log(
    key: str,
    merged: dict[str, Any],
    wanted: Mapping[str, Any],
    explicit: frozenset[str],
    kept: list[str],
    present: Mapping[str, Any],
) -> None:
    """Set one of the two keys of the log driver, so that no driver gets the options of another."""
    theirs = present.get("log-driver", _DEFAULT_DRIVER)
    if wanted.get("log-driver", _DEFAULT_DRIVER) == theirs or not present.keys() & set(LOGGING):
        _set(key, wanted[key], merged, explicit, kept)
    elif "log-driver" not in explicit:
        kept.append(key)
    else:
        merged[key] = wanted[key]
        if "log-opts" not in wanted:
            merged.pop("log-opts", None)


def _set(key: str, value: Any, merged: dict[str, Any], explicit: frozenset[str], kept: list[str]) -> None:
    """Set a key: the operator's wish, or a default where daemon.json says nothing that could stand for it."""
    before = merged.get(key)
    if isinstance(before, dict) and isinstance(value, dict):
        merged[key] = _merge(before, value) if key in explicit else _merge(value, before)
        if not all(_same(merged[key].get(name), one) for name, one in value.items()):
            kept.append(key)
    elif key in explicit or type(before) is not type(value):
        merged[key] = value
    elif not _same(before, value):
        kept.append(key)


def _merge(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(present)
    for key, value in wanted.items():
        before = merged.get(key)
        merged[key] = _merge(before, value) if isinstance(before, dict) and isinstance(value, Mapping) else value
    return merged


def _same(one: Any, other: Any) -> bool:
    """Compared as JSON: in Python, 1 == True."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _written(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"


def _shown(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The part of daemon.json that may be shown: the keys we want, less a password in a URL."""
    return re.sub(r"//[^/@\s\"]*@", "//***@", _written(_part(value, wanted)))


def _part(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _part(one, wanted[key]) if isinstance(one, dict) and isinstance(wanted[key], Mapping) else one
        for key, one in value.items()
        if key in wanted
    }
