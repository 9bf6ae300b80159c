"""Which units of systemd run and start with the host, and how they are started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.fake_system import FakeSystem
from webui_stack.host import units
from webui_stack.host.errors import HostError

# As systemd 252 prints it: a block for each unit that was named, in that order.
SHOWN = """Id=docker.service
ActiveState=active
UnitFileState=enabled

Id=stopped.timer
ActiveState=inactive
UnitFileState=enabled

Id=byhand.timer
ActiveState=active
UnitFileState=disabled

Id=gone.timer
ActiveState=inactive
UnitFileState=
"""


def with_systemd(root: Path, shown: str | None) -> FakeSystem:
    host = FakeSystem(root, systemctl=lambda _: shown)
    host.path("/run/systemd/system").mkdir(parents=True)
    return host


def test_only_units_that_are_active_and_enabled_count(tmp_path: Path) -> None:
    host = with_systemd(tmp_path, SHOWN)
    names = ["docker.service", "stopped.timer", "byhand.timer", "gone.timer"]
    assert units.on(units.look(host, names)) == ["docker.service"]
    assert host.asked[0].command[-4:] == tuple(names)


def test_a_host_without_systemd_has_no_units_and_is_not_asked(tmp_path: Path) -> None:
    host = FakeSystem(tmp_path, systemctl=SHOWN)
    assert units.look(host, ["docker.service"]) == {}
    assert host.asked == []


def test_a_systemd_that_does_not_answer_is_not_one_without_units(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"^systemctl: expected an answer to"):
        units.look(with_systemd(tmp_path, None), ["docker.service"])
