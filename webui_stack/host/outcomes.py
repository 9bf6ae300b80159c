"""How jobs ended that nobody watches, for status and the watch: a small JSON file each, below the stack's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .clock import Clock
from .errors import HostError
from .files import Files
from .typed import Any, TypedDict, cast

FOLDER = "outcomes"
NAMES = ("drill", "copy-1", "copy-2", "check-1", "check-2")
"""The jobs: a drill; a set's copy into each restic repository; the check of each."""


class Outcome(TypedDict):
    """How a job ended. Times are in seconds since 1970.

    `of` is a repository's address, "" for a drill; `set` is a set's name, "" without one. `said` is why the job failed,
    "" where it did not. `good_s` is when it last went well, 0 for never. `counts` are numbers of the job's own.
    """

    of: str
    set: str
    ended_s: int
    seconds: int
    ok: bool
    said: str
    good_s: int
    counts: dict[str, int]


class Outcomes:
    """The outcomes of this host's jobs. Each is a file of its own, so that jobs may end at one moment."""

    def __init__(self, files: Files, clock: Clock, stack_dir: str) -> None:
        self._files, self._clock, self._folder = files, clock, f"{stack_dir}/{FOLDER}"

    def note(
        self, job: str, *, of: str = "", set_: str = "", began_s: float, said: str, counts: Mapping[str, int]
    ) -> None:
        """Ensure the job's outcome is remembered; `said` is "" where it went well, `began_s` by the monotonic clock.

        Fails where it can't be written.
        """
        now_s = int(self._clock.now())
        before = self._before(job)
        good_s = before["good_s"] if before and before["of"] == of else 0
        seconds = self._clock.monotonic() - began_s
        outcome = Outcome(
            of=of,
            set=set_,
            ended_s=now_s,
            seconds=int(seconds),
            ok=not said,
            said=said,
            good_s=good_s if said else now_s,
            counts=dict(counts),
        )
        self._files.make_folder(self._folder)
        self._files.write(f"{self._folder}/{job}.json", f"{json.dumps(outcome)}\n")

    def read(self, job: str) -> Outcome | None:
        """The job's last outcome, None without one. Raises `HostError` for a file of another form."""
        path = f"{self._folder}/{job}.json"
        text = self._files.read_text(path)
        if text is None:
            return None
        try:
            found = _outcome(json.loads(text))
        except (ValueError, RecursionError):
            found = None
        if found is None:
            do = "the next one writes it again"
            raise HostError(path, expected=f"how the last {job} ended", got="another form", do=do)
        return found

    def all(self) -> dict[str, Outcome]:
        """The outcomes there are, by job. An outcome that can't be read is a failure which says so."""
        found = {job: self._told(job) for job in NAMES}
        return {job: outcome for job, outcome in found.items() if outcome}

    def _told(self, job: str) -> Outcome | None:
        try:
            return self.read(job)
        except HostError as error:
            return Outcome(of="", set="", ended_s=0, seconds=0, ok=False, said=str(error), good_s=0, counts={})

    def _before(self, job: str) -> Outcome | None:
        """The last outcome as far as it can be read: the new one takes its place."""
        try:
            return self.read(job)
        except HostError:
            return None


def _outcome(found: Any) -> Outcome | None:
    wanted = {"of": str, "set": str, "ended_s": int, "seconds": int, "ok": bool, "said": str, "good_s": int}
    if not isinstance(found, dict) or any(type(found.get(name)) is not kind for name, kind in wanted.items()):
        return None
    counts = found.get("counts")
    if not isinstance(counts, dict) or any(type(count) is not int for count in counts.values()):
        return None
    return cast(Outcome, {name: found[name] for name in (*wanted, "counts")})
