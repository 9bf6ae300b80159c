"""The overlay on a host: part of each release, merged by each call of compose; its services come, stay and go by it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.host.fake_docker import Program
from tests.host.points import every_crash, every_failure, outside
from tests.host.test_up import (
    ADOPTION,
    ASKED,
    BY_HAND,
    FIRST,
    FOLDER,
    World,
    changes_outside,
    ends_well,
    ill,
    serves,
)
from webui_stack.host import compose, stack
from webui_stack.host.engine import NewContainer
from webui_stack.host.errors import HostError
from webui_stack.host.releases import DamagedError
from webui_stack.host.stack import FOLDER_LABEL, OVERLAY
from webui_stack.host.system import Ended, System

PATH = f"{FOLDER}/{OVERLAY}"
SIDECAR = "services:\n  tika:\n    image: tika:1\n"
ILL = "services:\n  tika:\n    image: tika:ill\n"
LABEL = "services:\n  open-webui-2:\n    labels:\n      open-webui-stack.test: yes\n"
TIKA = "open-webui-tika-1"
WITH = {TIKA: "tika:1"}


class Overlaid(World):
    """The host of test_up.py. Each version has an overlay, or has none."""

    def __init__(self, overlays: Mapping[object, str]) -> None:
        self.overlays = overlays
        super().__init__()
        self.docker.put_image("tika:1", Program(health=lambda _: ""))
        self.docker.put_image("tika:ill", Program(health=ill))

    def put(self, version: object, *, appendonly: bool = False) -> None:
        super().put(version, appendonly=appendonly)
        if version in self.overlays:
            self.files.write(PATH, self.overlays[version], mode=0o644)
        else:
            self.files.remove(PATH)

    def left(self) -> list[str]:
        return [name for name in super().left() if name != OVERLAY]


def deployed(overlays: Mapping[object, str], version: object = 2) -> Overlaid:
    """The first version is in force; the files of another are there."""
    world = Overlaid(overlays)
    world.deploy(1)
    world.clock.sleep(60)
    world.put(version)
    world.said.clear()
    return world


def overlay(world: World, folder: str = FOLDER) -> str | None:
    return world.files.read_text(f"{folder}/{OVERLAY}")


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "programs", lambda: "p  -")


# --- The story


def test_a_service_of_the_overlay_comes_with_a_deploy_and_goes_with_the_next() -> None:
    world = deployed({2: SIDECAR})
    world.up()
    assert world.serving() == {**serves(2), **WITH}
    world.deploy(3)
    assert (world.serving(), world.said) == (serves(3), [f"removed {TIKA}"])


def test_only_the_service_that_the_overlay_changes_is_replaced() -> None:
    world = deployed({}, 1)
    world.files.write(PATH, LABEL)
    before = {one.name: one.id for one in world.docker.held.values()}
    world.up(replace(ASKED, image="webui:1"))
    after = {one.name: one.id for one in world.docker.held.values()}
    assert {name for name in before if before[name] != after[name]} == {"open-webui-2"}


def test_containers_of_the_folder_that_no_overlay_made_are_left_alone() -> None:
    world = deployed({1: SIDECAR})
    labels = {FOLDER_LABEL: FOLDER, "com.docker.compose.service": "own"}
    files = {stack._FILES_LABEL: f"{FOLDER}/compose.yaml,/root/mine.yaml"}
    world.docker.put_container("mine", NewContainer("webui:1", labels={**labels, **files}))
    once = {stack._FILES_LABEL: f"{FOLDER}/compose.yaml,{PATH}", stack._ONE_OFF_LABEL: "True"}
    world.docker.put_container("once", NewContainer("webui:1", labels={**labels, **once}))
    world.docker.put_container("tika", NewContainer("webui:1"))
    world.up()
    assert world.said == [f"removed {TIKA}"]
    assert {"mine", "once", "tika"} <= set(world.serving())


def test_an_overlay_that_does_not_get_healthy_goes_with_the_deploy_that_brought_it() -> None:
    world = deployed({2: ILL})
    with pytest.raises(HostError, match="that one runs again"):
        world.up()
    assert (world.serving(), overlay(world)) == (serves(1), None)
    assert any(line.startswith(f"{TIKA} is running unhealthy") for line in world.said)


def test_an_overlay_that_was_taken_away_comes_back_with_its_release() -> None:
    world = deployed({1: SIDECAR}, "ill")
    with pytest.raises(HostError, match="that one runs again"):
        world.up(replace(ASKED, image="webui:ill"))
    assert (world.serving(), overlay(world)) == ({**serves(1), **WITH}, SIDECAR)


def test_what_was_made_by_hand_comes_back_without_the_overlay() -> None:
    world = Overlaid({"ill": SIDECAR})
    world.by_hand()
    world.put("ill")
    with pytest.raises(HostError, match="nothing was taken over"):
        world.up(replace(ADOPTION, image="webui:ill"))
    assert world.serving() == BY_HAND


def test_services_of_the_overlay_start_after_those_of_the_stack_that_they_may_depend_on() -> None:
    world = deployed({2: SIDECAR})
    world.project.changes.clear()
    world.up()
    assert world.project.changes == ["up redis", "up open-webui", "up open-webui-2", "up tika"]


# --- Releases


def test_a_release_has_the_overlay_its_image_and_compose_s_word_on_both() -> None:
    world = Overlaid({1: SIDECAR})
    world.deploy(1)
    assert overlay(world, f"{FOLDER}/.good") == SIDECAR
    images = world.files.read_text(f"{FOLDER}/.good/images") or ""
    assert images.splitlines()[-1].endswith(f" tika:1 /{TIKA}")
    known = world.files.read_text(f"{FOLDER}/.good/known") or ""
    text, env = (world.files.read_text(f"{FOLDER}/{name}") or "" for name in ("compose.yaml", ".env"))
    assert f"key {compose.key(text + SIDECAR, env.rstrip())}" in known
    assert "hash tika " in known


@pytest.mark.parametrize("change", ["its text", "that it is there"])
def test_a_deploy_with_another_overlay_is_another_release(change: str) -> None:
    world = Overlaid({1: SIDECAR})
    world.deploy(1)
    world.clock.sleep(60)
    if change == "its text":
        world.files.write(PATH, f"# the same, and more\n{SIDECAR}")
    else:
        world.files.remove(PATH)
    world.up(replace(ASKED, image="webui:1"))
    assert world.releases.names() == [FIRST]
    assert overlay(world, f"{FOLDER}/.deploys/{FIRST}") == SIDECAR


@pytest.mark.parametrize("overlays", [{1: SIDECAR}, {2: SIDECAR}], ids=["had one", "had none"])
def test_an_earlier_release_brings_its_overlay_or_takes_it_away(overlays: dict[object, str]) -> None:
    world = deployed(overlays)
    world.up()
    world.releases.take(world.releases.earlier(FIRST))
    assert overlay(world) == overlays.get(1)
    world.releases.recall()
    assert overlay(world) == overlays.get(2)


def test_a_release_that_lost_its_overlay_is_damaged() -> None:
    world = Overlaid({1: SIDECAR})
    world.deploy(1)
    world.files.remove(f"{FOLDER}/.good/{OVERLAY}")
    with pytest.raises(DamagedError, match=OVERLAY):
        world.releases.recall()
    assert overlay(world) == SIDECAR


# --- What compose is given


class FakeSystem(System):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, ...]] = []

    def carry_out(self, *command: str, **_: object) -> Ended:
        self.asked.append(command)
        return Ended(0, "redis\ntika\n", "")


@pytest.mark.parametrize("there", [True, False])
def test_every_call_of_compose_names_the_overlay_that_is_there(there: bool) -> None:
    world, system = Overlaid({1: SIDECAR} if there else {}), FakeSystem()
    project = compose.Compose(system, world.files, FOLDER, wait_s=1)
    for ask in (project.up, project.services, lambda: project.restart("redis"), lambda: project.remove("redis")):
        ask()
    given = (*("--file", f"{FOLDER}/compose.yaml"), *(("--file", PATH) if there else ()))
    assert {command[4 : 4 + len(given)] for command in system.asked} == {given}
    assert {command[4 + len(given)] for command in system.asked} == {"up", "config", "restart", "rm"}


def test_compose_is_asked_about_an_overlay_that_is_not_on_the_host_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\necho "first $(cat | tr -d "\\n")"\nfor last; do case $last in /proc/*) cat $last;; esac; done\n'
    )
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert compose.hashes(System(), FOLDER, "file", "", "second overlay") == {"first": "file", "second": "overlay"}
    assert compose.hashes(System(), FOLDER, "file", "") == {"first": "file"}


# --- Killed, cut off, and failing, everywhere


def deploy_2(world: World) -> None:
    world.up()


def deploy_ill(world: World) -> None:
    world.up(replace(ASKED, image="webui:ill"))


def adopt_ill(world: World) -> None:
    world.up(replace(ADOPTION, image="webui:ill"))


def taken_over_with_ill() -> World:
    world = Overlaid({"ill": SIDECAR})
    world.by_hand()
    world.put("ill")
    return world


SCENARIOS: Mapping[str, tuple[Callable[[], World], Callable[[World], None], list[dict[str, str]]]] = {
    "a service comes": (lambda: deployed({2: SIDECAR}), deploy_2, [serves(1), {**serves(2), **WITH}]),
    "a service goes": (lambda: deployed({1: SIDECAR}), deploy_2, [{**serves(1), **WITH}, serves(2)]),
    "one that is ill comes": (lambda: deployed({2: ILL}), deploy_2, [serves(1)]),
    "one goes, and ill": (lambda: deployed({1: SIDECAR}, "ill"), deploy_ill, [{**serves(1), **WITH}]),
    "a take over by one that is ill": (taken_over_with_ill, adopt_ill, [BY_HAND]),
}


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_deploy_with_an_overlay_that_is_cut_off_anywhere_ends_well(name: str) -> None:
    start, change, served = SCENARIOS[name]
    crashes = 0
    for where, world in every_crash(start(), change, points=changes_outside, ends=(None, True)):
        ends_well(world, where, served)
        assert overlay(world) is None, where  # the last deploy has none
        crashes += 1
    assert crashes > 30


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_deploy_with_an_overlay_in_which_a_call_fails_ends_well(name: str) -> None:
    start, change, served = SCENARIOS[name]
    for where, world, error in every_failure(start(), change, points=outside):
        if error is None:
            assert world.serving() == served[-1], where
        ends_well(world, where, served)
