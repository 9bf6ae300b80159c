"""All hosts as a table for a terminal of 80 columns: a line a host, the worst last. What hosts say can't steer it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from rich import box
from rich.table import Table

from webui_stack.model.deploy_log import Record
from webui_stack.reports import backups, troubles
from webui_stack.reports.rows import State
from webui_stack.reports.status import Status
from webui_stack.reports.table import STYLES, one_line, printable

NONE = "-"
UNKNOWN = "?"
# Heading -> the widest cell, in letters. With a blank between columns, and the host's name, they make 80.
_COLUMNS = {
    "Open\nWebUI": 7,
    "Valkey": 7,
    "works": 5,
    "backup": 6,
    "drill": 6,
    "certi-\nficate": 6,
    "alarms": 6,
    "drift": 5,
    "deployed": 8,
}
_WIDTH = 80
_HOST = _WIDTH - sum(_COLUMNS.values()) - len(_COLUMNS)


def of(hosts: Mapping[str, Status], now: datetime) -> Table:
    """A row for each host. Its name may take more than a line; `lines` says what is behind the words."""
    found = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    found.add_column("host", overflow="fold", max_width=_HOST)
    for heading, width in _COLUMNS.items():
        found.add_column(heading, no_wrap=True, overflow="ellipsis", max_width=width)
    for name, host in reversed(troubles.worst_first(hosts).items()):
        state = troubles.state(host)
        found.add_row(*map(printable, (name, *_cells(host, now))), style="" if state is State.OK else STYLES[state])
    return found


def lines(hosts: Mapping[str, Status]) -> list[str]:
    """What there is to look at, a line each, the worst host last."""
    return [
        one_line(f"{name}: {one}")
        for name, host in reversed(troubles.worst_first(hosts).items())
        for one in troubles.of(host)
    ]


def works(host: Status) -> str:
    """`yes` or `no`; a host without a stack, or out of reach, is unknown."""
    return UNKNOWN if host.note else "no" if host.faults else "yes"


def backup_age(host: Status) -> str:
    """How old the last backup is; unknown where something could not be read, and no backup was seen."""
    return _age(host, host.backup_age_s)


def drill_age(host: Status) -> str:
    """How long ago the last good drill was."""
    return _age(host, host.drill_age_s)


def certificate_left(host: Status, now: datetime) -> str:
    """How long the certificate is valid still."""
    if not host.certificate_ends:
        return NONE
    left_s = int((datetime.fromisoformat(host.certificate_ends) - now).total_seconds())
    return backups.age(left_s) if left_s > 0 else "ended"


def alarms(host: Status) -> str:
    """How many are open; none is known where nobody looks."""
    if host.alarms_unknown:
        return UNKNOWN
    return str(len(host.alarms)) if host.alarms or host.is_monitored else NONE


def drift(host: Status) -> str:
    """How many differences there are."""
    return NONE if host.note else str(len(host.drift))


def deployed(last: Record | None, now: datetime) -> str:
    """How long ago the last deploy was, or that it failed or is under way."""
    if last is None:
        return NONE
    if last.result in ("failed", "started"):
        return last.result
    try:
        at = datetime.fromisoformat(last.at)
    except ValueError:
        return UNKNOWN
    return backups.age(int((now - at.replace(tzinfo=at.tzinfo or UTC)).total_seconds()))


def _cells(host: Status, now: datetime) -> tuple[str, ...]:
    return (
        host.open_webui or NONE,
        host.valkey or NONE,
        works(host),
        backup_age(host),
        drill_age(host),
        certificate_left(host, now),
        alarms(host),
        drift(host),
        deployed(host.last_deploy, now),
    )


def _age(host: Status, age_s: int | None) -> str:
    if age_s is None:
        return UNKNOWN if host.backups_unknown else NONE
    return backups.age(age_s)
