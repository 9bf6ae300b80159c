"""With a lock a deploy runs the locked images, wherever their tags have gone since; or it refuses the host."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.session import FRESH, Lab, changed, containers

pytestmark = pytest.mark.lab

# A registry that can be written to, on the host's loopback, where Docker wants no TLS.
TAG = "127.0.0.1:5001/valkey:8.1"
REGISTRY = """
storage: {filesystem: {rootdirectory: /var/lib/lock-test}}
http: {addr: '127.0.0.1:5001'}
version: 0.1
"""
RUNNING = "docker inspect --format '{{.Image}}' redis-valkey"


class Registry:
    """The host's registry: where `TAG` can be moved."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.host = lab, lab.host(FRESH)
        self.lock_file = folder / "x.lock.toml"
        self.arguments = ("--data", f"valkey_image={TAG}")
        self.locked = (*self.arguments, "--data", f"lock_file={self.lock_file}")

    def start(self) -> None:
        self.host.check_output(
            "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "
            "docker-registry >/dev/null 2>&1 && systemctl stop docker-registry"
        )
        self.host.check_output("printf %%s %s >/root/registry.yml", REGISTRY)
        self.host.check_output(
            "systemd-run --quiet --unit lock-test docker-registry serve /root/registry.yml && "
            "until curl --silent http://127.0.0.1:5001/v2/; do sleep 0.2; done"
        )

    def stop(self) -> None:
        self.host.check_output("systemctl stop lock-test; rm -r /var/lib/lock-test /root/registry.yml")
        self.host.check_output("DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge docker-registry >/dev/null 2>&1")

    def put(self, image: str) -> None:
        """Make the tag mean this image, on the host and in its registry."""
        self.host.check_output("docker tag %s %s && docker push --quiet %s", image, TAG, TAG)


@pytest.fixture(scope="module")
def registry(lab: Lab, deployed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A stack deployed from that registry and locked; at the end the lab's own image is back."""
    own = Registry(lab, tmp_path_factory.mktemp("lock"))
    own.start()
    try:
        own.put(lab.inventory["images"]["valkey"])
        lab.report("-y", "deploy.py", *own.arguments)
        lab.report("-y", "runbooks/lock.py", *own.locked)
        yield own
    finally:
        lab.report("-y", "deploy.py")
        own.stop()


def test_the_lock_says_what_runs(registry: Registry) -> None:
    written = tomllib.loads(registry.lock_file.read_text())
    image = written["images"][TAG]
    digests = registry.host.check_output("docker inspect --format '{{join .RepoDigests \" \"}}' %s", TAG)
    assert f"127.0.0.1:5001/valkey@{image['digest']}" in digests.split()
    assert registry.host.check_output(RUNNING) in image["ids"]["amd64"]
    for name, version in written["packages"]["debian-13-amd64"].items():
        assert registry.host.package(name).version == version


def test_a_deploy_with_the_lock_changes_nothing(registry: Registry) -> None:
    before = containers(registry.host)
    assert changed(registry.lab.report("-y", "deploy.py", *registry.locked)) == []
    assert containers(registry.host) == before


def test_a_tag_that_moved_is_not_followed(registry: Registry) -> None:
    host, locked = registry.host, registry.host.check_output(RUNNING)
    host.check_output(
        "printf 'FROM %%s\\nLABEL moved=yes\\n' %s | DOCKER_BUILDKIT=0 docker build --quiet --tag moved - 2>&1", TAG
    )
    registry.put("moved")
    # A host that has never seen the locked image, and a tag that leads elsewhere.
    host.check_output(
        "docker rm --force redis-valkey && docker rmi --force %s", registry.lab.inventory["images"]["valkey"]
    )
    host.check_output("docker rmi --force %s moved", TAG)
    host.check_output("docker image prune --force && docker pull --quiet %s", TAG)
    assert host.check_output("docker image inspect --format '{{.Id}}' %s", TAG) != locked
    assert host.run("docker image inspect %s", locked).rc != 0

    registry.lab.report("-y", "deploy.py", *registry.locked)
    assert host.check_output(RUNNING) == locked
    assert host.check_output("docker inspect --format '{{.Config.Image}}' redis-valkey") == TAG
    assert changed(registry.lab.report("-y", "deploy.py", *registry.locked)) == []


def test_a_registry_that_has_something_else_refuses_the_host_as_it_was(registry: Registry, tmp_path: Path) -> None:
    written = registry.lock_file.read_text()
    image = tomllib.loads(written)["images"][TAG]
    other = tmp_path / "other.lock.toml"
    gone = "sha256:" + "f" * 64
    other.write_text(written.replace(image["digest"], gone).replace(image["ids"]["amd64"][0], gone))
    before = containers(registry.host)

    result = registry.lab.run("-y", "deploy.py", *registry.arguments, "--data", f"lock_file={other}")
    assert result.returncode == 1
    served = registry.host.check_output(
        "curl --silent --head --header 'Accept: application/vnd.docker.distribution.manifest.v2+json' "
        "http://127.0.0.1:5001/v2/valkey/manifests/8.1 | tr -d '\\r' | sed -n 's/^Docker-Content-Digest: //p'"
    )
    assert f"{TAG}: expected the registry to have the locked {gone}, got {served}; nothing was stopped" in result.stdout
    assert containers(registry.host) == before
