"""The host's program as it is sent: what it never advises."""

from __future__ import annotations

from tests.defaults import ROOT


def test_nothing_that_the_host_says_advises_to_remove_a_volume() -> None:
    for path in (ROOT / "webui_stack/host").rglob("*.py"):
        assert "volume rm" not in path.read_text(), path.name
