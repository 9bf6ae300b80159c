"""Packages come once it is our turn, and without sources that are dead; nobody waits for ever, or for nothing."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.plan.test_apt_sources import DEAD, DEBIANS, DPKG_HELD, LISTS_HELD, MAIN
from webui_stack.ops import packages
from webui_stack.transport import remote

SOURCES = {MAIN: DEBIANS, "/etc/apt/sources.list.d/old.list": "deb http://ppa.example.org/old trixie main\n"}
UNKNOWN = ["E: Package 'docker-ce' has no installation candidate"]
UNREACHED = [
    "W: Failed to fetch http://mirror.example.org/debian/dists/trixie/InRelease  Could not resolve 'mirror.example.org'"
]


class FakeHost:
    """A host whose apt says these things, one after another, to each kind of command; the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: list[list[str]]) -> None:
        self.asked: list[str] = []
        self.commands: list[str] = []
        self.told: list[str] = []
        self.waited = 0.0
        self.answers = answers
        monkeypatch.setattr(remote, "attempt", self.attempt)
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(time, "monotonic", lambda: self.waited)

    def attempt(self, _: Any, command: str, *, shown: bool) -> tuple[bool, Any]:
        assert shown
        kind = next(word for word in ("update", "install", "remove") if f" {word}" in f"{command} ")
        self.asked.append(kind)
        self.commands.append(command)
        answers = self.answers.get(kind, [[]])
        said = answers.pop(0) if len(answers) > 1 else answers[0]
        return not any(line.startswith("E: ") for line in said), SimpleNamespace(stdout_lines=[], stderr_lines=said)

    def sleep(self, seconds: float) -> None:
        self.waited += seconds

    def log_styled(self, message: str, **_: Any) -> None:
        self.told.append(message)


def install(host: FakeHost) -> bool:
    return packages._install(None, host, ["docker-ce"], SOURCES)  # type: ignore[arg-type]


def test_packages_come_after_the_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(monkeypatch)
    assert install(host)
    assert (host.asked, host.told, host.waited) == (["update", "install"], [], 0)


def test_another_package_manager_is_waited_for_and_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(monkeypatch, update=[LISTS_HELD, LISTS_HELD, []], install=[DPKG_HELD, []])
    assert install(host)
    assert host.asked == ["update", "update", "update", "install", "install"]
    assert host.told == [
        "waiting for apt-get (pid 142), which holds /var/lib/apt/lists/lock, 15 minutes at most",
        "waiting for unattended-upgr (pid 127), which holds /var/lib/dpkg/lock-frontend, 15 minutes at most",
    ]


@pytest.mark.parametrize("act", [install, lambda host: packages._turn(cast(Any, None), host)])
def test_the_wait_has_a_limit_and_its_end_names_the_holder(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    host = FakeHost(monkeypatch, install=[DPKG_HELD])
    assert not act(host)
    assert 900 < host.waited < 920
    assert host.told[-1] == (
        "apt: expected its turn within 15 minutes, got it kept by unattended-upgr (pid 127), which holds "
        "/var/lib/dpkg/lock-frontend; see what that does, and run again"
    )


def test_a_dead_source_is_named_and_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(monkeypatch, update=[DEAD])
    assert install(host)
    assert host.told == [
        "apt: expected all sources of packages to work, got an error from http://ppa.example.org/old in "
        "/etc/apt/sources.list.d/old.list, line 1; fix or remove it"
    ]
    assert host.waited == 0


def test_packages_that_can_not_be_had_fail_in_apts_words(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(monkeypatch, update=[DEAD], install=[UNKNOWN])
    assert not install(host)
    assert host.told == [*dict.fromkeys(DEAD), *UNKNOWN]


def test_a_source_out_of_reach_is_told_where_packages_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """apt's update succeeds then, with a warning."""
    host = FakeHost(monkeypatch, update=[UNREACHED], install=[UNKNOWN])
    assert not install(host)
    assert host.told == [*UNREACHED, *UNKNOWN]


def test_a_turn_leaves_other_failures_to_the_script_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(monkeypatch, install=[["E: Unmet dependencies. Try 'apt --fix-broken install'"]])
    assert packages._turn(None, host)  # type: ignore[arg-type]
    assert (host.asked, host.told) == (["install"], [])


def test_removal_fails_in_apts_words(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(monkeypatch, remove=[["E: Sub-process /usr/bin/dpkg returned an error code (1)"]])
    assert not packages._remove(None, host, ["runc"])  # type: ignore[arg-type]
    assert host.told == ["E: Sub-process /usr/bin/dpkg returned an error code (1)"]


# apt-get 3.0 (Debian 13) with --no-remove, where unstable's docker.io and tini-static were in the way of stable's tini.
IN_THE_WAY = """\
Reading package lists...
Building dependency tree...
Reading state information...
The following packages were automatically installed and are no longer required:
  containerd runc
Use 'apt autoremove' to remove them.
The following packages will be REMOVED:
  docker.io tini-static
The following NEW packages will be installed:
  tini
0 upgraded, 1 newly installed, 2 to remove and 0 not upgraded.
E: Packages need to be removed but remove is disabled.
""".splitlines()


def test_nothing_of_others_is_removed_for_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(monkeypatch, install=[IN_THE_WAY])
    assert not install(host)
    assert "--no-remove" in host.commands[-1]
    assert host.told == [
        "apt: expected to install docker-ce and remove nothing, got docker.io tini-static in the way; see what needs "
        "that on the host, `apt-get remove docker.io tini-static`, and run again"
    ]
