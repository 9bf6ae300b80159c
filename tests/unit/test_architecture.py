"""Which room may import which (docs/explanation/architecture.md), from the source; and what public names say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.defaults import ROOT

# The rooms of the operator's side, in the order of the arrows: which other rooms each imports, and which libraries.
ROOMS: dict[str, tuple[str, set[str]]] = {
    "overlay": ("", {"yaml"}),
    "settings": ("overlay", {"pydantic", "pydantic_core"}),
    "documents": ("settings", {"pydantic", "typing_extensions"}),
    "model": ("overlay settings documents", {"pydantic", "typing_extensions"}),
    "render": ("overlay settings documents model", {"jinja2", "pydantic"}),
    "plan": ("overlay settings documents model render", {"pydantic", "typing_extensions"}),
    "inventory": ("settings documents model render plan", {"pyinfra", "pyinfra_cli"}),
    "transport": ("settings documents model render", {"gevent", "paramiko", "pyinfra"}),
    "ops": (
        "settings documents model render plan transport",
        {"click", "gevent", "pydantic", "pyinfra", "pyinfra_cli", "typing_extensions"},
    ),
    "reports": ("settings documents model plan", {"jinja2", "rich"}),
    "artifacts": ("settings documents model transport ops", {"pydantic", "pyinfra"}),
    "verify": (
        "settings documents model render transport ops",
        {
            "cryptography",
            "gevent",
            "greenlet",
            "pydantic",
            "pyinfra",
            "redis",
            "requests",
            "socketio",
            "typing_extensions",
        },
    ),
    "doctor": ("settings documents model render transport ops", {"pyinfra"}),
}
PURE = ("overlay", "settings", "documents", "model", "render", "plan", "reports")
# Both sides speak by `protocol`, and name a lease's holder in one form: a run learns whether an earlier run is dead.
# Both keep backup sets by one rule.
OF_THE_HOST = {
    "ops/lease.py": {"errors", "holder", "lease", "protocol"},
    **{f"artifacts/{name}.py": {"protocol", "retention"} for name in ("backup_set", "offsite")},
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
            assert node.level == 0 or path.parent.name == "tasks", f"{path}: a relative import"
            module = ".".join(filter(None, ["webui_stack.tasks" if node.level else "", node.module]))
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def beyond(path: Path, allowed: set[str]) -> set[str]:
    """The imports that are neither the standard library's nor `allowed` (nor below one that is)."""
    return {
        name
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == entry or name.startswith(f"{entry}.") for entry in allowed)
    }


def room_of(name: str) -> str:
    """The room of a dotted name of the library; "" for one that is in none."""
    _, _, below = name.partition("webui_stack.")
    return below.split(".")[0] if below.split(".")[0] in {*ROOMS, "host"} else ""


def in_rooms(rooms: Iterable[str]) -> list[Path]:
    return [path for room in rooms for path in modules(f"webui_stack/{room}/*.py")]


def named(path: Path) -> str:
    return f"{path.parent.name}.{path.stem}"


def faults(paths: Iterable[Path], find: Callable[[Path], Collection[str]]) -> dict[str, Collection[str]]:
    """What is found in files, by file. A test for each file would cost `make check` seconds, and say no more."""
    found = {str(path.relative_to(ROOT)): find(path) for path in paths}
    assert found
    return {name: lines for name, lines in found.items() if lines}


def test_the_scanner_sees_imports() -> None:
    assert {
        "pyinfra.api.deploy",
        "webui_stack.model.compose",
        "gevent.GreenletExit",
        "webui_stack.tasks.sources",
    } <= imports(ROOT / "tasks/network.py") | imports(ROOT / "tasks/preflight.py")


def test_every_module_of_the_library_is_in_a_room() -> None:
    assert {path.stem for path in modules("webui_stack/*.py")} == {"__init__", "cli", "deploys", "shipped"}
    assert {path.parent.name for path in modules("webui_stack/*/__init__.py")} == {*ROOMS, "host", "starter", "tasks"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_a_dozen_modules_at_most_and_says_what_it_is(room: str) -> None:
    inside = [path for path in modules(f"webui_stack/{room}/*.py") if path.stem != "__init__"]
    assert 0 < len(inside) <= 12
    assert ast.get_docstring(parsed(ROOT / f"webui_stack/{room}/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_and_libraries_that_it_may(room: str) -> None:
    rooms, libraries = ROOMS[room]
    allowed = {f"webui_stack.{one}" for one in (room, *rooms.split())}
    allowed.add("webui_stack.shipped")  # where the project's own files are, below all rooms

    def not_allowed(path: Path) -> set[str]:
        hosts = OF_THE_HOST.get(f"{room}/{path.name}", {"protocol"})
        return beyond(path, {*libraries, *allowed, *(f"webui_stack.host.{name}" for name in hosts)})

    assert faults(in_rooms([room]), not_allowed) == {}


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_reach_no_network_and_no_host(room: str) -> None:
    reaching = {"pyinfra", "paramiko", "redis", "socketio", "socket", "http", "urllib.request", "tasks"}

    def reached(path: Path) -> set[str]:
        return {name for name in imports(path) for root in reaching if f"{name}.".startswith(f"{root}.")}

    assert faults(in_rooms([room]), reached) == {}


def test_tasks_import_the_library_and_pyinfra() -> None:
    allowed = {"webui_stack", "pyinfra", "gevent", "pydantic", "rich"}
    assert faults(modules("tasks/*.py"), lambda path: beyond(path, allowed)) == {}


@pytest.mark.parametrize("path", modules("deploy.py", "runbooks/*.py"), ids=lambda path: path.stem)
def test_deploy_files_import_tasks_alone(path: Path) -> None:
    found = imports(path)
    assert found
    assert {name for name in found if not name.startswith("webui_stack.tasks.")} == set()


@pytest.mark.parametrize("path", modules("inventories/**/*.py"), ids=lambda path: str(path.relative_to(ROOT)))
def test_inventories_import_nothing_of_the_project(path: Path) -> None:
    assert beyond(path, set()) == set()


def test_pyinfras_configuration_imports_what_concerns_its_process_alone() -> None:
    assert beyond(ROOT / "config.py", {"webui_stack.ops.exit_status", "webui_stack.ops.run"}) == set()


def test_the_lab_imports_no_project_code() -> None:
    def of_the_project(path: Path) -> set[str]:
        return {name for name in imports(path) if name.split(".")[0] in PROJECT - {"lab"}}

    assert faults(modules("lab/*.py"), of_the_project) == {}


@pytest.mark.parametrize("path", modules("benchmarks/*.py"), ids=lambda path: path.stem)
def test_benchmarks_drive_processes_and_import_no_project_code(path: Path) -> None:
    forbidden = PROJECT - {"benchmarks"}
    if path.stem != "simulated":  # an inventory, which pyinfra reads
        forbidden |= {"pyinfra"}
    assert {name for name in imports(path) if name.split(".")[0] in forbidden} == set()


def test_tasks_import_nothing_of_the_hosts_program_but_its_protocol() -> None:
    def of_the_host(path: Path) -> set[str]:
        found = {name for name in imports(path) if name.startswith("webui_stack.host.")}
        return {name.split(".")[2] for name in found} - {"protocol"}

    assert faults(modules("tasks/*.py"), of_the_host) == {}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_no_import_cycle(room: str) -> None:
    inside = {path.stem: path for path in modules(f"webui_stack/{room}/*.py")}
    graph = {
        stem: {
            name.split(".")[2]
            for name in imports(path)
            if name.startswith(f"webui_stack.{room}.") and name.split(".")[2] in inside
        }
        for stem, path in inside.items()
    }
    while leaves := [name for name, needed in graph.items() if not needed & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}


# --- What a run finds is kept by the run (`ops/run.py`), and nothing happens at import --------------

# Caches without an argument whose result is part of the installed project.
OF_THE_PROJECT = {"settings.model.defaults", "render.host_program.archive", "render.host_program.digest"}


def kept_by_the_module(tree: ast.Module) -> list[str]:
    """Each empty container that a module has, for somebody to fill, and each greenlet that its import starts."""
    found = []
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr) else None
        text = ast.unparse(value) if value else ""
        if text in {"{}", "[]", "set()", "dict()", "list()", "WeakKeyDictionary()"} or re.match(
            r"[\w.]*\bspawn\(", text
        ):
            found.append(ast.unparse(node))
    return found


def cached(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions of a module whose results a process keeps."""
    decorated = {"cache", "functools.cache", "lru_cache", "functools.lru_cache"}
    return {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and decorated & {ast.unparse(one).partition("(")[0] for one in node.decorator_list}
    }


def test_a_module_keeps_nothing_of_a_run() -> None:
    kept = faults([*in_rooms(ROOMS), *modules("tasks/*.py")], lambda path: kept_by_the_module(parsed(path)))
    assert kept == {"webui_stack/settings/errors.py": ["_RENAMED: dict[str, str] = {}"]}  # a table that is empty yet
    assert faults(modules("tasks/*.py"), lambda path: cached(parsed(path))) == {}
    assert faults(in_rooms(ROOMS), caches_of_a_run) == {}


def caches_of_a_run(path: Path) -> list[str]:
    """The functions without an argument whose results a process keeps, and which are no part of the project."""
    return [
        name
        for name, node in cached(parsed(path)).items()
        if not node.args.args
        and not ast.unparse(node.returns or node).startswith("TypeAdapter[")
        and f"{named(path)}.{name}" not in OF_THE_PROJECT
    ]


@pytest.mark.parametrize(
    ("source", "kept", "caches"),
    [
        ("_seen: dict[str, int] = {}", 1, 0),
        ("_told = set()", 1, 0),
        ("_lines = []", 1, 0),
        ("_loaded = gevent.spawn(load)", 1, 0),
        ("_TABLE = {'a': 1}\n_NAMES = set(_TABLE)", 0, 0),
        ("def f():\n    found = {}", 0, 0),
        ("@cache\ndef f(inventory):\n    return 1", 0, 1),
        ("@functools.lru_cache(maxsize=1)\ndef f():\n    return 1", 0, 1),
    ],
)
def test_the_rule_about_modules_finds_what_breaks_it(source: str, kept: int, caches: int) -> None:
    tree = ast.parse(source)
    assert (len(kept_by_the_module(tree)), len(cached(tree))) == (kept, caches)


@pytest.mark.parametrize("path", modules("deploy.py", "runbooks/*.py"), ids=lambda path: path.stem)
def test_a_deploy_file_that_proves_loads_the_proof_before_hosts_are_looked_at(path: Path) -> None:
    text = path.read_text()
    called = [name for name in re.findall(r"(?m)^.*?\b((?:verify|preflight)\.\w+)\(", text) if name != "verify.prove"]
    assert ("verify.prove(" in text) is (called[0] == "verify.prepare")


# Questions of text that say yes to digits of every script, superscripts among them, which `int` then may refuse.
_DIGITS_OF_ALL_SCRIPTS = {"isdigit", "isdecimal", "isnumeric"}


def digits_of_all_scripts(source: str) -> list[str]:
    r"""Each `.isdigit()` or the like, and each text with a `\d` that is not given to a call with re.ASCII."""
    if not any(word in source for word in (*_DIGITS_OF_ALL_SCRIPTS, "\\d")):
        return []  # most files: looking at all their nodes takes seconds
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


@pytest.mark.parametrize("pattern", ["webui_stack/**/*.py", "tasks/*.py", "lab/*.py"])
def test_numbers_in_text_have_ascii_digits(pattern: str) -> None:
    """`webui_stack.documents.digits` reads them; a pattern has [0-9]."""
    assert faults(modules(pattern), lambda path: digits_of_all_scripts(path.read_text())) == {}


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


def test_public_names_say_what_they_do() -> None:
    assert faults([*in_rooms(ROOMS), *modules("tasks/*.py")], lambda path: list(undocumented(path))) == {}


def test_the_docstring_rule_finds_what_lacks_one(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "def work():\n    x = 1\n    return x\n\nclass Thing:\n    def act(self):\n        a = 1\n        b = 2\n"
    )
    assert list(undocumented(path)) == ["bad", "bad.work", "bad.Thing", "bad.Thing.act"]


def test_every_test_file_says_what_it_claims() -> None:
    files = modules("tests/unit/**/*.py", "tests/plan/*.py", "tests/*.py")
    bare = [path.name for path in files if path.read_text() and ast.get_docstring(ast.parse(path.read_text())) is None]
    assert bare == []


def test_the_library_leaves_the_standard_librarys_threads_alone() -> None:
    """pyinfra's command line makes them gevent's (`pyinfra_cli/__init__.py`, 3.10), which hangs what uses threads."""
    names = ", ".join(f"webui_stack.{name}" for name in ("ops.operations", "ops.packages", "artifacts.offsite"))
    code = f"import sys, {names}; sys.exit('pyinfra_cli' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
