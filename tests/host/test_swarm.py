"""A host's part of a swarm: a manager that does not answer is never one without nodes or services."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_engine import FakeEngine
from tests.host.fake_swarm import FakeSwarm
from tests.host.fake_system import FakeSystem
from webui_stack.host import swarm
from webui_stack.host.engine import EngineError, Info, Member, NewContainer, Node, Service, Task, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.stack import STACK_LABEL

STACK = "open-webui"
LABELS = {STACK_LABEL: STACK}
NO_LEADER = "rpc error: code = Unknown desc = The swarm does not have a leader."
QUESTIONS = ["nodes", "services", "tasks", "docker service inspect"]


class Engine(FakeEngine):
    """Gives no answer to a question, as often as `silent` says; then it does."""

    silent: dict[str, int]

    def nodes(self, *, label: str | None = None) -> tuple[Node, ...]:
        self.fail("nodes")
        return super().nodes(label=label)

    def services(self, *, label: str | None = None) -> tuple[Service, ...]:
        self.fail("services")
        return super().services(label=label)

    def tasks(self, service: str) -> tuple[Task, ...]:
        self.fail("tasks")
        return super().tasks(service)

    def fail(self, question: str) -> None:
        if self.fails(question):
            raise Unavailable(question, NO_LEADER)

    def fails(self, question: str) -> bool:
        self.silent[question] = self.silent.get(question, 0) - 1
        return self.silent[question] >= 0


class World:
    """A manager with two services of the stack, and one of somebody's."""

    def __init__(self, root: Path) -> None:
        self.engine = Engine()
        self.engine.silent = {}
        docker = self.engine.docker
        docker.put_image("image:1")
        self.swarm = self.engine.swarm = FakeSwarm(docker)
        self.swarm.put_node("node1")
        self.swarm.put_node("node2", role="worker", labels={"data": "yes"})
        self.swarm.put_service(f"{STACK}_redis", NewContainer("image:1"), labels=LABELS)
        self.swarm.put_service(f"{STACK}_open-webui", NewContainer("image:1"), replicas=2, labels=LABELS)
        self.swarm.put_service("somebodys", NewContainer("image:1"))
        self.host = FakeSystem(root, docker=self.docker)
        self.slept: list[float] = []

    def docker(self, arguments: Sequence[str]) -> str | None:
        """`docker service inspect`, in Docker's own spelling of a definition."""
        assert list(arguments[:4]) == ["service", "inspect", "--format", "{{.Spec.Name}} {{json .Spec}}"]
        if self.engine.fails("docker service inspect"):
            return None
        found = [self.swarm.service(id_) for id_ in arguments[4:]]
        return "".join(f"{one.name} {self.spelled(one)}\n" for one in found)

    @staticmethod
    def spelled(service: Service) -> str:
        return json.dumps({"Name": service.name, "Version": service.version}, separators=(",", ":"))

    def look(self, info: Info | None = None, *, answers: bool = True, noted: bool = False, **more: Any) -> Any:
        seen = (info or self.engine.info()) if answers else None
        return swarm.look(
            *(self.host, self.engine, seen),
            **{"stack": STACK, "with_services": True, "noted": noted, "sleep": self.slept.append, **more},
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_survey_tells_nodes_and_services(world: World) -> None:
    world.swarm.put_service(f"{STACK}_redis", NewContainer("image:1"), labels=LABELS, force=True)
    found = world.look()
    assert found["member"] == {"state": "active", "id": "node1", "manages": True, "address": "10.0.0.1", "error": ""}
    assert [(one["name"], one["role"], one["labels"]) for one in found["nodes"]] == [
        ("node1", "manager", {}),
        ("node2", "worker", {"data": "yes"}),
    ]
    services = {one["name"]: (one["running"], one["hosts"], one["wanted"], one["update"]) for one in found["services"]}
    assert services == {f"{STACK}_redis": (1, 1, 1, "completed"), f"{STACK}_open-webui": (2, 2, 2, "")}
    assert world.slept == []


def test_a_definition_is_told_as_the_shell_of_a_deploy_hashes_it(world: World) -> None:
    """As earlier versions remembered it: of Docker's text with the end of its line."""
    (found,) = [one for one in world.look()["services"] if one["name"] == f"{STACK}_redis"]
    text = f"{world.spelled(world.swarm.service(found['name']))}\n"
    assert found["definition"] == hashlib.sha256(text.encode()).hexdigest()


def test_a_task_that_is_not_to_run_any_more_is_not_counted(world: World) -> None:
    world.swarm.put_node("node2", role="worker", state="down")
    world.swarm.put_service(f"{STACK}_open-webui", NewContainer("image:1"), replicas=1, labels=LABELS)
    (found,) = [one for one in world.look()["services"] if one["name"] == f"{STACK}_open-webui"]
    assert (found["running"], found["hosts"], found["wanted"]) == (1, 1, 1)


def test_a_service_of_every_node_wants_as_many_tasks_as_there_are(world: World) -> None:
    world.swarm.put_service(f"{STACK}_proxy", NewContainer("image:1"), replicas=None, labels=LABELS)
    (found,) = [one for one in world.look()["services"] if one["name"] == f"{STACK}_proxy"]
    assert (found["running"], found["wanted"]) == (2, 2)


def test_a_stack_that_is_not_there_has_no_services_and_docker_is_not_asked_for_definitions(world: World) -> None:
    assert world.look(stack="another")["services"] == []
    assert world.host.asked == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_survey_without_an_answer_fails_and_one_with_a_late_answer_does_not(world: World, question: str) -> None:
    world.engine.silent[question] = 2
    assert len(world.look()["services"]) == 2
    assert world.slept == [1, 1]
    world.engine.silent[question] = 1000
    what = "nodes" if question == "nodes" else "services"
    with pytest.raises(HostError, match=f"^swarm: expected Docker to name its {what}, got ") as caught:
        world.look()
    assert caught.value.got == ("none" if question.startswith("docker") else NO_LEADER)


MEMBERS = [
    pytest.param(Member("active", "node1", False, "10.0.0.1"), id="a worker"),
    pytest.param(Member("inactive", "", True), id="no member"),
    pytest.param(Member("locked", "", True), id="locked"),
]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_host_that_steers_no_swarm_is_not_asked(world: World, member: Member) -> None:
    world.engine.silent = dict.fromkeys(QUESTIONS, 1000)
    found = world.look(replace(world.engine.info(), member=member))
    assert (found["member"]["state"], found["nodes"], found["services"]) == (member.state, [], [])


def test_only_the_host_with_the_data_is_asked_for_services(world: World) -> None:
    world.engine.silent = dict.fromkeys(QUESTIONS[1:], 1000)
    found = world.look(with_services=False)
    assert (len(found["nodes"]), found["services"]) == (2, [])


def test_a_host_without_docker_is_in_no_swarm(world: World) -> None:
    found = world.look(answers=False)
    assert (found["member"]["state"], found["nodes"], found["services"]) == ("inactive", [], [])


@pytest.mark.parametrize("noted", [True, False])
def test_a_host_whose_docker_does_not_answer_may_be_in_a_swarm(world: World, noted: bool) -> None:
    """Docker notes it in a file (test_dockerd.py)."""
    if noted:
        with pytest.raises(HostError, match=r"^swarm: expected Docker to name its swarm, got no answer; "):
            world.look(answers=False, noted=True)
    else:
        assert world.look(answers=False)["member"]["state"] == "inactive"


def test_a_refusal_is_not_asked_for_again(world: World) -> None:
    info = world.engine.info()
    world.swarm.put_node("node1", role="worker")
    with pytest.raises(EngineError, match="not a swarm manager"):
        world.look(info)
    assert world.slept == []


def test_what_was_good_is_remembered_by_its_words(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path)
    host.put("/s/.good/known", "inputs abc\nopen-webui_redis 0123\nalone\ncut \n")
    host.put("/s/.good/images", "sha256:1 redis:1.1 /redis-valkey\nsha256:2 old:1.1 /open-webui\nhalf a line\nx y\n")
    found = swarm.remembered(host, "/s/.good")
    assert found["known"] == {"inputs": "abc", "open-webui_redis": "0123"}
    assert found["known_images"].items() >= {"redis:1.1": "sha256:1", "old:1.1": "sha256:2"}.items()
    assert swarm.remembered(host, "/nowhere") == {"known": {}, "known_images": {}}
