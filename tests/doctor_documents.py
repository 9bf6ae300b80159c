"""Doctor's document as hosts gave it (tests/fixtures/doctor), and the same with one thing changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.surveys import captured

Document = dict[str, Any]

TUTORIAL: Document = captured("doctor/tutorial-26.1.5")
DEPLOYED: Document = captured("doctor/deployed-26.1.5")
NEWER: Document = captured("doctor/deployed-28.5.2")
_ROOM: Document = {"disk_kb": 0, "disk_free_kb": 0, "mount": "", "inodes": 0, "inodes_free": 0}
# A host without Docker.
BARE: Document = {
    "host": {
        **{"memory_kb": 0, "memory_free_kb": 0, "overcommit_memory": "", "engine": "", "compose": "", "disk_root": ""},
        **_ROOM,
    },
    "backup": {**_ROOM, "newest": "", "timer": "", "last_run": "", "now_s": 0},
    "due": [],
    "jobs": {"outcomes": {}, "drill_due": [], "check_due": []},
    "firewall": None,
    "nodes": {},
    "services": {},
    "containers": [],
    "valkey": {"open_files": "", "default_user": None, "package": "", "answers": []},
    "open_webui": {
        **{"variables": [], "values": {}, "addresses": {}, "key": None, "api": {}},
        **{"persisted": None, "vectors": None, "sign_in": []},
    },
    "postgres": None,
    "proxy": {"version": "", "package": ""},
    "unread": [],
}


def having(document: Mapping[str, Any], **sections: Any) -> Document:
    """The document with sections replaced; of those that are objects, only the keys that are given."""
    assert sections.keys() <= document.keys()
    merged = {
        name: {**document[name], **value} if isinstance(document[name], dict) and isinstance(value, dict) else value
        for name, value in sections.items()
    }
    return {**document, **merged}


def changed(document: Mapping[str, Any], old: str, new: str) -> Document:
    """The document with one thing changed in its JSON, or in a line of Valkey's answers.

    `NAME|old` is changed only in the JSON of that container.
    """
    name, bar, rest = old.partition("|")
    if bar:
        containers = [
            json.loads(_replaced(_json(one), rest, new)) if one["name"] == name else one
            for one in document["containers"]
        ]
        assert containers != document["containers"]
        return {**document, "containers": containers}
    # The answers are JSON themselves: in the document's, each quote of theirs would be escaped.
    answers = document["valkey"]["answers"]
    text = "\n".join([_json(having(document, valkey={"answers": []})), *answers])
    whole, *lines = _replaced(text, old, new).split("\n")
    return having(json.loads(whole), valkey={"answers": lines})


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"not in the document: {old}"
    return text.replace(old, new)
