"""All hosts on one page for a browser: the fleet at a glance, the worst first. What hosts say is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from webui_stack.reports import page, releases, status_table, troubles
from webui_stack.reports.moment import for_machines, for_people
from webui_stack.reports.rows import State, state_of
from webui_stack.reports.status import Status
from webui_stack.reports.troubles import Trouble

# The page unfolds hosts with faults, and all hosts, as long as there are no more than these.
_UNFOLDED = 3
_BACKUP, _DRILL, _CERTIFICATE = "backup_age", "drill_age", "certificate"


class Cell(NamedTuple):
    """A cell of the table: how bad it is, its words, and more of them for a pointer that rests there."""

    state: State
    words: str
    title: str = ""


class Shown(NamedTuple):
    """A host as the page shows it."""

    name: str
    host: Status
    state: State
    cells: list[Cell]
    troubles: list[Trouble]

    @property
    def result(self) -> str:
        """`ok`, `2 faults`, `1 advice` or `not checked`."""
        count = sum(one.state is self.state for one in self.troubles)
        match self.state:
            case State.FAULT:
                return f"{count} fault{'' if count == 1 else 's'}"
            case State.ADVICE:
                return f"{count} advice"
            case _:
                return self.state.word


COLUMNS = (
    "Open WebUI",
    "Valkey",
    "works",
    "backup",
    "drill",
    "certificate",
    "alarms",
    "drift",
    "deployed",
)


def html(hosts: Mapping[str, Status], now: datetime) -> str:
    """One page that needs nothing else: no script, no network; worst hosts first."""
    shown = [_shown(name, host, now) for name, host in troubles.worst_first(hosts).items()]
    states = Counter(one.state for one in shown)
    faults = states[State.FAULT]
    return page.render(
        "status.html.j2",
        looked=for_machines(now),
        looked_words=for_people(now),
        counts={
            "ok": states[State.OK] + states[State.ADVICE],
            "with faults": faults,
            "not checked": states[State.UNCHECKED],
        },
        advised=states[State.ADVICE],
        columns=COLUMNS,
        hosts=shown,
        versions={
            "Open WebUI": _tally(host.open_webui for host in hosts.values()),
            "Valkey": _tally(host.valkey for host in hosts.values()),
        },
        releases=releases.rows(host.releases for host in hosts.values()),
        unfolded=lambda one: len(shown) <= _UNFOLDED or (one.state is State.FAULT and faults <= _UNFOLDED),
    )


def _tally(versions: Iterable[str]) -> str:
    """`0.12.4 on 5 hosts, 0.12.3 on 1 host`: the most common first; "" for none."""
    counted = Counter(filter(None, versions)).most_common()
    return ", ".join(f"{version} on {count} host{'' if count == 1 else 's'}" for version, count in counted)


def _shown(name: str, host: Status, now: datetime) -> Shown:
    found = troubles.of(host)
    return Shown(name, host, troubles.state(host), _cells(host, now), found)


def _cells(host: Status, now: datetime) -> list[Cell]:
    """As `COLUMNS`. A cell has a colour only where there is something to look at."""
    last = host.last_deploy
    listeners = f"{host.subscribers} listening to Valkey" if host.subscribers else ""
    works = State.UNCHECKED if host.note else State.FAULT if host.faults else State.OK
    ended = last is not None and last.result in ("failed", "started")
    return [
        Cell(State.OK, host.open_webui or status_table.NONE, host.images.get("open-webui", "")),
        Cell(State.OK, host.valkey or status_table.NONE, host.images.get("redis", "")),
        Cell(works, status_table.works(host), ", ".join(host.faults) or listeners),
        Cell(_age_state(host, _BACKUP), status_table.backup_age(host)),
        Cell(_drill_state(host), status_table.drill_age(host)),
        Cell(_certificate_state(host, now), status_table.certificate_left(host, now), host.certificate_ends),
        Cell(_alarms_state(host), status_table.alarms(host)),
        Cell(State.ADVICE if host.drift else State.OK, status_table.drift(host)),
        Cell(State.ADVICE if ended else State.OK, status_table.deployed(last, now), last.words if last else ""),
    ]


def _age_state(host: Status, name: str) -> State:
    """By the host's own judgement: that of this look, or of its monitor."""
    names = {one.name for one in host.late} | {one.get("name") for one in host.alarms}
    return State.FAULT if name in names else State.OK


def _drill_state(host: Status) -> State:
    last = host.outcomes.get("drill")
    return State.FAULT if last and not last["ok"] else _age_state(host, _DRILL)


def _certificate_state(host: Status, now: datetime) -> State:
    has_ended = host.certificate_ends and datetime.fromisoformat(host.certificate_ends) <= now
    bad = (state_of(one) for one in host.unwell if one.name == _CERTIFICATE)
    return max(bad, default=State.FAULT if has_ended else State.OK)


def _alarms_state(host: Status) -> State:
    return State.FAULT if host.alarms else State.ADVICE if host.alarms_unknown else State.OK
