"""An upgrade is undone where the host itself sees the stack broken, and nowhere else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.defaults import ROOT
from tests.surveys import replaced
from tests.unit.verify.test_serving import WORKS

WENT_BACK = "went back"
ANSWERS = {
    "it works": WORKS,
    "it is broken": replaced(WORKS, "valkey/subscribers", 0),
    "an error": "docker: expected an answer to GET /info, got none in time",
    "no document": None,
    "half a document": {**WORKS, "valkey": None},
}
# `tasks` change the standard library's threads (gevent), so they are not imported by the tests themselves.
SCRIPT = f"""
import json, sys
from types import SimpleNamespace
from pyinfra.api import Inventory, State
from pyinfra.context import ctx_state
from webui_stack.tasks import upgrade
from tests.defaults import settings
from webui_stack.transport.remote import RemoteError

def call(_host, verb, arguments, _on_event):
    assert (verb, arguments["valkey"]) == ("serving", "redis-valkey")
    if isinstance(answer, str):
        raise RemoteError(answer)
    return answer

ctx_state.set(State(Inventory((["h"], {{}}))))
upgrade.host = SimpleNamespace(name="h", log=print)
upgrade.preflight.observation = lambda: SimpleNamespace(host=None)
upgrade.program.call = call
upgrade._back = lambda _: [{WENT_BACK!r}]
told = {{"not upgraded": upgrade.undo(settings())}}
upgrade.run.current().once(upgrade._Upgraded).add("h")
for name, answer in json.load(sys.stdin).items():
    told[name] = upgrade.undo(settings())
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, list[str]]:
    """What `upgrade.undo` says, by what the host answers."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(ANSWERS),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_a_stack_that_is_broken_on_the_host_as_well_goes_back(told: dict[str, list[str]]) -> None:
    assert told["it is broken"] == [
        "on the host as well: redis-valkey: expected 1 that listen for events, got 0",
        WENT_BACK,
    ]


def test_a_stack_that_works_on_its_host_stays(told: dict[str, list[str]]) -> None:
    (line,) = told["it works"]
    assert line.startswith("undo: on the host itself the stack works, so nothing was undone")


def test_a_host_whose_images_this_run_did_not_change_is_left_alone(told: dict[str, list[str]]) -> None:
    assert told["not upgraded"] == []


@pytest.mark.parametrize("answer", ["an error", "no document", "half a document"])
def test_no_answer_is_never_a_stack_that_is_broken(told: dict[str, list[str]], answer: str) -> None:
    (line,) = told[answer]
    assert line.startswith("undo: expected the host to say whether the stack works there, got ")
    assert "nothing was undone" in line
