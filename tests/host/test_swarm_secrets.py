"""Secrets and configs in a swarm: made once by what is in them, and removed when nobody uses them."""

from __future__ import annotations

import hashlib

import pytest

from tests.host.fake_clock import FakeClock
from tests.host.fake_engine import FakeEngine
from tests.host.fake_files import FakeFiles
from webui_stack.host.engine import Unavailable
from webui_stack.host.errors import HostError
from webui_stack.host.patience import Patience
from webui_stack.host.swarm_secrets import SwarmSecrets

ENV = "# made\nWEBUI_SECRET_KEY='a=b'\nVALKEY_ACL_SHA256='x'\nREDIS_URL='redis://\u2028'\nNOT_WEBUI_SECRET_KEY='y'\n"
WANTED = {"open-webui-env": "ENV_SHA256", "postgres-password": "PASSWORD_SHA256"}


class World:
    def __init__(self) -> None:
        self.files = FakeFiles()
        self.files.make_folder("/s/secrets")
        self.files.make_folder("/s/proxy")
        self.files.write("/s/.env", ENV)
        self.files.write("/s/secrets/postgres-password", "gloria\n")
        self.files.write("/s/proxy/Caddyfile", ":443\n")
        self.engine = FakeEngine()
        self.swarm = self.engine.swarm
        self.swarm.put_node("node1")
        self.clock = FakeClock()
        self.secrets = self.of(self.engine)

    def of(self, engine: FakeEngine) -> SwarmSecrets:
        names = ["WEBUI_SECRET_KEY", "REDIS_URL"]
        return SwarmSecrets(engine, Patience(self.clock), self.files, "/s", names)


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def test_a_secret_is_of_the_very_bytes_that_a_shell_would_have_piped() -> None:
    """Its name is in the definition: another hash replaces every task."""
    world = World()
    env = "WEBUI_SECRET_KEY='a=b'\nREDIS_URL='redis://\u2028'\n"
    given = world.secrets.secrets(WANTED)
    assert given == {"ENV_SHA256": sha256(env), "PASSWORD_SHA256": sha256("gloria\n")}
    made = {name: world.swarm.contents[one.id].decode() for name, one in world.swarm.secrets.items()}
    assert made == {
        f"open-webui-open-webui-env-{sha256(env)}": env,
        f"open-webui-postgres-password-{sha256('gloria' + chr(10))}": "gloria\n",
    }
    assert {tuple(one.labels.items()) for one in world.swarm.secrets.values()} == {(("open-webui-stack", "made"),)}


def test_what_is_there_is_left_alone() -> None:
    world = World()
    world.secrets.secrets(WANTED)
    before = dict(world.swarm.secrets)
    assert world.secrets.secrets(WANTED)
    assert world.swarm.secrets == before


def test_a_secret_or_a_config_without_a_file_is_left_out() -> None:
    world = World()
    assert world.secrets.secrets({"proxy-key": "KEY_SHA256"}) == {}
    world.secrets.configs({"caddyfile": "proxy/Caddyfile", "certificate": "proxy/certificate.pem"})
    assert list(world.swarm.configs) == [f"open-webui-caddyfile-{sha256(':443' + chr(10))}"]


def test_an_environment_without_secrets_is_no_secret() -> None:
    world = World()
    world.files.write("/s/.env", "")
    with pytest.raises(HostError, match="expected Open WebUI's secrets in it, got none"):
        world.secrets.secrets(WANTED)


def test_one_whose_making_had_no_answer_is_there() -> None:
    world = World()

    class Lost(FakeEngine):
        def create_secret(self, name: str, content: bytes, **labels: object) -> str:
            del labels
            there = name in self.swarm.secrets
            made = super().create_secret(name, content, labels={"open-webui-stack": "made"})
            if there:
                return made
            raise Unavailable("create", "none in time")

    world.of(Lost(world.engine.docker, world.swarm)).secrets(WANTED)
    assert len(world.swarm.secrets) == 2


def test_a_secret_is_not_made_again_because_docker_does_not_answer() -> None:
    world = World()
    world.swarm.leader = False
    with pytest.raises(HostError, match="expected an answer within a minute"):
        world.secrets.secrets(WANTED)
    assert world.swarm.secrets == {}


def test_only_ours_are_removed_and_none_is_where_docker_does_not_answer() -> None:
    world = World()
    world.secrets.secrets(WANTED)
    world.engine.create_secret("somebodys", b"x")
    world.swarm.leader = False
    world.secrets.tidy()
    assert len(world.swarm.secrets) == 3
    world.swarm.leader = True
    world.secrets.tidy()
    assert list(world.swarm.secrets) == ["somebodys"]
