"""A message to people: what has changed, since when, on which host, and the next step. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..clock import utc

Kind = Literal["problem", "flapping", "well", "repaired", "unwatched", "reminder", "test"]
ItemState = Literal["broken", "unknown", "flapping", "well", "repaired", "unwatched"]
KINDS: Mapping[ItemState, Kind] = {
    "broken": "problem",
    "unknown": "problem",
    "flapping": "flapping",
    "well": "well",
    "repaired": "repaired",
    "unwatched": "unwatched",
}
"""The kind of message that tells of each state, in the order of sending."""
FORMAT = 1
_PHRASES: Mapping[ItemState, str] = {
    "broken": "is broken",
    "unknown": "could not be checked",
    "flapping": "keeps changing",
    "well": "is well again",
    "repaired": "was repaired",
    "unwatched": "is no longer checked",
}
_SUMS: Mapping[Kind, str] = {
    "problem": "things are wrong",
    "flapping": "things keep changing",
    "well": "things are well again",
    "repaired": "things were repaired",
    "unwatched": "things are no longer checked",
    "reminder": "things are still wrong",
}
_DEFAULT_STEP = "run runbooks/doctor.py"
# A phone shows about so many characters of a title. More of `seen` than this is a log, and not a sentence.
_TITLE, _SEEN = 120, 500


@dataclass(frozen=True)
class Item:
    """One thing that a message tells of.

    `since_s` is the moment at which its state began, in seconds since 1970; for "well" and "unwatched" it is the moment
    at which the trouble began. `repaired` says what the watchdog did, or is "".
    """

    name: str
    state: ItemState
    seen: str
    since_s: float
    next_step: str = ""
    repaired: str = ""


@dataclass(frozen=True)
class Message:
    """All that one look has to tell of one kind. `at_s` is the moment of the look, in seconds since 1970."""

    kind: Kind
    host: str
    at_s: float
    items: Sequence[Item] = ()

    @property
    def id(self) -> str:
        """The same however often the message is sent, so that a receiver can tell a repetition."""
        return f"{self.host}-{utc(self.at_s)}-{self.kind}"

    @property
    def title(self) -> str:
        """One line of at most 120 characters."""
        return _short(f"{self.host}: {self._sum()}", _TITLE)

    @property
    def text(self) -> str:
        """Plain text for people, in lines."""
        if self.kind == "test":
            first = "This is a test. Alarms of this host reach you here.\n"
        else:
            first = "\n".join(f"{_told(item)}\n" for item in self.items)
        return f"{first}\nHost: {self.host}\nTime: {_time(self.at_s)} UTC\n"

    def _sum(self) -> str:
        if self.kind == "test":
            return "a test message"
        if len(self.items) > 1:
            return f"{len(self.items)} {_SUMS[self.kind]}: {', '.join(item.name for item in self.items)}"
        (item,) = self.items
        still = "still: " if self.kind == "reminder" else ""
        return f"{still}{_phrase(item)}" + (f": {_line(item.seen)}" if item.state in ("broken", "unknown") else "")

    def payload(self) -> dict[str, Any]:
        """The JSON of a webhook. Its keys are stable: one is added at most, unless `format` is another.

        `format` (1), `id` (the same for a repetition), `kind` (a `Kind`), `host`, `at` (RFC 3339, UTC), `title`, `text`
        (for people), and `items`. Each item has `name`, `state` (an `ItemState`), `since` (RFC 3339, UTC), `seen`,
        `next_step` and `repaired`.
        """
        return {
            "format": FORMAT,
            "id": self.id,
            "kind": self.kind,
            "host": self.host,
            "at": _rfc_3339(self.at_s),
            "title": self.title,
            "text": self.text,
            "items": [
                {
                    "name": item.name,
                    "state": item.state,
                    "since": _rfc_3339(item.since_s),
                    "seen": _line(item.seen),
                    "next_step": item.next_step,
                    "repaired": item.repaired,
                }
                for item in self.items
            ],
        }

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Message:
        return cls(**{**found, "items": tuple(Item(**item) for item in found["items"])})


def _phrase(item: Item) -> str:
    """What is so: "valkey_pong is broken"."""
    return f"{item.name} {f'was {item.repaired}' if item.state == 'repaired' else _PHRASES[item.state]}"


def _told(item: Item) -> str:
    since = _time(item.since_s)
    lines = [f"{_phrase(item)}: {_line(item.seen)}"]
    if item.state in ("well", "unwatched"):
        lines.append(f"The trouble began: {since} UTC")
    if item.state != "repaired" and item.repaired:
        lines.append(f"The watchdog did this: {item.repaired}")
    if item.state == "flapping":
        lines.append("It changed more than 4 times in an hour. The next message comes when it is stable for an hour.")
    if item.state in ("broken", "unknown", "flapping"):
        lines += [f"Since: {since} UTC", f"Next step: {_line(item.next_step) or _DEFAULT_STEP}"]
    return "\n".join(lines)


def _line(text: str) -> str:
    """A text of others as one line without control characters: a title is a header of HTTP and of mail."""
    return _short(" ".join("".join(one if one.isprintable() else " " for one in text).split()), _SEEN)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _rfc_3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
