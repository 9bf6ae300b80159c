"""The host's program is Python 3.9 and its standard library, and imports nothing of the project but itself."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.defaults import ROOT

HOST = ROOT / "webui_stack" / "host"
OLDEST = (3, 9)
# Of the standard library, but younger than the oldest Python (its documentation, "New in version").
YOUNGER = {"tomllib"}
# It runs in Open WebUI's image alone, with that image's libraries.
IN_OPEN_WEBUI = HOST / "data" / "to_postgres.py"


def sources() -> list[Path]:
    found = sorted(HOST.rglob("*.py"))
    assert len(found) > 1
    return found


def outside(source: str) -> Iterator[str]:
    """What the source imports that a host may not have."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            continue
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names or top in YOUNGER:
                yield name


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(HOST)))
def test_every_module_is_python_3_9_and_standard_library(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source, feature_version=OLDEST)
    assert list(outside(source)) == [] or path == IN_OPEN_WEBUI
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert future or len(tree.body) == 1, "annotations must not run on the oldest Python"


def test_the_rule_finds_what_a_host_does_not_have() -> None:
    assert list(outside("import json, yaml\nfrom webui_stack import lease\nimport tomllib\n")) == [
        *("yaml", "webui_stack", "tomllib"),
    ]
    with pytest.raises(SyntaxError):
        ast.parse("match 1:\n    case 1: pass\n", feature_version=OLDEST)
