"""Somebody who looks at the stack while nobody is looking: alarms and metrics."""

from __future__ import annotations

from pyinfra import host, logger
from pyinfra.api import deploy
from pyinfra.operations import files

from webui_stack.model.survey import MONITOR_UNIT
from webui_stack.ops import operations
from webui_stack.render import monitor_requests, units
from webui_stack.settings.model import Settings

from . import preflight, unit


@deploy("Monitor")
def keep(settings: Settings) -> None:
    """Ensure a systemd service looks at the stack every `monitor_interval_s`, tells `alarms`, and shows metrics.

    0 removes it, and so does a swarm on hosts without the data. Hosts without systemd get none. Receivers are among the
    stack's secrets, so a change of them restarts nothing here. Metrics that are not wanted there any more are removed.
    """
    survey = preflight.observation().survey
    wanted = units.has_monitor(settings)
    if not survey().machine.has_systemd:
        if wanted:
            host.log_styled("no systemd, so no monitor: no alarms, no metrics", fg="yellow", log_func=logger.warning)
        return
    before = units.metrics_of(survey().files.get(units.MONITOR_PATH, ""))
    if wanted:
        operations.files(
            name="Put the monitor",
            contents=lambda: units.monitor(settings, survey().machine),
            present=lambda: survey().files,
            apply=f"systemctl daemon-reload && systemctl try-restart {MONITOR_UNIT}",
        )
    unit.keep(MONITOR_UNIT, "the monitor", running=wanted)
    if not wanted and units.MONITOR_PATH in survey().files:
        for path in (units.MONITOR_PATH, monitor_requests.STATE):  # nobody would ever close an alarm that is open
            files.file(name=f"Remove {path}", path=path, present=False)
    now = units.metrics_of("".join(units.monitor(settings, survey().machine).values())) if wanted else ""
    if before and before != now:
        files.file(name=f"Remove {before}", path=before, present=False)
