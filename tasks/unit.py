"""A systemd unit of ours, running or not."""

from __future__ import annotations

from pyinfra.operations import systemd

from . import preflight


def keep(unit: str, what: str, *, running: bool) -> None:
    """Ensure the unit runs now and after each boot, or neither; nothing is added where it already is so.

    `what` is its name in the operation, such as "the watchdog".
    """
    if running != (unit in preflight.observation().survey().units):
        systemd.service(
            name=f"{'Run' if running else 'Stop'} {what}",
            service=unit,
            running=running,
            enabled=running,
        )
