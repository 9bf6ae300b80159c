"""Docker's rules in a host's packet filter: missing ones are told apart from those that nobody wanted or could see."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from webui_stack import firewall

NAT = "-P PREROUTING ACCEPT\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
# Docker 26, and 28, which has a chain more.
FILTER = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\n"
FILTER_28 = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n"
FLUSHED_NAT, FLUSHED_FILTER = "-P PREROUTING ACCEPT\n", "-P FORWARD DROP\n"


def looked(
    folder: Path,
    nat: str | None = NAT,
    rules: str | None = FILTER,
    backend: str = "",
    security: str = "[name=seccomp]",
    nft: str | None = None,
) -> list[str]:
    """What the look says is gone, run by a real shell on a host with these rules; None is a program that fails."""
    programs = {
        "iptables": f'case "$*" in *nat*) {told(nat)} ;; *) {told(rules)} ;; esac',
        "docker": f'case "$*" in *FirewallBackend*) {told(backend)} ;; *) {told(security)} ;; esac',
        "nft": told(nft),
    }
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    result = subprocess.run(
        ["sh", "-s"],
        input=placed(folder),
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert result.stderr == ""
    return firewall.gone(firewall.parse(result.stdout.splitlines()))


def placed(folder: Path) -> str:
    """The look at a host whose files are in a folder."""
    script = firewall.LOOK.replace("/etc/docker/daemon.json", str(folder / "daemon.json"))
    return script.replace("/run/docker.pid", str(folder / "pid")).replace("/proc/", f"{folder}/")


def told(text: str | None) -> str:
    return "exit 4" if text is None else f"cat <<'END'\n{text.rstrip()}\nEND\n"


@pytest.mark.parametrize(
    ("nat", "rules", "gone"),
    [
        pytest.param(NAT, FILTER, [], id="all there"),
        pytest.param(NAT, FILTER_28, [], id="all there, Docker 28"),
        pytest.param(FLUSHED_NAT, FLUSHED_FILTER, ["nat", "filter"], id="both flushed"),
        pytest.param(FLUSHED_NAT, FILTER, ["nat"], id="published ports alone"),
        pytest.param(NAT, FLUSHED_FILTER, ["filter"], id="the way between containers alone"),
        pytest.param(None, None, [], id="no iptables, or no right to ask: unknown"),
        pytest.param(None, FLUSHED_FILTER, ["filter"], id="one can't be asked"),
    ],
)
def test_flushed_rules_are_named(tmp_path: Path, nat: str | None, rules: str | None, gone: list[str]) -> None:
    assert looked(tmp_path, nat, rules) == gone


def test_a_rootless_docker_has_its_rules_elsewhere(tmp_path: Path) -> None:
    assert looked(tmp_path, FLUSHED_NAT, FLUSHED_FILTER, security="[name=rootless]") == []


@pytest.mark.parametrize(
    ("tables", "gone"), [("table ip docker-bridges", []), ("table inet mine", ["nat", "filter"]), (None, [])]
)
def test_with_nftables_its_own_table_counts(tmp_path: Path, tables: str | None, gone: list[str]) -> None:
    assert looked(tmp_path, FLUSHED_NAT, FLUSHED_FILTER, backend="nftables", nft=tables) == gone


@pytest.mark.parametrize(
    ("seen", "gone"),
    [
        ({}, []),
        ({"managed": "no", "nat": "0", "filter": "0"}, []),
        ({"managed": "yes", "nat": "?", "filter": "?"}, []),
        ({"managed": "yes", "nat": "0", "filter": "2"}, ["nat"]),
    ],
)
def test_what_nobody_knows_is_no_fault(seen: dict[str, str], gone: list[str]) -> None:
    assert firewall.gone(seen) == gone


@pytest.mark.parametrize(
    ("daemon", "managed"),
    [
        ('{"iptables": false}', "no"),
        ('{"iptables" :false, "a": 1}', "no"),
        ('{"iptables": true}', "yes"),
        ("{}", "yes"),
    ],
)
def test_a_docker_that_leaves_the_filter_alone_is_none_of_ours(tmp_path: Path, daemon: str, managed: str) -> None:
    (tmp_path / "daemon.json").write_text(daemon)
    output = subprocess.run(
        ["sh", "-s"], input=placed(tmp_path), capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert firewall.parse(output.splitlines())["managed"] == managed


def test_a_flag_of_the_running_engine_counts_as_its_file_does(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("7\n")
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"/usr/bin/dockerd\0--iptables=false\0")
    output = subprocess.run(
        ["sh", "-s"], input=placed(tmp_path), capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert firewall.parse(output.splitlines())["managed"] == "no"
