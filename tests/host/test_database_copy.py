"""The copy of the database for the way back: both names change or neither does, and it can be begun again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.host.fake_docker import Docker
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeKernel
from tests.host.fake_postgres import IMAGE, VOLUME, Server
from tests.host.points import Points, every_crash, every_failure
from webui_stack.host.data import cluster
from webui_stack.host.data.database_copy import DatabaseCopy
from webui_stack.host.data.roles import Roles
from webui_stack.host.engine import NewContainer


class World:
    """Postgres runs with people's rows, and a copy of them that was made before they wrote more."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.docker = Docker()
        self.server = Server(self.docker)
        self.docker.put_image(IMAGE, replace(self.server.program()))
        new = NewContainer(IMAGE, env={"POSTGRES_PASSWORD": "x"}, volumes=[f"{VOLUME}:{cluster.DATA}"])
        self.docker.put_container("postgres", replace(new, restart_policy="always"))
        self.engine = FakeEngine(self.docker, faults=Points(self.kernel))
        self.rows("before")
        self.copy().make()
        self.rows("since")

    def copy(self) -> DatabaseCopy:
        return DatabaseCopy(Roles(self.engine, "postgres"))

    def rows(self, text: str) -> None:
        state = self.server.state()
        self.server.put({**state, "databases": {**state["databases"], "open-webui": text}})

    def boot(self) -> None:
        self.docker.power_cut()

    @property
    def there(self) -> dict[str, str]:
        return self.server.databases


def test_a_copy_is_what_was_there_and_replaces_an_earlier_one() -> None:
    world = World()
    assert world.there == {"open-webui": "since", "open-webui.before": "before"}
    world.copy().make()
    assert world.there == dict.fromkeys(("open-webui", "open-webui.before"), "since")
    world.copy().drop()
    assert world.there == {"open-webui": "since"}
    assert not world.copy().is_there()


def test_the_copy_serves_and_what_served_is_gone_or_aside() -> None:
    world = World()
    world.copy().put_back()
    assert world.there == {"open-webui": "before"}
    world = World()
    world.copy().put_back("open-webui.20261129T030000Z")
    assert world.there == {"open-webui": "before", "open-webui.20261129T030000Z": "since"}


def test_without_a_copy_what_serves_stays() -> None:
    """L13: it was put back before, and cut off after that."""
    world = World()
    world.copy().put_back()
    world.rows("newer")
    world.copy().put_back()
    assert world.there == {"open-webui": "newer"}


def put_back(world: World) -> None:
    world.copy().put_back()


def put_aside(world: World) -> None:
    world.copy().put_back("open-webui.aside")


@pytest.mark.crash
@pytest.mark.parametrize("aside", ["", "open-webui.aside"])
def test_a_way_back_that_is_cut_off_is_ended_by_the_next_one(aside: str) -> None:
    change = put_aside if aside else put_back
    for where, world in every_crash(World(), change, ends=(None, True)):
        assert world.there["open-webui"] in ("before", "since"), where
        change(world)
        assert world.there == {"open-webui": "before", **({aside: "since"} if aside else {})}, where
    for where, world, _ in every_failure(World(), change):
        change(world)
        assert world.there["open-webui"] == "before", where
