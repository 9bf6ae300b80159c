"""A run: what it keeps is made once, known by what makes it, and shared with no other run of the process."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyinfra.api import Inventory, State, arguments, util
from pyinfra.context import ctx_state

from tests.defaults import ROOT
from webui_stack.ops import exit_status, run

calls: list[str] = []


class Names(set[str]):
    """As a module keeps hosts' names."""


def told(name: str, mark: str = "!") -> str:
    calls.append(name)
    return name + mark


def refuse() -> None:
    calls.append("refuse")
    raise OSError("no")


@pytest.fixture(autouse=True)
def no_calls() -> Iterator[None]:
    calls.clear()
    yield
    ctx_state.reset()


def state() -> State:
    inventory = Inventory((["a", "b"], {}))  # type: ignore[no-untyped-call]
    return State(inventory)


def enter() -> State:
    """Be in a new run, as pyinfra's command line is."""
    entered = state()
    ctx_state.set(entered)  # type: ignore[no-untyped-call]
    return entered


def test_a_result_is_made_once_for_its_arguments() -> None:
    one = run.of(state())
    assert [one.once(told, "a"), one.once(told, "a"), one.once(told, "b"), one.once(told, "a", mark="?")] == [
        *("a!", "a!", "b!", "a?")
    ]
    assert calls == ["a", "b", "a"]


def test_an_exception_is_not_kept() -> None:
    one = run.of(state())
    for _ in range(2):
        with pytest.raises(OSError, match="no") as raised:
            one.once(refuse)
        assert raised.value.__context__ is None
    assert calls == ["refuse", "refuse"]


def test_two_runs_share_nothing() -> None:
    first, second = state(), state()
    run.of(first).once(Names).add("a")
    assert run.of(first).once(Names) == {"a"}
    assert run.of(second).once(Names) == set()
    assert run.of(first) is not run.of(second)


def test_the_run_is_the_one_that_pyinfra_is_in() -> None:
    first = enter()
    run.current().once(Names).add("a")
    assert run.current() is run.of(first)
    assert run.current().inventory is first.inventory
    second = enter()
    assert run.current() is run.of(second)
    assert run.current().once(Names) == set()


def test_outside_of_a_run_there_is_none() -> None:
    with pytest.raises(RuntimeError, match="expected pyinfra to be in one"):
        run.current()


def test_a_refusal_of_one_run_is_none_of_the_next() -> None:
    enter()
    exit_status.would_fail()
    assert run.current().once(exit_status._Plan).would_fail
    enter()
    assert not run.current().once(exit_status._Plan).would_fail


# At the exit the last handler is the first that was registered: it sees what the others have done.
RARELY = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 1000))
from webui_stack.ops import run
run.collect_garbage_rarely()
run.collect_garbage_rarely()
print(gc.get_threshold())
"""


def test_garbage_is_collected_rarely_and_never_at_the_exit() -> None:
    done = subprocess.run([sys.executable, "-c", RARELY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "(50000, 20, 20)\nTrue\n"


# Python keeps the bytecode of a module beside it. The flag before is that of pyinfra's command.
COMPILED = """
import sys
sys.dont_write_bytecode = True
from webui_stack.ops import run
run.keep_bytecode()
sys.path.insert(0, sys.argv[1])
import a_module
"""


@pytest.mark.parametrize(("forbids", "kept"), [("", True), ("1", False)])
def test_bytecode_is_kept_unless_the_operator_forbids_it(tmp_path: Path, forbids: str, kept: bool) -> None:
    (tmp_path / "a_module.py").write_text("")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": forbids}
    subprocess.run([sys.executable, "-c", COMPILED, tmp_path], cwd=ROOT, env=environment, check=True)
    assert (tmp_path / "__pycache__").exists() is kept


@pytest.fixture
def asked_less(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What asks less from then on; pyinfra is as it was after the test."""
    for module, name, _ in run._CHEAPER:
        monkeypatch.setattr(module, name, getattr(module, name))
    return run.ask_less


def test_an_operation_has_its_place_without_a_look_at_any_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_less: Callable[[], None]
) -> None:
    """In a file that is read like a deploy file, and so is no module's."""
    file = tmp_path / "deploy.py"
    file.write_text("\nfor number in range(2):\n    places.append(place()) or ask_less()\n")
    run_state = enter()
    run_state.current_deploy_filename = str(file)
    places: list[list[int]] = []
    found = {"places": places, "place": lambda: util.get_operation_order_from_stack(run_state)}
    code = compile(file.read_text(), str(file), "exec")

    def look(_: object) -> None:
        raise AssertionError("the source was looked at")

    def ask_less() -> None:
        asked_less()
        monkeypatch.setattr(inspect, "findsource", look)

    exec(code, {**found, "ask_less": ask_less})  # noqa: S102 as pyinfra_cli.util.exec_file does
    before, after = places
    assert 3 in before
    assert after == before


# `looks` counts how often all installed packages were looked through.
PACKAGES = """
from importlib import metadata
looks = []
through = metadata.distributions
metadata.distributions = lambda **named: looks.append(named) or through(**named)
from pyinfra.api import connectors
from webui_stack.ops import run
def connect():
    looks.clear()
    names = [sorted(connectors.get_all_connectors()) for _ in range(3)]
    print(len(looks), "ssh" in names[0], names[0] == names[1] == names[2])
connect()
run.ask_less()
run.ask_less()
connect()
"""


def test_packages_are_looked_through_once() -> None:
    done = subprocess.run([sys.executable, "-c", PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "3 True True\n1 True True\n"


def test_the_types_of_arguments_are_looked_up_once(asked_less: Callable[[], None]) -> None:
    before = arguments.all_global_arguments()
    asked_less()
    assert arguments.all_global_arguments() == before
    assert arguments.all_global_arguments() is arguments.all_global_arguments()
