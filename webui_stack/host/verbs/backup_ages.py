"""How old the last backup and the last good drill of this host are, by the looks of the monitor. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import dockerd
from ..clock import Clock
from ..errors import HostError
from ..files import Files
from ..finding import Finding
from ..looks import backups, request
from ..looks.memory import Memory
from ..looks.sight import Host, Sight
from ..system import System, require_root

_MOMENTS = {
    "backup_at_s": "open_webui_stack_backup_last_timestamp_seconds",
    "drill_at_s": "open_webui_stack_drill_last_timestamp_seconds",
}


@dataclass(frozen=True)
class Request:
    """Where sets and outcomes are, and the schedules by which they are too old: systemd's calendar expressions.

    A schedule is "" for none.
    """

    stack_dir: str
    backup_dir: str
    backup_schedule: str = ""
    drill_schedule: str = ""


def look(arguments: Mapping[str, Any], _emit: Callable[[Any], None]) -> dict[str, Any]:
    """When the last backup and the last good drill were, and what is too old; `arguments` are those of `Request`."""
    require_root()
    system = System()
    return found(Request(**arguments), Host(system, dockerd.engine(system), Files(), Clock()))


def found(asked: Request, host: Host) -> dict[str, Any]:
    """As `look`. `now_s` is this host's time, in seconds since 1970; a moment is None where there was none.

    `late` are the things that are too old. With `errors`, not all of it is known.
    """
    wanted = request.Request(
        stack_dir=asked.stack_dir,
        backup_dir=asked.backup_dir,
        containers=(),
        open_webui=(),
        valkey="",
        backup_schedule=asked.backup_schedule,
        drill_schedule=asked.drill_schedule,
    )
    moments: dict[str, float] = {}
    late: list[dict[str, str]] = []
    errors: list[str] = []
    try:
        for one in backups.look(Sight(wanted, host, Memory(host.clock))):
            if not isinstance(one, Finding):
                moments[one.name] = one.value
            elif one.ok is None:
                errors.append(one.seen)
            elif not one.ok:
                late.append({"name": one.name, "seen": one.seen, "next_step": one.next_step})
    except HostError as error:
        errors.append(str(error))
    return {
        "now_s": host.clock.now(),
        **{name: moments.get(metric) for name, metric in _MOMENTS.items()},
        "late": late,
        "errors": errors,
    }
