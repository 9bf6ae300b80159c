"""What there is to look at on a host, the worst first: faults, alarms, old backups, drift, a failed deploy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from webui_stack.documents.alarm_document import OpenAlarm
from webui_stack.reports.moment import for_people
from webui_stack.reports.rows import State, state_of
from webui_stack.reports.status import Status

_UNKNOWN = "unknown"


class Trouble(NamedTuple):
    """One thing: how bad it is, what it is about, in words, and what to do. What differs needs no `about`."""

    state: State
    about: str
    seen: str
    next_step: str = ""

    def __str__(self) -> str:
        return (f"{self.about}: " if self.about else "") + self.seen + (f"; {self.next_step}" if self.next_step else "")


def of(host: Status) -> list[Trouble]:
    """All of it, the worst first."""
    return sorted(_found(host), key=lambda one: one.state, reverse=True)


def state(host: Status) -> State:
    """How bad it is: a host that could not be looked at, or has no stack, is not checked."""
    return max((one.state for one in of(host)), default=State.OK)


def worst_first(hosts: Mapping[str, Status]) -> dict[str, Status]:
    """The hosts by how bad they are, then by how much there is to look at; else in their order."""
    return dict(sorted(hosts.items(), key=lambda host: (state(host[1]), len(of(host[1]))), reverse=True))


def _found(host: Status) -> Iterator[Trouble]:
    if host.note:
        yield Trouble(State.UNCHECKED, "", host.note)
    told = {one["name"] for one in host.alarms}
    for alarm in host.alarms:
        yield Trouble(State.FAULT, f"alarm {alarm['name']}", _since(alarm), alarm["next_step"])
    for check in (*host.unwell, *(one for one in host.late if one.name not in told)):
        yield Trouble(state_of(check), check.name, check.seen, check.next_step)
    for line in host.backups:
        yield Trouble(State.FAULT, "backups", line)
    if host.uploads_elsewhere:
        seen = f"uploads are in {host.uploads_elsewhere}, and in no backup set"
        yield Trouble(State.ADVICE, "backups", seen, "back them up there")
    if host.alarms_unknown:
        yield Trouble(State.ADVICE, "alarms", f"{_UNKNOWN}: {host.alarms_unknown}")
    if host.backups_unknown:
        yield Trouble(State.ADVICE, "backups", f"{_UNKNOWN}: {host.backups_unknown}")
    for line in host.drift:
        yield Trouble(State.ADVICE, "", line)
    last = host.last_deploy
    if last and last.result == "failed":
        why = f": {last.failed}" if last.failed else ""
        yield Trouble(State.ADVICE, "last deploy", f"{last.words}{why}", "run deploy.py again")
    elif last and last.result == "started":
        yield Trouble(State.ADVICE, "last deploy", f"{last.words}, with no end: it is at work, or was cut off")


def _since(alarm: OpenAlarm) -> str:
    """What an alarm saw, with its state and the moment it began."""
    since = for_people(datetime.fromtimestamp(alarm["since_s"], UTC))
    return f"{alarm['state']} since {since}: {alarm['seen']}"
