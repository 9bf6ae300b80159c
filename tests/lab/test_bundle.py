"""A host that reaches no registry and no mirror gets Docker and the stack from a bundle, and only from a good one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.session import CUT_OFF, FRESH, Lab, containers, rest, state

pytestmark = [pytest.mark.lab, pytest.mark.long]

# Nothing new goes out, from the host or from its containers; what comes in is answered. Docker keeps out of `mangle`.
CUT = """
iptables -A OUTPUT -o lo -j ACCEPT
iptables -A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -A OUTPUT ! -o eth0 -j ACCEPT
iptables -A OUTPUT -j REJECT
iptables -t mangle -A FORWARD -o eth0 -m conntrack --ctstate NEW -j DROP
"""
ID = "docker inspect --format '{{.Image}}' redis-valkey open-webui"


@pytest.fixture(scope="module")
def packed(lab: Lab, deployed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A bundle of what runs on FRESH, as the arguments of a deploy from it."""
    folder = tmp_path_factory.mktemp("bundle")
    files = ["--data", f"lock_file={folder / 'x.lock.toml'}", "--data", f"bundle_file={folder / 'x.tar'}"]
    before = containers(lab.host(FRESH)), state(lab.host(FRESH))
    for runbook in ("runbooks/lock.py", "runbooks/bundle.py"):
        result = lab.run("-y", runbook, *files)
        assert result.returncode == 0, result.stdout
    assert (containers(lab.host(FRESH)), state(lab.host(FRESH))) == before
    assert not lab.host(FRESH).file("/var/lib/open-webui-stack.transfer").exists
    return [*files, "--data", "image_source=bundle"]


def reaches_out(lab: Lab) -> list[str]:
    """What the host gets an answer from: the registry, the lab's packages, Debian's mirror."""
    urls = [f"https://{lab.inventory['registry']['host']}/v2/", lab.inventory["packages"]["url"]]
    host = lab.host(CUT_OFF)
    found = [
        url for url in urls if host.run("curl --silent --insecure --max-time 10 --output /dev/null %s", url).rc == 0
    ]
    # apt-get succeeds when it could fetch nothing (seen with 3.0): what counts is what it has afterwards.
    fresh_lists = "rm -rf /var/lib/apt/lists/*; timeout 60 apt-get -qq -o Acquire::Retries=0 update; "
    mirror = host.run(fresh_lists + "ls /var/lib/apt/lists/*_Packages*").rc == 0
    return [*found, *(["apt's sources"] if mirror else [])]


@pytest.fixture(scope="module")
def cut_off(lab: Lab) -> Iterator[Any]:
    """The host behind rules of its own, and the proof that they hold."""
    host = lab.host(CUT_OFF)
    assert len(reaches_out(lab)) == 3, "nothing is proved when nothing was in reach before"
    host.check_output(CUT)
    assert reaches_out(lab) == []
    yield host
    host.check_output("iptables -F OUTPUT; iptables -t mangle -F FORWARD")
    rest(host)


def test_a_bundle_that_was_damaged_is_refused_before_the_host_is_touched(
    lab: Lab, cut_off: Any, packed: list[str], tmp_path: Path
) -> None:
    good = Path(packed[3].partition("=")[2])
    damaged = tmp_path / "damaged.tar"
    with good.open("rb") as source, damaged.open("wb") as target:
        target.write(source.read(1_000_000))  # the beginning is enough
    before = state(cut_off)
    result = lab.run("-y", "deploy.py", *packed[:2], *packed[4:], "--data", f"bundle_file={damaged}", limit=CUT_OFF)
    assert result.returncode == 2
    assert "damaged.tar: expected a whole tar archive" in result.stdout or "expected SHA-256" in result.stdout
    assert "Starting operation" not in result.stdout
    assert state(cut_off) == before


@pytest.fixture(scope="module")
def from_bundle(lab: Lab, cut_off: Any, packed: list[str]) -> dict[str, Any]:
    """The deploy of the host that is cut off; it ends with the usual proof."""
    return lab.report("-y", "deploy.py", *packed, limit=CUT_OFF)


def test_a_host_that_is_cut_off_runs_the_locked_images(lab: Lab, cut_off: Any, from_bundle: dict[str, Any]) -> None:
    assert reaches_out(lab) == [], "the rules did not hold until the end"
    assert cut_off.check_output(ID) == lab.host(FRESH).check_output(ID)
    health = cut_off.check_output("docker inspect --format '{{.State.Health.Status}}' redis-valkey open-webui")
    assert health.split() == ["healthy", "healthy"]
    for image in lab.inventory["images"].values():
        assert cut_off.run("docker pull %s", image).rc != 0


def test_docker_is_the_locked_one(lab: Lab, cut_off: Any, from_bundle: dict[str, Any]) -> None:
    versions = "dpkg-query -W docker.io docker-cli docker-compose containerd runc"
    assert cut_off.check_output(versions) == lab.host(FRESH).check_output(versions)


def test_nothing_of_the_delivery_stays(cut_off: Any, from_bundle: dict[str, Any]) -> None:
    assert not cut_off.file("/var/lib/open-webui-stack.transfer").exists
    assert "file:" not in cut_off.check_output("cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null; true")


def test_a_second_deploy_from_the_bundle_changes_nothing(
    lab: Lab, cut_off: Any, from_bundle: dict[str, Any], packed: list[str]
) -> None:
    before = containers(cut_off), state(cut_off)
    totals = lab.report("-y", "deploy.py", *packed, limit=CUT_OFF)["results"]["totals"]
    assert totals["success"] == totals["error"] == 0
    assert (containers(cut_off), state(cut_off)) == before
