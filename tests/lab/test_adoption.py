"""A host somebody set up by hand, as the tutorial says, is taken over with everything people put into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import FIXTURES
from tests.lab.precious import START_S, VALKEY_CLI, Precious, within
from tests.lab.session import BY_HAND, Lab, changed, containers, faults, predicted, rest, state

pytestmark = pytest.mark.lab

ADOPT = ("--data", "stack_adopt=true", "--data", "valkey_volume=tutorial_redis-data")
TAKE_OVER = (*ADOPT, "--data", 'stack_adopt_drops=["networks"]')
# As `openssl rand -base64 32` makes it.
KEY = "3fZ9mbkH8tYv+Qw/0rX5pL2cN7sD1gJ4uE6aB8iK9oM="
UP = "Stack | Bring the services up"
# From the tutorial, but for its two mistakes: the address, which would be the container itself, and the moving tag.
# The port and the key are what people add.
DOCKER_RUN = """docker run -d --name open-webui --network openwebui-network -v open-webui:/app/backend/data \\
  -e ENABLE_WEBSOCKET_SUPPORT=true -e WEBSOCKET_MANAGER=redis -e WEBSOCKET_REDIS_URL=redis://redis:6379/1 \\
  -e OPENAI_API_KEY=sk-of-the-old-days -e WEBUI_SECRET_KEY={key} --restart always -p 3000:8080 {image} &&
  docker network create proxy && docker network connect proxy open-webui"""


@pytest.fixture(scope="module")
def by_hand(lab: Lab) -> Iterator[Precious]:
    """The tutorial, typed in, on a Debian host with Debian's Docker; and a user with a chat."""
    host, images, registry = lab.host(BY_HAND), lab.inventory["images"], lab.inventory["registry"]
    certificates = f"/etc/docker/certs.d/{registry['host']}"
    host.check_output("mkdir -p %s && echo %s >%s/ca.crt", certificates, _text(registry["ca_file"]), certificates)
    pools = json.dumps({"default-address-pools": lab.inventory["address_pools"]})
    host.check_output("echo %s >/etc/docker/daemon.json", pools)
    host.check_output(
        "apt-get update -q && apt-get install -qy --no-install-recommends docker.io docker-cli docker-compose"
    )
    file = (FIXTURES / "tutorial-compose.yml").read_text()
    # Compose wants a string there; the tutorial's 3.9 is a number.
    file = file.replace("version: 3.9\n", "").replace("docker.io/valkey/valkey:8.0.1-alpine", images["valkey"])
    host.check_output("mkdir -p /root/tutorial && echo %s >/root/tutorial/docker-compose.yml", file)
    host.check_output("docker network create openwebui-network")
    host.check_output("cd /root/tutorial && docker compose up -d")
    host.check_output(DOCKER_RUN.format(key=KEY, image=images["open_webui"]))
    within(START_S, "Open WebUI answers", lambda: host.run("curl -fs http://127.0.0.1:3000/health").rc == 0)
    yield Precious(lab, BY_HAND, "docker exec redis-valkey valkey-cli")
    rest(host)


def _text(path: str) -> str:
    return Path(path).read_text()


def volumes(host: Any) -> str:
    return str(host.check_output("docker volume ls --quiet | sort"))


def test_doctor_reads_it_as_it_is(lab: Lab, by_hand: Precious) -> None:
    before, running = state(by_hand.host), containers(by_hand.host)
    result = lab.run("-y", "-vvv", "runbooks/doctor.py", limit=BY_HAND)
    assert result.returncode == 1
    assert faults(result.stdout) == {
        "open-webui: REDIS_URL",
        "valkey: password",
        "valkey: timeout",
    }
    assert "advice  open-webui: origin: made by hand" in result.stdout
    assert '"OPENAI_API_KEY"' in result.stdout
    assert "sk-of-the-old-days" not in result.stdout
    assert state(by_hand.host) == before
    assert containers(by_hand.host) == running


def test_without_the_operators_word_nothing_is_touched(lab: Lab, by_hand: Precious) -> None:
    before, running = state(by_hand.host), containers(by_hand.host)
    result = lab.run("-y", "deploy.py", limit=BY_HAND)
    assert result.returncode == 1
    assert "container redis-valkey: expected one made by this project, got one made by compose in /root/tutorial" in (
        result.stdout
    )
    assert "container open-webui: expected one made by this project, got one made by hand" in result.stdout
    assert "set valkey_volume = 'tutorial_redis-data' to keep using that" in result.stdout
    assert state(by_hand.host) == before
    assert containers(by_hand.host) == running


def test_what_a_take_over_would_drop_is_refused_by_name(lab: Lab, by_hand: Precious) -> None:
    before, running = state(by_hand.host), containers(by_hand.host)
    result = lab.run("-y", "deploy.py", *ADOPT, limit=BY_HAND)
    assert result.returncode == 1
    assert "container open-webui: expected nothing that a take-over drops, got networks proxy; " in result.stdout
    assert "let it go with stack_adopt_drops = ['networks']" in result.stdout
    assert state(by_hand.host) == before
    assert containers(by_hand.host) == running


def test_the_dry_run_shows_what_will_be_taken_over_and_what_changes(lab: Lab, by_hand: Precious) -> None:
    before, running = state(by_hand.host), containers(by_hand.host)
    result = lab.run("deploy.py", "--dry", *TAKE_OVER, limit=BY_HAND)
    assert result.returncode == 0, result.stdout
    for line in (
        "redis: its container was made by compose in /root/tutorial; a new one takes its place, "
        "with its data in tutorial_redis-data",
        "open-webui: its container was made by hand; a new one takes its place, with its data in open-webui",
        "open-webui: set by hand and not in the settings: OPENAI_API_KEY;",
        "open-webui: 8080/tcp -> 0.0.0.0:3000 becomes 0.0.0.0:3000",
        "open-webui: loses networks proxy",
    ):
        assert line in result.stdout, line
    assert "signs in once more" not in result.stdout
    assert "sk-of-the-old-days" not in result.stdout
    assert KEY not in result.stdout
    assert state(by_hand.host) == before
    assert containers(by_hand.host) == running


@pytest.mark.long
def test_a_take_over_that_fails_gives_everything_back(lab: Lab, by_hand: Precious) -> None:
    ids = {name: value.split()[0] for name, value in containers(by_hand.host).items()}
    result = lab.run(
        # it never gets healthy; the one before it needs no longer than this to start again
        *("-y", "deploy.py", *TAKE_OVER, "--data", "open_webui_start_timeout_s=45"),
        *("--data", 'open_webui_secret_env={"DATABASE_URL": "env:BAD_DB"}'),
        limit=BY_HAND,
        BAD_DB="postgresql://nobody:nothing@127.0.0.1:9/nowhere",
    )
    assert result.returncode == 1
    assert "not healthy within 45 s" in result.stdout
    assert "open-webui runs again as it was; nothing was taken over" in result.stdout
    assert {name: value.split()[0] for name, value in containers(by_hand.host).items()} == ids
    policy = "docker inspect --format '{{.HostConfig.RestartPolicy.Name}}' open-webui"
    assert by_hand.host.check_output(policy) == "always"
    within(
        START_S, "Open WebUI answers again", lambda: by_hand.host.run("curl -fs http://127.0.0.1:3000/health").rc == 0
    )
    by_hand.assert_kept()


def test_it_is_taken_over_with_all_its_data(lab: Lab, by_hand: Precious) -> None:
    # What is written between a failed attempt and the next one is as precious.
    by_hand.valkey("SET", "open-webui:later", "kept-too")
    before = volumes(by_hand.host)
    plan = predicted(lab.report("deploy.py", "--dry", *TAKE_OVER, limit=BY_HAND))
    assert changed(lab.report("-y", "deploy.py", *TAKE_OVER, limit=BY_HAND)) == plan
    assert UP in plan
    assert "Docker | Install Docker" not in plan

    assert volumes(by_hand.host) == before
    assert by_hand.host.check_output("docker ps --all --format '{{.Names}}' | sort") == "open-webui\nredis-valkey"
    labels = "docker inspect --format '{{index .Config.Labels \"com.docker.compose.project.working_dir\"}}' %s"
    assert by_hand.host.check_output(labels % "redis-valkey open-webui") == "/opt/open-webui\n/opt/open-webui"
    by_hand.valkey_cli = VALKEY_CLI
    by_hand.assert_kept()  # with the login of before: the key that signs it was kept
    by_hand.sign_in()
    by_hand.assert_kept()
    assert by_hand.valkey("GET", "open-webui:later") == "kept-too"
    assert changed(lab.report("-y", "deploy.py", *TAKE_OVER, limit=BY_HAND)) == []
