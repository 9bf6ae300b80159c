"""What a crowd sent and what arrived, counted: losses, duplicates, latency, the time until all is well again.

Pure: times are seconds of one clock (`time.monotonic`), clients and people are numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table


@dataclass
class Event:
    """One marked event: a request of `person` at `sent_at`, and when it arrived at which client.

    It is accepted once Open WebUI answered that it was sent; `error` says why it was not.
    """

    number: int
    person: int
    sent_at: float
    accepted: bool = False
    error: str = ""
    arrivals: dict[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """A client came (connected, and joined its person's room) or went."""

    client: int
    at: float
    up: bool


@dataclass(frozen=True)
class Pulse:
    """How the crowd's own machinery was: the processor time it had used by then, and how late it woke."""

    at: float
    cpu_s: float
    late_s: float


@dataclass(frozen=True)
class Result:
    """What became of the events sent in `seconds`.

    `expected` are deliveries: each accepted event times the clients of its person, connected or not.
    `sent` are accepted events, `failed` those whose request Open WebUI did not accept, by reason; nobody waits for
    them. `strays` arrived at a client of somebody else. `reconnected` and `disconnected` are clients, not times.
    `recovery_s` is from the beginning until every client is connected and nothing is lost or refused from then on:
    0 if nothing ever was, None if that has not come to pass. `losses` is deliveries lost by the second in which
    their event was sent. `cpu_share` (of one core) and `late_ms` (longest) are of the crowd's own thread: near 1, or
    late, it measures itself.
    """

    seconds: float
    sent: int
    failed: Mapping[str, int]
    expected: int
    received: int
    duplicated: int
    strays: int
    complete: int
    p50_ms: float | None
    p99_ms: float | None
    disconnected: int
    reconnected: int
    recovery_s: float | None
    losses: Mapping[int, int]
    cpu_share: float
    late_ms: float

    @property
    def lost(self) -> int:
        return self.expected - self.received

    @property
    def events_per_s(self) -> float:
        """Events that reached all of their clients, by second."""
        return self.complete / self.seconds if self.seconds else 0.0

    @property
    def deliveries_per_s(self) -> float:
        return self.received / self.seconds if self.seconds else 0.0


Sockets = Mapping[int, Sequence[int]]  # a person's clients


def missing(event: Event, sockets: Sockets) -> int:
    """How many of its person's clients an event has not reached."""
    return sum(client not in event.arrivals for client in sockets[event.person])


def tally(
    events: Iterable[Event],
    links: Sequence[Link],
    pulses: Sequence[Pulse],
    sockets: Sockets,
    since: float,
    until: float,
) -> Result:
    """Count the events sent from `since` to before `until`; links and pulses are those of the whole run."""
    sent = [event for event in events if since <= event.sent_at < until]
    accepted = [event for event in sent if event.accepted]
    latencies, losses, received, duplicated, strays, complete = list[float](), Counter[int](), 0, 0, 0, 0
    for event in accepted:
        own = [event.arrivals[client] for client in sockets[event.person] if client in event.arrivals]
        latencies += [times[0] - event.sent_at for times in own]
        received += len(own)
        duplicated += sum(len(times) - 1 for times in own)
        lost = missing(event, sockets)
        complete += not lost
        if lost:
            losses[int(event.sent_at - since)] += lost
    for event in sent:
        strays += sum(len(times) for client, times in event.arrivals.items() if client not in sockets[event.person])
    during = [link for link in links if since <= link.at < until]
    within = [pulse for pulse in pulses if since <= pulse.at < until]
    return Result(
        seconds=until - since,
        sent=len(accepted),
        failed=Counter(event.error or "no answer yet" for event in sent if not event.accepted),
        expected=sum(len(sockets[event.person]) for event in accepted),
        received=received,
        duplicated=duplicated,
        strays=strays,
        complete=complete,
        p50_ms=percentile_ms(latencies, 50),
        p99_ms=percentile_ms(latencies, 99),
        disconnected=len({link.client for link in during if not link.up}),
        reconnected=len({link.client for link in during if link.up}),
        recovery_s=recovery_s(sent, links, sockets, since),
        losses=dict(sorted(losses.items())),
        cpu_share=_cpu_share(within),
        late_ms=max((pulse.late_s for pulse in within), default=0.0) * 1000,
    )


def recovery_s(events: Iterable[Event], links: Sequence[Link], sockets: Sockets, since: float) -> float | None:
    """Seconds from `since` until every client is connected and, from then on, nothing is lost or refused.

    It takes an event of every person, complete, after the last bad one to say so; None without.
    """
    connected = {link.client: link.up for link in sorted(links, key=lambda link: link.at)}
    if not all(connected.get(client) for clients in sockets.values() for client in clients):
        return None
    after = list[Event]()
    back = since
    spoilt = False
    for event in sorted((event for event in events if event.sent_at >= since), key=lambda event: event.sent_at):
        if not event.accepted or missing(event, sockets):
            after, spoilt = [], True
        else:
            after.append(event)
    if {event.person for event in after} != {person for person, clients in sockets.items() if clients}:
        return None
    if spoilt:
        back = max(times[0] for times in after[0].arrivals.values())
    return max(back, *(link.at for link in links if link.up), since) - since


def percentile_ms(seconds: Sequence[float], percent: int) -> float | None:
    """The smallest of the values that `percent` of all don't exceed, in milliseconds; None of none."""
    if not seconds:
        return None
    return sorted(seconds)[max(0, -(-len(seconds) * percent // 100) - 1)] * 1000


def _cpu_share(pulses: Sequence[Pulse]) -> float:
    if len(pulses) < 2:
        return 0.0
    return (pulses[-1].cpu_s - pulses[0].cpu_s) / (pulses[-1].at - pulses[0].at)


def table(results: Mapping[str, Result], title: str = "") -> Table:
    """A row for each named result, to print with rich; `due` are the deliveries its events should have made."""
    columns = ("sent", "refused", "due", "lost", "twice", "p50\nms", "p99\nms", "came\nback", "well\nafter")
    made = Table(title=title or None, box=None, header_style="underline", padding=(0, 1, 0, 0), pad_edge=False)
    made.add_column("", min_width=12)
    for column in columns:
        made.add_column(column, justify="right", no_wrap=True)
    made.add_column("lost at", justify="right", min_width=8)
    for name, result in results.items():
        made.add_row(
            name,
            *(str(result.sent), str(sum(result.failed.values())), str(result.expected)),
            *(str(result.lost), str(result.duplicated), _ms(result.p50_ms), _ms(result.p99_ms)),
            str(result.reconnected),
            "never" if result.recovery_s is None else f"{result.recovery_s:.1f} s",
            spans(result.losses),
        )
    return made


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def spans(seconds: Iterable[int]) -> str:
    """Seconds as a person writes them: `0-3, 9 s`."""
    runs = list[list[int]]()
    for second in sorted(seconds):
        if runs and second == runs[-1][1] + 1:
            runs[-1][1] = second
        else:
            runs.append([second, second])
    written = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return f"{written} s" if written else "-"
