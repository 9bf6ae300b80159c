"""What is wanted runs on people's data as they are, or nothing is stopped: no answer is no permission."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_docker import Docker
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles
from webui_stack.host.containers import Containers
from webui_stack.host.data.compatibility import OPEN_WEBUI, POSTGRES, VALKEY, Compatibility, Wanted
from webui_stack.host.data.sqlite import Schema
from webui_stack.host.engine import NewContainer, Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.stack import FOLDER_LABEL

FOLDER = "/opt/stack"
VOLUMES = {OPEN_WEBUI: "open-webui", VALKEY: "redis-data", POSTGRES: "rows"}
NEWER = {OPEN_WEBUI: "webui:2", VALKEY: "valkey:9", POSTGRES: "postgres:2"}
SAME = {OPEN_WEBUI: "webui:1", VALKEY: "valkey:8", POSTGRES: "postgres:1"}
WANTED = Wanted(FOLDER, NEWER, VOLUMES, "sqlite")
OLDER = Schema("older", "a1", "b2")


class World:
    """A stack with data runs; `asked` notes which of the wanted images were asked about the data."""

    def __init__(self) -> None:
        self.docker = Docker()
        self.files = FakeFiles()
        self.asked: list[str] = []
        self.unread: str | HostError = ""
        self.place: HostError | None = None
        self.version: HostError | None = None
        self.said: Schema | HostError = Schema("same", "a1", "a1")
        for name in (*SAME.values(), *NEWER.values()):
            self.docker.put_image(name)
        for container, image in SAME.items():
            volume = VOLUMES[container]
            self.docker.put_volume(volume, {"data": b"x"})
            new = NewContainer(image, labels={FOLDER_LABEL: FOLDER}, volumes=[f"{volume}:/data"])
            self.docker.put_container(container, new)
        self.files.make_folder(FOLDER)
        self.files.write(f"{FOLDER}/.env", "WEBUI_SECRET_KEY='x'\n")

    def check(self, wanted: Wanted = WANTED) -> None:
        engine = FakeEngine(self.docker)
        containers = Containers(engine, FakeClock())
        Compatibility(self.files, engine, containers, self, self, self.schema, wanted).check()

    # --- The wanted images

    def refusal(self) -> str:
        return str(self._answer("valkey", self.unread))

    def check_place(self) -> None:
        self._answer("place", self.place)

    def check_version(self) -> None:
        self._answer("version", self.version)

    def schema(self) -> Schema:
        return self._answer("schema", self.said)  # type: ignore[no-any-return]

    def _answer(self, name: str, answer: Any) -> Any:
        self.asked.append(name)
        if isinstance(answer, HostError):
            raise answer
        return answer


NOBODY = HostError("Valkey", expected="to look at the data in its volume", got="no answer", do="run this again")


def test_images_that_run_on_their_data_are_asked_nothing() -> None:
    world = World()
    world.check(replace(WANTED, images=SAME, database="postgres"))
    assert world.asked == ["place"]


def test_newer_images_that_read_the_data_may_run() -> None:
    world = World()
    world.check()
    assert world.asked == ["valkey", "schema"]
    world.asked.clear()
    world.check(replace(WANTED, database="postgres"))
    assert world.asked == ["valkey", "place", "version", "schema"]


def test_without_a_volume_there_are_no_data_to_look_at() -> None:
    world = World()
    for name in SAME:
        world.docker.drop(world.docker.named(name))
    for volume in VOLUMES.values():
        del world.docker.volumes[volume]
    world.check(replace(WANTED, database="postgres"))
    assert world.asked == ["place"]


def test_data_without_a_container_are_looked_at() -> None:
    world = World()
    for name in SAME:
        world.docker.drop(world.docker.named(name))
    world.check(replace(WANTED, images=SAME, database="postgres"))
    assert world.asked == ["valkey", "place", "version", "schema"]


def test_a_valkey_that_does_not_read_the_data_is_refused_in_its_own_words() -> None:
    world = World()
    world.unread = "Can't handle RDB format version 99"
    with pytest.raises(HostError) as caught:
        world.check()
    assert str(caught.value) == (
        "valkey_image: expected a Valkey that reads the data there are, got Can't handle RDB format version 99; set a "
        "newer one"
    )


def test_a_newer_schema_is_left_to_an_upgrade_and_to_data_that_come_out_of_a_set() -> None:
    world = World()
    world.said = OLDER
    with pytest.raises(HostError) as caught:
        world.check()
    assert str(caught.value) == (
        "open_webui_image: expected the schema the data have, got one that changes it (a1 to b2); runbooks/upgrade.py "
        "rehearses that, and can go back"
    )
    world.check(replace(WANTED, migrates=True))


@pytest.mark.parametrize("maker", [None, ""], ids=["no container", "one made by hand"])
def test_an_upgrade_begins_from_the_version_that_wrote_the_data(maker: str | None) -> None:
    world = World()
    world.said = OLDER
    world.docker.drop(world.docker.named(OPEN_WEBUI))
    if maker is not None:
        world.docker.put_container(OPEN_WEBUI, NewContainer("webui:1"))
    do = "set the version they are from, deploy, and change it with runbooks/upgrade.py"
    with pytest.raises(HostError, match=do):
        world.check()


@pytest.mark.parametrize("migrates", [False, True])
def test_an_open_webui_that_is_older_than_the_data_is_refused(migrates: bool) -> None:
    world = World()
    world.said = Schema("newer", "b2", "a1")
    with pytest.raises(HostError) as caught:
        world.check(replace(WANTED, migrates=migrates))
    assert str(caught.value) == (
        "open_webui_image: expected an Open WebUI that knows the data's schema, got an older one (b2 to a1); set a "
        "newer one, or go back with runbooks/rollback.py"
    )


def test_of_an_external_database_nobody_is_asked() -> None:
    world = World()
    world.files.write(f"{FOLDER}/.env", "DATABASE_URL='postgresql://u:p@db.example.org/x'\n")
    world.check(replace(WANTED, database="external"))
    assert world.asked == ["valkey"]
    world.files.write(f"{FOLDER}/.env", "DATABASE_URL='postgresql://open-webui:p@postgres:5432/open-webui'\n")
    world.check(replace(WANTED, database="postgres"))
    assert world.asked[1:] == ["valkey", "place", "version", "schema"]


def test_an_image_that_gives_no_schema_is_named() -> None:
    world = World()
    world.said = HostError("schema", expected="an answer of Open WebUI's image", got="exit code 1", do="fix that")
    with pytest.raises(HostError) as caught:
        world.check()
    assert str(caught.value) == (
        "open_webui_image: expected to compare its schema with the data's, got exit code 1; look at the image"
    )


@pytest.mark.parametrize("which", ["unread", "place", "version", "said"])
def test_no_answer_is_no_permission(which: str) -> None:
    world = World()
    setattr(world, which, NOBODY)
    with pytest.raises(HostError, match="expected to look at the data in its volume, got no answer"):
        world.check(replace(WANTED, database="postgres"))
    setattr(world, which, Unavailable("GET /x", "a closed connection"))
    with pytest.raises(HostError, match="a closed connection"):
        world.check(replace(WANTED, database="postgres"))


def test_an_image_that_is_not_on_the_host_is_an_error() -> None:
    world = World()
    with pytest.raises(HostError, match="valkey:gone"):
        world.check(replace(WANTED, images={**NEWER, VALKEY: "valkey:gone"}))
