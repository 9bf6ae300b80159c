"""How an engine behaves, as cases that run on the engine in memory and on a real one, so that the first can't drift.

A case makes what it needs under names of its own, which `Subject` clears away. The image has to have cat, tee, sleep,
true and false, as busybox and every image of the stack have. Of a host in a swarm, SWARM_CASES hold as well.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from webui_stack.host.engine import (
    Engine,
    EngineError,
    NewContainer,
    NotFound,
    ProgramFailed,
    Refused,
    Unavailable,
)

PREFIX = "contract-"
ONE, TWO, DATA, NET = (PREFIX + name for name in ("one", "two", "data", "net"))
LABEL = {"contract": "yes"}


@dataclass(frozen=True)
class Subject:
    """An engine with its clock, and an image that it has, under a tag that nothing else uses."""

    engine: Engine
    image: str
    now_s: Callable[[], float] = time.time

    def sleeper(self, **changes: object) -> NewContainer:
        return NewContainer(self.image, ["sleep", "600"], labels=LABEL, **changes)  # type: ignore[arg-type]

    def started(self, name: str = ONE, **changes: object) -> str:
        id_ = self.engine.create(name, self.sleeper(**changes))
        self.engine.start(name)
        return id_

    def clear(self) -> None:
        """Remove all that a case has made."""
        for name in (ONE, TWO):
            with contextlib.suppress(NotFound):
                self.engine.remove(name, force=True)
        with contextlib.suppress(NotFound):
            self.engine.remove_volume(DATA)
        with contextlib.suppress(NotFound):
            self.engine.remove_network(NET)
        for tag in (f"{PREFIX}tag:1", f"{PREFIX}tag:2"):
            with contextlib.suppress(NotFound):
                self.engine.remove_image(tag)


Case = Callable[[Subject], None]
CASES: list[Case] = []
# Only on a manager of a swarm.
SWARM_CASES: list[Case] = []


def case(function: Case) -> Case:
    CASES.append(function)
    return function


def swarm_case(function: Case) -> Case:
    SWARM_CASES.append(function)
    return function


@contextlib.contextmanager
def refused(status: int) -> Iterator[None]:
    """Refused with this status, and not one of the other two."""
    with pytest.raises(EngineError) as caught:
        yield
    assert type(caught.value) is Refused, f"expected Refused, got {type(caught.value).__name__}: {caught.value}"
    assert caught.value.status == status


@contextlib.contextmanager
def not_found(kind: str) -> Iterator[None]:
    with pytest.raises(NotFound) as caught:
        yield
    assert caught.value.kind == kind


# --- Containers


@case
def every_call_on_a_container_that_is_missing_says_so(subject: Subject) -> None:
    engine = subject.engine
    calls: list[Callable[[], object]] = [
        lambda: engine.container(ONE),
        lambda: engine.start(ONE),
        lambda: engine.stop(ONE, timeout_s=1),
        lambda: engine.kill(ONE),
        lambda: engine.restart(ONE, timeout_s=1),
        lambda: engine.pause(ONE),
        lambda: engine.unpause(ONE),
        lambda: engine.rename(ONE, TWO),
        lambda: engine.remove(ONE),
        lambda: engine.remove(ONE, force=True),
        lambda: engine.set_restart_policy(ONE, "no"),
        lambda: engine.wait(ONE, timeout_s=5),
        lambda: engine.logs(ONE),
        lambda: engine.exec(ONE, ["true"]),
        lambda: engine.read_file(ONE, "/x"),
    ]
    for call in calls:
        with not_found("container"):
            call()


@case
def a_container_is_created_runs_and_is_exited(subject: Subject) -> None:
    engine = subject.engine
    id_ = engine.create(ONE, subject.sleeper())
    seen = engine.container(ONE)
    assert (seen.id, seen.name, seen.status, seen.running) == (id_, ONE, "created", False)
    assert seen.started_at == "0001-01-01T00:00:00Z"
    assert seen.image == subject.image
    assert seen.image_id == engine.image(subject.image).id
    engine.start(ONE)
    assert engine.container(ONE).status == "running"
    engine.stop(ONE, timeout_s=1)
    seen = engine.container(ONE)
    assert (seen.status, seen.running) == ("exited", False)
    assert engine.container(id_).name == ONE


@case
def to_start_what_runs_and_to_stop_what_does_not_changes_nothing(subject: Subject) -> None:
    engine = subject.engine
    engine.create(ONE, subject.sleeper())
    engine.stop(ONE, timeout_s=1)
    assert engine.container(ONE).status == "created"
    engine.start(ONE)
    began = engine.container(ONE).started_at
    engine.start(ONE)
    assert engine.container(ONE).started_at == began
    engine.stop(ONE, timeout_s=1)
    engine.stop(ONE, timeout_s=1)


@case
def restart_starts_anew_and_also_what_does_not_run(subject: Subject) -> None:
    engine = subject.engine
    subject.started()
    began = engine.container(ONE).started_at
    engine.restart(ONE, timeout_s=1)
    assert engine.container(ONE).started_at != began
    engine.stop(ONE, timeout_s=1)
    engine.restart(ONE, timeout_s=1)
    assert engine.container(ONE).status == "running"


@case
def what_runs_is_removed_only_by_force(subject: Subject) -> None:
    engine = subject.engine
    subject.started()
    with refused(409):
        engine.remove(ONE)
    engine.remove(ONE, force=True)
    with not_found("container"):
        engine.container(ONE)
    engine.create(ONE, subject.sleeper())
    engine.remove(ONE)


@case
def a_name_belongs_to_one_container(subject: Subject) -> None:
    engine = subject.engine
    engine.create(ONE, subject.sleeper())
    with refused(409):
        engine.create(ONE, subject.sleeper())
    engine.create(TWO, subject.sleeper())
    with refused(409):
        engine.rename(ONE, TWO)
    with refused(400):
        engine.rename(ONE, ONE)
    engine.remove(TWO)
    id_ = engine.container(ONE).id
    engine.rename(ONE, TWO)
    assert engine.container(TWO).id == id_
    with not_found("container"):
        engine.container(ONE)


@case
def a_list_of_all_has_also_what_does_not_run_the_newest_first(subject: Subject) -> None:
    engine = subject.engine
    subject.started()
    engine.create(TWO, subject.sleeper())
    assert [one.name for one in engine.listed() if one.name in (ONE, TWO)] == [TWO, ONE]
    assert [one.name for one in engine.running() if one.name in (ONE, TWO)] == [ONE]


@case
def a_container_keeps_running_when_its_name_changes(subject: Subject) -> None:
    subject.started()
    subject.engine.rename(ONE, TWO)
    assert subject.engine.container(TWO).status == "running"


@case
def kill_is_refused_for_what_does_not_run(subject: Subject) -> None:
    engine = subject.engine
    engine.create(ONE, subject.sleeper())
    with refused(409):
        engine.kill(ONE)
    engine.start(ONE)
    engine.kill(ONE)
    assert engine.wait(ONE, timeout_s=30) == 137
    assert engine.container(ONE).status == "exited"


@case
def a_paused_container_counts_as_running_and_takes_no_orders(subject: Subject) -> None:
    engine = subject.engine
    subject.started()
    with refused(500):
        engine.unpause(ONE)
    engine.pause(ONE)
    seen = engine.container(ONE)
    assert (seen.status, seen.running) == ("paused", True)
    with refused(409):
        engine.start(ONE)
    with refused(409):
        engine.pause(ONE)
    with refused(409):
        engine.exec(ONE, ["true"])
    with refused(409):
        engine.remove(ONE)
    engine.unpause(ONE)
    assert engine.container(ONE).status == "running"


@case
def a_paused_container_can_be_stopped(subject: Subject) -> None:
    subject.started()
    subject.engine.pause(ONE)
    subject.engine.stop(ONE, timeout_s=1)
    assert subject.engine.container(ONE).status == "exited"


@case
def a_restart_policy_is_seen_at_once(subject: Subject) -> None:
    engine = subject.engine
    engine.create(ONE, subject.sleeper(restart_policy="always"))
    assert engine.container(ONE).restart_policy == "always"
    engine.set_restart_policy(ONE, "on-failure", retries=3)
    seen = engine.container(ONE)
    assert (seen.restart_policy, seen.restart_retries) == ("on-failure", 3)
    engine.set_restart_policy(ONE, "no")
    assert engine.container(ONE).restart_policy == "no"


@case
def what_somebody_stopped_stays_stopped_whatever_its_policy(subject: Subject) -> None:
    for policy in ("unless-stopped", "always"):
        subject.clear()
        subject.started(restart_policy=policy)
        subject.engine.stop(ONE, timeout_s=1)
        assert subject.engine.container(ONE).status == "exited"


@case
def the_exit_code_of_a_first_process_is_told(subject: Subject) -> None:
    engine = subject.engine
    engine.create(ONE, NewContainer(subject.image, ["false"]))
    engine.start(ONE)
    assert engine.wait(ONE, timeout_s=30) == 1
    assert engine.container(ONE).exit_code == 1
    assert engine.wait(ONE, timeout_s=30) == 1


@case
def containers_are_found_by_label_network_and_volume(subject: Subject) -> None:
    engine = subject.engine
    engine.create_network(NET)
    engine.create_volume(DATA)
    engine.create(ONE, subject.sleeper(network=NET))
    engine.create(TWO, subject.sleeper(volumes=[f"{DATA}:/data"]))

    def names(**wanted: str) -> set[str]:
        return {one.name for one in engine.containers(**wanted)}

    assert names(label="contract=yes") == {ONE, TWO}
    assert names(label="contract") == {ONE, TWO}
    assert names(label="contract=no") == set()
    assert names(network=NET) == {ONE}
    assert names(volume=DATA) == {TWO}
    assert names(label="contract", volume=DATA) == {TWO}
    assert {ONE, TWO} <= names()


# --- Programs in containers


@case
def exec_gives_input_environment_and_exit_code(subject: Subject) -> None:
    engine = subject.engine
    subject.started()
    content = bytes(range(256)) * 1000
    assert engine.exec(ONE, ["cat"], stdin=content).stdout == content
    into = io.BytesIO()
    assert engine.exec(ONE, ["cat"], stdin=io.BytesIO(content), stdout=into).stdout == b""
    assert into.getvalue() == content
    assert engine.exec(ONE, ["cat"], stdin=b"").stdout == b""
    assert engine.exec(ONE, ["echo", "unread"], stdin=content * 20).stdout == b"unread\n"
    assert engine.exec(ONE, ["false"], accept=(0, 1)).exit_code == 1
    with pytest.raises(ProgramFailed):
        engine.exec(ONE, ["false"])


@case
def a_program_that_the_image_lacks_ends_with_126_or_127(subject: Subject) -> None:
    subject.started()
    assert subject.engine.exec(ONE, ["no-such-program"], accept=(126, 127)).stderr == b""


@case
def exec_is_refused_where_nothing_runs(subject: Subject) -> None:
    subject.engine.create(ONE, subject.sleeper())
    with refused(409):
        subject.engine.exec(ONE, ["true"])


@case
def what_runs_once_is_gone_when_it_has_ended(subject: Subject) -> None:
    engine = subject.engine
    assert engine.run(ONE, NewContainer(subject.image, ["cat"]), stdin=b"in").stdout == b"in"
    with not_found("container"):
        engine.container(ONE)
    failed = engine.run(ONE, NewContainer(subject.image, ["false"]), accept=(1,))
    assert failed.exit_code == 1
    with pytest.raises(ProgramFailed) as caught:
        engine.run(ONE, NewContainer(subject.image, ["cat", "/no/such/file"]))
    assert b"/no/such/file" in caught.value.errors
    with not_found("container"):
        engine.container(ONE)


@case
def an_entrypoint_takes_the_place_of_the_images(subject: Subject) -> None:
    new = NewContainer(subject.image, entrypoint=["cat"])
    assert subject.engine.run(ONE, new, stdin=b"x").stdout == b"x"


@case
def a_run_under_a_name_that_is_taken_is_refused_and_touches_nothing(subject: Subject) -> None:
    engine = subject.engine
    id_ = subject.started()
    with refused(409):
        engine.run(ONE, NewContainer(subject.image, ["true"]))
    assert engine.container(ONE).id == id_
    assert engine.container(ONE).status == "running"


@case
def an_image_that_is_missing_is_no_word_on_the_container(subject: Subject) -> None:
    missing = NewContainer(f"{PREFIX}none:1", ["true"])
    with refused(404):
        subject.engine.create(ONE, missing)
    with refused(404):
        subject.engine.run(ONE, missing)


@case
def a_file_that_is_missing_is_not_the_container(subject: Subject) -> None:
    subject.started(volumes=[f"{DATA}:/data"])
    subject.engine.exec(ONE, ["tee", "/data/file"], stdin=b"content")
    assert subject.engine.read_file(ONE, "/data/file") == b"content"
    with not_found("file"):
        subject.engine.read_file(ONE, "/data/none")


# --- Volumes


@case
def a_volume_is_made_once_and_keeps_what_it_has(subject: Subject) -> None:
    engine = subject.engine
    with not_found("volume"):
        engine.volume(DATA)
    engine.create_volume(DATA, labels={"made": "first"})
    new = NewContainer(subject.image, ["tee", "/data/file"], volumes=[f"{DATA}:/data"])
    engine.run(ONE, new, stdin=b"content")
    engine.create_volume(DATA, labels={"made": "second"})
    assert engine.volume(DATA).labels == {"made": "first"}
    again = NewContainer(subject.image, ["cat", "/data/file"], volumes=[f"{DATA}:/data:ro"])
    assert engine.run(ONE, again).stdout == b"content"
    assert DATA in {volume.name for volume in engine.volumes()}


@case
def a_volume_that_is_missing_is_made_for_a_container(subject: Subject) -> None:
    subject.engine.create(ONE, subject.sleeper(volumes=[f"{DATA}:/data"]))
    assert subject.engine.volume(DATA).name == DATA
    assert subject.engine.container(ONE).mounts[0].volume == DATA


@case
def a_volume_mounted_read_only_is(subject: Subject) -> None:
    new = NewContainer(subject.image, ["tee", "/data/file"], volumes=[f"{DATA}:/data:ro"])
    assert subject.engine.run(ONE, new, stdin=b"x", accept=(1,)).exit_code == 1


@case
def a_volume_stays_while_any_container_has_it(subject: Subject) -> None:
    engine = subject.engine
    engine.create_volume(DATA)
    engine.create(ONE, subject.sleeper(volumes=[f"{DATA}:/data"]))
    with refused(409):
        engine.remove_volume(DATA)
    engine.remove(ONE, volumes=True)
    assert engine.volume(DATA).name == DATA  # it has a name, so it is not removed with its container
    engine.remove_volume(DATA)
    with not_found("volume"):
        engine.remove_volume(DATA)


# --- Networks


@case
def a_network_is_made_once(subject: Subject) -> None:
    engine = subject.engine
    with not_found("network"):
        engine.network(NET)
    engine.create_network(NET, internal=True, labels=LABEL)
    seen = engine.network(NET)
    assert (seen.name, seen.driver, seen.internal, seen.labels) == (NET, "bridge", True, LABEL)
    assert seen.subnets
    with refused(409):
        engine.create_network(NET)
    assert NET in {network.name for network in engine.networks(label="contract=yes")}


@case
def a_network_stays_while_a_container_runs_in_it(subject: Subject) -> None:
    engine = subject.engine
    engine.create_network(NET)
    id_ = subject.started(network=NET, aliases=["alias"])
    seen = engine.network(NET)
    assert list(seen.containers) == [id_]
    assert engine.container(ONE).networks[NET].network_id == seen.id
    assert "alias" in engine.container(ONE).networks[NET].aliases
    with refused(403):
        engine.remove_network(NET)
    engine.stop(ONE, timeout_s=1)
    assert not engine.network(NET).containers
    engine.remove_network(NET)
    with not_found("network"):
        engine.remove_network(NET)
    # The container is there, its network is not: that is no NotFound.
    with refused(404):
        engine.start(ONE)
    assert engine.container(ONE).status == "exited"


# --- Images


@case
def a_tag_names_one_image_and_can_move(subject: Subject) -> None:
    engine = subject.engine
    tag = f"{PREFIX}tag:1"
    with not_found("image"):
        engine.image(tag)
    with not_found("image"):
        engine.tag(f"{PREFIX}none:1", tag)
    id_ = engine.image(subject.image).id
    engine.tag(subject.image, tag)
    engine.tag(id_, tag)
    assert engine.image(tag).id == id_
    assert tag in engine.image(id_).tags
    engine.remove_image(tag)
    assert engine.image(subject.image).id == id_  # it has another name
    with not_found("image"):
        engine.remove_image(tag)


@case
def an_image_without_a_tag_is_found_by_its_id(subject: Subject) -> None:
    id_ = subject.engine.image(subject.image).id
    assert id_.startswith("sha256:")
    assert subject.engine.image(id_).id == id_


@case
def the_engine_tells_who_it_is(subject: Subject) -> None:
    info, version = subject.engine.info(), subject.engine.version()
    assert info.version == version.engine
    assert info.root.startswith("/")
    assert subject.engine.ping() == version.api
    assert version.oldest_api


@case
def events_of_the_past_are_told_and_end(subject: Subject) -> None:
    subject.started()
    subject.engine.kill(ONE)
    subject.engine.wait(ONE, timeout_s=30)
    seen = subject.engine.events(since_s=0, until_s=subject.now_s() + 1, kind="container", label="contract=yes")
    actions = [event.action for event in seen if event.name == ONE]
    assert [action for action in actions if action in ("create", "start", "die")][-3:] == ["create", "start", "die"]


# --- A swarm


@case
def a_host_in_no_swarm_refuses_what_managers_answer(subject: Subject) -> None:
    if subject.engine.info().member.manages:
        return
    for call in (subject.engine.nodes, subject.engine.services, subject.engine.secrets, subject.engine.configs):
        with refused(503):
            call()
    with refused(503):
        subject.engine.service(f"{PREFIX}service")


@swarm_case
def what_a_swarm_does_not_have_is_told_by_kind(subject: Subject) -> None:
    engine = subject.engine
    with not_found("service"):
        engine.service(f"{PREFIX}none")
    with not_found("service"):
        engine.tasks(f"{PREFIX}none")
    with not_found("node"):
        engine.node(f"{PREFIX}none")
    with not_found("secret"):
        engine.secret(f"{PREFIX}none")
    with not_found("config"):
        engine.config(f"{PREFIX}none")
    with not_found("volume"):
        engine.volume(f"{PREFIX}none")  # in other words than on a host in no swarm


@swarm_case
def a_manager_is_among_its_nodes(subject: Subject) -> None:
    member = subject.engine.info().member
    assert (member.state, member.manages) == ("active", True)
    node = subject.engine.node(member.id)
    assert (node.role, node.able) == ("manager", True)
    assert node.id in {one.id for one in subject.engine.nodes()}


@swarm_case
def secrets_and_configs_are_made_once_and_found_by_label(subject: Subject) -> None:
    engine = subject.engine
    name = f"{PREFIX}secret"
    try:
        id_ = engine.create_secret(name, b"\x00content", labels=LABEL)
        assert engine.secret(name).id == id_
        assert [one.name for one in engine.secrets(label="contract=yes")] == [name]
        with refused(409):
            engine.create_secret(name, b"other")
        engine.create_config(name, b"content", labels=LABEL)
        assert [one.name for one in engine.configs(label="contract")] == [name]
        with refused(409):
            engine.create_config(name, b"other")
    finally:
        for remove in (engine.remove_secret, engine.remove_config):
            with contextlib.suppress(NotFound, Unavailable):
                remove(name)
    with not_found("secret"):
        engine.remove_secret(name)
