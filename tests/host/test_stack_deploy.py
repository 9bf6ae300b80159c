"""`docker stack deploy`: its variables, the order in which it replaces replicas, and failures that are no answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.host.fake_clock import START_S, FakeClock
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles
from tests.host.fake_system import FakeSystem
from webui_stack.host.errors import HostError
from webui_stack.host.patience import Patience
from webui_stack.host.stack_deploy import StackDeploy
from webui_stack.host.stack_file import StackFile
from webui_stack.host.system import Ended

LABEL = "open-webui.web"
NETWORK = (
    'network "openwebui-network" is declared as external, but could not be found. You need to create a swarm-scoped'
)
NO_LEADER = "rpc error: code = Unknown desc = The swarm does not have a leader."


class System(FakeSystem):
    """Its `docker` fails with these words, as often as there are any."""

    def __init__(self, root: Path, *errors: str) -> None:
        super().__init__(root, docker="")
        self.errors = list(errors)

    def _carry_out(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        limit_s: float,
        descriptors: Sequence[int],
        tell: Callable[[str], object] | None,
    ) -> Ended:
        done = super()._carry_out(command, environment, limit_s, descriptors, tell)
        return Ended(1, "", self.errors.pop(0)) if self.errors else done


def deploys(system: System, clock: FakeClock, *, nodes: int = 1, replicas: int = 1) -> StackDeploy:
    files, engine = FakeFiles(), FakeEngine()
    files.make_folder("/s")
    files.write("/s/stack.yaml", f'services:\n  web:\n    labels:\n      open-webui-stack.replicas: "{replicas}"\n')
    engine.swarm.put_node("node1")
    for number in range(nodes):
        engine.swarm.put_node(f"web{number}", role="worker", labels={LABEL: "true"})
    engine.swarm.put_node("down", role="worker", state="down", labels={LABEL: "true"})
    return StackDeploy(system, engine, clock, Patience(clock), StackFile(files, "/s"), "open-webui", LABEL, [7])


def test_it_has_nothing_of_this_programs_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPEN_WEBUI_IMAGE", "of somebody")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    monkeypatch.delenv("HOME")
    system = System(tmp_path)
    since_s = deploys(system, FakeClock()).deploy({"VALKEY_IMAGE": "sha256:1"}, 0)
    (asked,) = system.asked
    assert list(asked.environment) == ["PATH", "HOME", "VALKEY_IMAGE", "OPEN_WEBUI_REPLICAS", "OPEN_WEBUI_ORDER"]
    assert (asked.environment["HOME"], asked.environment["OPEN_WEBUI_REPLICAS"]) == ("/root", "0")
    assert asked.command[:5] == ("docker", "stack", "deploy", "--compose-file", "/s/stack.yaml")
    assert (asked.descriptors, since_s) == ((7,), START_S)


@pytest.mark.parametrize(
    ("nodes", "replicas", "order"),
    [(1, 1, "start-first"), (2, 2, "stop-first"), (3, 2, "start-first"), (2, 3, "stop-first")],
)
def test_a_new_replica_starts_first_where_a_node_has_room_for_it(
    tmp_path: Path, nodes: int, replicas: int, order: str
) -> None:
    system = System(tmp_path)
    deploys(system, FakeClock(), nodes=nodes, replicas=replicas).deploy({}, replicas)
    assert system.asked[0].environment["OPEN_WEBUI_ORDER"] == order


def test_a_swarm_that_elects_a_leader_is_told_again(tmp_path: Path) -> None:
    system = System(tmp_path, NO_LEADER, NO_LEADER)
    deploys(system, FakeClock()).deploy({}, 1)
    assert len(system.asked) == 3


def test_one_that_has_no_leader_for_a_minute_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="expected an answer within a minute, got rpc error"):
        deploys(System(tmp_path, *[NO_LEADER] * 99), FakeClock()).deploy({}, 1)


def test_what_is_missing_is_told_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    with pytest.raises(HostError, match=r"docker: expected to deploy the stack, got network .* could not be found"):
        deploys(System(tmp_path, NETWORK), clock).deploy({}, 1)
    assert clock.monotonic() == 0


def test_a_file_that_does_not_say_how_many_is_not_deployed(tmp_path: Path) -> None:
    system = System(tmp_path)
    with pytest.raises(HostError, match=r"stack\.yaml: expected the number of Open WebUI's replicas, got none"):
        deploys(system, FakeClock(), replicas=-1).deploy({}, 1)
    assert system.asked == []
