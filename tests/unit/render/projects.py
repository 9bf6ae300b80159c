"""Projects as they are rendered from settings, for tests."""

from __future__ import annotations

from typing import Any

import yaml

from tests import yaml_text
from tests.defaults import FIXTURES, settings
from webui_stack.render import project

TUTORIAL = yaml_text.read((FIXTURES / "tutorial-compose.yml").read_text())
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PROXIED: dict[str, Any] = {"public_url": "https://chat.example.org"}
MANY: dict[str, Any] = {**PROXIED, "open_webui_replicas": 3}
PROCESSES = ["open-webui", "open-webui-2", "open-webui-3"]
OF_MANY = ["redis", "postgres", *PROCESSES, "proxy"]
NASTY = {
    "dollars": "$HOME ${X:-y} $$ 100$",
    "quotes": 'It\'s a "lab"',
    "comment": "# none",
    "colon": "key: value",
    "blanks": "  around  ",
    "backslash": "C:\\temp\\",
    "lines": "one\ntwo",
    "unicode": "Grüße, 世界",
    "empty": "",
}
REPLICATED: dict[str, Any] = {"open_webui_replicas": 2, "public_url": "https://chat.example.org"}
SWARM: dict[str, Any] = {
    **REPLICATED,
    "topology": "swarm",
    "open_webui_shared_dir": "/srv/shared",
    "swarm_manager": True,
    "swarm_runs": ["data", "proxy", "open-webui"],
}
RESTIC: dict[str, Any] = {
    "backup_restic_repository": "s3:https://s3.example.org/it is $HOME",
    "backup_restic_password": "env:X",
}


SECOND: dict[str, Any] = {
    "backup_restic_second_repository": "/mnt/nas/restic",
    "backup_restic_second_password": "env:Y",
    "backup_restic_second_append_only": True,
}


class UniqueKeys(yaml.CSafeLoader):
    """YAML as compose reads it: a key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise yaml.YAMLError(f"twice in one mapping: {', '.join(twice)}")
        return super().construct_mapping(node, deep)


def rendered(**changes: Any) -> dict[str, Any]:
    text = project.files(settings(**changes))["compose.yaml"]
    found: dict[str, Any] = yaml.load(text, UniqueKeys)  # noqa: S506 a SafeLoader
    return found


def service(name: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = rendered(**changes)["services"][name]
    return found
