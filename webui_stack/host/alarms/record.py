"""What the alarms keep on the disk: the state of each thing, and the messages that receivers have still to get."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..errors import HostError
from ..files import Files
from .message import Message
from .state import State, Thing

FORMAT = 1
PATH = "/var/lib/open-webui-stack/alarms.json"
# Months without a receiver that answers would fill the disk. The state tells what is open, whatever is dropped.
_MOST_WAITING = 100


class NewerError(HostError):
    """A newer version of this program wrote the file."""


@dataclass(frozen=True)
class Waiting:
    """A message, and the names of the receivers that have not got it yet."""

    message: Message
    receivers: Sequence[str]


@dataclass(frozen=True)
class Record:
    """All that is kept. `waiting` is in the order of sending."""

    state: State = field(default_factory=dict)
    waiting: Sequence[Waiting] = ()

    def queued(self, messages: Sequence[Message], receivers: Sequence[str]) -> Record:
        """The record with more messages for these receivers, who are all there are; the oldest are dropped."""
        kept = [replace(one, receivers=tuple(n for n in one.receivers if n in receivers)) for one in self.waiting]
        kept += [Waiting(message, tuple(receivers)) for message in messages]
        return replace(self, waiting=tuple(one for one in kept if one.receivers)[-_MOST_WAITING:])

    def delivered(self, receiver: str, message_id: str) -> Record:
        """The record without this message for this receiver."""
        for number, one in enumerate(self.waiting):
            if one.message.id == message_id and receiver in one.receivers:
                left = replace(one, receivers=tuple(name for name in one.receivers if name != receiver))
                kept = [left] if left.receivers else []
                return replace(self, waiting=(*self.waiting[:number], *kept, *self.waiting[number + 1 :]))
        return self

    def next_for(self, receiver: str) -> Message | None:
        """The oldest message that a receiver has not got; None without one."""
        return next((one.message for one in self.waiting if receiver in one.receivers), None)

    def as_text(self) -> str:
        """The file's text: JSON."""
        found = {
            "format": FORMAT,
            "things": {name: thing.as_json() for name, thing in self.state.items()},
            "waiting": [{"message": one.message.as_json(), "receivers": list(one.receivers)} for one in self.waiting],
        }
        return json.dumps(found, indent=1, sort_keys=True) + "\n"


def read(files: Files, path: str = PATH) -> Record:
    """The record on the disk; an empty one where there is none yet.

    Raises `NewerError`, and `HostError` where it can't be read.
    """
    text = files.read_text(path)
    if text is None:
        return Record()
    try:
        found = json.loads(text)
        if found["format"] > FORMAT:
            got, do = f"format {found['format']}", "deploy with the newer version"
            raise NewerError(path, expected=f"format {FORMAT}", got=got, do=do)
        return Record(
            {name: Thing.from_json(thing) for name, thing in found["things"].items()},
            tuple(Waiting(Message.from_json(one["message"]), tuple(one["receivers"])) for one in found["waiting"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise HostError(path, expected="what was written there", got="something else", do=f"remove {path}") from None


def write(files: Files, record: Record, path: str = PATH) -> None:
    """Ensure the record is on the disk, for root alone. Raises `HostError`."""
    files.make_folder(path.rpartition("/")[0])
    files.write(path, record.as_text())
