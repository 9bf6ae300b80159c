"""The survey's documents of hosts of the lab, by what was captured there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from tests.defaults import FIXTURES
from webui_stack.host import protocol
from webui_stack.model import docker_config, survey

Document = dict[str, Any]
# Sections whose keys are the same for every host. The keys of others are names and paths.
RECORDS = ("machine", "engine", "docker_config", "history", "project")


def captured(name: str) -> Any:
    """A part of the document that was captured on a host, new for each caller."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def changed(document: Mapping[str, Any], **sections: Any) -> Document:
    """The document with sections replaced; of `RECORDS`, only the keys that are given."""
    merged = {
        name: {**document[name], **value} if name in RECORDS and value is not None and document[name] else value
        for name, value in sections.items()
    }
    return {**document, **merged}


def replaced(document: Mapping[str, Any], path: str, value: Any) -> Document:
    """A document with one value replaced, or taken out where it is `...`; `path` as in `machine/disk/free_kb`."""
    found: Document = deepcopy(dict(document))
    *folders, last = path.split("/")
    inner: Any = found
    for name in folders:
        inner = inner[int(name)] if isinstance(inner, list) else inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return found


def with_container(document: Mapping[str, Any], name: str, /, **changes: Any) -> list[Document]:
    """The containers of the document, of which one has other values."""
    assert name in {one["name"] for one in document["containers"]}
    return [{**one, **changes} if one["name"] == name else one for one in document["containers"]]


DEPLOYED: Document = {
    "machine": captured("machine/debian-13"),
    "engine": captured("engine/debian-13-docker.io-26.1.5"),
    "docker_config": captured("docker_config/debian-13-docker.io-26.1.5"),
    **captured("compose/observe-2.26.1"),
    "units": [survey.DOCKER_UNIT, survey.WATCHDOG_UNIT, survey.MONITOR_UNIT],
    "history": {"leases": [], "deploy": "", "cut_off": "", "migrating": False, "database": "", "outcomes": {}},
    "files": {},
    "swarm": None,
    "saved": None,
}
NO_DOCKER: Document = {
    "sha256": "",
    "changing": False,
    "options": [],
    "config_files": [],
    "runs": False,
    "live_restore": False,
    "swarm_state": "",
    "swarm_noted": False,
    "remaps_users": False,
    "containers": None,
    "there": 0,
    "root": "",
    "driver": "",
    "containerd_store": False,
}
NO_ENGINE: Document = {
    "cli": False,
    "server": "",
    "compose": "",
    "processes": [],
    "running": 0,
    "packages": {},
    "apt_sources": {},
    "key_sha256": "",
}
FRESH = changed(
    DEPLOYED,
    engine=captured("engine/debian-13-fresh"),
    docker_config=NO_DOCKER,
    images={},
    network=None,
    containers=[],
    units=[],
    project={"stale": {"/opt/open-webui/.env": "content"}, "hashes": {}, "mounted": {}},
)


def printed(document: Mapping[str, Any] | None) -> str:
    """A document as a host prints it."""
    return f"python\n{protocol.written(protocol.FRAMED, protocol.Result(document))}\n"


# daemon.json of the deployed host.
DAEMON_JSON = (FIXTURES / "docker_config" / "daemon.json").read_text().removesuffix("\n") + "\n"


def with_daemon_json(text: str) -> Document:
    """What the deployed host says otherwise of Docker's configuration, were this its daemon.json."""
    return {"sha256": docker_config.sha256(text)}


def parsed(document: Mapping[str, Any], daemon_json: str = DAEMON_JSON) -> survey.Survey:
    """The survey as a run has it: with daemon.json, which is fetched apart."""
    found = survey.parse(document)
    known = found.docker.sha256 == docker_config.sha256(daemon_json)
    return replace(found, docker=replace(found.docker, text=daemon_json if known else None))
