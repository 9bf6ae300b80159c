"""Docker's rules in the packet filter: missing ones are told apart from those that nobody wanted or could see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.host.fake_engine import FakeEngine
from tests.host.fake_system import FakeSystem
from webui_stack.host import packet_filter
from webui_stack.host.unread import Unread

NAT = "-P PREROUTING ACCEPT\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
# Docker 26, and 28, which has a chain more.
FILTER = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\n"
FILTER_28 = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n"
FLUSHED_NAT, FLUSHED_FILTER = "-P PREROUTING ACCEPT\n", "-P FORWARD DROP\n"


class World:
    """A host with these rules; None is a program that fails."""

    def __init__(self, folder: Path, nat: str | None = NAT, rules: str | None = FILTER, nft: str | None = None) -> None:
        def iptables(arguments: Sequence[str]) -> str | None:
            return nat if "nat" in arguments else rules

        self.system = FakeSystem(folder, iptables=iptables, nft=lambda _: nft)
        self.engine = FakeEngine()
        self.unread = Unread()
        self.security: tuple[str, ...] = ("name=seccomp",)

    def look(self) -> dict[str, Any]:
        info = replace(self.engine.info(), security_options=self.security)
        return packet_filter.look(self.system, self.engine, self.unread, info)


@pytest.mark.parametrize(
    ("nat", "rules", "counts"),
    [
        (NAT, FILTER, (1, 2)),
        (NAT, FILTER_28, (1, 2)),
        (FLUSHED_NAT, FLUSHED_FILTER, (0, 0)),
        (FLUSHED_NAT, FILTER, (0, 2)),
    ],
)
def test_the_rules_that_lead_to_dockers_are_counted(
    tmp_path: Path, nat: str, rules: str, counts: tuple[int, int]
) -> None:
    world = World(tmp_path, nat, rules)
    assert world.look() == {"backend": "iptables", "managed": True, "nat": counts[0], "filter": counts[1]}
    assert world.unread.lines == []


def test_what_could_not_be_asked_is_unknown_and_told(tmp_path: Path) -> None:
    world = World(tmp_path, None, FILTER)
    assert (world.look()["nat"], world.look()["filter"]) == (None, 2)
    assert world.unread.lines[0].startswith("iptables: expected an answer to `iptables -w 5 -t nat -S PREROUTING`")


@pytest.mark.parametrize(
    ("tables", "count"), [("table ip docker-bridges\n", 1), ("table inet mine\n", 0), (None, None)]
)
def test_with_nftables_its_own_table_counts(tmp_path: Path, tables: str | None, count: int | None) -> None:
    world = World(tmp_path, FLUSHED_NAT, FLUSHED_FILTER, tables)
    world.engine.docker.firewall_backend = "nftables"
    found = world.look()
    assert (found["backend"], found["nat"], found["filter"]) == ("nftables", count, count)


@pytest.mark.parametrize(
    ("daemon", "managed"),
    [
        ('{"iptables": false}', False),
        ('{"iptables" :false, "a": 1}', False),
        ('{"iptables": true}', True),
        ("{}", True),
    ],
)
def test_a_docker_that_leaves_the_filter_alone_is_none_of_ours(tmp_path: Path, daemon: str, managed: bool) -> None:
    world = World(tmp_path)
    world.system.put("/etc/docker/daemon.json", daemon)
    found = world.look()
    assert found["managed"] == managed
    assert (found["nat"] is None) == (not managed)


@pytest.mark.parametrize(("option", "managed"), [("--iptables=false", False), ("--iptables=0", False), ("-H", True)])
def test_a_flag_of_the_running_engine_counts_as_its_file_does(tmp_path: Path, option: str, managed: bool) -> None:
    world = World(tmp_path)
    world.system.put("/var/run/docker.pid", "7\n")
    world.system.put("/proc/7/cmdline", f"/usr/bin/dockerd\0{option}\0")
    assert world.look()["managed"] == managed


def test_an_engine_without_root_has_no_rules_here(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.security = ("name=seccomp,profile=builtin", "name=rootless")
    assert not world.look()["managed"]
