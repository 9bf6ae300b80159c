"""The restart Docker doesn't do: of a container that hangs."""

from __future__ import annotations

from pyinfra import host, logger
from pyinfra.api import deploy
from pyinfra.operations import systemd

from webui_stack import facts, operations, templates
from webui_stack.settings import Settings

_TIMER = "open-webui-watchdog.timer"


@deploy("Watchdog")
def keep(settings: Settings) -> None:
    """Ensure a systemd timer restarts a container that is unhealthy, and Open WebUI after Valkey.

    Each at most once in `watchdog_pause_s`; 0 stops the timer. Hosts without systemd get none: Docker's
    restart policy covers containers that exit, nothing there covers one that hangs.
    """
    if not host.get_fact(facts.Machine).has_systemd:
        host.log_styled("no systemd, so no watchdog for a container that hangs", fg="yellow", log_func=logger.warning)
        return
    wanted = settings.watchdog_pause_s > 0
    if wanted:
        operations.files(
            name="Put the watchdog", contents=templates.watchdog(settings), apply="systemctl daemon-reload"
        )
    systemd.service(
        name="Run the watchdog's timer" if wanted else "Stop the watchdog's timer",
        service=_TIMER,
        running=wanted,
        enabled=wanted,
    )
