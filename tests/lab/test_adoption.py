"""A host somebody set up by hand, as the tutorial says, is taken over with everything people put into it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.defaults import FIXTURES
from tests.lab import saved
from tests.lab.precious import START_S, VALKEY_CLI, Precious, within
from tests.lab.session import (
    BY_HAND,
    NAME,
    ROOT,
    Lab,
    changed,
    comes_later,
    containers,
    faults,
    named,
    predicted,
    rest,
    state,
)

pytestmark = pytest.mark.lab

ADOPT = ("--data", "stack_adopt=true", "--data", "valkey_volume=tutorial_redis-data")
# Beside the overlay that the refusal wrote.
DROPS = ("--data", 'stack_adopt_drops=["ports"]')
# As `openssl rand -base64 32` makes it.
KEY = "3fZ9mbkH8tYv+Qw/0rX5pL2cN7sD1gJ4uE6aB8iK9oM="
UP = "Stack | Bring the services up"
# From the tutorial, but for its two mistakes: the address, which would be the container itself, and the moving tag.
# The port and the key are what people add. The line before the last has one of each thing that an overlay keeps, and a
# port that none does.
DOCKER_RUN = """docker network create proxy &&
docker run -d --name open-webui --network openwebui-network -v open-webui:/app/backend/data \\
  -e ENABLE_WEBSOCKET_SUPPORT=true -e WEBSOCKET_MANAGER=redis -e WEBSOCKET_REDIS_URL=redis://redis:6379/1 \\
  -e OPENAI_API_KEY=sk-of-the-old-days -e WEBUI_SECRET_KEY={key} --restart always -p 3000:8080 \\
  --label traefik.enable=true --add-host files.lab.test:198.18.0.9 -v models:/srv/models -v /srv/texts:/srv/texts:ro \\
  --device /dev/null:/dev/lab-null --cap-add NET_RAW -p 127.0.0.1:9090:9090 {image} &&
docker network connect proxy open-webui"""
# Each kind of what the container was given, as Docker shows it.
GIVEN = """docker inspect open-webui --format '
networks {{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}
label {{index .Config.Labels "traefik.enable"}}
extra_hosts {{.HostConfig.ExtraHosts}}
{{range .Mounts}}mount {{.Type}} {{or .Name .Source}} {{.Destination}} {{.RW}}
{{end}}devices {{range .HostConfig.Devices}}{{.PathOnHost}} {{.PathInContainer}}{{end}}
cap_add {{.HostConfig.CapAdd}}' | sort"""
KEPT = {
    "networks": "openwebui-network proxy",
    "label": "true",
    "extra_hosts": "[files.lab.test:198.18.0.9]",
    "mount volume": "models /srv/models true",
    "mount bind": "/srv/texts /srv/texts false",
    "devices": "/dev/null /dev/lab-null",
}


# A host that was saved has Docker as deploys leave it.
AS_DEBIAN_LEAVES_IT = (
    "rm -rf /etc/docker/* /usr/local/lib/open-webui-stack /var/lib/open-webui-stack /run/open-webui-stack*"
)


@pytest.fixture(scope="module")
def by_hand(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Precious]:
    """The tutorial, typed in, on a Debian host with Debian's Docker; and a user with a chat.

    The packages and the images are there already where such a host is saved: no test is about how they come.
    """
    lab.ensure(BY_HAND, saved.loaded(NAME))
    host, images, registry = lab.host(BY_HAND), lab.inventory["images"], lab.inventory["registry"]
    host.check_output(AS_DEBIAN_LEAVES_IT)
    assert named(host) == [], "it is not as Debian's packages leave a host"
    certificates = f"/etc/docker/certs.d/{registry['host']}"
    host.check_output("mkdir -p %s && echo %s >%s/ca.crt", certificates, _text(registry["ca_file"]), certificates)
    pools = json.dumps({"default-address-pools": lab.inventory["address_pools"]})
    host.check_output("echo %s >/etc/docker/daemon.json", pools)
    host.check_output(
        "apt-get update -q && apt-get install -qy --no-install-recommends docker.io docker-cli docker-compose && "
        "systemctl restart docker"
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
    if not comes_later(request, "rollout"):  # which would start it again
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


@pytest.fixture(scope="module")
def take_over(lab: Lab, by_hand: Precious) -> tuple[str, ...]:
    """The arguments of a take-over that keeps all that an overlay can keep, by the overlay that the refusal wrote."""
    result = lab.run("-y", "deploy.py", *ADOPT, limit=BY_HAND)
    (written,) = set(re.findall(r"(\S+override\.yaml): an overlay with what that take-over would drop", result.stdout))
    return (*ADOPT, *DROPS, "--data", f"stack_overlay={ROOT / written}")


def test_what_a_take_over_would_drop_is_refused_by_name(lab: Lab, by_hand: Precious) -> None:
    before, running = state(by_hand.host), containers(by_hand.host)
    result = lab.run("-y", "deploy.py", *ADOPT, limit=BY_HAND)
    assert result.returncode == 1
    assert (
        "container open-webui: expected nothing that a take-over drops, got devices /dev/null:/dev/lab-null; "
        "extra_hosts files.lab.test:198.18.0.9; labels traefik.enable; mounts /srv/models, /srv/texts; networks proxy; "
        "ports 9090/tcp; privileges NET_RAW; put it into an overlay (stack_overlay), or let it go with stack_adopt_"
        in result.stdout
    )
    assert state(by_hand.host) == before
    assert containers(by_hand.host) == running


def test_the_dry_run_shows_what_will_be_taken_over_and_what_changes(
    lab: Lab, by_hand: Precious, take_over: tuple[str, ...]
) -> None:
    before, running = state(by_hand.host), containers(by_hand.host)
    result = lab.run("deploy.py", "--dry", *take_over, limit=BY_HAND)
    assert result.returncode == 0, result.stdout
    for line in (
        "redis: its container was made by compose in /root/tutorial; a new one takes its place, "
        "with its data in tutorial_redis-data",
        "open-webui: its container was made by hand; a new one takes its place, with its data in open-webui",
        "open-webui: set by hand and not in the settings: OPENAI_API_KEY;",
        "open-webui: 8080/tcp -> 0.0.0.0:3000",
        "becomes 0.0.0.0:3000",
        "open-webui: loses ports 9090/tcp",
    ):
        assert line in result.stdout, line
    assert "signs in once more" not in result.stdout
    assert "sk-of-the-old-days" not in result.stdout
    assert KEY not in result.stdout
    assert state(by_hand.host) == before
    assert containers(by_hand.host) == running


@pytest.mark.long
def test_a_take_over_that_fails_gives_everything_back(lab: Lab, by_hand: Precious, take_over: tuple[str, ...]) -> None:
    ids = {name: value.split()[0] for name, value in containers(by_hand.host).items()}
    result = lab.run(
        # it never gets healthy; the one before it needs no longer than this to start again
        *("-y", "deploy.py", *take_over, "--data", "open_webui_start_timeout_s=45"),
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


def given(host: Any) -> set[str]:
    """What Open WebUI's container has beyond the tutorial, a line each."""
    return {line.strip() for line in str(host.check_output(GIVEN)).splitlines()}


def test_it_is_taken_over_with_all_its_data(lab: Lab, by_hand: Precious, take_over: tuple[str, ...]) -> None:
    # What is written between a failed attempt and the next one is as precious.
    by_hand.valkey("SET", "open-webui:later", "kept-too")
    before, given_before = volumes(by_hand.host), given(by_hand.host)
    assert {f"{name} {what}" for name, what in KEPT.items()} <= given_before
    plan = predicted(lab.report("deploy.py", "--dry", *take_over, limit=BY_HAND))
    assert changed(lab.report("-y", "deploy.py", *take_over, limit=BY_HAND)) == plan
    assert UP in plan
    assert "Docker | Install Docker" not in plan

    assert volumes(by_hand.host) == before
    assert {f"{name} {what}" for name, what in KEPT.items()} <= given(by_hand.host)
    assert "NET_RAW" in by_hand.host.check_output("docker inspect --format '{{.HostConfig.CapAdd}}' open-webui")
    ports = by_hand.host.check_output("docker port open-webui")
    assert "0.0.0.0:3000" in ports
    assert "9090" not in ports, "nothing keeps it"
    assert by_hand.host.check_output("docker ps --all --format '{{.Names}}' | sort") == "open-webui\nredis-valkey"
    labels = "docker inspect --format '{{index .Config.Labels \"com.docker.compose.project.working_dir\"}}' %s"
    assert by_hand.host.check_output(labels % "redis-valkey open-webui") == "/opt/open-webui\n/opt/open-webui"
    by_hand.valkey_cli = VALKEY_CLI
    by_hand.assert_kept()  # with the login of before: the key that signs it was kept
    by_hand.sign_in()
    by_hand.assert_kept()
    assert by_hand.valkey("GET", "open-webui:later") == "kept-too"
    assert changed(lab.report("-y", "deploy.py", *take_over, limit=BY_HAND)) == []
