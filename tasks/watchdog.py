"""The restart Docker doesn't do: of a container that hangs."""

from __future__ import annotations

from pyinfra import host, logger
from pyinfra.api import deploy
from pyinfra.operations import files, systemd

from webui_stack.model.survey import WATCHDOG_TIMER, WATCHDOG_UNIT
from webui_stack.ops import operations
from webui_stack.render import units
from webui_stack.settings.model import Settings

from . import preflight, unit


@deploy("Watchdog")
def keep(settings: Settings) -> None:
    """Ensure a systemd service restarts a container that is unhealthy, and starts one that Docker could not start.

    Each at most once in `watchdog_pause_s`; 0 stops the service. Hosts without systemd get none: Docker's
    restart policy covers containers that exit, nothing there covers one that hangs. A swarm does all that by itself.
    """
    if settings.topology == "swarm":
        return
    survey = preflight.observation().survey
    if not survey().machine.has_systemd:
        host.log_styled("no systemd, so no watchdog for a container that hangs", fg="yellow", log_func=logger.warning)
        return
    _remove_timer(settings)
    wanted = settings.watchdog_pause_s > 0
    if wanted:
        operations.files(
            name="Put the watchdog",
            contents=lambda: units.watchdog(settings, survey().machine),
            present=lambda: survey().files,
            apply=f"systemctl daemon-reload && systemctl try-restart {WATCHDOG_UNIT}",
        )
    unit.keep(WATCHDOG_UNIT, "the watchdog", running=wanted)


def _remove_timer(settings: Settings) -> None:
    """Ensure nothing of the watchdog of earlier versions is left: a timer, which ran a script every five seconds."""
    left = [path for path in units.old_watchdog(settings) if path in preflight.observation().survey().files]
    if not left:
        return
    systemd.service(
        name="Stop the timer of the watchdog of before", service=WATCHDOG_TIMER, running=False, enabled=False
    )
    for path in left:
        files.file(name=f"Remove {path}", path=path, present=False)
