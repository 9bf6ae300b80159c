"""A copy of a host in memory is a host of its own, with the same files, containers and services."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import pytest

from tests.host.fake_docker import Docker
from tests.host.fake_files import Crash, FakeFiles, FakeKernel, crash_at, on_nothing
from tests.host.fake_swarm import FakeSwarm
from tests.host.points import Failing
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError


@dataclass
class Host:
    """Files by two ways, of which one kernel knows, and a Docker with a swarm."""

    kernel: FakeKernel = field(default_factory=FakeKernel)
    docker: Docker = field(default_factory=Docker)

    def __post_init__(self) -> None:
        self.files = FakeFiles(self.kernel)
        self.swarm = FakeSwarm(self.docker)
        self.swarm.put_node("node1")
        self.files.make_folder("/opt/stack")
        self.files.write("/opt/stack/a", "before")
        self.docker.put_image("webui:1")
        self.docker.put_volume("data", {"rows": b"before"})
        self.docker.put_container("one", NewContainer("webui:1", volumes=["data:/data"]))
        self.swarm.put_service("service", NewContainer("webui:1"))

    def state(self) -> tuple[object, ...]:
        held = {one.name: (one.status, dict(one.files)) for one in self.docker.held.values()}
        tasks = [(task.id, task.desired) for task in self.swarm.tasks]
        services = {name: one.replicas for name, one in self.swarm.services.items()}
        tags = {one.id: one.tags for one in self.docker.images.values()}
        data = dict(self.docker.contents["data"])
        text = self.files.read_text("/opt/stack/a")
        return text, held, tasks, services, tags, data, len(self.docker.events), [*self.docker.volumes]


def change(host: Host) -> None:
    host.files.write("/opt/stack/a", "after")
    host.docker.stop(host.docker.named("one"), graceful=True)
    host.docker.named("one").files["/x"] = b""
    host.docker.contents["data"]["rows"] = b"after"
    host.docker.tag(host.docker.find_image("webui:1").id, "webui:2")
    host.docker.put_volume("more")
    host.swarm.put_service("service", NewContainer("webui:1"), replicas=2)


def test_a_change_of_a_copy_changes_nothing_of_the_other_and_the_other_way_round() -> None:
    host = Host()
    before = host.state()
    copied = copy.deepcopy(host)
    assert copied.state() == before
    change(copied)
    assert (host.state(), copied.state() == before) == (before, False)
    after, again = copied.state(), copy.deepcopy(host)
    change(host)
    assert (copied.state(), again.state()) == (after, before)
    assert host.state() != before


@pytest.mark.parametrize("names", [False, True])
def test_a_copy_knows_what_is_on_its_disk(names: bool) -> None:
    host = Host()
    fd = host.files.open_shared("/opt/stack/a")
    host.kernel.pwrite(fd, b"unwritten", 0)
    copied = copy.deepcopy(host)
    copied.kernel.cut_power(names=names)
    assert (copied.state()[0], host.state()[0]) == ("before", "unwritten")
    host.kernel.fsync(fd)
    assert copied.state()[0] == "before"


def test_one_file_by_two_names_is_one_file_in_a_copy() -> None:
    host = Host()
    folder = host.kernel.find("/opt/stack")
    folder.entries["b"] = folder.entries["a"]
    copied = copy.deepcopy(host).kernel
    assert copied.find("/opt/stack/a") is copied.find("/opt/stack/b")
    assert copied.find("/opt/stack/a") is not host.kernel.find("/opt/stack/a")


def test_points_of_a_copy_are_its_own() -> None:
    host = Host()
    copied = copy.deepcopy(host)
    seen: list[str] = []
    copied.kernel.on_point = seen.append
    host.files.write("/opt/stack/a", "by the other")
    assert seen == []
    copied.files.write("/opt/stack/a", "after")
    assert {"before open", "after open", "before fsync", "before rename", "after close"} <= set(seen)
    seen.clear()
    copied.kernel.on_point = on_nothing
    copied.files.write("/opt/stack/a", "later")
    assert seen == []


def test_after_a_crash_no_call_does_anything_until_the_next_process() -> None:
    host = Host()
    host.kernel.on_point = crash_at(3)
    with pytest.raises(Crash):
        host.files.write("/opt/stack/a", "after")
    host.kernel.on_point = on_nothing
    for dead in (host, copy.deepcopy(host)):
        with pytest.raises(Crash):
            dead.files.read_text("/opt/stack/a")
        dead.kernel.restart()
        assert dead.files.read_text("/opt/stack/a") == "before"


class Dies:
    """A crash at a call that was chosen; nobody is told of the others."""

    choices = frozenset({"fsync"})

    def __call__(self, _: str) -> None:
        raise Crash


def test_a_crash_at_a_chosen_call_is_the_end_of_all_calls() -> None:
    host = Host()
    host.kernel.on_point = Dies()
    with pytest.raises(Crash):
        host.files.write("/opt/stack/a", "after")
    with pytest.raises(Crash):
        host.files.read_text("/opt/stack/a")


def test_a_call_that_is_to_fail_is_found_among_those_that_can() -> None:
    host = Host()
    host.kernel.on_point = failing = Failing(5, False, 2, lambda point: point == "before fsync")
    with pytest.raises(HostError):
        host.files.write("/opt/stack/a", "after")
    assert failing.point == "before fsync"
