"""Which verb is at work on the stack, at which step: written down before each step, so that a crash is no riddle.

The journal is one file. While it is there, a verb is under way, or one was cut off; `recover` ends it. Who changes the
stack holds the work lock (`locks.py`), so that there is one writer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from .clock import Clock, utc
from .errors import HostError
from .files import Files
from .holder import Holder, Processes

FORMAT = 1
NAME = "journal.json"
# The step of an entry that was read from a mark of earlier versions.
OLD_MARK = "old mark"
_LOG = "/var/log/open-webui/deploys.jsonl"
# What earlier versions leave in the stack's folder while data may be in two places, each with a word in it. Where one
# is there, they refuse all but the runbooks that put the data back (host/history.py). So a mark is there while a
# journal of such a verb is: `.restoring` with the verb for the last good deploy as it is, and for an upgrade that noted
# its backup set as `data["set"]`, `.upgrading` with its name, for that deploy with those data.
_UPGRADING, _RESTORING = ".upgrading", ".restoring"
MIGRATING = ".migrating"
"""A migration has begun, and has not been settled: Postgres's volume is its own, and may have some of the rows.

It is no verb that was cut off, as the deploy of that migration follows with the mark there (`verbs/migrate.py`).
"""
# A crash of these leaves people's data in one place: the next deploy takes over, and no runbook has to run first. So
# they leave no mark.
_IN_ONE_PLACE = ("up", "swarm", "migrate", "rotate")
# A mark has the name of the runbook, which is that of the verb but for these.
_RUNBOOKS = {"swarm_restore": "restore", "swarm_upgrade": "upgrade"}
_UPGRADE = "upgrade"
_SET_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z")


@dataclass(frozen=True)
class Step:
    """A step of a verb, and where a crash during it leads."""

    name: str
    after_crash: Literal["go on", "go back"]


# Verb -> its steps. One that may be found as a mark of earlier versions has a step `OLD_MARK`.
Table = Mapping[str, Sequence[Step]]


@dataclass(frozen=True)
class Entry:
    """What is under way, or was cut off.

    `step` is "" where none was taken yet. `data` is all that the verb noted, `began` a moment (`20261129T030000Z`).
    `holder` is None, and `began` "", for a mark of earlier versions, which don't say who left it.
    """

    verb: str
    step: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    holder: Holder | None = None
    began: str = ""

    @property
    def in_two_places(self) -> bool:
        """Whether people's data may be in two places until this has ended."""
        return self.verb not in _IN_ONE_PLACE

    def __str__(self) -> str:
        at = f"at the step {self.step!r}" if self.step else "before its first step"
        return f"{self.verb}, {at}" + (f", begun {self.began} by process {self.holder.pid}" if self.holder else "")


class Verb(Protocol):
    """What a verb does about itself after a crash. Each ends the journal, and can be cut off and begun again."""

    def go_on(self, entry: Entry) -> None: ...
    def go_back(self, entry: Entry) -> None: ...


class AtBoot(Protocol):
    """What ends at the next boot what is under way (`recovery.Recovery`)."""

    def arm(self) -> bool: ...
    def disarm(self) -> None: ...


class Journal:
    """The journal in a stack's folder. While something is under way, `at_boot` is armed.

    It is on the disk before each method returns. A crash of `begin`, `step` or `end`, a power cut included, leaves the
    entry of before or the new one. An entry that can't be read is an error, and never "no entry".
    """

    def __init__(self, files: Files, folder: str, table: Table, clock: Clock, at_boot: AtBoot | None = None) -> None:
        self._files, self._folder, self._clock, self._at_boot = files, folder, clock, at_boot
        self.table = table
        self.path = f"{folder}/{NAME}"

    def open(self) -> Entry | None:
        """What is under way or was cut off; None where nothing is. Marks of earlier versions count.

        A deploy that was cut off hides no mark: scripts, which read no journal, may have begun since, and been cut off.
        """
        text = self._files.read(self.path)
        entry = None if text is None else self._parse(text)
        return entry if entry and entry.in_two_places else self._old() or entry

    def begin(
        self,
        verb: str,
        holder: Holder,
        data: Mapping[str, Any] | None = None,
        *,
        step: str = "",
        over: Collection[str] = (),
    ) -> None:
        """Ensure a verb is written down as under way, at `step`. Fails where another is.

        One of the verbs in `over` that was cut off is taken over: the caller does what its recovery would do.
        `data` is JSON, and no secret: operators read the journal. The folder is made where it is missing.
        """
        other = self.open()
        if other and other.verb not in over:
            raise HostError(
                self.path,
                expected="nothing under way",
                got=str(other),
                do="let that end; if it was cut off, `recover` ends it",
            )
        if verb not in self.table:
            raise ValueError(f"no table says what to do after a crash of {verb!r}")
        if step:
            self._known(verb, step)
        if not self._files.exists(self._folder):
            self._files.make_folder(self._folder)
        if self._at_boot:
            self._at_boot.arm()
        self._write(Entry(verb, step, dict(data or {}), holder, utc(self._clock.now())))

    def become(self, verb: str, step: str, data: Mapping[str, Any]) -> None:
        """Ensure the deploy that is under way is one of `verb` from here on, which takes this step next."""
        entry = self._current()
        if entry.verb != "up":
            raise ValueError(f"a {entry.verb} does not become another verb")
        self._known(verb, step)
        self._write(replace(entry, verb=verb, step=step, data=dict(data)))

    def step(self, name: str, data: Mapping[str, Any] | None = None) -> None:
        """Ensure the step that is taken next is written down. `data` is added to what the verb noted before."""
        entry = self._current()
        self._known(entry.verb, name)
        self._write(replace(entry, step=name, data={**entry.data, **(data or {})}))

    def resume(self, holder: Holder) -> Entry:
        """Ensure an entry that was cut off belongs to `holder`, who ends it; a mark becomes an entry."""
        entry = self._current()
        entry = replace(entry, holder=holder, began=entry.began or utc(self._clock.now()))
        if self._at_boot:
            self._at_boot.arm()  # with the program that runs now
        self._write(entry)
        return entry

    def end(self) -> None:
        """Ensure nothing is under way: the journal is removed, and the marks that it has left.

        Verbs that leave data in one place have left none, so their end removes none.
        """
        entry = self.open()
        marks = () if entry and not entry.in_two_places else (_UPGRADING, _RESTORING)
        for name in (*marks, NAME):  # the journal last: a mark alone would be an old one
            self._files.remove(f"{self._folder}/{name}")
        if self._at_boot:
            self._at_boot.disarm()

    def way(self, entry: Entry) -> Literal["go on", "go back"]:
        """Where a crash at this entry leads. Fails where the table does not say."""
        return self._known(entry.verb, entry.step).after_crash

    # --- Below

    def _current(self) -> Entry:
        entry = self.open()
        if entry is None:
            raise HostError(
                self.path, expected="the run that is under way", got="no journal", do="find out who removed it"
            )
        return entry

    def _known(self, verb: str, name: str) -> Step:
        for step in self.table.get(verb, ()):
            if step.name == name:
                return step
        raise HostError(
            self.path,
            expected=f"a step of {verb} that this version knows",
            got=repr(name),
            do="finish with the version of this project that began it",
        )

    def _write(self, entry: Entry) -> None:
        content = {
            "format": FORMAT,
            "verb": entry.verb,
            "step": entry.step,
            "data": entry.data,
            "holder": entry.holder.as_json() if entry.holder else None,
            "began": entry.began,
        }
        self._files.write(self.path, json.dumps(content, indent=1) + "\n")
        if not entry.in_two_places:
            return
        # Second, as a mark alone would be an old one. Nothing is changed before both are there.
        runbook = _RUNBOOKS.get(entry.verb, entry.verb)
        self._leave(_RESTORING, runbook)
        if runbook == _UPGRADE and isinstance(entry.data.get("set"), str):
            self._leave(_UPGRADING, entry.data["set"])

    def _leave(self, mark: str, word: str) -> None:
        path = f"{self._folder}/{mark}"
        if self._files.difference(path, f"{word}\n"):
            self._files.write(path, f"{word}\n")

    def _parse(self, text: bytes) -> Entry:
        if not text.strip(b"\0 \n"):
            raise self._damaged("an empty file" if not text else "nothing but blanks and zeros")
        try:
            found = json.loads(text)
        except ValueError as error:
            raise self._damaged(f"{len(text)} bytes that are none ({error})") from None
        number = found.get("format") if isinstance(found, dict) else None
        if type(number) is not int:
            raise self._damaged("no format number")
        if number != FORMAT:
            raise HostError(
                self.path,
                expected=f"format {FORMAT}",
                got=f"format {number}, of {'a newer' if number > FORMAT else 'another'} version of this project",
                do="finish with the version that began it",
            )
        verb, step, data, began = (found.get(name) for name in ("verb", "step", "data", "began"))
        if not (isinstance(verb, str) and isinstance(step, str) and isinstance(data, dict) and isinstance(began, str)):
            raise self._damaged("no verb, step, data or began")
        try:
            holder = Holder.from_json(found.get("holder"))
        except ValueError:
            raise self._damaged("no holder") from None
        return Entry(verb, step, data, holder, began)

    def _damaged(self, got: str) -> HostError:
        return HostError(
            self.path,
            expected="one JSON document that tells what is under way",
            got=got,
            do=f"see the last line of {_LOG} for the run that was cut off, and what of it is in place; then remove "
            f"{self.path} and {_RESTORING} beside it, and run that again",
        )

    def _old(self) -> Entry | None:
        """What earlier versions have left, in the order in which they take care of it."""
        name = self._mark(_UPGRADING)
        if name is not None:
            if not _SET_NAME.fullmatch(name):
                raise HostError(
                    f"{self._folder}/{_UPGRADING}",
                    expected="the name of the backup set for the way back",
                    got=repr(name) if name else "an empty file, as after a power cut",
                    do="write that name into it: the set that was made when the upgrade began",
                )
            return Entry(_UPGRADE, OLD_MARK, {"set": name})
        name = self._mark(_RESTORING)
        if name is not None:
            return Entry(name or "restore", OLD_MARK)  # earlier versions left it empty
        return None

    def _mark(self, name: str) -> str | None:
        text = self._files.read_text(f"{self._folder}/{name}")
        return None if text is None else text.strip()


def recover(journal: Journal, verbs: Mapping[str, Verb], me: Holder, processes: Processes) -> Entry | None:
    """Ensure nothing is cut off. Returns what was, None where nothing was.

    The caller holds the work lock. Fails where the holder is alive, where the table or `verbs` don't know what to do,
    and where a verb fails; the journal stays then, for the next try.
    """
    entry = journal.open()
    if entry is None:
        return None
    if entry.holder and entry.holder != me and processes.state(entry.holder) == "alive":
        raise HostError(journal.path, expected="a run that was cut off", got=str(entry), do="wait for it to end")
    if not entry.step:  # nothing was changed: a step is written down before it is taken
        journal.end()
        return entry
    way = journal.way(entry)
    verb = verbs.get(entry.verb)
    if verb is None:
        raise HostError(
            journal.path,
            expected="a verb that this version knows",
            got=entry.verb,
            do="finish with the version of this project that began it",
        )
    resumed = journal.resume(me)
    if way == "go on":
        verb.go_on(resumed)
    else:
        verb.go_back(resumed)
    if left := journal.open():
        raise RuntimeError(f"{entry.verb} returned from its recovery, and left the journal open: {left}")
    return entry
