"""Who may import whom (docs/architecture.md), read from the source; and that public names say what they do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.defaults import ROOT

PURE = {
    *("access", "swarm"),
    *("apt", "check", "origin", "settings", "secrets", "machine", "engine", "docker_config", "compose"),
    *("templates", "adoption"),
    *("certificate", "firewall", "ports"),
    *("symptoms", "diagnosis", "survey", "drift", "history", "lock", "rollout", "progress", "database"),
    *("digits", "document", "doctor_document", "frame", "serving", "teardown"),
}
PROJECT = {"webui_stack", "tasks", "lab", "runbooks", "inventories", "deploy", "config", "tests", "benchmarks"}


def modules(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


@cache
def parsed(path: Path) -> ast.Module:
    """A file of the project. Several tests look at each."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    """What a file imports, dotted, functions' bodies included: `a.b` for `import a.b` and `from a import b`."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def beyond(path: Path, allowed: set[str]) -> set[str]:
    """The imports that are neither the standard library's nor `allowed` (nor below one that is)."""
    return {
        name
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == entry or name.startswith(f"{entry}.") for entry in allowed)
    }


def of_pure() -> set[str]:
    return {f"webui_stack.{name}" for name in PURE}


LIBRARY = {
    "apt": set[str](),
    "check": set[str](),
    "origin": {"pydantic_core"},
    "settings": {"pydantic", "pydantic_core", "webui_stack.settings.origin"},
    "digits": set[str](),
    "document": {"pydantic", "typing_extensions"},
    "doctor_document": {"typing_extensions", "webui_stack.model.document"},
    "ports": {"webui_stack.model.compose", "webui_stack.model.document", "webui_stack.settings.model"},
    "machine": {"webui_stack.model.document", "webui_stack.model.ports", "webui_stack.settings.model"},
    "engine": {"webui_stack.settings.digits", "webui_stack.model.document", "webui_stack.model.machine"},
    "docker_config": {"webui_stack.model.compose", "webui_stack.model.document", "webui_stack.settings.model"},
    "frame": set[str](),
    "compose": {"webui_stack.settings.digits", "webui_stack.model.document"},
    "lock": {
        *(
            "pydantic",
            "typing_extensions",
            "webui_stack.model.compose",
            "webui_stack.model.document",
            "webui_stack.model.docker",
        ),
        "webui_stack.model.machine",
    },
    "progress": set[str](),
    "bundle": {"webui_stack.model.lock", "webui_stack.ops.progress"},
    "backup_set": {"pydantic", "webui_stack.ops.progress"},
    "access": set[str](),
    "invocation": {"pyinfra_cli"},
    "exit_status": {"click", "pyinfra", "pyinfra_cli", "webui_stack.ops.cli_arguments"},
    "remote": {"pyinfra", "webui_stack.transport.access", "webui_stack.transport.frame"},
    "secrets": {"pydantic", "webui_stack.settings.model"},
    "host_program": set[str](),
    "templates": {"pydantic", "jinja2", "webui_stack.host.protocol", "webui_stack.render.host_program", *of_pure()},
    "adoption": {
        *("pydantic", "typing_extensions", "webui_stack.model.compose", "webui_stack.model.document"),
        *("webui_stack.settings.model", "webui_stack.render.templates"),
    },
    "swarm": {"webui_stack.model.compose", "webui_stack.model.document", "webui_stack.settings.model"},
    "survey": {
        *("pydantic", "webui_stack.model.compose", "webui_stack.model.docker_config", "webui_stack.model.document"),
        *("webui_stack.model.docker", "webui_stack.model.machine", "webui_stack.model.swarm"),
    },
    "drift": {
        *(
            "webui_stack.plan.apt_sources",
            "webui_stack.model.compose",
            "webui_stack.model.docker_config",
            "webui_stack.model.docker",
        ),
        *(
            "webui_stack.model.lock",
            "webui_stack.settings.model",
            "webui_stack.model.survey",
            "webui_stack.model.swarm",
        ),
        "webui_stack.render.templates",
    },
    "database": {"webui_stack.settings.model"},
    "history": set[str](),
    "rollout": set[str](),
    "firewall": set[str](),
    "serving": {"pydantic", "typing_extensions", "webui_stack.model.document"},
    "certificate": {"cryptography", "webui_stack.model.check"},
    "symptoms": {
        "pydantic",
        "webui_stack.settings.digits",
        "webui_stack.model.doctor_document",
        "webui_stack.model.document",
    },
    "teardown": {
        *(
            "pydantic",
            "typing_extensions",
            "webui_stack.model.compose",
            "webui_stack.model.docker_config",
            "webui_stack.model.document",
        ),
        *(
            "webui_stack.model.docker",
            "webui_stack.host.protocol",
            "webui_stack.settings.model",
            "webui_stack.model.survey",
        ),
        "webui_stack.render.templates",
    },
    "diagnosis": {
        "webui_stack.model.check",
        "webui_stack.model.compose",
        "webui_stack.model.docker",
        "webui_stack.model.firewall",
        "webui_stack.settings.origin",
        "webui_stack.settings.model",
        "webui_stack.model.doctor_observed",
    },
    "report": {"webui_stack.model.check", "jinja2", "rich"},
    "facts": {
        *(
            "pyinfra",
            "typing_extensions",
            "webui_stack.host.protocol",
            "webui_stack.transport.program",
            "webui_stack.transport.remote",
        ),
        *of_pure(),
    },
    "observation": {
        *(
            "gevent",
            "pyinfra",
            "webui_stack.model.docker_config",
            "webui_stack.ops.facts",
            "webui_stack.transport.remote",
        ),
        *(
            "webui_stack.transport.program",
            "webui_stack.settings.sources",
            "webui_stack.model.survey",
            "webui_stack.transport.tunnel",
        ),
    },
    "channel": {"gevent", "paramiko", "pyinfra", "webui_stack.transport.frame", "webui_stack.transport.remote"},
    "transfer": {
        "paramiko",
        "pyinfra",
        "webui_stack.transport.channel",
        "webui_stack.settings.digits",
        "webui_stack.transport.remote",
    },
    "tunnel": {"gevent", "paramiko", "pyinfra", "webui_stack.transport.program", "webui_stack.transport.remote"},
    "delivery": {
        *(
            "pyinfra",
            "webui_stack.artifacts.bundle",
            "webui_stack.model.compose",
            "webui_stack.ops.facts",
            "webui_stack.model.lock",
        ),
        *("webui_stack.transport.program", "webui_stack.ops.progress", "webui_stack.transport.transfer"),
    },
    "offsite": {
        *(
            "pydantic",
            "pyinfra",
            "webui_stack.artifacts.backup_set",
            "webui_stack.transport.program",
            "webui_stack.ops.progress",
        ),
        *("webui_stack.transport.remote", "webui_stack.settings.sources", "webui_stack.transport.transfer"),
    },
    "operations": {
        *("pyinfra", "webui_stack.model.compose", "webui_stack.model.docker_config", "webui_stack.ops.exit_status"),
        *(
            "webui_stack.transport.program",
            "webui_stack.ops.progress",
            "webui_stack.transport.remote",
            "webui_stack.settings.sources",
        ),
        "webui_stack.model.swarm",
    },
    "packages": {
        "pyinfra",
        "webui_stack.plan.apt_sources",
        "webui_stack.ops.operations",
        "webui_stack.transport.remote",
    },
    "formation": {
        *(
            "gevent",
            "pyinfra",
            "webui_stack.ops.operations",
            "webui_stack.transport.remote",
            "webui_stack.settings.sources",
        ),
        "webui_stack.model.swarm",
    },
}


def test_the_scanner_sees_imports() -> None:
    assert {"pyinfra.api.deploy", "webui_stack.model.compose", "pathlib.Path"} <= imports(
        ROOT / "tasks/network.py"
    ) | imports(ROOT / "tasks/preflight.py")


@pytest.mark.parametrize("name", LIBRARY)
def test_library_module_imports_only_what_it_may(name: str) -> None:
    assert beyond(ROOT / "webui_stack" / f"{name}.py", LIBRARY[name]) == set()


@pytest.mark.parametrize("path", modules("webui_stack/*.py"), ids=lambda path: path.stem)
def test_the_library_knows_no_task_and_no_lab(path: Path) -> None:
    assert {name for name in imports(path) if name.split(".")[0] in PROJECT - {"webui_stack"}} == set()


@pytest.mark.parametrize(
    "path",
    [path for path in modules("webui_stack/*.py") if path.stem in PURE | {"report", "bundle", "backup_set"}],
    ids=lambda path: path.stem,
)
def test_pure_modules_and_reports_reach_no_network_and_no_host(path: Path) -> None:
    reaching = {"pyinfra", "paramiko", "redis", "socketio", "socket", "http", "urllib.request", "tasks"}
    assert {name for name in imports(path) for root in reaching if f"{name}.".startswith(f"{root}.")} == set()


@pytest.mark.parametrize("path", modules("tasks/*.py"), ids=lambda path: path.stem)
def test_tasks_import_the_library_and_pyinfra(path: Path) -> None:
    assert beyond(path, {"webui_stack", "pyinfra", "tasks", "gevent", "pydantic", "rich"}) == set()


@pytest.mark.parametrize("path", modules("deploy.py", "runbooks/*.py"), ids=lambda path: path.stem)
def test_deploy_files_import_tasks_alone(path: Path) -> None:
    found = imports(path)
    assert found
    assert {name for name in found if not name.startswith("tasks.")} == set()


@pytest.mark.parametrize("path", modules("inventories/**/*.py"), ids=lambda path: str(path.relative_to(ROOT)))
def test_inventories_import_nothing_of_the_project(path: Path) -> None:
    assert beyond(path, set()) == set()


def test_pyinfras_configuration_imports_the_exit_status_alone() -> None:
    assert beyond(ROOT / "config.py", {"webui_stack.ops.exit_status"}) == set()


@pytest.mark.parametrize("path", modules("lab/*.py"), ids=lambda path: path.stem)
def test_the_lab_imports_no_project_code(path: Path) -> None:
    assert {name for name in imports(path) if name.split(".")[0] in PROJECT - {"lab"}} == set()


@pytest.mark.parametrize("path", modules("benchmarks/*.py"), ids=lambda path: path.stem)
def test_benchmarks_drive_processes_and_import_no_project_code(path: Path) -> None:
    forbidden = PROJECT - {"benchmarks"}
    if path.stem != "simulated":  # an inventory, which pyinfra reads
        forbidden |= {"pyinfra"}
    assert {name for name in imports(path) if name.split(".")[0] in forbidden} == set()


# Both ends name a lease's holder in one form: a run reads it to learn whether an earlier run of its machine is dead.
HOST_MODULES_OF_THE_OPERATOR = {"lease": {"errors", "holder", "lease"}}


@pytest.mark.parametrize(
    "path", modules("webui_stack/*.py", "webui_stack/ops/*.py", "tasks/*.py"), ids=lambda p: f"{p.parent.name}.{p.stem}"
)
def test_the_operators_side_imports_the_hosts_protocol_alone_but_for_the_lease(path: Path) -> None:
    found = {name for name in imports(path) if name.startswith("webui_stack.host.")}
    more = HOST_MODULES_OF_THE_OPERATOR.get(path.stem, set()) if path.parent.name == "webui_stack" else set()
    assert {name.split(".")[2] for name in found} - {"protocol"} == more


def test_the_library_has_no_import_cycle() -> None:
    graph = {
        path.stem: {
            name.split(".")[1]
            for name in imports(path)
            if name.startswith("webui_stack.") and (ROOT / f"{name.split('.')[0]}/{name.split('.')[1]}.py").exists()
        }
        for path in modules("webui_stack/*.py")
    }
    while leaves := [name for name, needed in graph.items() if not needed & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}


# Questions of text that say yes to digits of every script, superscripts among them, which `int` then may refuse.
_DIGITS_OF_ALL_SCRIPTS = {"isdigit", "isdecimal", "isnumeric"}


def digits_of_all_scripts(source: str) -> list[str]:
    r"""Each `.isdigit()` or the like, and each text with a `\d` that is not given to a call with re.ASCII."""
    tree = ast.parse(source)
    ascii_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and any(isinstance(one, ast.Attribute) and one.attr in ("ASCII", "A") for one in ast.walk(node))
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _DIGITS_OF_ALL_SCRIPTS:
            found.append(f"line {node.lineno}: .{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in ascii_only:
            found += [f"line {node.lineno}: \\d" for _ in re.finditer(r"(?<!\\)(?:\\\\)*\\d", node.value)]
    return found


@pytest.mark.parametrize(
    "path", modules("webui_stack/**/*.py", "tasks/*.py", "lab/*.py"), ids=lambda path: f"{path.parent.name}.{path.stem}"
)
def test_numbers_in_text_have_ascii_digits(path: Path) -> None:
    """`webui_stack.settings.digits` reads them; a pattern has [0-9]."""
    assert digits_of_all_scripts(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("text.isdigit()", 1),
        ("list(filter(str.isnumeric, texts))", 1),
        ("x.isdecimal()", 1),
        (r"re.match(r'(\d+)\.(\d+)', text)", 2),
        (r"re.match(rf'{name}:\d', text)", 1),
        (r"PATTERN = 'a\\d'", 1),
        (r"re.match(r'\d+', text, re.ASCII)", 0),
        (r"re.compile(r'\d+', flags=re.A | re.M)", 0),
        (r"re.match(r'[0-9]+ \\d', text)", 0),
        ("text.isalpha()", 0),
    ],
)
def test_the_rule_about_digits_finds_what_breaks_it(source: str, count: int) -> None:
    assert len(digits_of_all_scripts(source)) == count


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    found = modules("*.py", "webui_stack/**/*.py", "tasks/**/*.py", "lab/**/*.py", "runbooks/**/*.py", "tests/**/*.py")
    found += modules("benchmarks/*.py")
    assert len(found) > 20
    assert [path for path in found if path.name in drawers] == []


# --- Docstrings -------------------------------------------------------------------------------------
# Every module, public class and public function (methods included) has one. Exempt is what says all in its
# name and one statement (a predicate, a property), and what its base class documents (@override).


def undocumented(path: Path) -> Iterator[str]:
    tree = parsed(path)
    if ast.get_docstring(tree) is None:
        yield path.stem
    inner = [(node.name, node) for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    while inner:
        name, node = inner.pop(0)
        if node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            inner += [(f"{name}.{m.name}", m) for m in node.body if isinstance(m, ast.ClassDef | ast.FunctionDef)]
        elif len(node.body) == 1 or any(getattr(d, "id", "") == "override" for d in node.decorator_list):
            continue
        if ast.get_docstring(node) is None:
            yield f"{path.stem}.{name}"


@pytest.mark.parametrize("path", modules("webui_stack/*.py", "tasks/*.py"), ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_public_names_say_what_they_do(path: Path) -> None:
    assert list(undocumented(path)) == []


def test_the_docstring_rule_finds_what_lacks_one(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "def work():\n    x = 1\n    return x\n\nclass Thing:\n    def act(self):\n        a = 1\n        b = 2\n"
    )
    assert list(undocumented(path)) == ["bad", "bad.work", "bad.Thing", "bad.Thing.act"]


def test_every_test_file_says_what_it_claims() -> None:
    files = modules("tests/unit/*.py", "tests/plan/*.py", "tests/*.py")
    bare = [path.name for path in files if path.read_text() and ast.get_docstring(ast.parse(path.read_text())) is None]
    assert bare == []


def test_the_library_leaves_the_standard_librarys_threads_alone() -> None:
    """pyinfra's command line makes them gevent's (`pyinfra_cli/__init__.py`, 3.10), which hangs what uses threads."""
    names = ", ".join(f"webui_stack.{name}" for name in ("operations", "packages", "offsite"))
    code = f"import sys, {names}; sys.exit('pyinfra_cli' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
