"""What people were told of each thing, and what they have to be told after a look. Pure.

    state, messages = after(state, findings, now_s=..., host=..., reminder_s=...)

A thing is told as broken after two looks in a row, and as unknown after three. One that changes more than four times in
an hour is told as flapping; people hear of it again when it is stable for an hour.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ..finding import Finding
from .message import KINDS, Item, ItemState, Message

# "" stands for a thing without an alarm.
Told = Literal["", "broken", "unknown", "flapping"]

AT_ONCE = "unit_"
"""A thing whose name begins so is told as broken after one look: systemd has seen for itself that a unit failed."""
DOCKER = "docker"
"""The thing without which the others are not looked at."""
_BROKEN_LOOKS, _UNKNOWN_LOOKS = 2, 3
_MOST_CHANGES = 4
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Streak:
    """How many looks in a row have seen something, and since which moment."""

    looks: int = 0
    since_s: float = 0.0

    def longer(self, now_s: float) -> Streak:
        """One look more. The number stops at what counts, so that a state that stays is not written again."""
        return Streak(min(self.looks + 1, _UNKNOWN_LOOKS), self.since_s if self.looks else now_s)


@dataclass(frozen=True)
class Thing:
    """What is known of one thing.

    `ok` is the last answer, None before the first. `changes_s` are the last changes between well and broken. `told` is
    what people know, `opened_s` the moment at which that began, and `told_s` the moment at which they heard of it last.
    `repaired` is what the watchdog did, until people hear of it. `missing_s` is the moment since which no look has
    named the thing, or None. `seen` and `next_step` are of the last trouble.
    """

    ok: bool | None = None
    broken: Streak = Streak()
    unknown: Streak = Streak()
    changes_s: Sequence[float] = ()
    told: Told = ""
    opened_s: float = 0.0
    told_s: float = 0.0
    repaired: str = ""
    missing_s: float | None = None
    seen: str = ""
    next_step: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Thing:
        """Read what `as_json` has written. Raises `TypeError` and `KeyError`."""
        streaks = {key: Streak(**found[key]) for key in ("broken", "unknown")}
        return cls(**{**found, **streaks, "changes_s": tuple(found["changes_s"])})


State = Mapping[str, Thing]


def after(
    state: State, findings: Sequence[Finding], *, now_s: float, host: str, reminder_s: float
) -> tuple[State, list[Message]]:
    """The state after a look, and what people have to be told: one message of each kind at most.

    A `reminder_s` of 0 is for no reminders.
    """
    # Should two looks use one name, the worse finding counts.
    found = {one.name: one for one in sorted(findings, key=lambda one: (one.ok is False, one.ok is None))}
    # A look that failed could not name its things, and without Docker most looks are left out.
    complete = all(one.ok is not None and (one.ok or one.name != DOCKER) for one in findings)
    things: dict[str, Thing] = {}
    items: list[Item] = []
    for name in sorted({*state, *found}):
        thing, item = _step(name, _not_after(state.get(name, Thing()), now_s), found.get(name), now_s, complete)
        things.update({name: thing} if thing else {})
        items += [item] if item else []
    kinds = {kind: tuple(item for item in items if KINDS[item.state] == kind) for kind in KINDS.values()}
    messages = [Message(kind, host, now_s, told) for kind, told in kinds.items() if told]
    still = _reminders(things, now_s, reminder_s, {name for name, one in found.items() if _is_explained(one)})
    if still:
        messages.append(Message("reminder", host, now_s, still))
    return {**things, **{item.name: replace(things[item.name], told_s=now_s) for item in still}}, messages


def begun_anew(state: State) -> State:
    """The state for a new process. Looks before and after a reboot are not in a row: all was stopped in between."""
    return {name: replace(thing, broken=Streak(), unknown=Streak()) for name, thing in state.items()}


def _not_after(thing: Thing, now_s: float) -> Thing:
    """The thing without a time in the future. Where the clock was set back, nothing would be due until then."""
    return replace(
        thing,
        broken=replace(thing.broken, since_s=min(thing.broken.since_s, now_s)),
        unknown=replace(thing.unknown, since_s=min(thing.unknown.since_s, now_s)),
        changes_s=tuple(min(one, now_s) for one in thing.changes_s),
        opened_s=min(thing.opened_s, now_s),
        told_s=min(thing.told_s, now_s),
        missing_s=None if thing.missing_s is None else min(thing.missing_s, now_s),
    )


def _step(
    name: str, thing: Thing, one: Finding | None, now_s: float, complete: bool
) -> tuple[Thing | None, Item | None]:
    """The thing after a look, None where it is forgotten; and what people have to be told of it, if anything."""
    if one is None:
        return _missed(name, thing, now_s) if complete else (thing, None)
    if _is_explained(one):
        # What was seen before the verb is no part of what comes after it.
        return replace(thing, broken=Streak(), unknown=Streak(), missing_s=None), None
    return _told(name, _seen(thing, one, now_s), one, now_s)


def _is_explained(one: Finding) -> bool:
    """Whether a verb at work explains why the thing is not well."""
    return bool(one.silenced_by) and not one.ok


def _missed(name: str, thing: Thing, now_s: float) -> tuple[Thing | None, Item | None]:
    """A thing that no look names for an hour is gone, as a replica less. Nobody would ever hear that it is well."""
    missing_s = now_s if thing.missing_s is None else thing.missing_s
    if now_s - missing_s < _HOUR_S:
        return replace(thing, missing_s=missing_s), None
    return None, Item(name, "unwatched", thing.seen, thing.opened_s) if thing.told else None


def _seen(thing: Thing, one: Finding, now_s: float) -> Thing:
    """The thing after a look at it, before anybody is told."""
    thing = replace(thing, missing_s=None, repaired=one.repaired or thing.repaired)
    if not one.ok:
        thing = replace(thing, seen=one.seen, next_step=one.next_step)
    if one.ok is None:  # the last answer counts on: a break lasts, as far as anybody knows
        return replace(thing, unknown=thing.unknown.longer(now_s))
    changes = [now_s] if thing.ok is not None and thing.ok != one.ok else []
    if one.ok and one.repaired and not changes:  # it broke and was repaired between two looks
        changes = [now_s, now_s]
    return replace(
        thing,
        ok=one.ok,
        broken=Streak() if one.ok else thing.broken.longer(now_s),
        unknown=Streak(),
        changes_s=(*thing.changes_s, *changes)[-_MOST_CHANGES - 1 :],
    )


def _told(name: str, thing: Thing, one: Finding, now_s: float) -> tuple[Thing, Item | None]:
    """The thing after people were told of it, and what they are told; None for nothing."""
    if thing.told == "flapping":
        if thing.changes_s and now_s - thing.changes_s[-1] < _HOUR_S:
            return thing, None
        thing = replace(thing, changes_s=())
    alarm, since_s = _alarm(name, thing, now_s)
    if alarm:
        item = Item(name, alarm, one.seen, since_s, one.next_step, thing.repaired)
        return replace(thing, told=alarm, opened_s=since_s, told_s=now_s, repaired=""), item
    if not one.ok or not (thing.told or thing.repaired):
        return thing, None
    well: ItemState = "well" if thing.told else "repaired"
    item = Item(name, well, one.seen, thing.opened_s if thing.told else now_s, repaired=thing.repaired)
    return replace(thing, told="", repaired="", seen="", next_step=""), item


def _alarm(name: str, thing: Thing, now_s: float) -> tuple[Told, float]:
    """The alarm that people have to hear of now, and since when it is so; "" for none."""
    changes = thing.changes_s
    if len(changes) > _MOST_CHANGES and now_s - changes[0] <= _HOUR_S:
        return "flapping", changes[0]
    if thing.told != "broken" and thing.broken.looks >= (1 if name.startswith(AT_ONCE) else _BROKEN_LOOKS):
        return "broken", thing.broken.since_s
    if thing.told not in ("broken", "unknown") and thing.unknown.looks >= _UNKNOWN_LOOKS:
        return "unknown", thing.unknown.since_s
    return "", now_s


def _reminders(state: State, now_s: float, reminder_s: float, explained: Collection[str]) -> tuple[Item, ...]:
    """All that is open, once people have not heard of one of these things for so long: one reminder is for all."""
    still = {
        name: (thing, thing.told)
        for name, thing in sorted(state.items())
        if thing.told and thing.told_s < now_s and name not in explained
    }
    # A thing that flaps is no reason for a message, until it is stable.
    if not reminder_s or not any(
        told != "flapping" and now_s - thing.told_s >= reminder_s for thing, told in still.values()
    ):
        return ()
    return tuple(Item(name, told, thing.seen, thing.opened_s, thing.next_step) for name, (thing, told) in still.items())
