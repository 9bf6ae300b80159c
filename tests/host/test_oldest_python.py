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


def outside(tree: ast.Module) -> Iterator[str]:
    """What a module imports that a host may not have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            continue
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names or top in YOUNGER:
                yield name


def faults(path: Path) -> list[str]:
    """What the oldest Python, or one without libraries, has against a module."""
    try:
        tree = ast.parse(path.read_text(), feature_version=OLDEST)
    except SyntaxError as error:
        return [f"line {error.lineno}: {error.msg}"]
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    found = [] if future or len(tree.body) == 1 else ["annotations must not run on the oldest Python"]
    return found if path == IN_OPEN_WEBUI else [*found, *outside(tree)]


def test_every_module_is_python_3_9_and_standard_library() -> None:
    """All in one test: one for each of 170 modules takes longer to begin than to run."""
    found = {str(path.relative_to(HOST)): faults(path) for path in sources()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_rule_finds_what_a_host_does_not_have() -> None:
    source = "import json, yaml\nfrom webui_stack import lease\nimport tomllib\n"
    assert list(outside(ast.parse(source))) == ["yaml", "webui_stack", "tomllib"]
    with pytest.raises(SyntaxError):
        ast.parse("match 1:\n    case 1: pass\n", feature_version=OLDEST)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("from __future__ import annotations\nmatch 1:\n    case 1: pass\n", "Pattern matching is only supported"),
        ("import json\nX: int | None = 1\n", "annotations must not run"),
        ("from __future__ import annotations\nimport yaml\n", "yaml"),
    ],
)
def test_a_module_that_a_host_can_not_run_is_found(tmp_path: Path, source: str, fault: str) -> None:
    (tmp_path / "module.py").write_text(source)
    (found,) = faults(tmp_path / "module.py")
    assert fault in found
