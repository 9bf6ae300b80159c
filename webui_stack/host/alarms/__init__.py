"""Alarms: people are told what breaks on this host and what is well again, by the receivers that they named.

A message is on the disk before it is sent, and until each receiver has it. So a crash loses none, and repeats one for
each receiver at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..clock import Clock
from ..errors import HostError
from ..files import Files
from ..finding import Finding
from . import record, state
from .connection import LIMIT_S, RefusedError
from .message import Message
from .receivers import Receivers
from .record import NewerError, Record
from .send import Ended, Job, Sender

_HOUR_S = 3600.0
# So many looks may fail to read the record.
_TRIES = 3


@dataclass(frozen=True)
class OpenAlarm:
    """What people were told of and is not well yet. `state` is "broken", "unknown" or "flapping".

    `since_s` is the moment at which that began, in seconds since 1970.
    """

    name: str
    state: str
    since_s: float
    seen: str
    next_step: str


@dataclass(frozen=True)
class Outcome:
    """What became of a test message; `error` is "" where the receiver took it."""

    receiver: str
    error: str = ""


class Alarms:
    """The alarms of this host. One process tells; others may ask for what is open.

    `say` writes a line to the journal of systemd. `reminder_s` is 0 for no reminders.
    """

    def __init__(
        self,
        receivers: Receivers,
        files: Files,
        clock: Clock,
        *,
        host: str,
        say: Callable[[str], None],
        reminder_s: float = 24 * _HOUR_S,
        path: str = record.PATH,
        sender: Sender | None = None,
    ) -> None:
        self._receivers, self._files, self._clock = receivers, files, clock
        self._host, self._say, self._reminder_s, self._path = host, say, reminder_s, path
        self._sender = sender or Sender()
        self._record = Record()
        self._kept: Record | None = None  # as it is on the disk, as far as that is known
        self._unread = 0
        self._failures: dict[str, tuple[str, float]] = {}

    def use(self, receivers: Receivers) -> None:
        """Ensure these receivers are told from now on; a message that waits for another one is dropped."""
        self._receivers = receivers

    def tell(self, findings: Sequence[Finding]) -> None:
        """Ensure people are told what a look has found, and what they could not be told before.

        It takes 20 s at most, however many receivers hang. A receiver that fails is tried again with the next look. A
        heartbeat is left out while a message waits for a receiver: its service raises the alarm then. Fails where a
        newer version has written the state; a disk that takes no file is no reason for silence.
        """
        if not self._has_record():
            return
        now_s = self._clock.now()
        things, messages = state.after(
            self._record.state, findings, now_s=now_s, host=self._host, reminder_s=self._reminder_s
        )
        names = [one.name for one in self._receivers.told]
        self._keep(replace(self._record, state=things).queued(messages, names))
        self._send()
        if not self._record.waiting:
            self._beat()

    def open(self) -> list[OpenAlarm]:
        """What is open, by name. Fails where the state can't be read: that is never "nothing"."""
        known = self._record if self._kept else record.read(self._files, self._path)
        return [
            OpenAlarm(name, one.told, one.opened_s, one.seen, one.next_step)
            for name, one in sorted(known.state.items())
            if one.told
        ]

    def test(self) -> list[Outcome]:
        """Send a test message to each receiver, and call each heartbeat once. Changes nothing on this host."""
        message = Message("test", self._host, self._clock.now())
        acts: dict[str, Callable[[], None]] = {one.name: partial(one.send, message) for one in self._receivers.told}
        acts.update({one.name: one.beat for one in self._receivers.heartbeats})
        outcomes = dict.fromkeys(acts, "")

        def ended(one: Ended) -> bool:
            outcomes[one.receiver] = str(one.error or "")
            return True

        for name in self._sender.run({name: _once(name, act) for name, act in acts.items()}, ended):
            outcomes[name] = str(_silent(name))
        return [Outcome(name, error) for name, error in outcomes.items()]

    # --- Send

    def _send(self) -> None:
        acts = {one.name: one.send for one in self._receivers.told}

        def next_of(name: str) -> Job | None:
            message = self._record.next_for(name)
            return Job(message.id, partial(acts[name], message)) if message else None

        self._run({name: partial(next_of, name) for name in acts})

    def _beat(self) -> None:
        self._run({one.name: _once(one.name, one.beat) for one in self._receivers.heartbeats})

    def _run(self, jobs: Mapping[str, Callable[[], Job | None]]) -> None:
        for name in self._sender.run(jobs, self._ended):
            self._failed(name, _silent(name))

    def _ended(self, one: Ended) -> bool:
        """Note how a job ended, before the receiver's next one. Returns whether there may be one in this look."""
        if isinstance(one.error, RefusedError):  # it would hold up all that come after it, for ever
            self._say(f"{one.error}; this message is not sent to {one.receiver} again")
        elif one.error:
            self._failed(one.receiver, one.error)
            return False
        else:
            self._failures.pop(one.receiver, None)
        self._keep(self._record.delivered(one.receiver, one.id))
        return True

    def _failed(self, what: str, error: HostError) -> None:
        """Tell a failure in the journal when it is new, and once an hour."""
        text, now_s = str(error), self._clock.monotonic()
        before, said_s = self._failures.get(what, ("", now_s))
        if text != before or now_s - said_s >= _HOUR_S:
            self._say(text)
            self._failures[what] = (text, now_s)

    # --- Keep

    def _has_record(self) -> bool:
        """Whether the record is there. One that three looks could not read is begun anew: what is open is told again.

        Before that, nobody is told: a break that lasts is seen again, and an alarm that is open is no news.
        """
        if self._kept is None and self._unread < _TRIES:
            try:
                self._kept = record.read(self._files, self._path)
                self._record = replace(self._kept, state=state.begun_anew(self._kept.state))
            except NewerError:
                raise
            except HostError as error:
                self._unread += 1
                self._failed(self._path, error)
        return self._kept is not None or self._unread >= _TRIES

    def _keep(self, new: Record) -> None:
        """Ensure the record is on the disk. A full disk has to be told all the same: the record is in memory, too."""
        self._record = new
        if new == self._kept:
            return
        try:
            record.write(self._files, new, self._path)
            self._kept = new
        except HostError as error:
            self._failed(self._path, error)


def _once(name: str, act: Callable[[], None]) -> Callable[[], Job | None]:
    """The one job that there is."""
    jobs = iter([Job(name, act)])
    return lambda: next(jobs, None)


def _silent(name: str) -> HostError:
    return HostError(
        name, expected=f"an answer within {LIMIT_S:.0f} s", got="none", do="see whether the host reaches it"
    )
