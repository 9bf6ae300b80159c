"""The services of a stack in a swarm: nothing is healthy, missing or stopped unless Docker says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Exit, Process, Program
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles
from webui_stack.host.engine import NewContainer, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.patience import Patience
from webui_stack.host.stack_file import StackFile
from webui_stack.host.swarm_services import NotHealthyError, SwarmServices

STACK, WEB = "open-webui", "open-webui_open-webui"
FILE = """\
services:
  redis:
    image: x
  open-webui:
    image: y
    deploy:
      labels:
        open-webui-stack.replicas: "2"

secrets:
  open-webui-env:
    name: z
"""


def ill(_: Process) -> None:
    raise Exit(1, b"no module\n")


class World:
    """Two nodes, on which the stack runs; its tasks of Open WebUI have these states, if any are given."""

    def __init__(self) -> None:
        self.files = FakeFiles()
        self.files.make_folder("/s")
        self.files.write("/s/stack.yaml", FILE)
        self.clock = FakeClock()
        self.engine = FakeEngine()
        self.swarm = self.engine.swarm
        self.said: list[str] = []
        for name in ("image:1", "image:2"):
            self.engine.docker.put_image(name)
        self.engine.docker.put_image("image:ill", Program(main=ill))
        for name in ("node1", "node2"):
            self.swarm.put_node(name)
        self.swarm.put_service(f"{STACK}_redis", NewContainer("image:1"))
        self.swarm.put_service(WEB, NewContainer("image:1"), replicas=2)
        self.services = SwarmServices(
            self.engine,
            self.clock,
            Patience(self.clock),
            StackFile(self.files, "/s"),
            STACK,
            start_s=5,
            wait_s=10,
            tell=self.said.append,
        )

    def tasks(self, *states: str, node: str = "node2", image: str = "image:1") -> None:
        """Open WebUI's tasks have these states, on a node that this host is not."""
        service = self.swarm.services[WEB]
        spec = {"ContainerSpec": {**service.spec["TaskTemplate"]["ContainerSpec"], "Image": image}, "ForceUpdate": 0}
        one = next(task for task in self.swarm.tasks if task.service_id == service.id and task.node_id == "node2")
        self.swarm.tasks = [task for task in self.swarm.tasks if task.service_id != service.id]
        self.swarm.tasks += [
            replace(one, id=f"t{number}", node_id=node, state=state, spec=spec) for number, state in enumerate(states)
        ]


def test_all_that_is_healthy_needs_no_waiting() -> None:
    world = World()
    world.services.await_all(0)
    assert (world.said, world.clock.monotonic()) == ([], 0)


def test_a_service_that_is_missing_is_waited_for() -> None:
    world = World()
    world.swarm.drop_service(f"{STACK}_redis")
    with pytest.raises(NotHealthyError, match="not healthy within 5 s each"):
        world.services.await_all(0)
    assert world.said[0] == "waiting for redis, which is missing"
    assert world.said[-1].startswith("open-webui_redis: service open-webui_redis: expected it to be there, got none")


def test_tasks_of_a_definition_of_before_are_not_those_that_are_wanted() -> None:
    world = World()
    world.tasks("running", "running", image="image:2")
    with pytest.raises(NotHealthyError):
        world.services.await_all(0)
    assert world.said[0] == "waiting for open-webui 0 of 2"


def test_what_fails_three_times_is_not_waited_for_and_is_told() -> None:
    world = World()
    world.swarm.drop_service(WEB)
    world.swarm.put_service(WEB, NewContainer("image:ill"), replicas=2)
    with pytest.raises(NotHealthyError, match="got failed 3 times"):
        world.services.await_all(0)
    assert world.clock.monotonic() == 0
    assert world.said[:3] == ["waiting for open-webui 0 of 2", "failed 3 times:", f"{WEB}: 0 of 2 run"]
    assert "  node1: failed, task: non-zero exit" in world.said


def test_failures_of_before_the_deploy_do_not_count() -> None:
    world = World()
    world.swarm.drop_service(WEB)
    world.swarm.put_service(WEB, NewContainer("image:ill"), replicas=2)
    assert world.services.state("open-webui", 0).failed == 3
    assert world.services.state("open-webui", 2_000_000_000).failed == 0


def test_an_update_that_the_swarm_took_back_is_no_success() -> None:
    world = World()
    world.swarm.services[WEB] = replace(world.swarm.services[WEB], update="rollback_completed")
    with pytest.raises(NotHealthyError, match="taken back"):
        world.services.await_all(0)


def test_an_update_that_goes_on_is_waited_for() -> None:
    world = World()
    done = world.swarm.services[WEB]
    world.swarm.services[WEB] = replace(done, update="updating")

    def finish() -> None:
        world.swarm.services[WEB] = replace(done, update="completed")

    world.clock.on_sleep = finish
    world.services.await_all(0)
    assert world.said == ["waiting for open-webui 2 of 2 (updating)"]


def test_a_file_without_services_is_no_healthy_stack() -> None:
    world = World()
    world.files.write("/s/stack.yaml", "")
    with pytest.raises(HostError, match=r"stack\.yaml: expected services in it, got none"):
        world.services.await_all(0)


@pytest.mark.parametrize(
    ("states", "stopped"),
    [
        ([], True),
        (["running"], False),
        (["shutdown", "starting"], False),  # its container runs
        (["shutdown", "failed", "complete", "remove", "orphaned", "rejected"], True),
    ],
    ids=["none", "one runs", "one starts", "all are over"],
)
def test_replicas_have_stopped_once_every_task_is_over(states: list[str], stopped: bool) -> None:
    world = World()
    world.tasks(*states)
    if stopped:
        world.services.await_stop()
        return
    with pytest.raises(HostError, match="open-webui_open-webui: expected its tasks to stop, got some that run"):
        world.services.await_stop()


def test_a_task_that_has_no_node_yet_has_no_process() -> None:
    world = World()
    world.tasks("pending", node="")
    world.services.await_stop()


@pytest.mark.parametrize("state", ["down", "gone"])
def test_a_node_that_is_out_of_reach_or_gone_is_not_waited_for(state: str) -> None:
    world = World()
    world.tasks("running")
    if state == "gone":
        world.swarm.nodes = [node for node in world.swarm.nodes if node.id != "node2"]
    else:
        world.swarm.put_node("node2", state=state)
    world.services.await_stop()


def test_replicas_have_not_stopped_because_docker_does_not_answer() -> None:
    world = World()
    world.tasks("running")
    world.swarm.leader = False
    with pytest.raises(HostError, match="expected an answer within a minute"):
        world.services.await_stop()


def test_a_version_of_before_counts_until_its_last_replica_has_ended() -> None:
    """A deploy that was cut off has told the service already."""
    world = World()
    assert not world.services.has_another_version("image:1")
    assert world.services.has_another_version("image:2")
    world.swarm.put_service(WEB, NewContainer("image:2"), replicas=0)
    assert not world.services.has_another_version("image:2")
    world.tasks("running", image="image:1")
    assert world.services.has_another_version("image:2")


def test_a_service_that_is_not_there_has_no_version_and_halts() -> None:
    world = World()
    world.swarm.drop_service(WEB)
    assert world.services.image_of("open-webui") == ""
    assert not world.services.has_another_version("image:1")
    world.services.halt()


def test_halt_leaves_no_replica_and_again_makes_each_anew() -> None:
    world = World()
    before = {task.id for task in world.swarm.tasks if not task.ended}
    world.services.again("open-webui")
    after = {task.id for task in world.swarm.tasks if not task.ended}
    assert len(before & after) == 1, "Valkey's"
    world.services.halt()
    assert world.swarm.services[WEB].replicas == 0


def test_a_complaint_never_hides_the_error_it_explains() -> None:
    world = World()
    world.swarm.drop_service(WEB)
    world.swarm.put_service(WEB, NewContainer("image:ill"), replicas=2)

    class Silent(FakeEngine):
        def service_logs(self, *_: object, **__: object) -> bytes:
            raise Unavailable("logs", "none in time")

    world.services._engine = Silent(world.engine.docker, world.swarm)
    with pytest.raises(NotHealthyError, match="failed 3 times"):
        world.services.await_all(0)
    assert "none in time" in world.said[-1]
