"""Requests for the verbs of the host's program that look at the stack, and tell people of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webui_stack.model import compose, survey
from webui_stack.render import project, secrets_requests
from webui_stack.settings.model import Settings

METRICS_FILE = "open-webui-stack.prom"
"""What the monitor writes into `metrics_textfile_dir` (`host/metrics.py`)."""
STATE = "/var/lib/open-webui-stack/alarms.json"
"""What the monitor keeps of alarms (`host/alarms/record.py`)."""
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def monitor_request(settings: Settings, timers: Sequence[str]) -> dict[str, Any]:
    """The request for the verb `monitor` (`host/looks/request.py`). It holds no secret: only where a file with them is.

    In a swarm it names services. `timers` are those that have to run, and whose jobs must not fail.
    """
    in_swarm = settings.topology == "swarm"
    return {
        "stack_dir": settings.stack_dir,
        "backup_dir": settings.backup_dir,
        "containers": [_named(settings, service) for service in settings.images],
        "open_webui": [_named(settings, service) for service in settings.open_webui_services],
        "valkey": _named(settings, "redis"),
        "postgres": _named(settings, "postgres") if "postgres" in settings.images else "",
        "proxy": _named(settings, "proxy") if "proxy" in settings.images else "",
        "swarm": compose.STACK if in_swarm else "",
        "gateway": compose.GATEWAY,
        "interval_s": settings.monitor_interval_s,
        "backup_schedule": settings.backup_schedule,
        "drill_schedule": settings.drill_schedule,
        "units": [*_watchdog(settings), *timers],
        "jobs": [timer.replace(".timer", ".service") for timer in timers],
        "certificates": _certificates(settings),
        "served": _served(settings),
        "metrics_textfile_dir": settings.metrics_textfile_dir or "",
        "metrics_bind": settings.metrics_bind or "",
        "alarms": receivers_file(settings) if settings.alarms else "",
        "alarm_reminder_h": settings.alarm_reminder_h,
    }


def alarm_test_request(settings: Settings) -> dict[str, Any]:
    """The request for the verb `alarm_test` (`host/verbs/alarms.py`). It holds no secret."""
    return {"receivers": receivers_file(settings)}


def receivers_file(settings: Settings) -> str:
    """Where a host has the receivers of alarms."""
    return f"{settings.stack_dir}/{secrets_requests.RECEIVERS}"


def metrics_file(settings: Settings) -> str:
    """The file of the metrics on a host, "" for none."""
    return f"{settings.metrics_textfile_dir}/{METRICS_FILE}" if settings.metrics_textfile_dir else ""


def _named(settings: Settings, service: str) -> str:
    return f"{compose.STACK}_{service}" if settings.topology == "swarm" else compose.container_of(service)


def _watchdog(settings: Settings) -> list[str]:
    """A swarm has none."""
    return [survey.WATCHDOG_UNIT] if settings.topology == "compose" and settings.watchdog_pause_s else []


def _certificates(settings: Settings) -> list[str]:
    has_file = bool(settings.public_url) and settings.proxy_tls == "files"
    return [f"{settings.stack_dir}/{project.CONFIGS['certificate']}"] if has_file else []


def _served(settings: Settings) -> dict[str, Any] | None:
    """In a swarm the proxy is published on the hosts that it runs on alone."""
    if not (settings.public_url and settings.runs("proxy")):
        return None
    address = settings.proxy_addresses[0]
    return {
        "address": _LOOPBACK.get(address, address),
        "port": settings.proxy_port,
        "name": settings.proxy_name,
        "renews": settings.proxy_tls != "files",
    }
