"""A teardown removes all that this project made on a host, data only where it is named, and nothing of anybody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import saved
from tests.lab.precious import Precious
from tests.lab.session import FRESH, NAME, TORN_DOWN, Lab, containers, named, state

pytestmark = pytest.mark.lab

RUNBOOK = "runbooks/teardown.py"
STACK = "/opt/open-webui"
FOREIGN_FILES = ["/opt/open-webui/notes.txt", "/opt/open-webui/valkey/mine.conf", "/var/backups/open-webui/mine"]
# Somebody else's: a container with a volume, in a network of their own and in ours, and files beside ours.
FOREIGN = f"""
docker volume create foreign && docker network create foreign
image=$(docker inspect --format '{{{{.Image}}}}' open-webui)
docker run --detach --name foreign --network foreign --volume foreign:/data --entrypoint sleep \
  --label com.docker.compose.project=open-webui $image infinity
docker network connect openwebui-network foreign
mkdir -p /var/backups/open-webui
echo mine | tee {" ".join(FOREIGN_FILES)}
"""
CLEAN = """
docker rm --force foreign open-webui && docker network rm foreign openwebui-network &&
  docker volume rm $(docker volume ls -q)
"""


def foreign(host: Any) -> str:
    """What somebody else has: ids, start times, contents."""
    return str(
        host.check_output(
            "docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.Image}}' foreign && "
            "docker exec foreign hostname && "
            "docker volume inspect --format '{{.CreatedAt}}' foreign && "
            "docker network inspect --format '{{.Id}}' foreign bridge && "
            f"stat -c '%n %Y %s' {' '.join(FOREIGN_FILES)}"
        )
    )


class Story:
    """A stack with something in it, beside what is somebody else's."""

    def __init__(self, lab: Lab) -> None:
        lab.ensure(TORN_DOWN, saved.deployed(NAME))
        self.lab, self.host = lab, lab.host(TORN_DOWN)
        self.deploy()
        result = lab.run("-y", "runbooks/backup.py", "--data", "backup_schedule=*-*-* 03:30", limit=TORN_DOWN)
        assert result.returncode == 0, result.stdout
        self.precious = Precious(lab, TORN_DOWN)
        self.host.check_output(FOREIGN)
        self.foreign = foreign(self.host)

    def deploy(self) -> None:
        result = self.lab.run("-y", "deploy.py", limit=TORN_DOWN)
        assert result.returncode == 0, result.stdout

    def tear_down(self, *arguments: str, **settings: Any) -> str:
        data = [part for name, value in settings.items() for part in ("--data", f"{name}={json.dumps(value)}")]
        result = self.lab.run(*(arguments or ("-y",)), RUNBOOK, *data, limit=TORN_DOWN)
        print(result.stdout)
        assert result.returncode == 0
        return result.stdout

    def listed(self, command: str) -> set[str]:
        return set(self.host.check_output(f"docker {command}").split())


@pytest.fixture(scope="module")
def story(lab: Lab) -> Iterator[Story]:
    told = Story(lab)
    try:
        yield told
    finally:
        told.host.run(CLEAN)


def test_a_dry_run_says_what_goes_and_changes_nothing(story: Story) -> None:
    before = state(story.host), containers(story.host), named(story.host)
    output = story.tear_down("--dry")
    assert (state(story.host), containers(story.host), named(story.host)) == before
    assert f"goes    {STACK}/compose.yaml" in output
    assert "goes    container redis-valkey" in output
    assert "stays   network openwebui-network: foreign uses it" in output
    assert f"stays   volume redis-data: data; teardown_data = ['{TORN_DOWN}'] removes it" in output
    assert "a backup; teardown_backups" in output


def test_the_stack_goes_and_data_of_a_host_that_is_not_named_stay(story: Story) -> None:
    secrets = "sha256sum /opt/open-webui/secrets/*"
    before = story.host.check_output(secrets), story.host.check_output("ls -A /var/backups/open-webui")
    network = story.host.check_output("docker network inspect --format '{{.Id}}' openwebui-network")
    story.tear_down(teardown_data=[FRESH], teardown_backups=[FRESH])
    assert (story.host.check_output(secrets), story.host.check_output("ls -A /var/backups/open-webui")) == before
    assert foreign(story.host) == story.foreign
    assert story.listed("ps -a --format '{{.Names}}'") == {"foreign"}
    assert {"foreign", "redis-data", "open-webui"} <= story.listed("volume ls -q")
    assert story.host.check_output("docker network inspect --format '{{.Id}}' openwebui-network") == network
    (image,) = story.listed("images --format '{{.Repository}}'")  # the other one is used by nobody
    assert image.endswith("/open-webui")
    units = story.host.check_output("systemctl list-units --all --no-legend 'open-webui*'; systemctl list-unit-files")
    assert "open-webui" not in units
    assert "docker.service" in units
    kept = story.host.check_output(f"find {STACK} -type f -not -path '*/secrets/*' | sort")
    assert kept.split() == FOREIGN_FILES[:2]
    assert (
        story.host.check_output("ls -d /run/open-webui-stack* /var/log/open-webui 2>/dev/null || echo none") == "none"
    )


def test_a_deploy_afterwards_has_all_that_people_put_in(story: Story) -> None:
    story.deploy()
    story.precious.assert_kept()  # with the login of before
    assert foreign(story.host) == story.foreign


def test_nothing_of_ours_is_left_where_the_data_are_named(story: Story) -> None:
    assert {STACK, "/etc/systemd/system/open-webui-watchdog.service"} <= set(named(story.host))  # they would be found
    story.host.check_output("docker network disconnect openwebui-network foreign")
    volumes = story.listed("volume ls -q")
    story.tear_down(teardown_data=[TORN_DOWN], teardown_backups=[TORN_DOWN])
    assert foreign(story.host) == story.foreign
    assert named(story.host) == [STACK, f"{STACK}/valkey", "/var/backups/open-webui"]  # the foreign files are in there
    assert story.listed("ps -a --format '{{.Names}}'") == {"foreign"}
    assert volumes - story.listed("volume ls -q") == {"redis-data", "open-webui"}
    assert story.listed("network ls --format '{{.Name}}'") == {"foreign", "bridge", "host", "none"}


def left_behind(host: Any) -> set[str]:
    """Where a run could leave notes and logs, without what systemd, containerd and Docker note of what they run."""
    of_others = [f"-path /run/{name} -prune -o" for name in ("systemd", "containerd", "docker", "user")]
    return set(host.check_output(f"find /run /var/log -xdev {' '.join(of_others)} -print").splitlines())


def test_what_was_made_by_hand_under_our_names_stays_and_nothing_is_changed(story: Story) -> None:
    story.host.check_output("docker network create openwebui-network")
    story.host.check_output("docker create --name open-webui $(docker inspect --format '{{.Image}}' foreign)")
    before = state(story.host), containers(story.host), left_behind(story.host)
    output = story.tear_down(teardown_data=[TORN_DOWN], teardown_backups=[TORN_DOWN])
    assert "nothing of this project is left to remove" in output
    assert f"stays   container open-webui: not made by this project in {STACK}" in output
    assert "'docker network rm openwebui-network' removes it" in output
    after = state(story.host), containers(story.host), left_behind(story.host)
    assert after == before


def test_docker_goes_when_nobody_needs_it(story: Story) -> None:
    output = story.tear_down(teardown_data=[TORN_DOWN], teardown_docker=True)
    assert "Docker itself: expected nobody's containers and volumes, got container " in output
    assert foreign(story.host) == story.foreign
    story.host.check_output(CLEAN)  # Docker would keep the networks for the next one that is installed
    story.tear_down(teardown_docker=True)
    assert not story.host.exists("docker")
    assert not story.host.file("/etc/docker").exists
    assert story.host.file("/var/lib/docker").exists
