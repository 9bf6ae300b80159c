"""References come to mean their locked images, by whatever way; a pull that fails harms nothing, and says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_engine import REFUSED, UNAVAILABLE, FakeEngine
from tests.host.fake_system import FakeSystem
from tests.host.faults import Crash, Fault, Faults
from webui_stack.host import client_config, images
from webui_stack.host.engine import EngineError, NewContainer, NotFound, Refused, Unavailable
from webui_stack.host.engine.images import Login
from webui_stack.host.errors import HostError
from webui_stack.host.images import Locked, Registry
from webui_stack.host.protocol import Event
from webui_stack.host.verbs import images as verb

VALKEY, WEBUI = "valkey/valkey:8.1", "ghcr.io/open-webui/open-webui:v0.6"
GONE = "sha256:" + "f" * 64
# Configurations of docker's command, by the way in which images come.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "by the API": {},
    "by the command": {"credsStore": "pass"},
    "by either": {"auths": {"ghcr.io": {}}},
}


class World(FakeSystem):
    """A host and two registries. `VALKEY` means an older image here, of which somebody has a container.

    A call to Docker, and an order to its command, can each fail or be the last one.
    """

    def __init__(self, folder: Path, way: str = "by the API", faults: Faults | None = None) -> None:
        super().__init__(folder)
        self.config, self.clock = WAYS[way], FakeClock()
        self.engine = FakeEngine(faults=faults)
        self.docker = self.engine.docker
        self.old = self.docker.put_image(VALKEY)
        self.docker.put_image("somebody/else:1")
        self.docker.put_container("somebodys", NewContainer(VALKEY))
        self.served = {reference: self.docker.put_image(reference, local=False) for reference in (VALKEY, WEBUI)}
        self.wanted = [Locked(one, f"{one.rpartition(':')[0]}@{id_}", [id_]) for one, id_ in self.served.items()]
        self.of_registry = dict(self.docker.registry)
        self.said: list[Event] = []
        self.logins: dict[str, Login] = {}

    @property
    def registry(self) -> Registry:
        return Registry(self, self.engine, self.config, self.clock, self.said.append, self.logins)

    def bring(self) -> None:
        self.registry.bring(self.wanted)

    def name_of(self, reference: str) -> str:
        return next(one.name for one in self.wanted if one.reference == reference)

    @property
    def means(self) -> dict[str, str]:
        """The id of each image by its tag."""
        return {tag: one.id for one in self.docker.images.values() for tag in one.tags}

    def calls(self, word: str) -> list[str]:
        return [made.name for made in self.engine.faults.calls if f" {word} " in f" {made.name} "]

    def move(self, reference: str) -> str:
        """Somebody gives the registry another image for a tag, and takes the locked one out."""
        del self.docker.registry[self.name_of(reference)]
        return self.docker.put_image(reference, local=False)

    def _order(self, command: Sequence[str], limit_s: float) -> tuple[int, str]:
        assert limit_s >= 3600, "an image of gigabytes takes hours over a slow line"
        program, *words, name = command
        assert (program, words) == ("docker", ["pull", "--quiet"])

        def late() -> Exception:
            return HostError("docker", expected="an end", got="no end in 21600 s", do="run it on the host")

        with self.engine.faults.call(f"command: pull {name}", changes=True, errors={"late": late}, lost="late"):
            try:
                with self.engine.faults.quiet():
                    self.engine.pull(name)
            except Refused as error:
                return 1, f"Error response from daemon: {error.message}\n"
        return 0, ""


# --- What is here


def test_what_a_host_holds_is_told_by_reference(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine.pull(world.wanted[1].name)
    assert images.held(world.engine, [*world.wanted, Locked("x:1", f"x@{GONE}", [GONE])]) == {
        VALKEY: {"tagged": world.old, "locked": ""},
        WEBUI: {"tagged": "", "locked": world.served[WEBUI]},
        "x:1": {"tagged": "", "locked": ""},
    }


def test_an_image_from_a_bundle_is_known_by_its_id(tmp_path: Path) -> None:
    """It has no digest in Docker's own store, and one of several ids by the store."""
    world = World(tmp_path)
    one = replace(world.wanted[0], name=f"valkey/valkey@{GONE}", ids=[GONE, world.old])
    assert images.held(world.engine, [one]) == {VALKEY: {"tagged": world.old, "locked": world.old}}


def test_an_image_without_a_lock_is_pulled_where_its_reference_means_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    monkeypatch.setattr(verb, "require_root", lambda: None)
    monkeypatch.setattr(verb, "_engine", lambda _: (world.engine, "/root"))
    monkeypatch.setattr(images, "Registry", lambda *_: world.registry)
    monkeypatch.setattr(verb, "Locks", lambda *_: Mock(images=lambda _: nullcontext()))
    verb.pull({"references": [VALKEY, WEBUI]}, world.said.append)
    assert world.means[VALKEY] == world.old
    assert world.means[WEBUI] == world.served[WEBUI]
    assert [event.text for event in world.said] == [f"pulling {WEBUI}"]


@pytest.mark.crash
def test_a_question_that_fails_is_no_image_that_is_missing(tmp_path: Path) -> None:
    whole = World(tmp_path, faults=Faults())
    images.held(whole.engine, whole.wanted)
    for point in whole.engine.faults.points():
        world = World(tmp_path, faults=Faults(point))
        with pytest.raises((HostError, Crash)):
            images.held(world.engine, world.wanted)


def test_a_host_without_docker_says_so_and_is_not_one_without_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui_stack.host.dockerd.socket", lambda *_: str(tmp_path / "no.sock"))
    monkeypatch.setattr("webui_stack.host.verbs.images.require_root", lambda: None)
    assert verb.look({"wanted": [{"reference": "x:1", "name": f"x@{GONE}", "ids": []}]}, print) is None


# --- What comes


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_each_reference_means_its_locked_image(tmp_path: Path, way: str) -> None:
    world = World(tmp_path, way)
    world.bring()
    assert world.means == {**world.served, "somebody/else:1": world.means["somebody/else:1"]}
    assert world.docker.named("somebodys").image_id == world.old
    assert [event.text for event in world.said] == [f"pulling {VALKEY}", f"pulling {WEBUI}"]
    pulled = [f"docker: pull {one.name}" for one in world.wanted]
    commands = [f"command: pull {one.name}" for one in world.wanted]
    by = {"by the API": pulled, "by the command": commands, "by either": [pulled[0], commands[1]]}
    assert world.calls("pull") == by[way], "in their order, and by digest"


def test_what_is_here_is_not_pulled_again(tmp_path: Path, way: str) -> None:
    world = World(tmp_path, way)
    world.bring()
    world.docker.tag(world.old, VALKEY)
    world.docker.registry.clear()
    world.said.clear()
    world.bring()
    assert world.means[VALKEY] == world.served[VALKEY]
    assert world.said == []


def test_a_reference_with_a_digest_gets_no_tag(tmp_path: Path) -> None:
    world = World(tmp_path)
    one = world.wanted[0]
    world.wanted = [replace(one, reference=f"{VALKEY}@{one.digest}")]
    before = world.means
    world.bring()
    assert world.engine.image(f"{VALKEY}@{one.digest}").id == world.served[VALKEY]
    assert world.means == before


def test_progress_is_in_bytes_and_a_line_every_few_seconds(tmp_path: Path) -> None:
    world = World(tmp_path)

    class Slow(FakeEngine):
        def pull(self, reference: str, *, progress: Callable[[int, int], None] | None = None, **_: Any) -> None:
            assert progress
            for second in range(12):
                progress(second, 12)
                world.clock.sleep(1)
            super().pull(reference)

    world.engine = Slow(world.docker)
    world.bring()
    text = f"pulling {VALKEY}"
    assert world.said[:3] == [Event(text), Event(text, done=5, total=12), Event(text, done=10, total=12)]


# --- What fails


@contextmanager
def unharmed(world: World) -> Iterator[None]:
    """No reference has changed, and nothing of others."""
    before = world.means
    yield
    assert world.means == before
    assert world.docker.named("somebodys").runs


def refusal(world: World) -> str:
    with unharmed(world), pytest.raises(HostError) as caught:
        world.bring()
    return str(caught.value)


def test_a_registry_that_has_something_else_is_told_with_what_it_has(tmp_path: Path, way: str) -> None:
    """And why the pull failed is told before."""
    world = World(tmp_path, way)
    moved = world.move(VALKEY)
    locked = world.served[VALKEY]
    assert refusal(world) == (
        f"{VALKEY}: expected the registry to have the locked {locked}, got {moved}; nothing was stopped: find out who "
        "changed it, and let the registry have the locked one again, or remove the lock file, deploy, and run "
        "runbooks/lock.py"
    )
    assert "manifest unknown" in world.said[-1].text


def test_a_registry_without_the_image_has_nothing(tmp_path: Path, way: str) -> None:
    world = World(tmp_path, way)
    world.docker.registry.clear()
    assert f"expected the registry to have the locked {world.served[VALKEY]}, got nothing (manifest" in refusal(world)


class Registries(FakeEngine):
    """Their pulls fail, and so may the question what they have."""

    def __init__(self, world: World, refused: HostError, asked: HostError | None = None) -> None:
        super().__init__(world.docker)
        self.refused, self.asked = refused, asked

    def pull(self, reference: str, **_: Any) -> None:
        with self._call(f"pull {reference}"):
            raise self.refused

    def registry_digest(self, reference: str, *, login: Login | None = None) -> str:
        if self.asked:
            with self._call(f"registry_digest {reference}"):
                raise self.asked
        return super().registry_digest(reference, login=login)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            Refused("GET", "dial tcp: connection refused", status=500),
            "no digest from it (dial tcp: connection refused)",
        ),
        (Refused("GET", "unauthorized", status=401), "no digest from it (unauthorized)"),
        (Unavailable("GET", "none in time"), "no digest from it (none in time)"),
        (Refused("GET", "denied", status=404), "nothing (denied)"),
    ],
)
def test_a_registry_out_of_reach_is_not_one_without_the_image(
    tmp_path: Path, way: str, asked: HostError, words: str
) -> None:
    world = World(tmp_path, way)
    refused = Refused("a pull", "dial tcp 192.0.2.1:443: connect: connection refused")
    world.engine = Registries(world, refused, asked)
    found = refusal(world)
    assert f"got {words}; nothing was stopped: " in found
    assert ("fix that, and run this again" in found) is ("no digest" in words)
    assert "connection refused" in world.said[-1].text


def test_a_pull_that_fails_though_the_registry_has_the_image_says_why(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine = Registries(world, Refused("a pull", "write /var/lib/docker/tmp/x: no space left on device"))
    locked = world.served[VALKEY]
    assert refusal(world) == (
        f"{VALKEY}: expected a pull of the locked {locked}, got write /var/lib/docker/tmp/x: no space left on device; "
        "nothing was stopped: fix that, and run this again"
    )


def test_a_docker_that_does_not_answer_is_not_asked_what_the_registry_has(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine = Registries(world, Unavailable("POST /images/create", "an end of the connection"))
    assert refusal(world).startswith("docker: expected an answer to POST /images/create, got an end of the connection;")
    assert world.calls("registry_digest") == []


class Careless(FakeEngine):
    """Takes what it gets."""

    def pull(self, reference: str, **_: Any) -> None:
        name, _at, _digest = reference.partition("@")
        other = self.docker.images[self.docker.put_image("careless:1")]
        self.docker.images[other.id] = replace(other, digests=(f"{name}@{other.id}",), tags=())

    def image(self, reference: str) -> Any:
        with suppress(NotFound):
            return super().image(reference)
        repository = reference.partition("@")[0]
        for one in self.docker.images.values():
            if any(digest.startswith(f"{repository}@") for digest in one.digests):
                return one
        raise NotFound("image", reference)


@pytest.mark.parametrize("is_there", [True, False])
def test_what_came_is_the_locked_image_or_nothing_is_tagged(tmp_path: Path, is_there: bool) -> None:
    world = World(tmp_path)
    world.engine = Careless(world.docker)
    if not is_there:  # as when somebody prunes meanwhile
        world.engine.image = lambda reference: FakeEngine.image(world.engine, reference)  # type: ignore[method-assign]
    found = refusal(world)
    assert f"{VALKEY}: expected the pull to bring the locked {world.served[VALKEY]}, got " in found
    assert ("got valkey/valkey@sha256:" in found) is is_there
    assert ("got none; " in found) is not is_there


# --- Registries that ask for a login


@pytest.fixture
def private(tmp_path: Path, way: str) -> World:
    """A host whose images of ghcr.io need a login."""
    world = World(tmp_path, way)
    world.docker.private = {"ghcr.io": ("ci", "marker")}
    world.logins = {"ghcr.io": Login("ci", "marker")}
    return world


def test_a_login_pulls_whatever_the_docker_command_has(private: World) -> None:
    private.bring()
    assert private.means[WEBUI] == private.served[WEBUI]
    assert private.calls("pull")[-1] == f"docker: pull {private.name_of(WEBUI)}"


def test_an_image_without_a_lock_is_pulled_with_the_login_as_well(private: World) -> None:
    private.registry.ensure(WEBUI)
    assert private.means[WEBUI] == private.served[WEBUI]


@pytest.mark.parametrize("locked", [True, False])
def test_a_login_that_is_refused_is_named_with_its_setting_and_not_shown(private: World, locked: bool) -> None:
    private.logins = {"ghcr.io": Login("ci", "another marker")}
    with pytest.raises(HostError) as caught:
        private.bring() if locked else private.registry.ensure(WEBUI)
    assert str(caught.value) == (
        f"ghcr.io: expected the login of ci to pull {WEBUI}, got Head https://ghcr.io/v2/: denied: denied; nothing was "
        "stopped: see registry_login: user, password and rights; then run this again"
    )
    assert "marker" not in "".join([str(caught.value), repr(private.logins), *(event.text for event in private.said)])


def test_a_registry_that_asks_for_a_login_names_the_setting(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.docker.private = {"docker.io": ("ci", "x"), "ghcr.io": ("ci", "x")}
    with pytest.raises(HostError, match=r"^docker.io: expected to pull .* set registry_login for docker.io"):
        world.registry.ensure("lonely:1")
    assert refusal(world).startswith(f"docker.io: expected to pull {VALKEY} without a login, got Head ")


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize("image", ["valkey/valkey:8.1", "docker.io/valkey/valkey:8.1", "valkey"])
def test_docker_hub_has_one_login_by_any_of_its_names(name: str, image: str) -> None:
    login = Login("me", "x")
    assert client_config.of_registry({name: login, "ghcr.io": Login("you", "y")}, image) is login


def test_a_registry_of_another_port_has_another_login() -> None:
    assert (
        client_config.of_registry({"registry.example.org": Login("me", "x")}, "registry.example.org:5000/a:1") is None
    )


# --- Wherever it is cut off


def prepared(folder: Path, way: str, fault: Fault | None = None, *, moved: bool) -> World:
    world = World(folder, way, Faults(fault))
    if moved:
        world.move(WEBUI)
    return world


@pytest.mark.crash
@pytest.mark.parametrize("moved", [False, True])
def test_wherever_it_is_cut_off_and_whatever_fails_a_reference_means_one_of_two_images(
    tmp_path: Path, way: str, moved: bool
) -> None:
    whole = prepared(tmp_path, way, moved=moved)
    with pytest.raises(HostError) if moved else nullcontext():
        whole.bring()
    assert len(whole.calls("registry_digest")) == moved
    for point in whole.engine.faults.points():
        world = prepared(tmp_path, way, point, moved=moved)
        before = world.means
        with pytest.raises((HostError, Crash)):
            world.bring()
        now = world.means
        assert {one: id_ for one, id_ in now.items() if before.get(one) != id_}.items() <= world.served.items()
        assert before.keys() <= now.keys()
        if now != before:
            assert all(id_ in world.docker.images for id_ in world.served.values()), "it is tagged before all are here"
        assert world.docker.named("somebodys").runs

        world.engine.faults = Faults()
        world.docker.registry = world.of_registry  # the registry has the locked one again
        world.bring()
        assert {reference: world.means[reference] for reference in world.served} == world.served


# --- Whose credentials


@pytest.mark.parametrize(
    ("config", "name", "has"),
    [
        ({}, VALKEY, False),
        ({"credsStore": ""}, VALKEY, False),
        ({"credsStore": "pass"}, VALKEY, True),
        ({"credHelpers": {"ghcr.io": "gh"}}, WEBUI, True),
        ({"credHelpers": {"ghcr.io": "gh"}}, VALKEY, False),
        ({"auths": {"https://ghcr.io/v2/": {}}}, WEBUI, True),
        ({"auths": {"https://index.docker.io/v1/": {}}}, VALKEY, True),
        ({"auths": {"https://index.docker.io/v1/": {}}}, f"docker.io/{VALKEY}", True),
        ({"auths": {"https://index.docker.io/v1/": {}}}, "valkey@sha256:1", True),
        ({"auths": {"https://index.docker.io/v1/": {}}}, WEBUI, False),
        ({"auths": {"registry:5000": {}}}, "registry:5000/valkey@sha256:1", True),
        ({"auths": {"registry:5000": {}}}, "registry:5001/valkey@sha256:1", False),
        ({"auths": {"localhost": {}}}, "localhost/valkey", True),
        ({"auths": ["ghcr.io"], "credHelpers": None}, WEBUI, False),
    ],
)
def test_the_command_pulls_where_it_has_credentials(config: Mapping[str, Any], name: str, has: bool) -> None:
    assert client_config.has_credentials(config, name) is has


@pytest.mark.parametrize(
    ("text", "content"),
    [(None, {}), ("no JSON", {}), ("[]", {}), ("", {}), ('{"credsStore": "x"}', {"credsStore": "x"})],
)
def test_a_broken_configuration_is_an_empty_one(tmp_path: Path, text: str | None, content: Mapping[str, Any]) -> None:
    host = FakeSystem(tmp_path)
    if text is not None:
        host.put("/root/.docker/config.json", text)
    assert client_config.read(host, "/root") == content


# --- What runs


def test_what_runs_is_told_by_the_reference_it_was_made_with(tmp_path: Path) -> None:
    """The reference may mean another image by now."""
    world = World(tmp_path)
    world.docker.put_container("redis-valkey", NewContainer(VALKEY))
    proved = world.docker.images[world.docker.named("redis-valkey").image_id]
    world.docker.put_image(VALKEY)
    assert verb.images_of(world.engine, "redis-valkey|open-webui") == {
        VALKEY: {"id": proved.id, "architecture": proved.architecture, "digests": list(proved.digests)}
    }


def test_a_docker_that_does_not_say_what_runs_is_no_empty_host(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.docker.put_container("redis-valkey", NewContainer(VALKEY))
    verb.images_of(world.engine, "redis-valkey")
    for at in range(len(world.engine.faults.calls)):
        for kind in (UNAVAILABLE, REFUSED):
            world.engine.faults = Faults(Fault(at, kind))
            with pytest.raises(EngineError):
                verb.images_of(world.engine, "redis-valkey")
