"""A systemd timer of ours, running or not."""

from __future__ import annotations

from pyinfra.operations import systemd

from tasks import preflight


def keep(unit: str, whose: str, *, running: bool) -> None:
    """Ensure the timer runs now and after each boot, or neither; nothing is added where it already is so."""
    if running != (unit in preflight.observation().survey().units):
        systemd.service(
            name=f"{'Run' if running else 'Stop'} the {whose}'s timer",
            service=unit,
            running=running,
            enabled=running,
        )
