"""The overlay of a stack in a swarm: given to Docker behind stack.yaml, waited for, and part of the release."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import pytest

from tests.host.fake_docker import Program
from tests.host.points import every_crash
from tests.host.test_swarm_up import FOLDER, World, changes_outside, ends_well, healthy, ill, runs, up_setting
from webui_stack.host.errors import HostError
from webui_stack.host.stack import OVERLAY
from webui_stack.host.stack_file import StackFile

PATH = f"{FOLDER}/{OVERLAY}"
SIDECAR = 'services:\n  tika:\n    image: "tika:1"\n'
TIKA = "open-webui_tika"


class Overlaid(World):
    """The swarm of test_swarm_up.py. Each setting has an overlay, or has none."""

    def __init__(self, overlays: Mapping[str, str]) -> None:
        self.overlays = overlays
        super().__init__()
        self.docker.put_image("tika:1", Program(health=healthy))
        self.docker.put_image("tika:ill", Program(main=ill))

    def put(self, setting: str, *, replicas: int = 2) -> None:
        super().put(setting, replicas=replicas)
        self.files.remove(PATH)
        if setting in self.overlays:
            text = self.files.read_text(f"{FOLDER}/stack.yaml")
            self.files.write(f"{FOLDER}/stack.yaml", f'x-overlay-services: ["tika"]\n{text}')
            self.files.write(PATH, self.overlays[setting], mode=0o644)

    def left(self) -> list[str]:
        return [name for name in super().left() if name != OVERLAY]


def deployed(overlays: Mapping[str, str], setting: str = "other") -> Overlaid:
    world = Overlaid(overlays)
    world.deploy("1")
    world.add("hello")
    world.clock.sleep(60)
    world.put(setting)
    world.said.clear()
    return world


def test_a_service_of_the_overlay_runs_before_a_deploy_is_good_and_goes_with_the_next() -> None:
    world = deployed({"other": SIDECAR})
    world.up()
    assert len(world.tasks(TIKA)) == 1
    assert OVERLAY in world.good("sums")
    assert [line.split()[1:] for line in world.good("images").splitlines()][-1] == ["tika:1", "/tika"]
    assert f"{TIKA} " in world.good("known")
    world.deploy("1", "last")
    assert TIKA not in world.swarm.services
    assert world.good(OVERLAY) == ""


def test_the_inputs_of_a_release_are_those_that_the_survey_compares() -> None:
    world = deployed({"other": SIDECAR})
    world.up()
    inputs = world.good("stack.yaml") + SIDECAR + world.good(".env")
    assert f"inputs {hashlib.sha256(inputs.encode()).hexdigest()}\n" in world.good("known")


def test_an_overlay_that_does_not_run_goes_with_the_deploy_that_brought_it() -> None:
    world = deployed({"other": SIDECAR.replace(":1", ":ill")})
    with pytest.raises(HostError, match="that one runs; the change is not in force"):
        world.up()
    assert (world.serving(), TIKA in world.swarm.services) == (runs("1"), False)
    assert world.files.read_text(PATH) is None


def test_the_files_are_given_in_the_order_in_which_the_swarm_merges_them() -> None:
    world = Overlaid({"1": SIDECAR})
    file = StackFile(world.files, FOLDER)
    assert file.paths() == [f"{FOLDER}/stack.yaml", PATH]
    assert file.services() == ["redis", "postgres", "open-webui", "proxy", "tika"]
    world.put("other")
    assert (file.paths(), file.of_overlay()) == ([f"{FOLDER}/stack.yaml"], [])


SCENARIOS: Mapping[str, tuple[Callable[[], World], list[list[str]]]] = {
    "a service comes": (lambda: deployed({"other": SIDECAR}), [runs("1"), runs("1", "other")]),
    "a service goes": (lambda: deployed({"1": SIDECAR}), [runs("1"), runs("1", "other")]),
}


@pytest.mark.crash
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_deploy_with_an_overlay_that_is_cut_off_anywhere_ends_well(name: str) -> None:
    start, served = SCENARIOS[name]
    crashes = 0
    for where, world in every_crash(start(), up_setting, points=changes_outside, ends=(None, True)):
        ends_well(world, where, served)
        assert TIKA not in world.swarm.services, where  # the last deploy has none
        crashes += 1
    assert crashes > 15
