"""The restart Docker doesn't do: of a container that hangs."""

from __future__ import annotations

from pyinfra import host, logger
from pyinfra.api import deploy

from tasks import preflight, timer
from webui_stack import operations, templates
from webui_stack.settings import Settings
from webui_stack.survey import TIMER_UNIT


@deploy("Watchdog")
def keep(settings: Settings) -> None:
    """Ensure a systemd timer restarts a container that is unhealthy, and Open WebUI after Valkey.

    Each at most once in `watchdog_pause_s`; 0 stops the timer. Hosts without systemd get none: Docker's
    restart policy covers containers that exit, nothing there covers one that hangs. A swarm does all that by itself.
    """
    if settings.topology == "swarm":
        return
    survey = preflight.observation().survey
    if not survey().machine.has_systemd:
        host.log_styled("no systemd, so no watchdog for a container that hangs", fg="yellow", log_func=logger.warning)
        return
    wanted = settings.watchdog_pause_s > 0
    if wanted:
        operations.files(
            name="Put the watchdog",
            contents=templates.watchdog(settings),
            present=lambda: survey().files,
            apply="systemctl daemon-reload",
        )
    timer.keep(TIMER_UNIT, "watchdog", running=wanted)
